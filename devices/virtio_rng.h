// SPDX-License-Identifier: MIT
//
// Virtio entropy device (VIRTIO 1.2, section 5.4): random bytes from VTL2's kernel, never from the
// host.
#pragma once

#include "devices/virtio.h"
#include "devices/virtio_pci.h"

#define VIRTIO_RNG_MAX_REQUEST_BYTES 4096u ///< longer requests get this much

/// Fills bytes; returns how many (may be fewer), or a negative errno. Never blocks.
typedef int64_t (*virtio_rng_source_fn)(void *ctx, uint8_t *bytes, size_t size_bytes);

struct virtio_rng_config {
    struct virtio_config virtio;
    struct virtio_pci_config pci;
    virtio_rng_source_fn source; ///< NULL: getrandom(2)
    void *source_ctx;
};

struct virtio_rng_state {
    struct virtio_state virtio;
};

struct virtio_rng {
    struct virtio virtio;  ///< register virtio.device with the machine
    struct virtio_pci pci; ///< register pci.function.device with the machine
    virtio_rng_source_fn source;
    void *source_ctx;
    struct loop_timer retry; ///< the source had nothing: try again
    uint64_t given_bytes;
    struct virtio_rng_state state;
};

/// Builds the device and attaches it to its PCI slot. Errors of virtio_pci_init().
int virtio_rng_init(struct virtio_rng *rng, const struct virtio_rng_config *config);
