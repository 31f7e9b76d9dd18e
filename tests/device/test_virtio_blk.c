// SPDX-License-Identifier: MIT
//
// Virtio block device through PCI and MMIO, against a disk in memory.
#include "devices/virtio_blk.h"
#include "tests/support/virtio_driver.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BAR_BASE   0xC0000000u
#define RING_BASE  0x10000u
#define SLOT       3u
#define DISK_BYTES 0x40000u
#define HEADER_GPA 0x80000u // one header, then the status byte, per request
#define DATA_GPA   0x90000u
#define QUEUE_SIZE 16u

#define T_IN           0u
#define T_OUT          1u
#define T_FLUSH        4u
#define T_GET_ID       8u
#define T_DISCARD      11u
#define T_WRITE_ZEROES 13u
#define S_OK           0u
#define S_IOERR        1u
#define S_UNSUPP       2u
#define F_FLUSH        (1ull << 9)
#define NO_STATUS      0xEEu

struct fixture {
    struct fake_machine *m;
    struct fake_loop fl2; ///< a second VP's loop
    struct loop *loops[2];
    struct pci_root root;
    struct fake_disk fd;
    struct virtio_blk blk;
    struct virtio_driver vd;
    uint8_t disk_bytes[DISK_BYTES];
};

static struct fixture *build(const struct disk_info *info, unsigned loop_count) {
    struct fixture *f = calloc(1, sizeof(*f));
    struct pci_root_config root;
    struct virtio_blk_config config;

    f->m = fake_machine_new();
    root = fake_pci_root_config(f->m);
    fake_loop_init(&f->fl2, NULL, 0);
    f->fl2.loop.vp_index = 1;
    f->loops[0] = &f->m->fl.loop;
    f->loops[1] = &f->fl2.loop;
    assert_int_equal(pci_root_init(&f->root, &root), 0);
    fake_disk_init(&f->fd, &f->m->fl, f->disk_bytes, DISK_BYTES);
    if (info) {
        f->fd.disk.info = *info;
    }
    for (unsigned i = 0; i < DISK_BYTES; i++) {
        f->disk_bytes[i] = (uint8_t)(i * 7 + i / 512);
    }
    config = (struct virtio_blk_config){
        .virtio = {.name = "virtio-blk0",
                   .gm = &f->m->gm,
                   .loops = f->loops,
                   .loop_count = loop_count},
        .pci = {.name = "pci-virtio-blk0", .root = &f->root, .slot = SLOT},
        .disk = &f->fd.disk,
    };
    assert_int_equal(virtio_blk_init(&f->blk, &config), 0);
    vd_probe(&f->vd, f->m, SLOT, BAR_BASE, RING_BASE);
    return f;
}

static struct fixture *build_started(uint64_t features) {
    struct fixture *f = build(NULL, 1);

    vd_start(&f->vd, features, 1, QUEUE_SIZE);
    return f;
}

static struct fixture *build_with_disk(const struct disk_info *info) {
    struct fixture *f = build(info, 1);

    vd_start(&f->vd, ~0ull, 1, QUEUE_SIZE);
    return f;
}

static void teardown(struct fixture *f) {
    virtio_blk_destroy(&f->blk);
    fake_machine_free(f->m);
    free(f);
}

/// Header and status of request n.
static void put_header(struct fixture *f, unsigned n, uint32_t type, uint64_t sector) {
    uint8_t bytes[17] = {0};

    memcpy(bytes, &type, 4);
    memcpy(bytes + 8, &sector, 8);
    bytes[16] = NO_STATUS;
    vd_put(&f->vd, HEADER_GPA + n * 32u, bytes, sizeof(bytes));
}

static uint8_t status_of(struct fixture *f, unsigned n) {
    uint8_t status;

    vd_get(&f->vd, HEADER_GPA + n * 32u + 16, &status, 1);
    return status;
}

/// Header, data buffers, status.
static uint16_t make(struct fixture *f, unsigned n, const struct vd_buffer *data, unsigned count) {
    struct vd_buffer all[16] = {{HEADER_GPA + n * 32u, 16, false}};

    memcpy(all + 1, data, count * sizeof(*data));
    all[count + 1] = (struct vd_buffer){HEADER_GPA + n * 32u + 16, 1, true};
    return vd_chain(&f->vd, 0, all, count + 2);
}

/// One request from start to end; returns its status.
static uint8_t request(struct fixture *f, uint32_t type, uint64_t sector, uint64_t data,
                       uint32_t size_bytes, uint32_t *len) {
    struct vd_buffer buffer = {data, size_bytes, type == T_IN || type == T_GET_ID};
    struct vd_used used;
    uint16_t head;

    put_header(f, 0, type, sector);
    head = make(f, 0, &buffer, size_bytes ? 1 : 0);
    vd_submit(&f->vd, 0, head);
    assert_true(vd_used(&f->vd, 0, &used));
    assert_int_equal(used.id, head);
    if (len) {
        *len = used.len;
    }
    return status_of(f, 0);
}

static void reads_and_writes(void **state) {
    struct fixture *f = build_started(~0ull);
    uint8_t bytes[4096];
    uint32_t len;

    (void)state;
    assert_int_equal(request(f, T_IN, 8, DATA_GPA, 4096, &len), S_OK);
    assert_int_equal(len, 4097);
    vd_get(&f->vd, DATA_GPA, bytes, sizeof(bytes));
    assert_memory_equal(bytes, f->disk_bytes + 4096, 4096);
    memset(bytes, 0xA5, sizeof(bytes));
    vd_put(&f->vd, DATA_GPA, bytes, sizeof(bytes));
    vd_set_used_event(&f->vd, 0, 1);
    assert_int_equal(request(f, T_OUT, 16, DATA_GPA, 4096, &len), S_OK);
    assert_int_equal(len, 1);
    assert_memory_equal(f->disk_bytes + 8192, bytes, 4096);
    assert_int_equal(request(f, T_FLUSH, 0, 0, 0, &len), S_OK);
    assert_int_equal(f->fd.count[DISK_FLUSH], 1);
    assert_int_equal(f->m->msi_count, 2); // the third was not asked for
    assert_int_equal(f->m->msis[0].data, VD_MSI_BASE + 1);
    teardown(f);
}

static void crosses_region_border(void **state) {
    struct fixture *f = build_started(~0ull);
    uint8_t bytes[2048];

    (void)state;
    assert_int_equal(request(f, T_IN, 0, FAKE_RAM_BORDER - 512, 2048, NULL), S_OK);
    vd_get(&f->vd, FAKE_RAM_BORDER - 512, bytes, sizeof(bytes));
    assert_memory_equal(bytes, f->disk_bytes, sizeof(bytes));
    teardown(f);
}

static void any_layout_of_buffers(void **state) {
    struct fixture *f = build_started(~0ull);
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
    put_header(f, 0, T_IN, 1);
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
    assert_int_equal(status_of(f, 0), S_OK);
    assert_int_equal(f->disk_bytes[1024], 0);
    assert_int_equal(f->disk_bytes[1535], 0);
    teardown(f);
}

static void indirect_chains(void **state) {
    struct fixture *f = build_started(~0ull);
    const struct vd_buffer buffers[] = {
        {HEADER_GPA, 16, false},
        {DATA_GPA, 512, true},
        {DATA_GPA + 512, 512, true},
        {HEADER_GPA + 16, 1, true},
    };
    struct vd_used used;
    uint8_t bytes[1024];

    (void)state;
    put_header(f, 0, T_IN, 4);
    vd_submit(&f->vd, 0, vd_chain_indirect(&f->vd, 0, 0x88000, buffers, 4));
    assert_true(vd_used(&f->vd, 0, &used));
    assert_int_equal(used.len, 1025);
    assert_int_equal(status_of(f, 0), S_OK);
    vd_get(&f->vd, DATA_GPA, bytes, sizeof(bytes));
    assert_memory_equal(bytes, f->disk_bytes + 2048, 1024);
    teardown(f);
}

static void get_id(void **state) {
    struct fixture *f = build_started(~0ull);
    char id[20];
    uint32_t len;

    (void)state;
    assert_int_equal(request(f, T_GET_ID, 0, DATA_GPA, 20, &len), S_OK);
    assert_int_equal(len, 21);
    vd_get(&f->vd, DATA_GPA, id, sizeof(id));
    assert_memory_equal(id, "FAKE0001\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    teardown(f);
}

static void configuration_space(void **state) {
    struct fixture *f = build_started(~0ull);
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
    teardown(f);
}

/// A driver that has not taken the limit's feature knows of none (5.2.3): UEFI's.
static void limit_holds_who_took_it(void **state) {
    const struct disk_info info = {
        .size_bytes = DISK_BYTES, .logical_block_bytes = 512, .max_transfer_bytes = 8192};
    struct fixture *f = build(&info, 1);

    (void)state;
    vd_start(&f->vd, ~VIRTIO_BLK_F_SIZE_MAX, 1, QUEUE_SIZE);
    assert_int_equal(request(f, T_IN, 0, DATA_GPA, 8192 + 512, NULL), S_OK);
    teardown(f);
    f = build_with_disk(&info);
    assert_int_equal(request(f, T_IN, 0, DATA_GPA, 8192, NULL), S_OK);
    assert_int_equal(request(f, T_IN, 0, DATA_GPA, 8192 + 512, NULL), S_IOERR);
    teardown(f);
}

static void refuses_bad_ranges(void **state) {
    struct fixture *f = build_started(~0ull);
    uint64_t sectors = DISK_BYTES / 512;

    (void)state;
    assert_int_equal(request(f, T_IN, sectors, DATA_GPA, 512, NULL), S_IOERR);
    assert_int_equal(request(f, T_IN, sectors - 1, DATA_GPA, 1024, NULL), S_IOERR);
    assert_int_equal(request(f, T_IN, sectors - 1, DATA_GPA, 512, NULL), S_OK);
    assert_int_equal(request(f, T_IN, UINT64_MAX, DATA_GPA, 512, NULL), S_IOERR);
    assert_int_equal(request(f, T_IN, UINT64_MAX / 512, DATA_GPA, 512, NULL), S_IOERR);
    assert_int_equal(request(f, T_OUT, UINT64_MAX / 512 + 1, DATA_GPA, 512, NULL), S_IOERR);
    assert_int_equal(request(f, T_IN, 0, DATA_GPA, 100, NULL), S_IOERR);
    assert_int_equal(request(f, T_IN, 0, DATA_GPA, 0x100200, NULL), S_IOERR); // max_transfer
    assert_int_equal(request(f, T_IN, 0, 0, 0, NULL), S_OK);                  // nothing to do
    assert_int_equal(request(f, 99, 0, DATA_GPA, 512, NULL), S_UNSUPP);
    assert_int_equal(f->fd.count[DISK_READ], 1);
    teardown(f);
}

static void large_logical_blocks(void **state) {
    const struct disk_info info = {
        .size_bytes = DISK_BYTES, .logical_block_bytes = 4096, .physical_block_bytes = 4096};
    struct fixture *f = build_with_disk(&info);

    (void)state;
    assert_false(f->vd.features & F_FLUSH); // no cache, nothing to flush
    assert_int_equal(fake_mmio_read(f->m, f->vd.device + 20, 4), 4096);
    assert_int_equal(request(f, T_IN, 8, DATA_GPA, 4096, NULL), S_OK);
    assert_int_equal(request(f, T_IN, 1, DATA_GPA, 4096, NULL), S_IOERR);
    assert_int_equal(request(f, T_IN, 8, DATA_GPA, 512, NULL), S_IOERR);
    teardown(f);
}

static uint8_t range_request(struct fixture *f, uint32_t type, uint64_t sector, uint32_t count,
                             uint32_t flags, uint32_t size_bytes) {
    uint8_t segment[64] = {0};

    memcpy(segment, &sector, 8);
    memcpy(segment + 8, &count, 4);
    memcpy(segment + 12, &flags, 4);
    vd_put(&f->vd, DATA_GPA, segment, sizeof(segment));
    return request(f, type, 0, DATA_GPA, size_bytes, NULL);
}

static void read_only_disk(void **state) {
    const struct disk_info info = {.size_bytes = DISK_BYTES,
                                   .logical_block_bytes = 512,
                                   .physical_block_bytes = 512,
                                   .max_discard_bytes = 4096,
                                   .read_only = true};
    struct fixture *f = build_with_disk(&info);

    (void)state;
    assert_true(f->vd.features & (1u << 5));
    assert_int_equal(request(f, T_OUT, 0, DATA_GPA, 512, NULL), S_IOERR);
    assert_int_equal(request(f, T_IN, 0, DATA_GPA, 512, NULL), S_OK);
    assert_int_equal(range_request(f, T_DISCARD, 0, 1, 0, 16), S_IOERR);
    teardown(f);
}

static void discard_and_write_zeroes(void **state) {
    struct fixture *f = build_started(~0ull);

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
    teardown(f);
}

static void not_offered_is_unsupported(void **state) {
    const struct disk_info info = {.size_bytes = DISK_BYTES, .logical_block_bytes = 512};
    struct fixture *f = build_with_disk(&info);

    (void)state;
    assert_int_equal(range_request(f, T_DISCARD, 0, 1, 0, 16), S_UNSUPP);
    assert_int_equal(range_request(f, T_WRITE_ZEROES, 0, 1, 0, 16), S_UNSUPP);
    teardown(f);
}

static void backend_errors(void **state) {
    struct fixture *f = build_started(~0ull);

    (void)state;
    f->fd.fail_result = -EIO;
    uint32_t used_bytes;
    assert_int_equal(request(f, T_IN, 0, DATA_GPA, 512, &used_bytes), S_IOERR);
    assert_int_equal(used_bytes, 1); // the status byte alone: nothing was read
    f->fd.fail_result = -ENODEV;
    assert_int_equal(request(f, T_OUT, 0, DATA_GPA, 512, NULL), S_IOERR);
    f->fd.fail_result = -EOPNOTSUPP;
    assert_int_equal(range_request(f, T_WRITE_ZEROES, 0, 1, 0, 16), S_UNSUPP);
    f->fd.fail_result = -EIO;
    assert_int_equal(request(f, T_FLUSH, 0, 0, 0, NULL), S_IOERR);
    assert_int_equal(request(f, T_IN, 0, DATA_GPA, 512, NULL), S_OK);
    assert_int_equal(f->blk.queues[0].error_count, 4);
    teardown(f);
}

static void writes_through_without_flush(void **state) {
    struct fixture *f = build_started(~F_FLUSH);

    (void)state;
    assert_int_equal(request(f, T_OUT, 0, DATA_GPA, 512, NULL), S_OK);
    assert_int_equal(f->fd.count[DISK_WRITE], 1);
    assert_int_equal(f->fd.count[DISK_FLUSH], 1);
    f->fd.fail_after = 1; // the flush behind the write fails
    f->fd.fail_result = -EIO;
    assert_int_equal(request(f, T_OUT, 0, DATA_GPA, 512, NULL), S_IOERR);
    teardown(f);
}

/// Many requests in one kick, ended in reverse order; one interrupt with event indices.
static void batches(void **state) {
    struct fixture *f = build_started(~0ull);
    struct disk_io *ios[4];
    struct vd_used used;

    (void)state;
    f->fd.hold = true;
    for (unsigned i = 0; i < 4; i++) {
        struct vd_buffer data = {DATA_GPA + i * 512, 512, true};

        put_header(f, i, T_IN, i);
        vd_offer(&f->vd, 0, make(f, i, &data, 1));
    }
    vd_set_used_event(&f->vd, 0, 3); // tell me when four are done
    vd_kick(&f->vd, 0);
    assert_int_equal(f->fd.waiting_count, 4);
    assert_int_equal(vd_avail_event(&f->vd, 0), 4);
    ios[0] = f->fd.queue;
    for (unsigned i = 1; i < 4; i++) {
        ios[i] = (struct disk_io *)(uintptr_t)ios[i - 1]->backend[0];
    }
    for (unsigned i = 4; i-- > 0;) {
        assert_int_equal(f->m->msi_count, 0);
        assert_true(fake_disk_complete(&f->fd, ios[i]));
        assert_true(vd_used(&f->vd, 0, &used));
        assert_int_equal(used.id, i * 3);
    }
    assert_int_equal(f->m->msi_count, 1);
    teardown(f);
}

/// A hostile driver offers the same head again and again: more than the pool holds.
static void pool_runs_out(void **state) {
    struct fixture *f = build(NULL, 1);
    struct vd_buffer data = {DATA_GPA, 512, true};
    struct vd_used used;
    unsigned done = 0;
    uint16_t head;

    (void)state;
    vd_start(&f->vd, ~VIRTIO_F_EVENT_IDX, 1, 128);
    f->fd.hold = true;
    put_header(f, 0, T_IN, 0);
    head = make(f, 0, &data, 1);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 100; i++) {
            vd_offer(&f->vd, 0, head);
        }
        vd_kick(&f->vd, 0);
        assert_true(fake_loop_run(&f->m->fl));
    }
    assert_int_equal(f->fd.waiting_count, VIRTIO_BLK_QUEUE_SIZE);
    assert_int_equal(vd_used_flags(&f->vd, 0), 1); // no kicks wanted meanwhile
    while (fake_disk_complete(&f->fd, NULL)) {
        fake_loop_run(&f->m->fl);
        done += vd_used(&f->vd, 0, &used) ? 1 : 0;
    }
    assert_int_equal(done, 200);
    assert_int_equal(vd_used_flags(&f->vd, 0), 0);
    teardown(f);
}

static void malformed_requests_need_reset(void **state) {
    static const struct vd_buffer cases[][2] = {
        {{HEADER_GPA, 16, false}, {HEADER_GPA + 4, 12, false}}, // no status
        {{HEADER_GPA, 15, false}, {HEADER_GPA + 16, 1, true}},  // header too short
        {{HEADER_GPA, 16, true}, {HEADER_GPA + 16, 1, true}},   // header not readable
    };

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct fixture *f = build_started(~0ull);
        struct vd_used used;

        put_header(f, 0, T_IN, 0);
        vd_submit(&f->vd, 0, vd_chain(&f->vd, 0, cases[i], 2));
        assert_false(vd_used(&f->vd, 0, &used));
        assert_true(vd_read(&f->vd, VD_STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET);
        assert_int_equal(f->m->msi_count, 1); // configuration change
        assert_int_equal(f->m->msis[0].data, VD_MSI_BASE);
        assert_int_equal(f->blk.virtio.queues[0].in_flight, 0);
        vd_start(&f->vd, ~0ull, 1, QUEUE_SIZE); // and works again after it
        assert_int_equal(request(f, T_IN, 0, DATA_GPA, 512, NULL), S_OK);
        teardown(f);
    }
}

static void count_done(void *ctx) {
    (*(unsigned *)ctx)++;
}

static void driver_reset_with_io_in_flight(void **state) {
    struct fixture *f = build_started(~0ull);
    struct vd_buffer data = {DATA_GPA, 4096, true};
    uint8_t before[96];
    uint8_t after[96];

    (void)state;
    f->fd.hold = true;
    for (unsigned i = 0; i < 3; i++) {
        put_header(f, i, T_IN, 8);
        vd_offer(&f->vd, 0, make(f, i, &data, 1));
    }
    vd_kick(&f->vd, 0);
    assert_int_equal(f->fd.waiting_count, 3);
    vd_write(&f->vd, VD_STATUS, 1, 0);
    assert_int_not_equal(vd_read(&f->vd, VD_STATUS, 1), 0); // not yet
    vd_write(&f->vd, VD_STATUS, 1, 1);                      // dropped meanwhile
    vd_kick(&f->vd, 0);
    vd_get(&f->vd, HEADER_GPA, before, sizeof(before));
    assert_true(fake_loop_run(&f->m->fl));
    assert_int_equal(vd_read(&f->vd, VD_STATUS, 1), 0);
    assert_int_equal(f->fd.waiting_count, 0);
    vd_get(&f->vd, HEADER_GPA, after, sizeof(after));
    assert_memory_equal(before, after, sizeof(after)); // no status byte was written
    assert_int_equal(status_of(f, 0), NO_STATUS);
    f->fd.hold = false;
    vd_start(&f->vd, ~0ull, 1, QUEUE_SIZE);
    assert_int_equal(request(f, T_IN, 0, DATA_GPA, 512, NULL), S_OK);
    teardown(f);
}

/// The disk cannot cancel: reset waits for it.
static void ignore_cancel(struct disk *disk, struct loop *loop, struct disk_io *io) {
    (void)disk;
    (void)loop;
    (void)io;
}

static void machine_reset_waits(void **state) {
    struct fixture *f = build_started(~0ull);
    struct disk_ops stubborn = *f->fd.disk.ops;
    struct vd_buffer data = {DATA_GPA, 4096, true};
    struct device *device = &f->blk.virtio.device;
    unsigned done = 0;

    (void)state;
    stubborn.cancel = ignore_cancel;
    f->fd.disk.ops = &stubborn;
    f->fd.hold = true;
    put_header(f, 0, T_IN, 8);
    vd_offer(&f->vd, 0, make(f, 0, &data, 1));
    vd_kick(&f->vd, 0);
    pthread_mutex_lock(&device->lock);
    device->ops->reset(device->self, count_done, &done);
    pthread_mutex_unlock(&device->lock);
    fake_loop_run(&f->m->fl);
    assert_int_equal(done, 0);
    assert_int_not_equal(vd_read(&f->vd, VD_STATUS, 1), 0);
    assert_true(fake_disk_complete(&f->fd, NULL));
    assert_int_equal(done, 1);
    assert_int_equal(vd_read(&f->vd, VD_STATUS, 1), 0);
    assert_int_equal(status_of(f, 0), NO_STATUS);
    fake_reset(f->m, device); // and once more with nothing in flight
    teardown(f);
}

static void pause_waits_and_resume_goes_on(void **state) {
    struct fixture *f = build_started(~0ull);
    struct vd_buffer data = {DATA_GPA, 512, true};
    struct device *device = &f->blk.virtio.device;
    struct vd_used used;
    unsigned done = 0;

    (void)state;
    f->fd.hold = true;
    put_header(f, 0, T_IN, 8);
    put_header(f, 1, T_IN, 9);
    vd_offer(&f->vd, 0, make(f, 0, &data, 1));
    vd_kick(&f->vd, 0);
    pthread_mutex_lock(&device->lock);
    device->ops->pause(device->self, count_done, &done);
    pthread_mutex_unlock(&device->lock);
    fake_loop_run(&f->m->fl);
    assert_int_equal(done, 0);
    vd_offer(&f->vd, 0, make(f, 1, &data, 1));
    vd_kick(&f->vd, 0);
    assert_int_equal(f->fd.waiting_count, 1); // the new one stays in the ring
    assert_true(fake_disk_complete(&f->fd, NULL));
    assert_int_equal(done, 1);
    assert_true(vd_used(&f->vd, 0, &used)); // results of what was in flight are delivered
    assert_int_equal(status_of(f, 0), S_OK);
    assert_false(fake_disk_complete(&f->fd, NULL));
    pthread_mutex_lock(&device->lock);
    device->ops->resume(device->self);
    pthread_mutex_unlock(&device->lock);
    fake_loop_run(&f->m->fl);
    assert_int_equal(f->fd.waiting_count, 1);
    assert_true(fake_disk_complete(&f->fd, NULL));
    assert_true(vd_used(&f->vd, 0, &used));
    assert_int_equal(status_of(f, 1), S_OK);
    teardown(f);
}

static void save_and_restore(void **state) {
    struct fixture *f = build_started(~0ull);
    struct fixture *g = build(NULL, 1);
    struct guest_memory own = g->m->gm;
    struct vd_buffer data = {DATA_GPA, 512, true};
    struct vd_used used;
    size_t sizes[2];
    uint8_t *blobs[2];

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(request(f, T_IN, i, DATA_GPA, 512, NULL), S_OK);
    }
    put_header(f, 0, T_IN, 7); // offered, not yet kicked: the new one finds it
    vd_offer(&f->vd, 0, make(f, 0, &data, 1));
    vd_set_used_event(&f->vd, 0, 5);
    blobs[0] = fake_save(&f->blk.virtio.device, &sizes[0]);
    blobs[1] = fake_save(&f->blk.pci.function.device, &sizes[1]);

    g->m->gm = f->m->gm; // servicing: the guest's memory stays
    assert_int_equal(fake_load(&g->blk.pci.function.device, blobs[1], sizes[1]), 0);
    assert_int_equal(fake_load(&g->blk.virtio.device, blobs[0], sizes[0]), 0);
    assert_true(fake_loop_run(&g->m->fl));
    g->vd = f->vd;
    g->vd.m = g->m;
    assert_true(vd_used(&g->vd, 0, &used));
    assert_int_equal(status_of(g, 0), S_OK);
    assert_int_equal(g->m->msi_count, 1);
    assert_int_equal(g->m->msis[0].data, VD_MSI_BASE + 1);
    assert_int_equal(request(g, T_IN, 3, DATA_GPA, 512, NULL), S_OK);
    assert_int_equal(vd_read(&g->vd, VD_STATUS, 1), 15);
    assert_int_equal(fake_load(&g->blk.virtio.device, blobs[0], sizes[0]), -EBUSY); // running
    free(blobs[0]);
    free(blobs[1]);
    g->m->gm = own;
    teardown(g);
    teardown(f);
}

static void two_loops(void **state) {
    struct fixture *f = build(NULL, 2);
    const struct vd_buffer buffers[] = {
        {HEADER_GPA, 16, false},
        {DATA_GPA, 20, true},
        {HEADER_GPA + 16, 1, true},
    };
    struct vd_used used;

    (void)state;
    vd_start(&f->vd, ~0ull, 2, QUEUE_SIZE);
    fake_loop_run(&f->fl2);
    assert_int_equal(vd_read(&f->vd, VD_NUM_QUEUES, 2), 2);
    put_header(f, 0, T_GET_ID, 0);
    vd_offer(&f->vd, 1, vd_chain(&f->vd, 1, buffers, 3));
    vd_kick(&f->vd, 1); // by VP 0: posted to queue 1's home
    assert_false(vd_used(&f->vd, 1, &used));
    assert_true(fake_loop_run(&f->fl2));
    assert_true(vd_used(&f->vd, 1, &used));
    assert_int_equal(f->m->msis[0].data, VD_MSI_BASE + 2);

    vd_write(&f->vd, VD_STATUS, 1, 0); // both homes must answer
    fake_loop_run(&f->m->fl);
    assert_int_not_equal(vd_read(&f->vd, VD_STATUS, 1), 0);
    fake_loop_run(&f->fl2);
    assert_int_equal(vd_read(&f->vd, VD_STATUS, 1), 0);
    teardown(f);
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
        cmocka_unit_test(batches),
        cmocka_unit_test(pool_runs_out),
        cmocka_unit_test(malformed_requests_need_reset),
        cmocka_unit_test(driver_reset_with_io_in_flight),
        cmocka_unit_test(machine_reset_waits),
        cmocka_unit_test(pause_waits_and_resume_goes_on),
        cmocka_unit_test(save_and_restore),
        cmocka_unit_test(two_loops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
