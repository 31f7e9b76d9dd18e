// SPDX-License-Identifier: MIT
//
// The table of configuration keys, between config.c and config_keys.c.
#pragma once

#include "userspace/config.h"

enum config_type {
    CONFIG_BOOL,
    CONFIG_U32,   ///< min..max
    CONFIG_BYTES, ///< a number, or text with a unit: "512M"; min..max
    CONFIG_TEXT,  ///< at most size - 1 bytes, no control characters
    CONFIG_ENUM,  ///< one of names; stored as its index, u32
    CONFIG_OBJECT,
    CONFIG_ARRAY, ///< of objects; count at count_off
    CONFIG_TEXTS, ///< array of texts of size bytes; count at count_off
    CONFIG_HEX, ///< exactly size bytes as hexadecimal digits, secret; size (u32) goes to count_off
};

struct config_object;

struct config_key {
    const char *name;
    uint8_t type;             ///< enum config_type
    uint32_t off;             ///< in struct config, or in the array's element
    uint32_t size;            ///< of the text, or of an array's element
    uint64_t min, max;        ///< numbers; max: elements of an array
    uint32_t count_off;       ///< arrays: where the count (u32) goes
    const char *const *names; ///< CONFIG_ENUM, ends with NULL
    const struct config_object *object;
    const char *host_folder; ///< CONFIG_TEXT: a path that the host sets must lie in it; NULL: any
};

struct config_object {
    const struct config_key *keys;
    uint32_t key_count;
};

extern const struct config_object config_root;
