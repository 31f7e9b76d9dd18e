// SPDX-License-Identifier: MIT
//
// Starts the application processors with INIT and SIPI (Intel SDM vol. 3, 8.4.4), one by one. Later
// VTL2 starts its VPs by hypercall, on processors that run already: INIT is not held by SVM under
// QEMU, so nobody sends it again.

#include <string.h>

#include "loader/bare/panic.h"
#include "tools/minihost/svm/svm.h"

#define TRAMPOLINE_GPA 0x8000u // trampoline.S
#define INIT_DELAY_US  10000u
#define START_WAIT_US  1000000u
#define POLL_US        100u

/// The end of trampoline.S.
struct trampoline_parameters {
    uint64_t cr3;
    uint64_t entry;
    uint64_t stack;
    uint64_t argument;
};

static void start(struct svm_cpu *cpu, size_t trampoline_bytes) {
    struct trampoline_parameters parameters = {
        .cr3 = svm_host.page_tables,
        .entry = (uintptr_t)svm_ap_main,
        .stack = (uintptr_t)cpu->stack_end - 8, // as if it had been called
        .argument = (uintptr_t)cpu,
    };

    memcpy((void *)(uintptr_t)(TRAMPOLINE_GPA + trampoline_bytes - sizeof(parameters)), &parameters,
           sizeof(parameters));
    svm_apic_send(cpu->apic_id, SVM_APIC_INIT);
    svm_delay_us(INIT_DELAY_US);
    svm_apic_send(cpu->apic_id, SVM_APIC_STARTUP | TRAMPOLINE_GPA >> PAGE_SHIFT_4K);
    for (uint32_t waited = 0; waited < START_WAIT_US; waited += POLL_US) {
        if (__atomic_load_n(&cpu->started, __ATOMIC_ACQUIRE) != 0) {
            return;
        }
        svm_delay_us(POLL_US);
    }
    bare_stop("vsm: CPU %u does not start", cpu->index);
}

void svm_smp_start(void) {
    size_t bytes = (uintptr_t)svm_trampoline_end - (uintptr_t)svm_trampoline;
    void *page = (void *)(uintptr_t)TRAMPOLINE_GPA;

    memcpy(page, svm_trampoline, bytes);
    for (uint32_t i = 0; i < svm_host.cpu_count; i++) {
        if (&svm_host.cpus[i] != svm_host.boot) {
            start(&svm_host.cpus[i], bytes);
        }
        svm_timer_assign(&svm_host.cpus[i]);
    }
    memset(page, 0, bytes);
}

_Noreturn void svm_ap_main(struct svm_cpu *cpu) {
    svm_cpu_init(cpu);
    if (svm_apic_id() != cpu->apic_id) {
        bare_stop("vsm: CPU %u has APIC ID %u: QEMU's -smp must number them without gaps",
                  cpu->apic_id, svm_apic_id());
    }
    __atomic_store_n(&cpu->started, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&svm_host.go, __ATOMIC_ACQUIRE) == 0) {
        (void)svm_cpu_idle(cpu);
    }
    svm_run(cpu);
}
