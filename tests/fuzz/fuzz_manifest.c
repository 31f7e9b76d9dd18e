// SPDX-License-Identifier: MIT
//
// Fuzz target: igvmtool's manifest parser, and the image that a small manifest without files
// becomes.

#include "tools/igvmtool/manifest.h"

#include <stdlib.h>

/// Only what is quickly made: nothing read from disk, a few pages.
static bool is_small(const struct manifest *manifest) {
    uint64_t total = 0;

    for (size_t i = 0; i < manifest->region_count; i++) {
        const struct manifest_region *region = &manifest->regions[i];

        if (region->file != NULL || region->map_bytes > 4ull << 30) {
            return false;
        }
        total += region->kind == MANIFEST_REQUIRED_MEMORY ? 0 : region->size_bytes;
    }
    return total <= 1u << 20;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
    struct igvmtool_bytes image = {0};
    struct igvmtool_error error;
    struct manifest manifest;

    if (manifest_parse(&manifest, "fuzz.json", data, size_bytes, &error) == 0 &&
        is_small(&manifest) && manifest_load(&manifest) == 0 &&
        manifest_check_layout(&manifest) == 0) {
        (void)manifest_emit(&manifest, &image);
        igvmtool_bytes_free(&image);
    }
    manifest_free(&manifest);
    return 0;
}
