// SPDX-License-Identifier: MIT
//
// igvmtool: contents of a manifest's regions, their sizes, and whether they fit beside each other.

#include "tools/igvmtool/manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/// Reads a region's file; its path is relative to the manifest's folder.
static int read_contents(struct manifest *manifest, struct manifest_region *region) {
    const bool absolute = region->file[0] == '/';
    const size_t room = strlen(manifest->folder) + strlen(region->file) + 2;
    char *path = malloc(room);
    struct igvmtool_error why;
    int rc;

    if (path == NULL) {
        igvmtool_error_set(manifest->error, "out of memory");
        return -ENOMEM;
    }
    snprintf(path, room, "%s%s", manifest->folder, region->file);
    rc = igvmtool_read_file(absolute ? region->file : path, &region->data, &why);
    free(path);
    if (rc != 0) {
        manifest_region_fail(manifest, region, "%.300s", why.text);
    }
    return rc;
}

/// The region's size in pages, from its contents or as it was asked for.
static int settle_size(struct manifest *manifest, struct manifest_region *region) {
    const uint64_t have = region->data.size_bytes;
    uint64_t end;
    uint64_t pages;

    if (region->max_bytes != 0 && have > region->max_bytes) {
        return manifest_region_fail(manifest, region, "has 0x%llx bytes, max_bytes is 0x%llx",
                                    (unsigned long long)have,
                                    (unsigned long long)region->max_bytes);
    }
    if (!align_up(have, IGVM_PAGE_SIZE, &pages)) {
        return manifest_region_fail(manifest, region, "is too large");
    }
    if (region->size_bytes == 0) {
        region->size_bytes = pages;
    }
    if (pages > region->size_bytes) {
        return manifest_region_fail(
            manifest, region, "has 0x%llx bytes of contents, its size is 0x%llx",
            (unsigned long long)have, (unsigned long long)region->size_bytes);
    }
    if (__builtin_add_overflow(region->gpa, region->size_bytes, &end)) {
        return manifest_region_fail(manifest, region, "goes past the end of the address space");
    }
    return 0;
}

/// A context that is not given as a file is made when the image is emitted; headers have their own.
static bool has_extent(const struct manifest_region *region) {
    return region->kind != MANIFEST_VP_CONTEXT && region->kind != MANIFEST_HEADER;
}

int manifest_load(struct manifest *manifest) {
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < manifest->region_count; i++) {
        if (manifest->regions[i].file != NULL) {
            rc = read_contents(manifest, &manifest->regions[i]);
        }
    }
    // After all files: the configuration hashes other regions' contents.
    for (size_t i = 0; rc == 0 && i < manifest->region_count; i++) {
        rc = manifest_generate(manifest, &manifest->regions[i]);
    }
    for (size_t i = 0; rc == 0 && i < manifest->region_count; i++) {
        if (has_extent(&manifest->regions[i])) {
            rc = settle_size(manifest, &manifest->regions[i]);
        }
    }
    return rc;
}

int manifest_check_layout(const struct manifest *manifest) {
    // At most 256 regions: the plain comparison of all pairs is the clearest.
    for (size_t i = 0; i < manifest->region_count; i++) {
        const struct manifest_region *a = &manifest->regions[i];

        for (size_t k = 0; k < i; k++) {
            const struct manifest_region *b = &manifest->regions[k];
            const struct gpa_range left = {b->gpa, b->gpa + b->size_bytes};
            const struct gpa_range right = {a->gpa, a->gpa + a->size_bytes};

            if ((a->mask & b->mask) != 0 && manifest_occupies(a) && manifest_occupies(b) &&
                gpa_ranges_overlap(left, right)) {
                return manifest_region_fail(
                    manifest, a, "[0x%llx, 0x%llx) overlaps %.64s [0x%llx, 0x%llx): move one",
                    (unsigned long long)right.start, (unsigned long long)right.end, b->name,
                    (unsigned long long)left.start, (unsigned long long)left.end);
            }
        }
    }
    return 0;
}
