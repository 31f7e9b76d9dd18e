// SPDX-License-Identifier: MIT
//
// The run loop of a CPU: enter the VTL that vsm/ chose, take NMIs, give every other exit to vsm/.
//
// NMIs are taken only after they ended a VTL or a sleep, and vsm_before_entry() or vsm_woken()
// comes before the next entry: what another CPU left for this one before it sent an NMI is always
// seen.

#include <stddef.h>
#include <string.h>

#include "loader/bare/cpu.h"
#include "loader/bare/panic.h"
#include "tools/minihost/svm/svm.h"

#define SAVED_BYTES         offsetof(struct svm_save, reserved_670) ///< of the save area, what counts
#define LONGEST_SLEEP_100NS 1000000u                                // 100 ms

#define RESET_PORT        0xcf9u // PIIX/ICH reset control
#define RESET_HARD        0x06u
#define KEYBOARD_PORT     0x64u
#define KEYBOARD_RESET    0xfeu
#define PM1A_CONTROL_PORT 0x604u   // where SeaBIOS puts it on QEMU's q35
#define PM1A_S5           0x2000u  // SLP_EN, SLP_TYP 0
#define STOP_DELAY_US     1000000u // QEMU ends the machine a little after it was asked to

/// A state that VMRUN refuses (a guest can bring one about) leaves minihost's own in the save area:
/// QEMU stores what it has. A refused write to a control register has the same exit code, but
/// leaves the VP's state. The VP's state comes back from the copy. With any other exit code the VTL
/// ran, and its state was written over: the copy is then good for a report only. (Known cause:
/// svm.h, when minihost's CPU is QEMU's first of several.)
static void look_for_state(struct svm_cpu *cpu, unsigned vtl, const uint8_t *before) {
    struct vsm_vp *vp = cpu->vp;
    struct svm_vmcb *vmcb = vp->vtl[vtl].vmcb;
    bool is_ours = vmcb->save.cr3 == cpu_read_cr3() &&
                   gpa_range_contains(svm_host.minihost->self, vmcb->save.rip, 1);

    vp->refused = is_ours && (uint32_t)vmcb->control.exit_code == SVM_EXIT_INVALID;
    vp->lost = is_ours && !vp->refused;
    if (vp->lost) {
        bare_print("CPU %u VTL%u: no state came back with exit 0x%lx (0x%lx 0x%lx), entry %u",
                   cpu->index, vtl, (unsigned long)vmcb->control.exit_code,
                   (unsigned long)vmcb->control.exit_info_1,
                   (unsigned long)vmcb->control.exit_info_2, cpu->entries);
    }
    if (is_ours) {
        memcpy(&vmcb->save, before, SAVED_BYTES);
    }
}

/// One entry and its exit.
static enum vsm_next enter(struct svm_cpu *cpu) {
    struct vsm_vp *vp = cpu->vp;
    unsigned vtl = vp->active_vtl;
    struct svm_vmcb *vmcb = vp->vtl[vtl].vmcb;
    uint8_t before[SAVED_BYTES];

    svm_timer_arm(cpu, vsm_deadline(vp));
    vmcb->save.rax = vp->gpr[VSM_RAX];
    vmcb->save.rsp = vp->gpr[VSM_RSP];
    memcpy(before, &vmcb->save, sizeof(before));
    __atomic_store_n(&cpu->entries, cpu->entries + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&cpu->running, vtl + 1, __ATOMIC_SEQ_CST); // before the tables are looked at
    svm_world_switch((uintptr_t)vmcb, vp->gpr);
    __atomic_store_n(&cpu->running, 0, __ATOMIC_RELEASE);
    look_for_state(cpu, vtl, before);
    vp->gpr[VSM_RAX] = vmcb->save.rax;
    vp->gpr[VSM_RSP] = vmcb->save.rsp;
    cpu->exits[vtl]++;
    if (vmcb->control.exit_code == SVM_EXIT_NMI) {
        cpu->armed_100ns = UINT64_MAX; // it may have been the timer's
        svm_take_nmi();
    }
    if (vtl == VSM_PARAVISOR && vmcb->control.exit_code == SVM_EXIT_NPF && !vp->lost &&
        svm_memory_demand(vmcb->control.exit_info_2)) {
        return VSM_RUN; // again
    }
    return vsm_handle_exit(vp);
}

/// QEMU changes a CPU's pending interrupts without a lock while the CPU itself does (VMRUN, exits),
/// so that once in a long while an NMI is lost: nobody sleeps for ever.
static uint64_t wake_up_time(const struct svm_cpu *cpu) {
    uint64_t deadline = vsm_deadline(cpu->vp), now;

    if (deadline != UINT64_MAX) {
        return deadline;
    }
    now = svm_now_100ns();
    return cpu->armed_100ns > now && cpu->armed_100ns <= now + LONGEST_SLEEP_100NS
               ? cpu->armed_100ns
               : now + LONGEST_SLEEP_100NS;
}

static enum vsm_next sleep(struct svm_cpu *cpu) {
    bool physical_pending;

    svm_timer_arm(cpu, wake_up_time(cpu));
    physical_pending = svm_cpu_idle(cpu);
    if (!physical_pending) {
        cpu->armed_100ns = UINT64_MAX;
    }
    return vsm_woken(cpu->vp, physical_pending);
}

/// What the machine cost, for the benchmarks. The other CPUs may still count.
static void print_statistics(void) {
    uint64_t switches = 0, exits[VSM_VTL_COUNT] = {0};

    for (uint32_t i = 0; i < svm_host.cpu_count; i++) {
        switches += svm_host.partition.vps[i].switches;
        for (unsigned vtl = 0; vtl < VSM_VTL_COUNT; vtl++) {
            exits[vtl] += svm_host.cpus[i].exits[vtl];
        }
    }
    bare_print("vsm: %llu VTL switches; exits: VTL0 %llu, VTL2 %llu", (unsigned long long)switches,
               (unsigned long long)exits[VSM_GUEST_VTL], (unsigned long long)exits[VSM_PARAVISOR]);
}

/// One CPU says why and ends the machine, the others hold still.
_Noreturn static void stop(struct svm_cpu *cpu) {
    enum vsm_stop_kind kind = svm_host.partition.stop;

    if (__atomic_exchange_n(&svm_host.stopping, 1, __ATOMIC_ACQ_REL) != 0) {
        cpu_halt_forever();
    }
    for (uint32_t i = 0; i < svm_host.cpu_count; i++) {
        if (&svm_host.cpus[i] != cpu) {
            svm_apic_send_nmi(svm_host.cpus[i].apic_id);
        }
    }
    print_statistics();
    if (kind == VSM_STOP_POWER) {
        cpu_outw(PM1A_CONTROL_PORT, PM1A_S5);
        cpu_halt_forever(); // QEMU takes its time
    }
    if (kind == VSM_STOP_RESET) {
        bare_print("VTL2 asks for a reset");
        cpu_outb(RESET_PORT, RESET_HARD);
        cpu_outb(KEYBOARD_PORT, KEYBOARD_RESET);
        cpu_halt_forever();
    }
    svm_dump(cpu->vp);
    bare_stop("vsm: VP %u cannot go on", cpu->index);
}

_Noreturn void svm_run(struct svm_cpu *cpu) {
    enum vsm_next next = VSM_RUN;

    for (;;) {
        if (next == VSM_RUN) {
            next = vsm_before_entry(cpu->vp);
        }
        if (__atomic_load_n(&svm_host.stopping, __ATOMIC_RELAXED) != 0) {
            next = VSM_STOP;
        }
        switch (next) {
        case VSM_RUN:
            next = enter(cpu);
            break;
        case VSM_IDLE:
            next = sleep(cpu);
            break;
        case VSM_STOP:
            stop(cpu);
        }
    }
}
