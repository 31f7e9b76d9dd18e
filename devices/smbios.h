// SPDX-License-Identifier: MIT
//
// SMBIOS tables for firmware (DSP0134, SMBIOS 3.6): what the machine calls itself. Firmware places
// them and corrects the entry point's address; it adds a BIOS information table of its own.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SMBIOS_ANCHOR_BYTES     24u ///< the 64-bit entry point (5.2.2)
#define SMBIOS_TABLES_MAX_BYTES 512u

#define SMBIOS_ANCHOR_FILE "etc/smbios/smbios-anchor"
#define SMBIOS_TABLES_FILE "etc/smbios/smbios-tables"

struct smbios {
    uint8_t anchor[SMBIOS_ANCHOR_BYTES];
    uint8_t tables[SMBIOS_TABLES_MAX_BYTES];
    size_t tables_bytes;
};

/// System (type 1), chassis (type 3) and end-of-table (type 127). version names the product's
/// version (borrowed; at most 32 characters are taken). Pure.
void smbios_build(const char *version, struct smbios *out);
