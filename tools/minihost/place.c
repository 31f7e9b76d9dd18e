// SPDX-License-Identifier: MIT
//
// Keeps the IGVM file's own bytes out of the way of what is loaded from it.

#include "tools/minihost/place.h"

#include <errno.h>

bool place_overlaps(const struct place *place, struct gpa_range range) {
    for (uint32_t i = 0; i < place->count; i++) {
        if (gpa_ranges_overlap(place->targets[i], range)) {
            return true;
        }
    }
    return false;
}

int place_add(struct place *place, struct gpa_range range) {
    struct gpa_range *last = place->count == 0 ? NULL : &place->targets[place->count - 1];

    if (place_overlaps(place, range)) {
        return -EEXIST;
    }
    if (last != NULL && last->end == range.start) {
        last->end = range.end;
        return 0;
    }
    if (place->count == PLACE_MAX_TARGETS) {
        return -E2BIG;
    }
    place->targets[place->count++] = range;
    return 0;
}

/// The lowest start of what range hits, or UINT64_MAX if it hits nothing.
static uint64_t lowest_hit(const struct place *place, struct gpa_range keep_out,
                           struct gpa_range range) {
    uint64_t lowest = gpa_ranges_overlap(keep_out, range) ? keep_out.start : UINT64_MAX;

    for (uint32_t i = 0; i < place->count; i++) {
        if (gpa_ranges_overlap(place->targets[i], range) && place->targets[i].start < lowest) {
            lowest = place->targets[i].start;
        }
    }
    return lowest;
}

/// Tries one RAM region from its top down; each miss moves below what was hit, so it ends after
/// at most count + 2 tries.
static bool find_in(const struct place *place, struct gpa_range keep_out, struct gpa_range region,
                    uint64_t size_bytes, uint64_t *start) {
    uint64_t end = region.end;

    while (end > region.start && end - region.start >= size_bytes) {
        struct gpa_range candidate = {align_down(end - size_bytes, PAGE_SIZE_4K), end};
        uint64_t hit;

        if (candidate.start < region.start) {
            return false;
        }
        hit = lowest_hit(place, keep_out, candidate);
        if (hit == UINT64_MAX) {
            *start = candidate.start;
            return true;
        }
        end = hit;
    }
    return false;
}

int place_find(const struct place *place, const struct machine *machine, struct gpa_range keep_out,
               uint64_t size_bytes, uint64_t limit_gpa, uint64_t *start) {
    for (uint32_t i = machine->region_count; i-- > 0;) {
        const struct igvm_memory_map_entry *entry = &machine->regions[i];
        struct gpa_range region = {entry->starting_gpa_page_number << PAGE_SHIFT_4K, 0};

        region.end = region.start + (entry->number_of_pages << PAGE_SHIFT_4K);
        region.end = region.end < limit_gpa ? region.end : limit_gpa;
        if (entry->entry_type == IGVM_MEMORY_NORMAL &&
            find_in(place, keep_out, region, size_bytes, start)) {
            return 0;
        }
    }
    return -ENOMEM;
}
