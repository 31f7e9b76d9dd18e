// SPDX-License-Identifier: MIT
//
// IGVM reader: fixed header, checksum, and the bounded walk over the variable headers.

#include "igvm/igvm.h"

#include "igvm/base/bytes.h"
#include "igvm/igvm_desc.h"
#include "igvm/igvm_vp.h"

#include <errno.h>

#define FIXED_OFF(member) offsetof(struct igvm_fixed_header, member)

size_t igvm_peek_size(const void *bytes, size_t size_bytes) {
    const uint8_t *p = bytes;
    uint32_t total;

    if (size_bytes < IGVM_FIXED_HEADER_V1_BYTES || load_le32(p) != IGVM_MAGIC) {
        return 0;
    }
    total = load_le32(p + FIXED_OFF(total_file_size));
    return total <= size_bytes ? total : 0;
}

/// The fixed header with its checksum field as zero, then the variable headers; a gap between the
/// two is not covered.
static uint32_t headers_crc(const uint8_t *bytes, uint32_t fixed_bytes, uint32_t off,
                            uint32_t size_bytes) {
    static const uint8_t zero[4];
    const uint32_t crc_off = FIXED_OFF(checksum);
    uint32_t crc = igvm_crc32(0, bytes, crc_off);

    crc = igvm_crc32(crc, zero, sizeof(zero));
    crc = igvm_crc32(crc, bytes + crc_off + sizeof(zero), fixed_bytes - crc_off - sizeof(zero));
    return igvm_crc32(crc, bytes + off, size_bytes);
}

/// Version, architecture and page size. Returns the fixed header's size, or -EINVAL.
static int read_version(struct igvm_file *file, struct igvm_error *error) {
    const uint8_t *p = file->bytes;

    file->format_version = load_le32(p + FIXED_OFF(format_version));
    file->architecture = IGVM_ARCH_X64;
    file->page_size_bytes = IGVM_PAGE_SIZE;
    if (file->format_version == IGVM_FORMAT_VERSION_1) {
        return IGVM_FIXED_HEADER_V1_BYTES;
    }
    if (file->format_version != IGVM_FORMAT_VERSION_2) {
        return igvm_fail(error, IGVM_RULE_VERSION, 0, FIXED_OFF(format_version));
    }
    if (file->size_bytes < IGVM_FIXED_HEADER_V2_BYTES) {
        return igvm_fail(error, IGVM_RULE_FIXED_HEADER, 0, file->size_bytes);
    }
    file->architecture = load_le32(p + FIXED_OFF(architecture));
    if (file->architecture > IGVM_ARCH_AARCH64) {
        return igvm_fail(error, IGVM_RULE_ARCHITECTURE, 0, FIXED_OFF(architecture));
    }
    file->page_size_bytes = load_le32(p + FIXED_OFF(page_size));
    if (file->page_size_bytes != IGVM_PAGE_SIZE) {
        return igvm_fail(error, IGVM_RULE_PAGE_SIZE, 0, FIXED_OFF(page_size));
    }
    return IGVM_FIXED_HEADER_V2_BYTES;
}

int igvm_open(struct igvm_file *file, const void *bytes, size_t size_bytes,
              struct igvm_error *error) {
    const uint8_t *p = bytes;
    uint32_t off;
    uint32_t headers_bytes;
    int fixed_bytes;

    *file = (struct igvm_file){.bytes = p, .size_bytes = size_bytes};
    if (size_bytes < IGVM_FIXED_HEADER_V1_BYTES) {
        return igvm_fail(error, IGVM_RULE_FIXED_HEADER, 0, size_bytes);
    }
    if (load_le32(p) != IGVM_MAGIC) {
        return igvm_fail(error, IGVM_RULE_MAGIC, 0, FIXED_OFF(magic));
    }
    fixed_bytes = read_version(file, error);
    if (fixed_bytes < 0) {
        return fixed_bytes;
    }
    if (load_le32(p + FIXED_OFF(total_file_size)) != size_bytes) {
        return igvm_fail(error, IGVM_RULE_FILE_SIZE, 0, FIXED_OFF(total_file_size));
    }
    off = load_le32(p + FIXED_OFF(variable_header_offset));
    if (off < (uint32_t)fixed_bytes || off > size_bytes || off % IGVM_HEADER_ALIGN != 0) {
        return igvm_fail(error, IGVM_RULE_HEADER_REGION, 0, FIXED_OFF(variable_header_offset));
    }
    headers_bytes = load_le32(p + FIXED_OFF(variable_header_size));
    if (headers_bytes > size_bytes - off || headers_bytes % IGVM_HEADER_ALIGN != 0) {
        return igvm_fail(error, IGVM_RULE_HEADER_REGION, 0, FIXED_OFF(variable_header_size));
    }
    file->headers_off = off;
    file->headers_end = off + headers_bytes; // at most size_bytes, which total_file_size holds
    file->checksum = load_le32(p + FIXED_OFF(checksum));
    if (file->checksum != headers_crc(p, (uint32_t)fixed_bytes, off, headers_bytes)) {
        return igvm_fail(error, IGVM_RULE_CHECKSUM, 0, FIXED_OFF(checksum));
    }
    return 0;
}

struct igvm_iter igvm_iter_start(const struct igvm_file *file) {
    return (struct igvm_iter){.file = file, .off = file->headers_off};
}

/// Whether the padding between [from, to) is zero.
static bool is_zero(const uint8_t *bytes, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

int igvm_iter_next(struct igvm_iter *iter, struct igvm_header *header, struct igvm_error *error) {
    const struct igvm_file *file = iter->file;
    const uint32_t left = file->headers_end - iter->off; // multiple of 8, so 0 or a whole header
    const uint8_t *at = file->bytes + iter->off;
    uint32_t raw_type;
    uint64_t padded;

    if (left == 0) {
        return 0;
    }
    raw_type = load_le32(at);
    header->type = (enum igvm_header_type)(raw_type & ~IGVM_VHT_OPTIONAL);
    header->optional = (raw_type & IGVM_VHT_OPTIONAL) != 0;
    header->file_off = iter->off;
    header->length_bytes = load_le32(at + sizeof(uint32_t));
    header->desc = igvm_desc_of_type(header->type);

    padded = align_down((uint64_t)header->length_bytes + IGVM_HEADER_ALIGN - 1, IGVM_HEADER_ALIGN);
    if (padded > left - sizeof(struct igvm_variable_header)) {
        return igvm_fail(error, IGVM_RULE_HEADER_TRUNCATED, header->type, iter->off);
    }
    at += sizeof(struct igvm_variable_header);
    if (header->desc == NULL && !header->optional) {
        return igvm_fail(error, IGVM_RULE_HEADER_TYPE, header->type, iter->off);
    }
    if (header->desc != NULL && header->length_bytes != header->desc->size_bytes) {
        return igvm_fail(error, IGVM_RULE_HEADER_LENGTH, header->type, iter->off);
    }
    if (!is_zero(at, header->length_bytes, (uint32_t)padded)) {
        return igvm_fail(error, IGVM_RULE_HEADER_PADDING, header->type, iter->off);
    }
    if (header->desc != NULL) {
        // The table's sizes are those of the union's members.
        __builtin_memcpy(header->u.raw, at, header->length_bytes);
    }
    iter->off += (uint32_t)(sizeof(struct igvm_variable_header) + padded);
    return 1;
}

uint32_t igvm_header_mask(const struct igvm_header *header) {
    const struct igvm_header_desc *desc = header->desc;

    for (size_t i = 0; desc != NULL && i < desc->field_count; i++) {
        if (desc->fields[i].role == IGVM_ROLE_MASK) {
            return (uint32_t)igvm_field_get(&desc->fields[i], header->u.raw);
        }
    }
    return UINT32_MAX;
}

/// First platform that matches: by mask where mask is not zero, otherwise by type.
static int find_platform(const struct igvm_file *file, uint32_t mask, uint32_t type,
                         struct igvm_supported_platform *platform) {
    struct igvm_iter iter = igvm_iter_start(file);
    struct igvm_header header = {0};
    struct igvm_error error;

    // Platform headers come first: an unsupported order ends the search early, never wrongly.
    while (igvm_iter_next(&iter, &header, &error) > 0) {
        const struct igvm_supported_platform *found = &header.u.supported_platform;

        if (header.desc == NULL) {
            continue;
        }
        if (header.type != IGVM_VHT_SUPPORTED_PLATFORM) {
            break;
        }
        if (mask != 0 ? found->compatibility_mask == mask : found->platform_type == type) {
            *platform = *found;
            return 0;
        }
    }
    return -ENOENT;
}

int igvm_find_platform_by_mask(const struct igvm_file *file, uint32_t mask,
                               struct igvm_supported_platform *platform) {
    return mask == 0 ? -ENOENT : find_platform(file, mask, 0, platform);
}

int igvm_find_platform(const struct igvm_file *file, enum igvm_platform_type type,
                       struct igvm_supported_platform *platform) {
    return find_platform(file, 0, type, platform);
}

/// Whether [off, off + size_bytes) is inside the file data; then where it is.
static int locate(const struct igvm_file *file, uint64_t off, uint64_t size_bytes,
                  const uint8_t **data) {
    if (off < file->headers_end || off > file->size_bytes || size_bytes > file->size_bytes - off) {
        return -EINVAL;
    }
    *data = file->bytes + off;
    return 0;
}

int igvm_vp_data(const struct igvm_file *file, uint32_t off, enum igvm_vp_format format,
                 const uint8_t **data, uint64_t *size_bytes) {
    const uint64_t count_bytes = sizeof(struct igvm_vbs_vp_context_header);
    const uint8_t *at;

    *size_bytes = IGVM_VP_CONTEXT_BYTES;
    if (format == IGVM_VP_FORMAT_VBS) {
        // The list's length is file data itself.
        if (locate(file, off, count_bytes, &at) != 0) {
            return -EINVAL;
        }
        *size_bytes =
            count_bytes + (uint64_t)load_le32(at) * sizeof(struct igvm_vbs_vp_context_register);
    }
    return locate(file, off, *size_bytes, data);
}

/// As igvm_vp_data(), with the format of the first platform that the header names.
static int context_data(const struct igvm_file *file, const struct igvm_vp_context *context,
                        const uint8_t **data, uint64_t *size_bytes) {
    const uint32_t mask = context->compatibility_mask;
    struct igvm_supported_platform platform;

    if (igvm_find_platform_by_mask(file, mask & (0u - mask), &platform) != 0) {
        return -EINVAL;
    }
    return igvm_vp_data(file, context->file_offset, igvm_vp_format(platform.platform_type), data,
                        size_bytes);
}

int igvm_header_data(const struct igvm_file *file, const struct igvm_header *header,
                     const uint8_t **data, uint64_t *size_bytes) {
    uint64_t off = 0;
    uint64_t size = 0;

    *data = NULL;
    *size_bytes = 0;
    switch (header->type) {
    case IGVM_VHT_PAGE_DATA:
        off = header->u.page_data.file_offset;
        size = (header->u.page_data.flags & IGVM_PAGE_2MB) != 0 ? PAGE_SIZE_2M : IGVM_PAGE_SIZE;
        break;
    case IGVM_VHT_PARAMETER_AREA:
        off = header->u.parameter_area.file_offset;
        size = header->u.parameter_area.number_of_bytes;
        break;
    case IGVM_VHT_CORIM_DOCUMENT:
    case IGVM_VHT_CORIM_SIGNATURE:
        off = header->u.corim.file_offset;
        size = header->u.corim.size_bytes;
        break;
    case IGVM_VHT_VP_CONTEXT:
        return context_data(file, &header->u.vp_context, data, size_bytes);
    default:
        return 0;
    }
    if (off == 0) {
        return 0;
    }
    if (locate(file, off, size, data) != 0) {
        return -EINVAL;
    }
    *size_bytes = size;
    return 0;
}
