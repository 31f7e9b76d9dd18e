// SPDX-License-Identifier: MIT
//
// Divides the machine's RAM between VTL2's Linux and VTL0, and says it as an e820 map. Pure.
//
//   RAM in VTL2's range                  VTL2                E820 RAM
//   RAM beside it, whole 2 MiB pages     VTL0's pool         E820 soft reserved (dax_hmem takes it)
//   RAM beside it, the odd ends          nobody              E820 reserved
//   last pool/128 of a pool over 4 GiB   VTL2                E820 RAM: the pool's struct pages
//   everything else in the map           not ours            E820 reserved
#pragma once

#include <stdint.h>

#include "igvm/base/types.h"
#include "loader/linux_boot.h"
#include "loader/memory_map.h"

/// Regions per owner; more would not fit e820 either.
#define MEMORY_PLAN_MAX_RANGES 64u

/// Below this a VTL0 is not worth starting.
#define MEMORY_PLAN_MIN_VTL0_BYTES (32ull << 20)

/// Pools above this give VTL2 memory to describe them: Linux keeps up to 1/128 of device memory in
/// struct pages (2 MiB device pages with deduplicated vmemmap need half of that).
#define MEMORY_PLAN_SMALL_POOL_BYTES (4ull << 30)
#define MEMORY_PLAN_POOL_PER_VTL2    128u

struct memory_plan {
    uint32_t vtl2_count;
    uint32_t vtl0_count;
    uint32_t e820_count;
    uint64_t vtl2_bytes;
    uint64_t vtl0_bytes;
    struct gpa_range vtl2[MEMORY_PLAN_MAX_RANGES];        ///< ascending
    struct gpa_range vtl0[MEMORY_PLAN_MAX_RANGES];        ///< ascending, 2 MiB aligned
    struct linux_e820_entry e820[LINUX_E820_MAX_ENTRIES]; ///< ascending
};

/// Computes the plan. vtl2: both ends LAYOUT_VTL2_RAM_END_ALIGN. Returns 0, -EINVAL (alignment),
/// -ENOMEM (VTL2 or VTL0 does not get the memory it must have), -E2BIG (too many pieces for the
/// tables); *why is then a constant text, and out->vtl2_bytes, vtl0_bytes say what there would have
/// been.
int memory_plan_compute(const struct memory_map *map, struct gpa_range vtl2,
                        struct memory_plan *out, const char **why);

/// Whether [start_gpa, start_gpa + size_bytes) lies in one range of VTL0's pool.
bool memory_plan_in_vtl0(const struct memory_plan *plan, uint64_t start_gpa, uint64_t size_bytes);
