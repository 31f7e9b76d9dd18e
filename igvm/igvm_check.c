// SPDX-License-Identifier: MIT
//
// IGVM validation: order of headers, the rules that follow from a field's role, and platforms.

#include "igvm/igvm_check.h"

#include "igvm/igvm_desc.h"

#include <errno.h>

int igvm_check_fail(const struct igvm_check *check, enum igvm_rule rule) {
    return igvm_fail(check->error, rule, check->header->type, check->header->file_off);
}

int igvm_check_range(const struct igvm_check *check, uint64_t start, uint64_t size_bytes,
                     struct gpa_range *range) {
    range->start = start;
    if (__builtin_add_overflow(start, size_bytes, &range->end)) {
        return igvm_check_fail(check, IGVM_RULE_GPA_WRAP);
    }
    return 0;
}

bool igvm_check_types(const struct igvm_check *check, uint32_t mask, uint32_t types) {
    for (uint32_t bit = 0; bit < IGVM_MAX_PLATFORMS; bit++) {
        if ((mask >> bit & 1) != 0 && (types >> check->platforms[bit].platform_type & 1) == 0) {
            return false;
        }
    }
    return true;
}

static bool bytes_are_zero(const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

/// A mask of a header that is not itself a platform declaration.
static enum igvm_rule mask_rule(const struct igvm_check *check, uint32_t mask) {
    if (check->header->type == IGVM_VHT_SUPPORTED_PLATFORM) {
        return IGVM_RULE_NONE;
    }
    if (mask == 0) {
        return IGVM_RULE_MASK_EMPTY;
    }
    return (mask & ~check->platform_masks) != 0 ? IGVM_RULE_MASK_UNDECLARED : IGVM_RULE_NONE;
}

/// The rule that a field's value breaks because of what the field is for.
static enum igvm_rule field_rule(const struct igvm_check *check, const struct igvm_field *field) {
    const uint8_t *content = check->header->u.raw;
    const uint64_t value = igvm_field_get(field, content);
    const uint32_t page = check->file->page_size_bytes;

    switch (field->role) {
    case IGVM_ROLE_NUMBER:
        return field->limit != 0 && value > field->limit ? IGVM_RULE_ENUMERATION : IGVM_RULE_NONE;
    case IGVM_ROLE_NAMED:
        return value >= field->limit ? IGVM_RULE_ENUMERATION : IGVM_RULE_NONE;
    case IGVM_ROLE_FLAGS:
        return (value & ~field->limit) != 0 ? IGVM_RULE_FLAGS : IGVM_RULE_NONE;
    case IGVM_ROLE_MASK:
        return mask_rule(check, (uint32_t)value);
    case IGVM_ROLE_GPA:
        return is_aligned(value, page) ? IGVM_RULE_NONE : IGVM_RULE_GPA_ALIGNMENT;
    case IGVM_ROLE_SIZE:
        if (value == 0) {
            return IGVM_RULE_SIZE_EMPTY;
        }
        return is_aligned(value, page) ? IGVM_RULE_NONE : IGVM_RULE_SIZE_ALIGNMENT;
    case IGVM_ROLE_RESERVED:
        return bytes_are_zero(content + field->off, field->size_bytes) ? IGVM_RULE_NONE
                                                                       : IGVM_RULE_RESERVED;
    case IGVM_ROLE_HEX:
    case IGVM_ROLE_FILE_OFF:
    case IGVM_ROLE_AREA:
    case IGVM_ROLE_BYTES:
        break;
    }
    return IGVM_RULE_NONE;
}

static int check_fields(const struct igvm_check *check) {
    const struct igvm_header_desc *desc = check->header->desc;

    for (size_t i = 0; i < desc->field_count; i++) {
        enum igvm_rule rule = field_rule(check, &desc->fields[i]);

        if (rule != IGVM_RULE_NONE) {
            return igvm_check_fail(check, rule);
        }
    }
    return 0;
}

/// Sections never go back; an unknown optional header counts where its number belongs to a section.
static int check_order(struct igvm_check *check) {
    const int section = igvm_section_of_type(check->header->type);

    if (section < 0) {
        return 0;
    }
    if (section < check->section) {
        return igvm_check_fail(check, IGVM_RULE_ORDER);
    }
    check->section = section;
    return 0;
}

static int check_platform(struct igvm_check *check) {
    const struct igvm_supported_platform *platform = &check->header->u.supported_platform;
    const uint32_t mask = platform->compatibility_mask;
    const uint32_t type_bit = 1u << platform->platform_type; // a defined type: below 7
    const bool is_cca = platform->platform_type == IGVM_PLATFORM_CCA;
    const bool is_vsm = platform->platform_type == IGVM_PLATFORM_VSM_ISOLATION;
    const bool is_plain = is_vsm || platform->platform_type == IGVM_PLATFORM_NATIVE;

    if (mask == 0 || (mask & (mask - 1)) != 0) {
        return igvm_check_fail(check, IGVM_RULE_PLATFORM_MASK);
    }
    if ((check->platform_masks & mask) != 0 || (check->platform_types & type_bit) != 0) {
        return igvm_check_fail(check, IGVM_RULE_PLATFORM_DUPLICATE);
    }
    if (platform->highest_vtl == 1) {
        return igvm_check_fail(check, IGVM_RULE_PLATFORM_VTL);
    }
    if (platform->platform_version != IGVM_PLATFORM_VERSION) {
        return igvm_check_fail(check, IGVM_RULE_PLATFORM_VERSION);
    }
    if (!is_vsm && is_cca != (check->file->architecture == IGVM_ARCH_AARCH64)) {
        return igvm_check_fail(check, IGVM_RULE_PLATFORM_ARCHITECTURE);
    }
    if (is_plain && platform->shared_gpa_boundary != 0) {
        return igvm_check_fail(check, IGVM_RULE_PLATFORM_BOUNDARY);
    }
    check->platform_masks |= mask;
    check->platform_types |= type_bit;
    check->platforms[__builtin_ctz(mask)] = *platform;
    return 0;
}

/// After the last header: what is still missing.
static int check_end(const struct igvm_check *check) {
    if (check->platform_masks == 0) {
        return igvm_fail(check->error, IGVM_RULE_PLATFORM_MISSING, 0, check->file->headers_off);
    }
    for (uint32_t i = 0; i < check->region_count; i++) {
        const struct igvm_check_region *region = &check->regions[i];

        if (region->wants_context != 0) {
            return igvm_fail(check->error, IGVM_RULE_RELOCATION_CONTEXT, region->type,
                             region->file_off);
        }
    }
    return 0;
}

static int check_header(struct igvm_check *check) {
    int rc = check_order(check);

    if (rc != 0 || check->header->desc == NULL) {
        return rc;
    }
    rc = check_fields(check);
    if (rc != 0) {
        return rc;
    }
    switch (check->header->desc->section) {
    case IGVM_SECTION_PLATFORM:
        return check_platform(check);
    case IGVM_SECTION_INIT:
        return igvm_check_init(check);
    case IGVM_SECTION_DIRECTIVE:
        return igvm_check_directive(check);
    }
    return 0;
}

int igvm_validate(const struct igvm_file *file, struct igvm_error *error) {
    struct igvm_iter iter = igvm_iter_start(file);
    struct igvm_header header;
    struct igvm_check check = {.file = file, .header = &header, .error = error};
    int rc;

    while ((rc = igvm_iter_next(&iter, &header, error)) > 0) {
        rc = check_header(&check);
        if (rc != 0) {
            return rc;
        }
    }
    return rc != 0 ? rc : check_end(&check);
}
