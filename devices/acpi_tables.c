// SPDX-License-Identifier: MIT
//
// ACPI tables (ACPI 6.5, chapter 5), appended one by one. Numbered offsets are those of the
// specification's tables.
#include "devices/acpi_tables.h"

#include "devices/acpi_pm.h"
#include "devices/acpi_writer.h"
#include "devices/dsdt_aml.h"
#include "devices/rtc.h"
#include "devices/ssdt_ppi_aml.h"
#include "devices/ssdt_tpm_aml.h"
#include "igvm/base/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 36u
#define FACS_BYTES   64u
#define FADT_BYTES   276u

#define LOCAL_APIC_GPA 0xFEE00000u
#define IOAPIC_GPA     0xFEC00000u
#define SCI_GSI        9u
#define TPM_CONTROL    UINT64_C(0xFED40040) ///< control area of the CRB's locality 0
#define RESET_PORT     0xCF9u
#define RESET_VALUE    0x06u

/// AML: Name (\SEGM, 64-bit value): NameOp, root prefix, name, QWordPrefix, value (20.2).
static void append_aml_name(struct acpi_writer *w, const char *name, uint64_t value) {
    acpi_append_u8(w, 0x08);
    acpi_append_u8(w, '\\');
    acpi_append_bytes(w, name, 4);
    acpi_append_u8(w, 0x0E);
    acpi_append_le64(w, value);
}

/// The integers that dsdt.asl takes the PCI windows from: first and last address.
static void add_windows(struct acpi_writer *w, const struct acpi_config *config) {
    struct gpa_range high = config->pci_window_64;
    bool has_high = high.end > high.start;

    acpi_table_begin(w, "SSDT", 2);
    append_aml_name(w, "P32S", config->pci_window.start);
    append_aml_name(w, "P32E", config->pci_window.end - 1);
    append_aml_name(w, "P64S", has_high ? high.start : 0);
    append_aml_name(w, "P64E", has_high ? high.end - 1 : 0);
    acpi_table_end(w, true);
}

/// FACS (5.2.10): has to exist; nothing in it is used without S3. It has no checksum.
static uint64_t add_facs(struct acpi_writer *w) {
    uint64_t facs_gpa;

    acpi_align(w);
    facs_gpa = w->base_gpa + w->used;
    acpi_append_bytes(w, "FACS", 4);
    acpi_append_le32(w, FACS_BYTES);
    acpi_append(w, 24);   // hardware signature .. X firmware waking vector
    acpi_append_u8(w, 2); // version
    acpi_append(w, FACS_BYTES - 33);
    return facs_gpa;
}

#define ACCESS_BYTE  1u
#define ACCESS_WORD  2u
#define ACCESS_DWORD 3u

/// Generic address structure of a port (5.2.3.2).
static void store_port(uint8_t *at, uint8_t width_bits, uint8_t access, uint64_t port) {
    at[0] = 1; // system I/O
    at[1] = width_bits;
    at[3] = access;
    store_le64(at + 4, port);
}

// FADT flags (5.2.9).
#define FADT_WBINVD        (1u << 0)
#define FADT_PROC_C1       (1u << 2)
#define FADT_SLP_BUTTON    (1u << 5) ///< no fixed sleep button
#define FADT_FIX_RTC       (1u << 6) ///< no RTC wake status in fixed registers
#define FADT_TMR_VAL_EXT   (1u << 8) ///< 32-bit PM timer
#define FADT_RESET_REG_SUP (1u << 10)
#define FADT_FLAGS                                                                                 \
    (FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_FIX_RTC | FADT_TMR_VAL_EXT |              \
     FADT_RESET_REG_SUP)
// IA-PC boot architecture flags (5.2.9.3). No 8042.
#define BOOT_LEGACY_DEVICES (1u << 0)
#define BOOT_NO_VGA         (1u << 2)
// "C2 and C3 are not supported" (5.2.9).
#define NO_C2_LATENCY 0x65u
#define NO_C3_LATENCY 0x3E9u

/// FADT (5.2.9). SMI_CMD 0: always in ACPI mode.
static void add_fadt(struct acpi_writer *w, uint64_t dsdt_gpa, uint64_t facs_gpa) {
    uint8_t *fadt;

    acpi_table_begin(w, "FACP", 6);
    if (acpi_append(w, FADT_BYTES - HEADER_BYTES)) {
        fadt = w->out + w->table_off;
        store_le32(fadt + 36, (uint32_t)facs_gpa);
        store_le32(fadt + 40, (uint32_t)dsdt_gpa);
        fadt[45] = 4; // preferred profile: enterprise server
        store_le16(fadt + 46, SCI_GSI);
        store_le32(fadt + 56, ACPI_PM_BASE);     // PM1a_EVT_BLK
        store_le32(fadt + 64, ACPI_PM_CNT_PORT); // PM1a_CNT_BLK
        store_le32(fadt + 76, ACPI_PM_TMR_PORT); // PM_TMR_BLK
        fadt[88] = ACPI_PM_EVT_BYTES;
        fadt[89] = ACPI_PM_CNT_BYTES;
        fadt[91] = ACPI_PM_TMR_BYTES;
        store_le16(fadt + 96, NO_C2_LATENCY);
        store_le16(fadt + 98, NO_C3_LATENCY);
        fadt[108] = RTC_CENTURY;
        store_le16(fadt + 109, BOOT_LEGACY_DEVICES | BOOT_NO_VGA);
        store_le32(fadt + 112, FADT_FLAGS);
        store_port(fadt + 116, 8, ACCESS_BYTE, RESET_PORT);
        fadt[128] = RESET_VALUE;
        fadt[131] = 5; // minor version: 6.5
        store_le64(fadt + 140, dsdt_gpa);
        acpi_note_link(w, 36, 4);
        acpi_note_link(w, 40, 4);
        acpi_note_link(w, 140, 8);
        store_port(fadt + 148, 8 * ACPI_PM_EVT_BYTES, ACCESS_WORD, ACPI_PM_BASE);
        store_port(fadt + 172, 8 * ACPI_PM_CNT_BYTES, ACCESS_WORD, ACPI_PM_CNT_PORT);
        store_port(fadt + 208, 8 * ACPI_PM_TMR_BYTES, ACCESS_DWORD, ACPI_PM_TMR_PORT);
    }
    acpi_table_end(w, true);
}

// MADT (5.2.12): entry types and flags.
#define MADT_PCAT_COMPAT  1u ///< there are 8259s
#define MADT_LOCAL_APIC   0u
#define MADT_IOAPIC       1u
#define MADT_OVERRIDE     2u
#define MADT_LOCAL_NMI    4u
#define MADT_LOCAL_X2APIC 9u
#define MADT_X2APIC_NMI   10u
#define APIC_ENABLED      1u
#define XAPIC_MAX_ID      254u ///< 255 is broadcast: from there on x2APIC entries
#define ISO_CONFORMS      0x0u
#define ISO_LEVEL_HIGH    0xDu ///< active high, level triggered

static void append_override(struct acpi_writer *w, uint8_t irq, uint32_t gsi, uint16_t flags) {
    acpi_append_u8(w, MADT_OVERRIDE);
    acpi_append_u8(w, 10);
    acpi_append_u8(w, 0); // ISA
    acpi_append_u8(w, irq);
    acpi_append_le32(w, gsi);
    acpi_append_le16(w, flags);
}

static void append_processor(struct acpi_writer *w, uint32_t apic_id) {
    if (apic_id <= XAPIC_MAX_ID) {
        acpi_append_u8(w, MADT_LOCAL_APIC);
        acpi_append_u8(w, 8);
        acpi_append_u8(w, (uint8_t)apic_id); // ACPI processor UID
        acpi_append_u8(w, (uint8_t)apic_id);
        acpi_append_le32(w, APIC_ENABLED);
    } else {
        acpi_append_u8(w, MADT_LOCAL_X2APIC);
        acpi_append_u8(w, 16);
        acpi_append_le16(w, 0);
        acpi_append_le32(w, apic_id);
        acpi_append_le32(w, APIC_ENABLED);
        acpi_append_le32(w, apic_id);
    }
}

static void append_nmis(struct acpi_writer *w, uint32_t vp_count) {
    acpi_append_u8(w, MADT_LOCAL_NMI); // LINT1 of all processors
    acpi_append_u8(w, 6);
    acpi_append_u8(w, 0xFF);
    acpi_append_le16(w, 0);
    acpi_append_u8(w, 1);
    if (vp_count > XAPIC_MAX_ID + 1) {
        acpi_append_u8(w, MADT_X2APIC_NMI);
        acpi_append_u8(w, 12);
        acpi_append_le16(w, 0);
        acpi_append_le32(w, UINT32_MAX);
        acpi_append_u8(w, 1);
        acpi_append(w, 3);
    }
}

static void add_madt(struct acpi_writer *w, uint32_t vp_count) {
    acpi_table_begin(w, "APIC", 5);
    acpi_append_le32(w, LOCAL_APIC_GPA);
    acpi_append_le32(w, MADT_PCAT_COMPAT);
    for (uint32_t i = 0; i < vp_count; i++) {
        append_processor(w, i);
    }
    acpi_append_u8(w, MADT_IOAPIC);
    acpi_append_u8(w, 12);
    acpi_append_u8(w, 0); // IOAPIC id
    acpi_append_u8(w, 0);
    acpi_append_le32(w, IOAPIC_GPA);
    acpi_append_le32(w, 0); // GSI base
    append_override(w, 0, 2, ISO_CONFORMS);
    append_override(w, SCI_GSI, SCI_GSI, ISO_LEVEL_HIGH);
    append_nmis(w, vp_count);
    acpi_table_end(w, true);
}

/// TPM2 (TCG ACPI Specification 1.3, 8.3): start method 7, command response buffer.
static void add_tpm2(struct acpi_writer *w, const struct acpi_config *config) {
    acpi_table_begin(w, "TPM2", 4);
    acpi_append_le16(w, 0); // platform class: client
    acpi_append_le16(w, 0);
    acpi_append_le64(w, TPM_CONTROL);
    acpi_append_le32(w, 7);
    acpi_append(w, 12); // start method specific parameters
    if (config->tpm_log_bytes > 0) {
        acpi_append_le32(w, config->tpm_log_bytes);
        acpi_append_le64(w, config->tpm_log_gpa);
    }
    acpi_table_end(w, true);
}

static uint64_t add_xsdt(struct acpi_writer *w) {
    acpi_table_begin(w, "XSDT", 1);
    for (unsigned i = 0; i < w->table_count; i++) {
        acpi_note_link(w, HEADER_BYTES + 8 * i, 8);
        acpi_append_le64(w, w->table_gpas[i]);
    }
    return acpi_table_end(w, false);
}

/// RSDP (5.2.5.3) at the start of the area, where a search finds it as well. No RSDT: that is for
/// ACPI 1.0 only.
static void fill_rsdp(uint8_t *rsdp, uint64_t xsdt_gpa) {
    static const uint8_t signature[8] = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '};
    static const uint8_t oem_id[6] = {'P', 'A', 'R', 'A', 'P', 'T'};

    memcpy(rsdp, signature, sizeof(signature));
    memcpy(rsdp + 9, oem_id, sizeof(oem_id));
    rsdp[15] = 2; // revision
    store_le32(rsdp + 20, ACPI_RSDP_BYTES);
    store_le64(rsdp + ACPI_RSDP_XSDT_OFF, xsdt_gpa);
    rsdp[ACPI_RSDP_V1_SUM_OFF] = acpi_checksum(rsdp, ACPI_RSDP_V1_BYTES);
    rsdp[ACPI_RSDP_SUM_OFF] = acpi_checksum(rsdp, ACPI_RSDP_BYTES);
}

static bool config_is_valid(const struct acpi_config *config, uint64_t base_gpa,
                            size_t capacity_bytes) {
    struct gpa_range low = config->pci_window;
    struct gpa_range high = config->pci_window_64;
    uint64_t four_gib = UINT64_C(1) << 32;

    return config->vp_count >= 1 && config->vp_count <= ACPI_MAX_VPS && low.end > low.start &&
           low.end <= four_gib && is_aligned(low.start | low.end, PAGE_SIZE_4K) &&
           is_aligned(high.start | high.end, PAGE_SIZE_4K) &&
           (high.end <= high.start || high.start >= four_gib) &&
           is_aligned(base_gpa, ACPI_TABLE_ALIGN) && base_gpa < four_gib &&
           capacity_bytes <= four_gib - base_gpa;
}

int acpi_tables_write(const struct acpi_config *config, struct acpi_writer *w) {
    uint64_t dsdt_gpa;
    uint64_t facs_gpa;
    uint64_t xsdt_gpa;

    if (!config_is_valid(config, w->base_gpa, w->capacity)) {
        return -EINVAL;
    }
    acpi_append(w, ACPI_RSDP_BYTES);
    facs_gpa = add_facs(w);
    dsdt_gpa = acpi_add_aml(w, dsdt_aml, sizeof(dsdt_aml), false);
    add_fadt(w, dsdt_gpa, facs_gpa);
    add_madt(w, config->vp_count);
    add_windows(w, config);
    if (config->has_tpm) {
        acpi_add_aml(w, ssdt_tpm_aml, sizeof(ssdt_tpm_aml), true);
        if (config->has_ppi) {
            acpi_add_aml(w, ssdt_ppi_aml, sizeof(ssdt_ppi_aml), true);
        }
        add_tpm2(w, config);
    }
    xsdt_gpa = add_xsdt(w);
    if (w->full) {
        return -ENOSPC;
    }
    fill_rsdp(w->out, xsdt_gpa);
    return 0;
}

int acpi_tables_build(const struct acpi_config *config, uint64_t base_gpa, uint8_t *out,
                      size_t capacity_bytes, size_t *used_bytes) {
    struct acpi_writer w = {.out = out, .capacity = capacity_bytes, .base_gpa = base_gpa};
    int r = acpi_tables_write(config, &w);

    if (r == 0) {
        *used_bytes = w.used;
    }
    return r;
}

int acpi_tables_install(const struct acpi_config *config, const struct guest_memory *gm,
                        struct gpa_range area, gpa_t *rsdp) {
    size_t capacity = gpa_range_bytes(area);
    uint8_t *bytes = capacity ? malloc(capacity) : NULL;
    size_t used = 0;
    int r;

    if (!bytes) {
        return capacity ? -ENOMEM : -EINVAL;
    }
    r = acpi_tables_build(config, area.start, bytes, capacity, &used);
    if (r == 0) {
        r = guest_write(gm, gpa(area.start), bytes, used);
    }
    if (r == 0) {
        *rsdp = gpa(area.start);
    }
    free(bytes);
    return r;
}
