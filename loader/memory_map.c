// SPDX-License-Identifier: MIT
//
// The host's memory map (IGVM specification, IGVM_VHT_MEMORY_MAP), checked entry by entry.

#include "loader/memory_map.h"

#include <errno.h>
#include <string.h>

#include "igvm/base/bytes.h"
#include "igvm/igvm_data_defs.h"

_Static_assert(sizeof(struct igvm_memory_map_entry) == 24, "MEMORY_MAP_MAX_REGIONS counts these");

static enum memory_kind kind_of(uint16_t entry_type) {
    switch (entry_type) {
    case IGVM_MEMORY_NORMAL:
    case IGVM_MEMORY_VTL2_PROTECTABLE:
        return MEMORY_RAM;
    default: // what we do not know we leave alone
        return MEMORY_RESERVED;
    }
}

static void append(struct memory_map *map, struct gpa_range range, enum memory_kind kind) {
    struct memory_region *last = map->count == 0 ? NULL : &map->regions[map->count - 1];

    if (last != NULL && last->kind == kind && last->range.end == range.start) {
        last->range.end = range.end;
    } else {
        map->regions[map->count++] = (struct memory_region){.range = range, .kind = kind};
    }
}

int memory_map_read(const void *bytes, size_t size_bytes, struct memory_map *out, const char **why,
                    uint32_t *bad_idx) {
    struct cursor c = cursor_init(bytes, size_bytes);
    struct igvm_memory_map_entry entry;
    const uint64_t max_pages = MEMORY_MAP_MAX_GPA >> PAGE_SHIFT_4K;
    uint64_t end_before = 0;

    out->count = 0;
    *why = "";
    for (uint32_t i = 0;; i++) {
        struct gpa_range range;

        *bad_idx = i;
        if (i == MEMORY_MAP_MAX_REGIONS || !cursor_copy(&c, &entry, sizeof(entry))) {
            *why = "no empty entry ends the map";
            return -EINVAL;
        }
        if (entry.number_of_pages == 0) {
            break;
        }
        if (entry.starting_gpa_page_number > max_pages ||
            entry.number_of_pages > max_pages - entry.starting_gpa_page_number) {
            *why = "entry reaches above 2^52";
            return -EINVAL;
        }
        range.start = entry.starting_gpa_page_number << PAGE_SHIFT_4K;
        range.end = range.start + (entry.number_of_pages << PAGE_SHIFT_4K);
        if (range.start < end_before) {
            *why = "entry overlaps or precedes the one before it";
            return -EINVAL;
        }
        end_before = range.end;
        append(out, range, kind_of(entry.entry_type));
    }
    if (out->count == 0) {
        *why = "the map is empty";
        return -EINVAL;
    }
    return 0;
}

bool memory_map_is_ram(const struct memory_map *map, struct gpa_range range) {
    if (range.end <= range.start) {
        return true;
    }
    for (uint32_t i = 0; i < map->count; i++) {
        const struct memory_region *region = &map->regions[i];

        // Merged neighbours: RAM without a hole is always within one region.
        if (region->kind == MEMORY_RAM &&
            gpa_range_contains(region->range, range.start, range.end - range.start)) {
            return true;
        }
    }
    return false;
}

uint64_t memory_map_ram_bytes(const struct memory_map *map) {
    uint64_t sum = 0; // at most 2^52: cannot wrap

    for (uint32_t i = 0; i < map->count; i++) {
        if (map->regions[i].kind == MEMORY_RAM) {
            sum += gpa_range_bytes(map->regions[i].range);
        }
    }
    return sum;
}
