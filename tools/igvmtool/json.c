// SPDX-License-Identifier: MIT
//
// igvmtool: typed access to a JSON manifest.

#include "tools/igvmtool/json.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

int igvmtool_json_fail(const struct igvmtool_json *node, const char *format, ...) {
    char text[384];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return igvmtool_error_set(node->error, "%s: %s: %s", node->file, node->path, text);
}

/// A child's node; a path that grows too long is cut off, which only harms its message.
static void child_of(const struct igvmtool_json *parent, yyjson_val *value,
                     struct igvmtool_json *child) {
    child->value = value;
    child->file = parent->file;
    child->error = parent->error;
}

bool igvmtool_json_get(const struct igvmtool_json *object, const char *key,
                       struct igvmtool_json *child) {
    child_of(object, yyjson_obj_get(object->value, key), child);
    snprintf(child->path, sizeof(child->path), "%.*s.%s", 90, object->path, key);
    return child->value != NULL;
}

bool igvmtool_json_at(const struct igvmtool_json *array, size_t idx, struct igvmtool_json *child) {
    child_of(array, yyjson_arr_get(array->value, idx), child);
    snprintf(child->path, sizeof(child->path), "%.*s[%zu]", 90, array->path, idx);
    return child->value != NULL;
}

int igvmtool_json_count(const struct igvmtool_json *array, size_t max, size_t *count) {
    if (!yyjson_is_arr(array->value)) {
        return igvmtool_json_fail(array, "must be an array");
    }
    *count = yyjson_arr_size(array->value);
    if (*count > max) {
        return igvmtool_json_fail(array, "has %zu elements, at most %zu are possible", *count, max);
    }
    return 0;
}

/// "a, b, c" into out, cut off where it is full.
static void join(const char *const *names, size_t count, char *out, size_t size_bytes) {
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < count && names[i] != NULL && used < size_bytes; i++) {
        used +=
            (size_t)snprintf(out + used, size_bytes - used, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
}

int igvmtool_json_only(const struct igvmtool_json *object, const char *const keys[]) {
    char known[256];
    yyjson_obj_iter iter;
    yyjson_val *key;
    size_t count = 0;

    if (!yyjson_is_obj(object->value)) {
        return igvmtool_json_fail(object, "must be an object");
    }
    while (keys[count] != NULL) {
        count++;
    }
    iter = yyjson_obj_iter_with(object->value);
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        bool found = false;

        for (size_t i = 0; i < count && !found; i++) {
            found = yyjson_equals_str(key, keys[i]);
        }
        if (!found) {
            join(keys, count, known, sizeof(known));
            return igvmtool_json_fail(object, "has an unknown member \"%.40s\"; known here: %s",
                                      yyjson_get_str(key), known);
        }
    }
    return 0;
}

int igvmtool_json_text(const struct igvmtool_json *node, const char **text) {
    const char *string = yyjson_get_str(node->value);

    if (string == NULL || strlen(string) != yyjson_get_len(node->value)) {
        return igvmtool_json_fail(node, "must be a string");
    }
    *text = string;
    return 0;
}

int igvmtool_json_number(const struct igvmtool_json *node, uint64_t max, uint64_t *number) {
    const char *text = yyjson_get_str(node->value);
    uint64_t value = 0;

    if (yyjson_is_uint(node->value)) {
        value = yyjson_get_uint(node->value);
    } else if (text == NULL || igvmtool_parse_number(text, &value) != 0) {
        return igvmtool_json_fail(node,
                                  "must be a number: 4096, \"0x1000\", \"4K\", \"2M\" or \"1G\"");
    }
    if (value > max) {
        return igvmtool_json_fail(node, "is 0x%llx, at most 0x%llx is possible",
                                  (unsigned long long)value, (unsigned long long)max);
    }
    *number = value;
    return 0;
}

int igvmtool_json_number_or(const struct igvmtool_json *object, const char *key, uint64_t max,
                            uint64_t *out) {
    struct igvmtool_json node;

    return igvmtool_json_get(object, key, &node) ? igvmtool_json_number(&node, max, out) : 0;
}

int igvmtool_json_need_number(const struct igvmtool_json *object, const char *key, uint64_t max,
                              uint64_t *out) {
    struct igvmtool_json node;

    if (!igvmtool_json_get(object, key, &node)) {
        return igvmtool_json_fail(&node, "is missing: add a number");
    }
    return igvmtool_json_number(&node, max, out);
}

int igvmtool_json_text_or(const struct igvmtool_json *object, const char *key, const char **out) {
    struct igvmtool_json node;

    return igvmtool_json_get(object, key, &node) ? igvmtool_json_text(&node, out) : 0;
}

int igvmtool_json_need_text(const struct igvmtool_json *object, const char *key, const char **out) {
    struct igvmtool_json node;

    if (!igvmtool_json_get(object, key, &node)) {
        return igvmtool_json_fail(&node, "is missing: add a string");
    }
    return igvmtool_json_text(&node, out);
}

int igvmtool_json_bool_or(const struct igvmtool_json *object, const char *key, bool *out) {
    struct igvmtool_json node;

    if (!igvmtool_json_get(object, key, &node)) {
        return 0;
    }
    if (!yyjson_is_bool(node.value)) {
        return igvmtool_json_fail(&node, "must be true or false");
    }
    *out = yyjson_get_bool(node.value);
    return 0;
}

int igvmtool_json_choice(const struct igvmtool_json *node, const char *const *names, size_t count,
                         uint64_t *out) {
    char known[256];

    for (size_t i = 0; i < count; i++) {
        if (yyjson_equals_str(node->value, names[i])) {
            *out = i;
            return 0;
        }
    }
    join(names, count, known, sizeof(known));
    return igvmtool_json_fail(node, "must be one of: %s", known);
}

int igvmtool_json_flags(const struct igvmtool_json *node, const char *const *names, size_t count,
                        uint64_t *out) {
    struct igvmtool_json item;
    size_t given;
    int rc;

    if (!yyjson_is_arr(node->value)) {
        return igvmtool_json_number(node, UINT64_MAX, out);
    }
    rc = igvmtool_json_count(node, count, &given);
    *out = 0;
    for (size_t i = 0; rc == 0 && i < given; i++) {
        uint64_t bit = 0;

        igvmtool_json_at(node, i, &item);
        rc = igvmtool_json_choice(&item, names, count, &bit);
        *out |= 1ull << bit;
    }
    return rc;
}
