// SPDX-License-Identifier: MIT
//
// The guest state's disk: a block device or a file as the callbacks of the VMGS library. Inside
// the sandbox only pread, pwrite and fdatasync. Works with O_DIRECT, which a block device should be
// opened with: after a failed flush a page cache shows what the disk does not have.
#pragma once

#include "userspace/vmgs/vmgs.h"

struct vault_disk {
    int fd;
    uint64_t size_bytes;
    uint32_t sector_bytes;
};

/// Looks at the descriptor's kind and size; a file of 0 bytes grows to VMGS_DEFAULT_BYTES. Before
/// the sandbox. 0 or -errno.
int vault_disk_attach(struct vault_disk *disk, int fd);

/// The callbacks; one thread.
struct vmgs_disk vault_disk_ops(struct vault_disk *disk);
