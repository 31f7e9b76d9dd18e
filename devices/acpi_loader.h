// SPDX-License-Identifier: MIT
//
// The ACPI tables as firmware takes them from fw_cfg: two blobs whose addresses firmware chooses,
// and a script that tells it where pointers and checksums stand in them. The script's format is
// that of QEMU's "etc/table-loader": 128-byte commands (OvmfPkg/AcpiPlatformDxe reads it).
#pragma once

#include "devices/acpi_tables.h"

#define ACPI_LOADER_RSDP_FILE   "etc/acpi/rsdp"
#define ACPI_LOADER_TABLES_FILE "etc/acpi/tables"
#define ACPI_LOADER_SCRIPT_FILE "etc/table-loader"

#define ACPI_LOADER_COMMAND_BYTES 128u
#define ACPI_LOADER_MAX_COMMANDS  (2u + 2u * ACPI_MAX_LINKS + 3u)
#define ACPI_LOADER_TABLES_ROOM   0x10000u

// Commands, and zones of an allocation.
#define ACPI_LOADER_ALLOCATE     1u
#define ACPI_LOADER_ADD_POINTER  2u
#define ACPI_LOADER_ADD_CHECKSUM 3u
#define ACPI_LOADER_ZONE_HIGH    1u
#define ACPI_LOADER_ZONE_FSEG    2u

struct acpi_loader {
    uint8_t rsdp[ACPI_RSDP_BYTES];
    uint8_t tables[ACPI_LOADER_TABLES_ROOM];
    size_t tables_bytes;
    uint8_t script[ACPI_LOADER_MAX_COMMANDS * ACPI_LOADER_COMMAND_BYTES];
    size_t script_bytes;
};

/// Builds all three. Pointers in the blobs are offsets in the tables' blob, checksums that the
/// script computes are 0. acpi_tables_build()'s errors. Pure.
int acpi_loader_build(const struct acpi_config *config, struct acpi_loader *out);
