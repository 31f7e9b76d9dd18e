// SPDX-License-Identifier: MIT
//
// What the emulated processor lets a VTL do to minihost's own state: nested paging and the host's
// paging must be on after each exit and entry, whatever VTLs did (docs/minihost.md).
#include "tests/guest/vtl2/vtl2.h"

#include <string.h>

#define MSR_APIC_BASE 0x1bu
#define STAYS         40000u

static volatile uint64_t stop_loading;

/// Loads x87 state without end: QEMU then changes what it keeps about its first processor.
static void second_loads_x87(void) {
    static const uint32_t environment[7] = {0x37f, 0, 0xffff};

    while (!stop_loading) {
        for (unsigned i = 0; i < 1000; i++) {
            __asm__ volatile("fldenv %0" ::"m"(environment));
        }
    }
}

TEST_VPS(x87_on_the_other_vp, 2) {

    uint64_t zeroes = 0;

    stop_loading = 0;
    on_second_start(second_loads_x87);
    for (unsigned i = 0; i < STAYS; i++) {
        cpu_cpuid(HV_CPUID_LIMITS, 0); // an exit and an entry
        zeroes += *(volatile uint8_t *)hypercall_page == 0;
    }
    stop_loading = 1;
    on_second_wait();
    EQUAL(zeroes, 0);
}

CODE(read_target, 32, "movl 0x200000, %eax\n");
CODE(leave_32, 32, "out %eax, $0xe0\n");
CODE(leave_16, 16, "outl %eax, $0xe0\n");

/// Nested paging is on for both VTLs.
static void expect_nested_paging(void) {
    EXPECT(*(volatile uint8_t *)hypercall_page != 0); // the overlay, not what is under it
    VTL0_CODE(FLAT32, read_target);
    EQUAL(vtl0_run(), HV_MESSAGE_GPA_INTERCEPT);
}

TEST(long_mode_enabled_without_pae) {
    // EFER.LME without CR4.PAE while paging is off: a state that every 64-bit kernel may pass
    // through on its way up.
    EQUAL(protect(TARGET_GPA, 1, 0), REPS(1));
    VTL0_CODE(FLAT32, leave_32);
    vtl0_set(HV_REGISTER_EFER, EFER_LME);
    vtl0_finish();
    EQUAL(vtl0_get(HV_REGISTER_EFER), EFER_LME);
    expect_nested_paging();
    VTL0_CODE(REAL, leave_16);
    vtl0_set(HV_REGISTER_EFER, EFER_LME);
    vtl0_finish();
    expect_nested_paging();
}

TEST(x2apic_mode_of_vtl2) {
    // minihost sends its IPIs by the physical APIC's memory: the mode stays.
    uint64_t base = cpu_rdmsr(MSR_APIC_BASE);

    EQUAL(cpu_cpuid(1, 0).ecx >> 21 & 1, 0);
    EQUAL(base & 0xfffffffffffffeff, 0xfee00800);
    EQUAL(base >> 8 & 1, 1); // VP 0 is the bootstrap processor
    EQUAL(try_wrmsr(MSR_APIC_BASE, base | 1u << 10), FAULT_GP);
    EQUAL(try_wrmsr(MSR_APIC_BASE, base ^ 1u << 11), FAULT_GP);
    EQUAL(try_wrmsr(MSR_APIC_BASE, base), 0);
}
