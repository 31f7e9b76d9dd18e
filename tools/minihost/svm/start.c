// SPDX-License-Identifier: MIT
//
// Platform vsm from the beginning: minihost in its place at the top of memory, all processors as
// hosts for VTLs, the IGVM file loaded into VTL2, then the run loop.
//
// minihost's memory, [self.start, self.end), which no nested page table maps:
//   image with bss | page tables of its own | VPs: VMCBs, save areas, stacks, overlay pages |
//   MSR and port maps | what backs [0xa0000, 0x100000) | what backs VTL0's ROM below 4 GiB |
//   nested page tables, as they grow

#include <errno.h>
#include <string.h>

#include "loader/bare/clock.h"
#include "loader/bare/cpu.h"
#include "loader/bare/panic.h"
#include "tools/minihost/load.h"
#include "tools/minihost/svm/svm.h"

#define GIB             (1ull << 30)
#define PTE_TABLE       0x003u // present, writable
#define PTE_LARGE       0x083u
#define MAX_MAPPED      (512 * GIB) // one page directory pointer table
#define PIC1_DATA       0x21u
#define PIC2_DATA       0xa1u
#define PIC_ALL         0xffu
#define APIC_SVR        ((volatile uint32_t *)(uintptr_t)0xfee000f0u)
#define APIC_SVR_ENABLE 0x1ffu
#define MSR_APIC_BASE   0x1bu
#define EXT_EDX_1G      (1u << 26)
#define SPARE_PAGES     1024u
#define PAGES_PER_VP    (4 + SVM_STACK_BYTES / PAGE_SIZE_4K + 2 * VSM_OVERLAY_KINDS + 16)
#define ASID_BASE       2u // 1 is the sleeping CPU's

struct svm_host svm_host;

void *svm_pages(size_t page_count) {
    void *pages = heap_pages(&svm_host.heap, page_count);

    if (pages == NULL) {
        bare_stop("vsm: minihost's own memory is used up");
    }
    return pages;
}

uint64_t vsm_memory_bytes(const struct minihost *host) {
    uint64_t split = machine_ram_bytes(&host->machine) / (PAGE_SIZE_2M / PAGE_SIZE_4K); // all of it

    return split + MINIHOST_ROM_BYTES +
           (uint64_t)PAGE_SIZE_4K * (SPARE_PAGES + (uint64_t)host->cpu_count * PAGES_PER_VP);
}

/// What can be seen without trying. Ends in a sentence, because the QEMU line is where such
/// mistakes are made.
static void check_processor(void) {
    struct cpuid_regs extended = cpu_cpuid(SVM_CPUID_EXT_FEATURES, 0);

    if ((extended.ecx & SVM_CPUID_ECX_SVM) == 0 ||
        (cpu_rdmsr(SVM_MSR_VM_CR) & SVM_VM_CR_SVMDIS) != 0) {
        bare_stop("vsm: the processor has no SVM: QEMU needs -accel tcg -cpu max,+svm");
    }
    if ((cpu_cpuid(SVM_CPUID_FEATURES, 0).edx & SVM_CPUID_EDX_NPT) == 0 ||
        (extended.edx & EXT_EDX_1G) == 0) {
        bare_stop("vsm: the processor has no nested paging or no 1 GiB pages: QEMU needs -cpu max");
    }
    if (svm_host.minihost->vp_count > VSM_MAX_VPS) {
        bare_stop("vsm: %u CPUs, at most %u are supported", svm_host.minihost->vp_count,
                  VSM_MAX_VPS);
    }
}

/// An identity map of all RAM with 1 GiB pages.
static void make_page_tables(void) {
    const struct machine *machine = &svm_host.minihost->machine;
    uint64_t *root = svm_pages(1), *directory = svm_pages(1);

    svm_host.mapped_end = MINIHOST_MAP_END;
    for (uint32_t i = 0; i < machine->region_count; i++) {
        const struct igvm_memory_map_entry *entry = &machine->regions[i];
        uint64_t end = (entry->starting_gpa_page_number + entry->number_of_pages) << PAGE_SHIFT_4K;

        if (entry->entry_type == IGVM_MEMORY_NORMAL && end > svm_host.mapped_end) {
            svm_host.mapped_end = end < MAX_MAPPED ? end : MAX_MAPPED;
        }
    }
    root[0] = (uintptr_t)directory | PTE_TABLE;
    for (uint64_t i = 0; i * GIB < svm_host.mapped_end; i++) {
        directory[i] = i * GIB | PTE_LARGE;
    }
    svm_host.page_tables = (uintptr_t)root;
    __asm__ volatile("mov %0, %%cr3" ::"r"(svm_host.page_tables) : "memory");
}

static void start_processors(void) {
    const char *why;

    cpu_outb(PIC1_DATA, PIC_ALL); // SeaBIOS leaves the timer running
    cpu_outb(PIC2_DATA, PIC_ALL);
    *APIC_SVR = APIC_SVR_ENABLE;
    svm_host.cpu_count = svm_host.minihost->vp_count;
    svm_host.spare_count = svm_host.minihost->cpu_count - svm_host.cpu_count;
    svm_host.cpus = svm_pages(
        heap_page_count((svm_host.cpu_count + svm_host.spare_count) * sizeof(struct svm_cpu)));
    for (uint32_t i = 0; i < svm_host.cpu_count; i++) {
        svm_cpu_allocate(&svm_host.cpus[i], i, i + svm_host.spare_count); // as QEMU numbers them
    }
    svm_host.boot = &svm_host.cpus[0];
    if (svm_host.spare_count != 0) {
        svm_host.boot = &svm_host.cpus[svm_host.cpu_count];
        svm_cpu_allocate(svm_host.boot, 0, 0); // it borrows VP 0's comparator for its test
    }
    svm_timer_init();
    svm_timer_assign(svm_host.boot);
    svm_host.minihost->tsc_khz = (uint32_t)(svm_host.tsc_hz / 1000); // better than the PIT's
    clock_start(svm_host.minihost->entry_tsc, svm_host.minihost->tsc_khz);
    svm_cpu_init(svm_host.boot);
    why = svm_cpu_self_test(svm_host.boot);
    if (why != NULL) {
        bare_stop("vsm: %s: is this QEMU's TCG with -cpu max,+svm?", why);
    }
    svm_smp_start();
}

static void allow_msr(uint8_t *bitmap, uint32_t msr) {
    uint32_t offset = msr < 0x2000u ? SVM_MSRPM_LOW_OFF : SVM_MSRPM_C000_OFF;

    bitmap[offset + (msr & 0x1fffu) / 4] &= (uint8_t) ~(3u << (msr & 3) * 2);
}

static void forbid_msr(uint8_t *bitmap, uint32_t msr) {
    uint32_t offset = msr < 0x2000u        ? SVM_MSRPM_LOW_OFF
                      : msr >= 0xc0010000u ? SVM_MSRPM_C001_OFF
                                           : SVM_MSRPM_C000_OFF;

    bitmap[offset + (msr & 0x1fffu) / 4] |= (uint8_t)(3u << (msr & 3) * 2);
}

/// VTL0: all exit but those that VMLOAD switches. VTL2: only what would tell of minihost's use of
/// the processor or break it.
static void make_maps(void) {
    static const uint32_t in_vmcb[] = {0x174,      0x175,      0x176,      0xc0000081, 0xc0000082,
                                       0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102};
    static const uint32_t of_host[] = {MSR_APIC_BASE, MSR_EFER, SVM_MSR_VM_CR, SVM_MSR_HSAVE_PA};
    uint8_t *guest = svm_pages(SVM_MSRPM_BYTES / PAGE_SIZE_4K);
    uint8_t *paravisor = svm_pages(SVM_MSRPM_BYTES / PAGE_SIZE_4K);

    memset(guest, 0xff, SVM_MSRPM_BYTES);
    for (size_t i = 0; i < ARRAY_COUNT(in_vmcb); i++) {
        allow_msr(guest, in_vmcb[i]);
    }
    for (size_t i = 0; i < ARRAY_COUNT(of_host); i++) {
        forbid_msr(paravisor, of_host[i]);
    }
    svm_host.msr_bitmap[VSM_GUEST_VTL] = guest;
    svm_host.msr_bitmap[VSM_PARAVISOR] = paravisor;
    svm_host.port_bitmap = svm_pages(SVM_IOPM_BYTES / PAGE_SIZE_4K);
    memset(svm_host.port_bitmap, 0xff, SVM_IOPM_BYTES);
}

static void make_vp(struct vsm_vp *vp, uint32_t index) {
    vp->partition = &svm_host.partition;
    vp->index = index;
    vp->cpu = &svm_host.cpus[index];
    vp->apic_id = index;
    vp->physical_apic_id = vp->cpu->apic_id;
    vp->cpu->vp = vp;
    for (unsigned vtl = 0; vtl < VSM_VTL_COUNT; vtl += VSM_PARAVISOR) {
        vp->vtl[vtl].vmcb = svm_pages(1);
        for (unsigned kind = 0; kind < VSM_OVERLAY_KINDS; kind++) {
            vp->vtl[vtl].overlay[kind].page = svm_pages(1);
        }
    }
}

/// The parts of a VMCB that say where minihost keeps things.
static void point_vmcb(struct svm_vmcb *vmcb, unsigned vtl) {
    vmcb->control.msrpm_base_pa = (uintptr_t)svm_host.msr_bitmap[vtl];
    vmcb->control.iopm_base_pa = (uintptr_t)svm_host.port_bitmap;
    vmcb->control.nested_control = SVM_NESTED_PAGING;
    vmcb->control.nested_cr3 = (uintptr_t)svm_host.npt[vtl].root;
    vmcb->control.asid = ASID_BASE + vtl;
    vmcb->control.tlb_control = SVM_TLB_FLUSH_ALL; // nested tables change under it
}

static void make_partition(void) {
    struct vsm_partition *partition = &svm_host.partition;

    svm_memory_init();
    make_maps();
    partition->ops = &svm_ops;
    partition->tsc_hz = svm_host.tsc_hz;
    partition->tsc_zero = svm_host.tsc_start;
    partition->apic_hz = 1000000000; // QEMU's local APIC counts nanoseconds
    partition->vp_count = svm_host.cpu_count;
    partition->vps = svm_pages(heap_page_count(partition->vp_count * sizeof(struct vsm_vp)));
    for (uint32_t i = 0; i < partition->vp_count; i++) {
        make_vp(&partition->vps[i], i);
    }
    vsm_init(partition);
    for (uint32_t i = 0; i < partition->vp_count; i++) {
        for (unsigned vtl = 0; vtl < VSM_VTL_COUNT; vtl += VSM_PARAVISOR) {
            point_vmcb(partition->vps[i].vtl[vtl].vmcb, vtl);
        }
    }
}

/// The registers of VTL2's first VP, as the file's register list has them.
static const char *set_registers(const struct igvm_vp *vp) {
    struct vsm_vp *to = &svm_host.partition.vps[0];

    for (uint32_t i = 0; i < vp->register_count; i++) {
        struct igvm_vbs_vp_context_register reg = igvm_vp_register(vp, i);
        struct hv_register_value value;

        memcpy(&value, reg.value, sizeof(reg.value));
        if (reg.vtl != VSM_PARAVISOR) {
            return "the VP context sets registers of another VTL than 2";
        }
        if (vsm_set_initial_register(to, reg.register_name, &value) != 0) {
            bare_print("IGVM: VP context: register 0x%x", reg.register_name);
            return "the VP context has a register that cannot be set";
        }
    }
    return NULL;
}

static const struct load_platform platform = {
    .type = IGVM_PLATFORM_VSM_ISOLATION,
    .name = "VSM_ISOLATION",
    .set_registers = set_registers,
};

_Noreturn void vsm_run(struct minihost *host) {
    uint8_t *image_end = (uint8_t *)(uintptr_t)minihost_end_gpa();

    svm_host.minihost = host;
    svm_host.heap = (struct heap){image_end, (uint8_t *)(uintptr_t)host->self.end};
    check_processor();
    make_page_tables();
    start_processors();
    // Nothing is used any more where QEMU had put us: neither page tables nor GDT.
    memset((void *)(uintptr_t)MINIHOST_START_GPA, 0, minihost_end_gpa() - minihost_start_gpa());
    make_partition();
    host->rsdp_gpa = 0; // its tables describe devices that VTLs get from elsewhere
    load_image(host, &platform);
    bare_print("%u VPs, TSC %lu kHz, minihost in [0x%lx, 0x%lx), %lu KiB of it free",
               svm_host.cpu_count, (unsigned long)(svm_host.tsc_hz / 1000),
               (unsigned long)host->self.start, (unsigned long)host->self.end,
               (unsigned long)(svm_host.heap.end - svm_host.heap.next) >> 10);
    bare_print("entering VTL2 of VP 0 at 0x%lx",
               (unsigned long)svm_host.partition.vps[0].vtl[VSM_PARAVISOR].vmcb->save.rip);
    __atomic_store_n(&svm_host.go, 1, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < svm_host.cpu_count; i++) {
        if (&svm_host.cpus[i] != svm_host.boot) {
            svm_apic_send_nmi(svm_host.cpus[i].apic_id);
        }
    }
    if (svm_host.spare_count != 0) {
        svm_apic_disable();
        cpu_halt_forever();
    }
    svm_run(&svm_host.cpus[0]);
}
