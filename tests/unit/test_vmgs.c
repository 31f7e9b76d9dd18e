// SPDX-License-Identifier: MIT
//
// VMGS without keys: files there and back, the layout byte by byte, every rule of headers and
// tables broken once, space.

#include "tests/support/cut_disk.h"
#include "userspace/vmgs/vmgs_internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cut_disk disk;
static struct vmgs vmgs;
static uint8_t bytes[32 * VMGS_BLOCK_BYTES];
static uint8_t got[32 * VMGS_BLOCK_BYTES];

static void fresh(uint32_t block_count, uint32_t sector_bytes) {
    struct vmgs_disk ops;

    cut_disk_init(&disk, block_count, sector_bytes, 1);
    ops = cut_disk_ops(&disk);
    assert_int_equal(vmgs_create(&vmgs, &ops), 0);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 7 + (i >> 8));
    }
}

static int reopen(void) {
    const struct vmgs_disk ops = cut_disk_ops(&disk);

    return vmgs_open(&vmgs, &ops);
}

static void expect(uint32_t id, size_t size) {
    size_t size_got;

    assert_int_equal(vmgs_read(&vmgs, id, got, sizeof(got), &size_got), 0);
    assert_int_equal(size_got, size);
    assert_memory_equal(got, bytes, size);
}

static void there_and_back(void **state) {
    static const size_t sizes[] = {0, 1, 511, 4095, 4096, 4097, 3 * 4096, 5 * 4096 + 1};
    static const uint32_t sectors[] = {512, 4096};
    struct vmgs_file_info info;

    (void)state;
    for (unsigned s = 0; s < 2; s++) {
        fresh(32, sectors[s]);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) { // grows
            assert_int_equal(vmgs_write(&vmgs, VMGS_TPM_NVRAM, bytes, sizes[i], 0), 0);
            expect(VMGS_TPM_NVRAM, sizes[i]);
            assert_int_equal(reopen(), 0);
            expect(VMGS_TPM_NVRAM, sizes[i]);
        }
        assert_int_equal(vmgs_write(&vmgs, VMGS_TPM_NVRAM, bytes, 10, 0), 0); // and shrinks
        assert_int_equal(vmgs_write(&vmgs, 62, bytes, 4097, 0), 0);
        assert_int_equal(vmgs_stat(&vmgs, 62, &info), 0);
        assert_int_equal(info.size_bytes, 4097);
        assert_int_equal(info.allocated_bytes, 8192);
        assert_false(info.encrypted);
        assert_int_equal(vmgs_stat(&vmgs, VMGS_TPM_NVRAM, &info), 0);
        assert_int_equal(info.allocated_bytes, 4096);
        assert_int_equal(vmgs_delete(&vmgs, 62), 0);
        assert_int_equal(vmgs_delete(&vmgs, 62), -ENOENT);
        assert_int_equal(reopen(), 0);
        assert_int_equal(vmgs_stat(&vmgs, 62, &info), -ENOENT);
        assert_int_equal(vmgs.other_rule, VMGS_RULE_NONE);
    }
}

static void refuses_ids_and_small_buffers(void **state) {
    static const uint32_t ids[] = {0, 63, 64, UINT32_MAX};
    struct vmgs_file_info info;
    size_t size;

    (void)state;
    fresh(16, 512);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(vmgs_write(&vmgs, ids[i], bytes, 1, 0), -EINVAL);
        assert_int_equal(vmgs_read(&vmgs, ids[i], got, 1, &size), -EINVAL);
        assert_int_equal(vmgs_delete(&vmgs, ids[i]), -EINVAL);
        assert_int_equal(vmgs_stat(&vmgs, ids[i], &info), -EINVAL);
        assert_int_equal(vmgs.error.code, VMGS_RULE_FILE_ID);
    }
    assert_int_equal(vmgs_write(&vmgs, 1, bytes, 100, 0), 0);
    assert_int_equal(vmgs_read(&vmgs, 1, got, 99, &size), -ERANGE);
    assert_int_equal(vmgs_write(&vmgs, 1, bytes, 100, VMGS_WRITE_ENCRYPT), -EINVAL);
    assert_int_equal(vmgs.error.code, VMGS_RULE_NOT_ENCRYPTED);
}

/// The published layout, in numbers: nothing here comes from the library's structs.
static void layout_is_the_published_one(void **state) {
    const uint8_t *header;
    const uint8_t *entry;
    uint32_t crc = UINT32_MAX;
    uint8_t copy[168];

    (void)state;
    fresh(16, 512);
    assert_int_equal(vmgs_write(&vmgs, 3, bytes, 5000, 0), 0);
    // Creation wrote sequence 1 to header 0 and 2 to header 1; this is 3.
    header = disk.medium;
    assert_memory_equal(header, "GUESTRTS\0\0\3\0", 12);
    assert_memory_equal(header + 16, "\3\0\0\0\xa8\0\0\0", 8);
    assert_int_equal(header[28], 1); // file table: one block
    assert_int_equal(header[32], 0); // not encrypted
    assert_memory_equal(disk.medium + 512, "GUESTRTS", 8);
    assert_int_equal(disk.medium[512 + 16], 2);
    memcpy(copy, header, sizeof(copy));
    memset(copy + 12, 0, 4);
    for (unsigned i = 0; i < sizeof(copy); i++) { // CRC-32 by its definition
        crc ^= copy[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
    }
    crc = ~crc;
    assert_memory_equal(header + 12, &crc, 4);
    entry = disk.medium + header[24] * 4096u + 3 * 64u;
    assert_memory_equal(entry + 4, "\2\0\0\0\x88\x13\0\0\0\0\0\0", 12); // 2 blocks, 5000 bytes
    assert_memory_equal(disk.medium + entry[0] * 4096u, bytes, 5000);
    assert_int_equal(disk.medium[entry[0] * 4096u + 5000], 0);
    // The tables have entries for themselves.
    assert_int_equal(disk.medium[header[24] * 4096u], header[24]);
    assert_int_equal(disk.medium[header[24] * 4096u + 63 * 64 + 4], 1);
}

static void full_disk_keeps_the_old_state(void **state) {
    const size_t most = 9 * VMGS_BLOCK_BYTES;
    char line[160];

    (void)state;
    fresh(16, 4096); // 14 blocks, of which the three of tables now and next are not for files
    assert_int_equal(vmgs_write(&vmgs, 1, bytes, most, 0), 0);
    assert_int_equal(vmgs_write(&vmgs, 2, bytes, most, 0), -ENOSPC);
    assert_int_equal(vmgs.error.code, VMGS_RULE_SPACE);
    vmgs_error_format(&vmgs.error, line, sizeof(line));
    assert_non_null(strstr(line, "file 2 (TPM_PPI) at byte 0x10000: rule broken: free blocks"));
    expect(1, most);
    assert_int_equal(reopen(), 0);
    expect(1, most);
    assert_int_equal(vmgs_delete(&vmgs, 1), 0); // a full disk can always be emptied
    assert_int_equal(vmgs_write(&vmgs, 2, bytes, most, 0), 0);
    assert_int_equal(vmgs_write(&vmgs, 2, bytes, SIZE_MAX - 4096, 0), -ENOSPC);
    expect(2, most);
}

/// The state before the newest header is whole as long as there is room elsewhere.
static void damaged_newest_header_leaves_the_state_before(void **state) {
    (void)state;
    fresh(32, 512);
    assert_int_equal(vmgs_write(&vmgs, 1, bytes, 9000, 0), 0);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(reopen(), 0);
        assert_int_equal(vmgs_write(&vmgs, 2 + i, bytes, 3000, 0), 0);
        disk.cache[vmgs.now.header_idx * 512u + 20] ^= 1;
        assert_int_equal(reopen(), 0);
        assert_int_equal(vmgs.other_rule, VMGS_RULE_HEADER_SIZE);
        expect(1, 9000);
        for (unsigned k = 0; k < i; k++) {
            expect(2 + k, 3000);
        }
        assert_int_equal(vmgs_write(&vmgs, 2 + i, bytes, 3000, 0), 0);
        assert_int_equal(vmgs.other_rule, VMGS_RULE_NONE);
    }
}

static void failed_header_write_needs_a_reopen(void **state) {
    (void)state;
    fresh(16, 512);
    assert_int_equal(vmgs_write(&vmgs, 1, bytes, 1, 0), 0);
    disk.cut_at = disk.steps + 3; // data, table, flush, header
    assert_int_equal(vmgs_write(&vmgs, 1, bytes, 2, 0), -EIO);
    disk.dead = false;
    disk.cut_at = CUT_DISK_NEVER;
    assert_int_equal(vmgs_write(&vmgs, 1, bytes, 2, 0), -EIO);
    assert_int_equal(vmgs.error.code, VMGS_RULE_STALE);
    assert_int_equal(reopen(), 0);
    expect(1, 2); // the header had come through
}

static void sequence_numbers_wrap(void **state) {
    struct vmgs_wire_header headers[2] = {{.sequence = 0}, {.sequence = UINT32_MAX}};
    const enum vmgs_rule both[2] = {VMGS_RULE_NONE, VMGS_RULE_NONE};
    const enum vmgs_rule first[2] = {VMGS_RULE_NONE, VMGS_RULE_CHECKSUM};
    const enum vmgs_rule second[2] = {VMGS_RULE_VERSION, VMGS_RULE_NONE};
    const enum vmgs_rule none[2] = {VMGS_RULE_VERSION, VMGS_RULE_CHECKSUM};

    (void)state;
    assert_int_equal(vmgs_headers_judge(both, headers), 0);
    headers[0].sequence = UINT32_MAX;
    assert_int_equal(vmgs_headers_judge(both, headers), -1);
    headers[1].sequence = 0;
    assert_int_equal(vmgs_headers_judge(both, headers), 1);
    headers[0].sequence = 5;
    headers[1].sequence = 7;
    assert_int_equal(vmgs_headers_judge(both, headers), -1);
    assert_int_equal(vmgs_headers_judge(first, headers), 0);
    assert_int_equal(vmgs_headers_judge(second, headers), 1);
    assert_int_equal(vmgs_headers_judge(none, headers), -1);
}

/// A change to the present header (or the table) that breaks one rule.
struct damage {
    bool table;
    uint32_t off; // in the header, or in the table
    uint8_t value;
    bool no_crc; // leave the checksum wrong
    enum vmgs_rule rule;
};

static void every_rule(void **state) {
    static const struct damage cases[] = {
        {false, 0, 'X', true, VMGS_RULE_SIGNATURE},
        {false, 10, 2, false, VMGS_RULE_VERSION},
        {false, 20, 167, false, VMGS_RULE_HEADER_SIZE},
        {false, 40, 1, true, VMGS_RULE_CHECKSUM},
        {false, 24, 1, false, VMGS_RULE_TABLE_PLACE},
        {false, 24, 16, false, VMGS_RULE_TABLE_PLACE},
        {false, 28, 2, false, VMGS_RULE_TABLE_PLACE},
        {false, 32, 2, false, VMGS_RULE_ALGORITHM},
        {true, 64 + 0, 1, false, VMGS_RULE_FILE_PLACE},
        {true, 64 + 0, 16, false, VMGS_RULE_FILE_PLACE},
        {true, 64 + 3, 0xff, false, VMGS_RULE_FILE_PLACE},
        {true, 64 + 4, 15, false, VMGS_RULE_FILE_PLACE},
        {true, 64 + 7, 0xff, false, VMGS_RULE_FILE_PLACE},
        {true, 64 + 9, 0x11, false, VMGS_RULE_FILE_SIZE},
        {true, 64 + 15, 0xff, false, VMGS_RULE_FILE_SIZE},
        {true, 64 + 44, 4, false, VMGS_RULE_FILE_ATTRIBUTES},
        {true, 0, 2, false, VMGS_RULE_TABLE_ENTRY},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct damage *d = &cases[i];
        struct vmgs_wire_header *header = (struct vmgs_wire_header *)(void *)disk.cache;

        fresh(16, 512);
        assert_int_equal(vmgs_write(&vmgs, 1, bytes, 100, 0), 0);
        assert_int_equal(vmgs.now.header_idx, 0);
        memset(disk.cache + 512, 0, 512); // only one header
        if (d->table) {
            uint8_t *at = disk.cache + header->table_block * 4096u + d->off;

            assert_int_not_equal(*at, d->value);
            *at = d->value;
        } else {
            disk.cache[d->off] = d->value;
            header->checksum = d->no_crc ? header->checksum : vmgs_header_checksum(header);
        }
        assert_int_equal(reopen(), -EINVAL);
        assert_int_equal(vmgs.error.code, d->rule);
        if (d->table) {
            assert_int_equal(vmgs.error.file_id, d->off / 64);
            assert_int_equal(vmgs.error.offset, header->table_block * 4096u + d->off / 64 * 64);
        }
    }
}

static void other_rules_of_opening(void **state) {
    struct vmgs_disk ops;
    struct vmgs_wire_header *header = (struct vmgs_wire_header *)(void *)disk.cache;
    struct vmgs_wire_file *table;

    (void)state;
    cut_disk_init(&disk, 16, 512, 1);
    assert_int_equal(reopen(), -EINVAL);
    assert_int_equal(vmgs.error.code, VMGS_RULE_EMPTY);
    memcpy(disk.cache + 512, "EFI PART", 8);
    assert_int_equal(reopen(), -EINVAL);
    assert_int_equal(vmgs.error.code, VMGS_RULE_VERSION_1);
    cut_disk_init(&disk, 5, 512, 1);
    assert_int_equal(reopen(), -EINVAL);
    assert_int_equal(vmgs.error.code, VMGS_RULE_DISK_SIZE);
    cut_disk_init(&disk, 16, 1024, 1);
    assert_int_equal(reopen(), -EINVAL);
    assert_int_equal(vmgs.error.code, VMGS_RULE_DISK_SIZE);

    fresh(16, 512);
    header->sequence += 5;
    header->checksum = vmgs_header_checksum(header);
    assert_int_equal(reopen(), -EINVAL);
    assert_int_equal(vmgs.error.code, VMGS_RULE_SEQUENCE);
    ops = cut_disk_ops(&disk);
    assert_int_equal(vmgs_open_header(&vmgs, &ops, 1), 0); // the way out
    assert_int_equal(vmgs_renew(&vmgs), 0);
    assert_int_equal(reopen(), 0);

    fresh(16, 512);
    assert_int_equal(vmgs_write(&vmgs, 1, bytes, 100, 0), 0);
    assert_int_equal(vmgs_write(&vmgs, 2, bytes, 100, 0), 0);
    table = (struct vmgs_wire_file *)(void *)(disk.cache + vmgs.now.files[0].block * 4096u);
    table[2].block = table[1].block;
    assert_int_equal(reopen(), -EINVAL);
    assert_int_equal(vmgs.error.code, VMGS_RULE_FILE_OVERLAP);

    fresh(16, 512);
    ops = cut_disk_ops(&disk);
    ops.write = NULL;
    assert_int_equal(vmgs_open(&vmgs, &ops), 0);
    assert_int_equal(vmgs_write(&vmgs, 1, bytes, 1, 0), -EROFS);
    disk.dead = true;
    assert_int_equal(vmgs_open(&vmgs, &ops), -EIO);
    assert_int_equal(vmgs.error.code, VMGS_RULE_READ);
}

static void gaps(void **state) {
    const struct vmgs_extent taken[] = {{10, 2}, {2, 1}, {5, 2}, {0, 0}, {20, 0}};

    (void)state;
    assert_int_equal(vmgs_find_gap(taken, 5, 16, 1), 3);  // 3..4 is the smallest
    assert_int_equal(vmgs_find_gap(taken, 5, 16, 3), 7);  // 7..9
    assert_int_equal(vmgs_find_gap(taken, 5, 16, 4), 12); // 12..15
    assert_int_equal(vmgs_find_gap(taken, 5, 16, 5), 0);  // none
    assert_int_equal(vmgs_find_gap(taken, 5, 17, 5), 12);
    assert_int_equal(vmgs_find_gap(NULL, 0, 16, 14), 2);
    assert_int_equal(vmgs_find_gap(NULL, 0, 16, 15), 0);
    assert_int_equal(vmgs_find_gap(NULL, 0, UINT32_MAX, UINT32_MAX - 2), 2);
}

static void texts(void **state) {
    char line[64];

    (void)state;
    for (unsigned i = 0; i < VMGS_RULE_COUNT; i++) {
        assert_true(strlen(vmgs_rule_text((enum vmgs_rule)i)) > 10);
    }
    for (uint32_t i = 0; i < VMGS_FILE_COUNT; i++) {
        const char *name = vmgs_file_name(i);

        assert_true(name == NULL || vmgs_file_by_name(name) == (int)i);
    }
    assert_int_equal(vmgs_file_by_name("NOBODY"), -1);
    vmgs.error = (struct vmgs_error){VMGS_RULE_EMPTY, VMGS_NO_FILE, 512};
    assert_int_equal(vmgs_error_format(&vmgs.error, line, 11), 10);
    assert_string_equal(line, "byte 0x200");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(refuses_ids_and_small_buffers),
        cmocka_unit_test(layout_is_the_published_one),
        cmocka_unit_test(full_disk_keeps_the_old_state),
        cmocka_unit_test(damaged_newest_header_leaves_the_state_before),
        cmocka_unit_test(failed_header_write_needs_a_reopen),
        cmocka_unit_test(sequence_numbers_wrap),
        cmocka_unit_test(every_rule),
        cmocka_unit_test(other_rules_of_opening),
        cmocka_unit_test(gaps),
        cmocka_unit_test(texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
