// SPDX-License-Identifier: MIT
//
// ACPI blobs and their linker script: see acpi_loader.h. The tables are written as for guest memory
// at address 0; then the RSDP in front of them becomes a blob of its own.
#include "devices/acpi_loader.h"

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES   56u
#define SUM_OFF      9u ///< of the common table header
#define LENGTH_OFF   4u
#define RSDP_ALIGN   16u
#define COMMAND_BODY 4u

/// The rest of the field is zero.
static void put_name(uint8_t *at, const char *name) {
    snprintf((char *)at, NAME_BYTES, "%s", name);
}

static uint8_t *add_command(struct acpi_loader *l, uint32_t command, const char *file) {
    uint8_t *at = l->script + l->script_bytes;

    CHECK(l->script_bytes + ACPI_LOADER_COMMAND_BYTES <= sizeof(l->script));
    l->script_bytes += ACPI_LOADER_COMMAND_BYTES;
    store_le32(at, command);
    put_name(at + COMMAND_BODY, file);
    return at + COMMAND_BODY + NAME_BYTES;
}

static void allocate(struct acpi_loader *l, const char *file, uint32_t align, uint8_t zone) {
    uint8_t *at = add_command(l, ACPI_LOADER_ALLOCATE, file);

    store_le32(at, align);
    at[4] = zone;
}

/// The field gets the tables' address added.
static void add_pointer(struct acpi_loader *l, const char *file, uint32_t off, uint8_t size_bytes) {
    uint8_t *at = add_command(l, ACPI_LOADER_ADD_POINTER, file);

    put_name(at, ACPI_LOADER_TABLES_FILE);
    store_le32(at + NAME_BYTES, off);
    at[NAME_BYTES + 4] = size_bytes;
}

static void add_checksum(struct acpi_loader *l, const char *file, uint32_t sum_off, uint32_t start,
                         uint32_t size_bytes) {
    uint8_t *at = add_command(l, ACPI_LOADER_ADD_CHECKSUM, file);

    store_le32(at, sum_off);
    store_le32(at + 4, start);
    store_le32(at + 8, size_bytes);
}

/// From an address in the buffer (its base is 0) to an offset in the tables' blob.
static void rebase(uint8_t *at, uint8_t size_bytes) {
    if (size_bytes == 4) {
        store_le32(at, load_le32(at) - ACPI_TABLES_OFF);
    } else {
        store_le64(at, load_le64(at) - ACPI_TABLES_OFF);
    }
}

static void link_tables(struct acpi_loader *l, const struct acpi_writer *w) {
    for (unsigned i = 0; i < w->link_count; i++) {
        const struct acpi_link *link = &w->links[i];

        rebase(l->tables + (link->off - ACPI_TABLES_OFF), link->size_bytes);
        add_pointer(l, ACPI_LOADER_TABLES_FILE, link->off - ACPI_TABLES_OFF, link->size_bytes);
    }
    // Links of one table follow each other: its checksum comes once, after all pointers.
    for (unsigned i = 0; i < w->link_count; i++) {
        uint32_t table = w->links[i].table_off - ACPI_TABLES_OFF;

        if (i == 0 || w->links[i - 1].table_off != w->links[i].table_off) {
            l->tables[table + SUM_OFF] = 0;
            add_checksum(l, ACPI_LOADER_TABLES_FILE, table + SUM_OFF, table,
                         load_le32(l->tables + table + LENGTH_OFF));
        }
    }
}

static void link_rsdp(struct acpi_loader *l) {
    rebase(l->rsdp + ACPI_RSDP_XSDT_OFF, 8);
    l->rsdp[ACPI_RSDP_V1_SUM_OFF] = 0;
    l->rsdp[ACPI_RSDP_SUM_OFF] = 0;
    add_pointer(l, ACPI_LOADER_RSDP_FILE, ACPI_RSDP_XSDT_OFF, 8);
    add_checksum(l, ACPI_LOADER_RSDP_FILE, ACPI_RSDP_V1_SUM_OFF, 0, ACPI_RSDP_V1_BYTES);
    add_checksum(l, ACPI_LOADER_RSDP_FILE, ACPI_RSDP_SUM_OFF, 0, ACPI_RSDP_BYTES);
}

int acpi_loader_build(const struct acpi_config *config, struct acpi_loader *out) {
    uint8_t *buffer = malloc(ACPI_TABLES_OFF + ACPI_LOADER_TABLES_ROOM);
    struct acpi_writer w = {.out = buffer, .capacity = ACPI_TABLES_OFF + ACPI_LOADER_TABLES_ROOM};
    int result;

    if (buffer == NULL) {
        return -ENOMEM;
    }
    memset(out, 0, sizeof(*out));
    result = acpi_tables_write(config, &w);
    if (result == 0) {
        memcpy(out->rsdp, buffer, ACPI_RSDP_BYTES);
        out->tables_bytes = w.used - ACPI_TABLES_OFF;
        memcpy(out->tables, buffer + ACPI_TABLES_OFF, out->tables_bytes);
        allocate(out, ACPI_LOADER_RSDP_FILE, RSDP_ALIGN, ACPI_LOADER_ZONE_FSEG);
        allocate(out, ACPI_LOADER_TABLES_FILE, ACPI_TABLE_ALIGN, ACPI_LOADER_ZONE_HIGH);
        link_tables(out, &w);
        link_rsdp(out);
    }
    free(buffer);
    return result;
}
