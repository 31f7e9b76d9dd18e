// SPDX-License-Identifier: MIT
//
// Virtio block device against a hostile guest and a disk that fails or holds requests back.
#include "devices/virtio_blk.h"
#include "tests/support/fuzz_virtio.h"

#include "igvm/base/check.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct fixture {
    struct fuzz_virtio fv;
    struct fake_disk fd;
    struct virtio_blk blk;
};

static uint8_t disk_bytes[0x10000];

static void action(void *ctx, struct fuzz_input *in) {
    struct fixture *f = ctx;
    uint8_t what = fuzz_u8(in);

    f->fd.hold = (what & 1) != 0;
    if (what & 2) {
        f->fd.fail_result = what & 4 ? -EIO : -EOPNOTSUPP;
        f->fd.fail_after = fuzz_u8(in) % 4;
    }
    if (what & 8) {
        fake_disk_complete(&f->fd, NULL);
    }
}

static void release(void *ctx) {
    struct fixture *f = ctx;

    f->fd.hold = false;
    while (fake_disk_complete(&f->fd, NULL)) {
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static struct fixture f;
    struct fuzz_input in = {.bytes = bytes, .left = size};
    struct virtio_blk_config config;
    uint8_t kind = fuzz_u8(&in);

    memset(&f, 0, sizeof(f));
    fuzz_virtio_init(&f.fv);
    fake_disk_init(&f.fd, &f.fv.m->fl, disk_bytes, sizeof(disk_bytes));
    f.fd.disk.info.read_only = (kind & 1) != 0;
    f.fd.disk.info.logical_block_bytes = kind & 2 ? 4096 : 512;
    f.fd.disk.info.has_write_cache = (kind & 4) != 0;
    f.fd.disk.info.max_discard_bytes = kind & 8 ? 8192 : 0;
    config = (struct virtio_blk_config){
        .virtio = fuzz_virtio_config(&f.fv, "virtio-blk0"),
        .pci = fuzz_virtio_pci_config(&f.fv, "pci-virtio-blk0"),
        .disk = &f.fd.disk,
        .queue_count = (uint16_t)(1 + (kind >> 4 & 1)),
    };
    CHECK(virtio_blk_init(&f.blk, &config) == 0);
    f.fv.virtio = &f.blk.virtio;
    f.fv.pci = &f.blk.pci;
    f.fv.action = action;
    f.fv.release = release;
    f.fv.ctx = &f;
    fuzz_virtio_run(&f.fv, &in);
    CHECK(f.fd.waiting_count == 0); // reset lets nothing behind
    virtio_blk_destroy(&f.blk);
    return 0;
}
