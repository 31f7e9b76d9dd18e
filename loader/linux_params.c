// SPDX-License-Identifier: MIT
//
// boot_params for the 64-bit entry point (Documentation/arch/x86/boot.rst, zero-page.rst).

#include "loader/linux_params.h"

#include <errno.h>
#include <string.h>

#define VID_MODE_NORMAL 0xffffu

static int check_spec(const struct linux_params_spec *spec, const char **why) {
    const struct bzimage_info *image = spec->image;
    uint64_t initrd_end;

    if (spec->e820_count > LINUX_E820_MAX_ENTRIES) {
        *why = "memory map needs more than 128 e820 entries";
        return -E2BIG;
    }
    if (spec->cmdline_bytes > image->cmdline_max_bytes) {
        *why = "command line is longer than this kernel takes";
        return -ENAMETOOLONG;
    }
    if (spec->initrd_bytes != 0 &&
        (__builtin_add_overflow(spec->initrd_gpa, spec->initrd_bytes, &initrd_end) ||
         initrd_end > image->initrd_end_max_gpa)) {
        *why = "initrd stands above the address that this kernel reaches";
        return -ERANGE;
    }
    return 0;
}

int linux_params_build(struct linux_boot_params *out, const struct linux_params_spec *spec,
                       const char **why) {
    struct linux_setup_header *header = &out->hdr;
    int rc;

    *why = "";
    rc = check_spec(spec, why);
    if (rc != 0) {
        return rc;
    }
    // boot.rst: zero the whole page first, then copy the header from the file, then fill in.
    memset(out, 0, sizeof(*out));
    *header = spec->image->header;
    header->vid_mode = VID_MODE_NORMAL;
    header->type_of_loader = LINUX_LOADER_TYPE_UNDEFINED;
    header->code32_start = (uint32_t)spec->load_gpa; // informative for the 64-bit entry
    header->cmd_line_ptr = (uint32_t)spec->cmdline_gpa;
    out->ext_cmd_line_ptr = (uint32_t)(spec->cmdline_gpa >> 32);
    if (spec->initrd_bytes != 0) {
        header->ramdisk_image = (uint32_t)spec->initrd_gpa;
        header->ramdisk_size = (uint32_t)spec->initrd_bytes;
        out->ext_ramdisk_image = (uint32_t)(spec->initrd_gpa >> 32);
        out->ext_ramdisk_size = (uint32_t)(spec->initrd_bytes >> 32);
    }
    header->setup_data = spec->setup_data_gpa;
    out->acpi_rsdp_addr = spec->rsdp_gpa;
    out->e820_entries = (uint8_t)spec->e820_count;
    if (spec->e820_count != 0) {
        memcpy(out->e820_table, spec->e820, spec->e820_count * sizeof(spec->e820[0]));
    }
    return 0;
}
