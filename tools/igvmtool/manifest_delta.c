// SPDX-License-Identifier: MIT
//
// igvmtool: platforms whose image stands elsewhere ("gpa_delta"). A region for platforms with
// different deltas becomes one region for each; their pages share the file's data.

#include "tools/igvmtool/manifest.h"

#include <errno.h>
#include <stdlib.h>

/// The first platform's delta, and which of the platforms in mask share it.
static uint32_t take_group(const struct manifest *manifest, uint32_t mask, uint64_t *delta) {
    uint32_t group = 0;

    for (size_t i = 0; i < manifest->platform_count; i++) {
        const uint32_t bit = manifest->platforms[i].compatibility_mask;

        if ((mask & bit) == 0) {
            continue;
        }
        if (group == 0) {
            *delta = manifest->gpa_delta[i];
        }
        if (manifest->gpa_delta[i] == *delta) {
            group |= bit;
        }
    }
    return group;
}

/// Whether the region has addresses that move: other headers are given field by field.
static bool moves(const struct manifest_region *region) {
    return region->kind != MANIFEST_HEADER;
}

static int move(const struct manifest *manifest, struct manifest_region *region, uint32_t mask,
                uint64_t delta) {
    region->mask = mask;
    region->delta = delta;
    if (__builtin_add_overflow(region->gpa, delta, &region->gpa) ||
        __builtin_add_overflow(region->vp.registers.rip, delta, &region->vp.registers.rip) ||
        __builtin_add_overflow(region->vp.registers.cr3, delta, &region->vp.registers.cr3)) {
        return manifest_region_fail(manifest, region,
                                    "gpa_delta moves it past the end of the address space");
    }
    return 0;
}

int manifest_apply_deltas(struct manifest *manifest) {
    const size_t count = manifest->region_count;
    struct manifest_region *regions =
        realloc(manifest->regions, (count * manifest->platform_count + 1) * sizeof(*regions));

    if (regions == NULL) {
        igvmtool_error_set(manifest->error, "out of memory");
        return -ENOMEM;
    }
    manifest->regions = regions;
    for (size_t i = 0; i < count; i++) {
        const struct manifest_region original = regions[i];
        uint32_t left = original.mask;

        regions[i].origin = i;
        regions[i].all_platforms = original.mask;
        while (moves(&original) && left != 0) { // ends: each round takes a platform at least
            const bool is_first = left == original.mask;
            struct manifest_region *region =
                is_first ? &regions[i] : &regions[manifest->region_count++];
            uint64_t delta = 0;
            const uint32_t group = take_group(manifest, left, &delta);

            *region = original;
            region->origin = i;
            region->all_platforms = original.mask;
            if (move(manifest, region, group, delta) != 0) {
                return -EINVAL;
            }
            left &= ~group;
        }
    }
    return 0;
}
