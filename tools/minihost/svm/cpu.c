// SPDX-License-Identifier: MIT
//
// One processor as a host for VTLs: its tables, SVM, sleeping.

#include "loader/bare/cpu.h"
#include "loader/bare/panic.h"
#include "tools/minihost/svm/svm.h"

#define CODE_SELECTOR 0x08u // pvh.S
#define DATA_SELECTOR 0x10u
#define NMI_VECTOR    2u
#define TEST_DELAY_US 100u
#define TEST_POLLS    20000u

#define CODE_ATTRIBUTES                                                                            \
    (0xbu | SVM_SEGMENT_NOT_SYSTEM | SVM_SEGMENT_PRESENT | SVM_SEGMENT_LONG |                      \
     SVM_SEGMENT_GRANULARITY)
#define DATA_ATTRIBUTES                                                                            \
    (0x3u | SVM_SEGMENT_NOT_SYSTEM | SVM_SEGMENT_PRESENT | SVM_SEGMENT_DEFAULT |                   \
     SVM_SEGMENT_GRANULARITY)
#define CODE_TYPE 0xbu
#define IDLE_ASID 1u

static const uint64_t gdt[] = {0, 0x00af9b000000ffffu, 0x00cf93000000ffffu};

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

void svm_cpu_allocate(struct svm_cpu *cpu, uint32_t index, uint32_t apic_id) {
    cpu->index = index;
    cpu->apic_id = apic_id;
    cpu->idle_vmcb = svm_pages(1);
    cpu->host_save_area = svm_pages(1);
    cpu->stack_end = (uint8_t *)svm_pages(SVM_STACK_BYTES / PAGE_SIZE_4K) + SVM_STACK_BYTES;
    cpu->armed_100ns = UINT64_MAX;
}

/// A guest that lives in minihost's own world and only halts. Interrupts end it without being
/// taken; no race is possible between the look for one and the sleep, as VMRUN does both.
static void make_idle_guest(struct svm_vmcb *vmcb) {
    struct svm_control *control = &vmcb->control;
    struct svm_save *save = &vmcb->save;

    control->intercept = SVM_INTERCEPT_INTR | SVM_INTERCEPT_NMI | SVM_INTERCEPT_SHUTDOWN |
                         SVM_INTERCEPT_VMRUN | SVM_INTERCEPT_CPUID;
    control->asid = IDLE_ASID;
    control->int_ctl = SVM_INT_V_MASKING;
    save->cs = (struct svm_segment){CODE_SELECTOR, CODE_ATTRIBUTES, UINT32_MAX, 0};
    save->ss = (struct svm_segment){DATA_SELECTOR, DATA_ATTRIBUTES, UINT32_MAX, 0};
    save->ds = save->ss;
    save->es = save->ss;
    save->gdtr = (struct svm_segment){.limit = sizeof(gdt) - 1, .base = (uintptr_t)gdt};
    save->efer = cpu_rdmsr(MSR_EFER);
    __asm__("mov %%cr0, %0" : "=r"(save->cr0));
    __asm__("mov %%cr3, %0" : "=r"(save->cr3));
    __asm__("mov %%cr4, %0" : "=r"(save->cr4));
    save->dr6 = 0xffff0ff0u; // reset values
    save->dr7 = 0x400;
    save->rflags = 2;
}

void svm_cpu_init(struct svm_cpu *cpu) {
    struct table_pointer gdtr = {sizeof(gdt) - 1, (uintptr_t)gdt};

    __asm__ volatile("lgdt %0" ::"m"(gdtr));
    bare_exceptions_set_gate(NMI_VECTOR, (uintptr_t)svm_nmi_gate);
    bare_exceptions_load();
    cpu_wrmsr(MSR_EFER, cpu_rdmsr(MSR_EFER) | SVM_EFER_SVME | EFER_NXE);
    cpu_wrmsr(SVM_MSR_HSAVE_PA, (uintptr_t)cpu->host_save_area);
    __asm__ volatile("clgi" ::: "memory");
    make_idle_guest(cpu->idle_vmcb);
}

bool svm_cpu_idle(struct svm_cpu *cpu) {
    uint64_t gpr[16] = {0};

    cpu->idle_vmcb->save.rip = (uintptr_t)svm_idle_code;
    svm_world_switch((uintptr_t)cpu->idle_vmcb, gpr);
    if (cpu->idle_vmcb->control.exit_code == SVM_EXIT_NMI) {
        svm_take_nmi();
        return false;
    }
    if (cpu->idle_vmcb->control.exit_code != SVM_EXIT_INTR) {
        bare_stop("vsm: CPU %u: exit 0x%lx from sleep", cpu->index,
                  (unsigned long)cpu->idle_vmcb->control.exit_code);
    }
    return true;
}

/// Runs one CPUID instruction. True when an NMI came first, and was taken.
static bool probe_nmi(struct svm_vmcb *vmcb, const char **why) {
    static const uint8_t cpuid_code[] = {0x0f, 0xa2};
    uint64_t gpr[16] = {0};

    vmcb->save.rip = (uintptr_t)cpuid_code;
    svm_world_switch((uintptr_t)vmcb, gpr);
    if (vmcb->save.rip != (uintptr_t)cpuid_code ||
        (vmcb->control.exit_code != SVM_EXIT_CPUID && vmcb->control.exit_code != SVM_EXIT_NMI)) {
        *why = "CPUID does not leave a guest as it should";
    }
    if (vmcb->control.exit_code == SVM_EXIT_NMI) {
        svm_take_nmi();
        return true;
    }
    return false;
}

/// Whether nested page tables (these have nothing) hold a guest that has its paging off. QEMU
/// before 7.2.15 lets it reach everything.
static bool holds_without_paging(const struct svm_cpu *cpu) {
    struct svm_vmcb *vmcb = svm_pages(1);
    uint64_t gpr[16] = {0};

    *vmcb = *cpu->idle_vmcb;
    vmcb->control.intercept |= SVM_INTERCEPT_HLT;
    vmcb->control.nested_control = SVM_NESTED_PAGING;
    vmcb->control.nested_cr3 = (uintptr_t)svm_pages(1);
    vmcb->save.cs.attributes = DATA_ATTRIBUTES | CODE_TYPE; // 32-bit
    vmcb->save.cr0 = CR0_PE;
    vmcb->save.cr4 = 0;
    vmcb->save.efer = SVM_EFER_SVME;
    vmcb->save.rip = (uintptr_t)svm_idle_code;
    svm_world_switch((uintptr_t)vmcb, gpr);
    return vmcb->control.exit_code == SVM_EXIT_NPF;
}

const char *svm_cpu_self_test(struct svm_cpu *cpu) {
    struct svm_vmcb *vmcb = cpu->idle_vmcb;
    const char *why = NULL;
    bool arrived = false;

    vmcb->control.intercept &= ~SVM_INTERCEPT_INTR; // the firmware may have left one; IF is clear
    if (!holds_without_paging(cpu)) {
        return "nested paging does not hold a guest in real mode (QEMU before 7.2.15)";
    }
    if (probe_nmi(vmcb, &why)) {
        why = "an NMI comes from nowhere";
    }
    svm_apic_send_nmi(cpu->apic_id);
    if (!probe_nmi(vmcb, &why)) {
        why = "an NMI does not leave a guest";
    }
    svm_timer_arm(cpu, 0);
    cpu->armed_100ns = UINT64_MAX;
    for (unsigned i = 0; !arrived && i < TEST_POLLS; i++) { // QEMU may be busy elsewhere
        svm_delay_us(TEST_DELAY_US);
        arrived = probe_nmi(vmcb, &why);
    }
    if (!arrived) {
        why = "the HPET's message does not arrive as an NMI";
    }
    vmcb->control.intercept |= SVM_INTERCEPT_INTR;
    return why;
}
