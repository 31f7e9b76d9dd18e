// SPDX-License-Identifier: MIT
//
// The Linux/x86 boot protocol's memory layouts: boot_params ("zero page"), the setup header inside
// it, e820 entries and setup_data. Sources: Linux Documentation/arch/x86/boot.rst and
// zero-page.rst.
//
// Shared by the boot shim (VTL2's Linux) and by the VMM's Linux-direct loader (VTL0's Linux).
// Layouts only; who fills a field is said per field: K = in the kernel file, L = by the loader.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define LINUX_BOOT_FLAG             0xaa55u
#define LINUX_HEADER_MAGIC          0x53726448u ///< "HdrS" read as a little-endian u32
#define LINUX_SETUP_HEADER_OFF      0x1f1u      ///< of the setup header, in file and zero page
#define LINUX_HEADER_JUMP_OFF       0x200u      ///< the header ends at 0x202 + the byte at 0x201
#define LINUX_PROTOCOL_XLOADFLAGS   0x020cu     ///< first version that has xloadflags
#define LINUX_ENTRY64_OFF           0x200u      ///< from the start of the protected-mode code
#define LINUX_SECTOR_BYTES          512u
#define LINUX_LOADER_TYPE_UNDEFINED 0xffu ///< type_of_loader of a loader without an assigned id

#define LINUX_LOADED_HIGH                (1u << 0) ///< loadflags: protected-mode code goes to 1 MiB+
#define LINUX_XLF_KERNEL_64              (1u << 0) ///< xloadflags: has the 64-bit entry point
#define LINUX_XLF_CAN_BE_LOADED_ABOVE_4G (1u << 1) ///< kernel, initrd, … may stand above 4 GiB
#define LINUX_XLF_5LEVEL                 (1u << 5)

#define LINUX_BOOT_CS 0x10u ///< selector that the 64-bit entry expects: flat code
#define LINUX_BOOT_DS 0x18u ///< likewise: flat data

enum linux_e820_type {
    LINUX_E820_RAM = 1,
    LINUX_E820_RESERVED = 2,
    LINUX_E820_ACPI = 3,
    LINUX_E820_NVS = 4,
    LINUX_E820_UNUSABLE = 5,
    LINUX_E820_PMEM = 7,
};
/// Linux's own type: RAM that only dax_hmem may claim (VTL0's memory, seen from VTL2).
#define LINUX_E820_SOFT_RESERVED 0xefffffffu

struct linux_e820_entry {
    uint64_t addr;       ///< L: first byte
    uint64_t size_bytes; ///< L
    uint32_t type;       ///< L: enum linux_e820_type or LINUX_E820_SOFT_RESERVED
} __attribute__((packed));
_Static_assert(sizeof(struct linux_e820_entry) == 20, "e820 entry is wire format");

/// The setup header, from file offset 0x1f1 on (protocol 2.15).
struct linux_setup_header {
    uint8_t setup_sects;        ///< K: 512-byte sectors of real-mode code after the first; 0 = 4
    uint16_t root_flags;        ///< K: obsolete
    uint32_t syssize;           ///< K: protected-mode code in 16-byte units
    uint16_t ram_size;          ///< K: obsolete
    uint16_t vid_mode;          ///< L: 0xffff = normal
    uint16_t root_dev;          ///< K: obsolete
    uint16_t boot_flag;         ///< K: LINUX_BOOT_FLAG
    uint16_t jump;              ///< K: second byte gives the header's end
    uint32_t header;            ///< K: LINUX_HEADER_MAGIC
    uint16_t version;           ///< K: major << 8 | minor
    uint32_t realmode_swtch;    ///< not used by the 64-bit entry
    uint16_t start_sys_seg;     ///< K: obsolete
    uint16_t kernel_version;    ///< K: offset of the version text, less 0x200; 0 = none
    uint8_t type_of_loader;     ///< L
    uint8_t loadflags;          ///< K and L: LINUX_LOADED_HIGH, …
    uint16_t setup_move_size;   ///< real mode only
    uint32_t code32_start;      ///< L: where the protected-mode code stands
    uint32_t ramdisk_image;     ///< L: initrd, low 32 bits (high: ext_ramdisk_image)
    uint32_t ramdisk_size;      ///< L: initrd bytes, low 32 bits
    uint32_t bootsect_kludge;   ///< obsolete
    uint16_t heap_end_ptr;      ///< real mode only
    uint8_t ext_loader_ver;     ///< L: 0
    uint8_t ext_loader_type;    ///< L: 0
    uint32_t cmd_line_ptr;      ///< L: low 32 bits (high: ext_cmd_line_ptr)
    uint32_t initrd_addr_max;   ///< K: highest byte that the initrd may use (32-bit rule)
    uint32_t kernel_alignment;  ///< K: of the run-time address, if relocatable
    uint8_t relocatable_kernel; ///< K: 0 or 1
    uint8_t min_alignment;      ///< K: log2 of the least alignment
    uint16_t xloadflags;        ///< K: LINUX_XLF_*
    uint32_t cmdline_size;      ///< K: longest command line without its NUL
    uint32_t hardware_subarch;  ///< L: 0 = PC
    uint64_t hardware_subarch_data; ///< L: 0
    uint32_t payload_offset;        ///< K: compressed payload, from the protected-mode code's start
    uint32_t payload_length;        ///< K
    uint64_t setup_data;            ///< L: GPA of the first struct linux_setup_data, 0 = none
    uint64_t pref_address;          ///< K: preferred run-time address
    uint32_t init_size;             ///< K: memory it needs from its run-time address on
    uint32_t handover_offset;       ///< K: EFI only
    uint32_t kernel_info_offset;    ///< K
} __attribute__((packed));
_Static_assert(sizeof(struct linux_setup_header) == 0x26c - LINUX_SETUP_HEADER_OFF,
               "setup header of protocol 2.15");
_Static_assert(offsetof(struct linux_setup_header, xloadflags) == 0x236 - LINUX_SETUP_HEADER_OFF,
               "xloadflags is at 0x236");

#define LINUX_E820_MAX_ENTRIES 128u

/// boot_params, the "zero page". Everything that no field names stays zero.
struct linux_boot_params {
    uint8_t screen_info[0x40];      ///< zero: no boot-time display
    uint8_t unused_040[0x30];       ///< APM, speedstep
    uint64_t acpi_rsdp_addr;        ///< L: GPA of the RSDP; 0 = search for it
    uint8_t unused_078[0x48];       ///< disks, XT BIOS tables
    uint32_t ext_ramdisk_image;     ///< L: initrd GPA >> 32
    uint32_t ext_ramdisk_size;      ///< L: initrd bytes >> 32
    uint32_t ext_cmd_line_ptr;      ///< L: command line GPA >> 32
    uint8_t unused_0cc[0x11c];      ///< EDID, EFI
    uint8_t e820_entries;           ///< L: at most LINUX_E820_MAX_ENTRIES
    uint8_t unused_1e9[6];          ///< EDD, keyboard, secure boot
    uint8_t sentinel;               ///< L: 0 (a loader that copied too much leaves 0xff)
    uint8_t pad_1f0;                ///< zero
    struct linux_setup_header hdr;  ///< K, then L
    uint8_t pad_26c[0x2d0 - 0x26c]; ///< zero
    struct linux_e820_entry e820_table[LINUX_E820_MAX_ENTRIES]; ///< L
    uint8_t unused_cd0[0x1000 - 0xcd0];                         ///< EDD
} __attribute__((packed));
_Static_assert(sizeof(struct linux_boot_params) == 4096, "the zero page is one page");
_Static_assert(offsetof(struct linux_boot_params, acpi_rsdp_addr) == 0x070, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, ext_ramdisk_image) == 0x0c0, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, e820_entries) == 0x1e8, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, sentinel) == 0x1ef, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, hdr) == LINUX_SETUP_HEADER_OFF, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, e820_table) == 0x2d0, "zero-page.rst");

enum linux_setup_data_type {
    LINUX_SETUP_NONE = 0,
    LINUX_SETUP_E820_EXT = 1,
    LINUX_SETUP_DTB = 2, ///< payload: a flattened device tree
};

/// One link of the setup_data list; the payload follows directly.
struct linux_setup_data {
    uint64_t next;      ///< L: GPA of the next link, 0 = last
    uint32_t type;      ///< L: enum linux_setup_data_type
    uint32_t len_bytes; ///< L: payload only
} __attribute__((packed));
_Static_assert(sizeof(struct linux_setup_data) == 16, "setup_data is wire format");
