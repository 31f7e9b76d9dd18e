// SPDX-License-Identifier: MIT
//
// Reads the header of a Linux bzImage (Documentation/arch/x86/boot.rst). Pure: bytes in, facts out.
// Used by the boot shim for VTL2's kernel and by the VMM for VTL0's.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/linux_boot.h"

#define BZIMAGE_VERSION_TEXT_BYTES 96u

/// What a loader needs to know about a checked bzImage. Offsets are from the file's first byte
/// unless said otherwise.
struct bzimage_info {
    uint32_t setup_bytes;          ///< real-mode part: [0, setup_bytes) of the file
    uint32_t protected_mode_off;   ///< protected-mode code: here (equals setup_bytes) …
    uint64_t protected_mode_bytes; ///< … to the end of the file
    uint32_t entry64_off;          ///< 64-bit entry, from the start of the protected-mode code
    uint64_t init_size_bytes;      ///< memory needed from the run-time address on
    uint64_t pref_gpa;             ///< preferred run-time address
    uint64_t alignment_bytes;      ///< of the run-time address; a power of two, at least 4 KiB
    uint32_t cmdline_max_bytes;    ///< longest command line, without its NUL
    uint64_t initrd_end_max_gpa;   ///< exclusive end that the initrd may not pass
    uint16_t protocol;             ///< e.g. 0x020f
    uint16_t xloadflags;           ///< LINUX_XLF_*
    char version_text[BZIMAGE_VERSION_TEXT_BYTES]; ///< printable, NUL-terminated, may be empty
    struct linux_setup_header header; ///< copy for boot_params; zero past the file's header
};

/// Checks [file, file + size_bytes) and fills *out. Returns 0, or -EINVAL (not a bzImage),
/// -ENOTSUP (one that we cannot boot: no 64-bit entry, not relocatable, too old), -ERANGE (sizes
/// that contradict each other). On error *why is a constant text that names the rule, and *out is
/// unspecified. Only the first 64 KiB of the file are read. The caller owns file, which must not
/// change while this runs.
int bzimage_parse(const void *file, size_t size_bytes, struct bzimage_info *out, const char **why);

/// Where the kernel runs when its protected-mode code stands at load_gpa (boot.rst, "details of
/// memory layout"): it raises a lower address to pref_gpa and aligns it up. *out_end_gpa is the
/// exclusive end of the memory that it needs. Returns 0, or -ERANGE when the sum wraps.
int bzimage_run_range(const struct bzimage_info *info, uint64_t load_gpa, uint64_t *out_start_gpa,
                      uint64_t *out_end_gpa);
