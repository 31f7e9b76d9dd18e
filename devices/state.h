// SPDX-License-Identifier: MIT
//
// Described state: one table per device lists every field of its volatile, guest-visible state.
// Reset, save, restore, inspect and the state fuzzers all work from that table and nothing else.
//
// A saved blob is little-endian: u16 table version, u16 reserved, then records of
// { u16 tag, u16 type, u32 size_bytes, bytes }. Tags are never reused. A tag that the reader does
// not know is skipped; a field whose tag is absent takes its reset value; so blobs stay readable
// forwards and backwards. Loading is all or nothing: the whole blob is checked before the first
// field is changed.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum state_type { STATE_U8 = 1, STATE_U16, STATE_U32, STATE_U64, STATE_BYTES };

/// What the host of a confidential VM may be shown.
enum state_sensitivity {
    STATE_PUBLIC, ///< counters, modes: always shown
    STATE_GUEST,  ///< guest data or addresses: hidden from the host of a confidential VM
    STATE_SECRET, ///< keys: never shown
};

struct state_field {
    uint16_t tag;
    uint8_t type;        ///< enum state_type
    uint8_t sensitivity; ///< enum state_sensitivity
    uint32_t off;        ///< byte offset in the state struct
    uint32_t count;      ///< elements (an array); bytes for STATE_BYTES
    uint64_t reset;      ///< value of each element after reset, and when the tag is absent
    uint64_t max;        ///< largest value a load accepts; 0: any that the type holds
    const char *name;
};

struct state_table {
    const char *name;
    uint16_t version;
    uint16_t field_count;
    uint32_t struct_bytes; ///< sizeof of the struct the offsets refer to
    const struct state_field *fields;
};

/// One scalar field; type is U8, U16, U32 or U64.
#define STATE_SCALAR(tag_, strukt, member, type_, sens_, reset_, max_)                             \
    {                                                                                              \
        .tag = (tag_), .type = STATE_##type_, .sensitivity = STATE_##sens_,                        \
        .off = offsetof(strukt, member), .count = 1, .reset = (reset_), .max = (max_),             \
        .name = #member                                                                            \
    }
/// An array of scalars.
#define STATE_ARRAY(tag_, strukt, member, type_, n_, sens_, reset_, max_)                          \
    {                                                                                              \
        .tag = (tag_), .type = STATE_##type_, .sensitivity = STATE_##sens_,                        \
        .off = offsetof(strukt, member), .count = (n_), .reset = (reset_), .max = (max_),          \
        .name = #member                                                                            \
    }
/// Plain bytes, zero after reset.
#define STATE_BYTE_ARRAY(tag_, strukt, member, n_, sens_)                                          \
    {                                                                                              \
        .tag = (tag_), .type = STATE_BYTES, .sensitivity = STATE_##sens_,                          \
        .off = offsetof(strukt, member), .count = (n_), .name = #member                            \
    }

/// Puts every described field to its reset value.
void state_reset(const struct state_table *table, void *object);

/// Upper bound of state_save()'s output for this table, in bytes.
size_t state_blob_max_bytes(const struct state_table *table);

/// Writes the blob; *used_bytes is its size. -ENOSPC when it does not fit.
int state_save(const struct state_table *table, const void *object, uint8_t *out,
               size_t capacity_bytes, size_t *used_bytes);

/// Where and why a load failed; offset in the blob.
struct state_error {
    size_t off;
    uint16_t tag;
    const char *rule;
};

/// Loads a blob, all or nothing. -EINVAL with *error filled (may be NULL) when it is malformed or a
/// value exceeds its field's max. Cross-field rules are the device's (device_ops.after_load).
int state_load(const struct state_table *table, void *object, const uint8_t *blob,
               size_t size_bytes, struct state_error *error);

/// Receives one inspected field. value is for scalars; bytes for STATE_BYTES; an array gives one
/// call per element with its index.
typedef void (*state_visit_fn)(void *ctx, const struct state_field *field, uint32_t index,
                               uint64_t value, const uint8_t *bytes);

/// Visits every field up to and including the given sensitivity.
void state_inspect(const struct state_table *table, const void *object,
                   enum state_sensitivity up_to, state_visit_fn visit, void *ctx);
