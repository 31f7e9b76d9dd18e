// SPDX-License-Identifier: MIT
//
// Switching a VP between VTL0 and VTL2 (TLFS, "VTL Entry", "VTL Return", "VTL Private State", "VTL
// Shared State") and the register page that saves VTL2 hypercalls.
//
// Shared and moved here: CR2, DR6. Shared and left where they are: general registers but RSP,
// DR0-3, x87, SSE and AVX state, XCR0, the memory type MSRs. TSC_AUX is private but not in the
// VMCB. All else is private and is in the VMCBs.
#include "tools/minihost/vsm/internal.h"

#include <string.h>

#define MSR_TSC_AUX     0xc0000103u
#define LENGTH_VMMCALL  3u
#define VECTOR_UD       6u
#define RFLAGS_WRITABLE UINT64_C(0x3f7fd7)

static void move_shared(struct vsm_vp *vp, unsigned from, unsigned to) {
    struct svm_save *old = &vp->vtl[from].vmcb->save, *new = &vp->vtl[to].vmcb->save;
    const struct vsm_ops *ops = vp->partition->ops;

    new->cr2 = old->cr2;
    new->dr6 = old->dr6;
    if (from == VSM_PARAVISOR) { // VTL2 writes it without an exit
        vp->vtl[from].tsc_aux = ops->read_msr(MSR_TSC_AUX);
    }
    if (vp->vtl[from].tsc_aux != vp->vtl[to].tsc_aux) {
        ops->write_msr(MSR_TSC_AUX, vp->vtl[to].tsc_aux);
    }
    old->rsp = vp->gpr[VSM_RSP];
    vp->gpr[VSM_RSP] = new->rsp;
    __atomic_store_n(&vp->active_vtl, to, __ATOMIC_RELAXED);
    vp->switches++;
}

// ---- the register page -------------------------------------------------------------------------

static void fill_register_page(struct vsm_vp *vp) {
    struct hv_register_page *page = vsm_overlay_page(vp, VSM_PARAVISOR, VSM_OVERLAY_REGISTER_PAGE);
    const struct vsm_vtl *vtl0 = &vp->vtl[VSM_GUEST_VTL];
    const struct svm_save *s = &vtl0->vmcb->save;

    if (!page) {
        return;
    }
    page->version = HV_REGISTER_PAGE_VERSION;
    page->vtl = VSM_GUEST_VTL;
    page->dirty = 0;
    memcpy(page->gpr, vp->gpr, sizeof(page->gpr));
    page->rip = s->rip;
    page->rflags = s->rflags;
    vsm_hv_segment(&s->es, &page->es);
    vsm_hv_segment(&s->cs, &page->cs);
    vsm_hv_segment(&s->ss, &page->ss);
    vsm_hv_segment(&s->ds, &page->ds);
    vsm_hv_segment(&s->fs, &page->fs);
    vsm_hv_segment(&s->gs, &page->gs);
    page->cr0 = s->cr0;
    page->cr3 = s->cr3;
    page->cr4 = s->cr4;
    page->cr8 = hv_lapic_cr8(&vtl0->lapic);
    page->efer = s->efer & ~(uint64_t)SVM_EFER_SVME;
    page->dr7 = s->dr7;
    page->pending_interruption = vsm_event_to_pending(vp->reinject);
    page->interrupt_state =
        (vtl0->vmcb->control.interrupt_shadow & 1 ? HV_INTERRUPT_STATE_SHADOW : 0) |
        (vp->nmi_masked ? HV_INTERRUPT_STATE_NMI_MASKED : 0);
    page->is_valid = 1;
}

/// Takes over what VTL2 changed; the copies are checked as SetVpRegisters checks them. RAX and RCX
/// come from the VP assist page, the other shared registers from the registers themselves.
static void apply_register_page(struct vsm_vp *vp) {
    struct hv_register_page *page = vsm_overlay_page(vp, VSM_PARAVISOR, VSM_OVERLAY_REGISTER_PAGE);
    struct svm_vmcb *vmcb = vp->vtl[VSM_GUEST_VTL].vmcb;
    struct svm_save *s = &vmcb->save;
    uint32_t dirty;

    if (!page) {
        return;
    }
    dirty = page->is_valid ? page->dirty : 0;
    page->is_valid = 0;
    page->dirty = 0;
    if (dirty & HV_REGISTER_PAGE_DIRTY_GPR) {
        s->rsp = page->gpr[VSM_RSP];
    }
    if (dirty & HV_REGISTER_PAGE_DIRTY_RIP) {
        s->rip = page->rip;
        vmcb->control.interrupt_shadow = 0;
    }
    if (dirty & HV_REGISTER_PAGE_DIRTY_RFLAGS) {
        s->rflags = (page->rflags & RFLAGS_WRITABLE) | 2;
    }
    if (dirty & HV_REGISTER_PAGE_DIRTY_SEGMENTS) {
        vsm_svm_segment(&page->es, &s->es);
        vsm_svm_segment(&page->cs, &s->cs);
        vsm_svm_segment(&page->ss, &s->ss);
        vsm_svm_segment(&page->ds, &s->ds);
        vsm_svm_segment(&page->fs, &s->fs);
        vsm_svm_segment(&page->gs, &s->gs);
    }
}

// ---- entry and return --------------------------------------------------------------------------

enum vsm_next vsm_enter_vtl2(struct vsm_vp *vp, enum hv_vtl_entry_reason reason) {
    struct hv_vp_assist_page *assist = vsm_overlay_page(vp, VSM_PARAVISOR, VSM_OVERLAY_ASSIST);

    if (!assist) {
        return vsm_fail(vp, "VTL0 stopped, but VTL2 has no VP assist page to be told in");
    }
    assist->vtl_entry_reason = (uint32_t)reason;
    fill_register_page(vp);
    move_shared(vp, VSM_GUEST_VTL, VSM_PARAVISOR);
    return VSM_RUN;
}

static void run_return_actions(struct vsm_vp *vp, struct hv_vp_assist_page *assist) {
    struct vsm_partition *partition = vp->partition;

    for (unsigned i = 0; i < HV_RETURN_ACTION_COUNT; i++) {
        struct hv_return_action action = assist->return_actions[i]; // fetched once

        if (action.type != HV_RETURN_ACTION_SIGNAL_EVENT) {
            break;
        }
        assist->return_actions[i].type = HV_RETURN_ACTION_NONE;
        if (action.vp_index == HV_VP_INDEX_SELF) {
            action.vp_index = vp->index;
        }
        if (action.vp_index < partition->vp_count && action.vtl == VSM_GUEST_VTL &&
            action.sint < HV_SINT_COUNT && action.flag_number < HV_EVENT_FLAG_COUNT) {
            struct vsm_mail mail = {.sint = action.sint, .flag = action.flag_number};

            // No room means that this VP has not run for eight signals: events are level-like, and
            // the guest looks at all flags of a SINT when it does run.
            (void)vsm_send_mail(&partition->vps[action.vp_index], &mail);
        }
    }
}

enum vsm_next vsm_vtl_return(struct vsm_vp *vp) {
    struct hv_vp_assist_page *assist = vsm_overlay_page(vp, VSM_PARAVISOR, VSM_OVERLAY_ASSIST);
    bool is_fast = vp->gpr[VSM_RAX] & 1;

    if (vp->gpr[VSM_RCX] != HV_CALL_VTL_RETURN || !assist) {
        vsm_inject_exception(vp, VECTOR_UD, false, 0, 0);
        return VSM_RUN;
    }
    vsm_skip(vp, LENGTH_VMMCALL);
    if (!is_fast) {
        vp->gpr[VSM_RAX] = assist->vtl_return_rax;
        vp->gpr[VSM_RCX] = assist->vtl_return_rcx;
    }
    move_shared(vp, VSM_PARAVISOR, VSM_GUEST_VTL);
    // Pairs with the fence in vsm_kick_vtl0(): who saw VTL2 active left its message before this,
    // and vsm_prepare_vtl0() finds it.
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (vp->reg_page_msr & HV_MSR_PAGE_ENABLE) {
        uint64_t rsp = vp->gpr[VSM_RSP];

        vp->vtl[VSM_GUEST_VTL].vmcb->save.rsp = rsp;
        apply_register_page(vp);
        vp->gpr[VSM_RSP] = vp->vtl[VSM_GUEST_VTL].vmcb->save.rsp;
    }
    run_return_actions(vp, assist);
    if (vp->pending_event && (vp->pending_event & SVM_EVENT_VECTOR_MASK) == 14 &&
        (vp->pending_event & SVM_EVENT_TYPE_MASK) == SVM_EVENT_TYPE_EXCEPTION) {
        vp->vtl[VSM_GUEST_VTL].vmcb->save.cr2 = vp->event_cr2;
    }
    return VSM_RUN;
}
