// SPDX-License-Identifier: MIT
//
// What minihost answers to CPUID and to MSR accesses of both VTLs, and the pages that MSRs lay over
// memory (TLFS, "Feature and Interface Discovery", "Synthetic MSRs", "GPA Overlay Pages").

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/fake_partition.h"
#include "tools/minihost/vsm/internal.h"

#define RIP       UINT64_C(0x1000)
#define EFER      0xc0000080u
#define APIC_BASE 0x1bu
#define PAT       0x277u

__extension__ typedef unsigned __int128 u128;

static struct fake_partition *f;

static int setup(void **state) {
    (void)state;
    f = fake_partition_new();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    fake_partition_free(f);
    return 0;
}

static struct svm_save *save(unsigned vtl) {
    return &f->vps[0].vtl[vtl].vmcb->save;
}

/// CPUID by exit; EAX in out[0].
static void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
    struct vsm_vp *vp = &f->vps[0];
    uint64_t rip = save(vp->active_vtl)->rip;

    vp->gpr[VSM_RAX] = UINT64_C(0xffffffff00000000) | leaf;
    vp->gpr[VSM_RCX] = subleaf;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_CPUID, 0, 0), VSM_RUN);
    assert_true(save(vp->active_vtl)->rip == rip + 2);
    assert_true(vp->gpr[VSM_RAX] <= UINT32_MAX);
    out[0] = (uint32_t)vp->gpr[VSM_RAX];
    out[1] = (uint32_t)vp->gpr[VSM_RBX];
    out[2] = (uint32_t)vp->gpr[VSM_RCX];
    out[3] = (uint32_t)vp->gpr[VSM_RDX];
}

static void test_hypervisor_leaves(void **state) {
    uint32_t r[4];

    (void)state;
    cpuid(HV_CPUID_VENDOR, 0, r);
    assert_int_equal(r[0], HV_CPUID_HARDWARE);
    assert_int_equal(r[1], HV_CPUID_VENDOR_EBX);
    cpuid(HV_CPUID_INTERFACE, 0, r);
    assert_int_equal(r[0], HV_CPUID_INTERFACE_EAX);
    cpuid(HV_CPUID_FEATURES, 0, r);
    assert_int_equal(r[0], 0x8866); // no APIC MSRs: they are VTL0's
    assert_int_equal(r[1], 0x30000);
    assert_int_equal(r[3], 0x500);
    cpuid(HV_CPUID_ENLIGHTENMENTS, 0, r);
    assert_int_equal(r[0], 0x220);
    cpuid(HV_CPUID_LIMITS, 0, r);
    assert_int_equal(r[0], FAKE_PARTITION_VPS);
    cpuid(0x40000100, 0, r);
    assert_int_equal(r[0] | r[1] | r[2] | r[3], 0);
    fake_partition_enter_vtl0(f, 0, RIP);
    cpuid(HV_CPUID_FEATURES, 0, r);
    assert_int_equal(r[0],
                     0x8866 | HV_FEATURE_STIMER | HV_FEATURE_REFERENCE_TSC | HV_FEATURE_APIC_MSRS);
    assert_int_equal(r[1] & (HV_PRIVILEGE_ACCESS_VSM | HV_PRIVILEGE_VP_REGISTERS), 0);
}

static void test_processor_leaves(void **state) {
    uint32_t r[4];

    (void)state;
    f->cpuid_ones = true;
    cpuid(1, 0, r);
    assert_false(r[2] & (1u << 21)); // x2APIC
    f->cpuid_ones = false;
    cpuid(1, 0, r);
    assert_true(r[2] & (1u << 31));
    assert_false(r[2] & (1u << 26));
    cpuid(0x80000001, 0, r);
    assert_false(r[2] & 4);
    cpuid(0x8000000a, 0, r);
    assert_int_equal(r[0] | r[1] | r[2] | r[3], 0);
    cpuid(0x0d, 1, r);
    assert_int_equal(r[0] | r[1] | r[2] | r[3], 0);
    fake_partition_enter_vtl0(f, 0, RIP);
    f->cpuid_ones = true; // its APIC ID is its own
    cpuid(1, 0, r);
    assert_int_equal(r[1], 0x00ffffff);
    cpuid(0xb, 1, r);
    assert_int_equal(r[3], 0);
    cpuid(0x8000001e, 0, r);
    assert_int_equal(r[0], 0);
    f->cpuid_ones = false;
    cpuid(1, 0, r);
    assert_true((r[2] & (1u << 31)) && (r[2] & (1u << 21)));
    assert_false(r[2] & (1u << 27));
    save(0)->cr4 |= 1u << 18;
    cpuid(1, 0, r);
    assert_true(r[2] & (1u << 27));
    cpuid(7, 0, r);
    assert_false(r[2] & (1u << 16));
    // Invariant TSC shows once the VTL asked for it.
    assert_int_equal(vsm_write_msr(&f->vps[0], 0, HV_MSR_TSC_INVARIANT_CONTROL, 1), 0);
    cpuid(0x80000007, 0, r);
    assert_true(r[3] & 0x100);
    assert_int_equal(vsm_write_msr(&f->vps[0], 0, HV_MSR_TSC_INVARIANT_CONTROL, 2), -EPERM);
}

static void wrmsr(uint32_t index, uint64_t value) {
    f->vps[0].gpr[VSM_RCX] = index;
    f->vps[0].gpr[VSM_RAX] = value & UINT32_MAX;
    f->vps[0].gpr[VSM_RDX] = value >> 32;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_MSR, 1, 0), VSM_RUN);
}

static uint64_t rdmsr(uint32_t index) {
    f->vps[0].gpr[VSM_RCX] = index;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_MSR, 0, 0), VSM_RUN);
    return f->vps[0].gpr[VSM_RAX] | f->vps[0].gpr[VSM_RDX] << 32;
}

static void test_efer(void **state) {
    (void)state;
    save(2)->efer = 0xd00 | SVM_EFER_SVME;
    save(2)->cr0 = 0x80000011;
    assert_true(rdmsr(EFER) == 0xd00);
    wrmsr(EFER, 0xd01);
    assert_true(save(2)->efer == (0xd01 | SVM_EFER_SVME));
    wrmsr(EFER, 0xd01 & ~0x100u); // LME with paging on: #GP
    assert_true(save(2)->efer == (0xd01 | SVM_EFER_SVME));
    assert_true(f->vps[0].vtl[2].vmcb->control.event_injection ==
                (SVM_EVENT_VALID | SVM_EVENT_TYPE_EXCEPTION | SVM_EVENT_ERROR_VALID | 13));
    wrmsr(EFER, 0xd01 | 2);
    assert_true(f->vps[0].vtl[2].vmcb->control.event_injection != 0);
}

static void test_apic_base_of_vtl2(void **state) {
    const uint64_t refused =
        SVM_EVENT_VALID | SVM_EVENT_TYPE_EXCEPTION | SVM_EVENT_ERROR_VALID | 13;
    struct svm_vmcb *vmcb = f->vps[0].vtl[2].vmcb;
    uint64_t value;

    (void)state;
    f->msr[APIC_BASE % ARRAY_COUNT(f->msr)] = 0xfee00800; // of a processor that is not QEMU's first
    assert_true(rdmsr(APIC_BASE) == 0xfee00900);
    assert_int_equal(vsm_read_msr(&f->vps[1], VSM_PARAVISOR, APIC_BASE, &value), 0);
    assert_true(value == 0xfee00800);
    wrmsr(APIC_BASE, 0xfee00900);
    assert_true(vmcb->control.event_injection == 0);
    wrmsr(APIC_BASE, 0xfee00d00); // x2APIC
    assert_true(vmcb->control.event_injection == refused);
    vmcb->control.event_injection = 0;
    wrmsr(APIC_BASE, 0xfed00900);
    assert_true(vmcb->control.event_injection == refused);
    assert_true(f->msr[APIC_BASE % ARRAY_COUNT(f->msr)] == 0xfee00800);
}

static void test_guest_msrs(void **state) {
    uint64_t value;

    (void)state;
    fake_partition_enter_vtl0(f, 0, RIP);
    wrmsr(PAT, 0x0007010600070106);
    assert_true(rdmsr(PAT) == 0x0007010600070106);
    wrmsr(PAT, 2); // no such memory type
    assert_true((f->vps[0].pending_event & SVM_EVENT_VECTOR_MASK) == 13);
    assert_true(rdmsr(PAT) == 0x0007010600070106);
    f->vps[0].pending_event = 0;
    wrmsr(0xc0000082, UINT64_C(0xffffffff81000000));
    assert_true(save(0)->lstar == UINT64_C(0xffffffff81000000));
    wrmsr(0xc0000103, 5);
    assert_true(f->vps[0].vtl[0].tsc_aux == 5 && f->msr[0xc0000103 % 16] == 5);
    assert_true(rdmsr(0x10) == f->now_100ns * 200);
    wrmsr(0x10, 1000);
    assert_true(rdmsr(0x10) == 1000);
    // Nobody knows it: #GP, or VTL2's business once it asked for it.
    assert_int_equal(vsm_read_msr(&f->vps[0], 0, 0x12345678, &value), -ENOENT);
    wrmsr(0x12345678, 1);
    assert_true((f->vps[0].pending_event & SVM_EVENT_VECTOR_MASK) == 13);
    f->partition.intercepts = 1u << HV_INTERCEPT_MSR;
    wrmsr(0x12345678, 1);
    assert_int_equal(f->vps[0].active_vtl, VSM_PARAVISOR);
}

static void test_hypercall_page(void **state) {
    const uint8_t vtl_return[] = {0x48, 0x89, 0xc8, 0xb9, 0x12, 0, 0, 0, 0x0f, 0x01, 0xd9, 0xc3};
    uint8_t bytes[12];

    (void)state;
    wrmsr(HV_MSR_HYPERCALL, 0x5001); // no guest OS id yet
    assert_true(rdmsr(HV_MSR_HYPERCALL) == 0x5000);
    f->ram[0x5000] = 0x77;
    wrmsr(HV_MSR_GUEST_OS_ID, 1);
    wrmsr(HV_MSR_HYPERCALL, 0x5001);
    assert_true(rdmsr(HV_MSR_HYPERCALL) == 0x5001);
    assert_int_equal(vsm_copy_in(&f->vps[0], 2, 0x5026, bytes, sizeof(bytes)), 0);
    assert_memory_equal(bytes, vtl_return, sizeof(bytes));
    assert_int_equal(vsm_copy_in(&f->vps[0], 0, 0x5000, bytes, 1), 0);
    assert_int_equal(bytes[0], 0x77); // only VTL2 sees its page
    wrmsr(HV_MSR_GUEST_OS_ID, 0);
    assert_true(rdmsr(HV_MSR_HYPERCALL) == 0x5000);
    assert_int_equal(vsm_copy_in(&f->vps[0], 2, 0x5000, bytes, 1), 0);
    assert_int_equal(bytes[0], 0x77); // what was below is back
}

static void test_overlays_at_one_place(void **state) {
    void *hypercall = f->vps[0].vtl[2].overlay[VSM_OVERLAY_HYPERCALL].page;
    void *assist = f->vps[0].vtl[2].overlay[VSM_OVERLAY_ASSIST].page;

    (void)state;
    wrmsr(HV_MSR_VP_ASSIST_PAGE, 0x5001);
    assert_ptr_equal(f->overlays[2][5], assist);
    wrmsr(HV_MSR_GUEST_OS_ID, 1);
    wrmsr(HV_MSR_HYPERCALL, 0x5001);
    assert_ptr_equal(f->overlays[2][5], hypercall);
    wrmsr(HV_MSR_HYPERCALL, 0x6001);
    assert_ptr_equal(f->overlays[2][5], assist);
    assert_ptr_equal(f->overlays[2][6], hypercall);
    wrmsr(HV_MSR_VP_ASSIST_PAGE, 0);
    assert_null(f->overlays[2][5]);
    // A place that cannot be: #GP, and nothing changed.
    wrmsr(HV_MSR_VP_ASSIST_PAGE, UINT64_C(1) << 50 | 1);
    assert_true(f->vps[0].vtl[2].vmcb->control.event_injection != 0);
    assert_true(rdmsr(HV_MSR_VP_ASSIST_PAGE) == 0);
}

static void test_reference_time(void **state) {
    const struct hv_reference_tsc_page *page =
        f->vps[0].vtl[0].overlay[VSM_OVERLAY_REFERENCE_TSC].page;
    uint64_t time;

    (void)state;
    fake_partition_enter_vtl0(f, 0, RIP);
    assert_true(rdmsr(HV_MSR_TIME_REF_COUNT) == f->now_100ns);
    wrmsr(HV_MSR_REFERENCE_TSC, 0x7001);
    assert_int_equal(page->sequence, 1);
    f->now_100ns += 12345678;
    time = (uint64_t)((u128)(f->now_100ns * 200) * page->scale >> 64) + (uint64_t)page->offset;
    assert_in_range(time, f->now_100ns - 1, f->now_100ns + 1);
    assert_true(rdmsr(HV_MSR_TSC_FREQUENCY) == 2000000000);
}

static void test_crash_report(void **state) {
    (void)state;
    memcpy(f->ram + 0x8000, "Kernel panic\nbecause", 20);
    wrmsr(HV_MSR_CRASH_P0, 0xabc);
    wrmsr(HV_MSR_CRASH_P0 + 3, 0x8000);
    wrmsr(HV_MSR_CRASH_P0 + 4, 20);
    wrmsr(HV_MSR_CRASH_CTL, HV_CRASH_CTL_NOTIFY | HV_CRASH_CTL_MESSAGE);
    assert_non_null(strstr(f->log, "VTL2 reports a crash: abc"));
    assert_non_null(strstr(f->log, "Kernel panic"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hypervisor_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_processor_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_efer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_apic_base_of_vtl2, setup, teardown),
        cmocka_unit_test_setup_teardown(test_guest_msrs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hypercall_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overlays_at_one_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reference_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash_report, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
