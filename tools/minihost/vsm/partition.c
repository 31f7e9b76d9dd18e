// SPDX-License-Identifier: MIT
//
// The partition and its VPs: power-on state, intercepts, start, and the screen that is printed when
// something went wrong (TLFS, "Virtual Secure Mode"; APM vol. 2, 14.1 for the reset state).
#include "tools/minihost/vsm/internal.h"

#include "tools/minihost/vsm/vtl0_apic.h"

#include <errno.h>
#include <string.h>

#define CR0_RESET  UINT64_C(0x60000010)
#define DR6_RESET  UINT64_C(0xffff0ff0)
#define DR7_RESET  UINT64_C(0x400)
#define CODE_RESET 0x009bu ///< attributes: present, code, readable, accessed
#define DATA_RESET 0x0093u
#define LDTR_RESET 0x0082u
#define TR_RESET   0x008bu
#define REAL_LIMIT 0xffffu

/// What would let a guest play host.
#define INTERCEPT_SVM                                                                              \
    (SVM_INTERCEPT_VMRUN | SVM_INTERCEPT_VMMCALL | SVM_INTERCEPT_VMLOAD | SVM_INTERCEPT_VMSAVE |   \
     SVM_INTERCEPT_STGI | SVM_INTERCEPT_CLGI | SVM_INTERCEPT_SKINIT | SVM_INTERCEPT_INVLPGA)

/// VTL2 owns the machine's interrupts, ports and devices; NMIs are minihost's own calls.
#define INTERCEPT_VTL2                                                                             \
    (INTERCEPT_SVM | SVM_INTERCEPT_NMI | SVM_INTERCEPT_CPUID | SVM_INTERCEPT_MSR |                 \
     SVM_INTERCEPT_SHUTDOWN)

#define INTERCEPT_VTL0                                                                             \
    (INTERCEPT_VTL2 | SVM_INTERCEPT_INTR | SVM_INTERCEPT_IOIO | SVM_INTERCEPT_HLT |                \
     SVM_INTERCEPT_MONITOR | SVM_INTERCEPT_MWAIT | SVM_INTERCEPT_VINTR)

void vsm_kick_vtl0(struct vsm_vp *vp) {
    // Pairs with the fences in vsm_vtl_return() and vsm_prepare_vtl0(): either we see that VTL0 is
    // active and its CPU does not look any more, or its CPU sees what we left for it.
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&vp->active_vtl, __ATOMIC_RELAXED) == VSM_GUEST_VTL &&
        !__atomic_load_n(&vp->looks, __ATOMIC_RELAXED) &&
        __atomic_load_n(&vp->quiet_until_100ns, __ATOMIC_RELAXED) <=
            vp->partition->ops->now_100ns()) {
        vp->partition->ops->kick(vp);
    }
}

static void reset_segments(struct svm_save *save) {
    const struct svm_segment data = {.attributes = DATA_RESET, .limit = REAL_LIMIT};

    save->es = save->ss = save->ds = save->fs = save->gs = data;
    save->cs = (struct svm_segment){
        .selector = 0xf000, .attributes = CODE_RESET, .limit = REAL_LIMIT, .base = 0xffff0000};
    save->gdtr = save->idtr = (struct svm_segment){.limit = REAL_LIMIT};
    save->ldtr = (struct svm_segment){.attributes = LDTR_RESET, .limit = REAL_LIMIT};
    save->tr = (struct svm_segment){.attributes = TR_RESET, .limit = REAL_LIMIT};
}

/// The save area's reset state; INIT keeps what the processor's INIT keeps.
static void reset_save(struct svm_save *save, bool is_init) {
    reset_segments(save);
    save->cr0 = CR0_RESET;
    save->cr2 = save->cr3 = save->cr4 = 0;
    save->efer = SVM_EFER_SVME;
    save->dr6 = DR6_RESET;
    save->dr7 = DR7_RESET;
    save->rflags = 2;
    save->rip = 0xfff0;
    save->rsp = 0;
    save->cpl = 0;
    if (!is_init) {
        save->rax = save->star = save->lstar = save->cstar = save->sfmask = 0;
        save->kernel_gs_base = save->sysenter_cs = save->sysenter_esp = save->sysenter_eip = 0;
    }
}

void vsm_reset_vtl0(struct vsm_vp *vp, bool is_init) {
    struct vsm_vtl *vtl = &vp->vtl[VSM_GUEST_VTL];

    reset_save(&vtl->vmcb->save, is_init);
    vsm_set_rsp(vp, VSM_GUEST_VTL, 0);
    vtl->vmcb->control.event_injection = 0;
    vtl->vmcb->control.interrupt_shadow = 0;
    vtl->vmcb->control.int_ctl = SVM_INT_V_MASKING;
    vtl->vmcb->control.intercept &= ~SVM_INTERCEPT_IRET;
    if (!is_init) {
        vtl->pat = VSM_PAT_RESET;
    }
    vp->halted = false;
    vp->nmi_masked = false;
    vp->nmi_unmasks = false;
    vp->deliverability = 0;
    vp->pending_event = 0;
    vp->reinject = 0;
    __atomic_store_n(&vtl->running, vp->index == 0, __ATOMIC_RELEASE);
}

static void init_vp(struct vsm_partition *partition, uint32_t index) {
    struct vsm_vp *vp = &partition->vps[index];
    struct svm_vmcb *vtl0 = vp->vtl[VSM_GUEST_VTL].vmcb;
    struct svm_vmcb *vtl2 = vp->vtl[VSM_PARAVISOR].vmcb;

    vp->partition = partition;
    vp->index = index;
    vp->active_vtl = VSM_PARAVISOR;
    vp->vtl[VSM_GUEST_VTL].enabled = true;
    vp->vtl[VSM_PARAVISOR].enabled = index == 0;
    vp->vtl[VSM_PARAVISOR].running = index == 0;
    vp->vtl[VSM_PARAVISOR].pat = VSM_PAT_RESET;
    reset_save(&vtl2->save, false);
    vtl2->control.intercept = INTERCEPT_VTL2;
    vtl2->control.int_ctl = 0;
    vtl0->control.intercept = INTERCEPT_VTL0;
    vsm_reset_vtl0(vp, false);
}

void vsm_init(struct vsm_partition *partition) {
    for (uint32_t i = 0; i < partition->vp_count; i++) {
        init_vp(partition, i);
    }
    vsm_apic_init(partition);
}

int vsm_set_initial_register(struct vsm_vp *vp, uint32_t name,
                             const struct hv_register_value *value) {
    return vsm_register_set(vp, VSM_HYPERVISOR, VSM_PARAVISOR, name, value) == HV_STATUS_SUCCESS
               ? 0
               : -EINVAL;
}

uint64_t vsm_deadline(const struct vsm_vp *vp) {
    // While VTL2 runs, VTL0's timers can wait: they are applied before VTL0 is entered again.
    if (vp->active_vtl != VSM_GUEST_VTL) {
        return UINT64_MAX;
    }
    if (vp->quiet_until_100ns > vp->partition->ops->now_100ns()) {
        return vp->quiet_until_100ns;
    }
    if (!vp->vtl[VSM_GUEST_VTL].running) {
        return UINT64_MAX;
    }
    if (vp->nmi_unmasks) { // IRET is the next instruction: an NMI may wait behind it
        return 0;
    }
    return vsm_apic_deadline(vp);
}

// ---- the screen --------------------------------------------------------------------------------

static void print_segment(const struct vsm_ops *ops, const char *name,
                          const struct svm_segment *s) {
    ops->log("  %s %04x base %016llx limit %08x attributes %04x", name, s->selector,
             (unsigned long long)s->base, s->limit, s->attributes);
}

void vsm_print_state(struct vsm_vp *vp, unsigned vtl) {
    static const char *const names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8 ", "r9 ", "r10", "r11", "r12", "r13", "r14", "r15"};
    const struct vsm_ops *ops = vp->partition->ops;
    const struct svm_save *s = &vp->vtl[vtl].vmcb->save;
    const struct svm_control *c = &vp->vtl[vtl].vmcb->control;

    ops->log("  VP %u VTL%u: exit %llx info %llx %llx, interrupted event %llx", vp->index, vtl,
             (unsigned long long)c->exit_code, (unsigned long long)c->exit_info_1,
             (unsigned long long)c->exit_info_2, (unsigned long long)c->exit_int_info);
    ops->log("  rip %016llx rflags %08llx cpl %u", (unsigned long long)s->rip,
             (unsigned long long)s->rflags, vsm_cpl(vp->vtl[vtl].vmcb));
    for (unsigned i = 0; i < 16; i += 4) {
        ops->log("  %s %016llx %s %016llx %s %016llx %s %016llx", names[i],
                 (unsigned long long)(i == VSM_RSP ? vsm_rsp(vp, vtl) : vp->gpr[i]), names[i + 1],
                 (unsigned long long)vp->gpr[i + 1], names[i + 2],
                 (unsigned long long)vp->gpr[i + 2], names[i + 3],
                 (unsigned long long)vp->gpr[i + 3]);
    }
    ops->log("  cr0 %llx cr2 %llx cr3 %llx cr4 %llx efer %llx", (unsigned long long)s->cr0,
             (unsigned long long)s->cr2, (unsigned long long)s->cr3, (unsigned long long)s->cr4,
             (unsigned long long)s->efer);
    print_segment(ops, "cs", &s->cs);
    print_segment(ops, "ss", &s->ss);
    print_segment(ops, "ds", &s->ds);
    print_segment(ops, "idtr", &s->idtr);
    print_segment(ops, "gdtr", &s->gdtr);
}

enum vsm_next vsm_fail(struct vsm_vp *vp, const char *what) {
    vp->partition->ops->log("minihost: %s; the partition stops.", what);
    vsm_print_state(vp, vp->active_vtl);
    vp->partition->stop = VSM_STOP_FAILED;
    return VSM_STOP;
}
