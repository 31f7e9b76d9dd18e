// SPDX-License-Identifier: MIT
//
// The firmware's memory map (e820 as PVH passes it) as an IGVM memory map.

#include "tools/minihost/machine.h"

#include <errno.h>

#include "loader/linux_boot.h"

#define MAX_GPA        (1ull << 52)
#define HIGH_MMIO_SIZE (64ull << 30)
#define GIB            (1ull << 30)
#define GIB_4          (4ull << 30)

/// An entry in bytes, page aligned by its kind's rule.
struct span {
    struct gpa_range range;
    bool ram;
};

static struct span span_of(const struct pvh_memmap_entry *entry) {
    uint64_t start = entry->start_gpa < MAX_GPA ? entry->start_gpa : MAX_GPA;
    uint64_t size = entry->size_bytes < MAX_GPA - start ? entry->size_bytes : MAX_GPA - start;
    uint64_t end = start + size; // at most MAX_GPA
    struct span span = {.ram = entry->type == LINUX_E820_RAM};

    if (span.ram) {
        span.range.start = align_down(start + PAGE_SIZE_4K - 1, PAGE_SIZE_4K);
        span.range.end = align_down(end, PAGE_SIZE_4K);
    } else {
        span.range.start = align_down(start, PAGE_SIZE_4K);
        span.range.end = align_down(end + PAGE_SIZE_4K - 1, PAGE_SIZE_4K);
    }
    return span;
}

/// Insertion sort: at most 128 numbers.
static void sort(uint64_t *values, uint32_t count) {
    for (uint32_t i = 1; i < count; i++) {
        uint64_t value = values[i];
        uint32_t at = i;

        for (; at > 0 && values[at - 1] > value; at--) {
            values[at] = values[at - 1];
        }
        values[at] = value;
    }
}

static void append(struct machine *machine, struct gpa_range range, uint16_t type) {
    uint64_t page = range.start >> PAGE_SHIFT_4K;
    uint64_t pages = gpa_range_bytes(range) >> PAGE_SHIFT_4K;
    struct igvm_memory_map_entry *last =
        machine->region_count == 0 ? NULL : &machine->regions[machine->region_count - 1];

    if (last != NULL && last->entry_type == type &&
        last->starting_gpa_page_number + last->number_of_pages == page) {
        last->number_of_pages += pages;
        return;
    }
    machine->regions[machine->region_count++] = (struct igvm_memory_map_entry){
        .starting_gpa_page_number = page, .number_of_pages = pages, .entry_type = type};
}

int machine_read_memory(const struct pvh_memmap_entry *entries, uint32_t count,
                        struct machine *out) {
    struct span spans[MACHINE_MAX_INPUT];
    uint64_t edges[2 * MACHINE_MAX_INPUT];

    out->region_count = 0;
    if (count > MACHINE_MAX_INPUT) {
        return -E2BIG;
    }
    for (uint32_t i = 0; i < count; i++) {
        spans[i] = span_of(&entries[i]);
        edges[2 * i] = spans[i].range.start;
        edges[2 * i + 1] = spans[i].range.end;
    }
    sort(edges, 2 * count);
    for (uint32_t i = 0; i + 1 < 2 * count; i++) { // between two edges nothing changes
        struct gpa_range piece = {edges[i], edges[i + 1]};
        bool ram = false, other = false;

        for (uint32_t s = 0; s < count && piece.end > piece.start; s++) {
            if (gpa_ranges_overlap(spans[s].range, piece)) {
                ram |= spans[s].ram;
                other |= !spans[s].ram;
            }
        }
        if (ram || other) {
            append(out, piece, other ? IGVM_MEMORY_PLATFORM_RESERVED : IGVM_MEMORY_NORMAL);
        }
    }
    return 0;
}

static struct gpa_range range_of(const struct igvm_memory_map_entry *entry) {
    uint64_t start = entry->starting_gpa_page_number << PAGE_SHIFT_4K;

    return (struct gpa_range){start, start + (entry->number_of_pages << PAGE_SHIFT_4K)};
}

bool machine_is_ram(const struct machine *machine, struct gpa_range range) {
    if (range.end <= range.start) {
        return true;
    }
    for (uint32_t i = 0; i < machine->region_count; i++) {
        if (machine->regions[i].entry_type == IGVM_MEMORY_NORMAL &&
            gpa_range_contains(range_of(&machine->regions[i]), range.start,
                               range.end - range.start)) {
            return true;
        }
    }
    return false;
}

int machine_set(struct machine *machine, struct gpa_range range, uint16_t type) {
    struct machine old = *machine;
    bool done = false;

    if (old.region_count + 2 > MACHINE_MAX_REGIONS) { // it may cut one region in two
        return -E2BIG;
    }
    machine->region_count = 0;
    for (uint32_t i = 0; i < old.region_count; i++) {
        struct gpa_range region = range_of(&old.regions[i]);
        struct gpa_range below = {region.start,
                                  region.end < range.start ? region.end : range.start};
        struct gpa_range above = {region.start > range.end ? region.start : range.end, region.end};

        if (below.start < below.end) {
            append(machine, below, old.regions[i].entry_type);
        }
        if (!done && region.end > range.start) {
            append(machine, range, type);
            done = true;
        }
        if (above.start < above.end) {
            append(machine, above, old.regions[i].entry_type);
        }
    }
    if (!done) {
        append(machine, range, type);
    }
    return 0;
}

int machine_top(const struct machine *machine, uint64_t limit_gpa, uint64_t size_bytes,
                struct gpa_range *room) {
    for (uint32_t i = machine->region_count; i-- > 0;) {
        struct gpa_range region = range_of(&machine->regions[i]);
        uint64_t start;

        region.end = region.end < limit_gpa ? region.end : limit_gpa;
        if (machine->regions[i].entry_type != IGVM_MEMORY_NORMAL || region.end < size_bytes) {
            continue;
        }
        start = align_down(region.end - size_bytes, PAGE_SIZE_2M);
        if (start >= region.start) {
            *room = (struct gpa_range){start, region.end};
            return 0;
        }
    }
    return -ENOMEM;
}

int machine_end_of_ram(const struct machine *machine, uint64_t gpa, uint64_t *end) {
    for (uint32_t i = 0; i < machine->region_count; i++) {
        struct gpa_range region = range_of(&machine->regions[i]);

        if (machine->regions[i].entry_type == IGVM_MEMORY_NORMAL && gpa >= region.start &&
            gpa < region.end) {
            *end = region.end;
            return 0;
        }
    }
    return -ENOENT;
}

uint64_t machine_ram_bytes(const struct machine *machine) {
    uint64_t pages = 0;

    for (uint32_t i = 0; i < machine->region_count; i++) {
        pages += machine->regions[i].entry_type == IGVM_MEMORY_NORMAL
                     ? machine->regions[i].number_of_pages
                     : 0;
    }
    return pages << PAGE_SHIFT_4K;
}

struct igvm_mmio_ranges machine_mmio_ranges(const struct machine *machine, unsigned phys_bits) {
    struct gpa_range best = {0, 0};
    uint64_t at = 0, high, limit = 1ull << (phys_bits > 36 && phys_bits <= 52 ? phys_bits : 36);
    struct igvm_mmio_ranges out = {0};

    for (uint32_t i = 0; i <= machine->region_count; i++) {
        struct gpa_range hole = {at, MACHINE_LOW_MMIO_END};

        if (i < machine->region_count) {
            struct gpa_range region = range_of(&machine->regions[i]);

            hole.end = region.start < hole.end ? region.start : hole.end;
            at = region.end;
        }
        if (gpa_range_bytes(hole) > gpa_range_bytes(best)) {
            best = hole;
        }
    }
    high = align_down((at > GIB_4 ? at : GIB_4) + GIB - 1, GIB);
    out.ranges[0].starting_gpa_page_number = best.start >> PAGE_SHIFT_4K;
    out.ranges[0].number_of_pages = gpa_range_bytes(best) >> PAGE_SHIFT_4K;
    if (high < limit) {
        uint64_t size = limit - high < HIGH_MMIO_SIZE ? limit - high : HIGH_MMIO_SIZE;

        out.ranges[1].starting_gpa_page_number = high >> PAGE_SHIFT_4K;
        out.ranges[1].number_of_pages = size >> PAGE_SHIFT_4K;
    }
    return out;
}
