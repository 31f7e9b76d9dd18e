// SPDX-License-Identifier: MIT
//
// igvmtool: the manifest's "header" kind: any header type, its fields by the descriptor table's
// names.

#include "tools/igvmtool/manifest.h"

#include <errno.h>
#include <string.h>

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
        return (c | 0x20) - 'a' + 10;
    }
    return -1;
}

/// Hexadecimal text into at most size_bytes bytes; the rest stays zero.
static int parse_bytes(const struct igvmtool_json *node, uint8_t *out, size_t size_bytes) {
    const char *text = NULL;
    size_t length;

    if (igvmtool_json_text(node, &text) != 0) {
        return -EINVAL;
    }
    length = strlen(text);
    if (length % 2 != 0 || length / 2 > size_bytes) {
        return igvmtool_json_fail(node, "must be an even number of hex digits, at most %zu",
                                  2 * size_bytes);
    }
    for (size_t i = 0; i < length; i++) {
        int digit = hex_digit(text[i]);

        if (digit < 0) {
            return igvmtool_json_fail(node, "has a character that is no hex digit at %zu", i);
        }
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | digit);
    }
    return 0;
}

/// Names of the bits of a FLAGS field: as many as its limit has bits.
static size_t flag_count(uint64_t limit) {
    return (size_t)__builtin_popcountll(limit);
}

static int parse_field(const struct igvmtool_json *node, const struct igvm_field *field,
                       uint8_t *content) {
    const uint64_t max = field->size_bytes == 8 ? UINT64_MAX : (1ull << 8 * field->size_bytes) - 1;
    uint64_t value = 0;

    if (field->role == IGVM_ROLE_BYTES) {
        return parse_bytes(node, content + field->off, field->size_bytes);
    }
    if (field->role == IGVM_ROLE_NAMED && yyjson_is_str(node->value)) {
        if (igvmtool_json_choice(node, field->names, field->limit, &value) != 0) {
            return -EINVAL;
        }
    } else if (field->role == IGVM_ROLE_FLAGS) {
        if (igvmtool_json_flags(node, field->names, flag_count(field->limit), &value) != 0) {
            return -EINVAL;
        }
    } else if (igvmtool_json_number(node, max, &value) != 0) {
        return -EINVAL;
    }
    if (value > max) {
        return igvmtool_json_fail(node, "does not fit its %u bytes", (unsigned)field->size_bytes);
    }
    igvm_field_set(field, content, value);
    return 0;
}

/// A field that the manifest may set: not the mask ("platforms") or file data ("file").
static bool is_settable(const struct igvm_field *field) {
    return field->role != IGVM_ROLE_MASK && field->role != IGVM_ROLE_FILE_OFF &&
           field->role != IGVM_ROLE_RESERVED;
}

static int parse_fields(const struct igvmtool_json *fields, struct manifest_region *region) {
    const struct igvm_header_desc *desc = region->header;
    const char *known[32] = {NULL}; // more than any type has
    struct igvmtool_json member;
    size_t count = 0;

    for (size_t i = 0; i < desc->field_count && count < ARRAY_COUNT(known) - 1; i++) {
        if (is_settable(&desc->fields[i])) {
            known[count++] = desc->fields[i].name;
        }
    }
    if (igvmtool_json_only(fields, known) != 0) {
        return -EINVAL;
    }
    for (size_t i = 0; i < desc->field_count; i++) {
        const struct igvm_field *field = &desc->fields[i];

        if (field->role == IGVM_ROLE_MASK) {
            igvm_field_set(field, region->content, region->mask);
        } else if (is_settable(field) && igvmtool_json_get(fields, field->name, &member) &&
                   parse_field(&member, field, region->content) != 0) {
            return -EINVAL;
        }
    }
    return 0;
}

int manifest_parse_header(const struct igvmtool_json *node, struct manifest_region *region) {
    static const char *const keys[] = {"kind", "name",   "description", "platforms",
                                       "type", "fields", "file",        NULL};
    struct igvmtool_json member;
    struct igvmtool_json fields;
    const char *type = NULL;

    if (igvmtool_json_only(node, keys) != 0 || igvmtool_json_need_text(node, "type", &type) != 0 ||
        igvmtool_json_text_or(node, "file", &region->file) != 0) {
        return -EINVAL;
    }
    igvmtool_json_get(node, "type", &member);
    region->header = igvm_desc_of_name(type);
    if (region->header == NULL || region->header->section == IGVM_SECTION_PLATFORM) {
        return igvmtool_json_fail(&member, "is no header type; 'igvmtool help types' lists them");
    }
    igvmtool_json_get(node, "fields", &fields);
    return parse_fields(&fields, region);
}
