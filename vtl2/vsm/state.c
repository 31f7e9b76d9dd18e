// SPDX-License-Identifier: MIT
//
// Small changes to VTL0 after an exit: instruction pointer, flags, interrupt shadow, exceptions.
// The register page spares a hypercall per exit where the hypervisor offers one: it applies what is
// marked dirty there at the VTL return (TLFS, "Register page").
#include "vtl2/vsm/internal.h"

#include <errno.h>

#define VECTOR_DB   1u
#define DR6_BS      UINT64_C(0x4000)
#define RIP_MASK_32 UINT64_C(0xffffffff)

int vsm_set_rip(struct vp *vp, uint64_t rip) {
    if (vp->page_fresh) {
        vp->registers->rip = rip;
        vp->registers->dirty |= HV_REGISTER_PAGE_DIRTY_RIP;
        return 0;
    }
    return vsm_set_u64(vp->partition, HV_REGISTER_RIP, rip);
}

int vsm_set_rflags(struct vp *vp, uint64_t rflags) {
    if (vp->page_fresh) {
        vp->registers->rflags = rflags;
        vp->registers->dirty |= HV_REGISTER_PAGE_DIRTY_RFLAGS;
        return 0;
    }
    return vsm_set_u64(vp->partition, HV_REGISTER_RFLAGS, rflags);
}

int vsm_flush_page(struct vp *vp) {
    uint32_t dirty;
    int result = 0;

    if (vp->registers == NULL || !vp->page_fresh) {
        return 0;
    }
    dirty = vp->registers->dirty;
    vp->registers->dirty = 0;
    vp->page_fresh = false;
    if (dirty & HV_REGISTER_PAGE_DIRTY_RIP) {
        result = vsm_set_u64(vp->partition, HV_REGISTER_RIP, vp->registers->rip);
    }
    if (result == 0 && (dirty & HV_REGISTER_PAGE_DIRTY_RFLAGS)) {
        result = vsm_set_u64(vp->partition, HV_REGISTER_RFLAGS, vp->registers->rflags);
    }
    return result;
}

static int end_shadow(struct vp *vp) {
    const uint32_t name = HV_REGISTER_INTERRUPT_STATE;
    struct hv_register_value value = {0};
    int result = vsm_get(vp->partition, HV_VP_INDEX_SELF, &name, &value, 1);

    if (result == 0 && (value.low & HV_INTERRUPT_STATE_SHADOW)) {
        result = vsm_set_u64(vp->partition, name, value.low & ~HV_INTERRUPT_STATE_SHADOW);
    }
    return result;
}

int vsm_complete(struct vp *vp, uint64_t rip, bool single_step) {
    int result = vsm_set_rip(vp, vp->event.is_long ? rip : rip & RIP_MASK_32);

    if (result == 0 && vp->event.interrupt_shadow) {
        result = end_shadow(vp);
    }
    if (result == 0 && single_step) {
        result = vsm_inject(vp, VECTOR_DB, false, 0, DR6_BS);
    }
    return result;
}

/// Sets the 128-bit register of the event that the next entry delivers.
static int set_event(struct vp *vp, uint64_t low, uint64_t high) {
    const struct hv_register_assoc assoc = {
        .name = HV_REGISTER_PENDING_EVENT0,
        .value = {.low = low, .high = high},
    };
    struct mshv_vp_registers arguments = {.count = 1, .registers = (uintptr_t)&assoc};

    return vsm_ioctl(vp->partition->vtl_fd, MSHV_SET_VP_REGISTERS, &arguments);
}

int vsm_inject(struct vp *vp, uint8_t vector, bool has_error_code, uint32_t error_code,
               uint64_t parameter) {
    uint64_t low = HV_EVENT_PENDING | HV_EVENT_KIND_EXCEPTION << HV_EVENT_KIND_SHIFT |
                   (uint64_t)vector << HV_EVENT_EXC_VECTOR_SHIFT;

    if (has_error_code) {
        low |= HV_EVENT_EXC_ERROR_VALID | (uint64_t)error_code << HV_EVENT_EXC_ERROR_SHIFT;
    }
    return set_event(vp, low, parameter);
}

int vsm_extint_inject(struct vp *vp, uint8_t vector) {
    return set_event(vp,
                     HV_EVENT_PENDING | HV_EVENT_KIND_EXTINT << HV_EVENT_KIND_SHIFT |
                         (uint64_t)vector << HV_EVENT_EXTINT_SHIFT,
                     0);
}
