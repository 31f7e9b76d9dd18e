// SPDX-License-Identifier: MIT
//
// igvmtool: manifest text to struct manifest: top level and what all regions have in common.

#include "tools/igvmtool/manifest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *const manifest_kind_names[MANIFEST_KIND_COUNT] = {
    "data",       "page_tables", "shim_config", "parameter_area", "required_memory",
    "vp_context", "header",
};

int manifest_region_fail(const struct manifest *manifest, const struct manifest_region *region,
                         const char *format, ...) {
    char text[352];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return igvmtool_error_set(manifest->error, "%s: %s (%s): %s", manifest->file, region->path,
                              region->name, text);
}

const struct manifest_region *manifest_find(const struct manifest *manifest, const char *name) {
    for (size_t i = 0; i < manifest->region_count; i++) {
        if (strcmp(manifest->regions[i].name, name) == 0) {
            return &manifest->regions[i];
        }
    }
    return NULL;
}

bool manifest_occupies(const struct manifest_region *region) {
    return region->kind != MANIFEST_REQUIRED_MEMORY && region->kind != MANIFEST_HEADER &&
           region->size_bytes != 0;
}

// ---- platforms
// -----------------------------------------------------------------------------------

static int parse_platform(struct manifest *manifest, const struct igvmtool_json *node, size_t idx) {
    static const char *const keys[] = {"type", "highest_vtl", "shared_gpa_boundary", "gpa_delta",
                                       NULL};
    struct igvmtool_json type;
    uint64_t type_number = 0;
    uint64_t vtl = 0;
    uint64_t boundary = 0;
    uint64_t delta = 0;

    if (igvmtool_json_only(node, keys) != 0) {
        return -EINVAL;
    }
    igvmtool_json_get(node, "type", &type);
    if (igvmtool_json_choice(&type, igvm_platform_names, IGVM_PLATFORM_NAME_COUNT, &type_number) ||
        igvmtool_json_number_or(node, "highest_vtl", 2, &vtl) ||
        igvmtool_json_number_or(node, "shared_gpa_boundary", UINT64_MAX, &boundary) ||
        igvmtool_json_number_or(node, "gpa_delta", UINT64_MAX, &delta)) {
        return -EINVAL;
    }
    if (!is_aligned(delta, PAGE_SIZE_2M)) {
        return igvmtool_json_fail(node, "gpa_delta must be a multiple of 2 MiB");
    }
    for (size_t i = 0; i < manifest->platform_count; i++) {
        if (manifest->platforms[i].platform_type == type_number) {
            return igvmtool_json_fail(&type, "is declared twice: remove one");
        }
    }
    manifest->gpa_delta[idx] = delta;
    manifest->platforms[manifest->platform_count++] = (struct igvm_supported_platform){
        .compatibility_mask = 1u << idx,
        .highest_vtl = (uint8_t)vtl,
        .platform_type = (uint8_t)type_number,
        .platform_version = IGVM_PLATFORM_VERSION,
        .shared_gpa_boundary = boundary,
    };
    return 0;
}

static int parse_platforms(struct manifest *manifest, const struct igvmtool_json *root) {
    struct igvmtool_json list;
    struct igvmtool_json item;
    size_t count;

    igvmtool_json_get(root, "platforms", &list);
    if (igvmtool_json_count(&list, MANIFEST_MAX_PLATFORMS, &count) != 0) {
        return -EINVAL;
    }
    if (count == 0) {
        return igvmtool_json_fail(&list, "is empty: name at least one platform");
    }
    for (size_t i = 0; i < count; i++) {
        igvmtool_json_at(&list, i, &item);
        if (parse_platform(manifest, &item, i) != 0) {
            return -EINVAL;
        }
    }
    return 0;
}

/// The mask of the platforms that a region is for; all of them by default.
static int parse_mask(const struct manifest *manifest, const struct igvmtool_json *node,
                      uint32_t *mask) {
    struct igvmtool_json list;
    struct igvmtool_json item;
    size_t count;

    *mask = (1u << manifest->platform_count) - 1;
    if (!igvmtool_json_get(node, "platforms", &list)) {
        return 0;
    }
    if (igvmtool_json_count(&list, MANIFEST_MAX_PLATFORMS, &count) != 0) {
        return -EINVAL;
    }
    *mask = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t type = 0;
        uint32_t bit = 0;

        igvmtool_json_at(&list, i, &item);
        if (igvmtool_json_choice(&item, igvm_platform_names, IGVM_PLATFORM_NAME_COUNT, &type)) {
            return -EINVAL;
        }
        for (size_t k = 0; k < manifest->platform_count; k++) {
            if (manifest->platforms[k].platform_type == type) {
                bit = manifest->platforms[k].compatibility_mask;
            }
        }
        if (bit == 0) {
            return igvmtool_json_fail(&item, "is not declared: add it to $.platforms");
        }
        *mask |= bit;
    }
    return *mask != 0 ? 0 : igvmtool_json_fail(&list, "is empty: name a platform or leave it out");
}

// ---- regions
// -------------------------------------------------------------------------------------

static int parse_region(struct manifest *manifest, const struct igvmtool_json *node, size_t idx) {
    struct manifest_region *region = &manifest->regions[idx];
    struct igvmtool_json kind;
    uint64_t number = 0;

    if (!yyjson_is_obj(node->value)) {
        return igvmtool_json_fail(node, "must be an object");
    }
    snprintf(region->path, sizeof(region->path), "$.regions[%zu]", idx);
    igvmtool_json_get(node, "kind", &kind);
    if (igvmtool_json_choice(&kind, manifest_kind_names, MANIFEST_KIND_COUNT, &number) != 0) {
        return -EINVAL;
    }
    region->kind = (enum manifest_kind)number;
    region->name = manifest_kind_names[number];
    if (igvmtool_json_text_or(node, "name", &region->name) != 0 ||
        parse_mask(manifest, node, &region->mask) != 0) {
        return -EINVAL;
    }
    return manifest_parse_kind(manifest, node, region);
}

/// Regions that others refer to have a name of their own.
static int check_names(const struct manifest *manifest) {
    for (size_t i = 0; i < manifest->region_count; i++) {
        const struct manifest_region *region = &manifest->regions[i];
        const struct manifest_region *first = manifest_find(manifest, region->name);

        if (first != region && region->name != manifest_kind_names[region->kind]) {
            return manifest_region_fail(manifest, region, "has the name of %s: rename one",
                                        first->path);
        }
    }
    return 0;
}

static int parse_regions(struct manifest *manifest, const struct igvmtool_json *root) {
    struct igvmtool_json list;
    struct igvmtool_json item;
    size_t count;

    igvmtool_json_get(root, "regions", &list);
    if (igvmtool_json_count(&list, MANIFEST_MAX_REGIONS, &count) != 0) {
        return -EINVAL;
    }
    manifest->regions = calloc(count + 1, sizeof(*manifest->regions));
    if (manifest->regions == NULL) {
        igvmtool_error_set(manifest->error, "out of memory");
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        manifest->region_count = i + 1; // a region that fails half way is released as well
        igvmtool_json_at(&list, i, &item);
        if (parse_region(manifest, &item, i) != 0) {
            return -EINVAL;
        }
    }
    return check_names(manifest) != 0 ? -EINVAL : manifest_apply_deltas(manifest);
}

static int parse_top(struct manifest *manifest, const struct igvmtool_json *root) {
    static const char *const keys[] = {
        "$schema", "description", "format_version", "architecture", "platforms", "regions", NULL};
    static const char *const architectures[] = {"x64", "aarch64"};
    struct igvmtool_json architecture;
    uint64_t version = IGVM_FORMAT_VERSION_2;
    uint64_t number = IGVM_ARCH_X64;

    if (igvmtool_json_only(root, keys) != 0 ||
        igvmtool_json_number_or(root, "format_version", IGVM_FORMAT_VERSION_2, &version) != 0) {
        return -EINVAL;
    }
    if (igvmtool_json_get(root, "architecture", &architecture) &&
        igvmtool_json_choice(&architecture, architectures, ARRAY_COUNT(architectures), &number)) {
        return -EINVAL;
    }
    if (version == 0) {
        return igvmtool_json_fail(root, "format_version must be 1 or 2");
    }
    manifest->format_version = (uint32_t)version;
    manifest->architecture = (enum igvm_architecture)number;
    if (parse_platforms(manifest, root) != 0) {
        return -EINVAL;
    }
    return parse_regions(manifest, root);
}

int manifest_parse(struct manifest *manifest, const char *name, const void *text, size_t text_bytes,
                   struct igvmtool_error *error) {
    struct igvmtool_json root = {.file = name, .error = error, .path = "$"};
    const char *slash = strrchr(name, '/');
    yyjson_read_err why;

    *manifest = (struct manifest){.file = name, .error = error};
    manifest->folder = slash == NULL ? strdup("") : strndup(name, (size_t)(slash - name) + 1);
    if (manifest->folder == NULL) {
        igvmtool_error_set(error, "out of memory");
        return -ENOMEM;
    }
    // Without YYJSON_READ_INSITU the text is not written to, whatever the parameter's type says.
    manifest->doc = yyjson_read_opts((char *)(uintptr_t)text, text_bytes, 0, NULL, &why);
    if (manifest->doc == NULL) {
        return igvmtool_error_set(error, "%s: byte %zu: %s", name, why.pos, why.msg);
    }
    root.value = yyjson_doc_get_root(manifest->doc);
    return parse_top(manifest, &root);
}

void manifest_free(struct manifest *manifest) {
    for (size_t i = 0; i < manifest->region_count; i++) {
        igvmtool_bytes_free(&manifest->regions[i].data);
    }
    free(manifest->regions);
    free(manifest->folder);
    yyjson_doc_free(manifest->doc);
    *manifest = (struct manifest){0};
}
