// SPDX-License-Identifier: MIT
//
// igvmtool: contents of a manifest's regions, their sizes, and whether they fit beside each other.

#include "tools/igvmtool/manifest.h"

#include "igvm/igvm_vp.h"

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
    if (region->size_bytes == 0) {
        return manifest_region_fail(manifest, region, "is empty: its file has no bytes");
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

/// What each platform's format of a VP context takes: a file or registers, an address or none.
static int check_vp_context(struct manifest *manifest, const struct manifest_region *region) {
    bool any = false;

    for (size_t i = 0; i < manifest->platform_count; i++) {
        const struct igvm_supported_platform *platform = &manifest->platforms[i];
        const enum igvm_vp_format format = igvm_vp_format(platform->platform_type);
        const char *name = igvm_platform_names[platform->platform_type];
        const bool is_page = format == IGVM_VP_FORMAT_VMSA || format == IGVM_VP_FORMAT_CCA;

        if ((region->mask & platform->compatibility_mask) == 0 || format == IGVM_VP_FORMAT_NONE) {
            continue;
        }
        any = true;
        if (region->file != NULL && !is_page) {
            return manifest_region_fail(manifest, region, "%s takes registers, not a file", name);
        }
        if (region->file == NULL && format == IGVM_VP_FORMAT_CCA) {
            return manifest_region_fail(manifest, region, "%s needs a file with its context", name);
        }
        if (format == IGVM_VP_FORMAT_VMSA && region->gpa == 0) {
            return manifest_region_fail(manifest, region, "%s needs the VMSA's gpa", name);
        }
        if (region->data.size_bytes > IGVM_VP_CONTEXT_BYTES) {
            return manifest_region_fail(manifest, region, "a context has at most 4096 bytes");
        }
    }
    return any ? 0
               : manifest_region_fail(manifest, region,
                                      "its platforms start from reset: leave it out");
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
        } else if (manifest->regions[i].kind == MANIFEST_VP_CONTEXT) {
            rc = check_vp_context(manifest, &manifest->regions[i]);
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
