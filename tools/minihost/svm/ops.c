// SPDX-License-Identifier: MIT
//
// What vsm/ asks of the hardware (struct vsm_ops): time, kicks, interrupts for VTL2, system memory
// as a VTL sees it.

#include <errno.h>

#include "loader/bare/cpu.h"
#include "loader/bare/panic.h"
#include "tools/minihost/svm/svm.h"

#define GIB          (1ull << 30)
#define VTL2_MAP_END (512 * GIB) // beyond: on demand
#define MSR_TSC      0x10u
#define RETRY_100NS  10000u // 1 ms
#define TLFS_READ    1u
#define TLFS_WRITE   2u
#define TLFS_EXECUTE 0xcu // kernel, user: one bit for nested page tables

static void kick(struct vsm_vp *vp) {
    svm_apic_send_nmi(vp->cpu->apic_id);
}

/// Calls a CPU out of what it runs and waits for that. QEMU may lose an NMI (run.c): again then.
static void call_out(const struct svm_cpu *cpu, unsigned vtl, uint32_t entry) {
    uint64_t sent_100ns = 0;

    while (__atomic_load_n(&cpu->running, __ATOMIC_ACQUIRE) == vtl + 1 &&
           __atomic_load_n(&cpu->entries, __ATOMIC_RELAXED) == entry) {
        if (sent_100ns == 0 || svm_now_100ns() - sent_100ns > RETRY_100NS) {
            svm_apic_send_nmi(cpu->apic_id);
            sent_100ns = svm_now_100ns();
        }
        __builtin_ia32_pause();
    }
}

/// Entries flush, so a CPU that is not in the VTL needs nothing. One that is has an NMI to follow
/// at once, whatever locks we hold: it leaves before it takes any.
static void flush(struct vsm_vp *vp, unsigned vtl) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST); // the tables were changed before we look
    for (uint32_t i = 0; i < svm_host.cpu_count; i++) {
        struct svm_cpu *cpu = &svm_host.cpus[i];
        uint32_t entry = __atomic_load_n(&cpu->entries, __ATOMIC_RELAXED);

        if (cpu != vp->cpu) {
            call_out(cpu, vtl, entry);
        }
    }
}

static void raise_vtl2(struct vsm_vp *vp, uint8_t vector) {
    svm_apic_send(vp->cpu->apic_id, SVM_APIC_FIXED | vector);
}

/// RAM of the machine, or minihost's own pages that lie over GPAs.
static bool is_memory(uint64_t hpa) {
    uint64_t page = align_down(hpa, PAGE_SIZE_4K);
    struct gpa_range range = {page, page + PAGE_SIZE_4K};

    return range.end <= svm_host.mapped_end &&
           (machine_is_ram(&svm_host.minihost->machine, range) ||
            gpa_range_contains(svm_host.minihost->self, page, PAGE_SIZE_4K));
}

static void *memory(struct vsm_partition *partition, unsigned vtl, uint64_t gpa, size_t size_bytes,
                    bool is_write) {
    uint64_t hpa;

    (void)partition;
    if (size_bytes == 0 || size_bytes > PAGE_SIZE_4K - gpa % PAGE_SIZE_4K ||
        !npt_translate(&svm_host.npt[vtl], gpa, is_write ? NPT_READ | NPT_WRITE : NPT_READ, &hpa) ||
        !is_memory(hpa)) {
        return NULL;
    }
    return (void *)(uintptr_t)hpa;
}

static int protect(struct vsm_partition *partition, uint64_t gpa_page, uint32_t access) {
    unsigned bits = (access & TLFS_READ) != 0 ? NPT_READ : 0;

    (void)partition;
    bits |= (access & TLFS_WRITE) != 0 ? NPT_WRITE : 0;
    bits |= (access & TLFS_EXECUTE) != 0 ? NPT_EXECUTE : 0;
    if (gpa_page >= NPT_END_GPA >> PAGE_SHIFT_4K) {
        return -ENOENT;
    }
    return npt_protect(&svm_host.npt[VSM_GUEST_VTL], gpa_page << PAGE_SHIFT_4K, bits);
}

static uint32_t protection(struct vsm_partition *partition, uint64_t gpa_page) {
    unsigned bits;

    (void)partition;
    if (gpa_page >= NPT_END_GPA >> PAGE_SHIFT_4K) {
        return 0;
    }
    bits = npt_protection(&svm_host.npt[VSM_GUEST_VTL], gpa_page << PAGE_SHIFT_4K);
    return ((bits & NPT_READ) != 0 ? TLFS_READ : 0) | ((bits & NPT_WRITE) != 0 ? TLFS_WRITE : 0) |
           ((bits & NPT_EXECUTE) != 0 ? TLFS_EXECUTE : 0);
}

static int overlay(struct vsm_partition *partition, unsigned vtl, uint64_t gpa, void *page) {
    (void)partition;
    return npt_overlay(&svm_host.npt[vtl], gpa, (uintptr_t)page);
}

static uint64_t read_tsc(void) {
    return cpu_rdtsc();
}

static uint64_t read_msr(uint32_t index) {
    // QEMU's emulation knows the TSC only as an instruction: the MSR reads 0.
    return index == MSR_TSC ? cpu_rdtsc() : cpu_rdmsr(index);
}

static void write_msr(uint32_t index, uint64_t value) {
    cpu_wrmsr(index, value);
}

static void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
    struct cpuid_regs regs = cpu_cpuid(leaf, subleaf);

    out[0] = regs.eax;
    out[1] = regs.ebx;
    out[2] = regs.ecx;
    out[3] = regs.edx;
}

const struct vsm_ops svm_ops = {
    .now_100ns = svm_now_100ns,
    .kick = kick,
    .flush = flush,
    .raise_vtl2 = raise_vtl2,
    .memory = memory,
    .protect = protect,
    .protection = protection,
    .overlay = overlay,
    .read_tsc = read_tsc,
    .read_msr = read_msr,
    .write_msr = write_msr,
    .cpuid = cpuid,
    .log = bare_print,
};

/// Maps range but for minihost itself.
static void map(unsigned vtl, struct gpa_range range) {
    const struct gpa_range *self = &svm_host.minihost->self;
    struct gpa_range below = {range.start, self->start < range.end ? self->start : range.end};
    struct gpa_range above = {self->end > range.start ? self->end : range.start, range.end};

    if (npt_map(&svm_host.npt[vtl], below, NPT_ALL) != 0 ||
        npt_map(&svm_host.npt[vtl], above, NPT_ALL) != 0) {
        bare_stop("vsm: no memory left for nested page tables");
    }
}

void svm_memory_init(void) {
    const struct machine *machine = &svm_host.minihost->machine;
    uint8_t *shadow = svm_pages((SVM_ALIAS_END - SVM_ALIAS_START) / PAGE_SIZE_4K);
    uint8_t *rom = svm_pages(MINIHOST_ROM_BYTES / PAGE_SIZE_4K);

    for (unsigned vtl = 0; vtl < VSM_VTL_COUNT; vtl += VSM_PARAVISOR) {
        struct npt *npt = &svm_host.npt[vtl];

        npt->heap = &svm_host.heap;
        npt->heap_lock = &svm_host.heap_lock;
        npt->alias[0] = (struct npt_alias){{SVM_ALIAS_START, SVM_ALIAS_END}, (uintptr_t)shadow};
        npt->alias[1] = (struct npt_alias){svm_host.minihost->rom, (uintptr_t)rom};
        if (npt_init(npt) != 0) {
            bare_stop("vsm: no memory left for nested page tables");
        }
    }
    map(VSM_PARAVISOR, (struct gpa_range){0, VTL2_MAP_END});
    map(VSM_GUEST_VTL, svm_host.minihost->rom);
    for (uint32_t i = 0; i < machine->region_count; i++) {
        const struct igvm_memory_map_entry *entry = &machine->regions[i];
        uint64_t start = entry->starting_gpa_page_number << PAGE_SHIFT_4K;

        if (entry->entry_type == IGVM_MEMORY_NORMAL) {
            map(VSM_GUEST_VTL,
                (struct gpa_range){start, start + (entry->number_of_pages << PAGE_SHIFT_4K)});
        }
    }
}

bool svm_memory_demand(uint64_t gpa) {
    uint64_t start = align_down(gpa, GIB);

    return start >= VTL2_MAP_END && start < NPT_END_GPA &&
           npt_protection(&svm_host.npt[VSM_PARAVISOR], gpa) == 0 &&
           npt_map(&svm_host.npt[VSM_PARAVISOR], (struct gpa_range){start, start + GIB}, NPT_ALL) ==
               0;
}
