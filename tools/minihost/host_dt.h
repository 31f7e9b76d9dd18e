// SPDX-License-Identifier: MIT
//
// The device tree that minihost gives to the image (parameter IGVM_VHT_DEVICE_TREE): /cpus,
// /memory, and /parapet-host as loader/layout.h describes it. Pure.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tools/minihost/machine.h"

struct host_dt_spec {
    const struct machine *machine;
    uint32_t vp_count;
    uint32_t first_apic_id; ///< VP 0's; the others' follow
    uint64_t rsdp_gpa;      ///< 0: not said
    struct gpa_range rom;   ///< memory below 4 GiB for VTL0's firmware; empty: not said
    uint32_t tsc_khz;       ///< 0: not said
    uint64_t wall_clock_s;  ///< seconds since 1970, UTC; 0: not said
    const char *config;     ///< JSON text; NULL: not said
    uint32_t config_bytes;  ///< without a NUL
};

/// Writes the tree into [out, out + size_bytes); out is 8-byte aligned. *used_bytes is its size.
/// Returns 0, or -ENOSPC when it does not fit.
int host_dt_build(void *out, size_t size_bytes, const struct host_dt_spec *spec,
                  size_t *used_bytes);
