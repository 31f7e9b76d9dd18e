// SPDX-License-Identifier: MIT
//
// Described state: the blob's writer and reader (devices/state.h has the format).
//
// A load runs twice over the blob: the first pass checks everything, the second cannot fail.
#include "devices/state.h"

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define HEADER_BYTES 4u
#define RECORD_BYTES 8u

/// Field indices fit a bitmap on the stack; no device comes near.
#define STATE_MAX_FIELDS 256u

static uint32_t element_bytes(const struct state_field *field) {
    switch (field->type) {
    case STATE_U16:
        return 2;
    case STATE_U32:
        return 4;
    case STATE_U64:
        return 8;
    default: // STATE_U8, STATE_BYTES
        return 1;
    }
}

static uint32_t field_bytes(const struct state_field *field) {
    return element_bytes(field) * field->count;
}

/// Our own tables are right; a wrong one must not become a wild write.
static void check_table(const struct state_table *table) {
    CHECK(table->field_count <= STATE_MAX_FIELDS);
    for (unsigned i = 0; i < table->field_count; i++) {
        const struct state_field *field = &table->fields[i];
        uint64_t end = (uint64_t)field->off + (uint64_t)element_bytes(field) * field->count;

        CHECK(field->type >= STATE_U8 && field->type <= STATE_BYTES);
        CHECK(end <= table->struct_bytes);
    }
}

static uint64_t load_element(const struct state_field *field, const uint8_t *object,
                             uint32_t index) {
    const uint8_t *at = object + field->off + (size_t)index * element_bytes(field);
    uint16_t v16;
    uint32_t v32;
    uint64_t v64;

    switch (field->type) { // native byte order in memory, little-endian only in the blob
    case STATE_U16:
        memcpy(&v16, at, sizeof(v16));
        return v16;
    case STATE_U32:
        memcpy(&v32, at, sizeof(v32));
        return v32;
    case STATE_U64:
        memcpy(&v64, at, sizeof(v64));
        return v64;
    default:
        return *at;
    }
}

static void store_element(const struct state_field *field, uint8_t *object, uint32_t index,
                          uint64_t value) {
    uint8_t *at = object + field->off + (size_t)index * element_bytes(field);
    uint16_t v16 = (uint16_t)value;
    uint32_t v32 = (uint32_t)value;

    switch (field->type) {
    case STATE_U16:
        memcpy(at, &v16, sizeof(v16));
        break;
    case STATE_U32:
        memcpy(at, &v32, sizeof(v32));
        break;
    case STATE_U64:
        memcpy(at, &value, sizeof(value));
        break;
    default:
        *at = (uint8_t)value;
        break;
    }
}

static uint64_t load_blob_element(const struct state_field *field, const uint8_t *at) {
    switch (field->type) {
    case STATE_U16:
        return load_le16(at);
    case STATE_U32:
        return load_le32(at);
    case STATE_U64:
        return load_le64(at);
    default:
        return *at;
    }
}

static void store_blob_element(const struct state_field *field, uint8_t *at, uint64_t value) {
    switch (field->type) {
    case STATE_U16:
        store_le16(at, (uint16_t)value);
        break;
    case STATE_U32:
        store_le32(at, (uint32_t)value);
        break;
    case STATE_U64:
        store_le64(at, value);
        break;
    default:
        *at = (uint8_t)value;
        break;
    }
}

void state_reset(const struct state_table *table, void *object) {
    check_table(table);
    for (unsigned i = 0; i < table->field_count; i++) {
        const struct state_field *field = &table->fields[i];

        for (uint32_t k = 0; k < field->count; k++) {
            store_element(field, object, k, field->type == STATE_BYTES ? 0 : field->reset);
        }
    }
}

size_t state_blob_max_bytes(const struct state_table *table) {
    size_t bytes = HEADER_BYTES;

    check_table(table);
    for (unsigned i = 0; i < table->field_count; i++) {
        bytes += RECORD_BYTES + field_bytes(&table->fields[i]);
    }
    return bytes;
}

int state_save(const struct state_table *table, const void *object, uint8_t *out,
               size_t capacity_bytes, size_t *used_bytes) {
    size_t off = HEADER_BYTES;

    if (capacity_bytes < state_blob_max_bytes(table)) {
        return -ENOSPC;
    }
    store_le16(out, table->version);
    store_le16(out + 2, 0);
    for (unsigned i = 0; i < table->field_count; i++) {
        const struct state_field *field = &table->fields[i];

        store_le16(out + off, field->tag);
        store_le16(out + off + 2, field->type);
        store_le32(out + off + 4, field_bytes(field));
        off += RECORD_BYTES;
        for (uint32_t k = 0; k < field->count; k++) {
            store_blob_element(field, out + off, load_element(field, object, k));
            off += element_bytes(field);
        }
    }
    *used_bytes = off;
    return 0;
}

/// One record's header and payload, taken from the blob.
struct record {
    uint16_t tag;
    uint16_t type;
    uint32_t size_bytes;
    const uint8_t *bytes;
};

static bool next_record(struct cursor *c, struct record *out) {
    return cursor_le16(c, &out->tag) && cursor_le16(c, &out->type) &&
           cursor_le32(c, &out->size_bytes) && cursor_take(c, out->size_bytes, &out->bytes);
}

/// Index of the field with this tag, or field_count.
static unsigned find_field(const struct state_table *table, uint16_t tag) {
    unsigned i = 0;

    while (i < table->field_count && table->fields[i].tag != tag) {
        i++;
    }
    return i;
}

/// The rule that a known field's record breaks, or NULL.
static const char *check_record(const struct state_field *field, const struct record *record) {
    if (record->type != field->type) {
        return "field has another type";
    }
    if (record->size_bytes != field_bytes(field)) {
        return "field has another size";
    }
    if (field->max != 0 && field->type != STATE_BYTES) {
        for (uint32_t k = 0; k < field->count; k++) {
            if (load_blob_element(field, record->bytes + (size_t)k * element_bytes(field)) >
                field->max) {
                return "value exceeds the field's maximum";
            }
        }
    }
    return NULL;
}

static int refuse(struct state_error *error, size_t off, uint16_t tag, const char *rule) {
    if (error) {
        *error = (struct state_error){.off = off, .tag = tag, .rule = rule};
    }
    return -EINVAL;
}

static int check_blob(const struct state_table *table, struct cursor c, struct state_error *error) {
    bool seen[STATE_MAX_FIELDS] = {false};
    uint16_t version;
    uint16_t reserved;

    // The version is informative: tags carry compatibility. A non-zero reserved field would mark a
    // format that this reader cannot know.
    if (!cursor_le16(&c, &version) || !cursor_le16(&c, &reserved) || reserved != 0) {
        return refuse(error, 0, 0, "no header");
    }
    while (cursor_left(&c) > 0) {
        struct record record = {0};
        size_t off = c.off;
        const char *rule;
        unsigned i;

        if (!next_record(&c, &record)) {
            return refuse(error, off, record.tag, "record does not fit");
        }
        i = find_field(table, record.tag);
        if (i == table->field_count) {
            continue;
        }
        if (seen[i]) {
            return refuse(error, off, record.tag, "field stands twice");
        }
        seen[i] = true;
        rule = check_record(&table->fields[i], &record);
        if (rule) {
            return refuse(error, off, record.tag, rule);
        }
    }
    return 0;
}

int state_load(const struct state_table *table, void *object, const uint8_t *blob,
               size_t size_bytes, struct state_error *error) {
    struct cursor c = cursor_init(blob, size_bytes);
    struct record record;
    int r;

    check_table(table);
    r = check_blob(table, c, error);
    if (r) {
        return r;
    }
    state_reset(table, object);
    CHECK(cursor_skip(&c, HEADER_BYTES)); // check_blob has read it
    while (next_record(&c, &record)) {
        unsigned i = find_field(table, record.tag);

        if (i < table->field_count) {
            const struct state_field *field = &table->fields[i];

            for (uint32_t k = 0; k < field->count; k++) {
                store_element(
                    field, object, k,
                    load_blob_element(field, record.bytes + (size_t)k * element_bytes(field)));
            }
        }
    }
    return 0;
}

void state_inspect(const struct state_table *table, const void *object,
                   enum state_sensitivity up_to, state_visit_fn visit, void *ctx) {
    check_table(table);
    for (unsigned i = 0; i < table->field_count; i++) {
        const struct state_field *field = &table->fields[i];

        if (field->sensitivity > up_to) {
            continue;
        }
        if (field->type == STATE_BYTES) {
            visit(ctx, field, 0, 0, (const uint8_t *)object + field->off);
            continue;
        }
        for (uint32_t k = 0; k < field->count; k++) {
            visit(ctx, field, k, load_element(field, object, k), NULL);
        }
    }
}
