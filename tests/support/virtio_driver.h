// SPDX-License-Identifier: MIT
//
// A guest's virtio driver in miniature: finds a modern device's areas through its PCI capabilities,
// negotiates, and works split rings in guest memory. Every access goes through the buses, as a
// guest's would. Tests break its rules on purpose through the raw accessors.
#pragma once

#include "devices/pci.h"
#include "devices/virtio.h"
#include "tests/support/fake_machine.h"

#define VD_MAX_QUEUES 4u
#define VD_MSI_BASE   0x40u ///< vector v sends data VD_MSI_BASE + v

/// One buffer of a chain.
struct vd_buffer {
    uint64_t gpa;
    uint32_t size_bytes;
    bool writable;
};

struct vd_queue {
    uint16_t size;
    uint64_t desc, avail, used; ///< addresses in guest memory
    uint64_t notify;            ///< address of its doorbell
    uint16_t avail_idx;
    uint16_t used_seen;
    uint16_t next_desc;
};

struct vd_used {
    uint32_t id;
    uint32_t len;
};

struct virtio_driver {
    struct fake_machine *m;
    unsigned slot;
    uint64_t common, isr, device, notify; ///< absolute addresses
    uint64_t msix_table;
    uint8_t msix_cap;
    uint8_t cfg_cap;
    uint32_t notify_step;
    uint64_t features;
    uint64_t ring_base; ///< where vd_setup_queue puts rings: one page-aligned block of 64 KiB each
    struct vd_queue queues[VD_MAX_QUEUES];
};

/// Finds the device in the slot, places its BARs at bar_base and turns on memory and bus mastering.
void vd_probe(struct virtio_driver *vd, struct fake_machine *m, unsigned slot, uint64_t bar_base,
              uint64_t ring_base);

/// Configuration space of the slot.
uint32_t vd_config_read(struct virtio_driver *vd, uint8_t off, uint8_t size_bytes);
void vd_config_write(struct virtio_driver *vd, uint8_t off, uint8_t size_bytes, uint32_t value);

/// Registers of the common area by offset.
uint64_t vd_read(struct virtio_driver *vd, uint32_t off, uint8_t size_bytes);
void vd_write(struct virtio_driver *vd, uint32_t off, uint8_t size_bytes, uint64_t value);

/// Routes every vector: configuration changes to 0, queue i to i + 1.
void vd_enable_msix(struct virtio_driver *vd, unsigned vector_count);

/// reset, ACKNOWLEDGE, DRIVER, features (those offered), FEATURES_OK. False when refused.
bool vd_negotiate(struct virtio_driver *vd, uint64_t features);

/// Sets up and enables a queue of this size at its place.
void vd_setup_queue(struct virtio_driver *vd, unsigned index, uint16_t size);

void vd_driver_ok(struct virtio_driver *vd);

/// All of it: negotiate, queue_count queues of this size, DRIVER_OK.
void vd_start(struct virtio_driver *vd, uint64_t features, unsigned queue_count, uint16_t size);

/// Writes a descriptor at an index of the queue's table.
void vd_desc(struct virtio_driver *vd, unsigned index, uint16_t at, uint64_t gpa,
             uint32_t size_bytes, uint16_t flags, uint16_t next);

/// Makes a descriptor chain; returns its head. Descriptors are used round robin.
uint16_t vd_chain(struct virtio_driver *vd, unsigned index, const struct vd_buffer *buffers,
                  unsigned count);
/// Likewise in an indirect table at table_gpa.
uint16_t vd_chain_indirect(struct virtio_driver *vd, unsigned index, uint64_t table_gpa,
                           const struct vd_buffer *buffers, unsigned count);

/// Puts a head into the available ring and publishes it.
void vd_offer(struct virtio_driver *vd, unsigned index, uint16_t head);
/// Rings the doorbell.
void vd_kick(struct virtio_driver *vd, unsigned index);
/// Offers, kicks and runs the loop.
void vd_submit(struct virtio_driver *vd, unsigned index, uint16_t head);

/// Takes the next used entry. False: none.
bool vd_used(struct virtio_driver *vd, unsigned index, struct vd_used *out);

/// Event index fields and ring flags.
void vd_set_used_event(struct virtio_driver *vd, unsigned index, uint16_t value);
uint16_t vd_avail_event(struct virtio_driver *vd, unsigned index);
void vd_set_avail_flags(struct virtio_driver *vd, unsigned index, uint16_t flags);
uint16_t vd_used_flags(struct virtio_driver *vd, unsigned index);

/// Guest memory; addresses must be RAM.
void vd_put(struct virtio_driver *vd, uint64_t gpa, const void *bytes, size_t size_bytes);
void vd_get(struct virtio_driver *vd, uint64_t gpa, void *bytes, size_t size_bytes);

/// Common register offsets that tests name.
#define VD_DEVICE_FEATURE_SELECT 0x00u
#define VD_DEVICE_FEATURE        0x04u
#define VD_DRIVER_FEATURE_SELECT 0x08u
#define VD_DRIVER_FEATURE        0x0Cu
#define VD_CONFIG_VECTOR         0x10u
#define VD_NUM_QUEUES            0x12u
#define VD_STATUS                0x14u
#define VD_GENERATION            0x15u
#define VD_QUEUE_SELECT          0x16u
#define VD_QUEUE_SIZE            0x18u
#define VD_QUEUE_VECTOR          0x1Au
#define VD_QUEUE_ENABLE          0x1Cu
#define VD_QUEUE_NOTIFY_OFF      0x1Eu
#define VD_QUEUE_DESC            0x20u
#define VD_QUEUE_DRIVER          0x28u
#define VD_QUEUE_DEVICE          0x30u

#define VD_F_NEXT     1u
#define VD_F_WRITE    2u
#define VD_F_INDIRECT 4u
