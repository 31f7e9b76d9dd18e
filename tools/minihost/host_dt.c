// SPDX-License-Identifier: MIT
//
// minihost's device tree, by libfdt's sequential writer (Devicetree Specification 0.4, 3.4
// and 3.8).

#include "tools/minihost/host_dt.h"

#include <errno.h>
#include <libfdt.h>
#include <string.h>

#include "igvm/base/bytes.h"
#include "loader/bare/format.h"

static int put_cpus(void *fdt, const struct host_dt_spec *spec) {
    char name[16];
    int rc = fdt_begin_node(fdt, "cpus");

    if (rc == 0) {
        rc = fdt_property_u32(fdt, "#address-cells", 1);
    }
    if (rc == 0) {
        rc = fdt_property_u32(fdt, "#size-cells", 0);
    }
    for (uint32_t i = 0; i < spec->vp_count && rc == 0; i++) {
        uint32_t id = spec->first_apic_id + i;

        bare_format(name, sizeof(name), "cpu@%x", id);
        if ((rc = fdt_begin_node(fdt, name)) == 0 &&
            (rc = fdt_property_string(fdt, "device_type", "cpu")) == 0 &&
            (rc = fdt_property_u32(fdt, "reg", id)) == 0) {
            rc = fdt_end_node(fdt);
        }
    }
    return rc == 0 ? fdt_end_node(fdt) : rc;
}

static int put_memory(void *fdt, const struct igvm_memory_map_entry *entry) {
    uint64_t start = entry->starting_gpa_page_number << PAGE_SHIFT_4K;
    uint64_t size = entry->number_of_pages << PAGE_SHIFT_4K;
    fdt64_t reg[2] = {cpu_to_fdt64(start), cpu_to_fdt64(size)};
    char name[32];
    int rc;

    bare_format(name, sizeof(name), "memory@%lx", (unsigned long)start);
    if ((rc = fdt_begin_node(fdt, name)) != 0 ||
        (rc = fdt_property_string(fdt, "device_type", "memory")) != 0 ||
        (rc = fdt_property(fdt, "reg", reg, sizeof(reg))) != 0 ||
        (rc = fdt_property_u32(fdt, IGVM_DT_IGVM_TYPE_PROPERTY, entry->entry_type)) != 0) {
        return rc;
    }
    return fdt_end_node(fdt);
}

static int put_config(void *fdt, const struct host_dt_spec *spec) {
    void *space;
    int rc;

    rc = fdt_property_placeholder(fdt, "config", (int)spec->config_bytes + 1, &space);
    if (rc == 0) {
        memcpy(space, spec->config, spec->config_bytes);
        ((char *)space)[spec->config_bytes] = '\0';
    }
    return rc;
}

static int put_parapet_host(void *fdt, const struct host_dt_spec *spec) {
    int rc = fdt_begin_node(fdt, "parapet-host");

    if (rc == 0 && spec->rsdp_gpa != 0) {
        rc = fdt_property_u64(fdt, "rsdp", spec->rsdp_gpa);
    }
    if (rc == 0 && spec->rom.end != 0) {
        fdt64_t range[2] = {cpu_to_fdt64(spec->rom.start), cpu_to_fdt64(spec->rom.end)};

        rc = fdt_property(fdt, "vtl0-rom", range, sizeof(range));
    }
    if (rc == 0 && spec->tsc_khz != 0) {
        rc = fdt_property_u32(fdt, "tsc-khz", spec->tsc_khz);
    }
    if (rc == 0 && spec->wall_clock_s != 0) {
        rc = fdt_property_u64(fdt, "wall-clock", spec->wall_clock_s);
    }
    if (rc == 0 && spec->config != NULL) {
        rc = put_config(fdt, spec);
    }
    return rc == 0 ? fdt_end_node(fdt) : rc;
}

int host_dt_build(void *out, size_t size_bytes, const struct host_dt_spec *spec,
                  size_t *used_bytes) {
    if (size_bytes > INT32_MAX) {
        size_bytes = INT32_MAX;
    }
    if (fdt_create(out, (int)size_bytes) != 0 || fdt_finish_reservemap(out) != 0 ||
        fdt_begin_node(out, "") != 0 || fdt_property_u32(out, "#address-cells", 2) != 0 ||
        fdt_property_u32(out, "#size-cells", 2) != 0 || put_cpus(out, spec) != 0) {
        return -ENOSPC;
    }
    for (uint32_t i = 0; i < spec->machine->region_count; i++) {
        if (spec->machine->regions[i].entry_type == IGVM_MEMORY_NORMAL &&
            put_memory(out, &spec->machine->regions[i]) != 0) {
            return -ENOSPC;
        }
    }
    if (put_parapet_host(out, spec) != 0 || fdt_end_node(out) != 0 || fdt_finish(out) != 0) {
        return -ENOSPC;
    }
    *used_bytes = fdt_totalsize(out);
    return 0;
}
