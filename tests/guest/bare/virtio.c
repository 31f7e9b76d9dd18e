// SPDX-License-Identifier: MIT
//
// Virtio over PCI, the driver's side: see virtio.h.

#include "tests/guest/bare/virtio.h"

#define PCI_CAPABILITIES 0x34u
#define CAP_VENDOR       9u
#define CAP_COMMON       1u
#define CAP_NOTIFY       2u
#define CAP_DEVICE       4u
#define WINDOW           0xc0000000u

// Common configuration, 4.1.4.3.
#define FEATURE_SELECT 0x00u
#define FEATURE        0x04u
#define DRIVER_SELECT  0x08u
#define DRIVER_FEATURE 0x0cu
#define STATUS         0x14u
#define QUEUE_SELECT   0x16u
#define QUEUE_SIZE     0x18u
#define QUEUE_ENABLE   0x1cu
#define QUEUE_DESC     0x20u

static volatile uint8_t *at8(uint64_t address) {
    return (volatile uint8_t *)(uintptr_t)address;
}
static volatile uint16_t *at16(uint64_t address) {
    return (volatile uint16_t *)(uintptr_t)address;
}

static void take_capability(struct virtio_device *device, unsigned cap) {
    uint32_t head = pci_read(device->function, cap);
    uint32_t bar = pci_read(device->function, cap + 4) & 7;
    uint64_t area = (pci_read(device->function, 0x10 + 4 * bar) & ~0xfu) +
                    (uint64_t)pci_read(device->function, cap + 8);
    switch (head >> 24) {
    case CAP_COMMON:
        device->common = area;
        break;
    case CAP_NOTIFY:
        device->notify = area;
        break;
    case CAP_DEVICE:
        device->config = area;
        break;
    default:
        break;
    }
}

int virtio_find(struct virtio_device *device, unsigned device_id) {
    pci_place_bars(WINDOW);
    for (unsigned function = 0; function < 256; function++) {
        if (pci_read(function, 0) != (device_id << 16 | 0x1af4)) {
            continue;
        }
        device->function = function;
        unsigned cap = pci_read(function, PCI_CAPABILITIES) & 0xfc;
        for (unsigned i = 0; i < 16 && cap; i++) {
            uint32_t head = pci_read(function, cap);
            if ((head & 0xff) == CAP_VENDOR) {
                take_capability(device, cap);
            }
            cap = head >> 8 & 0xfc;
        }
        return device->common && device->notify;
    }
    return 0;
}

uint8_t virtio_status(const struct virtio_device *device) {
    return *at8(device->common + STATUS);
}

void virtio_reset(const struct virtio_device *device) {
    *at8(device->common + STATUS) = 0;
    for (unsigned i = 0; i < 2000 && virtio_status(device) != 0; i++) {
        wait_us(100);
    }
}

void virtio_start(const struct virtio_device *device, uint64_t desc, uint64_t avail,
                  uint64_t used) {
    const uint64_t areas[3] = {desc, avail, used};
    uint64_t common = device->common;
    virtio_reset(device);
    *at8(common + STATUS) = 3; // ACKNOWLEDGE, DRIVER
    for (unsigned i = 0; i < 2; i++) {
        *at32(common + FEATURE_SELECT) = i;
        *at32(common + DRIVER_SELECT) = i;
        // No event indices: flags alone are simpler.
        *at32(common + DRIVER_FEATURE) = *at32(common + FEATURE) & ~(i ? 0u : 1u << 29);
    }
    *at8(common + STATUS) = 0xb; // FEATURES_OK
    *at16(common + QUEUE_SELECT) = 0;
    *at16(common + QUEUE_SIZE) = RING_SIZE;
    for (unsigned i = 0; i < 3; i++) {
        *at32(common + QUEUE_DESC + 8 * i) = (uint32_t)areas[i];
        *at32(common + QUEUE_DESC + 8 * i + 4) = (uint32_t)(areas[i] >> 32);
    }
    *at16(common + QUEUE_ENABLE) = 1;
    *at8(common + STATUS) = 0xf; // DRIVER_OK
}

void virtio_kick(const struct virtio_device *device) {
    *at16(device->notify) = 0;
}
