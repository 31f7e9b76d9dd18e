// SPDX-License-Identifier: MIT
//
// The vault's rules: which disks are opened, which are formatted, which are refused and left as
// they are; power cuts while formatting and writing; a full disk; damage in every block.

#include "tests/support/cut_disk.h"
#include "userspace/vault_store.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t key[VMGS_KEY_BYTES] = {1, 2, 3};
static const uint8_t other_key[VMGS_KEY_BYTES] = {1, 2, 4};
static struct cut_disk disk, draw;
static struct vault_store store;
static uint8_t bytes[CUT_DISK_MAX_BLOCKS * VMGS_BLOCK_BYTES];
static uint8_t got[CUT_DISK_MAX_BLOCKS * VMGS_BLOCK_BYTES];

static int open_store(struct cut_disk *d, const uint8_t *with_key, bool format) {
    const struct vmgs_disk ops = cut_disk_ops(d);

    return vault_store_open(&store, &ops, with_key, format);
}

static void blank(uint32_t sector_bytes, uint64_t seed) {
    cut_disk_init(&disk, CUT_DISK_MAX_BLOCKS, sector_bytes, seed);
    memset(disk.medium, 0, sizeof(disk.medium));
    memset(disk.cache, 0, sizeof(disk.cache));
}

static void put(uint32_t id, uint8_t fill, size_t size) {
    memset(bytes, fill, size);
    assert_int_equal(vault_store_write(&store, id, bytes, size), 0);
}

static bool holds(uint32_t id, uint8_t fill, size_t size) {
    size_t size_got = 0;

    memset(bytes, fill, size);
    return vault_store_read(&store, id, got, sizeof(got), &size_got) == 0 && size_got == size &&
           memcmp(got, bytes, size) == 0;
}

/// The disk is refused with this error and not a byte of it changes; so is every request.
static void refused(const uint8_t *with_key, bool format, int error) {
    static uint8_t before[sizeof(disk.cache)];
    uint32_t steps = disk.steps;
    size_t size;

    memcpy(before, disk.cache, sizeof(before));
    assert_int_equal(open_store(&disk, with_key, format), error);
    assert_int_equal(vault_store_read(&store, VMGS_TPM_NVRAM, got, sizeof(got), &size), error);
    assert_int_equal(vault_store_write(&store, VMGS_TPM_NVRAM, bytes, 10), error);
    assert_int_equal(disk.steps, steps);
    assert_memory_equal(before, disk.cache, sizeof(before));
    vault_store_close(&store);
}

static void test_empty(void **state) {
    static const uint32_t sectors[] = {512, 4096};
    size_t size;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t *with_key = i & 2 ? key : NULL;

        blank(sectors[i & 1], i);
        refused(with_key, false, -ENOMEDIUM);
        assert_int_equal(open_store(&disk, with_key, true), 0);
        assert_int_equal(vault_store_read(&store, VMGS_TPM_NVRAM, got, sizeof(got), &size),
                         -ENOENT);
        put(VMGS_TPM_NVRAM, 0x5A, 5000);
        put(VMGS_BIOS_NVRAM, 0xA5, 100);
        vault_store_close(&store);
        assert_int_equal(open_store(&disk, with_key, false), 0);
        assert_true(holds(VMGS_TPM_NVRAM, 0x5A, 5000));
        assert_true(holds(VMGS_BIOS_NVRAM, 0xA5, 100));
        vault_store_close(&store);
    }
}

/// A byte anywhere that no creation has put there: the disk is somebody's.
static void test_not_empty(void **state) {
    static const uint32_t places[] = {0,    7,    168,  511,      512,  1023,  1024,  1080,
                                      4095, 4096, 8191, 6 * 4096, 7000, 65600, 65535, 131071};

    (void)state;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        blank(512, i);
        disk.medium[places[i]] = disk.cache[places[i]] = 0x54;
        refused(i & 1 ? key : NULL, true, -EBADMSG);
    }
    blank(512, 1); // version 1
    memcpy(disk.cache + 512, "EFI PART", 8);
    refused(NULL, true, -EBADMSG);
    memset(disk.cache, 0xFF, sizeof(disk.cache));
    refused(key, true, -EBADMSG);
}

static void test_keys(void **state) {
    (void)state;
    blank(512, 1);
    assert_int_equal(open_store(&disk, key, true), 0);
    put(VMGS_TPM_NVRAM, 1, 100);
    vault_store_close(&store);
    refused(other_key, true, -EKEYREJECTED);
    refused(NULL, true, -EKEYREJECTED);
    assert_int_equal(open_store(&disk, key, false), 0);
    assert_true(holds(VMGS_TPM_NVRAM, 1, 100));
    vault_store_close(&store);

    blank(512, 2);
    assert_int_equal(open_store(&disk, NULL, true), 0);
    put(VMGS_TPM_NVRAM, 1, 100);
    vault_store_close(&store);
    refused(key, true, -EKEYREJECTED);
}

/// With a key, a plain file is one that the host has put there.
static void test_plain_file_under_a_key(void **state) {
    const struct vmgs_disk ops = cut_disk_ops(&disk);
    static struct vmgs vmgs;
    size_t size;

    (void)state;
    blank(512, 1);
    assert_int_equal(open_store(&disk, key, true), 0);
    put(VMGS_BIOS_NVRAM, 1, 100);
    vault_store_close(&store);
    assert_int_equal(vmgs_open(&vmgs, &ops), 0);
    assert_int_equal(vmgs_write(&vmgs, VMGS_TPM_NVRAM, bytes, 50, 0), 0);
    vmgs_close(&vmgs);
    assert_int_equal(open_store(&disk, key, true), 0);
    assert_int_equal(vault_store_read(&store, VMGS_TPM_NVRAM, got, sizeof(got), &size), -EBADMSG);
    assert_int_equal(vault_store_write(&store, VMGS_TPM_NVRAM, bytes, 60), -EBADMSG);
    assert_true(holds(VMGS_BIOS_NVRAM, 1, 100));
    vault_store_close(&store);
}

/// The power goes at every step of formatting: the next start finishes it. Then at every step of a
/// write: the old or the new contents are there.
static void test_power(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 60; i++) {
        const uint8_t *with_key = i & 1 ? key : NULL;
        bool cut = true;

        for (uint32_t at = 1; cut; at++) {
            blank(i & 2 ? 4096 : 512, i * 1000 + at);
            disk.cut_at = at;
            (void)open_store(&disk, with_key, true);
            cut = disk.dead;
            cut_disk_restart(&disk);
            if (open_store(&disk, with_key, true) != 0) {
                fail_msg("seed %u: not opened after a cut at step %u", i, at);
            }
            put(VMGS_TPM_NVRAM, 1, 4000);
            vault_store_close(&store);
        }
        cut = true;
        for (uint32_t at = 1; cut; at++) {
            cut_disk_copy(&draw, &disk, i * 999 + at);
            assert_int_equal(open_store(&draw, with_key, false), 0);
            draw.cut_at = draw.steps + at;
            memset(bytes, 2, 9000);
            (void)vault_store_write(&store, VMGS_TPM_NVRAM, bytes, 9000);
            cut = draw.dead;
            cut_disk_restart(&draw);
            assert_int_equal(open_store(&draw, with_key, false), 0);
            assert_true(holds(VMGS_TPM_NVRAM, 2, 9000) || (cut && holds(VMGS_TPM_NVRAM, 1, 4000)));
        }
    }
}

static void test_full(void **state) {
    size_t size = (CUT_DISK_MAX_BLOCKS - 8) * VMGS_BLOCK_BYTES;

    (void)state;
    blank(512, 1);
    assert_int_equal(open_store(&disk, key, true), 0);
    put(VMGS_TPM_NVRAM, 1, 40000);
    memset(bytes, 2, size);
    assert_int_equal(vault_store_write(&store, VMGS_TPM_NVRAM, bytes, size), -ENOSPC);
    assert_true(holds(VMGS_TPM_NVRAM, 1, 40000));
    put(VMGS_TPM_NVRAM, 3, 30000); // and it goes on working
    assert_true(holds(VMGS_TPM_NVRAM, 3, 30000));
    vault_store_close(&store);
}

/// Each block is overwritten in turn: refused, or without effect on the files.
static void test_damage(void **state) {
    unsigned refusals = 0;

    (void)state;
    for (uint32_t i = 0; i < CUT_DISK_MAX_BLOCKS; i++) {
        size_t size = 0;
        int r;

        blank(512, 1);
        assert_int_equal(open_store(&disk, key, true), 0);
        put(VMGS_TPM_NVRAM, 1, 20000);
        vault_store_close(&store);
        memset(disk.cache + (size_t)i * VMGS_BLOCK_BYTES, 0x77, VMGS_BLOCK_BYTES);
        r = open_store(&disk, key, true);
        if (r == 0) {
            r = vault_store_read(&store, VMGS_TPM_NVRAM, got, sizeof(got), &size);
        }
        if (r == 0) {
            assert_int_equal(size, 20000);
            assert_true(holds(VMGS_TPM_NVRAM, 1, 20000));
        } else {
            assert_int_equal(r, -EBADMSG);
            refusals++;
        }
        vault_store_close(&store);
    }
    assert_in_range(refusals, 7, 12); // headers, table, extended table, five blocks of the file
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),  cmocka_unit_test(test_not_empty),
        cmocka_unit_test(test_keys),   cmocka_unit_test(test_plain_file_under_a_key),
        cmocka_unit_test(test_power),  cmocka_unit_test(test_full),
        cmocka_unit_test(test_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
