// SPDX-License-Identifier: MIT
//
// The machine that minihost stands on: its memory, page by page, without overlaps. Pure.
#pragma once

#include <stdint.h>

#include "igvm/base/types.h"
#include "igvm/igvm_data_defs.h"
#include "tools/minihost/pvh.h"

#define MACHINE_MAX_INPUT    64u                      ///< memory map entries that QEMU may give
#define MACHINE_MAX_REGIONS  (2u * MACHINE_MAX_INPUT) ///< every boundary starts at most one
#define MACHINE_LOW_MMIO_END 0xfec00000ull            ///< I/O APIC, local APIC, firmware above

/// Memory as the IGVM specification wants it said, ascending; without the closing entry.
struct machine {
    uint32_t region_count;
    struct igvm_memory_map_entry regions[MACHINE_MAX_REGIONS];
};

/// Turns a firmware memory map into regions: RAM shrinks to whole pages, everything else grows to
/// whole pages and wins where they overlap. Returns 0, or -E2BIG for more than MACHINE_MAX_INPUT
/// entries.
int machine_read_memory(const struct pvh_memmap_entry *entries, uint32_t count,
                        struct machine *out);

/// Whether [range.start, range.end) is RAM without a hole. An empty range is.
bool machine_is_ram(const struct machine *machine, struct gpa_range range);

/// Makes range, page aligned, a region of this type, whatever was there. 0, or -E2BIG.
int machine_set(struct machine *machine, struct gpa_range range, uint16_t type);

/// The highest RAM below limit_gpa: *room has size_bytes or more, begins 2 MiB aligned and ends
/// where its RAM ends. 0 or -ENOMEM.
int machine_top(const struct machine *machine, uint64_t limit_gpa, uint64_t size_bytes,
                struct gpa_range *room);

/// Where the RAM that gpa is in ends. 0, or -ENOENT: that is no RAM.
int machine_end_of_ram(const struct machine *machine, uint64_t gpa, uint64_t *end);

uint64_t machine_ram_bytes(const struct machine *machine);

/// The largest hole below MACHINE_LOW_MMIO_END, and 64 GiB above everything (as far as
/// phys_bits reaches).
struct igvm_mmio_ranges machine_mmio_ranges(const struct machine *machine, unsigned phys_bits);
