// SPDX-License-Identifier: MIT
//
// A virtio block device on a fake machine, before a disk in memory, and a driver that makes its
// requests (VIRTIO 1.2, section 5.2.6). cmocka's: what must hold is asserted.
#pragma once

#include "devices/virtio_blk.h"
#include "tests/support/virtio_driver.h"

#define DISK_BYTES 0x40000u
#define HEADER_GPA 0x80000u // one header, then the status byte, per request
#define DATA_GPA   0x90000u
#define QUEUE_SIZE 16u

#define T_IN           0u
#define T_OUT          1u
#define T_FLUSH        4u
#define T_GET_ID       8u
#define T_DISCARD      11u
#define T_WRITE_ZEROES 13u
#define S_OK           0u
#define S_IOERR        1u
#define S_UNSUPP       2u
#define NO_STATUS      0xEEu ///< what blk_put_header leaves where the status goes

struct blk_fixture {
    struct fake_machine *m;
    struct fake_loop fl2; ///< a second VP's loop
    struct loop *loops[2];
    struct pci_root root;
    struct fake_disk fd;
    struct virtio_blk blk;
    struct virtio_driver vd;
    uint8_t disk_bytes[DISK_BYTES];
};

/// A device with as many queues as loops, found but not started. info NULL: fake_disk's own. Free
/// it with blk_teardown.
struct blk_fixture *blk_build(const struct disk_info *info, unsigned loop_count);
/// One queue of QUEUE_SIZE, started with these of the offered features.
struct blk_fixture *blk_build_started(uint64_t features);
/// The same with all features and such a disk.
struct blk_fixture *blk_build_with_disk(const struct disk_info *info);
void blk_teardown(struct blk_fixture *f);

/// Writes request n's header, and NO_STATUS where its status goes.
void blk_put_header(struct blk_fixture *f, unsigned n, uint32_t type, uint64_t sector);
uint8_t blk_status(struct blk_fixture *f, unsigned n);

/// Request n's chain: header, data buffers, status. Its head.
uint16_t blk_make(struct blk_fixture *f, unsigned n, const struct vd_buffer *data, unsigned count);

/// One request from start to end; returns its status, and in *len what the used ring says.
uint8_t blk_request(struct blk_fixture *f, uint32_t type, uint64_t sector, uint64_t data,
                    uint32_t size_bytes, uint32_t *len);
