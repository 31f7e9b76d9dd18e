// SPDX-License-Identifier: MIT
//
// IGVM validation: initialization headers (policies, relocation, CoRIM).

#include "igvm/igvm_check.h"

#define TYPE_BIT(type) (1u << IGVM_PLATFORM_##type)

/// Notes that the platforms of mask have a header of this kind; a second one breaks rule.
static int only_once(const struct igvm_check *check, uint32_t *seen, uint32_t mask,
                     enum igvm_rule rule) {
    if ((*seen & mask) != 0) {
        return igvm_check_fail(check, rule);
    }
    *seen |= mask;
    return 0;
}

static int check_guest_policy(struct igvm_check *check) {
    const struct igvm_guest_policy *policy = &check->header->u.guest_policy;
    const uint32_t mask = policy->compatibility_mask;
    const uint32_t sev_types = TYPE_BIT(SEV) | TYPE_BIT(SEV_ES) | TYPE_BIT(SEV_SNP);

    // The policy words differ, so one header serves either TDX or AMD platforms.
    if (igvm_check_types(check, mask, TYPE_BIT(TDX))) {
        if ((policy->policy & ~IGVM_TDX_POLICY_DEFINED_FLAGS) != 0) {
            return igvm_check_fail(check, IGVM_RULE_POLICY_BITS);
        }
    } else if (!igvm_check_types(check, mask, sev_types)) {
        return igvm_check_fail(check, IGVM_RULE_POLICY_PLATFORM);
    } else if (igvm_check_types(check, mask, TYPE_BIT(SEV_SNP)) &&
               (policy->policy & IGVM_SNP_POLICY_MUST_BE_ONE) == 0) {
        return igvm_check_fail(check, IGVM_RULE_POLICY_BITS);
    }
    return only_once(check, &check->policy_masks, mask, IGVM_RULE_POLICY_DUPLICATE);
}

static int check_cca_policy(struct igvm_check *check) {
    const struct igvm_cca_policy *policy = &check->header->u.cca_policy;

    if (!igvm_check_types(check, policy->compatibility_mask, TYPE_BIT(CCA))) {
        return igvm_check_fail(check, IGVM_RULE_POLICY_PLATFORM);
    }
    if ((policy->attributes_required_zeroes & policy->attributes_required_ones) != 0) {
        return igvm_check_fail(check, IGVM_RULE_POLICY_CONFLICT);
    }
    return only_once(check, &check->policy_masks, policy->compatibility_mask,
                     IGVM_RULE_POLICY_DUPLICATE);
}

/// Remembers a region after comparing it with the earlier ones of the same platforms.
static int add_region(struct igvm_check *check, const struct igvm_check_region *region) {
    for (uint32_t i = 0; i < check->region_count; i++) {
        if ((check->regions[i].mask & region->mask) != 0 &&
            gpa_ranges_overlap(check->regions[i].range, region->range)) {
            return igvm_check_fail(check, IGVM_RULE_RELOCATION_OVERLAP);
        }
    }
    if (check->region_count == IGVM_MAX_REGIONS) {
        return igvm_check_fail(check, IGVM_RULE_RELOCATION_LIMIT);
    }
    check->regions[check->region_count++] = *region;
    return 0;
}

static int check_relocatable(struct igvm_check *check) {
    const struct igvm_relocatable_region *reloc = &check->header->u.relocatable_region;
    const uint64_t align = reloc->relocation_alignment; // not zero: a field of role SIZE
    const uint8_t registers = IGVM_RELOCATABLE_APPLY_PC | IGVM_RELOCATABLE_APPLY_GDTR;
    struct igvm_check_region region = {
        .mask = reloc->compatibility_mask,
        .wants_context = (reloc->flags & registers) != 0 ? reloc->compatibility_mask : 0,
        .type = check->header->type,
        .file_off = check->header->file_off,
        .vp_index = reloc->vp_index,
        .vtl = reloc->vtl,
    };
    struct gpa_range lowest;

    if (reloc->relocation_region_gpa % align != 0 || reloc->minimum_relocation_gpa % align != 0 ||
        reloc->maximum_relocation_gpa % align != 0) {
        return igvm_check_fail(check, IGVM_RULE_RELOCATION_ALIGNMENT);
    }
    if (igvm_check_range(check, reloc->relocation_region_gpa, reloc->relocation_region_size,
                         &region.range) != 0 ||
        igvm_check_range(check, reloc->minimum_relocation_gpa, reloc->relocation_region_size,
                         &lowest) != 0) {
        return igvm_check_fail(check, IGVM_RULE_GPA_WRAP);
    }
    if (lowest.end > reloc->maximum_relocation_gpa) {
        return igvm_check_fail(check, IGVM_RULE_RELOCATION_BOUNDS);
    }
    return add_region(check, &region);
}

static int check_page_table(struct igvm_check *check) {
    const struct igvm_page_table_relocation *table = &check->header->u.page_table_relocation;
    struct igvm_check_region region = {
        .mask = table->compatibility_mask,
        .wants_context = table->compatibility_mask,
        .type = check->header->type,
        .file_off = check->header->file_off,
        .vp_index = table->vp_index,
        .vtl = table->vtl,
    };
    int rc = igvm_check_range(check, table->gpa, table->size, &region.range);

    if (rc != 0) {
        return rc;
    }
    if (!is_aligned(table->used_size, check->file->page_size_bytes)) {
        return igvm_check_fail(check, IGVM_RULE_SIZE_ALIGNMENT);
    }
    if (table->used_size > table->size) {
        return igvm_check_fail(check, IGVM_RULE_PAGE_TABLE_USED);
    }
    rc = only_once(check, &check->page_table_masks, table->compatibility_mask,
                   IGVM_RULE_PAGE_TABLE_DUPLICATE);
    return rc != 0 ? rc : add_region(check, &region);
}

static int check_corim(struct igvm_check *check) {
    const struct igvm_corim_data *corim = &check->header->u.corim;
    const bool is_signature = check->header->type == IGVM_VHT_CORIM_SIGNATURE;
    const uint8_t *data;
    uint64_t size_bytes;

    // There is no meaning for "no data" here: offset zero is as wrong as one past the end.
    if (corim->size_bytes == 0 ||
        igvm_header_data(check->file, check->header, &data, &size_bytes) != 0 || data == NULL) {
        return igvm_check_fail(check, IGVM_RULE_FILE_DATA);
    }
    if (is_signature && (corim->compatibility_mask & ~check->corim_document_masks) != 0) {
        return igvm_check_fail(check, IGVM_RULE_CORIM_ORDER);
    }
    return only_once(check,
                     is_signature ? &check->corim_signature_masks : &check->corim_document_masks,
                     corim->compatibility_mask, IGVM_RULE_CORIM_DUPLICATE);
}

int igvm_check_init(struct igvm_check *check) {
    switch (check->header->type) {
    case IGVM_VHT_GUEST_POLICY:
        return check_guest_policy(check);
    case IGVM_VHT_CCA_POLICY:
        return check_cca_policy(check);
    case IGVM_VHT_RELOCATABLE_REGION:
        return check_relocatable(check);
    case IGVM_VHT_PAGE_TABLE_RELOCATION_REGION:
        return check_page_table(check);
    case IGVM_VHT_CORIM_DOCUMENT:
    case IGVM_VHT_CORIM_SIGNATURE:
        return check_corim(check);
    default:
        return 0;
    }
}
