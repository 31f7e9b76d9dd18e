// SPDX-License-Identifier: MIT
//
// Builds the device tree that VTL2's Linux gets: the node /parapet, described in
// loader/layout.h, and on platforms without ACPI tables /cpus.
// Pure; sequential writing into a fixed buffer by libfdt.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "igvm/base/types.h"
#include "loader/layout.h"

/// Everything the node says. Pointers may be NULL where the text says "optional".
struct out_tree_spec {
    enum shim_platform platform;
    const char *image_version;
    uint32_t vp_count;
    const uint32_t *apic_ids;     ///< by VP; NULL: they are the VP indices
    const struct gpa_range *vtl0; ///< VTL0's pool
    uint32_t vtl0_count;
    const struct gpa_range *vtl2;
    uint32_t vtl2_count;
    const struct shim_payload *vtl0_kernel;   ///< optional
    const struct shim_payload *vtl0_initrd;   ///< optional
    const struct shim_payload *vtl0_firmware; ///< optional
    struct gpa_range rom;                     ///< empty: none
    const char *host_config;                  ///< optional
    uint32_t host_config_bytes;               ///< without a NUL
    const char *log;
    uint32_t log_bytes;
    uint64_t tsc_entry;
    uint64_t tsc_now;
    uint32_t tsc_khz;
    uint64_t wall_clock_s; ///< 0: not said
};

/// Writes the tree into [out, out + size_bytes); out is 8-byte aligned. *used_bytes is its size.
/// Returns 0, or -ENOSPC when it does not fit.
int out_tree_build(void *out, size_t size_bytes, const struct out_tree_spec *spec,
                   size_t *used_bytes);

/// "native", "vsm", "snp" or "tdx"; NULL for a number that is none.
const char *shim_platform_name(uint32_t platform);
