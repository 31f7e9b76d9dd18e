// SPDX-License-Identifier: MIT
//
// Virtio console against a hostile guest and a byte stream with changing room.
#include "devices/virtio_console.h"
#include "tests/support/fuzz_virtio.h"

#include "igvm/base/check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void action(void *ctx, struct fuzz_input *in) {
    struct fake_chardev *fc = ctx;
    uint8_t what = fuzz_u8(in);

    if (what & 1) {
        if (fc->out_bytes > sizeof(fc->out) / 2) {
            fc->out_bytes = 0;
        }
        fake_chardev_drain(fc, what & 2 ? fuzz_u16(in) : 1);
    } else if (fc->in_bytes < 1024) {
        fake_chardev_feed(fc, "0123456789abcdef", what % 17);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static struct fuzz_virtio fv;
    static struct virtio_console console;
    static struct fake_chardev fc;
    struct fuzz_input in = {.bytes = bytes, .left = size};
    struct virtio_console_config config;

    memset(&fv, 0, sizeof(fv));
    fuzz_virtio_init(&fv);
    fake_chardev_init(&fc);
    config = (struct virtio_console_config){
        .virtio = fuzz_virtio_config(&fv, "virtio-console0"),
        .pci = fuzz_virtio_pci_config(&fv, "pci-virtio-console0"),
        .chardev = &fc.chardev,
    };
    CHECK(virtio_console_init(&console, &config) == 0);
    fv.virtio = &console.virtio;
    fv.pci = &console.pci;
    fv.action = action;
    fv.ctx = &fc;
    fuzz_virtio_run(&fv, &in);
    return 0;
}
