// SPDX-License-Identifier: MIT
//
// Variables from JSON: see vars_json.h. vars_text.c writes.
#include "userspace/uefi/vars_json.h"

#include <yyjson.h>

#include <errno.h>
#include <stdlib.h>

/// One variable's fields, decoded. name and value point into allocations of their own.
struct fields {
    uint8_t *name, *value;
    size_t name_bytes, value_bytes;
    struct uefi_guid guid;
    uint32_t attributes;
    uint8_t time[UEFI_TIME_BYTES], digest[UEFI_DIGEST_BYTES];
};

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/// 2 * size_bytes digits. False: something else.
static bool hex_bytes(const char *text, uint8_t *out, size_t size_bytes) {
    for (size_t i = 0; i < size_bytes; i++) {
        const int high = hex_digit(text[2 * i]);
        const int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);

        if (low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool uefi_guid_parse(const char *text, struct uefi_guid *guid) {
    // Where the digits of each byte stand: the first three groups are little-endian numbers.
    static const uint8_t places[16] = {6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34};

    if (strlen(text) != UEFI_GUID_TEXT_BYTES - 1 || text[8] != '-' || text[13] != '-' ||
        text[18] != '-' || text[23] != '-') {
        return false;
    }
    for (unsigned i = 0; i < sizeof(places); i++) {
        if (!hex_bytes(text + places[i], &guid->bytes[i], 1)) {
            return false;
        }
    }
    return true;
}

/// A field of hexadecimal text of exactly size_bytes bytes; left alone when it is missing or empty.
static const char *read_fixed(yyjson_val *variable, const char *key, uint8_t *out,
                              size_t size_bytes, const char *wrong) {
    yyjson_val *field = yyjson_obj_get(variable, key);

    if (field == NULL || yyjson_is_null(field) || yyjson_equals_str(field, "")) {
        return NULL;
    }
    return yyjson_is_str(field) && yyjson_get_len(field) == 2 * size_bytes &&
                   hex_bytes(yyjson_get_str(field), out, size_bytes)
               ? NULL
               : wrong;
}

/// The next character of valid UTF-8 (yyjson has seen to that).
static uint32_t utf8_next(const uint8_t **at) {
    const uint8_t first = *(*at)++;
    const unsigned more = first < 0x80 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
    uint32_t c = more == 0 ? first : first & (0x3Fu >> more);

    for (unsigned i = 0; i < more; i++) {
        c = c << 6 | (*(*at)++ & 0x3Fu);
    }
    return c;
}

static const char *read_name(yyjson_val *variable, struct fields *out) {
    yyjson_val *field = yyjson_obj_get(variable, "name");
    const size_t length = yyjson_get_len(field);
    const uint8_t *at = (const uint8_t *)yyjson_get_str(field);
    const uint8_t *end;
    uint8_t *to;

    if (!yyjson_is_str(field) || length == 0 || memchr(at, 0, length) != NULL) {
        return "name: not a text of at least one character";
    }
    end = at + length;
    to = out->name = malloc(2 * length); // a byte of UTF-8 is at most two of UTF-16
    if (to == NULL) {
        return "out of memory";
    }
    while (at < end) {
        uint32_t c = utf8_next(&at);

        if (c >= 0x10000) {
            const uint32_t high = 0xD800u + ((c - 0x10000) >> 10);

            *to++ = (uint8_t)high;
            *to++ = (uint8_t)(high >> 8);
            c = 0xDC00u + ((c - 0x10000) & 0x3FFu);
        }
        *to++ = (uint8_t)c;
        *to++ = (uint8_t)(c >> 8);
    }
    out->name_bytes = (size_t)(to - out->name);
    return out->name_bytes <= UEFI_STORE_NAME_MAX_BYTES ? NULL : "name: too long";
}

static const char *read_value(yyjson_val *variable, struct fields *out) {
    yyjson_val *field = yyjson_obj_get(variable, "data");
    const size_t length = yyjson_get_len(field);

    if (!yyjson_is_str(field) || length % 2 != 0) {
        return "data: not hexadecimal digits, two for each byte";
    }
    out->value_bytes = length / 2;
    if (out->value_bytes == 0 || out->value_bytes > UEFI_STORE_VALUE_MAX_BYTES) {
        return "data: empty or too large";
    }
    out->value = malloc(out->value_bytes);
    if (out->value == NULL) {
        return "out of memory";
    }
    return hex_bytes(yyjson_get_str(field), out->value, out->value_bytes)
               ? NULL
               : "data: not hexadecimal digits, two for each byte";
}

static const char *read_fields(yyjson_val *variable, struct fields *out) {
    yyjson_val *guid, *attributes;
    const char *wrong;

    if (!yyjson_is_obj(variable)) {
        return "not an object";
    }
    guid = yyjson_obj_get(variable, "guid");
    if (!yyjson_is_str(guid) || !uefi_guid_parse(yyjson_get_str(guid), &out->guid)) {
        return "guid: not a GUID";
    }
    attributes = yyjson_obj_get(variable, "attr");
    if (!yyjson_is_uint(attributes) ||
        (yyjson_get_uint(attributes) & ~(uint64_t)UEFI_ATTR_STORED_MASK) != 0 ||
        !(yyjson_get_uint(attributes) & UEFI_ATTR_BOOTSERVICE)) {
        return "attr: not the attributes of a stored variable";
    }
    out->attributes = (uint32_t)yyjson_get_uint(attributes);
    wrong = read_name(variable, out);
    if (wrong == NULL) {
        wrong = read_value(variable, out);
    }
    if (wrong == NULL) {
        wrong = read_fixed(variable, "time", out->time, sizeof(out->time), "time: not 16 bytes");
    }
    if (wrong == NULL) {
        wrong = read_fixed(variable, "digest", out->digest, sizeof(out->digest),
                           "digest: not 32 bytes");
    }
    return wrong;
}

static const char *read_variable(yyjson_val *variable, struct uefi_store *store) {
    struct fields fields = {.name = NULL};
    const char *wrong = read_fields(variable, &fields);
    const struct uefi_bytes name = {fields.name, fields.name_bytes};
    const struct uefi_bytes value = {fields.value, fields.value_bytes};

    if (wrong == NULL && uefi_store_find(store, &fields.guid, name) != NULL) {
        wrong = "the same variable twice";
    }
    if (wrong == NULL && (fields.attributes & UEFI_ATTR_NON_VOLATILE)) {
        wrong = uefi_store_refuses(&fields.guid, name, fields.attributes);
    }
    if (wrong == NULL && (fields.attributes & UEFI_ATTR_NON_VOLATILE)) {
        struct uefi_variable *made = uefi_variable_new(&fields.guid, name, fields.attributes, value,
                                                       fields.time, fields.digest);

        if (made == NULL) {
            wrong = "out of memory";
        } else {
            uefi_store_replace(store, NULL, made);
        }
    }
    free(fields.name);
    free(fields.value);
    return wrong;
}

static const char *read_document(yyjson_doc *document, struct uefi_store *store,
                                 int *variable_idx) {
    yyjson_val *root = yyjson_doc_get_root(document), *variables, *variable;
    yyjson_arr_iter items;
    const char *wrong = NULL;

    if (!yyjson_is_obj(root) || yyjson_get_uint(yyjson_obj_get(root, "version")) != 2) {
        return "not an object with \"version\": 2";
    }
    variables = yyjson_obj_get(root, "variables");
    if (!yyjson_is_arr(variables) || yyjson_arr_size(variables) > UEFI_STORE_COUNT_MAX) {
        return "no array \"variables\", or too many of them";
    }
    yyjson_arr_iter_init(variables, &items);
    while (wrong == NULL && (variable = yyjson_arr_iter_next(&items)) != NULL) {
        ++*variable_idx;
        wrong = read_variable(variable, store);
    }
    if (wrong == NULL) {
        *variable_idx = -1;
    }
    return wrong;
}

int uefi_json_read(struct uefi_store *store, const char *text, size_t size_bytes,
                   struct uefi_json_error *error) {
    yyjson_doc *document = NULL;

    *error = (struct uefi_json_error){.why = "too large", .variable = -1};
    if (size_bytes <= UEFI_JSON_MAX_BYTES) {
        document = yyjson_read(text, size_bytes, YYJSON_READ_NOFLAG);
        error->why = document == NULL ? "not JSON" : NULL;
    }
    if (error->why == NULL) {
        error->why = read_document(document, store, &error->variable);
    }
    yyjson_doc_free(document);
    if (error->why != NULL) {
        uefi_store_clear(store);
        return strcmp(error->why, "out of memory") == 0 ? -ENOMEM : -EBADMSG;
    }
    return 0;
}
