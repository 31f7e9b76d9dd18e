// SPDX-License-Identifier: MIT
//
// Loads the IGVM file onto the machine itself: guest-physical = system-physical. Two passes over
// the directives: the first only notes where they want to go, so that the file can be moved out of
// their way; the second copies.

#include "tools/minihost/load.h"

#include <errno.h>
#include <string.h>

#include "igvm/igvm_load.h"
#include "loader/bare/cpu.h"
#include "loader/bare/panic.h"
#include "tools/minihost/cmos.h"
#include "tools/minihost/host_dt.h"
#include "tools/minihost/place.h"

#define AREA_POOL_BYTES   0x40000u // all parameter areas that are open at the same time
#define DEVICE_TREE_BYTES 0x20000u
#define CPUID_PHYS_BITS   0x80000008u

/// One load: what the operations below work on.
static struct image_load {
    struct minihost *host;
    const struct load_platform *platform;
    struct place place;
    bool have_bsp;
    uint64_t pool_used;
    uint64_t bytes_loaded;
    const char *refused; ///< why an operation said no
    gpa_t refused_gpa;
} load;

static uint8_t area_pool[AREA_POOL_BYTES] __attribute__((aligned(4096)));
static uint8_t device_tree[DEVICE_TREE_BYTES] __attribute__((aligned(8)));

static int refuse(const char *why, uint64_t address, int error) {
    load.refused = why;
    load.refused_gpa = gpa(address);
    return error;
}

static int check_ram(struct gpa_range range) {
    if (!machine_is_ram(&load.host->machine, range)) {
        return refuse("no RAM there: give the machine more memory (-m)", range.start, -ENOMEM);
    }
    if (range.end > MINIHOST_MAP_END) {
        return refuse("above 4 GiB, where minihost does not load", range.start, -ENOTSUP);
    }
    return 0;
}

/// First pass: notes a range that will be written.
static int note_range(struct gpa_range range) {
    int rc = check_ram(range);

    if (rc != 0) {
        return rc;
    }
    if (gpa_ranges_overlap(range, load.host->self)) {
        return refuse("overlaps minihost itself", range.start, -EEXIST);
    }
    rc = place_add(&load.place, range);
    if (rc == -EEXIST) {
        return refuse("overlaps what was loaded before", range.start, rc);
    }
    return rc == 0 ? 0 : refuse("file has more than 256 separate ranges", range.start, rc);
}

static int note_page(void *host, const struct igvm_load_page *page) {
    (void)host;
    if (page->data_type != IGVM_PAGE_NORMAL) {
        return refuse("page type that the platform does not have", page->gpa.value, -ENOTSUP);
    }
    return note_range((struct gpa_range){page->gpa.value, page->gpa.value + page->size_bytes});
}

static int note_area(void *host, gpa_t at, const uint8_t *buffer, uint64_t size_bytes) {
    (void)host;
    (void)buffer;
    return note_range((struct gpa_range){at.value, at.value + size_bytes});
}

/// Memory that must exist; what minihost keeps there now may be in it.
static int note_required(void *host, struct gpa_range range, uint32_t flags) {
    (void)host;
    (void)flags;
    return check_ram(range);
}

static int note_vp(void *host, const struct igvm_vp *vp) {
    (void)host;
    if (vp->vp_index >= load.host->vp_count) {
        return refuse("VP context of a VP that the machine does not have (-smp)", 0, -ENODEV);
    }
    load.have_bsp |= vp->vp_index == 0;
    return 0;
}

static int load_vp(void *host, const struct igvm_vp *vp) {
    const char *why = NULL;

    (void)host;
    if (vp->vp_index == 0) { // the others are started by the BSP, as the platform has it
        why = load.platform->set_registers(vp);
    }
    return why == NULL ? 0 : refuse(why, 0, -EINVAL);
}

/// Both passes: areas take turns in one pool, which is emptied when a pass begins.
static uint8_t *area_buffer(void *host, uint32_t area_idx, uint64_t size_bytes) {
    uint8_t *buffer = area_pool + load.pool_used;

    (void)host;
    (void)area_idx;
    if (size_bytes > sizeof(area_pool) - load.pool_used) {
        (void)refuse("parameter areas need more than 256 KiB", 0, -ENOMEM);
        return NULL;
    }
    load.pool_used += size_bytes;
    return buffer;
}

static int load_page(void *host, const struct igvm_load_page *page) {
    void *to = (void *)(uintptr_t)page->gpa.value;

    (void)host;
    if (page->data == NULL) {
        memset(to, 0, page->size_bytes);
    } else {
        memcpy(to, page->data, page->size_bytes);
    }
    load.bytes_loaded += page->size_bytes;
    return 0;
}

static int load_area(void *host, gpa_t at, const uint8_t *buffer, uint64_t size_bytes) {
    (void)host;
    memcpy((void *)(uintptr_t)at.value, buffer, size_bytes);
    return 0;
}

static const struct igvm_load_ops note_ops = {
    .page_data = note_page,
    .area_buffer = area_buffer,
    .area_insert = note_area,
    .vp_context = note_vp,
    .required_memory = note_required,
};

static const struct igvm_load_ops load_ops = {
    .page_data = load_page,
    .area_buffer = area_buffer,
    .area_insert = load_area,
    .vp_context = load_vp,
};

_Noreturn static void stop_on(const struct igvm_error *error) {
    char line[256];

    (void)igvm_error_format(error, line, sizeof(line));
    if (load.refused != NULL) {
        bare_stop("IGVM: header at file offset 0x%lx, GPA 0x%lx: %s", (unsigned long)error->offset,
                  (unsigned long)load.refused_gpa.value, load.refused);
    }
    bare_stop("IGVM: %s", line);
}

static void open_file(struct igvm_file *file) {
    struct gpa_range *module = &load.host->module;
    const void *bytes = (const void *)(uintptr_t)module->start;
    size_t module_bytes = gpa_range_bytes(*module);
    size_t size = igvm_peek_size(bytes, module_bytes);
    struct igvm_error error;

    // QEMU may round the module up; without a header the whole of it goes to igvm_open's error.
    if (igvm_open(file, bytes, size != 0 ? size : module_bytes, &error) != 0) {
        stop_on(&error);
    }
    module->end = module->start + file->size_bytes;
}

/// Runs one pass over the file's directives.
static void pass(const struct igvm_file *file, const struct igvm_host_params *params,
                 const struct igvm_load_ops *ops) {
    struct igvm_error error;

    load.pool_used = 0;
    load.refused = NULL;
    if (igvm_load(file, load.platform->type, params, ops, NULL, &error, NULL) != 0) {
        stop_on(&error);
    }
}

/// Moves the file if something will be loaded onto it.
static void clear_the_way(struct igvm_file *file) {
    struct gpa_range *module = &load.host->module;
    uint64_t size = gpa_range_bytes(*module);
    uint64_t start;

    if (!place_overlaps(&load.place, *module)) {
        return;
    }
    if (place_find(&load.place, &load.host->machine, load.host->self, size, MINIHOST_MAP_END,
                   &start) != 0) {
        bare_stop("too little memory: no room for %lu KiB of IGVM file beside what it loads",
                  (unsigned long)(size >> 10));
    }
    memmove((void *)(uintptr_t)start, (const void *)(uintptr_t)module->start, size);
    bare_print("IGVM file moved from 0x%lx to 0x%lx", (unsigned long)module->start,
               (unsigned long)start);
    *module = (struct gpa_range){start, start + size};
    file->bytes = (const uint8_t *)(uintptr_t)start;
}

static void fill_params(struct igvm_host_params *params) {
    const struct minihost *host = load.host;
    struct host_dt_spec spec = {
        .machine = &host->machine,
        .vp_count = host->vp_count,
        .first_apic_id = host->cpu_count - host->vp_count, // the last ones are the VPs'
        .rsdp_gpa = host->rsdp_gpa,
        .rom = host->rom,
        .tsc_khz = host->tsc_khz,
        .wall_clock_s = cmos_unix_time(),
        .config = host->config,
        .config_bytes = host->config_bytes,
    };
    size_t used;

    if (host_dt_build(device_tree, sizeof(device_tree), &spec, &used) != 0) {
        bare_stop("device tree does not fit %u bytes", DEVICE_TREE_BYTES);
    }
    *params = (struct igvm_host_params){
        .vp_count = host->vp_count,
        .mmio_ranges =
            machine_mmio_ranges(&host->machine, cpu_cpuid(CPUID_PHYS_BITS, 0).eax & 0xff),
        .memory_map = host->machine.regions,
        .memory_map_count = host->machine.region_count,
        .command_line = host->command_line,
        .device_tree = {.data = device_tree, .size_bytes = used},
    };
}

void load_image(struct minihost *host, const struct load_platform *platform) {
    struct igvm_supported_platform declared;
    struct igvm_host_params params;
    struct igvm_file file;
    struct igvm_error error;

    load.host = host;
    load.platform = platform;
    open_file(&file);
    if (igvm_validate(&file, &error) != 0) {
        stop_on(&error);
    }
    if (igvm_find_platform(&file, platform->type, &declared) != 0) {
        bare_stop("IGVM: the file is not for the platform %s", platform->name);
    }
    fill_params(&params);
    pass(&file, &params, &note_ops);
    if (!load.have_bsp) {
        bare_stop("IGVM: the file has no VP context for the BSP on the platform %s",
                  platform->name);
    }
    clear_the_way(&file);
    pass(&file, &params, &load_ops);
    bare_print("loaded %lu KiB in %u ranges", (unsigned long)(load.bytes_loaded >> 10),
               load.place.count);
}
