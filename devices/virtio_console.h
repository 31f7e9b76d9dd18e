// SPDX-License-Identifier: MIT
//
// Virtio console (VIRTIO 1.2, section 5.3): one port, no multiport.
//
// No byte is lost in either direction: what the character device does not take stays in the guest's
// buffer, and nothing is read from it before the guest has given a buffer.
#pragma once

#include "devices/chardev.h"
#include "devices/virtio.h"
#include "devices/virtio_pci.h"

struct virtio_console_config {
    struct virtio_config virtio; ///< both queues live on loops[0]
    struct virtio_pci_config pci;
    struct chardev *chardev; ///< borrowed; owner, readable and writable are set here
    uint16_t columns, rows;  ///< 0: not announced
};

struct virtio_console_state {
    struct virtio_state virtio;
    uint32_t tx_off; ///< bytes of the next transmit chain that are already out
};

struct virtio_console {
    struct virtio virtio;  ///< register virtio.device with the machine
    struct virtio_pci pci; ///< register pci.function.device with the machine
    struct chardev *chardev;
    uint64_t received_bytes;
    uint64_t sent_bytes;
    struct virtio_console_state state;
};

/// Builds the device and attaches it to its PCI slot. Errors of virtio_pci_init().
int virtio_console_init(struct virtio_console *console, const struct virtio_console_config *config);
