// SPDX-License-Identifier: MIT
//
// The boot shim: from the IGVM file's entry point to VTL2's Linux (docs/boot.md). This file is the
// order of its jobs; what needs thought is in the pure files beside it.

#include <string.h>

#include "igvm/base/bytes.h"
#include "loader/bare/clock.h"
#include "loader/bare/cpu.h"
#include "loader/bare/format.h"
#include "loader/bare/panic.h"
#include "loader/bare/serial.h"
#include "loader/bzimage.h"
#include "loader/command_line.h"
#include "loader/config_check.h"
#include "loader/host_tree.h"
#include "loader/linux_params.h"
#include "loader/memory_map.h"
#include "loader/memory_plan.h"
#include "loader/out_tree.h"
#include "loader/shim.h"

#define MAX_VPS     4096u
#define TSC_MIN_KHZ 100000u // what the host says is believed within these
#define TSC_MAX_KHZ 100000000u

/// Everything that one boot knows. Static: the stack is small, and nothing is allocated.
static struct {
    uint32_t platform;
    uint64_t delta; ///< the image stands this far above loader/layout.h's GPAs
    uint64_t entry_tsc;
    uint32_t tsc_khz;
    uint32_t vp_count;
    bool trust_host;           ///< no isolation: what the host says is taken, within bounds
    struct shim_config config; ///< a copy, its GPAs corrected by delta
    struct config_payloads payloads;
    struct host_tree host_tree;
    struct memory_map map;
    struct memory_plan plan;
    struct bzimage_info kernel;
    struct gpa_range kernel_run;
    uint32_t command_line_bytes;
} boot;

static void *at_gpa(uint64_t address) {
    return (void *)(uintptr_t)address; // identity-mapped below LAYOUT_IDENTITY_END_GPA
}

static uint64_t moved(uint32_t layout_gpa) {
    return layout_gpa + boot.delta;
}

/// Something whose place loader/layout.h or shim.h says.
static void *at_layout(uint32_t layout_gpa) {
    return at_gpa(moved(layout_gpa));
}

/// The host's tree is read before the first line is printed: it may name the TSC's frequency.
static void read_host_tree(void) {
    void *copy = at_layout(SCRATCH_HOST_TREE_GPA);
    const char *why;
    int rc;

    memcpy(copy, at_layout(LAYOUT_DEVICE_TREE_GPA), LAYOUT_DEVICE_TREE_BYTES);
    rc = host_tree_read(copy, LAYOUT_DEVICE_TREE_BYTES, &boot.host_tree, &why);
    boot.tsc_khz = clock_tsc_khz_from_cpuid();
    if (boot.tsc_khz == 0) {
        boot.tsc_khz = boot.host_tree.tsc_khz;
    }
    clock_start(boot.entry_tsc, boot.tsc_khz);
    if (rc != 0) {
        bare_stop("device tree at 0x%lx: %s", (unsigned long)moved(LAYOUT_DEVICE_TREE_GPA), why);
    }
}

static void check_platform(void) {
    const char *name = shim_platform_name(boot.platform);

    if (boot.platform != SHIM_PLATFORM_NATIVE && boot.platform != SHIM_PLATFORM_VSM) {
        bare_stop("platform %u (%s) is not supported yet", boot.platform,
                  name == NULL ? "unknown" : name);
    }
    boot.trust_host = true;
}

static void read_config(void) {
    const char *why;
    uint32_t bad_idx;

    boot.config = *(const struct shim_config *)at_layout(LAYOUT_CONFIG_GPA);
    if (shim_config_check(&boot.config, boot.delta, &boot.payloads, &why, &bad_idx) != 0) {
        if (bad_idx != UINT32_MAX) {
            bare_stop("configuration at 0x%lx, payload %u: %s",
                      (unsigned long)moved(LAYOUT_CONFIG_GPA), bad_idx, why);
        }
        bare_stop("configuration at 0x%lx: %s", (unsigned long)moved(LAYOUT_CONFIG_GPA), why);
    }
    bare_print("Parapet boot shim, image %s, platform %s",
               boot.config.image_version[0] != '\0' ? boot.config.image_version : "without version",
               shim_platform_name(boot.platform));
}

static void read_host_parameters(void) {
    const char *why;
    uint32_t bad_idx;

    boot.vp_count = load_le32(at_layout(LAYOUT_VP_COUNT_GPA));
    if (boot.vp_count == 0 || boot.vp_count > MAX_VPS) {
        bare_stop("VP count at 0x%lx is %u, not in 1..%u",
                  (unsigned long)moved(LAYOUT_VP_COUNT_GPA), boot.vp_count, MAX_VPS);
    }
    if (memory_map_read(at_layout(LAYOUT_MEMORY_MAP_GPA), LAYOUT_MEMORY_MAP_BYTES, &boot.map, &why,
                        &bad_idx) != 0) {
        bare_stop("memory map at 0x%lx, entry %u: %s", (unsigned long)moved(LAYOUT_MEMORY_MAP_GPA),
                  bad_idx, why);
    }
    bare_print("host: %u VPs, %lu MiB RAM in a map of %u regions, RSDP 0x%lx", boot.vp_count,
               (unsigned long)(memory_map_ram_bytes(&boot.map) >> 20), boot.map.count,
               (unsigned long)boot.host_tree.rsdp_gpa);
}

static void print_e820(void) {
    for (uint32_t i = 0; i < boot.plan.e820_count; i++) {
        const struct linux_e820_entry *e = &boot.plan.e820[i];
        const char *type = e->type == LINUX_E820_RAM             ? "VTL2 RAM"
                           : e->type == LINUX_E820_SOFT_RESERVED ? "VTL0's pool"
                                                                 : "reserved";

        bare_print("  [0x%010lx, 0x%010lx) %s", (unsigned long)e->addr,
                   (unsigned long)(e->addr + e->size_bytes), type);
    }
}

static void check_vtl0_payload(const char *name, const struct shim_payload *payload) {
    if (payload != NULL && !memory_plan_in_vtl0(&boot.plan, payload->gpa, payload->size_bytes)) {
        bare_stop("too little memory: %s at 0x%lx, %lu bytes, is not in VTL0's pool", name,
                  (unsigned long)payload->gpa, (unsigned long)payload->size_bytes);
    }
}

static void plan_memory(void) {
    struct gpa_range vtl2 = {boot.delta, boot.config.vtl2_ram_end_gpa};
    const char *why;

    if (memory_plan_compute(&boot.map, vtl2, &boot.plan, &why) != 0) {
        bare_stop("%s (VTL2's RAM is [0x%lx, 0x%lx); found %lu MiB for VTL2, %lu MiB for VTL0)",
                  why, (unsigned long)vtl2.start, (unsigned long)vtl2.end,
                  (unsigned long)(boot.plan.vtl2_bytes >> 20),
                  (unsigned long)(boot.plan.vtl0_bytes >> 20));
    }
    bare_print("memory: %lu MiB for VTL2, %lu MiB for VTL0",
               (unsigned long)(boot.plan.vtl2_bytes >> 20),
               (unsigned long)(boot.plan.vtl0_bytes >> 20));
    print_e820();
    check_vtl0_payload("VTL0's kernel", boot.payloads.vtl0_kernel);
    check_vtl0_payload("VTL0's initrd", boot.payloads.vtl0_initrd);
    check_vtl0_payload("VTL0's firmware", boot.payloads.vtl0_firmware);
}

static void verify_and_parse_kernel(void) {
    const struct shim_payload *file = boot.payloads.kernel;
    const char *why;

    shim_verify_payload("kernel", file);
    if (boot.payloads.initrd != NULL) {
        shim_verify_payload("initrd", boot.payloads.initrd);
    }
    if (bzimage_parse(at_gpa(file->gpa), file->size_bytes, &boot.kernel, &why) != 0) {
        bare_stop("kernel at 0x%lx: %s", (unsigned long)file->gpa, why);
    }
    if (config_check_kernel_room(&boot.config, boot.delta, &boot.payloads, &boot.kernel,
                                 &boot.kernel_run, &why) != 0) {
        bare_stop("kernel at 0x%lx, init_size 0x%lx: %s", (unsigned long)file->gpa,
                  (unsigned long)boot.kernel.init_size_bytes, why);
    }
    bare_print("kernel %.*s runs in [0x%lx, 0x%lx)", 48, boot.kernel.version_text,
               (unsigned long)boot.kernel_run.start, (unsigned long)boot.kernel_run.end);
}

/// The TSC's kHz for Linux; 0: it finds out itself. Where nobody tells it measures by the PIT, and
/// on a busy emulator may take 0.8 GHz for 2.6: its guests' clocks then run three times too fast.
/// KVM tells it, on vsm Hyper-V does.
static uint32_t tsc_khz_for_linux(void) {
    struct cpuid_regs r = cpu_cpuid(0x40000000u, 0);
    bool is_kvm = r.ebx == 0x4b4d564bu && r.ecx == 0x564b4d56u && r.edx == 0x4du; // KVMKVMKVM

    return boot.platform == SHIM_PLATFORM_VSM || is_kvm || boot.tsc_khz < TSC_MIN_KHZ ||
                   boot.tsc_khz > TSC_MAX_KHZ
               ? 0
               : boot.tsc_khz;
}

/// mshv_vtl cannot switch extended state (hv_vtl_early_init). Not "acpi=off": without MP tables
/// Linux then gives up the local APIC too (acpi_mps_check); there is no RSDP to be found, which
/// turns ACPI off as well, and the device tree counts. The measured line is in a copy of ours.
static void add_platform_options(char *line, size_t size_bytes) {
    uint32_t tsc_khz = tsc_khz_for_linux();
    char options[48] = "";
    size_t length = strlen(line); // config_check has seen its end
    size_t more;

    if (boot.platform == SHIM_PLATFORM_VSM) {
        more = bare_format(options, sizeof(options), " noxsave");
    } else if (tsc_khz != 0) {
        more = bare_format(options, sizeof(options), " tsc_early_khz=%u", tsc_khz);
    } else {
        return;
    }
    if (size_bytes - length < more + 1) {
        bare_stop("measured command line has no room for \"%s\"", options);
    }
    memcpy(line + length, options, more + 1);
}

static void build_command_line(void) {
    char *out = at_layout(SCRATCH_COMMAND_LINE_GPA);
    char *host_copy = at_layout(SCRATCH_HOST_LINE_GPA);
    bool allowed = boot.trust_host && (boot.config.flags & SHIM_FLAG_ALLOW_HOST_COMMAND_LINE) != 0;
    const char *why;
    int length;

    add_platform_options(boot.config.command_line, sizeof(boot.config.command_line));
    memcpy(host_copy, at_layout(LAYOUT_COMMAND_LINE_GPA), LAYOUT_COMMAND_LINE_BYTES);
    if (!allowed && host_copy[0] != '\0') {
        bare_print("host's command line ignored: the image does not allow one");
    }
    length = command_line_merge(out, SCRATCH_COMMAND_LINE_BYTES, boot.config.command_line,
                                allowed ? host_copy : NULL, LAYOUT_COMMAND_LINE_BYTES, &why);
    if (length < 0) {
        bare_stop("measured command line does not fit"); // cannot be: 2048 bytes into 4096
    }
    if (why != NULL) {
        bare_print("%s", why);
    }
    boot.command_line_bytes = (uint32_t)length;
    bare_print("command line: %s", out);
}

/// The tree goes last, so that it can hold the log of everything before.
static void build_out_tree(void) {
    struct linux_setup_data *setup_data = at_layout(SCRATCH_OUT_TREE_GPA);
    bool config_allowed = boot.trust_host && (boot.config.flags & SHIM_FLAG_ALLOW_HOST_CONFIG) != 0;
    struct out_tree_spec spec = {
        .platform = (enum shim_platform)boot.platform,
        .image_version = boot.config.image_version,
        .vp_count = boot.vp_count,
        .apic_ids = boot.host_tree.has_apic_ids && boot.host_tree.cpu_count == boot.vp_count
                        ? boot.host_tree.apic_ids
                        : NULL,
        .vtl0 = boot.plan.vtl0,
        .vtl0_count = boot.plan.vtl0_count,
        .vtl2 = boot.plan.vtl2,
        .vtl2_count = boot.plan.vtl2_count,
        .vtl0_kernel = boot.payloads.vtl0_kernel,
        .vtl0_initrd = boot.payloads.vtl0_initrd,
        .vtl0_firmware = boot.payloads.vtl0_firmware,
        .rom = boot.trust_host ? boot.host_tree.rom : (struct gpa_range){0},
        .host_config = config_allowed ? boot.host_tree.config : NULL,
        .host_config_bytes = boot.host_tree.config_bytes,
        .tsc_entry = boot.entry_tsc,
        .tsc_khz = boot.tsc_khz,
        .wall_clock_s = boot.trust_host ? boot.host_tree.wall_clock_s : 0,
    };
    size_t used;

    if (!config_allowed && boot.host_tree.config != NULL) {
        bare_print("host's configuration ignored: the image does not allow one");
    }
    spec.log = shim_log(&spec.log_bytes);
    spec.tsc_now = cpu_rdtsc();
    if (out_tree_build(setup_data + 1, SCRATCH_OUT_TREE_BYTES - sizeof(*setup_data), &spec,
                       &used) != 0) {
        bare_stop("device tree for VTL2 does not fit %u bytes", SCRATCH_OUT_TREE_BYTES);
    }
    *setup_data = (struct linux_setup_data){.type = LINUX_SETUP_DTB, .len_bytes = (uint32_t)used};
}

static void build_boot_params(void) {
    const struct shim_payload *initrd = boot.payloads.initrd;
    struct linux_params_spec spec = {
        .image = &boot.kernel,
        .load_gpa = boot.payloads.kernel->gpa + boot.kernel.protected_mode_off,
        .e820 = boot.plan.e820,
        .e820_count = boot.plan.e820_count,
        .cmdline_gpa = moved(SCRATCH_COMMAND_LINE_GPA),
        .cmdline_bytes = boot.command_line_bytes,
        .initrd_gpa = initrd == NULL ? 0 : initrd->gpa,
        .initrd_bytes = initrd == NULL ? 0 : initrd->size_bytes,
        .rsdp_gpa = boot.platform == SHIM_PLATFORM_NATIVE ? boot.host_tree.rsdp_gpa : 0,
        .setup_data_gpa = moved(SCRATCH_OUT_TREE_GPA),
    };
    const char *why;

    if (linux_params_build(at_layout(SCRATCH_BOOT_PARAMS_GPA), &spec, &why) != 0) {
        bare_stop("boot parameters: %s", why);
    }
}

_Noreturn void shim_main(uint32_t platform, uint64_t entry_tsc, uint64_t delta) {
    bare_seed_stack_guard();
    bare_exceptions_init(LINUX_BOOT_CS);
    serial_init();
    boot.platform = platform;
    boot.delta = delta;
    boot.entry_tsc = entry_tsc;
    read_host_tree();
    check_platform();
    read_config();
    read_host_parameters();
    plan_memory();
    verify_and_parse_kernel();
    build_command_line();
    build_out_tree();
    build_boot_params();
    if (shim_stack_floor != SHIM_STACK_COOKIE) {
        bare_stop("stack overrun");
    }
    bare_print("entering VTL2's Linux");
    shim_enter_kernel(boot.payloads.kernel->gpa + boot.kernel.protected_mode_off +
                          boot.kernel.entry64_off,
                      moved(SCRATCH_BOOT_PARAMS_GPA));
}
