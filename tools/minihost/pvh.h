// SPDX-License-Identifier: MIT
//
// The PVH boot ABI: what QEMU's pvh.bin hands over in EBX (Xen's public interface,
// xen/include/public/arch-x86/hvm/start_info.h). Layouts only; all filled by QEMU.
#pragma once

#include <stdint.h>

#define PVH_START_MAGIC    0x336ec578u
#define PVH_VERSION_MEMMAP 1u ///< first version with a memory map

struct pvh_start_info {
    uint32_t magic;        ///< PVH_START_MAGIC
    uint32_t version;      ///< 1 or more
    uint32_t flags;        ///< not used
    uint32_t module_count; ///< -initrd is module 0
    uint64_t modlist_gpa;  ///< struct pvh_module[module_count]
    uint64_t cmdline_gpa;  ///< NUL-terminated -append, 0: none
    uint64_t rsdp_gpa;     ///< ACPI RSDP, 0: none
    uint64_t memmap_gpa;   ///< struct pvh_memmap_entry[memmap_count]
    uint32_t memmap_count;
    uint32_t reserved;
};
_Static_assert(sizeof(struct pvh_start_info) == 56, "start_info, version 1");

struct pvh_module {
    uint64_t start_gpa;
    uint64_t size_bytes;
    uint64_t cmdline_gpa;
    uint64_t reserved;
};
_Static_assert(sizeof(struct pvh_module) == 32, "module list entry");

/// The e820 types of linux_boot.h.
struct pvh_memmap_entry {
    uint64_t start_gpa;
    uint64_t size_bytes;
    uint32_t type;
    uint32_t reserved;
};
_Static_assert(sizeof(struct pvh_memmap_entry) == 24, "memory map entry");
