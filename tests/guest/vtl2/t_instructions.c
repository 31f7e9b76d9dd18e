// SPDX-License-Identifier: MIT
//
// Instructions that neither VTL may have: virtualization's own, MONITOR; and control registers'
// values that a processor refuses, which QEMU reports as failed entries (docs/minihost.md).
#include "tests/guest/vtl2/vtl2.h"

#define TRY(instructions, value)                                                                   \
    ({                                                                                             \
        uint64_t fault_;                                                                           \
        __asm__ volatile(GUARDED(instructions)                                                     \
                         : "=&r"(fault_)                                                           \
                         : "a"((uint64_t)(value)), "c"(0), "d"(0)                                  \
                         : "r11", "cc", "memory");                                                 \
        fault_;                                                                                    \
    })

static void svm_instructions(volatile uint64_t *word) {
    word[0] = TRY("vmload %%rax", DATA_GPA);
    word[1] = TRY("vmsave %%rax", DATA_GPA);
    word[2] = TRY("vmrun %%rax", DATA_GPA);
    word[3] = TRY("stgi", 0);
    word[4] = TRY("clgi", 0);
    word[5] = TRY("skinit %%eax", 0);
    word[6] = TRY("invlpga %%rax, %%ecx", 0);
}

TEST(svm_of_vtl2) {
    uint64_t word[7];

    svm_instructions(word);
    for (unsigned i = 0; i < ARRAY_COUNT(word); i++) {
        EQUAL(word[i], FAULT_UD);
    }
}

static void vtl0_svm(void *argument) {
    (void)argument;
    svm_instructions(guest_me()->word);
    guest_me()->word[7] = TRY("monitor", 0);
    guest_me()->word[8] = TRY("mwait", 0);
}

TEST(svm_of_vtl0) {
    vtl0_call(vtl0_svm, NULL);
    for (unsigned i = 0; i < 9; i++) {
        EQUAL(guests[0].word[i], FAULT_UD);
    }
}

static void vtl0_control_registers(void *argument) {
    volatile uint64_t *word = guest_me()->word;
    uint64_t cr0, cr3, cr4;

    (void)argument;
    __asm__ volatile("mov %%cr0, %0; mov %%cr3, %1; mov %%cr4, %2"
                     : "=r"(cr0), "=r"(cr3), "=r"(cr4));
    word[0] = TRY("mov %%rax, %%cr0", cr0 | UINT64_C(1) << 32);
    word[1] = TRY("mov %%rax, %%cr3", cr3 | UINT64_C(1) << 51);
    word[2] = TRY("mov %%rax, %%cr4", cr4 | UINT64_C(1) << 31);
    word[3] = TRY("mov %%rax, %%cr8", 16);
    word[4] = TRY("mov %%rax, %%cr4", cr4);
    word[5] = TRY("mov %%rax, %%cr3", cr3);
    word[6] = TRY("mov %%rax, %%cr0", cr0);
    word[7] = TRY("mov %%rax, %%cr8", 0);
}

TEST(control_register_values) {
    vtl0_call(vtl0_control_registers, NULL);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t fault = guests[0].word[i];

        // QEMU checks not all of what a processor checks; it never ends anything but VTL0.
        if (i == 1 || i >= 4) {
            EQUAL(fault, i == 1 ? FAULT_GP : 0);
        } else {
            EXPECT(fault == FAULT_GP || fault == 0);
        }
    }
}

CODE(user_code, 64, "vmmcall\nnop\ncpuid\nrdmsr\nhlt\n");

TEST(user_mode) {
    // From ring 3 hypercalls are undefined, MSRs and HLT protected; CPUID is for all.
    const struct hv_exception_intercept *e = message();
    static const struct { uint8_t offset, vector; } steps[] = {{0, 6}, {6, 13}, {8, 13}};

    EQUAL(install_intercept(HV_INTERCEPT_EXCEPTION, HV_INTERCEPT_ACCESS_MASK_EXECUTE, 13), 0);
    for (unsigned i = 0; i < ARRAY_COUNT(steps); i++) {
        VTL0_CODE(LONG, user_code);
        EQUAL(set_register(VTL0, HV_REGISTER_CS, 0,
                           UINT64_C(0xa0fb) << 48 | UINT64_C(0x23) << 32 | UINT32_MAX),
              0);
        EQUAL(set_register(VTL0, HV_REGISTER_SS, 0,
                           UINT64_C(0xc0f3) << 48 | UINT64_C(0x2b) << 32 | UINT32_MAX),
              0);
        vtl0_set(HV_REGISTER_RIP, CODE_GPA + steps[i].offset);
        if (steps[i].vector == 6) { // the host's, so not intercepted itself: its missing gate is
            EQUAL(set_register(VTL0, HV_REGISTER_IDTR, 0, 0), 0);
        }
        EQUAL(vtl0_run(), HV_MESSAGE_EXCEPTION_INTERCEPT);
        EQUAL(e->vector, 13);
        EQUAL(e->error_code & 2, steps[i].vector == 6 ? 2 : 0); // IDT
        EQUAL(e->header.state & HV_STATE_CPL_MASK, 3);
        EQUAL(e->header.rip, CODE_GPA + steps[i].offset);
    }
    EQUAL(install_intercept(HV_INTERCEPT_EXCEPTION, HV_INTERCEPT_ACCESS_MASK_NONE, 13), 0);
}
