// SPDX-License-Identifier: MIT
//
// The ACPI tables of VTL0's machine: RSDP, XSDT, FADT, FACS, MADT, DSDT, SSDTs and TPM2 (ACPI 6.5,
// chapter 5; TCG ACPI Specification 1.3).
#pragma once

#include "devices/acpi_writer.h"
#include "devices/guest_memory.h"
#include "igvm/base/types.h"

#define ACPI_MAX_VPS 1024u

// RSDP (ACPI 6.5, 5.2.5.3): it is the first thing that is written, the tables follow.
#define ACPI_RSDP_BYTES      36u
#define ACPI_RSDP_V1_BYTES   20u
#define ACPI_RSDP_V1_SUM_OFF 8u
#define ACPI_RSDP_XSDT_OFF   24u
#define ACPI_RSDP_SUM_OFF    32u
#define ACPI_TABLES_OFF      ACPI_TABLE_ALIGN

/// Where Linux-direct machines keep the tables (docs/ARCHITECTURE.md).
#define ACPI_AREA_START UINT64_C(0xE0000)
#define ACPI_AREA_END   UINT64_C(0x100000)

struct acpi_config {
    uint32_t vp_count;              ///< APIC ids 0 .. vp_count - 1; 1..ACPI_MAX_VPS
    struct gpa_range pci_window;    ///< below 4 GiB, page-aligned, not empty
    struct gpa_range pci_window_64; ///< above 4 GiB; empty: none
    bool has_tpm;                   ///< TPM2 table and the CRB's device object
    bool has_ppi;                   ///< with the TPM: physical presence, by firmware
    uint64_t tpm_log_gpa;           ///< event log area, or 0
    uint32_t tpm_log_bytes;         ///< 0: no log
};

/// Writes the tables as they shall stand at base_gpa into out. *used_bytes: how much of out they
/// take; the RSDP is first. -EINVAL: the configuration or base_gpa (must be 64-byte-aligned and
/// below 4 GiB); -ENOSPC: out is too small. Pure.
int acpi_tables_build(const struct acpi_config *config, uint64_t base_gpa, uint8_t *out,
                      size_t capacity_bytes, size_t *used_bytes);

/// As acpi_tables_build(), with the writer's buffer; afterwards its links name every pointer but
/// the RSDP's.
int acpi_tables_write(const struct acpi_config *config, struct acpi_writer *w);

/// Builds the tables in guest memory at area.start; *rsdp is where the guest finds them. The caller
/// reserves the area in the guest's memory map. acpi_tables_build()'s errors, -ENOMEM, -EFAULT.
int acpi_tables_install(const struct acpi_config *config, const struct guest_memory *gm,
                        struct gpa_range area, gpa_t *rsdp);
