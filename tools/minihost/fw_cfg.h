// SPDX-License-Identifier: MIT
//
// QEMU's fw_cfg device, read side (QEMU docs/specs/fw_cfg.rst): x86 ports and DMA.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Whether there is a fw_cfg device that can do DMA. Call first.
bool fw_cfg_init(void);

/// Number of CPUs that the machine starts with; 0 if there is no fw_cfg.
uint32_t fw_cfg_cpu_count(void);

/// Reads a named file into [out, out + size_bytes). Returns its size; -ENOENT: no such file;
/// -EFBIG: larger than size_bytes; -EIO: the device reports an error.
int64_t fw_cfg_read_file(const char *name, void *out, size_t size_bytes);
