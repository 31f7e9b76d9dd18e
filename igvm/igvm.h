// SPDX-License-Identifier: MIT
//
// IGVM reader: a view over a file in memory, a bounded walk over its headers, and its validation.
//
// Pure: no allocation, no I/O, nothing but memcpy, memcmp and memset from outside; it runs in the
// shim, in minihost, in tools and under a fuzzer alike. The file's bytes are the caller's, must
// stay unchanged while the view is used, and are never written. All work is linear in the file's
// size.
//
//     struct igvm_file file;
//     struct igvm_error error;
//     if (igvm_open(&file, bytes, size, &error) || igvm_validate(&file, &error)) {
//         igvm_error_format(&error, line, sizeof(line));
#pragma once

#include "igvm/base/types.h"
#include "igvm/igvm_defs.h"
#include "igvm/igvm_rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IGVM_MAX_PLATFORMS       32u // bits of a compatibility mask
#define IGVM_MAX_PARAMETER_AREAS 64u // ours
#define IGVM_MAX_REGIONS         32u // ours: relocatable and page table regions

struct igvm_header_desc;

/// What is wrong with a file, and where.
struct igvm_error {
    enum igvm_rule code;
    uint32_t header_type; // IGVM_VHT_*, IGVM_VHT_INVALID for the fixed header
    uint64_t offset;      // in the file: of the header, or of the fixed header's field
    const char *rule;     // the rule broken, as a sentence; static
};

/// A view of a file whose fixed header and checksum are right; filled by igvm_open().
struct igvm_file {
    const uint8_t *bytes;
    size_t size_bytes;
    uint32_t format_version;
    uint32_t architecture; // enum igvm_architecture
    uint32_t page_size_bytes;
    uint32_t headers_off; // variable headers are [headers_off, headers_end)
    uint32_t headers_end;
    uint32_t checksum;
};

/// One variable header, copied out of the file.
struct igvm_header {
    enum igvm_header_type type; // without IGVM_VHT_OPTIONAL
    bool optional;
    uint32_t file_off;                   // of its struct igvm_variable_header
    uint32_t length_bytes;               // of the content
    const struct igvm_header_desc *desc; // NULL: unknown and optional, to be skipped
    union {
        struct igvm_supported_platform supported_platform;
        struct igvm_guest_policy guest_policy;
        struct igvm_relocatable_region relocatable_region;
        struct igvm_page_table_relocation page_table_relocation;
        struct igvm_corim_data corim;
        struct igvm_cca_policy cca_policy;
        struct igvm_parameter_area parameter_area;
        struct igvm_page_data page_data;
        struct igvm_parameter_insert parameter_insert;
        struct igvm_parameter parameter;
        struct igvm_vp_context vp_context;
        struct igvm_required_memory required_memory;
        struct igvm_error_range error_range;
        struct igvm_snp_id_block snp_id_block;
        struct igvm_vbs_measurement vbs_measurement;
        uint8_t raw[sizeof(struct igvm_vbs_measurement)];
    } u;
};

/// A position in the variable headers.
struct igvm_iter {
    const struct igvm_file *file;
    uint32_t off;
};

/// Checks fixed header and checksum and makes the view. -EINVAL with *error filled on a bad file.
int igvm_open(struct igvm_file *file, const void *bytes, size_t size_bytes,
              struct igvm_error *error);

/// The size that the file's own header states, for a caller whose buffer may be longer than the
/// file; 0 when there is no IGVM header or the file would be longer than the buffer.
size_t igvm_peek_size(const void *bytes, size_t size_bytes);

/// Checks everything the format demands of the variable headers and the file data they name, except
/// overlaps (igvm_find_overlap()). -EINVAL with *error filled. Needs about 6 KiB of stack.
int igvm_validate(const struct igvm_file *file, struct igvm_error *error);

/// Starts before the first header. file must outlive the iterator.
struct igvm_iter igvm_iter_start(const struct igvm_file *file);

/// Copies the next header out. 1: *header is filled; 0: there are no more; -EINVAL with *error
/// filled: the header is cut off, has a wrong length or padding, or is unknown and not optional. At
/// most one call for every 8 bytes of the header region until 0 or an error, which is then
/// repeated.
int igvm_iter_next(struct igvm_iter *iter, struct igvm_header *header, struct igvm_error *error);

/// The header's compatibility mask; all ones for a header that has none (parameters and areas).
uint32_t igvm_header_mask(const struct igvm_header *header);

/// The declaration of the platform with this mask bit or of this type. 0, or -ENOENT.
int igvm_find_platform_by_mask(const struct igvm_file *file, uint32_t mask,
                               struct igvm_supported_platform *platform);
int igvm_find_platform(const struct igvm_file *file, enum igvm_platform_type type,
                       struct igvm_supported_platform *platform);

/// The file data that a header names: *data is NULL and *size_bytes 0 when it names none (then
/// pages and areas are zeroes). 0, or -EINVAL when the range is not inside the file data.
int igvm_header_data(const struct igvm_file *file, const struct igvm_header *header,
                     const uint8_t **data, uint64_t *size_bytes);

/// One range that the file imports into guest memory; file_off is its header's.
struct igvm_extent {
    struct gpa_range range;
    uint32_t file_off;
    uint32_t header_type;
};

/// Collects what the file imports on the platform with this mask bit (pages, inserted areas, VMSAs,
/// error ranges), in file order, into extents[0, *count). -ENOSPC when capacity is too small:
/// then *count is what is needed. The file must be valid.
int igvm_collect_extents(const struct igvm_file *file, uint32_t mask, struct igvm_extent *extents,
                         size_t capacity, size_t *count);

/// Sorts the extents by address (in place, n log n) and reports the first overlap as GPA_OVERLAP at
/// the later header of the two: -EINVAL; 0 when there is none.
int igvm_find_overlap(struct igvm_extent *extents, size_t count, struct igvm_error *error);

/// "page_data at file offset 0x40: a guest-physical address is aligned …"; always terminated, cut
/// off if out is too small. Returns the length written without the terminator.
size_t igvm_error_format(const struct igvm_error *error, char *out, size_t size_bytes);

/// The sentence of a rule; for codes out of range that of IGVM_RULE_NONE.
const char *igvm_rule_text(enum igvm_rule rule);

/// For loaders: fills *error and returns -EINVAL.
int igvm_fail(struct igvm_error *error, enum igvm_rule rule, uint32_t header_type, uint64_t offset);

/// CRC-32 (IEEE 802.3, reflected) over bytes, continuing crc (0 to start).
uint32_t igvm_crc32(uint32_t crc, const void *bytes, size_t size_bytes);
