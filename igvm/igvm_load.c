// SPDX-License-Identifier: MIT
//
// IGVM loading: one platform's directives in file order, parameter areas included.

#include "igvm/igvm_load.h"

#include "igvm/base/bytes.h"
#include "igvm/igvm_desc.h"

#include <errno.h>

struct load_area {
    uint32_t idx;
    bool wanted; // this platform inserts it
    uint8_t *buffer;
    uint64_t size_bytes;
};

struct load {
    const struct igvm_file *file;
    const struct igvm_host_params *params;
    const struct igvm_load_ops *ops;
    void *host;
    struct igvm_error *error;
    int host_errno;
    struct igvm_supported_platform platform;
    struct load_area areas[IGVM_MAX_PARAMETER_AREAS];
    uint32_t area_count;
};

static int fail(struct load *load, const struct igvm_header *header, enum igvm_rule rule) {
    return igvm_fail(load->error, rule, header->type, header->file_off);
}

/// Turns an operation's answer into ours.
static int answered(struct load *load, const struct igvm_header *header, int rc) {
    if (rc == 0) {
        return 0;
    }
    load->host_errno = rc;
    return fail(load, header, IGVM_RULE_HOST_REFUSED);
}

static struct load_area *find_area(struct load *load, uint32_t idx) {
    for (uint32_t i = 0; i < load->area_count; i++) {
        if (load->areas[i].idx == idx) {
            return &load->areas[i];
        }
    }
    return NULL;
}

/// First pass: areas are common to all platforms, their insertion is not. An area that another
/// platform inserts needs no buffer here.
static int find_areas(struct load *load) {
    struct igvm_iter iter = igvm_iter_start(load->file);
    struct igvm_header header;
    int rc;

    while ((rc = igvm_iter_next(&iter, &header, load->error)) > 0) {
        struct load_area *area;

        if (header.desc == NULL) {
            continue;
        }
        if (header.type == IGVM_VHT_PARAMETER_AREA) {
            if (load->area_count == IGVM_MAX_PARAMETER_AREAS) {
                return fail(load, &header, IGVM_RULE_AREA_LIMIT);
            }
            load->areas[load->area_count++] = (struct load_area){
                .idx = header.u.parameter_area.parameter_area_index,
                .size_bytes = header.u.parameter_area.number_of_bytes,
            };
        } else if (header.type == IGVM_VHT_PARAMETER_INSERT &&
                   (igvm_header_mask(&header) & load->platform.compatibility_mask) != 0) {
            area = find_area(load, header.u.parameter_insert.parameter_area_index);
            if (area == NULL) {
                return fail(load, &header, IGVM_RULE_AREA_UNDECLARED);
            }
            area->wanted = true;
        }
    }
    return rc;
}

static int load_area(struct load *load, const struct igvm_header *header) {
    struct load_area *area = find_area(load, header->u.parameter_area.parameter_area_index);
    const uint8_t *data;
    uint64_t data_bytes;

    if (area == NULL || !area->wanted) {
        return 0;
    }
    if (area->buffer != NULL) {
        return fail(load, header, IGVM_RULE_AREA_DUPLICATE);
    }
    if (igvm_header_data(load->file, header, &data, &data_bytes) != 0) {
        return fail(load, header, IGVM_RULE_FILE_DATA);
    }
    // The buffer has the size of the first header with this index: another one is not the same.
    if (header->u.parameter_area.number_of_bytes != area->size_bytes) {
        return fail(load, header, IGVM_RULE_AREA_DUPLICATE);
    }
    area->buffer = load->ops->area_buffer(load->host, area->idx, area->size_bytes);
    if (area->buffer == NULL) {
        return answered(load, header, -ENOMEM);
    }
    if (data != NULL) {
        __builtin_memcpy(area->buffer, data, data_bytes);
    } else {
        __builtin_memset(area->buffer, 0, area->size_bytes);
    }
    return 0;
}

/// A value as it stands in host memory; NULL means that the host has none.
static int put_bytes(struct load *load, const struct igvm_header *header, uint8_t *to,
                     uint64_t room_bytes, const void *value, size_t size_bytes) {
    if (value == NULL) {
        return fail(load, header, IGVM_RULE_HOST_PARAMETER);
    }
    if (size_bytes > room_bytes) {
        return fail(load, header, IGVM_RULE_HOST_ROOM);
    }
    __builtin_memcpy(to, value, size_bytes);
    return 0;
}

static int put_blob(struct load *load, const struct igvm_header *header, uint8_t *to,
                    uint64_t room_bytes, const struct igvm_blob *blob) {
    return put_bytes(load, header, to, room_bytes, blob->data, blob->size_bytes);
}

/// Entries and the empty one that closes the map.
static int put_memory_map(struct load *load, const struct igvm_header *header, uint8_t *to,
                          uint64_t room_bytes) {
    static const struct igvm_memory_map_entry end;
    const size_t count = load->params->memory_map_count;
    int rc;

    if (count >= room_bytes / sizeof(end)) {
        return fail(load, header, IGVM_RULE_HOST_ROOM);
    }
    rc = put_bytes(load, header, to, room_bytes, load->params->memory_map, count * sizeof(end));
    if (rc == 0) {
        __builtin_memcpy(to + count * sizeof(end), &end, sizeof(end));
    }
    return rc;
}

static int put_command_line(struct load *load, const struct igvm_header *header, uint8_t *to,
                            uint64_t room_bytes) {
    const char *line = load->params->command_line;
    size_t length = 0;

    // Bounded by the room, so an endless line costs no more than the area's size.
    while (line != NULL && length < room_bytes && line[length] != '\0') {
        length++;
    }
    return put_bytes(load, header, to, room_bytes, line, length + 1);
}

static int load_parameter(struct load *load, const struct igvm_header *header) {
    const struct igvm_parameter *parameter = &header->u.parameter;
    const struct igvm_host_params *params = load->params;
    struct load_area *area = find_area(load, parameter->parameter_area_index);
    uint8_t number[sizeof(uint32_t)];
    uint64_t room_bytes;
    uint8_t *to;

    if (area == NULL || area->buffer == NULL) {
        return 0; // another platform's area
    }
    if (parameter->byte_offset > area->size_bytes) {
        return fail(load, header, IGVM_RULE_AREA_ROOM);
    }
    to = area->buffer + parameter->byte_offset;
    room_bytes = area->size_bytes - parameter->byte_offset;
    switch (header->type) {
    case IGVM_VHT_VP_COUNT_PARAMETER:
        store_le32(number, params->vp_count);
        return put_bytes(load, header, to, room_bytes, number, sizeof(number));
    case IGVM_VHT_ENVIRONMENT_INFO_PARAMETER:
        store_le32(number, params->environment);
        return put_bytes(load, header, to, room_bytes, number, sizeof(number));
    case IGVM_VHT_MMIO_RANGES:
        return put_bytes(load, header, to, room_bytes, &params->mmio_ranges,
                         sizeof(params->mmio_ranges));
    case IGVM_VHT_MEMORY_MAP:
        return put_memory_map(load, header, to, room_bytes);
    case IGVM_VHT_COMMAND_LINE:
        return put_command_line(load, header, to, room_bytes);
    case IGVM_VHT_DEVICE_TREE:
        return put_blob(load, header, to, room_bytes, &params->device_tree);
    case IGVM_VHT_SRAT:
        return put_blob(load, header, to, room_bytes, &params->srat);
    case IGVM_VHT_MADT:
        return put_blob(load, header, to, room_bytes, &params->madt);
    case IGVM_VHT_SLIT:
        return put_blob(load, header, to, room_bytes, &params->slit);
    case IGVM_VHT_PPTT:
        return put_blob(load, header, to, room_bytes, &params->pptt);
    default:
        return fail(load, header, IGVM_RULE_HEADER_TYPE);
    }
}

static int load_insert(struct load *load, const struct igvm_header *header) {
    const struct igvm_parameter_insert *insert = &header->u.parameter_insert;
    struct load_area *area = find_area(load, insert->parameter_area_index);
    uint8_t *buffer;

    if (area == NULL || area->buffer == NULL) {
        return fail(load, header, IGVM_RULE_AREA_UNDECLARED);
    }
    buffer = area->buffer;
    area->buffer = NULL; // the index is dead from here on
    return answered(load, header,
                    load->ops->area_insert(load->host, gpa(insert->gpa), buffer, area->size_bytes));
}

static int load_page(struct load *load, const struct igvm_header *header) {
    const struct igvm_page_data *data = &header->u.page_data;
    struct igvm_load_page page = {
        .gpa = gpa(data->gpa),
        .size_bytes = (data->flags & IGVM_PAGE_2MB) != 0 ? PAGE_SIZE_2M : PAGE_SIZE_4K,
        .flags = data->flags,
        .data_type = (enum igvm_page_data_type)data->data_type,
    };
    uint64_t data_bytes;

    if (igvm_header_data(load->file, header, &page.data, &data_bytes) != 0) {
        return fail(load, header, IGVM_RULE_FILE_DATA);
    }
    return answered(load, header, load->ops->page_data(load->host, &page));
}

static int load_vp(struct load *load, const struct igvm_header *header) {
    struct igvm_vp vp;

    if (igvm_vp_read(load->file, header, &load->platform, &vp, load->error) != 0) {
        return -EINVAL;
    }
    return answered(load, header, load->ops->vp_context(load->host, &vp));
}

/// Headers that only say "this range": memory that must exist, or the guest's error pages.
static int load_range(struct load *load, const struct igvm_header *header, uint64_t start,
                      uint64_t size_bytes, uint32_t flags) {
    struct gpa_range range = {.start = start};
    int rc = 0;

    if (__builtin_add_overflow(start, size_bytes, &range.end)) {
        return fail(load, header, IGVM_RULE_GPA_WRAP);
    }
    if (header->type == IGVM_VHT_ERROR_RANGE) {
        rc = load->ops->error_range != NULL ? load->ops->error_range(load->host, range) : 0;
    } else if (load->ops->required_memory != NULL) {
        rc = load->ops->required_memory(load->host, range, flags);
    }
    return answered(load, header, rc);
}

static int load_other(struct load *load, const struct igvm_header *header) {
    const uint8_t *data;
    uint64_t data_bytes;

    if (load->ops->other == NULL) {
        return 0;
    }
    if (igvm_header_data(load->file, header, &data, &data_bytes) != 0) {
        return fail(load, header, IGVM_RULE_FILE_DATA);
    }
    return answered(load, header, load->ops->other(load->host, header, data, data_bytes));
}

static int load_header(struct load *load, const struct igvm_header *header) {
    switch (header->type) {
    case IGVM_VHT_SUPPORTED_PLATFORM:
        return 0;
    case IGVM_VHT_PAGE_DATA:
        return load_page(load, header);
    case IGVM_VHT_PARAMETER_AREA:
        return load_area(load, header);
    case IGVM_VHT_PARAMETER_INSERT:
        return load_insert(load, header);
    case IGVM_VHT_VP_CONTEXT:
        return load_vp(load, header);
    case IGVM_VHT_REQUIRED_MEMORY:
        return load_range(load, header, header->u.required_memory.gpa,
                          header->u.required_memory.number_of_bytes,
                          header->u.required_memory.flags);
    case IGVM_VHT_RELOCATABLE_REGION:
        return load_range(load, header, header->u.relocatable_region.relocation_region_gpa,
                          header->u.relocatable_region.relocation_region_size, 0);
    case IGVM_VHT_PAGE_TABLE_RELOCATION_REGION:
        return load_range(load, header, header->u.page_table_relocation.gpa,
                          header->u.page_table_relocation.size, 0);
    case IGVM_VHT_ERROR_RANGE:
        return load_range(load, header, header->u.error_range.gpa, header->u.error_range.size_bytes,
                          0);
    default:
        return header->desc->min_parameter_bytes != 0 ? load_parameter(load, header)
                                                      : load_other(load, header);
    }
}

/// Second pass: everything of the platform, in file order.
static int load_headers(struct load *load) {
    struct igvm_iter iter = igvm_iter_start(load->file);
    struct igvm_header header;
    int rc;

    while ((rc = igvm_iter_next(&iter, &header, load->error)) > 0) {
        if (header.desc == NULL ||
            (igvm_header_mask(&header) & load->platform.compatibility_mask) == 0) {
            continue;
        }
        rc = load_header(load, &header);
        if (rc != 0) {
            return rc;
        }
    }
    return rc;
}

int igvm_load(const struct igvm_file *file, enum igvm_platform_type platform_type,
              const struct igvm_host_params *params, const struct igvm_load_ops *ops, void *host,
              struct igvm_error *error, int *host_errno) {
    struct load load = {.file = file, .params = params, .ops = ops, .host = host, .error = error};
    int rc;

    if (igvm_find_platform(file, platform_type, &load.platform) != 0) {
        rc = igvm_fail(error, IGVM_RULE_PLATFORM_ABSENT, IGVM_VHT_SUPPORTED_PLATFORM,
                       file->headers_off);
    } else {
        rc = find_areas(&load);
    }
    if (rc == 0) {
        rc = load_headers(&load);
    }
    if (host_errno != NULL) {
        *host_errno = load.host_errno;
    }
    return rc;
}
