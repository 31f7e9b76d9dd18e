// SPDX-License-Identifier: MIT
//
// The host's device tree, read with libfdt after it has been checked in full.

#include "loader/host_tree.h"

#include <errno.h>
#include <libfdt.h>
#include <stdbool.h>
#include <string.h>

#include "igvm/base/bytes.h"

#define FOUR_GIB      (UINT64_C(1) << 32)
#define MAX_ROM_BYTES (16u << 20) // above the I/O and local APICs
#define MAX_CPU_NODES 4096        // bounds the walk; more CPUs than any host that we know

static const void *property(const void *blob, int node, const char *name, int *length) {
    const void *value = fdt_getprop(blob, node, name, length);

    if (value == NULL) {
        *length = -1;
    }
    return value;
}

/// /parapet-host: every property is optional, one of the wrong size or shape is an error.
static const char *read_parapet_host(const void *blob, int node, struct host_tree *out) {
    int length;
    const void *value = property(blob, node, "rsdp", &length);

    if (value != NULL) {
        if (length != sizeof(uint64_t)) {
            return "/parapet-host/rsdp is not one u64";
        }
        out->rsdp_gpa = load_be64(value);
    }
    value = property(blob, node, "vtl0-rom", &length);
    if (value != NULL) {
        if (length != 2 * sizeof(uint64_t)) {
            return "/parapet-host/vtl0-rom is not two u64";
        }
        out->rom = (struct gpa_range){load_be64(value), load_be64((const uint8_t *)value + 8)};
        if (out->rom.end != FOUR_GIB || out->rom.start >= FOUR_GIB ||
            out->rom.start < FOUR_GIB - MAX_ROM_BYTES ||
            !is_aligned(out->rom.start, PAGE_SIZE_4K)) {
            return "/parapet-host/vtl0-rom does not end at 4 GiB, or is larger than 16 MiB";
        }
    }
    value = property(blob, node, "tsc-khz", &length);
    if (value != NULL) {
        if (length != sizeof(uint32_t)) {
            return "/parapet-host/tsc-khz is not one u32";
        }
        out->tsc_khz = load_be32(value);
    }
    value = property(blob, node, "wall-clock", &length);
    if (value != NULL) {
        if (length != sizeof(uint64_t)) {
            return "/parapet-host/wall-clock is not one u64";
        }
        out->wall_clock_s = load_be64(value);
    }
    value = property(blob, node, "config", &length);
    if (value != NULL) {
        if (length <= 0 || (unsigned)length > HOST_TREE_MAX_CONFIG_BYTES ||
            memchr(value, '\0', (size_t)length) != (const char *)value + length - 1) {
            return "/parapet-host/config is not one text of at most 32 KiB";
        }
        out->config = value;
        out->config_bytes = (uint32_t)length - 1;
    }
    return NULL;
}

/// The APIC ID of the CPU that is number out->cpu_count. False: none, or another one's.
static bool read_apic_id(const void *blob, int node, struct host_tree *out) {
    int length;
    const void *value = property(blob, node, "reg", &length);
    uint32_t id;

    if (value == NULL || length != sizeof(id) || out->cpu_count >= HOST_TREE_MAX_APIC_IDS) {
        return false;
    }
    id = load_be32(value);
    for (uint32_t i = 0; i < out->cpu_count; i++) {
        if (out->apic_ids[i] == id) {
            return false;
        }
    }
    out->apic_ids[out->cpu_count] = id;
    return true;
}

static void read_cpus(const void *blob, struct host_tree *out) {
    int cpus = fdt_path_offset(blob, "/cpus");
    int node, seen = 0;

    if (cpus < 0) {
        return;
    }
    out->has_apic_ids = true;
    fdt_for_each_subnode(node, blob, cpus) {
        const char *name = fdt_get_name(blob, node, NULL);

        if (++seen > MAX_CPU_NODES) {
            break;
        }
        if (name != NULL && strncmp(name, "cpu", 3) == 0 && (name[3] == '\0' || name[3] == '@')) {
            out->has_apic_ids = out->has_apic_ids && read_apic_id(blob, node, out);
            out->cpu_count++;
        }
    }
}

static bool all_zero(const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

int host_tree_read(const void *blob, size_t size_bytes, struct host_tree *out, const char **why) {
    int node;

    memset(out, 0, sizeof(*out));
    *why = "";
    if (size_bytes < sizeof(struct fdt_header) || all_zero(blob, sizeof(struct fdt_header))) {
        return 0;
    }
    // What libfdt relies on without checking it: a whole version 17 header (specification 5.2), and
    // the alignment of the blocks (5.1).
    if (fdt_version(blob) < 17 || fdt_off_mem_rsvmap(blob) % 8 != 0 ||
        fdt_off_dt_struct(blob) % 4 != 0 || fdt_check_full(blob, size_bytes) != 0) {
        *why = "host's device tree is not well-formed";
        return -EINVAL;
    }
    read_cpus(blob, out);
    node = fdt_path_offset(blob, "/parapet-host");
    if (node >= 0) {
        const char *fault = read_parapet_host(blob, node, out);

        if (fault != NULL) {
            memset(out, 0, sizeof(*out));
            *why = fault;
            return -EINVAL;
        }
    }
    return 0;
}
