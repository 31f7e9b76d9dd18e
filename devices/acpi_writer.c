// SPDX-License-Identifier: MIT
//
// Appends ACPI tables to a buffer. Each table is closed by filling in its length and checksum.
#include "devices/acpi_writer.h"

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"

#include <string.h>

#define CHECKSUM_OFF 9u

uint8_t *acpi_append(struct acpi_writer *w, size_t size_bytes) {
    uint8_t *at;

    if (w->full || size_bytes > w->capacity - w->used) {
        w->full = true;
        return NULL;
    }
    at = w->out + w->used;
    memset(at, 0, size_bytes);
    w->used += size_bytes;
    return at;
}

void acpi_append_bytes(struct acpi_writer *w, const void *bytes, size_t size_bytes) {
    uint8_t *at = acpi_append(w, size_bytes);

    if (at) {
        memcpy(at, bytes, size_bytes);
    }
}

void acpi_append_u8(struct acpi_writer *w, uint8_t value) {
    acpi_append_bytes(w, &value, 1);
}

void acpi_append_le16(struct acpi_writer *w, uint16_t value) {
    uint8_t bytes[2];

    store_le16(bytes, value);
    acpi_append_bytes(w, bytes, sizeof(bytes));
}

void acpi_append_le32(struct acpi_writer *w, uint32_t value) {
    uint8_t bytes[4];

    store_le32(bytes, value);
    acpi_append_bytes(w, bytes, sizeof(bytes));
}

void acpi_append_le64(struct acpi_writer *w, uint64_t value) {
    uint8_t bytes[8];

    store_le64(bytes, value);
    acpi_append_bytes(w, bytes, sizeof(bytes));
}

void acpi_align(struct acpi_writer *w) {
    size_t rest = w->used % ACPI_TABLE_ALIGN;

    if (rest) {
        acpi_append(w, ACPI_TABLE_ALIGN - rest);
    }
}

uint8_t acpi_checksum(const uint8_t *bytes, size_t size_bytes) {
    uint8_t sum = 0;

    for (size_t i = 0; i < size_bytes; i++) {
        sum = (uint8_t)(sum + bytes[i]);
    }
    return (uint8_t)-sum;
}

void acpi_table_begin(struct acpi_writer *w, const char *signature, uint8_t revision) {
    acpi_align(w);
    w->table_off = w->used;
    acpi_append_bytes(w, signature, 4);
    acpi_append_le32(w, 0); // length
    acpi_append_u8(w, revision);
    acpi_append_u8(w, 0);                 // checksum
    acpi_append_bytes(w, "PARAPT", 6);    // OEM id
    acpi_append_bytes(w, "PARAPET\0", 8); // OEM table id
    acpi_append_le32(w, 1);               // OEM revision
    acpi_append_bytes(w, "PRPT", 4);      // creator id
    acpi_append_le32(w, 1);               // creator revision
}

void acpi_note_link(struct acpi_writer *w, uint32_t off_in_table, uint8_t size_bytes) {
    CHECK(w->link_count < ACPI_MAX_LINKS);
    w->links[w->link_count++] = (struct acpi_link){.table_off = (uint32_t)w->table_off,
                                                   .off = (uint32_t)w->table_off + off_in_table,
                                                   .size_bytes = size_bytes};
}

uint64_t acpi_table_end(struct acpi_writer *w, bool listed) {
    uint64_t table_gpa = w->base_gpa + w->table_off;
    size_t size_bytes = w->used - w->table_off;

    if (!w->full) {
        uint8_t *table = w->out + w->table_off;

        store_le32(table + 4, (uint32_t)size_bytes);
        table[CHECKSUM_OFF] = 0;
        table[CHECKSUM_OFF] = acpi_checksum(table, size_bytes);
    }
    if (listed) {
        CHECK(w->table_count < ACPI_MAX_TABLES);
        w->table_gpas[w->table_count++] = table_gpa;
    }
    return table_gpa;
}

uint64_t acpi_add_aml(struct acpi_writer *w, const uint8_t *aml, size_t size_bytes, bool listed) {
    acpi_align(w);
    w->table_off = w->used;
    acpi_append_bytes(w, aml, size_bytes);
    return acpi_table_end(w, listed);
}
