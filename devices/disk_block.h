// SPDX-License-Identifier: MIT
//
// Disk backend over a file descriptor: a block device of VTL2's kernel, or a regular file.
//
// Requests whose spans meet the kernel's alignment rules for direct I/O go down without a copy;
// others pass through a bounded pool of buffers per loop and wait for one when it is empty.
#pragma once

#include "devices/disk.h"

#include <stddef.h>

struct disk_block_config {
    const char *path;    ///< "/dev/nvme0n1", or a regular file
    bool read_only;      ///< in addition to what the device itself says
    bool buffered;       ///< no O_DIRECT (files on file systems without it)
    uint32_t loop_count; ///< loops with vp_index [0, loop_count) will submit
    const char *serial;  ///< NULL: the device's own
};

/// Opens the disk. 0 and *out, owned by the caller (disk->ops->destroy), or -errno: of open(),
/// -EINVAL (neither block device nor regular file, or an unusable block size), -ENOMEM.
int disk_block_open(const struct disk_block_config *config, struct disk **out);

/// Fills info from the open file; read_only may be set before. buffered: no direct I/O. -errno,
/// -EINVAL when it is neither block device nor regular file or its numbers are unusable.
int disk_block_describe(int fd, bool buffered, struct disk_info *info);
