// SPDX-License-Identifier: MIT
//
// Finds an NVMe disk by its controller's serial number: the host names disks that way, because the
// order in which VTL2's kernel numbers them is nobody's promise.
#pragma once

#include <stddef.h>

/// Writes the path of the first namespace ("/dev/nvme0n1") to out. -ENOENT: no such controller or
/// it has no namespace; -ENOSPC: out is too small. Waits up to two seconds for one to appear:
/// controllers are probed asynchronously at boot.
int nvme_find(const char *serial, char *out, size_t capacity_bytes);
