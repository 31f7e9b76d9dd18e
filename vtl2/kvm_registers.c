// SPDX-License-Identifier: MIT
//
// A VP's registers under KVM: KVM_{GET,SET}_{REGS,SREGS} to and from struct vp_registers. Not on
// any hot path: the VMM sets them once and shows them in a crash report.
#include "vtl2/kvm_internal.h"

// Bits of vp_segment.attributes: a VMCB's packing (AMD APM volume 2, section 15.5.1).
#define ATTR_TYPE     0x000fu
#define ATTR_S        (1u << 4)
#define ATTR_DPL      5u
#define ATTR_P        (1u << 7)
#define ATTR_AVL      (1u << 8)
#define ATTR_L        (1u << 9)
#define ATTR_DB       (1u << 10)
#define ATTR_G        (1u << 11)
#define ATTR_DPL_MASK 3u

static struct kvm_segment segment_to_kvm(const struct vp_segment *in) {
    return (struct kvm_segment){
        .base = in->base,
        .limit = in->limit,
        .selector = in->selector,
        .type = in->attributes & ATTR_TYPE,
        .s = (in->attributes & ATTR_S) != 0,
        .dpl = (in->attributes >> ATTR_DPL) & ATTR_DPL_MASK,
        .present = (in->attributes & ATTR_P) != 0,
        .avl = (in->attributes & ATTR_AVL) != 0,
        .l = (in->attributes & ATTR_L) != 0,
        .db = (in->attributes & ATTR_DB) != 0,
        .g = (in->attributes & ATTR_G) != 0,
        .unusable = (in->attributes & ATTR_P) == 0,
    };
}

static struct vp_segment segment_from_kvm(const struct kvm_segment *in) {
    unsigned attributes = in->type & ATTR_TYPE;

    attributes |= in->s ? ATTR_S : 0;
    attributes |= (unsigned)(in->dpl & ATTR_DPL_MASK) << ATTR_DPL;
    attributes |= in->present && !in->unusable ? ATTR_P : 0;
    attributes |= in->avl ? ATTR_AVL : 0;
    attributes |= in->l ? ATTR_L : 0;
    attributes |= in->db ? ATTR_DB : 0;
    attributes |= in->g ? ATTR_G : 0;
    return (struct vp_segment){
        .base = in->base,
        .limit = in->limit,
        .selector = in->selector,
        .attributes = (uint16_t)attributes,
    };
}

static void general_from_kvm(struct vp_registers *out, const struct kvm_regs *in) {
    out->rax = in->rax;
    out->rbx = in->rbx;
    out->rcx = in->rcx;
    out->rdx = in->rdx;
    out->rsi = in->rsi;
    out->rdi = in->rdi;
    out->rsp = in->rsp;
    out->rbp = in->rbp;
    out->r8 = in->r8;
    out->r9 = in->r9;
    out->r10 = in->r10;
    out->r11 = in->r11;
    out->r12 = in->r12;
    out->r13 = in->r13;
    out->r14 = in->r14;
    out->r15 = in->r15;
    out->rip = in->rip;
    out->rflags = in->rflags;
}

static struct kvm_regs general_to_kvm(const struct vp_registers *in) {
    return (struct kvm_regs){
        .rax = in->rax,
        .rbx = in->rbx,
        .rcx = in->rcx,
        .rdx = in->rdx,
        .rsi = in->rsi,
        .rdi = in->rdi,
        .rsp = in->rsp,
        .rbp = in->rbp,
        .r8 = in->r8,
        .r9 = in->r9,
        .r10 = in->r10,
        .r11 = in->r11,
        .r12 = in->r12,
        .r13 = in->r13,
        .r14 = in->r14,
        .r15 = in->r15,
        .rip = in->rip,
        .rflags = in->rflags,
    };
}

static void special_from_kvm(struct vp_registers *out, const struct kvm_sregs *in) {
    out->cr0 = in->cr0;
    out->cr2 = in->cr2;
    out->cr3 = in->cr3;
    out->cr4 = in->cr4;
    out->efer = in->efer;
    out->apic_base = in->apic_base;
    out->cs = segment_from_kvm(&in->cs);
    out->ds = segment_from_kvm(&in->ds);
    out->es = segment_from_kvm(&in->es);
    out->fs = segment_from_kvm(&in->fs);
    out->gs = segment_from_kvm(&in->gs);
    out->ss = segment_from_kvm(&in->ss);
    out->tr = segment_from_kvm(&in->tr);
    out->ldtr = segment_from_kvm(&in->ldt);
    out->gdt = (struct vp_table){.base = in->gdt.base, .limit = in->gdt.limit};
    out->idt = (struct vp_table){.base = in->idt.base, .limit = in->idt.limit};
}

/// Changes what vp_registers names; the rest (cr8, pending interrupt) stays as KVM has it.
static void special_to_kvm(struct kvm_sregs *out, const struct vp_registers *in) {
    out->cr0 = in->cr0;
    out->cr2 = in->cr2;
    out->cr3 = in->cr3;
    out->cr4 = in->cr4;
    out->efer = in->efer;
    out->apic_base = in->apic_base;
    out->cs = segment_to_kvm(&in->cs);
    out->ds = segment_to_kvm(&in->ds);
    out->es = segment_to_kvm(&in->es);
    out->fs = segment_to_kvm(&in->fs);
    out->gs = segment_to_kvm(&in->gs);
    out->ss = segment_to_kvm(&in->ss);
    out->tr = segment_to_kvm(&in->tr);
    out->ldt = segment_to_kvm(&in->ldtr);
    out->gdt.base = in->gdt.base;
    out->gdt.limit = in->gdt.limit;
    out->idt.base = in->idt.base;
    out->idt.limit = in->idt.limit;
}

int kvm_vp_get_registers(struct vp *vp, struct vp_registers *out) {
    struct kvm_sregs special = {0};
    struct kvm_regs general = {0};
    int result = kvm_ioctl(vp->fd, KVM_GET_REGS, &general);

    if (result == 0) {
        result = kvm_ioctl(vp->fd, KVM_GET_SREGS, &special);
    }
    if (result < 0) {
        return result;
    }
    general_from_kvm(out, &general);
    special_from_kvm(out, &special);
    return 0;
}

int kvm_vp_set_registers(struct vp *vp, const struct vp_registers *in) {
    struct kvm_regs general = general_to_kvm(in);
    struct kvm_sregs special = {0};
    int result = kvm_ioctl(vp->fd, KVM_GET_SREGS, &special);

    if (result < 0) {
        return result;
    }
    special_to_kvm(&special, in);
    result = kvm_ioctl(vp->fd, KVM_SET_SREGS, &special);
    return result < 0 ? result : kvm_ioctl(vp->fd, KVM_SET_REGS, &general);
}
