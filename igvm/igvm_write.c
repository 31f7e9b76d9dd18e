// SPDX-License-Identifier: MIT
//
// IGVM writer: headers and file data grow side by side, since the measuring pass knows where the
// headers end.

#include "igvm/igvm_write.h"

#include "igvm/base/bytes.h"
#include "igvm/igvm_desc.h"

#include <errno.h>

static uint32_t fixed_bytes(const struct igvm_writer *writer) {
    return writer->format_version == IGVM_FORMAT_VERSION_1 ? IGVM_FIXED_HEADER_V1_BYTES
                                                           : IGVM_FIXED_HEADER_V2_BYTES;
}

static int set_status(struct igvm_writer *writer, int status) {
    if (writer->status == 0) {
        writer->status = status;
    }
    return writer->status;
}

static void start_pass(struct igvm_writer *writer) {
    writer->headers_bytes = 0;
    writer->data_bytes = 0;
    writer->section = IGVM_SECTION_PLATFORM;
}

void igvm_writer_measure(struct igvm_writer *writer, uint32_t format_version,
                         enum igvm_architecture architecture) {
    *writer = (struct igvm_writer){
        .format_version = format_version,
        .architecture = architecture,
    };
    start_pass(writer);
    if (format_version != IGVM_FORMAT_VERSION_1 && format_version != IGVM_FORMAT_VERSION_2) {
        set_status(writer, -EINVAL);
    }
}

uint64_t igvm_writer_size(const struct igvm_writer *writer) {
    const bool measuring = writer->out == NULL;

    return fixed_bytes(writer) +
           (measuring ? writer->headers_bytes : writer->measured_headers_bytes) +
           (measuring ? writer->data_bytes : writer->measured_data_bytes);
}

int igvm_writer_emit(struct igvm_writer *writer, uint8_t *out, size_t size_bytes) {
    const uint64_t total = igvm_writer_size(writer);

    if (total > UINT32_MAX) {
        return set_status(writer, -EFBIG);
    }
    if (total > size_bytes || out == NULL) {
        return set_status(writer, -ENOSPC);
    }
    writer->out = out;
    writer->measured_headers_bytes = writer->headers_bytes;
    writer->measured_data_bytes = writer->data_bytes;
    start_pass(writer);
    return writer->status;
}

/// Takes the next size_bytes of a part (headers or data) that starts at part_off and was measured.
/// Returns where to write, NULL while measuring or after an error.
static uint8_t *take(struct igvm_writer *writer, uint64_t part_off, uint64_t *used,
                     uint64_t measured, uint64_t size_bytes) {
    uint64_t at = part_off + *used;

    if (writer->status != 0 || __builtin_add_overflow(*used, size_bytes, used)) {
        set_status(writer, -EFBIG);
        return NULL;
    }
    if (writer->out == NULL) {
        return NULL;
    }
    if (*used > measured) {
        set_status(writer, -EINVAL); // more than in the measuring pass
        return NULL;
    }
    return writer->out + at;
}

int igvm_put_raw_header(struct igvm_writer *writer, uint32_t type, const void *content,
                        uint32_t length_bytes) {
    const uint64_t padded =
        align_down((uint64_t)length_bytes + IGVM_HEADER_ALIGN - 1, IGVM_HEADER_ALIGN);
    uint8_t *to =
        take(writer, fixed_bytes(writer), &writer->headers_bytes, writer->measured_headers_bytes,
             sizeof(struct igvm_variable_header) + padded);

    if (to != NULL) {
        store_le32(to, type);
        store_le32(to + 4, length_bytes);
        to += sizeof(struct igvm_variable_header);
        __builtin_memcpy(to, content, length_bytes);
        __builtin_memset(to + length_bytes, 0, padded - length_bytes);
    }
    return writer->status;
}

int igvm_put_header(struct igvm_writer *writer, uint32_t type, const void *content) {
    const struct igvm_header_desc *desc = igvm_desc_of_type(type & ~IGVM_VHT_OPTIONAL);

    if (desc == NULL || (int)desc->section < writer->section) {
        return set_status(writer, -EINVAL);
    }
    writer->section = (int)desc->section;
    return igvm_put_raw_header(writer, type, content, desc->size_bytes);
}

uint32_t igvm_put_data(struct igvm_writer *writer, const void *data, size_t size_bytes,
                       size_t padded_bytes) {
    const uint64_t part_off = fixed_bytes(writer) + writer->measured_headers_bytes;
    const uint64_t off = part_off + writer->data_bytes;
    const size_t room = padded_bytes > size_bytes ? padded_bytes : size_bytes;
    uint8_t *to = take(writer, part_off, &writer->data_bytes, writer->measured_data_bytes, room);

    if (to != NULL) {
        __builtin_memcpy(to, data, size_bytes);
        __builtin_memset(to + size_bytes, 0, room - size_bytes);
    }
    return (uint32_t)off; // below 4 GiB while emitting: the total has been checked
}

int igvm_put_native_vp(struct igvm_writer *writer, uint32_t mask, uint16_t vp_index,
                       const struct igvm_native_vp_context_x64 *registers) {
    const struct igvm_vp_context context = {
        .compatibility_mask = mask,
        .file_offset = igvm_put_data(writer, registers, sizeof(*registers), IGVM_VP_CONTEXT_BYTES),
        .vp_index = vp_index,
    };

    return igvm_put_header(writer, IGVM_VHT_VP_CONTEXT, &context);
}

int igvm_put_vbs_vp(struct igvm_writer *writer, uint32_t mask, uint16_t vp_index,
                    const struct igvm_vbs_vp_context_register *registers, uint32_t count) {
    const size_t list_bytes = (size_t)count * sizeof(*registers);
    const struct igvm_vbs_vp_context_header list = {.register_count = count};
    const struct igvm_vp_context context = {
        .compatibility_mask = mask,
        .file_offset = igvm_put_data(writer, &list, sizeof(list), 0),
        .vp_index = vp_index,
    };

    // The two pieces are adjacent: nothing else appends in between. Later data stays aligned to 8.
    igvm_put_data(writer, registers, list_bytes, list_bytes + IGVM_HEADER_ALIGN - sizeof(list));
    return igvm_put_header(writer, IGVM_VHT_VP_CONTEXT, &context);
}

int igvm_writer_finish(struct igvm_writer *writer) {
    const uint32_t fixed = fixed_bytes(writer);
    struct igvm_fixed_header header = {
        .magic = IGVM_MAGIC,
        .format_version = writer->format_version,
        .variable_header_offset = fixed,
        .variable_header_size = (uint32_t)writer->measured_headers_bytes,
        .total_file_size = (uint32_t)igvm_writer_size(writer),
        .architecture = writer->architecture,
        .page_size = IGVM_PAGE_SIZE,
    };

    if (writer->status != 0) {
        return writer->status;
    }
    if (writer->out == NULL || writer->headers_bytes != writer->measured_headers_bytes ||
        writer->data_bytes != writer->measured_data_bytes) {
        return set_status(writer, -EINVAL);
    }
    header.checksum = igvm_crc32(0, &header, fixed); // its own field is still zero
    header.checksum = igvm_crc32(header.checksum, writer->out + fixed, writer->headers_bytes);
    __builtin_memcpy(writer->out, &header, fixed);
    return 0;
}
