// SPDX-License-Identifier: MIT
//
// igvmtool: the guest-physical layout of a manifest as text, for `build --verbose`.

#include "tools/igvmtool/manifest.h"

#include <inttypes.h>
#include <stdlib.h>

/// A line of the map, for sorting.
struct line {
    const struct manifest_region *region;
};

static int by_address(const void *left, const void *right) {
    const struct manifest_region *a = ((const struct line *)left)->region;
    const struct manifest_region *b = ((const struct line *)right)->region;

    if (a->gpa != b->gpa) {
        return a->gpa < b->gpa ? -1 : 1;
    }
    // Same address (regions of different platforms): as in the manifest.
    return a < b ? -1 : a > b;
}

static const char *measured(const struct manifest_region *region) {
    if (region->kind == MANIFEST_PARAMETER_AREA) {
        return "by the host";
    }
    if ((region->flags & IGVM_PAGE_SHARED) != 0) {
        return "shared";
    }
    return (region->flags & IGVM_PAGE_UNMEASURED) != 0 ? "unmeasured" : "measured";
}

static void print_platforms(const struct manifest *manifest, uint32_t mask, FILE *out) {
    for (size_t i = 0; i < manifest->platform_count; i++) {
        if ((mask & manifest->platforms[i].compatibility_mask) != 0) {
            fprintf(out, " %s", igvm_platform_names[manifest->platforms[i].platform_type]);
        }
    }
    fputc('\n', out);
}

void manifest_print_map(const struct manifest *manifest, FILE *out) {
    struct line *order = calloc(manifest->region_count + 1, sizeof(*order));
    uint64_t end = 0;
    size_t count = 0;

    if (order == NULL) {
        return; // only the picture is lost
    }
    for (size_t i = 0; i < manifest->region_count; i++) {
        if (manifest_occupies(&manifest->regions[i])) {
            order[count++].region = &manifest->regions[i];
        }
    }
    qsort(order, count, sizeof(*order), by_address);
    fprintf(out, "  %-16s  %-16s  %9s  %-16s  %-14s  %-11s  platforms\n", "start", "end", "KiB",
            "region", "kind", "measured");
    for (size_t i = 0; i < count; i++) {
        const struct manifest_region *region = order[i].region;

        if (region->gpa > end) {
            fprintf(out, "  %35s %10" PRIu64 "  .\n", "", (region->gpa - end) / 1024);
        }
        fprintf(out, "+ %016" PRIx64 "  %016" PRIx64 "  %9" PRIu64 "  %-16s  %-14s  %-11s ",
                region->gpa, region->gpa + region->size_bytes, region->size_bytes / 1024,
                region->name, manifest_kind_names[region->kind], measured(region));
        print_platforms(manifest, region->mask, out);
        end = region->gpa + region->size_bytes > end ? region->gpa + region->size_bytes : end;
    }
    free(order);
}
