// SPDX-License-Identifier: MIT
//
// Virtio over PCI, modern devices only (VIRTIO 1.2, section 4.1).
//
// BAR 0 holds the common, ISR, device and notify areas, BAR 1 the MSI-X table. The notify area has
// no lock: a kick on the queue's home VP is handled at once, any other is posted to its home.
#pragma once

#include "devices/pci.h"
#include "devices/virtio.h"

#define VIRTIO_PCI_COMMON_BYTES 0x38u ///< up to queue_device: no queue reset, no notify data

struct virtio_pci_config {
    const char *name; ///< of the PCI function's struct device, kept: "pci-virtio-blk0"
    struct pci_root *root;
    unsigned slot;
};

struct virtio_pci {
    struct pci_function function; ///< register function.device with the machine
    struct virtio *virtio;
    uint8_t cfg_cap_off; ///< VIRTIO_PCI_CAP_PCI_CFG in configuration space
};

/// Makes a PCI function of the device and attaches it. Errors of pci_attach() and pci_add_*().
int virtio_pci_init(struct virtio_pci *pci, struct virtio *virtio,
                    const struct virtio_pci_config *config);

/// bus_fn of the common configuration area; self is a struct virtio_pci.
enum bus_result virtio_pci_common_access(void *self, struct bus_access *access);
