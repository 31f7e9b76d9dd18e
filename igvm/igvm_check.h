// SPDX-License-Identifier: MIT
//
// IGVM validation, internal: what the checks of the sections have to remember about earlier
// headers.
#pragma once

#include "igvm/igvm.h"

/// A relocatable or page table region, and the VP whose context it needs.
struct igvm_check_region {
    struct gpa_range range;
    uint32_t mask;
    uint32_t wants_context; // platforms of mask whose VP context has not come yet
    uint32_t type;
    uint32_t file_off;
    uint16_t vp_index;
    uint8_t vtl;
};

struct igvm_check_area {
    uint32_t idx;
    bool inserted;
    uint64_t size_bytes;
};

struct igvm_check {
    const struct igvm_file *file;
    const struct igvm_header *header; // the one under check
    struct igvm_error *error;
    int section;             // of the last header
    uint32_t platform_masks; // declared so far
    uint32_t platform_types; // bit per enum igvm_platform_type
    uint32_t policy_masks;   // platforms with a policy, and so on
    uint32_t page_table_masks;
    uint32_t corim_document_masks;
    uint32_t corim_signature_masks;
    uint32_t measurement_masks;
    struct igvm_supported_platform platforms[IGVM_MAX_PLATFORMS]; // by mask bit
    uint64_t vps[IGVM_MAX_PLATFORMS]; // by mask bit: VPs below 64 that have a context
    struct igvm_check_region regions[IGVM_MAX_REGIONS];
    uint32_t region_count;
    struct igvm_check_area areas[IGVM_MAX_PARAMETER_AREAS];
    uint32_t area_count;
};

/// Reports a rule as broken by the header under check: -EINVAL.
int igvm_check_fail(const struct igvm_check *check, enum igvm_rule rule);

/// Whether [start, start + size_bytes) ends below 2^64: 0, or GPA_WRAP is reported.
int igvm_check_range(const struct igvm_check *check, uint64_t start, uint64_t size_bytes,
                     struct gpa_range *range);

/// Whether every platform of mask has its type among types (bit per enum igvm_platform_type).
bool igvm_check_types(const struct igvm_check *check, uint32_t mask, uint32_t types);

/// The rules of one section, for a header whose fields igvm_check.c has found sound one by one.
int igvm_check_init(struct igvm_check *check);
int igvm_check_directive(struct igvm_check *check);
int igvm_check_vp_context(struct igvm_check *check);
