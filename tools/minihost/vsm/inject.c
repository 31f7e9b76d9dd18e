// SPDX-License-Identifier: MIT
//
// What VTL0 is given at its next entry: exceptions and interrupts of VTL2 and of VTL0's own local
// APIC, start-up, waking from HLT (TLFS, "Virtual Interrupt Control"; AMD APM vol. 2, 15.20).
//
// One event fits an entry; for the rest a window is asked for: a virtual interrupt that is
// intercepted (exit VINTR) as soon as VTL0 could take one.
//
// QEMU: an interrupt whose delivery an exit broke off is recorded as an exception with a vector
// above 31; the interrupt shadow is lost by an entry; V_IRQ and writes of CR8 do not go together
// (cr8.c).
#include "tools/minihost/vsm/internal.h"

#include "tools/minihost/vsm/vtl0_apic.h"

#include <errno.h>

#define RFLAGS_IF         (UINT64_C(1) << 9)
#define OPCODE_HLT        0xf4u
#define LENGTH_HLT        1u
#define FIRST_USER_VECTOR 32u
#define VECTOR_NMI        2u
#define LAST_EXCEPTION    31u
#define WINDOW_PRIORITY   15u

void vsm_inject_exception(struct vsm_vp *vp, uint8_t vector, bool has_error_code,
                          uint32_t error_code, uint64_t cr2) {
    struct svm_vmcb *vmcb = vp->vtl[vp->active_vtl].vmcb;
    uint64_t event = SVM_EVENT_VALID | SVM_EVENT_TYPE_EXCEPTION | vector;

    if (has_error_code) {
        event |= SVM_EVENT_ERROR_VALID | (uint64_t)error_code << SVM_EVENT_ERROR_SHIFT;
    }
    if (vector == 14) {
        vmcb->save.cr2 = cr2;
    }
    if (vp->active_vtl == VSM_PARAVISOR) {
        vmcb->control.event_injection = event;
    } else {
        vp->pending_event = event;
        vp->event_cr2 = cr2;
    }
}

bool vsm_event_from_pending(uint64_t pending, uint64_t *event) {
    uint64_t vector = pending >> HV_PENDING_VECTOR_SHIFT & 0xffff;

    *event = 0;
    if (!(pending & HV_PENDING_INTERRUPTION)) {
        return true;
    }
    switch (pending >> HV_PENDING_TYPE_SHIFT & 7) {
    case HV_PENDING_TYPE_EXTINT:
        *event = SVM_EVENT_VALID | SVM_EVENT_TYPE_INTR | (vector & 0xff);
        return vector <= 0xff;
    case HV_PENDING_TYPE_NMI:
        *event = SVM_EVENT_VALID | SVM_EVENT_TYPE_NMI | VECTOR_NMI;
        return true;
    case HV_PENDING_TYPE_EXCEPTION:
        // The processor takes no injected exception 2 and none from 31 on.
        *event = SVM_EVENT_VALID | SVM_EVENT_TYPE_EXCEPTION | (vector & 0x1f);
        if (pending & HV_PENDING_ERROR_CODE) {
            *event |= SVM_EVENT_ERROR_VALID | (pending >> HV_PENDING_ERROR_CODE_SHIFT)
                                                  << SVM_EVENT_ERROR_SHIFT;
        }
        return vector < 31 && vector != VECTOR_NMI;
    default:
        return false; // software interrupts: run the instruction again instead
    }
}

uint64_t vsm_event_to_pending(uint64_t event) {
    uint64_t type = HV_PENDING_TYPE_EXCEPTION, pending;

    if (!(event & SVM_EVENT_VALID)) {
        return 0;
    }
    if ((event & SVM_EVENT_TYPE_MASK) == SVM_EVENT_TYPE_INTR) {
        type = HV_PENDING_TYPE_EXTINT;
    } else if ((event & SVM_EVENT_TYPE_MASK) == SVM_EVENT_TYPE_NMI) {
        type = HV_PENDING_TYPE_NMI;
    }
    pending = HV_PENDING_INTERRUPTION | type << HV_PENDING_TYPE_SHIFT |
              (event & SVM_EVENT_VECTOR_MASK) << HV_PENDING_VECTOR_SHIFT;
    if (event & SVM_EVENT_ERROR_VALID) {
        pending |= HV_PENDING_ERROR_CODE | event >> SVM_EVENT_ERROR_SHIFT
                                                        << HV_PENDING_ERROR_CODE_SHIFT;
    }
    return pending;
}

void vsm_keep_interrupted_event(struct vsm_vp *vp) {
    struct vsm_vtl *vtl0 = &vp->vtl[VSM_GUEST_VTL];
    struct svm_control *control = &vtl0->vmcb->control;
    uint64_t event = control->exit_int_info, vector;

    control->event_injection = 0;
    hv_lapic_set_cr8(&vtl0->lapic, control->int_ctl & 0xf);
    // What broke in before IRET was executed does not end the masking: NMIs would nest without end.
    if (vp->nmi_unmasks &&
        (vtl0->vmcb->save.rip != vp->iret_rip || vp->gpr[VSM_RSP] != vp->iret_rsp)) {
        vp->nmi_unmasks = false;
        vp->nmi_masked = false;
    }
    if (!(event & SVM_EVENT_VALID)) {
        return;
    }
    vector = event & SVM_EVENT_VECTOR_MASK;
    switch (event & SVM_EVENT_TYPE_MASK) {
    case SVM_EVENT_TYPE_EXCEPTION:
        if (vector >= FIRST_USER_VECTOR) {
            event = vector | SVM_EVENT_TYPE_INTR | SVM_EVENT_VALID;
        } else if (vector == VECTOR_NMI) {
            event = VECTOR_NMI | SVM_EVENT_TYPE_NMI | SVM_EVENT_VALID;
        }
        vp->reinject = vector != LAST_EXCEPTION ? event : 0; // which is no exception of QEMU's
        break;
    case SVM_EVENT_TYPE_INTR:
        vp->reinject = event;
        break;
    case SVM_EVENT_TYPE_NMI:
        vp->reinject = VECTOR_NMI | SVM_EVENT_TYPE_NMI | SVM_EVENT_VALID;
        break;
    default: // INTn: RIP still stands at it
        break;
    }
}

// ---- start-up and mail -------------------------------------------------------------------------

/// The start-up message's state: real mode at vector << 12.
static void start_at(struct vsm_vp *vp, uint8_t vector) {
    struct vsm_vtl *vtl0 = &vp->vtl[VSM_GUEST_VTL];

    vtl0->vmcb->save.cs.selector = (uint16_t)(vector << 8);
    vtl0->vmcb->save.cs.base = (uint64_t)vector << 12;
    vtl0->vmcb->save.rip = 0;
    vp->halted = false;
    __atomic_store_n(&vtl0->running, true, __ATOMIC_RELEASE);
}

int vsm_send_mail(struct vsm_vp *vp, const struct vsm_mail *mail) {
    bool has_room;

    spin_lock(&vp->lock);
    has_room = vp->mail_count < VSM_MAX_MAIL;
    if (has_room) {
        vp->mail[vp->mail_count++] = *mail;
    }
    spin_unlock(&vp->lock);
    if (has_room) {
        vsm_kick_vtl0(vp);
    }
    return has_room ? 0 : -1;
}

/// Delivers what others sent; a message whose slot is taken stays for the next time.
static void take_mail(struct vsm_vp *vp) {
    struct hv_synic *synic = &vp->vtl[VSM_GUEST_VTL].synic;
    uint32_t kept = 0;

    if (__atomic_load_n(&vp->mail_count, __ATOMIC_ACQUIRE) == 0) {
        return;
    }
    spin_lock(&vp->lock);
    for (uint32_t i = 0; i < vp->mail_count; i++) {
        const struct vsm_mail *mail = &vp->mail[i];

        if (!mail->is_message) {
            (void)hv_synic_signal(synic, mail->sint, mail->flag); // lost when the SynIC is off
        } else if (hv_synic_post(synic, mail->sint, mail->message.header.type,
                                 mail->message.header.sender, mail->message.payload,
                                 mail->message.header.payload_size_bytes) == -EAGAIN) {
            if (kept != i) {
                vp->mail[kept] = *mail;
            }
            kept++;
        }
    }
    vp->mail_count = kept;
    spin_unlock(&vp->lock);
}

// ---- before entry ------------------------------------------------------------------------------

static bool can_take_interrupt(const struct vsm_vp *vp) {
    const struct svm_vmcb *vmcb = vp->vtl[VSM_GUEST_VTL].vmcb;

    return (vmcb->save.rflags & RFLAGS_IF) && !(vmcb->control.interrupt_shadow & 1);
}

static void ask_for_window(struct svm_control *control) {
    control->int_ctl |=
        SVM_INT_V_IRQ | SVM_INT_V_IGNORE_TPR | (uint64_t)WINDOW_PRIORITY << SVM_INT_V_PRIO_SHIFT;
}

/// An interrupt that waits between STI and HLT must find VTL0 halted, or HLT sleeps through it: the
/// shadow does not survive the entry.
static void finish_shadowed_halt(struct vsm_vp *vp) {
    struct svm_vmcb *vmcb = vp->vtl[VSM_GUEST_VTL].vmcb;
    uint8_t bytes[15];

    if (!(vmcb->control.interrupt_shadow & 1) || !(vmcb->save.rflags & RFLAGS_IF)) {
        return;
    }
    if (vsm_fetch_instruction(vp, VSM_GUEST_VTL, bytes) > 0 && bytes[0] == OPCODE_HLT) {
        vsm_skip(vp, LENGTH_HLT);
    }
}

/// The local APIC's next interrupt, if it fits now. True: something was injected.
static bool inject_from_apic(struct vsm_vp *vp) {
    struct vsm_vtl *vtl0 = &vp->vtl[VSM_GUEST_VTL];
    struct svm_control *control = &vtl0->vmcb->control;
    struct hv_interrupt next = hv_lapic_next(&vtl0->lapic, vp->nmi_masked);

    if (next.kind == HV_INTERRUPT_NMI) {
        control->event_injection = SVM_EVENT_VALID | SVM_EVENT_TYPE_NMI | VECTOR_NMI;
        control->intercept |= SVM_INTERCEPT_IRET;
        vp->nmi_masked = true;
        hv_lapic_take_nmi(&vtl0->lapic);
        return true;
    }
    if (next.kind != HV_INTERRUPT_FIXED) {
        return false;
    }
    finish_shadowed_halt(vp);
    if (!can_take_interrupt(vp)) {
        ask_for_window(control);
        return false;
    }
    control->event_injection = SVM_EVENT_VALID | SVM_EVENT_TYPE_INTR | next.vector;
    hv_lapic_acknowledge(&vtl0->lapic, next.vector,
                         hv_synic_is_auto_eoi(&vtl0->synic, next.vector));
    return true;
}

/// CR8 matters while something waits: for a window (cr8.c), or for CR8 itself to be lowered.
static void watch_cr8(struct vsm_vtl *vtl0) {
    struct svm_control *control = &vtl0->vmcb->control;

    if ((control->int_ctl & SVM_INT_V_IRQ) || hv_lapic_held_by_tpr(&vtl0->lapic) >= 0) {
        control->intercept_cr_write |= SVM_INTERCEPT_CR8;
    } else {
        control->intercept_cr_write &= (uint16_t)~SVM_INTERCEPT_CR8;
    }
}

static void inject(struct vsm_vp *vp) {
    struct vsm_vtl *vtl0 = &vp->vtl[VSM_GUEST_VTL];
    struct svm_control *control = &vtl0->vmcb->control;
    bool injected = true;

    if (vp->pending_event) {
        control->event_injection = vp->pending_event;
        vp->pending_event = 0;
    } else if (vp->reinject) {
        control->event_injection = vp->reinject;
        if ((vp->reinject & SVM_EVENT_TYPE_MASK) == SVM_EVENT_TYPE_NMI) {
            control->intercept |= SVM_INTERCEPT_IRET;
            vp->nmi_masked = true;
        }
        vp->reinject = 0;
    } else {
        injected = inject_from_apic(vp);
    }
    if (injected && hv_lapic_next(&vtl0->lapic, vp->nmi_masked).kind == HV_INTERRUPT_FIXED) {
        ask_for_window(control);
    }
    if (vp->deliverability & HV_DELIVERABILITY_INTERRUPT) {
        ask_for_window(control);
    }
    watch_cr8(vtl0);
}

/// VTL2 asked to be told when VTL0 could take an interrupt or NMI. True: it is told now.
static bool tell_deliverable(struct vsm_vp *vp, enum vsm_next *next) {
    if (vp->pending_event || vp->reinject) {
        return false;
    }
    if ((vp->deliverability & HV_DELIVERABILITY_NMI) && !vp->nmi_masked) {
        vp->deliverability &= ~HV_DELIVERABILITY_NMI;
        *next = vsm_intercept_deliverable(vp, HV_PENDING_TYPE_NMI);
        return true;
    }
    if (vp->deliverability & HV_DELIVERABILITY_INTERRUPT) {
        finish_shadowed_halt(vp);
        if (can_take_interrupt(vp)) {
            vp->deliverability &= ~HV_DELIVERABILITY_INTERRUPT;
            *next = vsm_intercept_deliverable(vp, HV_PENDING_TYPE_EXTINT);
            return true;
        }
    }
    return false;
}

/// Start-up, mail and notifications. True: *next is where the VP goes instead of on to VTL0.
static bool take_in(struct vsm_vp *vp, enum vsm_next *next) {
    struct vsm_vtl *vtl0 = &vp->vtl[VSM_GUEST_VTL];
    uint8_t sipi_vector = 0;
    uint32_t got = vsm_apic_collect(vp, &sipi_vector);
    int eoi;

    if (got & HV_LAPIC_GOT_INIT) {
        vsm_reset_vtl0(vp, true);
    }
    if ((got & HV_LAPIC_GOT_SIPI) && !vtl0->running) {
        if (vp->partition->intercepts & (1u << HV_INTERCEPT_APIC_INIT_SIPI)) {
            *next = vsm_intercept_sipi(vp, vp->index, sipi_vector);
            return true;
        }
        start_at(vp, sipi_vector);
    }
    take_mail(vp);
    while ((eoi = vsm_apic_take_eoi(vp)) >= 0) {
        if (vp->partition->intercepts & (1u << HV_INTERCEPT_APIC_EOI)) {
            *next = vsm_intercept_eoi(vp, (uint8_t)eoi);
            return true;
        }
    }
    return vtl0->running && tell_deliverable(vp, next);
}

enum vsm_next vsm_prepare_vtl0(struct vsm_vp *vp) {
    struct vsm_vtl *vtl0 = &vp->vtl[VSM_GUEST_VTL];
    struct svm_control *control = &vtl0->vmcb->control;
    bool interrupts_enabled;
    enum vsm_next next;

    // Asked again before the entry happened (after a sleep): what was decided stands. The exit
    // clears it.
    if (control->event_injection & SVM_EVENT_VALID) {
        return VSM_RUN;
    }
    __atomic_store_n(&vp->looks, false, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); // pairs with vsm_kick_vtl0()
    if (take_in(vp, &next)) {
        return next;
    }
    if (!vtl0->running) {
        return VSM_IDLE;
    }
    interrupts_enabled = vtl0->vmcb->save.rflags & RFLAGS_IF;
    if (vp->halted && !vp->pending_event && !vp->reinject &&
        !hv_lapic_wakes(&vtl0->lapic, interrupts_enabled, vp->nmi_masked)) {
        return VSM_IDLE;
    }
    vp->halted = false;
    control->event_injection = 0;
    control->int_ctl = SVM_INT_V_MASKING | hv_lapic_cr8(&vtl0->lapic);
    inject(vp);
    return VSM_RUN;
}

enum vsm_next vsm_halt(struct vsm_vp *vp) {
    vsm_skip(vp, LENGTH_HLT);
    vp->halted = true;
    return VSM_RUN;
}
