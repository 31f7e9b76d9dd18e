// SPDX-License-Identifier: MIT
//
// What a VTL is promised before it calls anything: CPUID leaves, synthetic MSRs, crash registers.
#include "tests/guest/vtl2/vtl2.h"

TEST(cpuid_hypervisor) {
    struct cpuid_regs r = cpu_cpuid(HV_CPUID_VENDOR, 0);

    EXPECT(cpu_cpuid(1, 0).ecx >> 31);
    EXPECT(r.eax >= HV_CPUID_LIMITS && r.eax < 0x50000000u);
    EXPECT(r.ebx == HV_CPUID_VENDOR_EBX && r.ecx == HV_CPUID_VENDOR_ECX &&
           r.edx == HV_CPUID_VENDOR_EDX);
    EQUAL(cpu_cpuid(HV_CPUID_INTERFACE, 0).eax, HV_CPUID_INTERFACE_EAX);
    r = cpu_cpuid(HV_CPUID_FEATURES, 0);
    EXPECT(r.eax & HV_FEATURE_HYPERCALL);
    EXPECT(r.eax & HV_FEATURE_VP_INDEX);
    EQUAL(r.ebx & 1u, 0);         // no partitions to create,
    EQUAL(r.ebx & (1u << 12), 0); // no root partition
    EXPECT(r.ebx & HV_PRIVILEGE_ACCESS_VSM);
    EXPECT(r.ebx & HV_PRIVILEGE_VP_REGISTERS);
    EQUAL(r.edx & (1u << 4), 0); // no input in XMM registers
    EQUAL(cpu_cpuid(HV_CPUID_LIMITS, 0).eax, vp_count);
    EQUAL(cpu_cpuid(0x40000082u, 0).eax, 0);
}

TEST(cpuid_hides_virtualisation) {
    EQUAL(cpu_cpuid(0x80000001u, 0).ecx & (1u << 2), 0);
    EQUAL(cpu_cpuid(0x8000000au, 0).eax, 0);
    EQUAL(cpu_cpuid(1, 0).ecx & (1u << 26 | 1u << 27 | 1u << 28), 0); // VTL2: XSAVE, AVX
}

static void vtl0_cpuid(void *argument) {
    volatile uint64_t *word = guest_me()->word;
    struct cpuid_regs r = cpu_cpuid(HV_CPUID_FEATURES, 0);

    (void)argument;
    word[0] = r.eax;
    word[1] = r.ebx;
    word[2] = r.edx;
    word[3] = cpu_cpuid(HV_CPUID_VENDOR, 0).ebx;
    word[4] = cpu_cpuid(1, 0).ecx;
    word[5] = cpu_cpuid(0x80000001u, 0).ecx;
}

TEST(cpuid_vtl0) {
    volatile uint64_t *word = guests[0].word;

    vtl0_call(vtl0_cpuid, NULL);
    EQUAL(word[3], HV_CPUID_VENDOR_EBX);
    EQUAL(~word[0] & (HV_FEATURE_HYPERCALL | HV_FEATURE_VP_INDEX | HV_FEATURE_TIME_REF_COUNT |
                      HV_FEATURE_SYNIC | HV_FEATURE_STIMER | HV_FEATURE_REFERENCE_TSC |
                      HV_FEATURE_FREQUENCY_MSRS),
          0);
    EXPECT(word[2] & HV_MISC_STIMER_DIRECT);
    EQUAL(word[1] & (HV_PRIVILEGE_ACCESS_VSM | HV_PRIVILEGE_VP_REGISTERS | 1u << 12 | 1), 0);
    EXPECT(word[4] & (1u << 21));             // x2APIC
    EQUAL(word[4] & (1u << 3 | 1u << 24), 0); // MONITOR, TSC deadline
    EQUAL(word[5] & (1u << 2), 0);            // SVM
}

TEST(msr_basics) {
    uint64_t value, again;

    EQUAL(try_rdmsr(HV_MSR_VP_INDEX, &value), 0);
    EQUAL(value, 0);
    EQUAL(try_rdmsr(HV_MSR_GUEST_OS_ID, &value), 0);
    EQUAL(value, UINT64_C(0x8100) << 48 | 1);
    EQUAL(try_rdmsr(HV_MSR_HYPERCALL, &value), 0);
    EQUAL(value, (uintptr_t)hypercall_page | HV_MSR_PAGE_ENABLE);
    EQUAL(try_rdmsr(HV_MSR_TSC_FREQUENCY, &value), 0);
    EXPECT(value > 100000000u);
    EQUAL(try_rdmsr(HV_MSR_APIC_FREQUENCY, &value), 0);
    EQUAL(value, 1000000000u);
    EQUAL(try_rdmsr(HV_MSR_TIME_REF_COUNT, &value), 0);
    EQUAL(try_rdmsr(HV_MSR_TIME_REF_COUNT, &again), 0);
    EXPECT(again > value);
    EQUAL(try_rdmsr(HV_MSR_VP_ASSIST_PAGE, &value), 0);
    EQUAL(value, (uintptr_t)me()->assist | HV_MSR_PAGE_ENABLE);
    EQUAL(try_rdmsr(HV_MSR_SVERSION, &value), 0);
    EQUAL(value, 1);
}

TEST(msr_refused) {
    static const uint32_t read_only[] = {HV_MSR_VP_INDEX, HV_MSR_TIME_REF_COUNT,
                                         HV_MSR_TSC_FREQUENCY, HV_MSR_APIC_FREQUENCY,
                                         HV_MSR_SVERSION};
    uint64_t value;

    for (unsigned i = 0; i < ARRAY_COUNT(read_only); i++) {
        EQUAL(try_wrmsr(read_only[i], 1), FAULT_GP);
    }
    EQUAL(try_rdmsr(0x40000fffu, &value), FAULT_GP);
    EQUAL(try_wrmsr(0x40000fffu, 1), FAULT_GP);
    EQUAL(try_wrmsr(HV_MSR_TSC_INVARIANT_CONTROL, 2), FAULT_GP);
    EQUAL(try_wrmsr(HV_MSR_VP_ASSIST_PAGE, UINT64_C(1) << 60 | 1), FAULT_GP);
    EQUAL(try_wrmsr(MSR_EFER, UINT64_C(1) << 20), FAULT_GP);
}

TEST(msr_invariant_tsc) {
    EQUAL(try_wrmsr(HV_MSR_TSC_INVARIANT_CONTROL, 1), 0);
    EXPECT(cpu_cpuid(0x80000007u, 0).edx & (1u << 8));
}

TEST(msr_efer) {
    uint64_t efer = cpu_rdmsr(MSR_EFER);

    EQUAL(efer & (1u << 12), 0); // SVME is the host's
    EQUAL(try_wrmsr(MSR_EFER, efer | EFER_SCE), 0);
    EQUAL(cpu_rdmsr(MSR_EFER), efer | EFER_SCE);
    EQUAL(try_wrmsr(MSR_EFER, efer & ~EFER_LME), FAULT_GP); // paging is on
    EQUAL(try_wrmsr(MSR_EFER, efer), 0);
}

static void vtl0_msrs(void *argument) {
    volatile uint64_t *word = guest_me()->word;
    uint64_t value = 0;

    (void)argument;
    word[0] = try_rdmsr(HV_MSR_VP_INDEX, &value);
    word[1] = value;
    word[2] = try_wrmsr(HV_MSR_RESET, 1);
    word[3] = try_rdmsr(0x40000fffu, &value);
    word[4] = try_wrmsr(0x277, 0x0007040600070406u);
    word[5] = try_wrmsr(0x277, 2);
    word[6] = try_rdmsr(0xc0010114u, &value);
    word[7] = value;
    word[8] = try_wrmsr(HV_MSR_GUEST_OS_ID, 7);
    word[9] = cpu_rdmsr(HV_MSR_GUEST_OS_ID);
    word[10] = cpu_rdmsr(0xfe);
    word[11] = try_wrmsr(MSR_EFER, cpu_rdmsr(MSR_EFER) | 1u << 12);
    word[12] = cpu_rdmsr(MSR_EFER);
}

TEST(msr_vtl0) {
    volatile uint64_t *word = guests[0].word;

    vtl0_call(vtl0_msrs, NULL);
    EQUAL(word[0], 0);
    EQUAL(word[1], 0);
    EQUAL(word[2], FAULT_GP); // reset is not VTL0's
    EQUAL(word[3], FAULT_GP);
    EQUAL(word[4], 0);
    EQUAL(word[5], FAULT_GP);
    EQUAL(word[6], 0);
    EXPECT(word[7] & (1u << 4)); // SVM is disabled
    EQUAL(word[8], 0);
    EQUAL(word[9], 7);
    EQUAL(cpu_rdmsr(HV_MSR_GUEST_OS_ID), UINT64_C(0x8100) << 48 | 1); // VTL2 has its own
    EXPECT(word[10] & 0xff);
    EQUAL(word[11], 0);
    EQUAL(word[12] & (1u << 12), 0);
}

TEST(crash_msrs) {
    uint64_t value;

    for (uint32_t i = 0; i < 5; i++) {
        EQUAL(try_wrmsr(HV_MSR_CRASH_P0 + i, 0x1111u * i), 0);
    }
    for (uint32_t i = 0; i < 5; i++) {
        EQUAL(try_rdmsr(HV_MSR_CRASH_P0 + i, &value), 0);
        EQUAL(value, 0x1111u * i);
    }
    EQUAL(try_rdmsr(HV_MSR_CRASH_CTL, &value), 0);
    EQUAL(value, HV_CRASH_CTL_NOTIFY | HV_CRASH_CTL_MESSAGE);
    EQUAL(try_wrmsr(HV_MSR_CRASH_CTL, 0), 0); // no report; minihost.sh looks for one below
}

TEST(crash_report) {
    static const char text[] = "the text of a crash that was asked for";

    cpu_wrmsr(HV_MSR_CRASH_P0, 0xc0de);
    cpu_wrmsr(HV_MSR_CRASH_P0 + 3, (uintptr_t)text);
    cpu_wrmsr(HV_MSR_CRASH_P4, sizeof(text) - 1);
    EQUAL(try_wrmsr(HV_MSR_CRASH_CTL, HV_CRASH_CTL_NOTIFY | HV_CRASH_CTL_MESSAGE), 0);
}
