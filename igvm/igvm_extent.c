// SPDX-License-Identifier: MIT
//
// IGVM: what a file imports where, and whether two imports collide. Memory is the caller's.

#include "igvm/igvm.h"

#include "igvm/igvm_desc.h"
#include "igvm/igvm_vp.h"

#include <errno.h>

/// Sizes of the parameter areas seen so far.
struct areas {
    uint32_t idx[IGVM_MAX_PARAMETER_AREAS];
    uint64_t size_bytes[IGVM_MAX_PARAMETER_AREAS];
    uint32_t count;
};

static uint64_t area_size(const struct areas *areas, uint32_t idx) {
    for (uint32_t i = 0; i < areas->count; i++) {
        if (areas->idx[i] == idx) {
            return areas->size_bytes[i];
        }
    }
    return 0;
}

/// What one header imports; an empty range for those that import nothing.
static struct gpa_range imported(const struct igvm_header *header, struct areas *areas,
                                 bool has_vmsa) {
    uint64_t start = 0;
    uint64_t size_bytes = 0;

    switch (header->type) {
    case IGVM_VHT_PARAMETER_AREA:
        if (areas->count < IGVM_MAX_PARAMETER_AREAS) {
            areas->idx[areas->count] = header->u.parameter_area.parameter_area_index;
            areas->size_bytes[areas->count++] = header->u.parameter_area.number_of_bytes;
        }
        break;
    case IGVM_VHT_PAGE_DATA:
        start = header->u.page_data.gpa;
        size_bytes =
            (header->u.page_data.flags & IGVM_PAGE_2MB) != 0 ? PAGE_SIZE_2M : IGVM_PAGE_SIZE;
        break;
    case IGVM_VHT_PARAMETER_INSERT:
        start = header->u.parameter_insert.gpa;
        size_bytes = area_size(areas, header->u.parameter_insert.parameter_area_index);
        break;
    case IGVM_VHT_VP_CONTEXT:
        start = header->u.vp_context.gpa;
        size_bytes = has_vmsa ? IGVM_VP_CONTEXT_BYTES : 0;
        break;
    case IGVM_VHT_ERROR_RANGE:
        start = header->u.error_range.gpa;
        size_bytes = header->u.error_range.size_bytes;
        break;
    default:
        break;
    }
    return (struct gpa_range){start, start + size_bytes}; // validation has excluded a wrap
}

int igvm_collect_extents(const struct igvm_file *file, uint32_t mask, struct igvm_extent *extents,
                         size_t capacity, size_t *count) {
    struct igvm_iter iter = igvm_iter_start(file);
    struct igvm_supported_platform platform = {0};
    struct areas areas = {.count = 0};
    struct igvm_header header;
    struct igvm_error error;
    bool has_vmsa;

    *count = 0;
    if (igvm_find_platform_by_mask(file, mask, &platform) != 0) {
        return -ENOENT;
    }
    has_vmsa = igvm_vp_format(platform.platform_type) == IGVM_VP_FORMAT_VMSA;
    while (igvm_iter_next(&iter, &header, &error) > 0) {
        struct gpa_range range;

        if (header.desc == NULL || (igvm_header_mask(&header) & mask) == 0) {
            continue;
        }
        range = imported(&header, &areas, has_vmsa);
        if (gpa_range_bytes(range) == 0) {
            continue;
        }
        if (*count < capacity) {
            extents[*count] = (struct igvm_extent){range, header.file_off, header.type};
        }
        *count += 1;
    }
    return *count > capacity ? -ENOSPC : 0;
}

static void swap(struct igvm_extent *a, struct igvm_extent *b) {
    struct igvm_extent t = *a;

    *a = *b;
    *b = t;
}

/// Address first, file order among equals: the result does not depend on the sort's own order.
static bool is_before(const struct igvm_extent *a, const struct igvm_extent *b) {
    if (a->range.start != b->range.start) {
        return a->range.start < b->range.start;
    }
    return a->file_off < b->file_off;
}

/// Restores the heap below root, whose children are heaps already.
static void sift_down(struct igvm_extent *heap, size_t root, size_t count) {
    for (;;) {
        size_t child = 2 * root + 1;

        if (child >= count) {
            return;
        }
        if (child + 1 < count && is_before(&heap[child], &heap[child + 1])) {
            child++;
        }
        if (!is_before(&heap[root], &heap[child])) {
            return;
        }
        swap(&heap[root], &heap[child]);
        root = child;
    }
}

int igvm_find_overlap(struct igvm_extent *extents, size_t count, struct igvm_error *error) {
    // Heap sort: in place, no recursion, no bad case that a hostile file could choose.
    for (size_t i = count / 2; i > 0; i--) {
        sift_down(extents, i - 1, count);
    }
    for (size_t i = count; i > 1; i--) {
        swap(&extents[0], &extents[i - 1]);
        sift_down(extents, 0, i - 1);
    }
    for (size_t i = 1; i < count; i++) {
        const struct igvm_extent *a = &extents[i - 1];
        const struct igvm_extent *b = &extents[i];

        if (gpa_ranges_overlap(a->range, b->range)) {
            const struct igvm_extent *later = a->file_off > b->file_off ? a : b;

            return igvm_fail(error, IGVM_RULE_GPA_OVERLAP, later->header_type, later->file_off);
        }
    }
    return 0;
}
