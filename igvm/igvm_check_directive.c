// SPDX-License-Identifier: MIT
//
// IGVM validation: directives (pages, parameter areas, VP contexts, measurements).

#include "igvm/igvm_check.h"

#include "igvm/igvm_desc.h"
#include "igvm/igvm_vp.h"

#include <errno.h>

#define TYPE_BIT(type) (1u << IGVM_PLATFORM_##type)

static int check_page_data(const struct igvm_check *check) {
    const struct igvm_page_data *page = &check->header->u.page_data;
    const uint8_t *data;
    uint64_t size_bytes = check->file->page_size_bytes;
    struct gpa_range range;

    if ((page->flags & IGVM_PAGE_2MB) != 0) {
        size_bytes = PAGE_SIZE_2M;
        if (!is_aligned(page->gpa, PAGE_SIZE_2M)) {
            return igvm_check_fail(check, IGVM_RULE_GPA_ALIGNMENT);
        }
    }
    if (igvm_check_range(check, page->gpa, size_bytes, &range) != 0) {
        return -EINVAL;
    }
    if (igvm_header_data(check->file, check->header, &data, &size_bytes) != 0) {
        return igvm_check_fail(check, IGVM_RULE_FILE_DATA);
    }
    return 0;
}

static struct igvm_check_area *find_area(struct igvm_check *check, uint32_t idx) {
    for (uint32_t i = 0; i < check->area_count; i++) {
        if (check->areas[i].idx == idx) {
            return &check->areas[i];
        }
    }
    return NULL;
}

static int check_area(struct igvm_check *check) {
    const struct igvm_parameter_area *area = &check->header->u.parameter_area;
    const uint8_t *data;
    uint64_t size_bytes;

    if (find_area(check, area->parameter_area_index) != NULL) {
        return igvm_check_fail(check, IGVM_RULE_AREA_DUPLICATE);
    }
    if (check->area_count == IGVM_MAX_PARAMETER_AREAS) {
        return igvm_check_fail(check, IGVM_RULE_AREA_LIMIT);
    }
    if (igvm_header_data(check->file, check->header, &data, &size_bytes) != 0) {
        return igvm_check_fail(check, IGVM_RULE_FILE_DATA);
    }
    check->areas[check->area_count++] = (struct igvm_check_area){
        .idx = area->parameter_area_index,
        .inserted = false,
        .size_bytes = area->number_of_bytes,
    };
    return 0;
}

/// The area that a header uses, or NULL with the broken rule reported.
static struct igvm_check_area *usable_area(struct igvm_check *check, uint32_t idx) {
    struct igvm_check_area *area = find_area(check, idx);

    if (area == NULL) {
        igvm_check_fail(check, IGVM_RULE_AREA_UNDECLARED);
        return NULL;
    }
    if (area->inserted) {
        igvm_check_fail(check, IGVM_RULE_AREA_INSERTED);
        return NULL;
    }
    return area;
}

static int check_parameter(struct igvm_check *check) {
    const struct igvm_parameter *parameter = &check->header->u.parameter;
    const uint64_t room_bytes = check->header->desc->min_parameter_bytes;
    const struct igvm_check_area *area = usable_area(check, parameter->parameter_area_index);

    if (area == NULL) {
        return -EINVAL;
    }
    if (parameter->byte_offset > area->size_bytes ||
        area->size_bytes - parameter->byte_offset < room_bytes) {
        return igvm_check_fail(check, IGVM_RULE_AREA_ROOM);
    }
    return 0;
}

static int check_insert(struct igvm_check *check) {
    const struct igvm_parameter_insert *insert = &check->header->u.parameter_insert;
    struct igvm_check_area *area = usable_area(check, insert->parameter_area_index);
    struct gpa_range range;

    if (area == NULL || igvm_check_range(check, insert->gpa, area->size_bytes, &range) != 0) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < check->region_count; i++) {
        const struct igvm_check_region *region = &check->regions[i];

        if (region->type == IGVM_VHT_PAGE_TABLE_RELOCATION_REGION &&
            (region->mask & insert->compatibility_mask) != 0 &&
            gpa_ranges_overlap(region->range, range)) {
            return igvm_check_fail(check, IGVM_RULE_AREA_PAGE_TABLE);
        }
    }
    area->inserted = true;
    return 0;
}

static int check_required_memory(const struct igvm_check *check) {
    const struct igvm_required_memory *memory = &check->header->u.required_memory;
    struct gpa_range range;

    return igvm_check_range(check, memory->gpa, memory->number_of_bytes, &range);
}

static int check_error_range(const struct igvm_check *check) {
    const struct igvm_error_range *errors = &check->header->u.error_range;
    struct gpa_range range;

    return igvm_check_range(check, errors->gpa, errors->size_bytes, &range);
}

static int check_measurement(struct igvm_check *check, uint32_t mask) {
    if ((check->measurement_masks & mask) != 0) {
        return igvm_check_fail(check, IGVM_RULE_MEASUREMENT_DUPLICATE);
    }
    check->measurement_masks |= mask;
    return 0;
}

/// Everything from author_key_signature on, and the algorithm, belong to the author key.
static bool author_fields_are_zero(const struct igvm_snp_id_block *block) {
    const uint8_t *bytes = (const uint8_t *)block;

    for (size_t i = offsetof(struct igvm_snp_id_block, author_key_signature); i < sizeof(*block);
         i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return block->author_key_algorithm == 0;
}

static int check_snp_id_block(struct igvm_check *check) {
    const struct igvm_snp_id_block *block = &check->header->u.snp_id_block;

    if (!igvm_check_types(check, block->compatibility_mask, TYPE_BIT(SEV_SNP))) {
        return igvm_check_fail(check, IGVM_RULE_ID_BLOCK_PLATFORM);
    }
    if (block->author_key_enabled == 0 && !author_fields_are_zero(block)) {
        return igvm_check_fail(check, IGVM_RULE_ID_BLOCK_AUTHOR);
    }
    return check_measurement(check, block->compatibility_mask);
}

static int check_vbs_measurement(struct igvm_check *check) {
    const uint32_t mask = check->header->u.vbs_measurement.compatibility_mask;

    if (!igvm_check_types(check, mask, TYPE_BIT(VSM_ISOLATION))) {
        return igvm_check_fail(check, IGVM_RULE_MEASUREMENT_PLATFORM);
    }
    return check_measurement(check, mask);
}

int igvm_check_directive(struct igvm_check *check) {
    switch (check->header->type) {
    case IGVM_VHT_PAGE_DATA:
        return check_page_data(check);
    case IGVM_VHT_PARAMETER_AREA:
        return check_area(check);
    case IGVM_VHT_PARAMETER_INSERT:
        return check_insert(check);
    case IGVM_VHT_VP_CONTEXT:
        return igvm_check_vp_context(check);
    case IGVM_VHT_REQUIRED_MEMORY:
        return check_required_memory(check);
    case IGVM_VHT_ERROR_RANGE:
        return check_error_range(check);
    case IGVM_VHT_SNP_ID_BLOCK:
        return check_snp_id_block(check);
    case IGVM_VHT_VBS_MEASUREMENT:
        return check_vbs_measurement(check);
    default:
        return check->header->desc->min_parameter_bytes != 0 ? check_parameter(check) : 0;
    }
}
