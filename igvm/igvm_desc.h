// SPDX-License-Identifier: MIT
//
// IGVM: the one table of header types that reader, writer, checker, dump and manifest work from.
//
// A header type's layout is igvm_defs.h; this table says what its fields are for, so that the
// common rules (masks, alignment, reserved bits, defined values) and their display need no code per
// type.
#pragma once

#include "igvm/igvm_defs.h"

#include <stddef.h>
#include <stdint.h>

enum igvm_section {
    IGVM_SECTION_PLATFORM,
    IGVM_SECTION_INIT,
    IGVM_SECTION_DIRECTIVE,
};

enum igvm_role {
    IGVM_ROLE_NUMBER,   // shown in decimal; limit, if not zero: the greatest value defined
    IGVM_ROLE_HEX,      // shown in hexadecimal
    IGVM_ROLE_NAMED,    // an enumeration: names[value], value < limit
    IGVM_ROLE_MASK,     // compatibility mask
    IGVM_ROLE_GPA,      // page aligned address
    IGVM_ROLE_SIZE,     // bytes, whole pages, not empty
    IGVM_ROLE_FILE_OFF, // offset of file data
    IGVM_ROLE_AREA,     // parameter area index
    IGVM_ROLE_FLAGS,    // bits of limit are defined; names[bit]
    IGVM_ROLE_BYTES,    // opaque bytes
    IGVM_ROLE_RESERVED, // zero
};

struct igvm_field {
    const char *name;
    uint16_t off; // in the content
    uint16_t size_bytes;
    enum igvm_role role;
    uint64_t limit;
    const char *const *names;
};

struct igvm_header_desc {
    enum igvm_header_type type;
    const char *name; // lower case, as the manifest and the dump spell it
    enum igvm_section section;
    uint16_t size_bytes;
    uint16_t min_parameter_bytes; // parameters: least room that a value needs; 0: not a parameter
    const struct igvm_field *fields;
    size_t field_count;
};

/// The table, ordered by type, and its length.
extern const struct igvm_header_desc igvm_header_descs[];
extern const size_t igvm_header_desc_count;

/// The entry of a type (without IGVM_VHT_OPTIONAL) or of a name; NULL when there is none.
const struct igvm_header_desc *igvm_desc_of_type(uint32_t type);
const struct igvm_header_desc *igvm_desc_of_name(const char *name);

/// The section that a type number lies in, known or not; -1 for none.
int igvm_section_of_type(uint32_t type);

/// Reads or writes an integer field (size 1, 2, 4 or 8) of a header's content.
uint64_t igvm_field_get(const struct igvm_field *field, const void *content);
void igvm_field_set(const struct igvm_field *field, void *content, uint64_t value);

/// Names of enum igvm_platform_type, igvm_page_data_type and igvm_memory_type, by value.
extern const char *const igvm_platform_names[];
extern const char *const igvm_page_type_names[];
extern const char *const igvm_memory_type_names[];
#define IGVM_PLATFORM_NAME_COUNT    7u
#define IGVM_PAGE_TYPE_NAME_COUNT   4u
#define IGVM_MEMORY_TYPE_NAME_COUNT 6u
