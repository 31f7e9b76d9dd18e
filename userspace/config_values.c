// SPDX-License-Identifier: MIT
//
// The configuration's scalar values: each is checked against its key's bounds, then stored.
#include "userspace/config_parser.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int config_set_text(struct config_parser *p, const struct config_key *key, yyjson_val *value,
                    char *out) {
    const char *text = yyjson_get_str(value);
    size_t size = yyjson_get_len(value);

    if (text == NULL) {
        return config_wrong_type(p, "a string", value);
    }
    if (size >= key->size) {
        return config_refuse(p, "expected at most %u bytes, found %zu", key->size - 1, size);
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return config_refuse(p, "expected printable text, found byte 0x%02x in it",
                                 (unsigned char)text[i]);
        }
    }
    if (p->host && key->host_folder &&
        (strncmp(text, key->host_folder, strlen(key->host_folder)) != 0 || strstr(text, ".."))) {
        return config_refuse(p, "expected a path in %s: the host names devices, no files",
                             key->host_folder);
    }
    memcpy(out, text, size);
    out[size] = '\0';
    return 0;
}

/// "512M", "4G", "65536": decimal digits, then at most one of K, M, G, T.
static bool parse_bytes(const char *text, uint64_t *out) {
    static const char units[] = "KMGT";
    const char *unit;
    uint64_t value = 0;

    if (*text < '0' || *text > '9') {
        return false;
    }
    for (; *text >= '0' && *text <= '9'; text++) {
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value)) {
            return false;
        }
    }
    if (*text != '\0') {
        unit = strchr(units, *text);
        if (unit == NULL || text[1] != '\0' ||
            __builtin_mul_overflow(value, 1ull << (10 * (unit - units + 1)), &value)) {
            return false;
        }
    }
    *out = value;
    return true;
}

int config_set_number(struct config_parser *p, const struct config_key *key, yyjson_val *value,
                      char *out) {
    uint64_t number = 0;

    if (key->type == CONFIG_BYTES && yyjson_is_str(value)) {
        if (!parse_bytes(yyjson_get_str(value), &number)) {
            return config_refuse(p,
                                 "expected a size such as 536870912 or \"512M\", found \"%.40s\"",
                                 yyjson_get_str(value));
        }
    } else if (yyjson_is_uint(value)) {
        number = yyjson_get_uint(value);
    } else if (yyjson_is_num(value)) {
        return config_refuse(p, "expected a whole number that is not negative");
    } else {
        return config_wrong_type(
            p, key->type == CONFIG_BYTES ? "a number or a size such as \"512M\"" : "a number",
            value);
    }
    if (number < key->min || number > key->max) {
        return config_refuse(p, "expected %llu to %llu, found %llu", (unsigned long long)key->min,
                             (unsigned long long)key->max, (unsigned long long)number);
    }
    if (key->type == CONFIG_BYTES) {
        memcpy(out, &number, sizeof(uint64_t));
    } else {
        uint32_t small = (uint32_t)number; // max fits

        memcpy(out, &small, sizeof(small));
    }
    return 0;
}

int config_set_enum(struct config_parser *p, const struct config_key *key, yyjson_val *value,
                    char *out) {
    const char *text = yyjson_get_str(value);
    char all[96] = "";
    size_t used = 0;

    if (text == NULL) {
        return config_wrong_type(p, "a string", value);
    }
    for (uint32_t i = 0; key->names[i]; i++) {
        if (strcmp(key->names[i], text) == 0) {
            memcpy(out, &i, sizeof(i));
            return 0;
        }
        // The table's names are short: all of them fit.
        used += (size_t)snprintf(all + used, sizeof(all) - used, "%s\"%s\"", i ? ", " : "",
                                 key->names[i]);
    }
    return config_refuse(p, "expected one of %s, found \"%.40s\"", all, text);
}

int config_set_texts(struct config_parser *p, const struct config_key *key, yyjson_val *value) {
    char *base = (char *)p->config;
    uint32_t count = 0;
    yyjson_arr_iter items;
    yyjson_val *item;

    if (!yyjson_is_arr(value)) {
        return config_wrong_type(p, "an array", value);
    }
    if (yyjson_arr_size(value) > key->max) {
        return config_refuse(p, "expected at most %llu elements, found %zu",
                             (unsigned long long)key->max, yyjson_arr_size(value));
    }
    yyjson_arr_iter_init(value, &items);
    while ((item = yyjson_arr_iter_next(&items)) != NULL) {
        int result = config_set_text(p, key, item, base + key->off + (size_t)count * key->size);

        if (result < 0) {
            return result;
        }
        count++;
    }
    memcpy(base + key->count_off, &count, sizeof(count));
    return 0;
}

/// A hexadecimal digit's value, or -1.
static int digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/// No message shows any of it: it is secret, also when it is wrong.
int config_set_hex(struct config_parser *p, const struct config_key *key, yyjson_val *value,
                   char *base) {
    const char *text = yyjson_get_str(value);
    uint32_t size = key->size;
    uint8_t any = 0;

    if (text == NULL) {
        return config_wrong_type(p, "a string", value);
    }
    if (yyjson_get_len(value) != 2u * size) {
        return config_refuse(p, "expected %u hexadecimal digits, found %zu characters", 2 * size,
                             yyjson_get_len(value));
    }
    for (uint32_t i = 0; i < size; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

        if (high < 0 || low < 0) {
            return config_refuse(p, "expected %u hexadecimal digits, found another character",
                                 2 * size);
        }
        base[key->off + i] = (char)(high << 4 | low);
        any |= (uint8_t)(high | low);
    }
    if (any == 0) {
        return config_refuse(p, "expected a key that is not all zero");
    }
    memcpy(base + key->count_off, &size, sizeof(size));
    return 0;
}
