// SPDX-License-Identifier: MIT
//
// Appends ACPI tables to a buffer: bounded, with lengths and checksums (ACPI 6.5, section 5.2.6).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACPI_TABLE_ALIGN 64u ///< the FACS needs it, the others do not mind
#define ACPI_MAX_TABLES  8u
#define ACPI_MAX_LINKS   (ACPI_MAX_TABLES + 4u) ///< XSDT's, FADT's three, RSDP's

/// A field that holds an address inside the buffer: whoever moves the tables corrects it. Offsets
/// in the buffer.
struct acpi_link {
    uint32_t table_off; ///< of the table it stands in: its checksum covers the field
    uint32_t off;
    uint8_t size_bytes; ///< 4 or 8
};

/// The tables under construction: [0, used) of out are valid. Once something does not fit, full is
/// set and nothing more is written; the caller looks at the end.
struct acpi_writer {
    uint8_t *out;
    size_t capacity;
    size_t used;
    uint64_t base_gpa;
    bool full;
    size_t table_off; ///< of the table being written
    uint64_t table_gpas[ACPI_MAX_TABLES];
    unsigned table_count;
    struct acpi_link links[ACPI_MAX_LINKS];
    unsigned link_count;
};

/// Room for size_bytes zero bytes; NULL when there is none.
uint8_t *acpi_append(struct acpi_writer *w, size_t size_bytes);
void acpi_append_bytes(struct acpi_writer *w, const void *bytes, size_t size_bytes);
void acpi_append_u8(struct acpi_writer *w, uint8_t value);
void acpi_append_le16(struct acpi_writer *w, uint16_t value);
void acpi_append_le32(struct acpi_writer *w, uint32_t value);
void acpi_append_le64(struct acpi_writer *w, uint64_t value);
/// Pads to ACPI_TABLE_ALIGN.
void acpi_align(struct acpi_writer *w);

/// The byte that makes the sum of these and itself zero.
uint8_t acpi_checksum(const uint8_t *bytes, size_t size_bytes);

/// Starts a table with the common header (5.2.6); acpi_table_end() fills in length and checksum.
void acpi_table_begin(struct acpi_writer *w, const char *signature, uint8_t revision);
/// Notes that the table being written has a pointer at this offset.
void acpi_note_link(struct acpi_writer *w, uint32_t off_in_table, uint8_t size_bytes);
/// Closes the table and returns its address; listed: the XSDT will name it.
uint64_t acpi_table_end(struct acpi_writer *w, bool listed);
/// Adds a table that iasl has made.
uint64_t acpi_add_aml(struct acpi_writer *w, const uint8_t *aml, size_t size_bytes, bool listed);
