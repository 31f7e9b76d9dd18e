// SPDX-License-Identifier: MIT
//
// igvmtool: typed access to a JSON manifest, with the path of what is wrong in every error.
#pragma once

#include "tools/igvmtool/tool.h"

#include <stdbool.h>
#include <yyjson.h>

/// A value in the manifest and how to get there: "$.regions[3].gpa".
struct igvmtool_json {
    yyjson_val *value;
    const char *file; // for messages
    struct igvmtool_error *error;
    char path[128];
};

/// Reports "file: path: text". Returns -EINVAL.
int igvmtool_json_fail(const struct igvmtool_json *node, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/// The member of an object, or the element of an array; false when it is absent (*child then has
/// the path that it would have, for messages).
bool igvmtool_json_get(const struct igvmtool_json *object, const char *key,
                       struct igvmtool_json *child);
bool igvmtool_json_at(const struct igvmtool_json *array, size_t idx, struct igvmtool_json *child);

/// Elements of an array that must not have more than max. -EINVAL for anything but an array.
int igvmtool_json_count(const struct igvmtool_json *array, size_t max, size_t *count);

/// Refuses members that are not in keys (NULL-terminated), naming those that are allowed.
int igvmtool_json_only(const struct igvmtool_json *object, const char *const keys[]);

/// The value itself as a number in [0, max] (a JSON integer, or a string for
/// igvmtool_parse_number()), or as a string without NUL inside.
int igvmtool_json_number(const struct igvmtool_json *node, uint64_t max, uint64_t *number);
int igvmtool_json_text(const struct igvmtool_json *node, const char **text);

/// Members of an object. The _or forms leave *out as it is when the member is absent.
int igvmtool_json_need_number(const struct igvmtool_json *object, const char *key, uint64_t max,
                              uint64_t *out);
int igvmtool_json_number_or(const struct igvmtool_json *object, const char *key, uint64_t max,
                            uint64_t *out);
int igvmtool_json_need_text(const struct igvmtool_json *object, const char *key, const char **out);
int igvmtool_json_text_or(const struct igvmtool_json *object, const char *key, const char **out);
int igvmtool_json_bool_or(const struct igvmtool_json *object, const char *key, bool *out);

/// The position of a string value among names[0, count). -EINVAL names the choices.
int igvmtool_json_choice(const struct igvmtool_json *node, const char *const *names, size_t count,
                         uint64_t *out);

/// A number, or an array of names whose positions are the bits to set.
int igvmtool_json_flags(const struct igvmtool_json *node, const char *const *names, size_t count,
                        uint64_t *out);
