// SPDX-License-Identifier: MIT
//
// A driver for virtio over PCI that says what an attack wants it to say (VIRTIO 1.2, sections 2.7
// and 4.1): every address is the caller's, nothing is checked.
#pragma once

#include "tests/guest/bare/bare.h"

#define VIRTIO_BLK     0x1042u
#define VIRTIO_CONSOLE 0x1043u
#define VIRTIO_RNG     0x1044u

#define DESC_NEXT     1u
#define DESC_WRITE    2u
#define DESC_INDIRECT 4u

#define STATUS_NEEDS_RESET 0x40u
#define RING_SIZE          8u

struct descriptor {
    uint64_t gpa;
    uint32_t bytes;
    uint16_t flags, next;
};
struct available {
    uint16_t flags, idx, ring[RING_SIZE], event;
};
struct used {
    uint16_t flags, idx;
    struct {
        uint32_t id, bytes;
    } ring[RING_SIZE];
    uint16_t event;
};

/// One queue's own, well-formed rings.
struct rings {
    struct descriptor desc[RING_SIZE] __attribute__((aligned(16)));
    struct descriptor indirect[RING_SIZE] __attribute__((aligned(16)));
    struct available avail;
    struct used used __attribute__((aligned(4)));
};

struct virtio_device {
    unsigned function;
    uint64_t common, notify, config;
};

/// Finds the device and places all BARs of bus 0. 0 when it is not there.
int virtio_find(struct virtio_device *device, unsigned device_id);
/// Reset, features (all that are offered), queue 0 with these addresses, DRIVER_OK.
void virtio_start(const struct virtio_device *device, uint64_t desc, uint64_t avail, uint64_t used);
void virtio_reset(const struct virtio_device *device);
void virtio_kick(const struct virtio_device *device);
uint8_t virtio_status(const struct virtio_device *device);
