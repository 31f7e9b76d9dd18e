// SPDX-License-Identifier: MIT
//
// Backends for tests: a disk in memory with fault injection, and a byte stream with back-pressure.
#pragma once

#include "devices/chardev.h"
#include "devices/disk.h"
#include "tests/support/fake_loop.h"

/// A disk in memory (devices/disk.h). Requests wait until the loop runs; with hold set, until the
/// test calls fake_disk_complete.
struct fake_disk {
    struct disk disk; ///< first: give &fd.disk to devices
    uint8_t *bytes;
    struct fake_loop *fl;
    struct loop_task task;
    struct disk_io *queue; ///< waiting, in order; linked through disk_io.backend[0]
    bool hold;
    bool destroyed;
    unsigned waiting_count;
    uint64_t submitted_count;
    uint64_t completed_count;
    uint64_t count[5];   ///< per enum disk_op, completed without error
    uint64_t fail_after; ///< requests to let through before fail_result; counts down
    int fail_result;     ///< 0: no fault; -errno
    unsigned fail_count; ///< how many requests fail; 0 with fail_result set: one
};

/// bytes: disk->info.size_bytes long, the caller's. Logical blocks of 512, discard and write-zeroes
/// offered up to the whole disk, write cache on; change disk.info before the device sees it.
void fake_disk_init(struct fake_disk *fd, struct fake_loop *fl, uint8_t *bytes,
                    uint64_t size_bytes);

/// Completes a held request (NULL: the oldest) normally or with the injected fault. False: none.
bool fake_disk_complete(struct fake_disk *fd, struct disk_io *io);

/// A byte stream (devices/chardev.h) between a device and the test.
struct fake_chardev {
    struct chardev chardev; ///< first: give &fc.chardev to devices
    uint8_t in[4096];       ///< what the device will read
    size_t in_bytes;
    bool in_asked;      ///< the device has read until there was nothing: only then readable() comes
    uint8_t out[65536]; ///< what the device wrote
    size_t out_bytes;
    size_t out_room; ///< how many bytes write() still takes: back-pressure
    uint64_t write_calls;
};

/// Room for everything until out_room is set.
void fake_chardev_init(struct fake_chardev *fc);

/// Gives the device input and calls readable(), if the device has read all that was there before.
void fake_chardev_feed(struct fake_chardev *fc, const void *bytes, size_t size_bytes);

/// Sets the room and calls writable().
void fake_chardev_drain(struct fake_chardev *fc, size_t out_room);
