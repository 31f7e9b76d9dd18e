// SPDX-License-Identifier: MIT
//
// The bzImage header reader (Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header").

#include "loader/bzimage.h"

#include <errno.h>
#include <string.h>

#include "igvm/base/bytes.h"
#include "igvm/base/types.h"

#define DEFAULT_SETUP_SECTS 4u       ///< what setup_sects == 0 means
#define HEADER_SCAN_BYTES   0x10000u ///< the real-mode part is never longer (255 + 1 sectors)
#define VERSION_TEXT_BASE   0x200u   ///< kernel_version counts from here
#define MAX_INIT_SIZE_BYTES                                                                        \
    0x40000000ull ///< Linux keeps image and bss below 1 GiB (KERNEL_IMAGE_SIZE)
#define GIB_4 0x100000000ull

static int fail(const char **why, const char *text, int error) {
    *why = text;
    return error;
}

/// Copies the kernel's version text ("7.0.4-1 (builder) #1 SMP …") as far as it is printable.
static void read_version_text(const uint8_t *file, size_t size_bytes, uint16_t kernel_version,
                              char out[BZIMAGE_VERSION_TEXT_BYTES]) {
    size_t off = (size_t)kernel_version + VERSION_TEXT_BASE;
    size_t count = 0;

    if (kernel_version != 0) {
        while (count + 1 < BZIMAGE_VERSION_TEXT_BYTES && off < size_bytes && file[off] >= ' ' &&
               file[off] < 0x7f) {
            out[count++] = (char)file[off++];
        }
    }
    out[count] = '\0';
}

/// Copies the setup header as far as the file says that it goes; the rest stays zero.
static int copy_header(const uint8_t *file, size_t size_bytes, struct linux_setup_header *out,
                       const char **why) {
    size_t end;

    if (size_bytes < LINUX_SETUP_HEADER_OFF + sizeof(*out)) {
        return fail(why, "file is shorter than a setup header", -EINVAL);
    }
    if (load_le16(file + 0x1fe) != LINUX_BOOT_FLAG ||
        load_le32(file + LINUX_HEADER_JUMP_OFF + 2) != LINUX_HEADER_MAGIC) {
        return fail(why, "no 0xaa55 / HdrS magic: not a bzImage", -EINVAL);
    }
    end = LINUX_HEADER_JUMP_OFF + 2 + file[LINUX_HEADER_JUMP_OFF + 1];
    if (end < LINUX_SETUP_HEADER_OFF + offsetof(struct linux_setup_header, handover_offset)) {
        return fail(why, "setup header ends before init_size", -ENOTSUP);
    }
    if (end > LINUX_SETUP_HEADER_OFF + sizeof(*out)) {
        end = LINUX_SETUP_HEADER_OFF + sizeof(*out);
    }
    memset(out, 0, sizeof(*out));
    memcpy(out, file + LINUX_SETUP_HEADER_OFF, end - LINUX_SETUP_HEADER_OFF);
    return 0;
}

/// The rules that decide whether we can enter this kernel at all.
static int check_bootable(const struct linux_setup_header *header, const char **why) {
    if (header->version < LINUX_PROTOCOL_XLOADFLAGS) {
        return fail(why, "boot protocol older than 2.12", -ENOTSUP);
    }
    if ((header->loadflags & LINUX_LOADED_HIGH) == 0) {
        return fail(why, "not a bzImage: LOADED_HIGH is clear", -ENOTSUP);
    }
    if ((header->xloadflags & LINUX_XLF_KERNEL_64) == 0) {
        return fail(why, "no 64-bit entry point: XLF_KERNEL_64 is clear", -ENOTSUP);
    }
    if (header->relocatable_kernel == 0) {
        return fail(why, "kernel is not relocatable", -ENOTSUP);
    }
    if (header->kernel_alignment < PAGE_SIZE_4K ||
        (header->kernel_alignment & (header->kernel_alignment - 1)) != 0) {
        return fail(why, "kernel_alignment is not a power of two of at least 4 KiB", -EINVAL);
    }
    if (header->cmdline_size == 0) {
        return fail(why, "cmdline_size is zero", -EINVAL);
    }
    return 0;
}

int bzimage_parse(const void *file, size_t size_bytes, struct bzimage_info *out, const char **why) {
    const uint8_t *bytes = file;
    struct linux_setup_header *header = &out->header;
    uint32_t sectors;
    int rc;

    *why = "";
    memset(out, 0, sizeof(*out));
    rc = copy_header(bytes, size_bytes, header, why);
    if (rc != 0) {
        return rc;
    }
    rc = check_bootable(header, why);
    if (rc != 0) {
        return rc;
    }

    sectors = header->setup_sects == 0 ? DEFAULT_SETUP_SECTS : header->setup_sects;
    out->setup_bytes = (sectors + 1) * LINUX_SECTOR_BYTES;
    if (size_bytes <= out->setup_bytes + LINUX_ENTRY64_OFF) {
        return fail(why, "file ends before the 64-bit entry point", -ERANGE);
    }
    out->protected_mode_off = out->setup_bytes;
    out->protected_mode_bytes = size_bytes - out->setup_bytes;
    if ((uint64_t)header->syssize * 16 > out->protected_mode_bytes) {
        return fail(why, "file is shorter than syssize says: truncated", -ERANGE);
    }
    if (header->init_size > MAX_INIT_SIZE_BYTES || header->init_size < out->protected_mode_bytes) {
        return fail(why, "init_size is over 1 GiB or below the file's size", -ERANGE);
    }
    out->entry64_off = LINUX_ENTRY64_OFF;
    out->init_size_bytes = header->init_size;
    out->pref_gpa = header->pref_address;
    out->alignment_bytes = header->kernel_alignment;
    out->cmdline_max_bytes = header->cmdline_size;
    out->initrd_end_max_gpa = (header->xloadflags & LINUX_XLF_CAN_BE_LOADED_ABOVE_4G) != 0
                                  ? UINT64_MAX
                                  : (uint64_t)header->initrd_addr_max + 1;
    out->protocol = header->version;
    out->xloadflags = header->xloadflags;
    read_version_text(bytes, size_bytes < HEADER_SCAN_BYTES ? size_bytes : HEADER_SCAN_BYTES,
                      header->kernel_version, out->version_text);
    return 0;
}

int bzimage_run_range(const struct bzimage_info *info, uint64_t load_gpa, uint64_t *out_start_gpa,
                      uint64_t *out_end_gpa) {
    uint64_t start = load_gpa < info->pref_gpa ? info->pref_gpa : load_gpa;
    uint64_t end;

    if (!align_up(start, info->alignment_bytes, &start) ||
        __builtin_add_overflow(start, info->init_size_bytes, &end)) {
        return -ERANGE;
    }
    *out_start_gpa = start;
    *out_end_gpa = end;
    return 0;
}
