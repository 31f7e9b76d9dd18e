// SPDX-License-Identifier: MIT
//
// The last screen: what both VTLs of a VP were doing.

#include "loader/bare/panic.h"
#include "tools/minihost/svm/svm.h"

#define UL(value) ((unsigned long)(value))

static void dump_segment(const char *name, const struct svm_segment *segment) {
    bare_print("  %s %04x base %016lx limit %08x attributes %03x", name, segment->selector,
               UL(segment->base), segment->limit, segment->attributes);
}

static void dump_vtl(const struct vsm_vp *vp, unsigned vtl) {
    const struct svm_vmcb *vmcb = vp->vtl[vtl].vmcb;
    const struct svm_control *control = &vmcb->control;
    const struct svm_save *save = &vmcb->save;

    bare_print("VP %u VTL%u%s: exit 0x%lx info 0x%lx 0x%lx, delivering 0x%lx, injected 0x%lx",
               vp->index, vtl, vp->active_vtl == vtl ? " (runs)" : "", UL(control->exit_code),
               UL(control->exit_info_1), UL(control->exit_info_2), UL(control->exit_int_info),
               UL(control->event_injection));
    bare_print("  rip %016lx rsp %016lx rflags %08lx rax %016lx", UL(save->rip), UL(save->rsp),
               UL(save->rflags), UL(save->rax));
    bare_print("  cr0 %08lx cr2 %016lx cr3 %016lx cr4 %08lx efer %04lx int_ctl %lx", UL(save->cr0),
               UL(save->cr2), UL(save->cr3), UL(save->cr4), UL(save->efer), UL(control->int_ctl));
    dump_segment("cs", &save->cs);
    dump_segment("ss", &save->ss);
    dump_segment("tr", &save->tr);
    dump_segment("gdt", &save->gdtr);
    dump_segment("idt", &save->idtr);
}

void svm_dump(const struct vsm_vp *vp) {
    bare_print("general registers, shared by the VTLs (rax rcx rdx rbx, rsp rbp rsi rdi, r8 …):");
    for (unsigned i = 0; i < 16; i += 4) {
        bare_print("  %016lx %016lx %016lx %016lx", UL(vp->gpr[i]), UL(vp->gpr[i + 1]),
                   UL(vp->gpr[i + 2]), UL(vp->gpr[i + 3]));
    }
    for (unsigned vtl = 0; vtl < VSM_VTL_COUNT; vtl += VSM_PARAVISOR) {
        dump_vtl(vp, vtl);
    }
}
