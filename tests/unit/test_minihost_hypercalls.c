// SPDX-License-Identifier: MIT
//
// minihost's hypercalls: the rules for control values and areas, who may call, repetitions and
// their continuation (TLFS, "Hypercall Interface"). What each call does: test_minihost_calls.c.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/hypercall_fixture.h"

static void test_shape_rules(void **state) {
    const struct vsm_call_shape simple = {.header_bytes = 24}, rep = {16, 8, 16, true, false},
                                sparse = {24, 0, 0, false, true};
    struct vsm_call_layout l;

    (void)state;
    assert_int_equal(vsm_call_check(&simple, 2, 0x1000, 0, &l), HV_STATUS_SUCCESS);
    assert_int_equal(l.input_bytes, 24);
    assert_int_equal(vsm_call_check(&simple, 2, 0x1004, 0, &l), HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(vsm_call_check(&simple, 2, 0x1fe8, 0, &l), HV_STATUS_SUCCESS);
    assert_int_equal(vsm_call_check(&simple, 2, 0x1ff0, 0, &l), HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(vsm_call_check(&simple, 2, UINT64_C(1) << 48, 0, &l),
                     HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(vsm_call_check(&simple, 2 | REPS(1), 0x1000, 0, &l),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(vsm_call_check(&simple, 2 | START(1), 0x1000, 0, &l),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(vsm_call_check(&simple, 2 | VAR(1), 0x1000, 0, &l),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(vsm_call_check(&simple, 2 | HV_CONTROL_FAST, 0x1000, 0, &l),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
    for (unsigned bit = 27; bit < 64; bit = bit == 31 ? 44 : bit == 47 ? 60 : bit + 1) {
        assert_int_equal(vsm_call_check(&simple, 2 | UINT64_C(1) << bit, 0x1000, 0, &l),
                         HV_STATUS_INVALID_HYPERCALL_INPUT);
    }
    assert_int_equal(vsm_call_check(&rep, REPS(255), 0x1000, 0x2000, &l), HV_STATUS_SUCCESS);
    assert_int_equal(l.input_bytes, 16 + 255 * 8);
    assert_int_equal(l.output_bytes, 255 * 16);
    assert_int_equal(vsm_call_check(&rep, REPS(257), 0x1000, 0x2000, &l),
                     HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(vsm_call_check(&rep, REPS(4095), 0x1000, 0x2000, &l),
                     HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(vsm_call_check(&rep, 0, 0x1000, 0x2000, &l),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(vsm_call_check(&rep, REPS(2) | START(2), 0x1000, 0x2000, &l),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(vsm_call_check(&rep, REPS(2), 0x1000, 0x2ff8, &l),
                     HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(vsm_call_check(&sparse, VAR(2), 0x1000, 0, &l), HV_STATUS_SUCCESS);
    assert_int_equal(l.list_off, 40);
}

static void test_who_may_call(void **state) {
    (void)state;
    assert_true(hypercall(0x7777) == HV_STATUS_INVALID_HYPERCALL_CODE);
    assert_true(hypercall_with(0, HV_CALL_GET_VP_REGISTERS | REPS(1), UINT64_C(1) << 40, OUTPUT) ==
                HV_STATUS_INVALID_HYPERCALL_INPUT);
    goes_to_vtl0();
    assert_true(hypercall(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(1)) == HV_STATUS_ACCESS_DENIED);
    assert_true(hypercall(HV_CALL_ENTER_SLEEP_STATE) == HV_STATUS_ACCESS_DENIED);
    // User mode, and the VTL switches that VTL0 has no use for: #UD.
    active(0)->save.ss.attributes |= 0x60;
    fake->vps[0].gpr[VSM_RCX] = HV_CALL_SIGNAL_EVENT;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_VMMCALL, 0, 0), VSM_RUN);
    assert_true((fake->vps[0].pending_event & SVM_EVENT_VECTOR_MASK) == 6);
    assert_true(active(0)->save.rip == RIP + 6);
    active(0)->save.ss.attributes &= ~0x60u;
    fake->vps[0].pending_event = 0;
    fake->vps[0].gpr[VSM_RCX] = HV_CALL_VTL_CALL;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_VMMCALL, 0, 0), VSM_RUN);
    assert_true((fake->vps[0].pending_event & SVM_EVENT_VECTOR_MASK) == 6);
}

static void test_32_bit_registers(void **state) {
    (void)state;
    goes_to_vtl0();
    active(0)->save.efer = SVM_EFER_SVME;
    active(0)->save.cs.attributes = 0xc9b;
    put_header(0);
    fake->vps[0].gpr[VSM_RAX] = HV_CALL_GET_VP_REGISTERS;
    fake->vps[0].gpr[VSM_RDX] = 1; // one repetition
    fake->vps[0].gpr[VSM_RBX] = 0;
    fake->vps[0].gpr[VSM_RCX] = INPUT;
    fake->vps[0].gpr[VSM_RDI] = 0;
    fake->vps[0].gpr[VSM_RSI] = OUTPUT;
    fake->ram[INPUT + 16] = 0x03; // HV_REGISTER_VP_INDEX
    fake->ram[INPUT + 18] = 0x09;
    memset(fake->ram + OUTPUT, 0xff, 16);
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_VMMCALL, 0, 0), VSM_RUN);
    assert_true(fake->vps[0].gpr[VSM_RAX] == HV_STATUS_SUCCESS);
    assert_true(fake->vps[0].gpr[VSM_RDX] == 1);
    assert_true(get_output(0) == 0 && get_output(8) == 0);
}

static void test_repetitions_stop_at_an_error(void **state) {
    uint32_t names[4] = {HV_REGISTER_VP_INDEX, HV_REGISTER_TIME_REF_COUNT, 0x123456,
                         HV_REGISTER_VP_INDEX};

    (void)state;
    memset(fake->ram + OUTPUT, 0xff, 64);
    put_header(0);
    put_input(16, names, sizeof(names));
    assert_true(hypercall(HV_CALL_GET_VP_REGISTERS | REPS(4)) ==
                (HV_STATUS_INVALID_PARAMETER | REPS(2)));
    assert_true(get_output(0) == 0 && get_output(16) == fake->now_100ns);
    assert_true(get_output(32) == UINT64_MAX);
    // Started in the middle, the first output is left alone.
    memset(fake->ram + OUTPUT, 0xff, 64);
    assert_true(hypercall(HV_CALL_GET_VP_REGISTERS | REPS(2) | START(1)) == REPS(2));
    assert_true(get_output(0) == UINT64_MAX && get_output(16) == fake->now_100ns);
}

/// 200 pages: three continuations of the same instruction, then the result.
static void test_long_lists_are_continued(void **state) {
    uint64_t rip = active(0)->save.rip;
    unsigned exits = 0;

    (void)state;
    (void)set_register(0, HV_REGISTER_VSM_PARTITION_CONFIG, 0x163f, 0);
    rip = active(0)->save.rip;
    put_protection(0, 200);
    fake->vps[0].gpr[VSM_RCX] = HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(200);
    fake->vps[0].gpr[VSM_RDX] = INPUT;
    while (active(0)->save.rip == rip && exits < 10) {
        assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_VMMCALL, 0, 0), VSM_RUN);
        exits++;
    }
    assert_int_equal(exits, 4);
    assert_true(fake->vps[0].gpr[VSM_RAX] == REPS(200));
    assert_true(active(0)->save.rip == rip + 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, hypercall_setup, hypercall_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape_rules),  TEST(test_who_may_call),
        TEST(test_32_bit_registers),         TEST(test_repetitions_stop_at_an_error),
        TEST(test_long_lists_are_continued),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
