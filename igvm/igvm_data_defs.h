// SPDX-License-Identifier: MIT
//
// IGVM: the layouts that headers point to (VP contexts) and that a loader deposits (parameters).
//
// From the published definition of the format (crate igvm_defs of the microsoft/igvm repository).
// Little-endian, packed. "builder" is the tool that writes the file, "host" the loader that reads
// it.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define IGVM_PACKED __attribute__((packed))

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "layouts are copied as they are");

/// A VP context of the formats that have a page of their own occupies this many bytes of file data.
#define IGVM_VP_CONTEXT_BYTES 4096u

/// Bits 11:8 of a segment's attributes (the limit's upper bits in a descriptor) must be zero.
#define IGVM_SEGMENT_ATTRIBUTES_MBZ 0x0f00u

/// First registers of a VP on NATIVE and SEV. What is not listed has its architectural reset value.
/// Filled by the builder; needs format version 2. The rest of its 4 KiB of file data is zero.
struct igvm_native_vp_context_x64 {
    uint64_t rax;
    uint64_t rcx;
    uint64_t rdx;
    uint64_t rbx;
    uint64_t rsp;
    uint64_t rbp;
    uint64_t rsi;
    uint64_t rdi;
    uint64_t r8;
    uint64_t r9;
    uint64_t r10;
    uint64_t r11;
    uint64_t r12;
    uint64_t r13;
    uint64_t r14;
    uint64_t r15;
    uint64_t rip;
    uint64_t rflags;
    uint64_t idtr_base;
    uint16_t idtr_limit;
    uint16_t reserved[2]; // zero
    uint16_t gdtr_limit;
    uint64_t gdtr_base;
    uint16_t code_selector;
    uint16_t code_attributes; // descriptor bits 55:40; bits 11:8 zero
    uint32_t code_base;
    uint32_t code_limit;    // in bytes, as the hidden part of the register has it
    uint16_t data_selector; // the data segment is es, ds, ss, fs and gs at once
    uint16_t data_attributes;
    uint32_t data_base;
    uint32_t data_limit;
    uint64_t gs_base;
    uint64_t cr0;
    uint64_t cr3;
    uint64_t cr4;
    uint64_t efer;
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_native_vp_context_x64) == 232, "size");
_Static_assert(offsetof(struct igvm_native_vp_context_x64, code_selector) == 168, "offset");

/// VSM isolation: this count, then that many registers.
struct igvm_vbs_vp_context_header {
    uint32_t register_count;
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_vbs_vp_context_header) == 4, "size");

/// One register of a VSM VP context. The name stands at the odd offset 1.
struct igvm_vbs_vp_context_register {
    uint8_t vtl;            // the VTL that the register belongs to
    uint32_t register_name; // TLFS HV_REGISTER_NAME
    uint8_t mbz[11];        // zero
    uint8_t value[16];      // TLFS HV_REGISTER_VALUE
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_vbs_vp_context_register) == 0x20, "size");
_Static_assert(offsetof(struct igvm_vbs_vp_context_register, register_name) == 1, "offset");
_Static_assert(offsetof(struct igvm_vbs_vp_context_register, value) == 16, "offset");

/// Arm CCA: the measured registers of a realm execution context (RMM, RmiRecParams).
struct igvm_cca_vp_context {
    uint64_t x[8];
    uint64_t pc;
    uint64_t flags;
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_cca_vp_context) == 80, "size");

/// A range in pages, part of struct igvm_mmio_ranges.
struct igvm_memory_range {
    uint64_t starting_gpa_page_number;
    uint64_t number_of_pages;
} IGVM_PACKED;

/// What the host deposits for IGVM_VHT_MMIO_RANGES: the two largest gaps; all are in the device
/// tree.
struct igvm_mmio_ranges {
    struct igvm_memory_range ranges[2];
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_mmio_ranges) == 32, "size");

enum igvm_memory_type {
    IGVM_MEMORY_NORMAL = 0,
    IGVM_MEMORY_PLATFORM_RESERVED = 1,
    IGVM_MEMORY_PERSISTENT = 2,
    IGVM_MEMORY_VTL2_PROTECTABLE = 3,
    IGVM_MEMORY_SPECIFIC_PURPOSE = 4,
    IGVM_MEMORY_HIDDEN = 5,
};

/// One entry of IGVM_VHT_MEMORY_MAP, deposited by the host: ascending, ended by an entry of no
/// pages.
struct igvm_memory_map_entry {
    uint64_t starting_gpa_page_number;
    uint64_t number_of_pages;
    uint16_t entry_type; // enum igvm_memory_type
    uint16_t flags;
    uint32_t reserved;
} IGVM_PACKED;
_Static_assert(sizeof(struct igvm_memory_map_entry) == 24, "size");

/// The u32 that the host deposits for IGVM_VHT_ENVIRONMENT_INFO_PARAMETER.
#define IGVM_ENVIRONMENT_MEMORY_IS_SHARED (1u << 0)

/// Device tree: property of a memory node, a u32 of enum igvm_memory_type.
#define IGVM_DT_IGVM_TYPE_PROPERTY "microsoft,igvm-type"
/// Device tree: property of a VMBus root, the VTL it belongs to, a u32.
#define IGVM_DT_VTL_PROPERTY "microsoft,vtl"
