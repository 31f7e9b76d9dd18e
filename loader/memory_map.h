// SPDX-License-Identifier: MIT
//
// Reads the memory map that the host deposits (struct igvm_memory_map_entry, IGVM_VHT_MEMORY_MAP).
// Pure; the bytes are the host's and hostile.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "igvm/base/types.h"
#include "loader/layout.h"

/// As many entries as fit the parameter area, less the terminator that must be there.
#define MEMORY_MAP_MAX_REGIONS (LAYOUT_MEMORY_MAP_BYTES / 24u)

/// Nothing above this is believed: x86's largest physical address space.
#define MEMORY_MAP_MAX_GPA (1ull << 52)

enum memory_kind {
    MEMORY_RAM,      ///< ordinary RAM
    MEMORY_RESERVED, ///< exists, is not ours: firmware tables, MMIO configuration space, …
};

struct memory_region {
    struct gpa_range range; ///< page aligned, never empty
    enum memory_kind kind;
};

/// Ascending, not overlapping; neighbours of one kind are merged.
struct memory_map {
    uint32_t count;
    struct memory_region regions[MEMORY_MAP_MAX_REGIONS];
};

/// Reads entries up to the empty one. Entry types other than RAM become MEMORY_RESERVED.
/// Returns 0; -EINVAL when entries are unordered, overlap, lie above MEMORY_MAP_MAX_GPA or have no
/// terminator: then *why is a constant text and *bad_idx the entry's index.
int memory_map_read(const void *bytes, size_t size_bytes, struct memory_map *out, const char **why,
                    uint32_t *bad_idx);

/// Whether [range.start, range.end) is RAM without a hole. An empty range is.
bool memory_map_is_ram(const struct memory_map *map, struct gpa_range range);

/// All RAM in bytes.
uint64_t memory_map_ram_bytes(const struct memory_map *map);
