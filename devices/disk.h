// SPDX-License-Identifier: MIT
//
// A disk as the device models see it: asynchronous, vectored, addressed in bytes.
#pragma once

#include "devices/loop.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD, DISK_WRITE_ZEROES };

#define DISK_IO_UNMAP (1u << 0) ///< write-zeroes may deallocate

/// One request, embedded in its owner, alive until complete(). Offsets and sizes are multiples of
/// the logical block size; the device model checks that and the end of the disk before it submits.
struct disk_io {
    enum disk_op op;
    uint32_t flags;
    uint64_t offset_bytes;
    uint64_t size_bytes;
    const struct iovec *iov; ///< READ and WRITE: guest spans, size_bytes in all
    uint32_t iov_count;
    void (*complete)(struct disk_io *io, int result); ///< 0 or -errno, on the submitting loop
    void *owner;
    struct loop_io loop_io; ///< the backend's
    uint64_t done_bytes;    ///< the backend's
    struct iovec *bounce;   ///< the backend's
    uint64_t backend[8];    ///< the backend's
};

struct disk_info {
    uint64_t size_bytes;
    uint32_t logical_block_bytes; ///< 512 or 4096
    uint32_t physical_block_bytes;
    uint32_t max_transfer_bytes; ///< the model splits or announces this
    uint32_t discard_granularity_bytes;
    uint64_t max_discard_bytes;      ///< 0: discard is not offered
    uint64_t max_write_zeroes_bytes; ///< 0: not offered
    uint32_t dma_alignment_bytes;    ///< of guest spans for zero-copy
    bool read_only;
    bool has_write_cache; ///< flush matters
    char serial[21];      ///< NUL-terminated
};

struct disk;
struct disk_ops {
    /// Starts a request on the loop of the calling thread. Errors come through complete().
    void (*submit)(struct disk *disk, struct loop *loop, struct disk_io *io);
    void (*cancel)(struct disk *disk, struct loop *loop, struct disk_io *io);
    void (*destroy)(struct disk *disk);
};

struct disk {
    const struct disk_ops *ops;
    struct disk_info info;
};
