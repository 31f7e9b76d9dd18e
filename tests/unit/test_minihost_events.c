// SPDX-License-Identifier: MIT
//
// What minihost delivers to VTL0 and when: events that VTL2 injects or that were interrupted,
// interrupts and NMIs, halts and who wakes from them, calls for VTL2 without end, a state that the
// processor refuses (TLFS, "Virtual Secure Mode", "Intercepts").

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/vtl_fixture.h"

#define INTERRUPT(v) (SVM_EVENT_VALID | SVM_EVENT_TYPE_INTR | (v))
#define RFLAGS_IF    UINT64_C(0x200)

static void test_interrupted_delivery(void **state) {
    struct svm_control *c = &vmcb(0)->control;

    (void)state;
    // QEMU records a hardware interrupt as an exception with a vector above 31.
    c->exit_code = SVM_EXIT_NPF;
    c->exit_info_1 = SVM_NPF_WRITE;
    c->exit_info_2 = 0xd0000000;
    c->exit_int_info = SVM_EVENT_VALID | SVM_EVENT_TYPE_EXCEPTION | 0x71;
    assert_int_equal(vsm_handle_exit(vp0), VSM_RUN);
    assert_true(vp0->reinject == INTERRUPT(0x71));
    assert_int_equal(((const struct hv_memory_intercept *)vtl_message(HV_MESSAGE_UNMAPPED_GPA, 80))
                             ->header.state &
                         HV_STATE_INTERRUPTION_PENDING,
                     HV_STATE_INTERRUPTION_PENDING);
    vtl_return(true);
    assert_int_equal(vsm_before_entry(vp0), VSM_RUN);
    assert_true(c->event_injection == INTERRUPT(0x71));
    // INTn is run again instead.
    c->event_injection = 0;
    c->exit_code = SVM_EXIT_INTR;
    c->exit_int_info = SVM_EVENT_VALID | SVM_EVENT_TYPE_SOFT | 0x80;
    assert_int_equal(vsm_handle_exit(vp0), VSM_RUN);
    assert_true(vp0->reinject == 0);
}

static void test_events_of_vtl2(void **state) {
    struct hv_register_value value = {{{HV_EVENT_PENDING | 40 << 16, 0}}};
    struct svm_control *c = &vmcb(0)->control;

    (void)state;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    // #PF with its CR2.
    vtl_set_register(HV_REGISTER_PENDING_EVENT0,
                     HV_EVENT_PENDING | HV_EVENT_EXC_ERROR_VALID | 14 << 16 | UINT64_C(6) << 32,
                     0xabc);
    vmcb(2)->save.cr2 = 0x999;
    vtl_return(true);
    assert_true(vmcb(0)->save.cr2 == 0xabc);
    assert_int_equal(vsm_before_entry(vp0), VSM_RUN);
    assert_true(c->event_injection == (SVM_EVENT_VALID | SVM_EVENT_TYPE_EXCEPTION |
                                       SVM_EVENT_ERROR_VALID | 14 | UINT64_C(6) << 32));
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    vtl_set_register(HV_REGISTER_PENDING_INTERRUPTION, HV_PENDING_INTERRUPTION | 0x21 << 16, 0);
    vtl_return(true);
    assert_int_equal(vsm_before_entry(vp0), VSM_RUN);
    assert_true(c->event_injection == INTERRUPT(0x21));
    // What the processor could not be given is refused.
    assert_int_equal(vsm_register_set(vp0, 2, 0, HV_REGISTER_PENDING_EVENT0, &value),
                     HV_STATUS_INVALID_REGISTER_VALUE);
    value.low = HV_PENDING_INTERRUPTION | HV_PENDING_TYPE_SOFT_INT << 1 | 0x80 << 16;
    assert_int_equal(vsm_register_set(vp0, 2, 0, HV_REGISTER_PENDING_INTERRUPTION, &value),
                     HV_STATUS_INVALID_REGISTER_VALUE);
}

static void test_deliverable_notification(void **state) {
    const struct hv_interruption_deliverable *m;
    struct svm_control *c = &vmcb(0)->control;

    (void)state;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    vmcb(0)->save.rflags &= ~RFLAGS_IF;
    vtl_set_register(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, HV_DELIVERABILITY_INTERRUPT, 0);
    vtl_return(true);
    assert_int_equal(vsm_before_entry(vp0), VSM_RUN);
    assert_int_equal(vp0->active_vtl, VSM_GUEST_VTL);
    assert_true(c->int_ctl & SVM_INT_V_IRQ); // a window
    vmcb(0)->save.rflags |= RFLAGS_IF;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_VINTR, 0, 0), VSM_RUN);
    assert_int_equal(vsm_before_entry(vp0), VSM_RUN);
    m = vtl_message(HV_MESSAGE_INTERRUPTION_DELIVERABLE, sizeof(*m));
    assert_int_equal(m->type, HV_PENDING_TYPE_EXTINT);
    assert_true(vp0->deliverability == 0);
}

static void test_halt_and_wake(void **state) {
    (void)state;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_HLT, 0, 0), VSM_RUN);
    assert_true(vmcb(0)->save.rip == RIP + 1);
    assert_int_equal(vsm_before_entry(vp0), VSM_IDLE);
    assert_int_equal(vsm_woken(vp0, false), VSM_IDLE);
    assert_int_equal(vsm_woken(vp0, true), VSM_RUN);
    assert_int_equal(vp0->active_vtl, VSM_PARAVISOR);
    assert_int_equal(assist->vtl_entry_reason, HV_VTL_ENTRY_INTERRUPT);
    vtl_return(true);
    assert_int_equal(vsm_before_entry(vp0), VSM_IDLE); // still halted
    assert_int_equal(vsm_woken(vp0, true), VSM_RUN);
    vtl_set_register(HV_REGISTER_PENDING_EVENT0, HV_EVENT_PENDING | 5 << 1 | 0x30 << 8, 0);
    vtl_return(true);
    assert_int_equal(vsm_before_entry(vp0), VSM_RUN);
    assert_true(vmcb(0)->control.event_injection == INTERRUPT(0x30));
    assert_false(vp0->halted);
}

/// An interrupt between STI and HLT wakes the HLT that has not happened yet.
static void test_interrupt_in_the_shadow_of_sti(void **state) {
    const uint8_t hlt = 0xf4;

    (void)state;
    fake_partition_code(fake, 0, RIP, &hlt, 1);
    assert_int_equal(vsm_write_msr(vp0, 0, 0x1b, 0xfee00d00), 0); // x2APIC
    assert_int_equal(vsm_write_msr(vp0, 0, 0x80f, 0x1ff), 0);
    hv_lapic_request(&vp0->vtl[0].lapic, 0x61);
    vmcb(0)->control.interrupt_shadow = 1;
    assert_int_equal(vsm_before_entry(vp0), VSM_RUN);
    assert_true(vmcb(0)->control.event_injection == INTERRUPT(0x61));
    assert_true(vmcb(0)->save.rip == RIP + 1);
}

/// NMIs are masked until the handler's IRET was executed: an exit in front of it changes nothing.
static void test_nmi_masked_until_iret(void **state) {
    const uint64_t nmi = SVM_EVENT_VALID | SVM_EVENT_TYPE_NMI | 2;

    (void)state;
    hv_lapic_request_nmi(&vp0->vtl[0].lapic);
    assert_int_equal(vsm_before_entry(vp0), VSM_RUN);
    assert_true(vmcb(0)->control.event_injection == nmi);
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_NMI, 0, 0), VSM_RUN); // in the handler
    hv_lapic_request_nmi(&vp0->vtl[0].lapic);
    assert_int_equal(vsm_before_entry(vp0), VSM_RUN);
    assert_true(vmcb(0)->control.event_injection == 0);
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_IRET, 0, 0), VSM_RUN);
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_NMI, 0, 0), VSM_RUN); // not executed
    assert_int_equal(vsm_before_entry(vp0), VSM_RUN);
    assert_true(vmcb(0)->control.event_injection == 0);
    vp0->gpr[VSM_RSP] += 24; // IRET
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_NMI, 0, 0), VSM_RUN);
    assert_int_equal(vsm_before_entry(vp0), VSM_RUN);
    assert_true(vmcb(0)->control.event_injection == nmi);
}

static void test_startup_suspend(void **state) {
    (void)state;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    vtl_set_register(HV_REGISTER_INTERNAL_ACTIVITY_STATE, HV_ACTIVITY_STARTUP_SUSPEND, 0);
    vtl_return(true);
    assert_int_equal(vsm_before_entry(vp0), VSM_IDLE);
    assert_true(vsm_deadline(vp0) == UINT64_MAX);
    assert_int_equal(vsm_woken(vp0, true), VSM_RUN);
    vtl_set_register(HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0, 0);
    vtl_return(true);
    assert_int_equal(vsm_before_entry(vp0), VSM_RUN);
}

static void test_apic_registers(void **state) {
    struct hv_register_value value;

    (void)state;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    vtl_set_register(HV_REGISTER_APIC_FIRST + 0x0f, 0x1ff, 0);
    vtl_set_register(HV_REGISTER_APIC_FIRST + 0x35, 0x700, 0);
    assert_int_equal(vsm_register_get(vp0, 2, 0, HV_REGISTER_APIC_FIRST + 0x35, &value), 0);
    assert_true(value.low == 0x700);
    value.low = 0;
    assert_int_equal(vsm_register_set(vp0, 2, 0, HV_REGISTER_APIC_FIRST + 0x0b, &value),
                     HV_STATUS_INVALID_REGISTER_VALUE);
    vtl_set_register(HV_REGISTER_APIC_BASE, 0xfee00800, 0); // starts over; the BSP stays the BSP
    assert_int_equal(vsm_register_get(vp0, 2, 0, HV_REGISTER_APIC_FIRST + 0x0f, &value), 0);
    assert_true(value.low == 0xff);
    assert_int_equal(vsm_register_get(vp0, 2, 0, HV_REGISTER_APIC_BASE, &value), 0);
    assert_true(value.low == 0xfee00900);
}

/// Calls without end: VTL0 gets time to itself, and looks by its own timer.
static void test_storm_of_calls(void **state) {
    unsigned calls = 0;

    (void)state;
    memset(fake->kicks, 0, sizeof(fake->kicks));
    for (unsigned i = 0; i < 100; i++) {
        vsm_kick_vtl0(vp0);
        if (fake->kicks[0] == calls) {
            break;
        }
        calls = fake->kicks[0];
        assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_NMI, 0, 0), VSM_RUN);
        vsm_kick_vtl0(vp0); // it looks before it enters: no call
        assert_int_equal(fake->kicks[0], calls);
        assert_int_equal(vsm_before_entry(vp0), VSM_RUN);
        fake->now_100ns += 100;
    }
    assert_in_range(calls, 2, 20);
    assert_in_range(vsm_deadline(vp0), fake->now_100ns + 1000, fake->now_100ns + 2000);
    fake->now_100ns = vsm_deadline(vp0);
    vsm_kick_vtl0(vp0);
    assert_int_equal(fake->kicks[0], calls + 1);
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_NMI, 0, 0), VSM_RUN);
    assert_true(vsm_deadline(vp0) > fake->now_100ns && vsm_deadline(vp0) != UINT64_MAX);
    fake->now_100ns += 1000000; // it is over
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_NMI, 0, 0), VSM_RUN);
    assert_true(vsm_deadline(vp0) == UINT64_MAX);
}

static void test_refused_state(void **state) {
    (void)state;
    assert_int_equal(fake_partition_exit(fake, 0, UINT32_MAX, 0, 0), VSM_RUN);
    assert_int_equal(vsm_before_entry(vp0), VSM_RUN);
    assert_true((vmcb(0)->control.event_injection & SVM_EVENT_VECTOR_MASK) == 13);
    // Not a value, the whole state: VTL0's crash, or ours. Where svm/ does not see it, the #GP
    // fails.
    vmcb(0)->control.exit_int_info = vmcb(0)->control.event_injection;
    assert_int_equal(vsm_handle_exit(vp0), VSM_RUN);
    (void)vtl_message(HV_MESSAGE_UNRECOVERABLE_EXCEPTION, sizeof(struct hv_intercept_header));
    fake_partition_enter_vtl0(fake, 0, RIP);
    vp0->refused = true;
    assert_int_equal(fake_partition_exit(fake, 0, UINT64_MAX, 0, 0), VSM_RUN);
    (void)vtl_message(HV_MESSAGE_UNRECOVERABLE_EXCEPTION, sizeof(struct hv_intercept_header));
    assert_int_equal(fake_partition_exit(fake, 0, UINT64_MAX, 0, 0), VSM_STOP);
    assert_int_equal(fake->partition.stop, VSM_STOP_FAILED);
}

static void test_lost_state(void **state) {
    (void)state;
    // Whatever the exit code says: it is of another exit.
    vp0->lost = true;
    vmcb(0)->control.event_injection = SVM_EVENT_VALID | SVM_EVENT_TYPE_EXCEPTION | 14;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_NPF, 0, 0x100000), VSM_RUN);
    (void)vtl_message(HV_MESSAGE_UNRECOVERABLE_EXCEPTION, sizeof(struct hv_intercept_header));
    assert_int_equal(vp0->active_vtl, VSM_PARAVISOR);
    assert_true(vmcb(0)->control.event_injection == 0);
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_NMI, 0, 0), VSM_STOP);
    assert_int_equal(fake->partition.stop, VSM_STOP_FAILED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, vtl_setup, vtl_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_interrupted_delivery),
        TEST(test_events_of_vtl2),
        TEST(test_deliverable_notification),
        TEST(test_halt_and_wake),
        TEST(test_interrupt_in_the_shadow_of_sti),
        TEST(test_nmi_masked_until_iret),
        TEST(test_startup_suspend),
        TEST(test_apic_registers),
        TEST(test_storm_of_calls),
        TEST(test_refused_state),
        TEST(test_lost_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
