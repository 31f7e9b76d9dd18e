// SPDX-License-Identifier: MIT
//
// Virtio block device through PCI and MMIO, against a disk in memory: one request at a time, of
// every type, right and wrong.
#include "tests/support/virtio_blk_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define F_FLUSH (1ull << 9)

static void reads_and_writes(void **state) {
    struct blk_fixture *f = blk_build_started(~0ull);
    uint8_t bytes[4096];
    uint32_t len;

    (void)state;
    assert_int_equal(blk_request(f, T_IN, 8, DATA_GPA, 4096, &len), S_OK);
    assert_int_equal(len, 4097);
    vd_get(&f->vd, DATA_GPA, bytes, sizeof(bytes));
    assert_memory_equal(bytes, f->disk_bytes + 4096, 4096);
    memset(bytes, 0xA5, sizeof(bytes));
    vd_put(&f->vd, DATA_GPA, bytes, sizeof(bytes));
    vd_set_used_event(&f->vd, 0, 1);
    assert_int_equal(blk_request(f, T_OUT, 16, DATA_GPA, 4096, &len), S_OK);
    assert_int_equal(len, 1);
    assert_memory_equal(f->disk_bytes + 8192, bytes, 4096);
    assert_int_equal(blk_request(f, T_FLUSH, 0, 0, 0, &len), S_OK);
    assert_int_equal(f->fd.count[DISK_FLUSH], 1);
    assert_int_equal(f->m->msi_count, 2); // the third was not asked for
    assert_int_equal(f->m->msis[0].data, VD_MSI_BASE + 1);
    blk_teardown(f);
}

static void crosses_region_border(void **state) {
    struct blk_fixture *f = blk_build_started(~0ull);
    uint8_t bytes[2048];

    (void)state;
    assert_int_equal(blk_request(f, T_IN, 0, FAKE_RAM_BORDER - 512, 2048, NULL), S_OK);
    vd_get(&f->vd, FAKE_RAM_BORDER - 512, bytes, sizeof(bytes));
    assert_memory_equal(bytes, f->disk_bytes, sizeof(bytes));
    blk_teardown(f);
}

static void any_layout_of_buffers(void **state) {
    struct blk_fixture *f = blk_build_started(~0ull);
    const struct vd_buffer odd[] = {
        {HEADER_GPA, 5, false},      {HEADER_GPA + 5, 11, false}, {DATA_GPA, 100, true},
        {DATA_GPA + 100, 411, true}, {DATA_GPA + 600, 2, true}, // last data byte and status
    };
    const struct vd_buffer joined[] = {
        {DATA_GPA + 0x1000 - 16, 16 + 512, false}, // header and data in one
        {HEADER_GPA + 16, 1, true},
    };
    uint8_t header[16] = {T_OUT, 0, 0, 0, 0, 0, 0, 0, 2};
    struct vd_used used;
    uint8_t bytes[602];

    (void)state;
    blk_put_header(f, 0, T_IN, 1);
    vd_submit(&f->vd, 0, vd_chain(&f->vd, 0, odd, 5));
    assert_true(vd_used(&f->vd, 0, &used));
    assert_int_equal(used.len, 513);
    vd_get(&f->vd, DATA_GPA, bytes, sizeof(bytes));
    assert_memory_equal(bytes, f->disk_bytes + 512, 511);
    assert_int_equal(bytes[600], f->disk_bytes[1023]);
    assert_int_equal(bytes[601], S_OK);

    vd_put(&f->vd, DATA_GPA + 0x1000 - 16, header, 16);
    vd_submit(&f->vd, 0, vd_chain(&f->vd, 0, joined, 2));
    assert_true(vd_used(&f->vd, 0, &used));
    assert_int_equal(blk_status(f, 0), S_OK);
    assert_int_equal(f->disk_bytes[1024], 0);
    assert_int_equal(f->disk_bytes[1535], 0);
    blk_teardown(f);
}

static void indirect_chains(void **state) {
    struct blk_fixture *f = blk_build_started(~0ull);
    const struct vd_buffer buffers[] = {
        {HEADER_GPA, 16, false},
        {DATA_GPA, 512, true},
        {DATA_GPA + 512, 512, true},
        {HEADER_GPA + 16, 1, true},
    };
    struct vd_used used;
    uint8_t bytes[1024];

    (void)state;
    blk_put_header(f, 0, T_IN, 4);
    vd_submit(&f->vd, 0, vd_chain_indirect(&f->vd, 0, 0x88000, buffers, 4));
    assert_true(vd_used(&f->vd, 0, &used));
    assert_int_equal(used.len, 1025);
    assert_int_equal(blk_status(f, 0), S_OK);
    vd_get(&f->vd, DATA_GPA, bytes, sizeof(bytes));
    assert_memory_equal(bytes, f->disk_bytes + 2048, 1024);
    blk_teardown(f);
}

static void get_id(void **state) {
    struct blk_fixture *f = blk_build_started(~0ull);
    char id[20];
    uint32_t len;

    (void)state;
    assert_int_equal(blk_request(f, T_GET_ID, 0, DATA_GPA, 20, &len), S_OK);
    assert_int_equal(len, 21);
    vd_get(&f->vd, DATA_GPA, id, sizeof(id));
    assert_memory_equal(id, "FAKE0001\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    blk_teardown(f);
}

static void configuration_space(void **state) {
    struct blk_fixture *f = blk_build_started(~0ull);
    struct fake_machine *m = f->m;
    uint64_t dev = f->vd.device;

    (void)state;
    assert_int_equal(fake_mmio_read(m, dev, 4), DISK_BYTES / 512);
    assert_int_equal(fake_mmio_read(m, dev + 12, 4), 126);
    assert_int_equal(fake_mmio_read(m, dev + 20, 4), 512);
    assert_int_equal(fake_mmio_read(m, dev + 24, 1), 3); // 8 logical blocks in a physical one
    assert_int_equal(fake_mmio_read(m, dev + 34, 2), 1);
    assert_int_equal(fake_mmio_read(m, dev + 36, 4), DISK_BYTES / 512);
    assert_int_equal(fake_mmio_read(m, dev + 40, 4), 1);
    assert_true(fake_mmio_read(m, dev + 8, 4) * 126 <= 1u << 20);
    fake_mmio_write(m, dev, 4, 0); // not writable
    assert_int_equal(fake_mmio_read(m, dev, 4), DISK_BYTES / 512);
    blk_teardown(f);
}

/// A driver that has not taken the limit's feature knows of none (5.2.3): UEFI's.
static void limit_holds_who_took_it(void **state) {
    const struct disk_info info = {
        .size_bytes = DISK_BYTES, .logical_block_bytes = 512, .max_transfer_bytes = 8192};
    struct blk_fixture *f = blk_build(&info, 1);

    (void)state;
    vd_start(&f->vd, ~VIRTIO_BLK_F_SIZE_MAX, 1, QUEUE_SIZE);
    assert_int_equal(blk_request(f, T_IN, 0, DATA_GPA, 8192 + 512, NULL), S_OK);
    blk_teardown(f);
    f = blk_build_with_disk(&info);
    assert_int_equal(blk_request(f, T_IN, 0, DATA_GPA, 8192, NULL), S_OK);
    assert_int_equal(blk_request(f, T_IN, 0, DATA_GPA, 8192 + 512, NULL), S_IOERR);
    blk_teardown(f);
}

static void refuses_bad_ranges(void **state) {
    struct blk_fixture *f = blk_build_started(~0ull);
    uint64_t sectors = DISK_BYTES / 512;

    (void)state;
    assert_int_equal(blk_request(f, T_IN, sectors, DATA_GPA, 512, NULL), S_IOERR);
    assert_int_equal(blk_request(f, T_IN, sectors - 1, DATA_GPA, 1024, NULL), S_IOERR);
    assert_int_equal(blk_request(f, T_IN, sectors - 1, DATA_GPA, 512, NULL), S_OK);
    assert_int_equal(blk_request(f, T_IN, UINT64_MAX, DATA_GPA, 512, NULL), S_IOERR);
    assert_int_equal(blk_request(f, T_IN, UINT64_MAX / 512, DATA_GPA, 512, NULL), S_IOERR);
    assert_int_equal(blk_request(f, T_OUT, UINT64_MAX / 512 + 1, DATA_GPA, 512, NULL), S_IOERR);
    assert_int_equal(blk_request(f, T_IN, 0, DATA_GPA, 100, NULL), S_IOERR);
    assert_int_equal(blk_request(f, T_IN, 0, DATA_GPA, 0x100200, NULL), S_IOERR); // max_transfer
    assert_int_equal(blk_request(f, T_IN, 0, 0, 0, NULL), S_OK);                  // nothing to do
    assert_int_equal(blk_request(f, 99, 0, DATA_GPA, 512, NULL), S_UNSUPP);
    assert_int_equal(f->fd.count[DISK_READ], 1);
    blk_teardown(f);
}

static void large_logical_blocks(void **state) {
    const struct disk_info info = {
        .size_bytes = DISK_BYTES, .logical_block_bytes = 4096, .physical_block_bytes = 4096};
    struct blk_fixture *f = blk_build_with_disk(&info);

    (void)state;
    assert_false(f->vd.features & F_FLUSH); // no cache, nothing to flush
    assert_int_equal(fake_mmio_read(f->m, f->vd.device + 20, 4), 4096);
    assert_int_equal(blk_request(f, T_IN, 8, DATA_GPA, 4096, NULL), S_OK);
    assert_int_equal(blk_request(f, T_IN, 1, DATA_GPA, 4096, NULL), S_IOERR);
    assert_int_equal(blk_request(f, T_IN, 8, DATA_GPA, 512, NULL), S_IOERR);
    blk_teardown(f);
}

static uint8_t range_request(struct blk_fixture *f, uint32_t type, uint64_t sector, uint32_t count,
                             uint32_t flags, uint32_t size_bytes) {
    uint8_t segment[64] = {0};

    memcpy(segment, &sector, 8);
    memcpy(segment + 8, &count, 4);
    memcpy(segment + 12, &flags, 4);
    vd_put(&f->vd, DATA_GPA, segment, sizeof(segment));
    return blk_request(f, type, 0, DATA_GPA, size_bytes, NULL);
}

static void read_only_disk(void **state) {
    const struct disk_info info = {.size_bytes = DISK_BYTES,
                                   .logical_block_bytes = 512,
                                   .physical_block_bytes = 512,
                                   .max_discard_bytes = 4096,
                                   .read_only = true};
    struct blk_fixture *f = blk_build_with_disk(&info);

    (void)state;
    assert_true(f->vd.features & (1u << 5));
    assert_int_equal(blk_request(f, T_OUT, 0, DATA_GPA, 512, NULL), S_IOERR);
    assert_int_equal(blk_request(f, T_IN, 0, DATA_GPA, 512, NULL), S_OK);
    assert_int_equal(range_request(f, T_DISCARD, 0, 1, 0, 16), S_IOERR);
    blk_teardown(f);
}

static void discard_and_write_zeroes(void **state) {
    struct blk_fixture *f = blk_build_started(~0ull);

    (void)state;
    assert_int_equal(range_request(f, T_WRITE_ZEROES, 2, 4, 1, 16), S_OK);
    assert_int_equal(f->disk_bytes[1024], 0);
    assert_int_equal(f->disk_bytes[3071], 0);
    assert_int_not_equal(f->disk_bytes[3073], 0);
    assert_int_equal(range_request(f, T_DISCARD, 8, 8, 0, 16), S_OK);
    assert_int_equal(f->fd.count[DISK_DISCARD], 1);
    assert_int_equal(range_request(f, T_DISCARD, 8, 8, 1, 16), S_UNSUPP); // unmap has no meaning
    assert_int_equal(range_request(f, T_WRITE_ZEROES, 8, 8, 2, 16), S_UNSUPP);
    assert_int_equal(range_request(f, T_DISCARD, 8, 8, 0, 32), S_IOERR); // one segment at most
    assert_int_equal(range_request(f, T_DISCARD, 8, 8, 0, 15), S_IOERR);
    assert_int_equal(range_request(f, T_DISCARD, 8, 0, 0, 16), S_OK);
    assert_int_equal(range_request(f, T_DISCARD, UINT64_MAX, UINT32_MAX, 0, 16), S_IOERR);
    assert_int_equal(range_request(f, T_DISCARD, UINT64_MAX, 1, 0, 16), S_IOERR);
    assert_int_equal(range_request(f, T_DISCARD, DISK_BYTES / 512 - 1, 2, 0, 16), S_IOERR);
    blk_teardown(f);
}

static void not_offered_is_unsupported(void **state) {
    const struct disk_info info = {.size_bytes = DISK_BYTES, .logical_block_bytes = 512};
    struct blk_fixture *f = blk_build_with_disk(&info);

    (void)state;
    assert_int_equal(range_request(f, T_DISCARD, 0, 1, 0, 16), S_UNSUPP);
    assert_int_equal(range_request(f, T_WRITE_ZEROES, 0, 1, 0, 16), S_UNSUPP);
    blk_teardown(f);
}

static void backend_errors(void **state) {
    struct blk_fixture *f = blk_build_started(~0ull);

    (void)state;
    f->fd.fail_result = -EIO;
    uint32_t used_bytes;
    assert_int_equal(blk_request(f, T_IN, 0, DATA_GPA, 512, &used_bytes), S_IOERR);
    assert_int_equal(used_bytes, 1); // the status byte alone: nothing was read
    f->fd.fail_result = -ENODEV;
    assert_int_equal(blk_request(f, T_OUT, 0, DATA_GPA, 512, NULL), S_IOERR);
    f->fd.fail_result = -EOPNOTSUPP;
    assert_int_equal(range_request(f, T_WRITE_ZEROES, 0, 1, 0, 16), S_UNSUPP);
    f->fd.fail_result = -EIO;
    assert_int_equal(blk_request(f, T_FLUSH, 0, 0, 0, NULL), S_IOERR);
    assert_int_equal(blk_request(f, T_IN, 0, DATA_GPA, 512, NULL), S_OK);
    assert_int_equal(f->blk.queues[0].error_count, 4);
    blk_teardown(f);
}

static void writes_through_without_flush(void **state) {
    struct blk_fixture *f = blk_build_started(~F_FLUSH);

    (void)state;
    assert_int_equal(blk_request(f, T_OUT, 0, DATA_GPA, 512, NULL), S_OK);
    assert_int_equal(f->fd.count[DISK_WRITE], 1);
    assert_int_equal(f->fd.count[DISK_FLUSH], 1);
    f->fd.fail_after = 1; // the flush behind the write fails
    f->fd.fail_result = -EIO;
    assert_int_equal(blk_request(f, T_OUT, 0, DATA_GPA, 512, NULL), S_IOERR);
    blk_teardown(f);
}

static void malformed_requests_need_reset(void **state) {
    static const struct vd_buffer cases[][2] = {
        {{HEADER_GPA, 16, false}, {HEADER_GPA + 4, 12, false}}, // no status
        {{HEADER_GPA, 15, false}, {HEADER_GPA + 16, 1, true}},  // header too short
        {{HEADER_GPA, 16, true}, {HEADER_GPA + 16, 1, true}},   // header not readable
    };

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct blk_fixture *f = blk_build_started(~0ull);
        struct vd_used used;

        blk_put_header(f, 0, T_IN, 0);
        vd_submit(&f->vd, 0, vd_chain(&f->vd, 0, cases[i], 2));
        assert_false(vd_used(&f->vd, 0, &used));
        assert_true(vd_read(&f->vd, VD_STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET);
        assert_int_equal(f->m->msi_count, 1); // configuration change
        assert_int_equal(f->m->msis[0].data, VD_MSI_BASE);
        assert_int_equal(f->blk.virtio.queues[0].in_flight, 0);
        vd_start(&f->vd, ~0ull, 1, QUEUE_SIZE); // and works again after it
        assert_int_equal(blk_request(f, T_IN, 0, DATA_GPA, 512, NULL), S_OK);
        blk_teardown(f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes),
        cmocka_unit_test(crosses_region_border),
        cmocka_unit_test(any_layout_of_buffers),
        cmocka_unit_test(indirect_chains),
        cmocka_unit_test(get_id),
        cmocka_unit_test(configuration_space),
        cmocka_unit_test(limit_holds_who_took_it),
        cmocka_unit_test(refuses_bad_ranges),
        cmocka_unit_test(large_logical_blocks),
        cmocka_unit_test(read_only_disk),
        cmocka_unit_test(discard_and_write_zeroes),
        cmocka_unit_test(not_offered_is_unsupported),
        cmocka_unit_test(backend_errors),
        cmocka_unit_test(writes_through_without_flush),
        cmocka_unit_test(malformed_requests_need_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
