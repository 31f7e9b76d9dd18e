// SPDX-License-Identifier: MIT
//
// Reads the host's device tree (Devicetree Specification 0.4): the node /parapet-host, how many
// CPUs there are and their APIC IDs. Pure; the bytes are the host's and hostile.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "igvm/base/types.h"

/// The longest configuration text that is passed on; the VMM parses it with a bounded JSON reader.
#define HOST_TREE_MAX_CONFIG_BYTES 32768u
#define HOST_TREE_MAX_APIC_IDS     256u

struct host_tree {
    uint64_t rsdp_gpa;                         ///< 0: the host named none
    struct gpa_range rom;                      ///< memory for VTL0's ROM, ends at 4 GiB; or empty
    uint32_t tsc_khz;                          ///< 0: likewise
    uint64_t wall_clock_s;                     ///< seconds since 1970, UTC; 0: likewise
    uint32_t cpu_count;                        ///< nodes "cpu" or "cpu@…" under /cpus
    bool has_apic_ids;                         ///< each of them has one of its own, in "reg"
    uint32_t apic_ids[HOST_TREE_MAX_APIC_IDS]; ///< [0, cpu_count), in the tree's order
    const char *config;                        ///< points into the blob; NULL: none
    uint32_t config_bytes;                     ///< without the NUL
};

/// Checks [blob, blob + size_bytes) as a whole (fdt_check_full) and fills *out. A blob of zeroes is
/// "no device tree": *out is then zero. The bytes must not change meanwhile: pass a private copy.
/// blob must be 8-byte aligned. Returns 0, or -EINVAL with *why, a constant text.
int host_tree_read(const void *blob, size_t size_bytes, struct host_tree *out, const char **why);
