// SPDX-License-Identifier: MIT
//
// Registers about what VTL0 of a VP waits for: activity, pending events, interrupt state, local
// APIC (TLFS, "Virtual Interrupt Control").
#include "tools/minihost/vsm/internal.h"

#include <errno.h>

static uint64_t event0_from_event(uint64_t event) {
    uint64_t vector = event & SVM_EVENT_VECTOR_MASK;

    if (!(event & SVM_EVENT_VALID)) {
        return 0;
    }
    if ((event & SVM_EVENT_TYPE_MASK) == SVM_EVENT_TYPE_INTR) {
        return HV_EVENT_PENDING | HV_EVENT_KIND_EXTINT << HV_EVENT_KIND_SHIFT |
               vector << HV_EVENT_EXTINT_SHIFT;
    }
    return HV_EVENT_PENDING | vector << HV_EVENT_EXC_VECTOR_SHIFT |
           (event & SVM_EVENT_ERROR_VALID ? HV_EVENT_EXC_ERROR_VALID : 0) |
           (event >> SVM_EVENT_ERROR_SHIFT) << HV_EVENT_EXC_ERROR_SHIFT;
}

/// Exceptions that the processor can be made to deliver by event injection.
static bool can_inject_exception(uint64_t vector) {
    return vector < 31 && vector != 2;
}

static uint16_t set_event0(struct vsm_vp *vp, const struct hv_register_value *value) {
    uint64_t low = value->low, vector;

    if (!(low & HV_EVENT_PENDING)) {
        vp->pending_event = 0;
        return HV_STATUS_SUCCESS;
    }
    switch (low >> HV_EVENT_KIND_SHIFT & 7) {
    case HV_EVENT_KIND_EXTINT:
        vector = low >> HV_EVENT_EXTINT_SHIFT & 0xff;
        vp->pending_event = SVM_EVENT_VALID | SVM_EVENT_TYPE_INTR | vector;
        return HV_STATUS_SUCCESS;
    case HV_EVENT_KIND_EXCEPTION:
        vector = low >> HV_EVENT_EXC_VECTOR_SHIFT & 0xffff;
        if (!can_inject_exception(vector)) {
            return HV_STATUS_INVALID_REGISTER_VALUE;
        }
        vp->pending_event = SVM_EVENT_VALID | SVM_EVENT_TYPE_EXCEPTION | vector;
        if (low & HV_EVENT_EXC_ERROR_VALID) {
            vp->pending_event |= SVM_EVENT_ERROR_VALID | (low >> HV_EVENT_EXC_ERROR_SHIFT)
                                                             << SVM_EVENT_ERROR_SHIFT;
        }
        if (vector == 14) {
            vp->vtl[VSM_GUEST_VTL].vmcb->save.cr2 = value->high;
            vp->event_cr2 = value->high;
        }
        return HV_STATUS_SUCCESS;
    default:
        return HV_STATUS_INVALID_REGISTER_VALUE;
    }
}

static uint16_t set_activity(struct vsm_vp *vp, uint64_t low) {
    if (low &
        ~(HV_ACTIVITY_STARTUP_SUSPEND | HV_ACTIVITY_HALT_SUSPEND | HV_ACTIVITY_IDLE_SUSPEND)) {
        return HV_STATUS_INVALID_REGISTER_VALUE;
    }
    if (low & HV_ACTIVITY_STARTUP_SUSPEND) {
        vp->pending_event = 0;
        vp->reinject = 0;
        vp->deliverability = 0;
    }
    vp->halted = low & (HV_ACTIVITY_HALT_SUSPEND | HV_ACTIVITY_IDLE_SUSPEND);
    hv_lapic_set_activity(&vp->vtl[VSM_GUEST_VTL].lapic,
                          low & HV_ACTIVITY_STARTUP_SUSPEND ? HV_VP_WAIT_FOR_SIPI : HV_VP_RUNNING);
    __atomic_store_n(&vp->vtl[VSM_GUEST_VTL].running, !(low & HV_ACTIVITY_STARTUP_SUSPEND),
                     __ATOMIC_RELEASE);
    return HV_STATUS_SUCCESS;
}

/// -ENOENT: none of these.
int vsm_guest_state_get(struct vsm_vp *vp, uint32_t name, struct hv_register_value *value) {
    const struct vsm_vtl *vtl0 = &vp->vtl[VSM_GUEST_VTL];

    switch (name) {
    case HV_REGISTER_INTERNAL_ACTIVITY_STATE:
        value->low = (vtl0->running ? 0 : HV_ACTIVITY_STARTUP_SUSPEND) |
                     (vp->halted ? HV_ACTIVITY_HALT_SUSPEND : 0);
        return 0;
    case HV_REGISTER_PENDING_INTERRUPTION:
        value->low = vsm_event_to_pending(vp->reinject);
        return 0;
    case HV_REGISTER_INTERRUPT_STATE:
        value->low = (vtl0->vmcb->control.interrupt_shadow & 1 ? HV_INTERRUPT_STATE_SHADOW : 0) |
                     (vp->nmi_masked ? HV_INTERRUPT_STATE_NMI_MASKED : 0);
        return 0;
    case HV_REGISTER_PENDING_EVENT0:
        value->low = event0_from_event(vp->pending_event);
        value->high = vp->pending_event ? vp->event_cr2 : 0;
        return 0;
    case HV_REGISTER_PENDING_EVENT1:
        return 0;
    case HV_REGISTER_DELIVERABILITY_NOTIFICATIONS:
        value->low = vp->deliverability;
        return 0;
    default:
        return -ENOENT;
    }
}

/// HV_STATUS_*, or -ENOENT: none of these.
int vsm_guest_state_set(struct vsm_vp *vp, uint32_t name, const struct hv_register_value *value) {
    uint64_t event;

    switch (name) {
    case HV_REGISTER_INTERNAL_ACTIVITY_STATE:
        return set_activity(vp, value->low);
    case HV_REGISTER_PENDING_INTERRUPTION:
        if (!vsm_event_from_pending(value->low, &event)) {
            return HV_STATUS_INVALID_REGISTER_VALUE;
        }
        vp->reinject = event;
        return HV_STATUS_SUCCESS;
    case HV_REGISTER_INTERRUPT_STATE:
        vp->vtl[VSM_GUEST_VTL].vmcb->control.interrupt_shadow =
            value->low & HV_INTERRUPT_STATE_SHADOW ? 1 : 0;
        vp->nmi_masked = value->low & HV_INTERRUPT_STATE_NMI_MASKED;
        return HV_STATUS_SUCCESS;
    case HV_REGISTER_PENDING_EVENT0:
        return set_event0(vp, value);
    case HV_REGISTER_PENDING_EVENT1:
        return value->low & 1 ? HV_STATUS_INVALID_REGISTER_VALUE : HV_STATUS_SUCCESS;
    case HV_REGISTER_DELIVERABILITY_NOTIFICATIONS:
        vp->deliverability = value->low;
        return HV_STATUS_SUCCESS;
    default:
        return -ENOENT;
    }
}

// ---- the local APIC
// ------------------------------------------------------------------------------

#define APIC_TPR         0x08u
#define APIC_LDR         0x0du
#define APIC_DFR         0x0eu
#define APIC_SVR         0x0fu
#define APIC_LVT_TIMER   0x32u
#define APIC_TIMER_COUNT 0x38u ///< after the six local vector table entries
#define APIC_DIVIDE      0x3eu

/// What is configuration: commands (EOI, ICR) and status are not set from outside.
static bool is_settable(uint32_t number) {
    return number == APIC_TPR || (number >= APIC_LDR && number <= APIC_SVR) ||
           (number >= APIC_LVT_TIMER && number <= APIC_TIMER_COUNT) || number == APIC_DIVIDE;
}

static struct hv_clock now(const struct vsm_vp *vp) {
    return (struct hv_clock){.now_100ns = vp->partition->ops->now_100ns()};
}

int vsm_apic_register_get(struct vsm_vp *vp, uint32_t name, struct hv_register_value *value) {
    uint32_t number = name - HV_REGISTER_APIC_FIRST;

    if (number > HV_REGISTER_APIC_LAST - HV_REGISTER_APIC_FIRST) {
        return -ENOENT;
    }
    value->low = hv_lapic_mmio_read(&vp->vtl[VSM_GUEST_VTL].lapic, now(vp), number * 16, 4);
    return 0;
}

int vsm_apic_register_set(struct vsm_vp *vp, uint32_t name, const struct hv_register_value *value) {
    uint32_t number = name - HV_REGISTER_APIC_FIRST;

    if (number > HV_REGISTER_APIC_LAST - HV_REGISTER_APIC_FIRST) {
        return -ENOENT;
    }
    if (!is_settable(number) || value->low > UINT32_MAX) {
        return HV_STATUS_INVALID_REGISTER_VALUE;
    }
    hv_lapic_mmio_write(&vp->vtl[VSM_GUEST_VTL].lapic, now(vp), number * 16, 4, value->low);
    return 0;
}
