// SPDX-License-Identifier: MIT
//
// The virtio PCI transport alone: raw accesses of any size anywhere in the device's BARs and
// configuration space, from any VP; an entropy device stands behind it.
#include "devices/virtio_rng.h"
#include "tests/support/fuzz_virtio.h"

#include "igvm/base/check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define BAR_BASE 0xC0000000u
#define MAX_OPS  500u

static void access_bar(struct fuzz_virtio *fv, struct fuzz_input *in, uint8_t kind) {
    static const uint8_t sizes[] = {1, 2, 4, 8};
    struct bus_access access = {
        .size = sizes[kind >> 1 & 3],
        .is_write = (kind & 8) != 0,
        .vp_index = kind >> 4 & 1,
    };

    // Mostly the common area, where the registers are dense.
    access.offset = BAR_BASE + (kind & 0x20 ? fuzz_u16(in) & 0x3FFFu : fuzz_u8(in) & 0x3Fu);
    access.value = access.is_write ? fuzz_u64(in) : 0;
    if (access.size < 8) {
        access.value &= (UINT64_C(1) << (access.size * 8)) - 1;
    }
    bus_dispatch(fv->m->mmio, &access);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static struct fuzz_virtio fv;
    static struct virtio_rng rng;
    struct fuzz_input in = {.bytes = bytes, .left = size};
    struct virtio_rng_config config;

    memset(&fv, 0, sizeof(fv));
    fuzz_virtio_init(&fv);
    config = (struct virtio_rng_config){
        .virtio = fuzz_virtio_config(&fv, "virtio-rng0"),
        .pci = fuzz_virtio_pci_config(&fv, "pci-virtio-rng0"),
    };
    CHECK(virtio_rng_init(&rng, &config) == 0);
    fv.virtio = &rng.virtio;
    vd_probe(&fv.vd, fv.m, 1, BAR_BASE, 0x10000);
    for (unsigned i = 0; i < MAX_OPS && in.left > 0; i++) {
        uint8_t kind = fuzz_u8(&in);

        if (kind & 1) {
            access_bar(&fv, &in, kind);
        } else if (kind & 2) {
            uint8_t off = fuzz_u8(&in) & 0xFCu;

            vd_config_write(&fv.vd, off, kind & 4 ? 4 : 1, fuzz_u32(&in));
            vd_config_read(&fv.vd, off, 4);
        } else {
            CHECK(fake_loop_run(&fv.m->fl));
        }
    }
    CHECK(fake_loop_run(&fv.m->fl));
    fake_reset(fv.m, &rng.virtio.device);
    return 0;
}
