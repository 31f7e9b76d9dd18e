// SPDX-License-Identifier: MIT
//
// igvmtool: a loaded manifest to an IGVM file. The same walk runs twice, to measure and to write.

#include "tools/igvmtool/manifest.h"

#include "igvm/igvm_vp.h"
#include "igvm/igvm_write.h"
#include "tools/igvmtool/vp_formats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_zero(const uint8_t *bytes, size_t count) {
    return count == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0);
}

/// One header per page; a page of zeroes needs no file data. origin made of the same entry, and
/// written before, has the data already: page after page, as here.
static void put_pages(struct igvm_writer *writer, struct manifest_region *region,
                      const struct manifest_region *origin) {
    uint32_t shared_off = origin == region ? 0 : origin->data_off;

    region->data_off = 0;
    for (uint64_t off = 0; off < region->size_bytes; off += IGVM_PAGE_SIZE) {
        const size_t left = off < region->data.size_bytes ? region->data.size_bytes - off : 0;
        const size_t used = left < IGVM_PAGE_SIZE ? left : IGVM_PAGE_SIZE;
        struct igvm_page_data page = {
            .gpa = region->gpa + off,
            .compatibility_mask = region->mask,
            .flags = region->flags,
            .data_type = region->page_type,
        };

        if (used > 0 && !is_zero(region->data.data + off, used)) {
            page.file_offset = shared_off != 0 ? shared_off
                                               : igvm_put_data(writer, region->data.data + off,
                                                               used, IGVM_PAGE_SIZE);
            shared_off += shared_off != 0 ? IGVM_PAGE_SIZE : 0;
            region->data_off = region->data_off != 0 ? region->data_off : page.file_offset;
        }
        igvm_put_header(writer, IGVM_VHT_PAGE_DATA, &page);
    }
}

/// The area, its parameters, its insertion. An area's index is used once in a file, so an area for
/// several platforms is one area.
static void put_area(struct igvm_writer *writer, const struct manifest_region *region,
                     uint32_t area_idx) {
    struct igvm_parameter_area area = {
        .number_of_bytes = region->size_bytes,
        .parameter_area_index = area_idx,
    };
    const struct igvm_parameter_insert insert = {
        .gpa = region->gpa,
        .compatibility_mask = region->mask,
        .parameter_area_index = area_idx,
    };

    if (region->data.size_bytes != 0) {
        area.file_offset =
            igvm_put_data(writer, region->data.data, region->data.size_bytes, region->size_bytes);
    }
    igvm_put_header(writer, IGVM_VHT_PARAMETER_AREA, &area);
    for (size_t i = 0; i < region->parameter_count; i++) {
        const struct igvm_parameter parameter = {
            .parameter_area_index = area_idx,
            .byte_offset = region->parameters[i].byte_offset,
        };

        igvm_put_header(writer, region->parameters[i].type, &parameter);
    }
    igvm_put_header(writer, IGVM_VHT_PARAMETER_INSERT, &insert);
}

static void put_required_memory(struct igvm_writer *writer, const struct manifest_region *region) {
    const struct igvm_required_memory memory = {
        .gpa = region->gpa,
        .compatibility_mask = region->mask,
        .number_of_bytes = (uint32_t)region->size_bytes,
        .flags = region->flags,
    };

    igvm_put_header(writer, IGVM_VHT_REQUIRED_MEMORY, &memory);
}

/// A page given as a file, or made: the VMSA, or a CCA context that only a file can give.
static void put_context_page(struct igvm_writer *writer, const struct manifest_region *region,
                             uint32_t mask, uint64_t vmsa_gpa) {
    uint8_t made[IGVM_VP_CONTEXT_BYTES];
    const bool from_file = region->data.size_bytes != 0;
    struct igvm_vp_context context = {
        .gpa = vmsa_gpa,
        .compatibility_mask = mask,
        .vp_index = region->vp.vp_index,
    };

    if (!from_file) {
        vp_formats_vmsa(&region->vp, made);
    }
    context.file_offset =
        igvm_put_data(writer, from_file ? region->data.data : made,
                      from_file ? region->data.size_bytes : sizeof(made), IGVM_VP_CONTEXT_BYTES);
    igvm_put_header(writer, IGVM_VHT_VP_CONTEXT, &context);
}

/// One context per platform: their formats differ, and other readers expect one platform each.
static void put_vp_contexts(const struct manifest *manifest, struct igvm_writer *writer,
                            const struct manifest_region *region) {
    struct igvm_vbs_vp_context_register list[VP_FORMATS_VBS_MAX];
    uint32_t count;

    for (size_t i = 0; i < manifest->platform_count; i++) {
        const struct igvm_supported_platform *platform = &manifest->platforms[i];
        const uint32_t mask = region->mask & platform->compatibility_mask;

        if (mask == 0) {
            continue;
        }
        switch (igvm_vp_format(platform->platform_type)) {
        case IGVM_VP_FORMAT_NATIVE:
            igvm_put_native_vp(writer, mask, region->vp.vp_index, &region->vp.registers);
            break;
        case IGVM_VP_FORMAT_VBS:
            count = vp_formats_vbs(&region->vp, list);
            igvm_put_vbs_vp(writer, mask, region->vp.vp_index, list, count);
            break;
        case IGVM_VP_FORMAT_VMSA:
            put_context_page(writer, region, mask, region->gpa);
            break;
        case IGVM_VP_FORMAT_CCA:
            put_context_page(writer, region, mask, 0);
            break;
        case IGVM_VP_FORMAT_NONE:
            break; // TDX starts from reset: manifest_load() has seen that another platform is meant
        }
    }
}

/// A header given field by field; its file, if it has one, goes where the type's offset field says.
static void put_header(struct igvm_writer *writer, const struct manifest_region *region) {
    const struct igvm_header_desc *desc = region->header;
    uint8_t content[sizeof(region->content)];

    memcpy(content, region->content, sizeof(content));
    if (region->data.size_bytes != 0) {
        const uint32_t off = igvm_put_data(writer, region->data.data, region->data.size_bytes, 0);

        for (size_t i = 0; i < desc->field_count; i++) {
            if (desc->fields[i].role == IGVM_ROLE_FILE_OFF) {
                igvm_field_set(&desc->fields[i], content, off);
            } else if (strcmp(desc->fields[i].name, "size_bytes") == 0) {
                igvm_field_set(&desc->fields[i], content, region->data.size_bytes);
            }
        }
    }
    igvm_put_header(writer, desc->type, content);
}

static bool is_init(const struct manifest_region *region) {
    return region->kind == MANIFEST_HEADER && region->header->section == IGVM_SECTION_INIT;
}

/// The whole file: platforms, initialization headers, then directives in the manifest's order.
static void put_all(struct manifest *manifest, struct igvm_writer *writer) {
    uint32_t area_idx = 0;

    for (size_t i = 0; i < manifest->platform_count; i++) {
        igvm_put_header(writer, IGVM_VHT_SUPPORTED_PLATFORM, &manifest->platforms[i]);
    }
    for (size_t i = 0; i < manifest->region_count; i++) {
        if (is_init(&manifest->regions[i])) {
            put_header(writer, &manifest->regions[i]);
        }
    }
    for (size_t i = 0; i < manifest->region_count; i++) {
        struct manifest_region *region = &manifest->regions[i];

        switch (region->kind) {
        case MANIFEST_DATA:
        case MANIFEST_SHIM_CONFIG: // the same wherever it stands
            put_pages(writer, region, &manifest->regions[region->origin]);
            break;
        case MANIFEST_PAGE_TABLES: // not
            put_pages(writer, region, region);
            break;
        case MANIFEST_PARAMETER_AREA:
            put_area(writer, region, area_idx++);
            break;
        case MANIFEST_REQUIRED_MEMORY:
            put_required_memory(writer, region);
            break;
        case MANIFEST_VP_CONTEXT:
            put_vp_contexts(manifest, writer, region);
            break;
        case MANIFEST_HEADER:
            if (!is_init(region)) {
                put_header(writer, region);
            }
            break;
        case MANIFEST_KIND_COUNT:
            break;
        }
    }
}

/// What is written has to be valid: the manifest's author hears the format's own rule otherwise.
static int check_result(const struct manifest *manifest, const struct igvmtool_bytes *image) {
    struct igvm_error broken;
    struct igvm_file file;
    char line[384];

    if (igvm_open(&file, image->data, image->size_bytes, &broken) == 0 &&
        igvm_validate(&file, &broken) == 0) {
        return igvmtool_check_overlaps(manifest->file, &file, NULL, manifest->error);
    }
    igvm_error_format(&broken, line, sizeof(line));
    return igvmtool_error_set(manifest->error, "%s: what it describes is no valid file: %s",
                              manifest->file, line);
}

int manifest_emit(struct manifest *manifest, struct igvmtool_bytes *image) {
    struct igvm_writer writer;
    uint64_t size_bytes;
    int rc;

    *image = (struct igvmtool_bytes){0};
    igvm_writer_measure(&writer, manifest->format_version, manifest->architecture);
    put_all(manifest, &writer);
    size_bytes = igvm_writer_size(&writer);
    if (size_bytes > UINT32_MAX) {
        return igvmtool_error_set(manifest->error, "%s: the image would exceed 4 GiB",
                                  manifest->file);
    }
    image->data = malloc(size_bytes);
    image->size_bytes = size_bytes;
    if (image->data == NULL) {
        igvmtool_error_set(manifest->error, "out of memory");
        return -ENOMEM;
    }
    igvm_writer_emit(&writer, image->data, image->size_bytes);
    put_all(manifest, &writer);
    rc = igvm_writer_finish(&writer);
    if (rc != 0) {
        igvmtool_error_set(manifest->error, "%s: the writer failed: %s", manifest->file,
                           strerror(-rc));
        return rc;
    }
    return check_result(manifest, image);
}
