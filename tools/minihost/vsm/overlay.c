// SPDX-License-Identifier: MIT
//
// Overlay pages: the hypervisor's own pages, laid over guest memory where the guest wants them
// (TLFS, "GPA Overlay Pages"). What lies under one stays as it was and comes back.
//
// Where several were put at one place, the kind that stands first in enum vsm_overlay_kind shows.
#include "tools/minihost/vsm/internal.h"

#include <errno.h>

#define MAX_GPA (UINT64_C(1) << 48)

/// Hypercall and reference TSC page belong to the partition: VP 0 keeps them.
static struct vsm_vp *owner_of(struct vsm_vp *vp, enum vsm_overlay_kind kind) {
    return kind == VSM_OVERLAY_HYPERCALL || kind == VSM_OVERLAY_REFERENCE_TSC
               ? &vp->partition->vps[0]
               : vp;
}

/// The page that shows at gpa in a VTL's view, or NULL.
static void *top_overlay(struct vsm_partition *partition, unsigned vtl, uint64_t gpa) {
    for (unsigned kind = 0; kind < VSM_OVERLAY_KINDS; kind++) {
        for (uint32_t i = 0; i < partition->vp_count; i++) {
            const struct vsm_overlay *o = &partition->vps[i].vtl[vtl].overlay[kind];

            if (o->enabled && o->gpa == gpa) {
                return o->page;
            }
        }
    }
    return NULL;
}

int vsm_overlay_set(struct vsm_vp *vp, unsigned vtl, enum vsm_overlay_kind kind, bool enabled,
                    uint64_t gpa) {
    struct vsm_partition *partition = vp->partition;
    struct vsm_overlay *overlay = &owner_of(vp, kind)->vtl[vtl].overlay[kind];
    struct vsm_overlay before;
    int rc = 0;

    if (!is_aligned(gpa, PAGE_SIZE_4K) || (enabled && gpa >= MAX_GPA)) {
        return -EINVAL;
    }
    // Elsewhere each one would cost a table, of which a guest could use up all.
    if (enabled && vtl == VSM_GUEST_VTL &&
        !partition->ops->memory(partition, VSM_PARAVISOR, gpa, PAGE_SIZE_4K, false)) {
        return -EINVAL;
    }
    spin_lock(&partition->lock);
    before = *overlay;
    if (before.enabled == enabled && (!enabled || before.gpa == gpa)) {
        goto out;
    }
    overlay->enabled = enabled;
    overlay->gpa = gpa;
    if (enabled) {
        rc = partition->ops->overlay(partition, vtl, gpa, top_overlay(partition, vtl, gpa));
        if (rc) {
            *overlay = before;
            goto out;
        }
    }
    if (before.enabled && (!enabled || before.gpa != gpa)) {
        // Giving a place back needs no table that is not there already.
        (void)partition->ops->overlay(partition, vtl, before.gpa,
                                      top_overlay(partition, vtl, before.gpa));
    }
out:
    spin_unlock(&partition->lock);
    if (rc == 0) {
        vp->partition->ops->flush(vp, vtl);
    }
    return rc;
}

void *vsm_overlay_page(struct vsm_vp *vp, unsigned vtl, enum vsm_overlay_kind kind) {
    const struct vsm_overlay *overlay = &owner_of(vp, kind)->vtl[vtl].overlay[kind];

    return overlay->enabled ? overlay->page : NULL;
}
