// SPDX-License-Identifier: MIT
//
// What each of minihost's hypercalls does: registers, memory, start of a VP, interrupts, sleep
// (TLFS, "Hypercall Reference"). The rules for all of them: test_minihost_hypercalls.c.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/hypercall_fixture.h"

// ---- registers ---------------------------------------------------------------------------------

static void test_registers(void **state) {
    uint64_t low;

    (void)state;
    assert_true(get_register(0, HV_REGISTER_VSM_VP_STATUS, &low) == REPS(1));
    assert_true(low == 0x50002);
    assert_true(get_register(0, HV_REGISTER_VSM_CODE_PAGE_OFFSETS, &low) == REPS(1));
    assert_true(low == 0x2600f);
    assert_true(set_register(0, HV_REGISTER_VSM_PARTITION_CONFIG, 0x163f, 0) == REPS(1));
    assert_true(get_register(0, HV_REGISTER_VSM_PARTITION_CONFIG, &low) == REPS(1));
    assert_true(low == 0x163f);
    assert_true(set_register(0, HV_REGISTER_VSM_PARTITION_CONFIG, 0x163e, 0) ==
                HV_STATUS_INVALID_REGISTER_VALUE);
    assert_true(get_register(VTL0, HV_REGISTER_VSM_CAPABILITIES, &low) == HV_STATUS_ACCESS_DENIED);
    assert_true(set_register(VTL0, HV_REGISTER_RIP, 0x1234, 0) == REPS(1));
    assert_true(fake->vps[0].vtl[0].vmcb->save.rip == 0x1234);
    assert_true(set_register(VTL0, HV_REGISTER_RAX, 1, 0) == HV_STATUS_INVALID_PARAMETER);
    assert_true(set_register(VTL0, HV_REGISTER_EFER, 0x500, 0) == REPS(1));
    assert_true(fake->vps[0].vtl[0].vmcb->save.efer == (0x500 | SVM_EFER_SVME));
    assert_true(get_register(VTL0, HV_REGISTER_EFER, &low) == REPS(1));
    assert_true(low == 0x500);
    assert_true(set_register(VTL0, HV_REGISTER_EFER, 2, 0) == HV_STATUS_INVALID_REGISTER_VALUE);
    // Segment attributes: L in bit 13 there, in bit 9 here.
    assert_true(set_register(VTL0, HV_REGISTER_CS, 0x1000, UINT64_C(0xa09b0010ffffffff)) ==
                REPS(1));
    assert_int_equal(fake->vps[0].vtl[0].vmcb->save.cs.attributes, 0xa9b);
    assert_int_equal(fake->vps[0].vtl[0].vmcb->save.cs.selector, 0x10);
    // VTL2's own state is not for hypercalls; forged VTLs and unknown names are refused.
    assert_true(set_register(0, HV_REGISTER_RIP, 0, 0) == HV_STATUS_INVALID_PARAMETER);
    assert_true(get_register(0x11, HV_REGISTER_RIP, &low) == HV_STATUS_INVALID_PARAMETER);
    assert_true(get_register(0x13, HV_REGISTER_RIP, &low) == HV_STATUS_ACCESS_DENIED);
    assert_true(get_register(0x02, HV_REGISTER_RIP, &low) == HV_STATUS_INVALID_PARAMETER);
    assert_true(get_register(VTL0, 0x123456, &low) == HV_STATUS_INVALID_PARAMETER);
}

static void test_registers_from_vtl0(void **state) {
    uint64_t low;

    (void)state;
    goes_to_vtl0();
    assert_true(get_register(0x12, HV_REGISTER_RIP, &low) == HV_STATUS_ACCESS_DENIED);
    assert_true(get_register(0, HV_REGISTER_VSM_CAPABILITIES, &low) == HV_STATUS_ACCESS_DENIED);
    assert_true(set_register(0, HV_REGISTER_VSM_PARTITION_CONFIG, 0, 0) == HV_STATUS_ACCESS_DENIED);
    assert_true(set_register(0, HV_REGISTER_RIP, 0, 0) == HV_STATUS_INVALID_PARAMETER);
    assert_true(get_register(0, HV_REGISTER_VP_INDEX, &low) == REPS(1));
}

// ---- memory ------------------------------------------------------------------------------------

static void test_protection(void **state) {
    struct hv_check_sparse_input check = {.partition_id = HV_PARTITION_ID_SELF,
                                          .target_vtl = VTL0,
                                          .desired_access = HV_MAP_GPA_READABLE};
    uint64_t page = 5;

    (void)state;
    put_protection(0, 1);
    assert_true(hypercall(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(1)) == HV_STATUS_ACCESS_DENIED);
    (void)set_register(0, HV_REGISTER_VSM_PARTITION_CONFIG, 0x163f, 0);
    put_protection(0, 16);
    assert_true(hypercall(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(16)) == REPS(16));
    assert_int_equal(fake->protections[5], 0);
    put_input(0, &check, sizeof(check));
    put_input(16, &page, sizeof(page));
    assert_true(hypercall(HV_CALL_CHECK_SPARSE_GPA_PAGE_VTL_ACCESS | REPS(1)) == REPS(1));
    assert_true(get_output(0) == 0x2101);
    put_protection(HV_MAP_GPA_WRITABLE, 1);
    assert_true(hypercall(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(1)) ==
                HV_STATUS_INVALID_PARAMETER);
    put_protection(0x13, 1);
    assert_true(hypercall(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(1)) ==
                HV_STATUS_INVALID_PARAMETER);
    put_protection(0xf, 2);
    page = UINT64_MAX;
    put_input(24, &page, sizeof(page));
    assert_true(hypercall(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(2)) ==
                (HV_STATUS_INVALID_PARAMETER | REPS(1)));
}

static void test_translate(void **state) {
    struct hv_translate_input in = {.partition_id = HV_PARTITION_ID_SELF,
                                    .vp_index = HV_VP_INDEX_SELF,
                                    .control_flags = UINT64_C(0x10) << 56 | 1,
                                    .gva_page = 0x345};
    struct svm_save *s = &fake->vps[0].vtl[0].vmcb->save;
    // Four levels at 0x10000: 0x345000 is page 7.
    const uint64_t tables[4] = {0x11003, 0x12003, 0x13003, 0x7003};
    const unsigned index[4] = {0, 0, 1, 0x145};

    (void)state;
    put_input(0, &in, sizeof(in));
    assert_true(hypercall(HV_CALL_TRANSLATE_VIRTUAL_ADDRESS) == 0);
    assert_true(get_output(0) == UINT64_C(6) << 32 && get_output(8) == 0x345); // no paging
    s->cr0 = 0x80000011;
    s->cr4 = 0x20;
    s->efer = 0x500 | SVM_EFER_SVME;
    s->cs.attributes = 0xa9b;
    s->cr3 = 0x10000;
    assert_true(hypercall(HV_CALL_TRANSLATE_VIRTUAL_ADDRESS_EX) == 0);
    assert_int_equal((uint32_t)get_output(0), HV_TRANSLATE_PAGE_NOT_PRESENT);
    for (unsigned i = 0; i < 4; i++) {
        memcpy(fake->ram + 0x10000 + i * 0x1000 + index[i] * 8, &tables[i], 8);
    }
    assert_true(hypercall(HV_CALL_TRANSLATE_VIRTUAL_ADDRESS) == 0);
    assert_true(get_output(0) == UINT64_C(6) << 32 && get_output(8) == 7);
    assert_int_equal(fake->ram[0x10000], 0x03); // accessed is set only when asked for
    in.control_flags |= HV_TRANSLATE_USER_ACCESS;
    put_input(0, &in, sizeof(in));
    assert_true(hypercall(HV_CALL_TRANSLATE_VIRTUAL_ADDRESS) == 0);
    assert_int_equal((uint32_t)get_output(0), HV_TRANSLATE_PRIVILEGE_VIOLATION);
}

// ---- starting, interrupts ----------------------------------------------------------------------

static void test_start_of_another_vp(void **state) {
    struct hv_vp_index_from_apic_id_input id = {.partition_id = HV_PARTITION_ID_SELF};
    struct hv_start_vp_input in = {.partition_id = HV_PARTITION_ID_SELF,
                                   .vp_index = 1,
                                   .target_vtl = VSM_PARAVISOR,
                                   .context = {.rip = 0x5000,
                                               .rsp = 0x7000,
                                               .rflags = 2,
                                               .efer = 0xd01,
                                               .cr0 = 0x80000011,
                                               .cr3 = 0x2000,
                                               .cr4 = 0x20}};
    uint32_t apic_id = 2; // VTL2's: the physical APIC's

    (void)state;
    put_input(0, &id, sizeof(id));
    put_input(16, &apic_id, sizeof(apic_id));
    assert_true(hypercall(HV_CALL_GET_VP_INDEX_FROM_APIC_ID | REPS(1)) == REPS(1));
    assert_true((uint32_t)get_output(0) == 1);
    assert_int_equal(vsm_before_entry(&fake->vps[1]), VSM_IDLE);
    put_input(0, &in, sizeof(in));
    assert_true(hypercall(HV_CALL_START_VIRTUAL_PROCESSOR) == HV_STATUS_INVALID_VP_STATE);
    assert_true(hypercall(HV_CALL_ENABLE_VP_VTL) == 0);
    assert_true(hypercall(HV_CALL_ENABLE_VP_VTL) == HV_STATUS_VTL_ALREADY_ENABLED);
    assert_int_equal(vsm_before_entry(&fake->vps[1]), VSM_IDLE);
    memset(fake->kicks, 0, sizeof(fake->kicks));
    assert_true(hypercall(HV_CALL_START_VIRTUAL_PROCESSOR) == 0);
    assert_int_equal(fake->kicks[1], 1);
    assert_int_equal(vsm_woken(&fake->vps[1], false), VSM_RUN);
    assert_true(fake->vps[1].vtl[2].vmcb->save.rip == 0x5000);
    assert_true(fake->vps[1].gpr[VSM_RSP] == 0x7000);
    assert_true(hypercall(HV_CALL_START_VIRTUAL_PROCESSOR) == HV_STATUS_INVALID_VP_STATE);
    in.vp_index = FAKE_PARTITION_VPS;
    put_input(0, &in, sizeof(in));
    assert_true(hypercall(HV_CALL_START_VIRTUAL_PROCESSOR) == HV_STATUS_INVALID_VP_INDEX);
    in.partition_id = 7;
    put_input(0, &in, sizeof(in));
    assert_true(hypercall(HV_CALL_START_VIRTUAL_PROCESSOR) == HV_STATUS_INVALID_PARTITION_ID);
}

static void test_connections(void **state) {
    struct hv_install_intercept_input install = {
        .partition_id = HV_PARTITION_ID_SELF,
        .access_type_mask = HV_INTERCEPT_ACCESS_MASK_EXECUTE,
        .intercept_type = HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION};
    const struct hv_vp_assist_page *assist =
        fake->vps[0].vtl[VSM_PARAVISOR].overlay[VSM_OVERLAY_ASSIST].page;

    (void)state;
    assert_true(hypercall_with(0, HV_CALL_SIGNAL_EVENT | HV_CONTROL_FAST, 4, 0) ==
                HV_STATUS_INVALID_CONNECTION_ID);
    put_input(0, &install, sizeof(install));
    assert_true(hypercall(HV_CALL_INSTALL_INTERCEPT) == 0);
    goes_to_vtl0();
    fake->vps[0].gpr[VSM_RCX] = HV_CALL_SIGNAL_EVENT | HV_CONTROL_FAST;
    fake->vps[0].gpr[VSM_RDX] = 4;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_VMMCALL, 0, 0), VSM_RUN);
    assert_int_equal(fake->vps[0].active_vtl, VSM_PARAVISOR);
    assert_int_equal(assist->intercept_message.header.type, HV_MESSAGE_HYPERCALL_INTERCEPT);
    assert_int_equal(fake->vps[0].vtl[0].vmcb->save.rip, RIP);
}

static void test_ipis(void **state) {
    struct hv_send_ipi_ex_input ex = {
        .vector = 0x41,
        .target_vtl = VTL0,
        .vp_set = {.format = HV_VP_SET_SPARSE_4K, .valid_bank_mask = 1}};
    uint64_t bank = 2;

    (void)state;
    // Fast: vector and VTL in RDX, mask in R8.
    assert_true(hypercall_with(0, HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI | HV_CONTROL_FAST, 0x40, 3) ==
                0);
    assert_int_equal(fake->raised[0][0x40], 1);
    assert_int_equal(fake->raised[1][0x40], 1);
    assert_true(hypercall_with(0, HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI | HV_CONTROL_FAST, 0x0f, 3) ==
                HV_STATUS_INVALID_PARAMETER);
    put_input(0, &ex, sizeof(ex));
    put_input(24, &bank, sizeof(bank));
    assert_true(hypercall(HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI_EX | VAR(1)) == 0);
    assert_true(hypercall(HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI_EX) == HV_STATUS_INVALID_PARAMETER);
    assert_true(hypercall(HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI_EX | VAR(2)) ==
                HV_STATUS_INVALID_PARAMETER);
}

static void test_sleep_and_reset(void **state) {
    const uint32_t s3 = 3, s5 = 5;

    (void)state;
    put_input(0, &s3, sizeof(s3));
    assert_true(hypercall(HV_CALL_ENTER_SLEEP_STATE) == HV_STATUS_INVALID_PARAMETER);
    put_input(0, &s5, sizeof(s5));
    fake->vps[0].gpr[VSM_RCX] = HV_CALL_ENTER_SLEEP_STATE;
    fake->vps[0].gpr[VSM_RDX] = INPUT;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_VMMCALL, 0, 0), VSM_STOP);
    assert_int_equal(fake->partition.stop, VSM_STOP_POWER);
    fake->partition.stop = VSM_STOP_NONE;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_SHUTDOWN, 0, 0), VSM_STOP);
    assert_int_equal(fake->partition.stop, VSM_STOP_RESET);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, hypercall_setup, hypercall_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_registers), TEST(test_registers_from_vtl0), TEST(test_protection),
        TEST(test_translate), TEST(test_start_of_another_vp), TEST(test_connections),
        TEST(test_ipis),      TEST(test_sleep_and_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
