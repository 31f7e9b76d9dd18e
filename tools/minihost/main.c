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
#include "tools/minihost/hpet.h"
#include "tools/minihost/minihost.h"
#include "tools/minihost/pvh.h"

#define CODE_SELECTOR    0x08u // pvh.S
#define MAX_CONFIG_BYTES 32768u
#define MAX_COMMAND_LINE 4096u
#define CONFIG_FILE      "opt/parapet/config"

#define PLATFORM_OPTION "platform="
#define LOW_RAM_END     0x100000ull // on vsm all of it is RAM for the VTLs
#define MODULE_LOWEST   0x1000000ull
#define CALIBRATION_MS  5u

extern const uint8_t __image_start[], __bss_end[]; // minihost.lds

static struct minihost host;
static char config[MAX_CONFIG_BYTES + 1];
static char command_line[MAX_COMMAND_LINE];

uint64_t minihost_start_gpa(void) {
    return (uintptr_t)__image_start;
}

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

static void read_memory_map(const struct pvh_start_info *info) {
    const struct pvh_memmap_entry *entries =
        low_pointer(info->memmap_gpa,
                    (uint64_t)info->memmap_count * sizeof(struct pvh_memmap_entry), "memory map");

    if (machine_read_memory(entries, info->memmap_count, &host.machine) != 0) {
        bare_stop("PVH: memory map has %u entries, at most %u are supported", info->memmap_count,
                  MACHINE_MAX_INPUT);
    }
}

/// Takes "platform=NAME" out of the command line, the rest of which is the image's.
static void read_platform(void) {
    char *option = command_line, *end;

    host.platform = MINIHOST_NATIVE;
    while (option != NULL && strncmp(option, PLATFORM_OPTION, strlen(PLATFORM_OPTION)) != 0) {
        option = memchr(option, ' ', strlen(option));
        option += option != NULL ? 1 : 0;
    }
    if (option == NULL) {
        return;
    }
    end = memchr(option, ' ', strlen(option));
    end = end == NULL ? option + strlen(option) : end + 1;
    if (strncmp(option, PLATFORM_OPTION "vsm", (size_t)(end - option)) == 0 ||
        strncmp(option, PLATFORM_OPTION "vsm ", (size_t)(end - option)) == 0) {
        host.platform = MINIHOST_VSM;
    } else if (strncmp(option, PLATFORM_OPTION "native", (size_t)(end - option)) != 0 &&
               strncmp(option, PLATFORM_OPTION "native ", (size_t)(end - option)) != 0) {
        bare_stop("-append: \"%s\": the platforms are native and vsm", option);
    }
    memmove(option, end, strlen(end) + 1);
}

static void read_command_line(const struct pvh_start_info *info) {
    host.command_line = command_line;
    command_line[0] = '\0';
    if (info->cmdline_gpa != 0) {
        const char *text = low_pointer(info->cmdline_gpa, MAX_COMMAND_LINE, "command line");
        size_t length = strnlen(text, MAX_COMMAND_LINE);

        if (length == MAX_COMMAND_LINE) {
            bare_stop("command line is longer than %u bytes", MAX_COMMAND_LINE - 1);
        }
        memcpy(command_line, text, length + 1);
    }
    read_platform();
}

static void read_module(const struct pvh_start_info *info) {
    struct pvh_module module;

    if (info->module_count == 0) {
        bare_stop("no IGVM file: give it with -initrd FILE.igvm");
    }
    memcpy(&module, low_pointer(info->modlist_gpa, sizeof(module), "module list"), sizeof(module));
    (void)low_pointer(module.start_gpa, module.size_bytes, "IGVM file");
    host.module = (struct gpa_range){module.start_gpa, module.start_gpa + module.size_bytes};
}

static void read_start_info(uint64_t start_info_gpa) {
    struct pvh_start_info info;

    memcpy(&info, low_pointer(start_info_gpa, sizeof(info), "start info"), sizeof(info));
    if (info.magic != PVH_START_MAGIC || info.version < PVH_VERSION_MEMMAP) {
        bare_stop("PVH: start info has magic 0x%x, version %u", info.magic, info.version);
    }
    read_memory_map(&info);
    read_command_line(&info);
    host.rsdp_gpa = info.rsdp_gpa;
    read_module(&info);
}

/// Moves the IGVM file below limit_gpa and says so where the copy of minihost will look.
static void move_module(uint64_t start_info_gpa, uint64_t limit_gpa) {
    const struct pvh_start_info *info = (const struct pvh_start_info *)(uintptr_t)start_info_gpa;
    struct pvh_module *module = (struct pvh_module *)(uintptr_t)info->modlist_gpa;
    uint64_t size = gpa_range_bytes(host.module);
    uint64_t start = size < limit_gpa ? align_down(limit_gpa - size, PAGE_SIZE_4K) : 0;

    if (start < MODULE_LOWEST ||
        !machine_is_ram(&host.machine, (struct gpa_range){start, start + size})) {
        bare_stop("too little memory for an IGVM file of %lu KiB", (unsigned long)(size >> 10));
    }
    memmove((void *)(uintptr_t)start, (const void *)(uintptr_t)host.module.start, size);
    module->start_gpa = start;
}

/// Hypervisors stay: from the place where QEMU put minihost to the top of memory below 4 GiB.
_Noreturn static void move_up(uint64_t start_info_gpa) {
    uint64_t size = minihost_end_gpa() - minihost_start_gpa() + vsm_memory_bytes(&host);
    struct gpa_range room;

    if (machine_top(&host.machine, MINIHOST_MAP_END, size, &room) != 0) {
        bare_stop("too little memory: minihost needs %lu KiB", (unsigned long)(size >> 10));
    }
    if (gpa_ranges_overlap(room, host.module)) {
        move_module(start_info_gpa, room.start);
    }
    minihost_move(room.start, start_info_gpa);
}

/// On vsm minihost is reserved in the memory map, and all of the first MiB is RAM for the VTLs
/// (what the machine has in its upper part, svm/ hides).
static void describe_memory(void) {
    if (host.platform == MINIHOST_NATIVE) {
        host.self = (struct gpa_range){minihost_start_gpa(), minihost_end_gpa()};
        return;
    }
    host.rom = (struct gpa_range){MINIHOST_MAP_END - MINIHOST_ROM_BYTES, MINIHOST_MAP_END};
    host.self = (struct gpa_range){minihost_start_gpa(), 0};
    if (machine_end_of_ram(&host.machine, host.self.start, &host.self.end) != 0 ||
        machine_set(&host.machine, (struct gpa_range){0, LOW_RAM_END}, IGVM_MEMORY_NORMAL) != 0 ||
        machine_set(&host.machine, host.self, IGVM_MEMORY_PLATFORM_RESERVED) != 0) {
        bare_stop("the memory map has too many pieces");
    }
}

static void read_fw_cfg(void) {
    int64_t size;

    if (!fw_cfg_init()) {
        bare_stop("no fw_cfg device with DMA: this host runs under QEMU only");
    }
    host.cpu_count = fw_cfg_cpu_count();
    if (host.cpu_count == 0) {
        bare_stop("fw_cfg does not say how many CPUs there are");
    }
    host.vp_count =
        host.platform == MINIHOST_VSM && host.cpu_count > 1 ? host.cpu_count - 1 : host.cpu_count;
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
        host.tsc_khz = (uint32_t)(hpet_measure_tsc_hz(CALIBRATION_MS) / 1000);
    }
    host.entry_tsc = entry_tsc;
    // The PIT's is good enough for time stamps, not for VTL2's clock.
    clock_start(entry_tsc, host.tsc_khz != 0 ? host.tsc_khz : clock_tsc_khz_from_pit());
    read_start_info(start_info_gpa);
    read_fw_cfg();
    if (host.platform == MINIHOST_VSM && minihost_start_gpa() == MINIHOST_START_GPA) {
        move_up(start_info_gpa);
    }
    describe_memory();
    bare_print("platform %s", host.platform == MINIHOST_VSM ? "vsm" : "native");
    bare_print(
        "%u CPUs, %lu MiB RAM, IGVM file of %lu KiB at 0x%lx, host configuration of %u bytes",
        host.cpu_count, (unsigned long)(machine_ram_bytes(&host.machine) >> 20),
        (unsigned long)(gpa_range_bytes(host.module) >> 10), (unsigned long)host.module.start,
        host.config_bytes);
    if (host.platform == MINIHOST_VSM) {
        vsm_run(&host);
    }
    native_run(&host);
}
