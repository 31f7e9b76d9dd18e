// SPDX-License-Identifier: MIT
//
// IGVM (Independent Guest Virtual Machine) file format: fixed and variable headers, layouts alone.
//
// From the published definition of the format (crate igvm_defs of the microsoft/igvm repository).
// A file is: fixed header, variable headers (type, length, content, each padded with zeroes to 8
// bytes; platform headers first, then initialization, then directives), file data. Little-endian.
// Everything here is filled by the builder and read by the host, unless a field says otherwise.
#pragma once

#include "igvm/igvm_data_defs.h"

#include <stddef.h>
#include <stdint.h>

#define IGVM_MAGIC            0x4d564749u // "IGVM"
#define IGVM_FORMAT_VERSION_1 1u
#define IGVM_FORMAT_VERSION_2 2u
#define IGVM_PAGE_SIZE        4096u
#define IGVM_HEADER_ALIGN     8u

enum igvm_architecture {
    IGVM_ARCH_X64 = 0,
    IGVM_ARCH_AARCH64 = 1,
};

/// Version 1 ends before architecture: 24 bytes; it means x64 and 4 KiB pages. Version 2: 32 bytes.
struct igvm_fixed_header {
    uint32_t magic;                  // IGVM_MAGIC
    uint32_t format_version;         // 1 or 2
    uint32_t variable_header_offset; // multiple of 8, past the fixed header
    uint32_t variable_header_size;   // bytes
    uint32_t total_file_size;        // bytes
    uint32_t checksum;               // CRC-32 of fixed and variable headers, this field as zero
    uint32_t architecture;           // version 2: enum igvm_architecture
    uint32_t page_size;              // version 2: a power of two; what every "page" below means
} IGVM_PACKED;
#define IGVM_FIXED_HEADER_V1_BYTES 24u
#define IGVM_FIXED_HEADER_V2_BYTES 32u
_Static_assert(sizeof(struct igvm_fixed_header) == IGVM_FIXED_HEADER_V2_BYTES, "size");
_Static_assert(offsetof(struct igvm_fixed_header, architecture) == IGVM_FIXED_HEADER_V1_BYTES, "");
_Static_assert(offsetof(struct igvm_fixed_header, checksum) == 20, "offset");

/// Stands before each variable header's content.
struct igvm_variable_header {
    uint32_t type;   // enum igvm_header_type, IGVM_VHT_OPTIONAL set if an unaware host may skip it
    uint32_t length; // bytes of content, without this header and without padding
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_variable_header) == 8, "size");

#define IGVM_VHT_OPTIONAL        0x80000000u
#define IGVM_VHT_PLATFORM_FIRST  0x001u
#define IGVM_VHT_PLATFORM_LAST   0x100u
#define IGVM_VHT_INIT_FIRST      0x101u
#define IGVM_VHT_INIT_LAST       0x200u
#define IGVM_VHT_DIRECTIVE_FIRST 0x301u
#define IGVM_VHT_DIRECTIVE_LAST  0x400u

enum igvm_header_type {
    IGVM_VHT_INVALID = 0x0,
    IGVM_VHT_SUPPORTED_PLATFORM = 0x1,

    IGVM_VHT_GUEST_POLICY = 0x101,
    IGVM_VHT_RELOCATABLE_REGION = 0x102,
    IGVM_VHT_PAGE_TABLE_RELOCATION_REGION = 0x103,
    IGVM_VHT_CORIM_DOCUMENT = 0x104,
    IGVM_VHT_CORIM_SIGNATURE = 0x105,
    IGVM_VHT_CCA_POLICY = 0x106,

    IGVM_VHT_PARAMETER_AREA = 0x301,
    IGVM_VHT_PAGE_DATA = 0x302,
    IGVM_VHT_PARAMETER_INSERT = 0x303,
    IGVM_VHT_VP_CONTEXT = 0x304,
    IGVM_VHT_REQUIRED_MEMORY = 0x305,
    IGVM_VHT_RESERVED_306 = 0x306, // an early revision's shared boundary; must not be used
    IGVM_VHT_VP_COUNT_PARAMETER = 0x307,
    IGVM_VHT_SRAT = 0x308,
    IGVM_VHT_MADT = 0x309,
    IGVM_VHT_MMIO_RANGES = 0x30a,
    IGVM_VHT_SNP_ID_BLOCK = 0x30b,
    IGVM_VHT_MEMORY_MAP = 0x30c,
    IGVM_VHT_ERROR_RANGE = 0x30d,
    IGVM_VHT_COMMAND_LINE = 0x30e,
    IGVM_VHT_SLIT = 0x30f,
    IGVM_VHT_PPTT = 0x310,
    IGVM_VHT_VBS_MEASUREMENT = 0x311,
    IGVM_VHT_DEVICE_TREE = 0x312,
    IGVM_VHT_ENVIRONMENT_INFO_PARAMETER = 0x313,
};

enum igvm_platform_type {
    IGVM_PLATFORM_NATIVE = 0,
    IGVM_PLATFORM_VSM_ISOLATION = 1,
    IGVM_PLATFORM_SEV_SNP = 2,
    IGVM_PLATFORM_TDX = 3,
    IGVM_PLATFORM_SEV = 4,
    IGVM_PLATFORM_SEV_ES = 5,
    IGVM_PLATFORM_CCA = 6,
};
#define IGVM_PLATFORM_VERSION 1u // of every platform type so far

/// 0x1: one platform that the file can be loaded on.
struct igvm_supported_platform {
    uint32_t compatibility_mask;  // one bit; later headers with this bit belong to the platform
    uint8_t highest_vtl;          // 0 or 2
    uint8_t platform_type;        // enum igvm_platform_type
    uint16_t platform_version;    // IGVM_PLATFORM_VERSION
    uint64_t shared_gpa_boundary; // GPA from which memory is host visible; 0: the guest manages it
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_supported_platform) == 16, "size");

#define IGVM_SNP_POLICY_MUST_BE_ONE   (1ull << 17)
#define IGVM_TDX_POLICY_DEBUG         (1ull << 0)
#define IGVM_TDX_POLICY_SEPT_VE_DIS   (1ull << 1)
#define IGVM_TDX_POLICY_MIGRATABLE    (1ull << 2)
#define IGVM_TDX_POLICY_DEFINED_FLAGS 0x7ull

/// 0x101: launch policy; SNP: the ABI's guest policy word, TDX: IGVM_TDX_POLICY_*.
struct igvm_guest_policy {
    uint64_t policy;
    uint32_t compatibility_mask;
    uint32_t reserved; // zero
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_guest_policy) == 16, "size");

#define IGVM_RELOCATABLE_IS_VTL2    0x1u // the region describes VTL2
#define IGVM_RELOCATABLE_APPLY_PC   0x2u // RIP (PC) of the named VP and VTL moves with the region
#define IGVM_RELOCATABLE_APPLY_GDTR 0x4u // so does GDTR

/// 0x102: the host may move everything in this region by one multiple of the alignment.
struct igvm_relocatable_region {
    uint32_t compatibility_mask;
    uint16_t vp_index; // whose registers IGVM_RELOCATABLE_APPLY_* mean
    uint8_t vtl;
    uint8_t flags;                  // IGVM_RELOCATABLE_*
    uint64_t relocation_alignment;  // bytes, multiple of the page size
    uint64_t relocation_region_gpa; // multiple of the alignment
    uint64_t relocation_region_size;
    uint64_t minimum_relocation_gpa; // lowest start
    uint64_t maximum_relocation_gpa; // highest end
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_relocatable_region) == 48, "size");

/// 0x103: where the page tables are that the host fixes up after a relocation.
struct igvm_page_table_relocation {
    uint32_t compatibility_mask;
    uint16_t vp_index; // the VP whose CR3 is the root
    uint8_t vtl;
    uint8_t reserved; // zero
    uint64_t gpa;
    uint64_t size;      // bytes, with spare pages for the host
    uint64_t used_size; // bytes in use from gpa on
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_page_table_relocation) == 32, "size");

/// 0x104, 0x105: a CoRIM document, or the COSE_Sign1 over it, in file data.
struct igvm_corim_data {
    uint32_t compatibility_mask;
    uint32_t file_offset;
    uint32_t size_bytes;
    uint32_t reserved; // zero
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_corim_data) == 16, "size");

#define IGVM_CCA_POLICY_DEBUG (1ull << 0)
#define IGVM_CCA_POLICY_MEC   (1ull << 1)

/// 0x106: an Arm CCA realm's policy. An attribute bit set in both words is a contradiction.
struct igvm_cca_policy {
    uint32_t compatibility_mask;
    uint32_t reserved; // zero
    uint64_t attributes_required_zeroes;
    uint64_t attributes_required_ones;
    uint8_t hash_algorithm; // 0 SHA-256, 1 SHA-512, 2 SHA-384
    uint8_t lfa_policy;     // 0 live activation forbidden, 1 allowed
    uint8_t reserved2[6];   // zero
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_cca_policy) == 32, "size");

/// 0x301: a buffer that the host fills with parameters and then imports at a GPA.
struct igvm_parameter_area {
    uint64_t number_of_bytes;      // multiple of the page size
    uint32_t parameter_area_index; // each index once in a file
    uint32_t file_offset;          // initial contents, number_of_bytes of them; 0: zeroes
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_parameter_area) == 16, "size");

#define IGVM_PAGE_2MB        (1u << 0) // 2 MiB of data at a 2 MiB aligned GPA
#define IGVM_PAGE_UNMEASURED (1u << 1) // not part of the launch measurement
#define IGVM_PAGE_SHARED     (1u << 2) // host visible, hence not measured either

enum igvm_page_data_type {
    IGVM_PAGE_NORMAL = 0,
    IGVM_PAGE_SECRETS = 1,    // SNP: the firmware fills it at launch
    IGVM_PAGE_CPUID_DATA = 2, // SNP: the host fills it, the firmware checks it
    IGVM_PAGE_CPUID_XF = 3,   // SNP: second CPUID page
};

/// 0x302: one page to import.
struct igvm_page_data {
    uint64_t gpa;
    uint32_t compatibility_mask;
    uint32_t file_offset; // from the start of the file; 0: a page of zeroes, imported as any other
    uint32_t flags;       // IGVM_PAGE_*
    uint16_t data_type;   // enum igvm_page_data_type
    uint16_t reserved;    // zero
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_page_data) == 24, "size");

/// 0x303: import a parameter area, unmeasured, lowest page first; its index is dead from here on.
struct igvm_parameter_insert {
    uint64_t gpa;
    uint32_t compatibility_mask;
    uint32_t parameter_area_index;
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_parameter_insert) == 16, "size");

/// 0x307-0x30a, 0x30c, 0x30e-0x310, 0x312, 0x313: where the host deposits one parameter.
struct igvm_parameter {
    uint32_t parameter_area_index;
    uint32_t byte_offset; // in the area
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_parameter) == 8, "size");

/// 0x304: first registers of a VP; the only header whose content is no multiple of 8 bytes.
struct igvm_vp_context {
    uint64_t gpa; // SEV-ES, SNP: where the VMSA goes; otherwise zero
    uint32_t compatibility_mask;
    uint32_t file_offset; // of what igvm_data_defs.h describes for the platform
    uint16_t vp_index;
    uint16_t reserved; // zero
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_vp_context) == 20, "size");

#define IGVM_REQUIRED_MEMORY_VTL2_PROTECTABLE (1u << 0)

/// 0x305: the host must fail the load if there is no memory here.
struct igvm_required_memory {
    uint64_t gpa;
    uint32_t compatibility_mask;
    uint32_t number_of_bytes;
    uint32_t flags;    // IGVM_REQUIRED_MEMORY_*
    uint32_t reserved; // zero
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_required_memory) == 24, "size");

/// 0x30d: shared pages in which the guest reports errors to the host.
struct igvm_error_range {
    uint64_t gpa;
    uint32_t compatibility_mask;
    uint32_t size_bytes;
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_error_range) == 16, "size");

struct igvm_snp_signature {
    uint8_t r_comp[72];
    uint8_t s_comp[72];
} IGVM_PACKED;

struct igvm_snp_public_key {
    uint32_t curve;
    uint32_t reserved;
    uint8_t qx[72];
    uint8_t qy[72];
} IGVM_PACKED;

/// 0x30b: SNP ID block and its authentication (SEV-SNP ABI, SNP_LAUNCH_FINISH).
struct igvm_snp_id_block {
    uint32_t compatibility_mask;
    uint8_t author_key_enabled; // 1: the author fields are in use; 0: they are zero
    uint8_t reserved[3];        // zero
    uint8_t ld[48];             // expected launch digest
    uint8_t family_id[16];
    uint8_t image_id[16];
    uint32_t version;
    uint32_t guest_svn;
    uint32_t id_key_algorithm;
    uint32_t author_key_algorithm;
    struct igvm_snp_signature id_key_signature;
    struct igvm_snp_public_key id_public_key;
    struct igvm_snp_signature author_key_signature;
    struct igvm_snp_public_key author_public_key;
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_snp_id_block) == 696, "size");

/// 0x311: signed measurement for Hyper-V's VSM isolation.
struct igvm_vbs_measurement {
    uint32_t compatibility_mask;
    uint32_t version;
    uint32_t product_id;
    uint32_t module_id;
    uint32_t security_version;
    uint32_t policy_flags;
    uint32_t boot_digest_algo; // 0 none, 1 SHA-256
    uint32_t signing_algo;     // 0 none, 1 ECDSA P-384
    uint8_t boot_measurement_digest[64];
    uint8_t signature[256];
    uint8_t public_key[512];
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_vbs_measurement) == 864, "size");
