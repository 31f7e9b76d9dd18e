// SPDX-License-Identifier: MIT
//
// IGVM validation: VP contexts, against the platforms they are for and the regions that need them.

#include "igvm/igvm_check.h"

#include "igvm/igvm_vp.h"

#include <errno.h>

/// One context per VP and platform. VPs from 64 on are not told apart: work and memory stay
/// bounded, and only their loader suffers from a duplicate.
static int note_vp(struct igvm_check *check, uint32_t bit, uint16_t vp_index) {
    const uint64_t vp_bit = vp_index < 64 ? 1ull << vp_index : 0;

    if ((check->vps[bit] & vp_bit) != 0) {
        return igvm_check_fail(check, IGVM_RULE_CONTEXT_DUPLICATE);
    }
    check->vps[bit] |= vp_bit;
    return 0;
}

/// Ticks off the regions that were waiting for this VP and VTL on this platform.
static void satisfy_regions(struct igvm_check *check, uint32_t bit, const struct igvm_vp *vp) {
    for (uint32_t i = 0; i < check->region_count; i++) {
        struct igvm_check_region *region = &check->regions[i];

        if (region->vp_index == vp->vp_index && region->vtl == vp->vtl) {
            region->wants_context &= ~(1u << bit);
        }
    }
}

/// One platform's view of the context; format is what the platforms before it in the mask have.
static int check_one(struct igvm_check *check, uint32_t bit, enum igvm_vp_format *format) {
    const struct igvm_supported_platform *platform = &check->platforms[bit];
    const enum igvm_vp_format own = igvm_vp_format(platform->platform_type);
    struct gpa_range range;
    struct igvm_vp vp;

    // A format's architecture needs no rule of its own: its platforms exist on that one only.
    if (own == IGVM_VP_FORMAT_NATIVE && check->file->format_version < IGVM_FORMAT_VERSION_2) {
        return igvm_check_fail(check, IGVM_RULE_CONTEXT_VERSION);
    }
    if (*format != IGVM_VP_FORMAT_NONE && *format != own) {
        return igvm_check_fail(check, IGVM_RULE_CONTEXT_PLATFORM);
    }
    *format = own;
    if (igvm_vp_read(check->file, check->header, platform, &vp, check->error) != 0 ||
        igvm_check_range(check, vp.vmsa_gpa.value, IGVM_VP_CONTEXT_BYTES, &range) != 0 ||
        note_vp(check, bit, vp.vp_index) != 0) {
        return -EINVAL;
    }
    satisfy_regions(check, bit, &vp);
    return 0;
}

int igvm_check_vp_context(struct igvm_check *check) {
    const uint32_t mask = check->header->u.vp_context.compatibility_mask;
    enum igvm_vp_format format = IGVM_VP_FORMAT_NONE;

    for (uint32_t bit = 0; bit < IGVM_MAX_PLATFORMS; bit++) {
        if ((mask >> bit & 1) != 0 && check_one(check, bit, &format) != 0) {
            return -EINVAL;
        }
    }
    return 0;
}
