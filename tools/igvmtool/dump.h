// SPDX-License-Identifier: MIT
//
// igvmtool: header fields as text, shared by dump and diff.
#pragma once

#include "igvm/igvm_desc.h"
#include "tools/igvmtool/tool.h"

/// Room for any field: the longest is 512 bytes in hexadecimal.
#define DUMP_FIELD_CHARS (2 * 512 + 1)

/// Lower-case hexadecimal with a terminator: out holds 2 * count + 1 characters.
void dump_hex(const uint8_t *bytes, size_t count, char *out);

/// One field of a header's content as text.
void dump_field(const struct igvm_field *field, const void *content, char out[DUMP_FIELD_CHARS]);

/// The whole file as one JSON object. 0, or -EINVAL with *error filled at the first bad header.
int dump_json(const struct igvm_file *file, FILE *out, struct igvm_error *error);
