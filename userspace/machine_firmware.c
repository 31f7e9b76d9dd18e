// SPDX-License-Identifier: MIT
//
// What a guest that starts with UEFI firmware has besides the machine of machine_devices.c: the ROM
// below 4 GiB, fw_cfg with the machine's description, the PIIX functions that OvmfPkg's i440fx
// personality looks for, the keyboard port's reset, and the debug console if wanted.
//
// What is in fw_cfg depends on the configuration only: it is the same at every start of the guest.
#include "userspace/machine.h"

#include "devices/acpi_loader.h"
#include "devices/smbios.h"
#include "igvm/base/bytes.h"
#include "igvm/base/log.h"
#include "version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIIX_SLOT 1u

// Where OvmfPkg's i440fx personality puts PCI's window, by where low RAM ends (PlatformInitLib).
#define WINDOW_START_SMALL UINT64_C(0x80000000)
#define WINDOW_END         UINT64_C(0xFC000000)

#define E820_ENTRY_BYTES 20u
#define E820_RAM         1u
#define E820_RESERVED    2u
#define E820_MAX_ENTRIES (2u * GUEST_MEMORY_MAX_REGIONS + 1)

#define MAX_BOOT_ORDER_BYTES (CONFIG_MAX_DISKS * 48u)

// "etc/hardware-info": records of type, size and value, all u64. Type 2 is the variable device.
#define HARDWARE_UEFI_VARS  2u
#define HARDWARE_INFO_BYTES 24u

// "etc/system-states": a byte per ACPI S-state, bit 7: there is one.
#define STATE_COUNT 6u
#define STATE_THERE 0x80u

// ---- the machine's description ----

struct gpa_range machine_pci_window(const struct machine *machine) {
    uint64_t low_end = 0;

    if (machine->firmware.bytes == NULL) {
        return (struct gpa_range){MACHINE_PCI_WINDOW_START, MACHINE_PCI_WINDOW_END};
    }
    for (uint32_t i = 0; i < machine->memory.region_count; i++) {
        uint64_t end = machine->memory.regions[i].gpa.end;

        low_end = end <= GUEST_RAM_LOW_END_GPA && end > low_end ? end : low_end;
    }
    return (struct gpa_range){
        low_end <= WINDOW_START_SMALL ? WINDOW_START_SMALL : MACHINE_PCI_WINDOW_START, WINDOW_END};
}

struct acpi_config machine_acpi_config(const struct machine *machine) {
    return (struct acpi_config){
        .vp_count = machine->vp_count,
        .pci_window = machine_pci_window(machine),
        .has_tpm = machine->has_tpm,
        .has_ppi = machine->has_tpm && machine->firmware.bytes,
    };
}

static size_t put_e820(uint8_t *out, size_t count, struct gpa_range range, uint32_t type) {
    uint8_t *entry = out + count * E820_ENTRY_BYTES;

    store_le64(entry, range.start);
    store_le64(entry + 8, gpa_range_bytes(range));
    store_le32(entry + 16, type);
    return count + 1;
}

/// RAM as it is, pieces that touch as one, without the TPM's; what lies between two pieces below
/// 4 GiB is not the guest's, and firmware that takes low memory for one piece must hear of it.
static int add_e820(struct machine *machine) {
    uint8_t bytes[E820_MAX_ENTRIES * E820_ENTRY_BYTES] = {0};
    const struct guest_memory *gm = &machine->memory;
    const struct gpa_range tpm = machine_tpm_ram(machine);
    size_t count = 0;

    for (uint32_t i = 0; i < gm->region_count; i++) {
        struct gpa_range range = gm->regions[i].gpa, ram;

        while (i + 1 < gm->region_count && gm->regions[i + 1].gpa.start == range.end) {
            range.end = gm->regions[++i].gpa.end;
        }
        ram = (struct gpa_range){range.start, range.end == tpm.end ? tpm.start : range.end};
        count = put_e820(bytes, count, ram, E820_RAM);
        if (ram.end < range.end) {
            count = put_e820(bytes, count, tpm, E820_RESERVED);
        }
        if (i + 1 < gm->region_count && gm->regions[i + 1].gpa.start < GUEST_RAM_LOW_END_GPA) {
            struct gpa_range gap = {range.end, gm->regions[i + 1].gpa.start};

            count = put_e820(bytes, count, gap, E820_RESERVED);
        }
    }
    return fw_cfg_add_file(&machine->fw_cfg, "etc/e820", bytes, count * E820_ENTRY_BYTES);
}

static int add_acpi(struct machine *machine) {
    const struct acpi_config config = machine_acpi_config(machine);
    struct acpi_loader *acpi = malloc(sizeof(*acpi));
    struct fw_cfg *fw = &machine->fw_cfg;
    int result;

    if (acpi == NULL) {
        return -ENOMEM;
    }
    result = acpi_loader_build(&config, acpi);
    if (result == 0) {
        result = fw_cfg_add_file(fw, ACPI_LOADER_RSDP_FILE, acpi->rsdp, sizeof(acpi->rsdp));
    }
    if (result == 0) {
        result = fw_cfg_add_file(fw, ACPI_LOADER_TABLES_FILE, acpi->tables, acpi->tables_bytes);
    }
    if (result == 0) {
        result = fw_cfg_add_file(fw, ACPI_LOADER_SCRIPT_FILE, acpi->script, acpi->script_bytes);
    }
    free(acpi);
    return result;
}

static int add_smbios(struct machine *machine) {
    struct smbios smbios;
    int result;

    smbios_build(PARAPET_VERSION, &smbios);
    result =
        fw_cfg_add_file(&machine->fw_cfg, SMBIOS_ANCHOR_FILE, smbios.anchor, sizeof(smbios.anchor));
    return result < 0 ? result
                      : fw_cfg_add_file(&machine->fw_cfg, SMBIOS_TABLES_FILE, smbios.tables,
                                        smbios.tables_bytes);
}

/// The disks in the configuration's order, as Open Firmware device paths (IEEE 1275), which is what
/// OvmfPkg's QemuBootOrderLib translates: one per line, NUL at the end.
static int add_boot_order(struct machine *machine) {
    char text[MAX_BOOT_ORDER_BYTES] = "";
    size_t used = 0;

    for (uint32_t i = 0; i < machine->config.disk_count; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s/pci@i0cf8/scsi@%x/disk@0,0",
                                 i > 0 ? "\n" : "",
                                 MACHINE_FIRST_DISK_SLOT + i); // 32 bytes at most
    }
    return used == 0 ? 0 : fw_cfg_add_file(&machine->fw_cfg, "bootorder", text, used + 1);
}

static int add_hardware_info(struct machine *machine) {
    uint8_t bytes[HARDWARE_INFO_BYTES];

    store_le64(bytes, HARDWARE_UEFI_VARS);
    store_le64(bytes + 8, 8);
    store_le64(bytes + 16, UEFI_VARS_GPA);
    return fw_cfg_add_file(&machine->fw_cfg, "etc/hardware-info", bytes, sizeof(bytes));
}

static int add_files(struct machine *machine) {
    static const uint8_t states[STATE_COUNT] = {STATE_THERE, 0, 0, 0, 0, STATE_THERE};
    int result = add_e820(machine);

    if (result == 0) {
        result = add_hardware_info(machine);
    }

    if (result == 0) {
        result = fw_cfg_add_file(&machine->fw_cfg, "etc/system-states", states, sizeof(states));
    }
    if (result == 0) {
        result = add_boot_order(machine);
    }
    if (result == 0) {
        result = add_smbios(machine);
    }
    return result < 0 ? result : add_acpi(machine);
}

static int add_ppi(struct machine *machine) {
    uint8_t config[TPM_PPI_CONFIG_BYTES];
    int result;

    if (!machine->has_tpm) {
        return 0;
    }
    result = tpm_ppi_init(&machine->ppi, machine->mmio);
    if (result < 0) {
        return result;
    }
    machine_add(machine, &machine->ppi.device);
    tpm_ppi_config(config);
    return fw_cfg_add_file(&machine->fw_cfg, TPM_PPI_CONFIG_FILE, config, sizeof(config));
}

static int add_fw_cfg(struct machine *machine) {
    uint8_t count[2];
    int result = fw_cfg_init(&machine->fw_cfg, machine->pio, &machine->memory);

    if (result < 0) {
        return result;
    }
    machine->has_fw_cfg = true;
    store_le16(count, (uint16_t)machine->vp_count);
    result = fw_cfg_add(&machine->fw_cfg, FW_CFG_CPU_COUNT, count, sizeof(count));
    if (result == 0) {
        result = fw_cfg_add(&machine->fw_cfg, FW_CFG_MAX_CPUS, count, sizeof(count));
    }
    result = result < 0 ? result : add_files(machine);
    result = result < 0 ? result : add_ppi(machine);
    if (result == 0) {
        machine_add(machine, &machine->fw_cfg.device);
    }
    return result;
}

// ---- devices ----

/// Half a firmware's log is of no use: not rate-limited, but only there when asked for.
static void put_firmware_line(void *ctx, const char *line) {
    (void)ctx;
    log_write(LOG_DEBUG, "firmware", "%s", line);
}

static int add_uefi_vars(struct machine *machine) {
    struct uefi_vars_client *client = &machine->uefi_vars_client;
    int result;

    uefi_vars_client_init(client, machine->uefi_vars_fd);
    machine->has_uefi_vars = true;
    if (machine->uefi_vars_fd < 0) {
        log_write(LOG_WARN, "uefi-vars", "nobody keeps the guest's variables: firmware will stop");
    }
    result = uefi_vars_init(&machine->uefi_vars, &client->backend, &machine->memory, false,
                            machine->mmio);
    if (result == 0) {
        machine_add(machine, &machine->uefi_vars.device);
    }
    return result;
}

int machine_map_firmware(struct machine *machine) {
    struct gpa_range rom = {GUEST_RAM_HIGH_GPA - machine->firmware.size_bytes, GUEST_RAM_HIGH_GPA};
    int result;

    if (machine->firmware.bytes == NULL) {
        return 0;
    }
    result = machine->ops->map(
        machine->partition, rom,
        machine->firmware.place ? machine->firmware.place : machine->firmware.bytes, true);
    if (result < 0) {
        log_write(LOG_ERROR, "memory", "the guest's firmware cannot stand at [%#llx, %#llx): %s",
                  (unsigned long long)rom.start, (unsigned long long)rom.end, strerror(-result));
    }
    return result;
}

int machine_add_firmware(struct machine *machine) {
    int result;

    if (machine->firmware.bytes == NULL) {
        return 0;
    }
    result = piix_init(&machine->piix, &machine->pci, PIIX_SLOT);
    if (result == 0) {
        machine_add(machine, &machine->piix.isa.device);
        machine_add(machine, &machine->piix.pm.device);
        result = reset_port_init(&machine->reset_port, machine->pio, machine_on_reset, machine);
    }
    if (result == 0 && machine->config.firmware_log) {
        result = debugcon_init(&machine->debugcon, machine->pio, put_firmware_line, NULL);
        if (result == 0) {
            machine_add(machine, &machine->debugcon.device);
        }
    }
    result = result < 0 ? result : add_uefi_vars(machine);
    return result < 0 ? result : add_fw_cfg(machine);
}

void machine_remove_firmware(struct machine *machine) {
    if (machine->has_fw_cfg) {
        fw_cfg_destroy(&machine->fw_cfg);
    }
    if (machine->has_uefi_vars) {
        uefi_vars_client_close(&machine->uefi_vars_client);
    }
}
