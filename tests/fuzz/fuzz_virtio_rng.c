// SPDX-License-Identifier: MIT
//
// Virtio entropy device against a hostile guest and a source that gives what the input says.
#include "devices/virtio_rng.h"
#include "tests/support/fuzz_virtio.h"

#include "igvm/base/check.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static int64_t source(void *ctx, uint8_t *bytes, size_t size_bytes) {
    struct fuzz_input *in = ctx;
    uint8_t what = fuzz_u8(in);

    if (what & 1) {
        return -EAGAIN;
    }
    size_bytes = what & 2 ? size_bytes / 2 : size_bytes;
    memset(bytes, what, size_bytes);
    return (int64_t)size_bytes;
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
        .source = source,
        .source_ctx = &in,
    };
    CHECK(virtio_rng_init(&rng, &config) == 0);
    fv.virtio = &rng.virtio;
    fv.pci = &rng.pci;
    fuzz_virtio_run(&fv, &in);
    return 0;
}
