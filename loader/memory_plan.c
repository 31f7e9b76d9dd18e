// SPDX-License-Identifier: MIT
//
// Who gets which RAM: see memory_plan.h for the rules.

#include "loader/memory_plan.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define LOW_MEMORY_END 0x100000ull // below 1 MiB holes are normal: VGA, option ROMs, BIOS
#define LOW_PAGE_END   PAGE_SIZE_2M

/// One e820 entry more, merged with its neighbour where it can be.
static bool add_e820(struct memory_plan *plan, struct gpa_range range, uint32_t type) {
    struct linux_e820_entry *last =
        plan->e820_count == 0 ? NULL : &plan->e820[plan->e820_count - 1];

    if (range.end <= range.start) {
        return true;
    }
    if (last != NULL && last->type == type && last->addr + last->size_bytes == range.start) {
        last->size_bytes += range.end - range.start;
        return true;
    }
    if (plan->e820_count == LINUX_E820_MAX_ENTRIES) {
        return false;
    }
    plan->e820[plan->e820_count++] = (struct linux_e820_entry){
        .addr = range.start, .size_bytes = range.end - range.start, .type = type};
    return true;
}

static bool add_range(struct gpa_range *table, uint32_t *count, uint64_t *bytes,
                      struct gpa_range range) {
    if (range.end <= range.start) {
        return true;
    }
    if (*count == MEMORY_PLAN_MAX_RANGES) {
        return false;
    }
    table[(*count)++] = range;
    *bytes += range.end - range.start;
    return true;
}

/// The whole 2 MiB pages inside a range; empty (start >= end) if there is none.
static struct gpa_range whole_pages(struct gpa_range range) {
    // No wrap: map regions end at or below 2^52.
    return (struct gpa_range){.start = align_down(range.start + PAGE_SIZE_2M - 1, PAGE_SIZE_2M),
                              .end = align_down(range.end, PAGE_SIZE_2M)};
}

static struct gpa_range overlap(struct gpa_range a, struct gpa_range b) {
    return (struct gpa_range){a.start > b.start ? a.start : b.start, a.end < b.end ? a.end : b.end};
}

/// Divides RAM into what is in VTL2's range and what is not, and fills both tables.
static bool split_ram(const struct memory_map *map, struct gpa_range vtl2,
                      struct memory_plan *plan) {
    bool fits = true;

    for (uint32_t i = 0; i < map->count && fits; i++) {
        struct gpa_range range = map->regions[i].range;
        struct gpa_range below = overlap(range, (struct gpa_range){0, vtl2.start});
        struct gpa_range inside = overlap(range, vtl2);
        struct gpa_range above = overlap(range, (struct gpa_range){vtl2.end, UINT64_MAX});

        if (map->regions[i].kind != MEMORY_RAM) {
            continue;
        }
        fits = add_range(plan->vtl0, &plan->vtl0_count, &plan->vtl0_bytes, whole_pages(below)) &&
               add_range(plan->vtl2, &plan->vtl2_count, &plan->vtl2_bytes, inside) &&
               add_range(plan->vtl0, &plan->vtl0_count, &plan->vtl0_bytes, whole_pages(above));
    }
    return fits;
}

/// Moves the pool's share for its struct pages from the top of VTL0's ranges to VTL2.
static bool feed_struct_pages(struct memory_plan *plan) {
    uint64_t owed;
    uint32_t first = plan->vtl2_count;

    if (plan->vtl0_bytes <= MEMORY_PLAN_SMALL_POOL_BYTES) {
        return true;
    }
    owed =
        align_down(plan->vtl0_bytes / MEMORY_PLAN_POOL_PER_VTL2 + PAGE_SIZE_2M - 1, PAGE_SIZE_2M);
    while (owed != 0) { // ends: 1/128 of the pool is less than the pool
        struct gpa_range *top = &plan->vtl0[plan->vtl0_count - 1];
        uint64_t take = gpa_range_bytes(*top) < owed ? gpa_range_bytes(*top) : owed;

        if (!add_range(plan->vtl2, &plan->vtl2_count, &plan->vtl2_bytes,
                       (struct gpa_range){top->end - take, top->end})) {
            return false;
        }
        top->end -= take;
        plan->vtl0_bytes -= take;
        owed -= take;
        if (top->end == top->start) {
            plan->vtl0_count--;
        }
    }
    for (uint32_t low = first, high = plan->vtl2_count; low + 1 < high; low++) { // ascending again
        struct gpa_range swap = plan->vtl2[low];

        plan->vtl2[low] = plan->vtl2[--high];
        plan->vtl2[high] = swap;
    }
    return true;
}

/// The next range of a table that begins at or after start; ranges are ascending.
static const struct gpa_range *range_from(const struct gpa_range *table, uint32_t count,
                                          uint64_t start) {
    for (uint32_t i = 0; i < count; i++) {
        if (table[i].start >= start) {
            return &table[i];
        }
    }
    return NULL;
}

/// VTL0's pool in e820. A region that begins below 1 MiB Linux marks busy at once
/// (arch/x86/kernel/e820.c), and dax_hmem would not get it: the first 2 MiB are said apart, and the
/// VMM gets at them in another way.
static bool add_pool(struct memory_plan *plan, struct gpa_range range) {
    struct gpa_range low = range;

    if (range.start < LOW_MEMORY_END) { // the pool's ranges are 2 MiB aligned
        low.end = LOW_PAGE_END;
        range.start = LOW_PAGE_END;
        if (!add_e820(plan, low, LINUX_E820_RESERVED)) {
            return false;
        }
    }
    return add_e820(plan, range, LINUX_E820_SOFT_RESERVED);
}

/// Describes one RAM region of the map: VTL2's and VTL0's parts, and reserved between them.
static bool describe_ram(struct memory_plan *plan, struct gpa_range region) {
    uint64_t at = region.start;

    while (at < region.end) { // ends: each round consumes a range or the rest
        const struct gpa_range *vtl2 = range_from(plan->vtl2, plan->vtl2_count, at);
        const struct gpa_range *vtl0 = range_from(plan->vtl0, plan->vtl0_count, at);
        const struct gpa_range *next = vtl2;

        if (next == NULL || (vtl0 != NULL && vtl0->start < next->start)) {
            next = vtl0;
        }
        if (next == NULL || next->start >= region.end) {
            return add_e820(plan, (struct gpa_range){at, region.end}, LINUX_E820_RESERVED);
        }
        if (!add_e820(plan, (struct gpa_range){at, next->start}, LINUX_E820_RESERVED) ||
            !(next == vtl0 ? add_pool(plan, *next) : add_e820(plan, *next, LINUX_E820_RAM))) {
            return false;
        }
        at = next->end;
    }
    return true;
}

static bool describe(const struct memory_map *map, struct memory_plan *plan) {
    bool fits = true;

    for (uint32_t i = 0; i < map->count && fits; i++) {
        struct gpa_range range = map->regions[i].range;

        fits = map->regions[i].kind == MEMORY_RAM ? describe_ram(plan, range)
                                                  : add_e820(plan, range, LINUX_E820_RESERVED);
    }
    return fits;
}

int memory_plan_compute(const struct memory_map *map, struct gpa_range vtl2,
                        struct memory_plan *out, const char **why) {
    struct gpa_range whole = vtl2;

    memset(out, 0, sizeof(*out));
    *why = "";
    if (whole.start < LOW_MEMORY_END) {
        whole.start = LOW_MEMORY_END;
    }
    if (!is_aligned(vtl2.start, LAYOUT_VTL2_RAM_END_ALIGN) ||
        !is_aligned(vtl2.end, LAYOUT_VTL2_RAM_END_ALIGN) || vtl2.end <= whole.start) {
        *why = "start or end of VTL2's RAM is not 64 MiB aligned";
        return -EINVAL;
    }
    if (!split_ram(map, vtl2, out)) {
        *why = "RAM is in more pieces than the shim has room for";
        return -E2BIG;
    }
    if (!memory_map_is_ram(map, whole)) {
        *why = "too little memory: VTL2 needs RAM without a hole, but below 1 MiB";
        return -ENOMEM;
    }
    if (out->vtl0_bytes < MEMORY_PLAN_MIN_VTL0_BYTES) {
        *why = "too little memory: less than 32 MiB are left for VTL0";
        return -ENOMEM;
    }
    if (!feed_struct_pages(out) || !describe(map, out)) {
        *why = "memory map needs more pieces than e820 has entries";
        return -E2BIG;
    }
    return 0;
}

bool memory_plan_in_vtl0(const struct memory_plan *plan, uint64_t start_gpa, uint64_t size_bytes) {
    for (uint32_t i = 0; i < plan->vtl0_count; i++) {
        if (gpa_range_contains(plan->vtl0[i], start_gpa, size_bytes)) {
            return true;
        }
    }
    return false;
}
