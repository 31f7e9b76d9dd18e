// SPDX-License-Identifier: MIT
//
// Between config.c (objects, keys, paths) and config_values.c (scalars).
#pragma once

#include "userspace/config_keys.h"

#include <yyjson.h>

#define MAX_PATH_BYTES 128u

struct config_parser {
    struct config *config;
    const char *name;
    const char *text; ///< as given: for counting lines
    const char *copy; ///< as yyjson has it: keys point into it
    size_t size;
    bool host;
    size_t off;                ///< of the key that is being looked at
    char path[MAX_PATH_BYTES]; ///< "disks[0].path"
    struct config_error *error;
};

/// Fills the error: file, line, key, then this. Always -EINVAL.
__attribute__((format(printf, 2, 3))) int config_refuse(struct config_parser *p, const char *format,
                                                        ...);
int config_wrong_type(struct config_parser *p, const char *expected, yyjson_val *found);

// Each checks the value and stores it at out: 0, or config_refuse()'s result.
int config_set_text(struct config_parser *p, const struct config_key *key, yyjson_val *value,
                    char *out);
int config_set_number(struct config_parser *p, const struct config_key *key, yyjson_val *value,
                      char *out);
int config_set_enum(struct config_parser *p, const struct config_key *key, yyjson_val *value,
                    char *out);
int config_set_hex(struct config_parser *p, const struct config_key *key, yyjson_val *value,
                   char *base);
int config_set_texts(struct config_parser *p, const struct config_key *key, yyjson_val *value);
