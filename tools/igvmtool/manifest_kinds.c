// SPDX-License-Identifier: MIT
//
// igvmtool: manifest text to struct manifest: what each kind of region has of its own.

#include "tools/igvmtool/manifest.h"

#include <errno.h>
#include <string.h>

/// Members that every region may have; each kind adds its own.
#define COMMON_KEYS "kind", "name", "description", "platforms"

/// An address or a size: whole pages.
static int need_pages(const struct igvmtool_json *node, const char *key, uint64_t max,
                      uint64_t *out) {
    struct igvmtool_json member;

    if (igvmtool_json_need_number(node, key, max, out) != 0) {
        return -EINVAL;
    }
    igvmtool_json_get(node, key, &member);
    if (!is_aligned(*out, IGVM_PAGE_SIZE)) {
        return igvmtool_json_fail(&member, "is 0x%llx, no multiple of 0x1000: round it",
                                  (unsigned long long)*out);
    }
    return 0;
}

/// "gpa" and, if it is wanted or given, "size"; their sum must not wrap.
static int need_range(const struct igvmtool_json *node, bool size_wanted,
                      struct manifest_region *region) {
    struct igvmtool_json member;
    uint64_t end;

    if (need_pages(node, "gpa", UINT64_MAX, &region->gpa) != 0) {
        return -EINVAL;
    }
    if (!igvmtool_json_get(node, "size", &member) && !size_wanted) {
        return 0;
    }
    if (need_pages(node, "size", UINT32_MAX, &region->size_bytes) != 0) {
        return -EINVAL;
    }
    if (region->size_bytes == 0) {
        return igvmtool_json_fail(&member, "must not be zero");
    }
    if (__builtin_add_overflow(region->gpa, region->size_bytes, &end)) {
        return igvmtool_json_fail(&member, "goes past the end of the address space");
    }
    return 0;
}

static int parse_page_flags(const struct igvmtool_json *node, struct manifest_region *region) {
    bool unmeasured = false;
    bool shared = false;

    if (igvmtool_json_bool_or(node, "unmeasured", &unmeasured) != 0 ||
        igvmtool_json_bool_or(node, "shared", &shared) != 0) {
        return -EINVAL;
    }
    region->flags = (unmeasured ? IGVM_PAGE_UNMEASURED : 0) | (shared ? IGVM_PAGE_SHARED : 0);
    return 0;
}

static int parse_data(const struct igvmtool_json *node, struct manifest_region *region) {
    static const char *const keys[] = {COMMON_KEYS,  "gpa",    "size",      "file", "max_bytes",
                                       "unmeasured", "shared", "page_type", NULL};
    struct igvmtool_json type;
    struct igvmtool_json file;
    uint64_t number = IGVM_PAGE_NORMAL;

    if (igvmtool_json_only(node, keys) != 0 ||
        igvmtool_json_text_or(node, "file", &region->file) != 0 ||
        need_range(node, region->file == NULL, region) != 0 ||
        igvmtool_json_number_or(node, "max_bytes", UINT32_MAX, &region->max_bytes) != 0 ||
        parse_page_flags(node, region) != 0) {
        return -EINVAL;
    }
    if (igvmtool_json_get(node, "page_type", &type) &&
        igvmtool_json_choice(&type, igvm_page_type_names, IGVM_PAGE_TYPE_NAME_COUNT, &number)) {
        return -EINVAL;
    }
    region->page_type = (uint16_t)number;
    if (igvmtool_json_get(node, "file", &file) && region->file[0] == '\0') {
        return igvmtool_json_fail(&file, "is empty: name a file, or leave it out for zeroes");
    }
    return 0;
}

static int parse_page_tables(const struct igvmtool_json *node, struct manifest_region *region) {
    static const char *const keys[] = {COMMON_KEYS,      "gpa", "size", "map_bytes",
                                       "encryption_bit", NULL};
    const uint64_t most = 512ull << 30; // one PML4 entry
    struct igvmtool_json member;
    uint64_t bit = 0;

    region->map_bytes = 4ull << 30;
    if (igvmtool_json_only(node, keys) != 0 || need_range(node, false, region) != 0 ||
        igvmtool_json_number_or(node, "map_bytes", most, &region->map_bytes) != 0 ||
        igvmtool_json_number_or(node, "encryption_bit", 51, &bit) != 0) {
        return -EINVAL;
    }
    igvmtool_json_get(node, "map_bytes", &member);
    if (region->map_bytes == 0 || !is_aligned(region->map_bytes, 1ull << 30)) {
        return igvmtool_json_fail(&member, "must be a multiple of 1G, up to 512G");
    }
    igvmtool_json_get(node, "encryption_bit", &member);
    if (bit != 0 && bit < 40) {
        return igvmtool_json_fail(&member, "must be from 40 to 51 (or 0 for none)");
    }
    region->entry_bits = bit == 0 ? 0 : 1ull << bit;
    return 0;
}

static int parse_payloads(const struct igvmtool_json *node, struct manifest_shim_config *config) {
    static const char *const keys[] = {"kind", "region", NULL};
    static const char *const kinds[] = {"none",        "kernel",      "initrd",
                                        "vtl0-kernel", "vtl0-initrd", "vtl0-firmware"};
    struct igvmtool_json list;
    struct igvmtool_json item;
    struct igvmtool_json kind;

    if (!igvmtool_json_get(node, "payloads", &list)) {
        return 0;
    }
    if (igvmtool_json_count(&list, SHIM_MAX_PAYLOADS, &config->payload_count) != 0) {
        return -EINVAL;
    }
    for (size_t i = 0; i < config->payload_count; i++) {
        struct manifest_payload *payload = &config->payloads[i];
        uint64_t number = 0;

        igvmtool_json_at(&list, i, &item);
        if (igvmtool_json_only(&item, keys) != 0 ||
            igvmtool_json_need_text(&item, "region", &payload->region) != 0) {
            return -EINVAL;
        }
        igvmtool_json_get(&item, "kind", &kind);
        if (igvmtool_json_choice(&kind, kinds, ARRAY_COUNT(kinds), &number) != 0) {
            return -EINVAL;
        }
        payload->kind = (uint32_t)number;
    }
    return 0;
}

/// Text that has to fit a field of size_bytes with its terminator.
static int text_that_fits(const struct igvmtool_json *node, const char *key, size_t size_bytes,
                          const char **out) {
    struct igvmtool_json member;

    *out = "";
    if (igvmtool_json_text_or(node, key, out) != 0) {
        return -EINVAL;
    }
    igvmtool_json_get(node, key, &member);
    if (strlen(*out) >= size_bytes) {
        return igvmtool_json_fail(&member, "has %zu characters, at most %zu fit", strlen(*out),
                                  size_bytes - 1);
    }
    return 0;
}

static int parse_shim_config(const struct igvmtool_json *node, struct manifest_region *region) {
    static const char *const keys[] = {COMMON_KEYS,    "gpa",          "size",
                                       "vtl2_ram_end", "command_line", "image_version",
                                       "flags",        "payloads",     NULL};
    static const char *const flag_names[] = {"allow-host-command-line", "allow-host-config"};
    struct manifest_shim_config *config = &region->config;
    struct igvmtool_json flags;
    struct igvmtool_json member;

    if (igvmtool_json_only(node, keys) != 0 || need_range(node, false, region) != 0 ||
        igvmtool_json_need_number(node, "vtl2_ram_end", UINT64_MAX, &config->vtl2_ram_end_gpa) ||
        text_that_fits(node, "command_line", sizeof(((struct shim_config *)NULL)->command_line),
                       &config->command_line) != 0 ||
        text_that_fits(node, "image_version", sizeof(((struct shim_config *)NULL)->image_version),
                       &config->image_version) != 0) {
        return -EINVAL;
    }
    igvmtool_json_get(node, "vtl2_ram_end", &member);
    if (!is_aligned(config->vtl2_ram_end_gpa, PAGE_SIZE_2M)) {
        return igvmtool_json_fail(&member, "must be a multiple of 2M");
    }
    if (igvmtool_json_get(node, "flags", &flags) &&
        igvmtool_json_flags(&flags, flag_names, ARRAY_COUNT(flag_names), &config->flags) != 0) {
        return -EINVAL;
    }
    return parse_payloads(node, config);
}

static int parse_parameter(const struct igvmtool_json *node, const struct manifest_region *region,
                           struct manifest_parameter *parameter) {
    static const char *const keys[] = {"type", "offset", NULL};
    const struct igvm_header_desc *desc;
    struct igvmtool_json member;
    const char *type = NULL;
    uint64_t offset = 0;

    if (igvmtool_json_only(node, keys) != 0 || igvmtool_json_need_text(node, "type", &type) != 0 ||
        igvmtool_json_number_or(node, "offset", UINT32_MAX, &offset) != 0) {
        return -EINVAL;
    }
    igvmtool_json_get(node, "type", &member);
    desc = igvm_desc_of_name(type);
    if (desc == NULL || desc->min_parameter_bytes == 0) {
        return igvmtool_json_fail(&member, "must be one of: vp_count, memory_map, mmio_ranges, "
                                           "command_line, device_tree, environment_info, srat, "
                                           "madt, slit, pptt");
    }
    igvmtool_json_get(node, "offset", &member);
    if (offset > region->size_bytes || region->size_bytes - offset < desc->min_parameter_bytes) {
        return igvmtool_json_fail(&member, "leaves less than the %u bytes that it needs",
                                  (unsigned)desc->min_parameter_bytes);
    }
    *parameter = (struct manifest_parameter){desc->type, (uint32_t)offset};
    return 0;
}

static int parse_parameter_area(const struct igvmtool_json *node, struct manifest_region *region) {
    static const char *const keys[] = {COMMON_KEYS, "gpa", "size", "file", "parameters", NULL};
    struct igvmtool_json list;
    struct igvmtool_json item;

    if (igvmtool_json_only(node, keys) != 0 || need_range(node, true, region) != 0 ||
        igvmtool_json_text_or(node, "file", &region->file) != 0) {
        return -EINVAL;
    }
    igvmtool_json_get(node, "parameters", &list);
    if (igvmtool_json_count(&list, MANIFEST_MAX_PARAMETERS, &region->parameter_count) != 0) {
        return -EINVAL;
    }
    for (size_t i = 0; i < region->parameter_count; i++) {
        igvmtool_json_at(&list, i, &item);
        if (parse_parameter(&item, region, &region->parameters[i]) != 0) {
            return -EINVAL;
        }
    }
    return 0;
}

static int parse_required_memory(const struct igvmtool_json *node, struct manifest_region *region) {
    static const char *const keys[] = {COMMON_KEYS, "gpa", "size", "vtl2_protectable", NULL};
    bool protectable = false;

    if (igvmtool_json_only(node, keys) != 0 || need_range(node, true, region) != 0 ||
        igvmtool_json_bool_or(node, "vtl2_protectable", &protectable) != 0) {
        return -EINVAL;
    }
    region->flags = protectable ? IGVM_REQUIRED_MEMORY_VTL2_PROTECTABLE : 0;
    return 0;
}

static int parse_vp_context(const struct igvmtool_json *node, struct manifest_region *region) {
    static const char *const keys[] = {COMMON_KEYS, "gpa",       "file",         "vp_index", "vtl",
                                       "mode",      "registers", "sev_features", NULL};
    struct igvmtool_json member;

    if (igvmtool_json_only(node, keys) != 0 ||
        igvmtool_json_text_or(node, "file", &region->file) != 0) {
        return -EINVAL;
    }
    if (igvmtool_json_get(node, "gpa", &member)) {
        if (need_range(node, false, region) != 0) {
            return -EINVAL;
        }
        region->size_bytes = IGVM_VP_CONTEXT_BYTES; // the VMSA is a page of guest memory
    }
    return manifest_parse_vp(node, &region->vp);
}

int manifest_parse_kind(struct manifest *manifest, const struct igvmtool_json *node,
                        struct manifest_region *region) {
    switch (region->kind) {
    case MANIFEST_DATA:
        return parse_data(node, region);
    case MANIFEST_PAGE_TABLES:
        return parse_page_tables(node, region);
    case MANIFEST_SHIM_CONFIG:
        return parse_shim_config(node, region);
    case MANIFEST_PARAMETER_AREA:
        return parse_parameter_area(node, region);
    case MANIFEST_REQUIRED_MEMORY:
        return parse_required_memory(node, region);
    case MANIFEST_VP_CONTEXT:
        return parse_vp_context(node, region);
    case MANIFEST_HEADER:
        return manifest_parse_header(node, region);
    case MANIFEST_KIND_COUNT:
        break;
    }
    return manifest_region_fail(manifest, region, "has no kind");
}
