// SPDX-License-Identifier: MIT
//
// Switching between VTL0 and VTL2 in minihost: what is shared and what private, intercept messages,
// the register page, return actions (TLFS, "Virtual Secure Mode", "Intercepts").

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/vtl_fixture.h"

#define REGISTERS UINT64_C(0xa000)
#define TSC_AUX   0xc0000103u

// ---- state -------------------------------------------------------------------------------------

static void test_shared_and_private_state(void **state) {
    (void)state;
    vp0->vtl[2].tsc_aux = 22;
    vp0->gpr[VSM_RAX] = 0x1111;
    vp0->gpr[VSM_RCX] = 0x2222;
    vp0->gpr[15] = 0xffff;
    vmcb(0)->save.cr2 = 0xc2;
    vmcb(0)->save.dr6 = 0xffff0ff1;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    assert_int_equal(vp0->active_vtl, VSM_PARAVISOR);
    assert_int_equal(assist->vtl_entry_reason, HV_VTL_ENTRY_INTERRUPT);
    assert_true(vp0->gpr[VSM_RAX] == 0x1111 && vp0->gpr[VSM_RCX] == 0x2222 &&
                vp0->gpr[15] == 0xffff);
    assert_true(vp0->gpr[VSM_RSP] == 0x9990 && vmcb(0)->save.rsp == 0x8000);
    assert_true(vmcb(2)->save.cr2 == 0xc2 && vmcb(2)->save.dr6 == 0xffff0ff1);
    assert_true(vmcb(2)->save.rip == 0x5000);
    assert_true(fake->msr[TSC_AUX % 16] == 22);
    fake->msr[TSC_AUX % 16] = 23; // VTL2 writes it without an exit
    assist->vtl_return_rax = 0x3333;
    assist->vtl_return_rcx = 0x4444;
    vmcb(2)->save.cr2 = 0xc3;
    vtl_return(false);
    assert_true(vp0->gpr[VSM_RAX] == 0x3333 && vp0->gpr[VSM_RCX] == 0x4444);
    assert_true(vp0->gpr[VSM_RSP] == 0x8000 && vmcb(2)->save.rsp == 0x9990);
    assert_true(vmcb(2)->save.rip == 0x5003 && vmcb(0)->save.rip == RIP);
    assert_true(vmcb(0)->save.cr2 == 0xc3);
    assert_true(fake->msr[TSC_AUX % 16] == 0 && vp0->vtl[2].tsc_aux == 23);
    assert_true(vp0->switches == 2);
}

static void test_fast_return_keeps_registers(void **state) {
    (void)state;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    assist->vtl_return_rax = 0x3333;
    vtl_return(true);
    assert_true(vp0->gpr[VSM_RAX] == 1 && vp0->gpr[VSM_RCX] == HV_CALL_VTL_RETURN);
}

static void test_return_with_odd_control(void **state) {
    (void)state;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    vp0->gpr[VSM_RCX] = HV_CALL_VTL_RETURN | HV_CONTROL_FAST;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_VMMCALL, 0, 0), VSM_RUN);
    assert_int_equal(vp0->active_vtl, VSM_PARAVISOR);
    assert_true((vmcb(2)->control.event_injection & SVM_EVENT_VECTOR_MASK) == 6);
}

static void test_no_assist_page(void **state) {
    (void)state;
    assert_int_equal(vsm_write_msr(vp0, 2, HV_MSR_VP_ASSIST_PAGE, 0), 0);
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_INTR, 0, 0), VSM_STOP);
    assert_int_equal(fake->partition.stop, VSM_STOP_FAILED);
    assert_non_null(strstr(fake->log, "VP assist page"));
}

static void use_register_page(void) {
    struct hv_register_value value = {.low = REGISTERS | 1};

    assert_int_equal(vsm_register_set(vp0, 2, 2, HV_REGISTER_REG_PAGE, &value), HV_STATUS_SUCCESS);
}

static void test_register_page(void **state) {
    struct hv_register_page *registers =
        vp0->vtl[VSM_PARAVISOR].overlay[VSM_OVERLAY_REGISTER_PAGE].page;

    (void)state;
    use_register_page();
    vmcb(0)->control.interrupt_shadow = 1;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    assert_int_equal(registers->is_valid, 1);
    assert_true(registers->rip == RIP && registers->gpr[VSM_RSP] == 0x8000);
    assert_true(registers->interrupt_state == HV_INTERRUPT_STATE_SHADOW);
    assert_int_equal(registers->cs.attributes, 0xc09b);
    registers->rip = 0x1002;
    registers->rflags = ~UINT64_C(0);
    registers->gpr[VSM_RSP] = 0x7000;
    registers->cs.selector = 0x33;
    registers->dirty = HV_REGISTER_PAGE_DIRTY_RIP | HV_REGISTER_PAGE_DIRTY_RFLAGS;
    vtl_return(true);
    assert_true(vmcb(0)->save.rip == 0x1002 && vmcb(0)->save.rflags == 0x3f7fd7);
    assert_true(vp0->gpr[VSM_RSP] == 0x8000);
    assert_int_equal(vmcb(0)->save.cs.selector, 0x08);
    assert_int_equal(vmcb(0)->control.interrupt_shadow, 0);
    assert_int_equal(registers->is_valid, 0);
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    registers->gpr[VSM_RSP] = 0x7000;
    registers->cs.selector = 0x33;
    registers->dirty = HV_REGISTER_PAGE_DIRTY_GPR | HV_REGISTER_PAGE_DIRTY_SEGMENTS;
    vtl_return(true);
    assert_true(vp0->gpr[VSM_RSP] == 0x7000);
    assert_int_equal(vmcb(0)->save.cs.selector, 0x33);
}

static void test_return_actions(void **state) {
    struct hv_event_flags_page *flags = vp0->vtl[0].overlay[VSM_OVERLAY_SIEFP].page;

    (void)state;
    assert_int_equal(vsm_write_msr(vp0, 0, HV_MSR_SCONTROL, 1), 0);
    assert_int_equal(vsm_write_msr(vp0, 0, HV_MSR_SIEFP, 0xb001), 0);
    assert_int_equal(vsm_write_msr(vp0, 0, HV_MSR_SINT0 + 7, 0x51), 0);
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    assist->return_actions[0] = (struct hv_return_action){
        .type = 1, .vp_index = HV_VP_INDEX_SELF, .sint = 7, .flag_number = 9};
    assist->return_actions[1] =
        (struct hv_return_action){.type = 1, .vp_index = 99, .sint = 77, .flag_number = 9999};
    assist->return_actions[2].type = 5;
    vtl_return(true);
    assert_true(assist->return_actions[0].type == 0 && assist->return_actions[1].type == 0);
    assert_int_equal(vsm_before_entry(vp0), VSM_RUN);
    assert_int_equal(flags->flags[7][1], 2);
}

// ---- messages ----------------------------------------------------------------------------------

static void test_port_message(void **state) {
    const struct hv_io_port_intercept *m;

    (void)state;
    vp0->gpr[VSM_RAX] = 0xdeadbeef;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_IOIO, 0x1234 << 16 | 4 << 4, RIP + 1),
                     VSM_RUN);
    m = vtl_message(HV_MESSAGE_IO_PORT_INTERCEPT, sizeof(*m));
    assert_int_equal(m->port, 0x1234);
    assert_int_equal(m->access_info, 4);
    assert_int_equal(m->header.access, HV_INTERCEPT_WRITE);
    assert_int_equal(m->header.length_and_cr8 & 0xf, 1);
    assert_int_equal(m->header.state, HV_STATE_CR0_PE);
    assert_true(m->header.rip == RIP && m->rax == 0xdeadbeef);
    assert_true(vmcb(0)->save.rip == RIP);
}

static void test_string_port_message(void **state) {
    const uint8_t code[] = {0xf3, 0x6e}; // rep outsb
    const struct hv_io_port_intercept *m;

    (void)state;
    fake_partition_code(fake, 0, RIP, code, sizeof(code));
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_IOIO, 0x70001c, RIP + 2), VSM_RUN);
    m = vtl_message(HV_MESSAGE_IO_PORT_INTERCEPT, sizeof(*m));
    assert_int_equal(m->access_info, 1 | HV_IO_ACCESS_STRING | HV_IO_ACCESS_REP);
    assert_int_equal(m->instruction_byte_count, 15);
    assert_memory_equal(m->instruction_bytes, code, 2);
}

static void test_memory_messages(void **state) {
    const uint8_t code[] = {0xa3, 0, 0, 0, 0xd0};
    const struct hv_memory_intercept *m;

    (void)state;
    fake_partition_code(fake, 0, RIP, code, sizeof(code));
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_NPF,
                                         SVM_NPF_FINAL | SVM_NPF_USER | SVM_NPF_WRITE, 0xd0000004),
                     VSM_RUN);
    m = vtl_message(HV_MESSAGE_UNMAPPED_GPA, sizeof(*m));
    assert_true(m->gpa == 0xd0000004 && m->header.access == HV_INTERCEPT_WRITE);
    assert_int_equal(m->instruction_byte_count, 15);
    assert_memory_equal(m->instruction_bytes, code, sizeof(code));
    vtl_return(true);
    // Memory that VTL2 took away; the fetch itself fails there, too.
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_NPF,
                                         SVM_NPF_FINAL | SVM_NPF_USER | SVM_NPF_FETCH, 0x3000),
                     VSM_RUN);
    m = vtl_message(HV_MESSAGE_GPA_INTERCEPT, sizeof(*m));
    assert_true(m->gpa == 0x3000 && m->header.access == HV_INTERCEPT_EXECUTE);
    assert_int_equal(m->instruction_byte_count, 0);
}

static void test_other_messages(void **state) {
    const struct hv_exception_intercept *exception;
    const struct hv_cpuid_intercept *cpuid;

    (void)state;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_SHUTDOWN, 0, 0), VSM_RUN);
    (void)vtl_message(HV_MESSAGE_UNRECOVERABLE_EXCEPTION, sizeof(struct hv_intercept_header));
    vtl_return(true);
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_EXCEPTION + 14, 7, 0x1234000), VSM_RUN);
    exception = vtl_message(HV_MESSAGE_EXCEPTION_INTERCEPT, sizeof(*exception));
    assert_int_equal(exception->vector, 14);
    assert_int_equal(exception->exception_info, 1);
    assert_true(exception->error_code == 7 && exception->parameter == 0x1234000);
    vtl_return(true);
    fake->partition.cpuid_intercept[0] = 0x16;
    fake->partition.cpuid_intercept_count = 1;
    vp0->gpr[VSM_RAX] = 0x16;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_CPUID, 0, 0), VSM_RUN);
    cpuid = vtl_message(HV_MESSAGE_CPUID_INTERCEPT, sizeof(*cpuid));
    assert_true(cpuid->rax == 0x16);
    assert_int_equal(cpuid->header.length_and_cr8 & 0xf, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, vtl_setup, vtl_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_shared_and_private_state),
        TEST(test_fast_return_keeps_registers),
        TEST(test_return_with_odd_control),
        TEST(test_no_assist_page),
        TEST(test_register_page),
        TEST(test_return_actions),
        TEST(test_port_message),
        TEST(test_string_port_message),
        TEST(test_memory_messages),
        TEST(test_other_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
