// SPDX-License-Identifier: MIT
//
// The processor's part of the vsm host: what its files share. Knows CPUs, VMCBs and nested page
// tables; what an exit means is vsm/'s matter (tools/minihost/vsm/vsm.h).
//
// Every CPU runs with GIF and IF clear from svm_cpu_init() on. minihost's wake-ups are NMIs: the
// HPET's (svm_timer_*) and other CPUs' (svm_apic_send_nmi). External interrupts are VTL2's.
//
// QEMU's first CPU hosts a VP only when there is no other. FLDENV, FRSTOR, FXRSTOR and XRSTOR of
// any CPU change a word of QEMU's first one without a lock (the PC's IGNNE# is a bit of it), and
// GIF and "nested paging is on" are bits of the same word: a change of theirs may be lost. With
// several CPUs the first brings up the others and then halts. VTL2 sees the others' own APIC IDs,
// from 1 on; VTL0's are numbers of minihost's.
#pragma once

#include "tools/minihost/minihost.h"
#include "tools/minihost/svm/heap.h"
#include "tools/minihost/svm/npt.h"
#include "tools/minihost/svm/vmcb.h"
#include "tools/minihost/vsm/vsm.h"

#define SVM_STACK_BYTES 0x8000u
#define SVM_ALIAS_START 0xa0000u ///< VGA window, option ROMs and BIOS: RAM of minihost's for VTLs
#define SVM_ALIAS_END   0x100000u

/// One processor. Belongs to itself, but for what says otherwise.
struct svm_cpu {
    uint32_t index; ///< the VP's
    uint32_t apic_id;
    uint32_t started; ///< atomic, set by the CPU when it is up
    struct vsm_vp *vp;
    struct svm_vmcb *idle_vmcb; ///< runs HLT: an idle CPU is one that runs this
    uint8_t *host_save_area;    ///< VM_HSAVE_PA
    uint8_t *stack_end;
    uint32_t running;     ///< atomic: the VTL it is in, + 1; 0: in minihost
    uint32_t entries;     ///< atomic: goes up with each
    uint64_t armed_100ns; ///< when the timer's NMI comes; UINT64_MAX: not armed
    uint64_t exits[VSM_VTL_COUNT];
};

/// Everything of minihost on vsm, once per machine; fixed after start unless a lock is named.
struct svm_host {
    struct minihost *minihost;
    struct heap heap;
    struct spinlock heap_lock;     ///< for heap
    struct npt npt[VSM_VTL_COUNT]; ///< [1] is not used
    struct vsm_partition partition;
    struct svm_cpu *cpus; ///< for the VPs
    uint32_t cpu_count;
    struct svm_cpu *boot; ///< where minihost began: cpus[0], or one more
    uint32_t spare_count; ///< 1: one more, 0: cpus[0]
    uint64_t page_tables; ///< CR3 of minihost itself, below 4 GiB
    uint64_t mapped_end;  ///< it maps [0, this)
    uint64_t tsc_hz, tsc_start, tsc_scale;
    uint8_t *msr_bitmap[VSM_VTL_COUNT];
    uint8_t *port_bitmap; ///< VTL0's
    uint32_t go;          ///< atomic: VPs may run
    uint32_t stopping;    ///< atomic: a CPU reports, the others hold still
};

extern struct svm_host svm_host;

/// The heap's pages, zeroed; stops minihost when there are none left.
void *svm_pages(size_t page_count);

// switch.S, trampoline.S
void svm_world_switch(uint64_t vmcb_gpa, uint64_t gpr[16]);
void svm_take_nmi(void);
void svm_nmi_gate(void);
extern const uint8_t svm_idle_code[];
extern const uint8_t svm_trampoline[], svm_trampoline_end[];

// cpu.c
/// Fills in a CPU's own memory.
void svm_cpu_allocate(struct svm_cpu *cpu, uint32_t index, uint32_t apic_id);
/// Makes the CPU that runs this a host for VTLs: GDT, IDT, EFER.SVME, host save area; clears GIF.
void svm_cpu_init(struct svm_cpu *cpu);
/// Sleeps until an NMI or an external interrupt is pending. The NMI is taken; true: an external
/// interrupt waits.
bool svm_cpu_idle(struct svm_cpu *cpu);
/// Sends and takes an NMI through a guest, the way VTLs are interrupted. NULL, or what is wrong.
const char *svm_cpu_self_test(struct svm_cpu *cpu);

// smp.c
/// Starts the other processors; each goes to svm_ap_main(). Stops minihost when one stays silent.
void svm_smp_start(void);
/// First C function of such a processor.
_Noreturn void svm_ap_main(struct svm_cpu *cpu);

// apic.c: the physical local APIC, which belongs to VTL2
uint32_t svm_apic_id(void);
/// This CPU takes no more interrupts.
void svm_apic_disable(void);
void svm_apic_send(uint32_t apic_id, uint32_t command);
void svm_apic_send_nmi(uint32_t apic_id);
#define SVM_APIC_NMI     0x00004400u ///< interrupt command: NMI, assert
#define SVM_APIC_INIT    0x00004500u
#define SVM_APIC_STARTUP 0x00004600u ///< + page number
#define SVM_APIC_FIXED   0x00004000u ///< + vector

// timer.c
/// Finds the HPET and measures the TSC. Stops minihost when the HPET cannot send NMIs to all CPUs.
void svm_timer_init(void);
/// Gives a CPU its comparator, which then sends to cpu->apic_id.
void svm_timer_assign(const struct svm_cpu *cpu);
/// Time since start, the same on all CPUs.
uint64_t svm_now_100ns(void);
/// An NMI to this CPU at a time of svm_now_100ns(), or soon if that is past; UINT64_MAX: none.
void svm_timer_arm(struct svm_cpu *cpu, uint64_t at_100ns);
void svm_delay_us(uint64_t us);

// ops.c
extern const struct vsm_ops svm_ops;
/// Builds the nested page tables.
void svm_memory_init(void);
/// VTL2 reached for MMIO that is not mapped yet: maps it. false: that is not it.
bool svm_memory_demand(uint64_t gpa);

// run.c
/// Runs the CPU's VP for ever.
_Noreturn void svm_run(struct svm_cpu *cpu);

// dump.c
/// Prints both VTLs of a VP.
void svm_dump(const struct vsm_vp *vp);
