// SPDX-License-Identifier: MIT
//
// /parapet in VTL2's device tree (loader/layout.h), written with libfdt's sequential interface.

#include "loader/out_tree.h"

#include <errno.h>
#include <libfdt.h>
#include <string.h>

#include "igvm/base/bytes.h"

const char *shim_platform_name(uint32_t platform) {
    static const char *const names[] = {
        [SHIM_PLATFORM_NATIVE] = "native",
        [SHIM_PLATFORM_VSM] = "vsm",
        [SHIM_PLATFORM_SNP] = "snp",
        [SHIM_PLATFORM_TDX] = "tdx",
    };

    return platform < ARRAY_COUNT(names) ? names[platform] : NULL;
}

static void store_be64(uint8_t *bytes, uint64_t value) {
    store_le64(bytes, __builtin_bswap64(value));
}

/// A property of u64 pairs (start, end).
static int put_ranges(void *fdt, const char *name, const struct gpa_range *ranges, uint32_t count) {
    void *space;
    uint8_t *at;
    int rc = fdt_property_placeholder(fdt, name, (int)(count * 16), &space);

    if (rc != 0) {
        return rc;
    }
    at = space;
    for (uint32_t i = 0; i < count; i++, at += 16) {
        store_be64(at, ranges[i].start);
        store_be64(at + 8, ranges[i].end);
    }
    return 0;
}

static int put_u64_pair(void *fdt, const char *name, uint64_t first, uint64_t second) {
    struct gpa_range pair = {first, second};

    return put_ranges(fdt, name, &pair, 1);
}

/// A text of known length: the NUL that device trees want is added.
static int put_text(void *fdt, const char *name, const char *text, uint32_t bytes) {
    void *space;
    int rc = fdt_property_placeholder(fdt, name, (int)bytes + 1, &space);

    if (rc == 0) {
        memcpy(space, text, bytes);
        ((char *)space)[bytes] = '\0';
    }
    return rc;
}

static int put_payload(void *fdt, const char *name, const char *digest_name,
                       const struct shim_payload *payload) {
    int rc;

    if (payload == NULL) {
        return 0;
    }
    rc = put_u64_pair(fdt, name, payload->gpa, payload->size_bytes);
    if (rc == 0) {
        rc = fdt_property(fdt, digest_name, payload->sha384, SHIM_DIGEST_BYTES);
    }
    return rc;
}

/// The properties of /parapet; libfdt keeps an error, so the first one is what comes back.
static int put_parapet(void *fdt, const struct out_tree_spec *spec) {
    const char *platform = shim_platform_name(spec->platform);
    int rc;

    if ((rc = fdt_property_string(fdt, "compatible", "parapet,vtl2")) != 0 ||
        (rc = fdt_property_string(fdt, "platform", platform == NULL ? "?" : platform)) != 0 ||
        (rc = fdt_property_string(fdt, "image-version", spec->image_version)) != 0 ||
        (rc = fdt_property_u32(fdt, "vp-count", spec->vp_count)) != 0 ||
        (rc = put_ranges(fdt, "vtl0-memory", spec->vtl0, spec->vtl0_count)) != 0 ||
        (rc = put_ranges(fdt, "vtl2-memory", spec->vtl2, spec->vtl2_count)) != 0 ||
        (rc = put_payload(fdt, "vtl0-kernel", "vtl0-kernel-sha384", spec->vtl0_kernel)) != 0 ||
        (rc = put_payload(fdt, "vtl0-initrd", "vtl0-initrd-sha384", spec->vtl0_initrd)) != 0 ||
        (rc = put_payload(fdt, "vtl0-firmware", "vtl0-firmware-sha384", spec->vtl0_firmware)) !=
            0 ||
        (rc = put_u64_pair(fdt, "shim-tsc", spec->tsc_entry, spec->tsc_now)) != 0 ||
        (rc = fdt_property_u32(fdt, "tsc-khz", spec->tsc_khz)) != 0) {
        return rc;
    }
    if (spec->rom.end != 0 && (rc = put_ranges(fdt, "vtl0-rom", &spec->rom, 1)) != 0) {
        return rc;
    }
    if (spec->wall_clock_s != 0 &&
        (rc = fdt_property_u64(fdt, "wall-clock", spec->wall_clock_s)) != 0) {
        return rc;
    }
    if (spec->host_config != NULL) {
        rc = put_text(fdt, "host-config", spec->host_config, spec->host_config_bytes);
    }
    return rc == 0 ? put_text(fdt, "shim-log", spec->log, spec->log_bytes) : rc;
}

/// What Linux without ACPI needs to find its processors, in the root node; of_have_populated_dt()
/// looks for the root's "compatible".
static int put_cpus(void *fdt, const struct out_tree_spec *spec) {
    char name[16] = "cpu@";
    int rc;

    if ((rc = fdt_property_string(fdt, "compatible", "parapet,vsm")) != 0 || // or it is no tree
        (rc = fdt_begin_node(fdt, "cpus")) != 0 ||
        (rc = fdt_property_u32(fdt, "#address-cells", 1)) != 0 ||
        (rc = fdt_property_u32(fdt, "#size-cells", 0)) != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < spec->vp_count; i++) {
        static const char digits[] = "0123456789abcdef";
        uint32_t id = spec->apic_ids != NULL ? spec->apic_ids[i] : i;
        size_t length = 4;

        for (int shift = 28; shift >= 0; shift -= 4) {
            if ((id >> shift) != 0 || shift == 0) {
                name[length++] = digits[id >> shift & 0xf];
            }
        }
        name[length] = '\0';
        if ((rc = fdt_begin_node(fdt, name)) != 0 ||
            (rc = fdt_property_string(fdt, "device_type", "cpu")) != 0 ||
            (rc = fdt_property_u32(fdt, "reg", id)) != 0 ||
            (rc = fdt_property_string(fdt, "status", "okay")) != 0 ||
            (rc = fdt_end_node(fdt)) != 0) {
            return rc;
        }
    }
    return fdt_end_node(fdt);
}

int out_tree_build(void *out, size_t size_bytes, const struct out_tree_spec *spec,
                   size_t *used_bytes) {
    if (size_bytes > INT32_MAX) {
        size_bytes = INT32_MAX;
    }
    if (fdt_create(out, (int)size_bytes) != 0 || fdt_finish_reservemap(out) != 0 ||
        fdt_begin_node(out, "") != 0 || fdt_property_u32(out, "#address-cells", 2) != 0 ||
        fdt_property_u32(out, "#size-cells", 2) != 0 ||
        (spec->platform == SHIM_PLATFORM_VSM && put_cpus(out, spec) != 0) ||
        fdt_begin_node(out, "parapet") != 0 || put_parapet(out, spec) != 0 ||
        fdt_end_node(out) != 0 || fdt_end_node(out) != 0 || fdt_finish(out) != 0) {
        return -ENOSPC; // the only error that the sequential writer has for well-ordered calls
    }
    *used_bytes = fdt_totalsize(out);
    return 0;
}
