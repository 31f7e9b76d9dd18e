// SPDX-License-Identifier: MIT
//
// minihost: the bare-metal host that starts an IGVM file under QEMU:
//
//     qemu-system-x86_64 -M q35 … -kernel build/bare/minihost -initrd build/parapet.igvm
//
// This file finds out what the machine has; what is done with the file is the platform's matter.

#include <errno.h>
#include <string.h>

#include "loader/bare/clock.h"
#include "loader/bare/cpu.h"
#include "loader/bare/panic.h"
#include "loader/bare/serial.h"
#include "tools/minihost/fw_cfg.h"
#include "tools/minihost/minihost.h"
#include "tools/minihost/pvh.h"

#define CODE_SELECTOR    0x08u // pvh.S
#define MAX_CONFIG_BYTES 32768u
#define MAX_COMMAND_LINE 4096u
#define CONFIG_FILE      "opt/parapet/config"

extern const uint8_t __bss_end[]; // minihost.lds

static struct minihost host;
static char config[MAX_CONFIG_BYTES + 1];
static char command_line[MAX_COMMAND_LINE];

uint64_t minihost_end_gpa(void) {
    return align_down((uintptr_t)__bss_end + PAGE_SIZE_4K - 1, PAGE_SIZE_4K);
}

/// QEMU and its option ROM are trusted as hardware is; what they say is still checked for size,
/// because a wrong -kernel/-initrd should end in a sentence.
static const void *low_pointer(uint64_t address, uint64_t size_bytes, const char *what) {
    if (address == 0 ||
        !gpa_range_contains((struct gpa_range){0, MINIHOST_MAP_END}, address, size_bytes)) {
        bare_stop("PVH: %s at 0x%lx is not below 4 GiB", what, (unsigned long)address);
    }
    return (const void *)(uintptr_t)address;
}

static void read_start_info(uint64_t start_info_gpa) {
    struct pvh_start_info info;
    struct pvh_module module;

    memcpy(&info, low_pointer(start_info_gpa, sizeof(info), "start info"), sizeof(info));
    if (info.magic != PVH_START_MAGIC || info.version < PVH_VERSION_MEMMAP) {
        bare_stop("PVH: start info has magic 0x%x, version %u", info.magic, info.version);
    }
    if (machine_read_memory(
            low_pointer(info.memmap_gpa,
                        (uint64_t)info.memmap_count * sizeof(struct pvh_memmap_entry),
                        "memory map"),
            info.memmap_count, &host.machine) != 0) {
        bare_stop("PVH: memory map has %u entries, at most %u are supported", info.memmap_count,
                  MACHINE_MAX_INPUT);
    }
    host.rsdp_gpa = info.rsdp_gpa;
    host.command_line = command_line;
    if (info.cmdline_gpa != 0) {
        const char *text = low_pointer(info.cmdline_gpa, MAX_COMMAND_LINE, "command line");
        size_t length = strnlen(text, MAX_COMMAND_LINE);

        if (length == MAX_COMMAND_LINE) {
            bare_stop("command line is longer than %u bytes", MAX_COMMAND_LINE - 1);
        }
        memcpy(command_line, text, length);
    }
    if (info.module_count == 0) {
        bare_stop("no IGVM file: give it with -initrd FILE.igvm");
    }
    memcpy(&module, low_pointer(info.modlist_gpa, sizeof(module), "module list"), sizeof(module));
    (void)low_pointer(module.start_gpa, module.size_bytes, "IGVM file");
    host.module = (struct gpa_range){module.start_gpa, module.start_gpa + module.size_bytes};
}

static void read_fw_cfg(void) {
    int64_t size;

    if (!fw_cfg_init()) {
        bare_stop("no fw_cfg device with DMA: this host runs under QEMU only");
    }
    host.vp_count = fw_cfg_cpu_count();
    if (host.vp_count == 0) {
        bare_stop("fw_cfg does not say how many CPUs there are");
    }
    size = fw_cfg_read_file(CONFIG_FILE, config, MAX_CONFIG_BYTES);
    if (size == -EFBIG) {
        bare_stop("fw_cfg file %s is larger than %u bytes", CONFIG_FILE, MAX_CONFIG_BYTES);
    }
    if (size < 0 && size != -ENOENT) {
        bare_stop("fw_cfg file %s cannot be read", CONFIG_FILE);
    }
    if (size > 0) {
        host.config = config;
        host.config_bytes = (uint32_t)strnlen(config, (size_t)size);
    }
}

_Noreturn void minihost_main(uint64_t start_info_gpa) {
    uint64_t entry_tsc = cpu_rdtsc();

    bare_seed_stack_guard();
    serial_init();
    serial_write("\n", 1); // the firmware leaves its last line open
    bare_exceptions_init(CODE_SELECTOR);
    host.tsc_khz = clock_tsc_khz_from_cpuid();
    if (host.tsc_khz == 0) {
        host.tsc_khz = clock_tsc_khz_from_pit();
    }
    clock_start(entry_tsc, host.tsc_khz);
    bare_print("stage 0, platform native");
    read_start_info(start_info_gpa);
    read_fw_cfg();
    bare_print(
        "%u CPUs, %lu MiB RAM, IGVM file of %lu KiB at 0x%lx, host configuration of %u bytes",
        host.vp_count, (unsigned long)(machine_ram_bytes(&host.machine) >> 20),
        (unsigned long)(gpa_range_bytes(host.module) >> 10), (unsigned long)host.module.start,
        host.config_bytes);
    native_run(&host);
}
