// SPDX-License-Identifier: MIT
//
// What an exit means: the dispatcher, one switch per VTL (APM vol. 2, appendix C for the codes).
//
// Instruction lengths: QEMU reports none, so the plain encodings' are taken (prefixes that mean
// nothing to these instructions are not written by any compiler).
#include "tools/minihost/vsm/internal.h"

#include "tools/minihost/vsm/vtl0_apic.h"

#include <errno.h>

#define LENGTH_CPUID 2u
#define LENGTH_MSR   2u
#define VECTOR_UD    6u
#define VECTOR_GP    13u

#define STORM_GAP_100NS 1000u ///< 100 us
#define STORM_LENGTH    8u
#define QUIET_100NS     2000u ///< 200 us

static enum vsm_next undefined_instruction(struct vsm_vp *vp) {
    vsm_inject_exception(vp, VECTOR_UD, false, 0, 0);
    return VSM_RUN;
}

static enum vsm_next general_protection(struct vsm_vp *vp) {
    vsm_inject_exception(vp, VECTOR_GP, true, 0, 0);
    return VSM_RUN;
}

static bool is_cpuid_intercepted(const struct vsm_partition *partition, uint32_t leaf) {
    for (uint32_t i = 0; i < partition->cpuid_intercept_count; i++) {
        if (partition->cpuid_intercept[i] == leaf) {
            return true;
        }
    }
    return false;
}

static enum vsm_next handle_cpuid(struct vsm_vp *vp) {
    uint32_t in[4] = {(uint32_t)vp->gpr[VSM_RAX], (uint32_t)vp->gpr[VSM_RBX],
                      (uint32_t)vp->gpr[VSM_RCX], (uint32_t)vp->gpr[VSM_RDX]};
    uint32_t out[4];

    vsm_cpuid(vp, vp->active_vtl, in[0], in[2], out);
    if (vp->active_vtl == VSM_GUEST_VTL && is_cpuid_intercepted(vp->partition, in[0])) {
        return vsm_intercept_cpuid(vp, in, out);
    }
    vp->gpr[VSM_RAX] = out[0];
    vp->gpr[VSM_RBX] = out[1];
    vp->gpr[VSM_RCX] = out[2];
    vp->gpr[VSM_RDX] = out[3];
    vsm_skip(vp, LENGTH_CPUID);
    return VSM_RUN;
}

static enum vsm_next handle_msr(struct vsm_vp *vp) {
    struct svm_vmcb *vmcb = vp->vtl[vp->active_vtl].vmcb;
    uint32_t index = (uint32_t)vp->gpr[VSM_RCX];
    bool is_write = vmcb->control.exit_info_1 & 1;
    uint64_t value = (uint32_t)vp->gpr[VSM_RAX] | vp->gpr[VSM_RDX] << 32;
    int rc = is_write ? vsm_write_msr(vp, vp->active_vtl, index, value)
                      : vsm_read_msr(vp, vp->active_vtl, index, &value);

    if (rc == -ENOENT && vp->active_vtl == VSM_GUEST_VTL &&
        (vp->partition->intercepts & (1u << HV_INTERCEPT_MSR))) {
        return vsm_intercept_msr(vp, index, is_write, value);
    }
    if (rc) {
        return general_protection(vp);
    }
    if (!is_write) {
        vp->gpr[VSM_RAX] = (uint32_t)value;
        vp->gpr[VSM_RDX] = value >> 32;
    }
    vsm_skip(vp, LENGTH_MSR);
    return vp->partition->stop == VSM_STOP_NONE ? VSM_RUN : VSM_STOP;
}

static enum vsm_next handle_memory(struct vsm_vp *vp) {
    uint64_t gpa = vp->vtl[VSM_GUEST_VTL].vmcb->control.exit_info_2;

    if (vsm_apic_owns_page(vp, gpa & ~UINT64_C(0xfff))) {
        switch (vsm_apic_mmio(vp)) {
        case VSM_APIC_MMIO_DONE:
        case VSM_APIC_MMIO_FAULT:
            return VSM_RUN;
        case VSM_APIC_MMIO_UNHANDLED:
            break;
        }
    }
    return vsm_intercept_memory(vp);
}

/// A value that a control register does not take ends here instead of in #GP (QEMU). A whole state
/// that the processor does not take is VTL0's crash: its own instructions can bring it about (PAE
/// cleared in long mode, for one). Then the #GP was refused too: it is what the exit interrupted.
static enum vsm_next handle_invalid(struct vsm_vp *vp) {
    const struct svm_control *control = &vp->vtl[vp->active_vtl].vmcb->control;

    if (!vp->refused && !(control->exit_int_info & SVM_EVENT_VALID)) {
        return general_protection(vp);
    }
    return vp->active_vtl == VSM_GUEST_VTL ? vsm_intercept_shutdown(vp)
                                           : vsm_fail(vp, "the processor refuses VTL2's state");
}

/// Each call of another CPU's throws VTL0 out: a guest whose VPs send each other interrupts without
/// end would keep one of them from running a single instruction between two calls. After a few in
/// quick succession VTL0 gets a while to itself; its own timer ends that.
static void note_disturbance(struct vsm_vp *vp) {
    uint64_t now = vp->partition->ops->now_100ns();
    uint64_t last =
        vp->quiet_until_100ns > vp->disturbed_100ns ? vp->quiet_until_100ns : vp->disturbed_100ns;

    vp->disturbances = now < last + STORM_GAP_100NS ? vp->disturbances + 1 : 0;
    vp->disturbed_100ns = now;
    if (vp->disturbances >= STORM_LENGTH) {
        __atomic_store_n(&vp->quiet_until_100ns, now + QUIET_100NS, __ATOMIC_SEQ_CST);
    }
}

static enum vsm_next handle_common(struct vsm_vp *vp, uint64_t code) {
    switch (code) {
    case SVM_EXIT_NMI: // minihost's own call: what it is about is seen before the next entry
        return VSM_RUN;
    case SVM_EXIT_CPUID:
        return handle_cpuid(vp);
    case SVM_EXIT_MSR:
        return handle_msr(vp);
    case SVM_EXIT_VMMCALL:
        return vsm_hypercall(vp);
    case SVM_EXIT_VMRUN:
    case SVM_EXIT_VMLOAD:
    case SVM_EXIT_VMSAVE:
    case SVM_EXIT_STGI:
    case SVM_EXIT_CLGI:
    case SVM_EXIT_SKINIT:
    case SVM_EXIT_INVLPGA:
        return undefined_instruction(vp);
    case SVM_EXIT_INVALID:
        return handle_invalid(vp);
    default:
        return vsm_fail(vp, "an exit that nobody asked for");
    }
}

static enum vsm_next handle_vtl2(struct vsm_vp *vp, uint64_t code) {
    if (code == SVM_EXIT_SHUTDOWN) { // how a kernel without firmware restarts
        vp->partition->stop = VSM_STOP_RESET;
        return VSM_STOP;
    }
    return handle_common(vp, code);
}

static enum vsm_next handle_vtl0(struct vsm_vp *vp, uint64_t code) {
    struct svm_control *control = &vp->vtl[VSM_GUEST_VTL].vmcb->control;

    if (code >= SVM_EXIT_EXCEPTION && code < SVM_EXIT_EXCEPTION + 32) {
        return vsm_intercept_exception(vp, (uint8_t)(code - SVM_EXIT_EXCEPTION));
    }
    switch (code) {
    case SVM_EXIT_NMI:
        note_disturbance(vp);
        return VSM_RUN;
    case SVM_EXIT_INTR:
        return vsm_enter_vtl2(vp, HV_VTL_ENTRY_INTERRUPT);
    case SVM_EXIT_VINTR: // the window is open: vsm_prepare_vtl0() decides what goes through it
        control->int_ctl &= ~SVM_INT_V_IRQ;
        return VSM_RUN;
    case SVM_EXIT_IRET: // the NMI's handler ends with this instruction
        control->intercept &= ~SVM_INTERCEPT_IRET;
        vp->nmi_unmasks = true;
        vp->iret_rip = vp->vtl[VSM_GUEST_VTL].vmcb->save.rip;
        vp->iret_rsp = vp->gpr[VSM_RSP];
        return VSM_RUN;
    case SVM_EXIT_CR8_WRITE:
        return vsm_write_cr8(vp);
    case SVM_EXIT_HLT:
        return vsm_halt(vp);
    case SVM_EXIT_IOIO:
        return vsm_intercept_io(vp);
    case SVM_EXIT_NPF:
        return handle_memory(vp);
    case SVM_EXIT_SHUTDOWN:
        return vsm_intercept_shutdown(vp);
    case SVM_EXIT_MONITOR:
    case SVM_EXIT_MWAIT:
    case SVM_EXIT_MWAIT_ARMED:
        return undefined_instruction(vp);
    default:
        return handle_common(vp, code);
    }
}

/// The VTL has run, nobody knows how far: it cannot go on from the state of before the entry.
static enum vsm_next handle_lost(struct vsm_vp *vp) {
    vp->vtl[vp->active_vtl].vmcb->control.event_injection = 0;
    return vp->active_vtl == VSM_GUEST_VTL
               ? vsm_intercept_shutdown(vp)
               : vsm_fail(vp, "the processor did not give back VTL2's state");
}

enum vsm_next vsm_handle_exit(struct vsm_vp *vp) {
    struct svm_control *control = &vp->vtl[vp->active_vtl].vmcb->control;
    uint64_t code = control->exit_code;

    if ((uint32_t)code == SVM_EXIT_INVALID) {
        code = SVM_EXIT_INVALID; // QEMU writes 32 bits
    }
    if (vp->lost) {
        return handle_lost(vp);
    }
    if (vp->active_vtl == VSM_PARAVISOR) {
        control->event_injection = 0;
        return handle_vtl2(vp, code);
    }
    __atomic_store_n(&vp->looks, true, __ATOMIC_RELAXED);
    vsm_keep_interrupted_event(vp);
    return handle_vtl0(vp, code);
}

enum vsm_next vsm_before_entry(struct vsm_vp *vp) {
    if (vp->partition->stop != VSM_STOP_NONE) {
        return VSM_STOP;
    }
    if (vp->active_vtl == VSM_PARAVISOR) {
        return __atomic_load_n(&vp->vtl[VSM_PARAVISOR].running, __ATOMIC_ACQUIRE) ? VSM_RUN
                                                                                  : VSM_IDLE;
    }
    return vsm_prepare_vtl0(vp);
}

enum vsm_next vsm_woken(struct vsm_vp *vp, bool physical_pending) {
    if (vp->active_vtl == VSM_GUEST_VTL && physical_pending) {
        return vsm_enter_vtl2(vp, HV_VTL_ENTRY_INTERRUPT);
    }
    return vsm_before_entry(vp);
}
