// SPDX-License-Identifier: MIT
//
// Builds boot_params (the zero page) for a kernel that is entered at its 64-bit entry point:
// Documentation/arch/x86/boot.rst, "64-bit Boot Protocol". Pure.
//
// The CPU's side of that protocol is the caller's: long mode, identity mapping of kernel,
// boot_params and command line, flat CS = LINUX_BOOT_CS, DS = ES = SS = LINUX_BOOT_DS, interrupts
// off, RSI = the GPA of boot_params, RIP = load_gpa + info->entry64_off.
#pragma once

#include <stdint.h>

#include "loader/bzimage.h"
#include "loader/linux_boot.h"

/// Everything a loader decided. Zero means "none" for initrd, RSDP and setup_data.
struct linux_params_spec {
    const struct bzimage_info *image;
    uint64_t load_gpa;                   ///< where the protected-mode code stands
    const struct linux_e820_entry *e820; ///< sorted, not overlapping
    uint32_t e820_count;
    uint64_t cmdline_gpa;   ///< NUL-terminated text
    uint32_t cmdline_bytes; ///< its length without the NUL
    uint64_t initrd_gpa;
    uint64_t initrd_bytes;
    uint64_t rsdp_gpa;
    uint64_t setup_data_gpa; ///< first struct linux_setup_data
};

/// Fills all 4096 bytes of *out. Returns 0, -E2BIG (more than 128 e820 entries), -ENAMETOOLONG
/// (command line longer than this kernel takes), -ERANGE (initrd where this kernel cannot reach
/// it). On error *why is a constant text and *out is unspecified.
int linux_params_build(struct linux_boot_params *out, const struct linux_params_spec *spec,
                       const char **why);
