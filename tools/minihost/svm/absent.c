// SPDX-License-Identifier: MIT
//
// Stands in for vsm/ until it is linked: the partition stops at its first entry.

#include "tools/minihost/vsm/vsm.h"

#define WEAK __attribute__((weak))

WEAK void vsm_init(struct vsm_partition *partition) {
    partition->ops->log("vsm: the partition is not there yet");
}

WEAK int vsm_set_initial_register(struct vsm_vp *vp, uint32_t name,
                                  const struct hv_register_value *value) {
    (void)vp;
    (void)name;
    (void)value;
    return 0;
}

WEAK enum vsm_next vsm_handle_exit(struct vsm_vp *vp) {
    (void)vp;
    return VSM_STOP;
}

WEAK enum vsm_next vsm_before_entry(struct vsm_vp *vp) {
    (void)vp;
    return VSM_STOP;
}

WEAK enum vsm_next vsm_woken(struct vsm_vp *vp, bool physical_pending) {
    (void)vp;
    (void)physical_pending;
    return VSM_STOP;
}

WEAK uint64_t vsm_deadline(const struct vsm_vp *vp) {
    (void)vp;
    return UINT64_MAX;
}
