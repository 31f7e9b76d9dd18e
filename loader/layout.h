// SPDX-License-Identifier: MIT
//
// The contract between the image builder (igvmtool and image.json), the host (which only follows
// the IGVM file) and the boot shim: where things stand in guest-physical memory, and the measured
// configuration page. Layouts only.
//
// clang-format off
//   GPA            who puts it there            what
//   0x0000_0000    host (RAM)                   first 640 KiB: real-mode trampolines of VTL2's Linux
//   0x0010_0000    host                         left to the host's own start-up code, VTL2 RAM later
//   0x0020_0000    page data, measured          shim: text, rodata, data; then its zeroed bss+stack
//   0x0028_0000    page data, measured          page tables: identity map of the first 4 GiB
//   0x0029_0000    page data, measured          struct shim_config (SHIM_CONFIG_PAGES)
//   0x002a_0000    parameter areas, by the host memory map, VP count, MMIO ranges, command line
//   0x002c_0000    parameter area, by the host  device tree (flattened)
//   0x0030_0000    the shim                     boot_params, command line, device tree, log
//   0x0040_0000    .. free VTL2 RAM
//   0x0100_0000    page data, unmeasured        VTL2's Linux (bzImage), verified by the shim
//   0x0500_0000    page data, unmeasured        VTL2's initrd, verified by the shim
//   0x0800_0000    end of VTL2's fixed RAM; from here on the machine's RAM is VTL0's
//   0x0dc0_0000    page data, unmeasured        VTL0's firmware, parked in VTL0's own RAM
//   0x0e00_0000    page data, unmeasured        VTL0's kernel file, likewise
//   0x0f00_0000    page data, unmeasured        VTL0's initrd, likewise
// clang-format on
#pragma once

#include <stddef.h>
#include <stdint.h>

#define LAYOUT_SHIM_GPA           0x00200000u
#define LAYOUT_SHIM_MAX_BYTES     0x00080000u
#define LAYOUT_PAGE_TABLES_GPA    0x00280000u
#define LAYOUT_PAGE_TABLES_BYTES  0x00006000u ///< PML4, PDPT, four PDs of 2 MiB leaves
#define LAYOUT_CONFIG_GPA         0x00290000u
#define LAYOUT_CONFIG_BYTES       0x00002000u
#define LAYOUT_MEMORY_MAP_GPA     0x002a0000u ///< IGVM memory map entries
#define LAYOUT_MEMORY_MAP_BYTES   0x00004000u
#define LAYOUT_VP_COUNT_GPA       0x002a4000u ///< u32 VP count at offset 0
#define LAYOUT_VP_COUNT_BYTES     0x00001000u
#define LAYOUT_MMIO_RANGES_GPA    0x002a5000u
#define LAYOUT_MMIO_RANGES_BYTES  0x00001000u
#define LAYOUT_COMMAND_LINE_GPA   0x002a6000u ///< NUL-terminated, from the host: untrusted
#define LAYOUT_COMMAND_LINE_BYTES 0x00001000u
#define LAYOUT_DEVICE_TREE_GPA    0x002c0000u ///< flattened device tree, from the host: untrusted
#define LAYOUT_DEVICE_TREE_BYTES  0x00020000u
#define LAYOUT_SCRATCH_GPA        0x00300000u ///< the shim's own output, see loader/
#define LAYOUT_SCRATCH_BYTES      0x00100000u
#define LAYOUT_KERNEL_GPA         0x01000000u
#define LAYOUT_INITRD_GPA         0x05000000u
#define LAYOUT_VTL2_RAM_END_GPA   0x08000000u ///< default; struct shim_config has the real one
// Linux claims what is left up to the next such boundary behind its RAM as a "RAM buffer"
// (arch/x86/kernel/e820.c), and would then refuse VTL0's pool to dax_hmem: VTL2's RAM ends on one.
#define LAYOUT_VTL2_RAM_END_ALIGN 0x04000000u
#define LAYOUT_VTL0_FIRMWARE_GPA  0x0dc00000u
#define LAYOUT_VTL0_KERNEL_GPA    0x0e000000u
#define LAYOUT_VTL0_INITRD_GPA    0x0f000000u
// VTL0 wants its RAM to begin at 0. Where the guest-physical addresses of both VTLs are the
// machine's own (vsm), everything above is loaded this much higher; the shim finds out by itself.
#define LAYOUT_VSM_DELTA        0x10000000u
#define LAYOUT_IDENTITY_END_GPA 0x100000000ull ///< the image's page tables map [0, this)

// The BSP enters the shim at LAYOUT_SHIM_GPA in long mode with CR3 = LAYOUT_PAGE_TABLES_GPA,
// interrupts off, and in EDI one of these: each platform's VP context differs in it. Everything
// else (GDT, IDT, stack, bss) the shim sets up itself; on `native` a context with only CR0, CR3,
// CR4, EFER, RIP, RDI and flat segments is enough.
enum shim_platform {
    SHIM_PLATFORM_NATIVE = 0,
    SHIM_PLATFORM_VSM = 1,
    SHIM_PLATFORM_SNP = 2,
    SHIM_PLATFORM_TDX = 3,
};

#define SHIM_CONFIG_MAGIC   0x3147464354505250ull ///< "PRPTCFG1" read as a little-endian u64
#define SHIM_CONFIG_VERSION 1u
#define SHIM_MAX_PAYLOADS   8u
#define SHIM_DIGEST_BYTES   48u ///< SHA-384, the digest of SNP and TDX launch measurements too

enum shim_payload_kind {
    SHIM_PAYLOAD_NONE = 0,
    SHIM_PAYLOAD_KERNEL = 1,        ///< VTL2's Linux, a bzImage
    SHIM_PAYLOAD_INITRD = 2,        ///< VTL2's initrd
    SHIM_PAYLOAD_VTL0_KERNEL = 3,   ///< VTL0's kernel file; verified by the VMM, not by the shim
    SHIM_PAYLOAD_VTL0_INITRD = 4,   ///< VTL0's initrd; verified by the VMM
    SHIM_PAYLOAD_VTL0_FIRMWARE = 5, ///< VTL0's UEFI firmware; verified by the VMM
};

/// One thing that the host loads without measuring it. Filled by the image builder.
struct shim_payload {
    uint32_t kind;                     ///< enum shim_payload_kind
    uint32_t flags;                    ///< none defined: 0
    uint64_t gpa;                      ///< page aligned
    uint64_t size_bytes;               ///< exact size; the rest of the last page is zero
    uint8_t sha384[SHIM_DIGEST_BYTES]; ///< over size_bytes bytes
};
_Static_assert(sizeof(struct shim_payload) == 72, "shim_payload is part of the measured ABI");

/// The measured configuration, at LAYOUT_CONFIG_GPA. Filled by the image builder, read by the shim.
struct shim_config {
    uint64_t magic;            ///< SHIM_CONFIG_MAGIC
    uint32_t version;          ///< SHIM_CONFIG_VERSION
    uint32_t payload_count;    ///< at most SHIM_MAX_PAYLOADS
    uint64_t vtl2_ram_end_gpa; ///< VTL2 owns all RAM in [0, this); 64 MiB aligned
    uint64_t flags;            ///< SHIM_FLAG_*
    struct shim_payload payloads[SHIM_MAX_PAYLOADS];
    char command_line[2048]; ///< VTL2 kernel command line, NUL-terminated
    char image_version[64];  ///< human-readable, NUL-terminated
};
_Static_assert(sizeof(struct shim_config) == 32 + 8 * 72 + 2048 + 64, "shim_config is ABI");
_Static_assert(sizeof(struct shim_config) <= LAYOUT_CONFIG_BYTES, "shim_config fits its pages");

#define SHIM_FLAG_ALLOW_HOST_COMMAND_LINE (1u << 0) ///< append the host's line (never if isolated)
#define SHIM_FLAG_ALLOW_HOST_CONFIG       (1u << 1) ///< pass the host's JSON on to the VMM

// The device tree that the shim builds for VTL2's Linux has one node of ours, /parapet:
//   compatible        "parapet,vtl2"
//   platform          "native" | "vsm" | "snp" | "tdx"
//   image-version     string
//   vp-count          u32
//   vtl0-memory       u64 pairs: start, end (system-physical, 2 MiB aligned)
//   vtl2-memory       u64 pairs: start, end
//   vtl0-kernel       u64 pair: start, size in bytes;  vtl0-kernel-sha384: 48 bytes
//   vtl0-initrd       likewise;  vtl0-firmware likewise
//   vtl0-rom          u64 pair: start, end of memory below 4 GiB for VTL0's firmware, where the
//                     guest's addresses are the machine's own; from the host
//   host-config       JSON text from the host, only with SHIM_FLAG_ALLOW_HOST_CONFIG
//   shim-log          text: what the shim printed up to the making of this tree
//   shim-tsc          u64 pair: TSC at the shim's entry and when this tree was made; with
//   tsc-khz           u32: TSC frequency as far as it is known, 0 = not
//   wall-clock        u64: seconds since 1970 (UTC) at start, when a trusted host says so
// The host gives its device tree a node /parapet-host with: rsdp (u64), config (JSON text), tsc-khz
// (u32, for time stamps and on native for Linux's tsc_early_khz=), wall-clock (u64), vtl0-rom (u64
// pair: start, end), all optional.
// Numbers are big-endian as everywhere in device trees.
