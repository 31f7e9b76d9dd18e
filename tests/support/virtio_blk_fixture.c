// SPDX-License-Identifier: MIT
//
// A virtio block device and its driver for tests (virtio_blk_fixture.h).
#include "tests/support/virtio_blk_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BAR_BASE  0xC0000000u
#define RING_BASE 0x10000u
#define SLOT      3u

struct blk_fixture *blk_build(const struct disk_info *info, unsigned loop_count) {
    struct blk_fixture *f = calloc(1, sizeof(*f));
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

struct blk_fixture *blk_build_started(uint64_t features) {
    struct blk_fixture *f = blk_build(NULL, 1);

    vd_start(&f->vd, features, 1, QUEUE_SIZE);
    return f;
}

struct blk_fixture *blk_build_with_disk(const struct disk_info *info) {
    struct blk_fixture *f = blk_build(info, 1);

    vd_start(&f->vd, ~0ull, 1, QUEUE_SIZE);
    return f;
}

void blk_teardown(struct blk_fixture *f) {
    virtio_blk_destroy(&f->blk);
    fake_machine_free(f->m);
    free(f);
}

void blk_put_header(struct blk_fixture *f, unsigned n, uint32_t type, uint64_t sector) {
    uint8_t bytes[17] = {0};

    memcpy(bytes, &type, 4);
    memcpy(bytes + 8, &sector, 8);
    bytes[16] = NO_STATUS;
    vd_put(&f->vd, HEADER_GPA + n * 32u, bytes, sizeof(bytes));
}

uint8_t blk_status(struct blk_fixture *f, unsigned n) {
    uint8_t status;

    vd_get(&f->vd, HEADER_GPA + n * 32u + 16, &status, 1);
    return status;
}

uint16_t blk_make(struct blk_fixture *f, unsigned n, const struct vd_buffer *data, unsigned count) {
    struct vd_buffer all[16] = {{HEADER_GPA + n * 32u, 16, false}};

    memcpy(all + 1, data, count * sizeof(*data));
    all[count + 1] = (struct vd_buffer){HEADER_GPA + n * 32u + 16, 1, true};
    return vd_chain(&f->vd, 0, all, count + 2);
}

uint8_t blk_request(struct blk_fixture *f, uint32_t type, uint64_t sector, uint64_t data,
                    uint32_t size_bytes, uint32_t *len) {
    struct vd_buffer buffer = {data, size_bytes, type == T_IN || type == T_GET_ID};
    struct vd_used used;
    uint16_t head;

    blk_put_header(f, 0, type, sector);
    head = blk_make(f, 0, &buffer, size_bytes ? 1 : 0);
    vd_submit(&f->vd, 0, head);
    assert_true(vd_used(&f->vd, 0, &used));
    assert_int_equal(used.id, head);
    if (len) {
        *len = used.len;
    }
    return blk_status(f, 0);
}
