// SPDX-License-Identifier: MIT
//
// Fuzzing a virtio device: an interpreter whose operations are what a hostile guest can do (any
// register, any ring content, kicks at any time) and what the machine does to it (reset, pause,
// save, load).
#pragma once

#include "devices/virtio_pci.h"
#include "tests/support/virtio_driver.h"

struct fuzz_virtio {
    struct fake_machine *m;
    struct bus *pio; ///< also here, where a leak checker finds it
    struct loop *loops[1];
    struct pci_root root;
    struct virtio_driver vd;
    struct virtio *virtio;
    struct virtio_pci *pci;
    /// Something that only this device's surroundings can do; may be NULL.
    void (*action)(void *ctx, struct fuzz_input *in);
    /// Lets everything held back go on, so that a pause ends; may be NULL.
    void (*release)(void *ctx);
    void *ctx;
};

/// Gives a fresh machine with a PCI bus (kept for the next input); the device comes next.
void fuzz_virtio_init(struct fuzz_virtio *fv);
struct virtio_config fuzz_virtio_config(struct fuzz_virtio *fv, const char *name);
struct virtio_pci_config fuzz_virtio_pci_config(struct fuzz_virtio *fv, const char *name);

/// Interprets the input against the device, then resets it.
void fuzz_virtio_run(struct fuzz_virtio *fv, struct fuzz_input *in);
