// SPDX-License-Identifier: MIT
//
// Virtio block device (VIRTIO 1.2, section 5.2): several queues, each with requests of its own.
//
// Data goes between the guest's memory and the disk backend without a copy in the model. Sectors
// are 512 bytes in every field; requests must also respect the disk's logical block size.
#pragma once

#include "devices/disk.h"
#include "devices/virtio.h"
#include "devices/virtio_pci.h"

#define VIRTIO_BLK_QUEUE_SIZE 128u
#define VIRTIO_BLK_SEG_MAX    126u ///< data segments announced to the driver
/// Spans of a request: data, header, status and two region borders crossed.
#define VIRTIO_BLK_SPANS (VIRTIO_BLK_SEG_MAX + 4u)

#define VIRTIO_BLK_CONFIG_BYTES 60u ///< device-specific configuration space (5.2.4)
#define VIRTIO_BLK_F_SIZE_MAX   (1ull << 1)
#define VIRTIO_BLK_F_FLUSH      (1ull << 9)

struct virtio_blk_config {
    struct virtio_config virtio;
    struct virtio_pci_config pci;
    struct disk *disk;    ///< borrowed; outlives the device
    uint16_t queue_count; ///< 0: one per loop
};

struct virtio_blk_state {
    struct virtio_state virtio;
};

struct virtio_blk;

/// One request in flight; a fixed pool per queue.
struct virtio_blk_request {
    struct disk_io io;
    struct virtio_blk *blk;
    struct virtio_queue *queue;
    struct virtio_blk_request *next_free;
    uint8_t *status;        ///< in guest memory, written once
    uint32_t written_bytes; ///< to report besides the status byte
    uint16_t head;
    bool busy;
    bool flush_after; ///< a write-through write: flush before it is done
    struct iovec spans[VIRTIO_BLK_SPANS];
};

struct virtio_blk_queue {
    struct virtio_blk_request *requests; ///< VIRTIO_BLK_QUEUE_SIZE of them
    struct virtio_blk_request *free;
    uint64_t read_count, write_count, flush_count, discard_count, error_count;
    uint64_t read_bytes, write_bytes;
};

struct virtio_blk {
    struct virtio virtio;  ///< register virtio.device with the machine
    struct virtio_pci pci; ///< register pci.function.device with the machine
    struct disk *disk;
    struct virtio_blk_queue queues[VIRTIO_MAX_QUEUES];
    struct virtio_blk_state state;
};

/// Builds the device (zeroed memory or not) and attaches it to its PCI slot. -ENOMEM, -EINVAL (disk
/// geometry, queue count) or virtio_pci_init()'s errors; then nothing is left allocated.
int virtio_blk_init(struct virtio_blk *blk, const struct virtio_blk_config *config);

/// Frees the request pools. The device is reset and its loops no longer run.
void virtio_blk_destroy(struct virtio_blk *blk);

/// Fills the configuration space and returns the features to offer for this disk.
uint64_t virtio_blk_describe(const struct disk_info *info, uint16_t queue_count,
                             uint8_t space[static VIRTIO_BLK_CONFIG_BYTES]);
