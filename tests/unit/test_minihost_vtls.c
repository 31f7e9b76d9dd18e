// SPDX-License-Identifier: MIT
//
// Switching between VTL0 and VTL2 in minihost: what is shared and what private, intercept messages,
// the register page, return actions, events that are injected or interrupted (TLFS, "Virtual Secure
// Mode", "Intercepts").

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/fake_partition.h"
#include "tools/minihost/vsm/internal.h"

#define RIP          UINT64_C(0x1000)
#define REGISTERS    UINT64_C(0xa000)
#define INTERRUPT(v) (SVM_EVENT_VALID | SVM_EVENT_TYPE_INTR | (v))
#define TSC_AUX      0xc0000103u
#define RFLAGS_IF    UINT64_C(0x200)

static struct fake_partition *f;
static struct vsm_vp *vp;
static struct hv_vp_assist_page *assist;
static struct hv_register_page *registers;

static struct svm_vmcb *vmcb(unsigned vtl) {
    return vp->vtl[vtl].vmcb;
}

static int setup(void **state) {
    struct svm_save *s;

    (void)state;
    f = fake_partition_new();
    vp = &f->vps[0];
    assist = vp->vtl[VSM_PARAVISOR].overlay[VSM_OVERLAY_ASSIST].page;
    registers = vp->vtl[VSM_PARAVISOR].overlay[VSM_OVERLAY_REGISTER_PAGE].page;
    s = &vmcb(VSM_PARAVISOR)->save;
    s->efer = 0xd01 | SVM_EFER_SVME;
    s->cr0 = 0x80000011;
    s->cs.attributes = 0xa9b;
    s->ss.attributes = 0xc93;
    s->rip = 0x5000;
    s->rsp = 0x9990;
    assert_int_equal(vsm_write_msr(vp, 2, HV_MSR_GUEST_OS_ID, 1), 0);
    assert_int_equal(vsm_write_msr(vp, 2, HV_MSR_HYPERCALL, 0x9001), 0);
    fake_partition_enter_vtl0(f, 0, RIP);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    fake_partition_free(f);
    return 0;
}

/// VTL2 goes back to VTL0.
static void vtl_return(bool fast) {
    vp->gpr[VSM_RCX] = HV_CALL_VTL_RETURN;
    vp->gpr[VSM_RAX] = fast;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_VMMCALL, 0, 0), VSM_RUN);
    assert_int_equal(vp->active_vtl, VSM_GUEST_VTL);
}

static void use_register_page(void) {
    struct hv_register_value value = {.low = REGISTERS | 1};

    assert_int_equal(vsm_register_set(vp, 2, 2, HV_REGISTER_REG_PAGE, &value), HV_STATUS_SUCCESS);
}

static const void *message(uint32_t type, size_t size) {
    assert_int_equal(vp->active_vtl, VSM_PARAVISOR);
    assert_int_equal(assist->vtl_entry_reason, HV_VTL_ENTRY_INTERCEPT);
    assert_int_equal(assist->intercept_message.header.type, type);
    assert_int_equal(assist->intercept_message.header.payload_size_bytes, size);
    return assist->intercept_message.payload;
}

// ---- state -------------------------------------------------------------------------------------

static void test_shared_and_private_state(void **state) {
    (void)state;
    vp->vtl[2].tsc_aux = 22;
    vp->gpr[VSM_RAX] = 0x1111;
    vp->gpr[VSM_RCX] = 0x2222;
    vp->gpr[15] = 0xffff;
    vmcb(0)->save.cr2 = 0xc2;
    vmcb(0)->save.dr6 = 0xffff0ff1;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    assert_int_equal(vp->active_vtl, VSM_PARAVISOR);
    assert_int_equal(assist->vtl_entry_reason, HV_VTL_ENTRY_INTERRUPT);
    assert_true(vp->gpr[VSM_RAX] == 0x1111 && vp->gpr[VSM_RCX] == 0x2222 && vp->gpr[15] == 0xffff);
    assert_true(vp->gpr[VSM_RSP] == 0x9990 && vmcb(0)->save.rsp == 0x8000);
    assert_true(vmcb(2)->save.cr2 == 0xc2 && vmcb(2)->save.dr6 == 0xffff0ff1);
    assert_true(vmcb(2)->save.rip == 0x5000);
    assert_true(f->msr[TSC_AUX % 16] == 22);
    f->msr[TSC_AUX % 16] = 23; // VTL2 writes it without an exit
    assist->vtl_return_rax = 0x3333;
    assist->vtl_return_rcx = 0x4444;
    vmcb(2)->save.cr2 = 0xc3;
    vtl_return(false);
    assert_true(vp->gpr[VSM_RAX] == 0x3333 && vp->gpr[VSM_RCX] == 0x4444);
    assert_true(vp->gpr[VSM_RSP] == 0x8000 && vmcb(2)->save.rsp == 0x9990);
    assert_true(vmcb(2)->save.rip == 0x5003 && vmcb(0)->save.rip == RIP);
    assert_true(vmcb(0)->save.cr2 == 0xc3);
    assert_true(f->msr[TSC_AUX % 16] == 0 && vp->vtl[2].tsc_aux == 23);
    assert_true(vp->switches == 2);
}

static void test_fast_return_keeps_registers(void **state) {
    (void)state;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    assist->vtl_return_rax = 0x3333;
    vtl_return(true);
    assert_true(vp->gpr[VSM_RAX] == 1 && vp->gpr[VSM_RCX] == HV_CALL_VTL_RETURN);
}

static void test_return_with_odd_control(void **state) {
    (void)state;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    vp->gpr[VSM_RCX] = HV_CALL_VTL_RETURN | HV_CONTROL_FAST;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_VMMCALL, 0, 0), VSM_RUN);
    assert_int_equal(vp->active_vtl, VSM_PARAVISOR);
    assert_true((vmcb(2)->control.event_injection & SVM_EVENT_VECTOR_MASK) == 6);
}

static void test_no_assist_page(void **state) {
    (void)state;
    assert_int_equal(vsm_write_msr(vp, 2, HV_MSR_VP_ASSIST_PAGE, 0), 0);
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_INTR, 0, 0), VSM_STOP);
    assert_int_equal(f->partition.stop, VSM_STOP_FAILED);
    assert_non_null(strstr(f->log, "VP assist page"));
}

static void test_register_page(void **state) {
    (void)state;
    use_register_page();
    vmcb(0)->control.interrupt_shadow = 1;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
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
    assert_true(vp->gpr[VSM_RSP] == 0x8000);
    assert_int_equal(vmcb(0)->save.cs.selector, 0x08);
    assert_int_equal(vmcb(0)->control.interrupt_shadow, 0);
    assert_int_equal(registers->is_valid, 0);
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    registers->gpr[VSM_RSP] = 0x7000;
    registers->cs.selector = 0x33;
    registers->dirty = HV_REGISTER_PAGE_DIRTY_GPR | HV_REGISTER_PAGE_DIRTY_SEGMENTS;
    vtl_return(true);
    assert_true(vp->gpr[VSM_RSP] == 0x7000);
    assert_int_equal(vmcb(0)->save.cs.selector, 0x33);
}

static void test_return_actions(void **state) {
    struct hv_event_flags_page *flags = vp->vtl[0].overlay[VSM_OVERLAY_SIEFP].page;

    (void)state;
    assert_int_equal(vsm_write_msr(vp, 0, HV_MSR_SCONTROL, 1), 0);
    assert_int_equal(vsm_write_msr(vp, 0, HV_MSR_SIEFP, 0xb001), 0);
    assert_int_equal(vsm_write_msr(vp, 0, HV_MSR_SINT0 + 7, 0x51), 0);
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    assist->return_actions[0] = (struct hv_return_action){
        .type = 1, .vp_index = HV_VP_INDEX_SELF, .sint = 7, .flag_number = 9};
    assist->return_actions[1] =
        (struct hv_return_action){.type = 1, .vp_index = 99, .sint = 77, .flag_number = 9999};
    assist->return_actions[2].type = 5;
    vtl_return(true);
    assert_true(assist->return_actions[0].type == 0 && assist->return_actions[1].type == 0);
    assert_int_equal(vsm_before_entry(vp), VSM_RUN);
    assert_int_equal(flags->flags[7][1], 2);
}

// ---- messages ----------------------------------------------------------------------------------

static void test_port_message(void **state) {
    const struct hv_io_port_intercept *m;

    (void)state;
    vp->gpr[VSM_RAX] = 0xdeadbeef;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_IOIO, 0x1234 << 16 | 4 << 4, RIP + 1),
                     VSM_RUN);
    m = message(HV_MESSAGE_IO_PORT_INTERCEPT, sizeof(*m));
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
    fake_partition_code(f, 0, RIP, code, sizeof(code));
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_IOIO, 0x70001c, RIP + 2), VSM_RUN);
    m = message(HV_MESSAGE_IO_PORT_INTERCEPT, sizeof(*m));
    assert_int_equal(m->access_info, 1 | HV_IO_ACCESS_STRING | HV_IO_ACCESS_REP);
    assert_int_equal(m->instruction_byte_count, 15);
    assert_memory_equal(m->instruction_bytes, code, 2);
}

static void test_memory_messages(void **state) {
    const uint8_t code[] = {0xa3, 0, 0, 0, 0xd0};
    const struct hv_memory_intercept *m;

    (void)state;
    fake_partition_code(f, 0, RIP, code, sizeof(code));
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_NPF,
                                         SVM_NPF_FINAL | SVM_NPF_USER | SVM_NPF_WRITE, 0xd0000004),
                     VSM_RUN);
    m = message(HV_MESSAGE_UNMAPPED_GPA, sizeof(*m));
    assert_true(m->gpa == 0xd0000004 && m->header.access == HV_INTERCEPT_WRITE);
    assert_int_equal(m->instruction_byte_count, 15);
    assert_memory_equal(m->instruction_bytes, code, sizeof(code));
    vtl_return(true);
    // Memory that VTL2 took away; the fetch itself fails there, too.
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_NPF,
                                         SVM_NPF_FINAL | SVM_NPF_USER | SVM_NPF_FETCH, 0x3000),
                     VSM_RUN);
    m = message(HV_MESSAGE_GPA_INTERCEPT, sizeof(*m));
    assert_true(m->gpa == 0x3000 && m->header.access == HV_INTERCEPT_EXECUTE);
    assert_int_equal(m->instruction_byte_count, 0);
}

static void test_other_messages(void **state) {
    const struct hv_exception_intercept *exception;
    const struct hv_cpuid_intercept *cpuid;

    (void)state;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_SHUTDOWN, 0, 0), VSM_RUN);
    (void)message(HV_MESSAGE_UNRECOVERABLE_EXCEPTION, sizeof(struct hv_intercept_header));
    vtl_return(true);
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_EXCEPTION + 14, 7, 0x1234000), VSM_RUN);
    exception = message(HV_MESSAGE_EXCEPTION_INTERCEPT, sizeof(*exception));
    assert_int_equal(exception->vector, 14);
    assert_int_equal(exception->exception_info, 1);
    assert_true(exception->error_code == 7 && exception->parameter == 0x1234000);
    vtl_return(true);
    f->partition.cpuid_intercept[0] = 0x16;
    f->partition.cpuid_intercept_count = 1;
    vp->gpr[VSM_RAX] = 0x16;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_CPUID, 0, 0), VSM_RUN);
    cpuid = message(HV_MESSAGE_CPUID_INTERCEPT, sizeof(*cpuid));
    assert_true(cpuid->rax == 0x16);
    assert_int_equal(cpuid->header.length_and_cr8 & 0xf, 2);
}

// ---- events ------------------------------------------------------------------------------------

static void set(uint32_t name, uint64_t low, uint64_t high) {
    struct hv_register_value value = {{{low, high}}};

    assert_int_equal(vsm_register_set(vp, 2, 0, name, &value), HV_STATUS_SUCCESS);
}

static void test_interrupted_delivery(void **state) {
    struct svm_control *c = &vmcb(0)->control;

    (void)state;
    // QEMU records a hardware interrupt as an exception with a vector above 31.
    c->exit_code = SVM_EXIT_NPF;
    c->exit_info_1 = SVM_NPF_WRITE;
    c->exit_info_2 = 0xd0000000;
    c->exit_int_info = SVM_EVENT_VALID | SVM_EVENT_TYPE_EXCEPTION | 0x71;
    assert_int_equal(vsm_handle_exit(vp), VSM_RUN);
    assert_true(vp->reinject == INTERRUPT(0x71));
    assert_int_equal(
        ((const struct hv_memory_intercept *)message(HV_MESSAGE_UNMAPPED_GPA, 80))->header.state &
            HV_STATE_INTERRUPTION_PENDING,
        HV_STATE_INTERRUPTION_PENDING);
    vtl_return(true);
    assert_int_equal(vsm_before_entry(vp), VSM_RUN);
    assert_true(c->event_injection == INTERRUPT(0x71));
    // INTn is run again instead.
    c->event_injection = 0;
    c->exit_code = SVM_EXIT_INTR;
    c->exit_int_info = SVM_EVENT_VALID | SVM_EVENT_TYPE_SOFT | 0x80;
    assert_int_equal(vsm_handle_exit(vp), VSM_RUN);
    assert_true(vp->reinject == 0);
}

static void test_events_of_vtl2(void **state) {
    struct hv_register_value value = {{{HV_EVENT_PENDING | 40 << 16, 0}}};
    struct svm_control *c = &vmcb(0)->control;

    (void)state;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    // #PF with its CR2.
    set(HV_REGISTER_PENDING_EVENT0,
        HV_EVENT_PENDING | HV_EVENT_EXC_ERROR_VALID | 14 << 16 | UINT64_C(6) << 32, 0xabc);
    vmcb(2)->save.cr2 = 0x999;
    vtl_return(true);
    assert_true(vmcb(0)->save.cr2 == 0xabc);
    assert_int_equal(vsm_before_entry(vp), VSM_RUN);
    assert_true(c->event_injection == (SVM_EVENT_VALID | SVM_EVENT_TYPE_EXCEPTION |
                                       SVM_EVENT_ERROR_VALID | 14 | UINT64_C(6) << 32));
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    set(HV_REGISTER_PENDING_INTERRUPTION, HV_PENDING_INTERRUPTION | 0x21 << 16, 0);
    vtl_return(true);
    assert_int_equal(vsm_before_entry(vp), VSM_RUN);
    assert_true(c->event_injection == INTERRUPT(0x21));
    // What the processor could not be given is refused.
    assert_int_equal(vsm_register_set(vp, 2, 0, HV_REGISTER_PENDING_EVENT0, &value),
                     HV_STATUS_INVALID_REGISTER_VALUE);
    value.low = HV_PENDING_INTERRUPTION | HV_PENDING_TYPE_SOFT_INT << 1 | 0x80 << 16;
    assert_int_equal(vsm_register_set(vp, 2, 0, HV_REGISTER_PENDING_INTERRUPTION, &value),
                     HV_STATUS_INVALID_REGISTER_VALUE);
}

static void test_deliverable_notification(void **state) {
    const struct hv_interruption_deliverable *m;
    struct svm_control *c = &vmcb(0)->control;

    (void)state;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    vmcb(0)->save.rflags &= ~RFLAGS_IF;
    set(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, HV_DELIVERABILITY_INTERRUPT, 0);
    vtl_return(true);
    assert_int_equal(vsm_before_entry(vp), VSM_RUN);
    assert_int_equal(vp->active_vtl, VSM_GUEST_VTL);
    assert_true(c->int_ctl & SVM_INT_V_IRQ); // a window
    vmcb(0)->save.rflags |= RFLAGS_IF;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_VINTR, 0, 0), VSM_RUN);
    assert_int_equal(vsm_before_entry(vp), VSM_RUN);
    m = message(HV_MESSAGE_INTERRUPTION_DELIVERABLE, sizeof(*m));
    assert_int_equal(m->type, HV_PENDING_TYPE_EXTINT);
    assert_true(vp->deliverability == 0);
}

static void test_halt_and_wake(void **state) {
    (void)state;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_HLT, 0, 0), VSM_RUN);
    assert_true(vmcb(0)->save.rip == RIP + 1);
    assert_int_equal(vsm_before_entry(vp), VSM_IDLE);
    assert_int_equal(vsm_woken(vp, false), VSM_IDLE);
    assert_int_equal(vsm_woken(vp, true), VSM_RUN);
    assert_int_equal(vp->active_vtl, VSM_PARAVISOR);
    assert_int_equal(assist->vtl_entry_reason, HV_VTL_ENTRY_INTERRUPT);
    vtl_return(true);
    assert_int_equal(vsm_before_entry(vp), VSM_IDLE); // still halted
    assert_int_equal(vsm_woken(vp, true), VSM_RUN);
    set(HV_REGISTER_PENDING_EVENT0, HV_EVENT_PENDING | 5 << 1 | 0x30 << 8, 0);
    vtl_return(true);
    assert_int_equal(vsm_before_entry(vp), VSM_RUN);
    assert_true(vmcb(0)->control.event_injection == INTERRUPT(0x30));
    assert_false(vp->halted);
}

/// An interrupt between STI and HLT wakes the HLT that has not happened yet.
static void test_interrupt_in_the_shadow_of_sti(void **state) {
    const uint8_t hlt = 0xf4;

    (void)state;
    fake_partition_code(f, 0, RIP, &hlt, 1);
    assert_int_equal(vsm_write_msr(vp, 0, 0x1b, 0xfee00d00), 0); // x2APIC
    assert_int_equal(vsm_write_msr(vp, 0, 0x80f, 0x1ff), 0);
    hv_lapic_request(&vp->vtl[0].lapic, 0x61);
    vmcb(0)->control.interrupt_shadow = 1;
    assert_int_equal(vsm_before_entry(vp), VSM_RUN);
    assert_true(vmcb(0)->control.event_injection == INTERRUPT(0x61));
    assert_true(vmcb(0)->save.rip == RIP + 1);
}

/// NMIs are masked until the handler's IRET was executed: an exit in front of it changes nothing.
static void test_nmi_masked_until_iret(void **state) {
    const uint64_t nmi = SVM_EVENT_VALID | SVM_EVENT_TYPE_NMI | 2;

    (void)state;
    hv_lapic_request_nmi(&vp->vtl[0].lapic);
    assert_int_equal(vsm_before_entry(vp), VSM_RUN);
    assert_true(vmcb(0)->control.event_injection == nmi);
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_NMI, 0, 0), VSM_RUN); // in the handler
    hv_lapic_request_nmi(&vp->vtl[0].lapic);
    assert_int_equal(vsm_before_entry(vp), VSM_RUN);
    assert_true(vmcb(0)->control.event_injection == 0);
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_IRET, 0, 0), VSM_RUN);
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_NMI, 0, 0), VSM_RUN); // not executed
    assert_int_equal(vsm_before_entry(vp), VSM_RUN);
    assert_true(vmcb(0)->control.event_injection == 0);
    vp->gpr[VSM_RSP] += 24; // IRET
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_NMI, 0, 0), VSM_RUN);
    assert_int_equal(vsm_before_entry(vp), VSM_RUN);
    assert_true(vmcb(0)->control.event_injection == nmi);
}

static void test_startup_suspend(void **state) {
    (void)state;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    set(HV_REGISTER_INTERNAL_ACTIVITY_STATE, HV_ACTIVITY_STARTUP_SUSPEND, 0);
    vtl_return(true);
    assert_int_equal(vsm_before_entry(vp), VSM_IDLE);
    assert_true(vsm_deadline(vp) == UINT64_MAX);
    assert_int_equal(vsm_woken(vp, true), VSM_RUN);
    set(HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0, 0);
    vtl_return(true);
    assert_int_equal(vsm_before_entry(vp), VSM_RUN);
}

static void test_apic_registers(void **state) {
    struct hv_register_value value;

    (void)state;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_INTR, 0, 0), VSM_RUN);
    set(HV_REGISTER_APIC_FIRST + 0x0f, 0x1ff, 0);
    set(HV_REGISTER_APIC_FIRST + 0x35, 0x700, 0);
    assert_int_equal(vsm_register_get(vp, 2, 0, HV_REGISTER_APIC_FIRST + 0x35, &value), 0);
    assert_true(value.low == 0x700);
    value.low = 0;
    assert_int_equal(vsm_register_set(vp, 2, 0, HV_REGISTER_APIC_FIRST + 0x0b, &value),
                     HV_STATUS_INVALID_REGISTER_VALUE);
    set(HV_REGISTER_APIC_BASE, 0xfee00800, 0); // starts over; the BSP stays the BSP
    assert_int_equal(vsm_register_get(vp, 2, 0, HV_REGISTER_APIC_FIRST + 0x0f, &value), 0);
    assert_true(value.low == 0xff);
    assert_int_equal(vsm_register_get(vp, 2, 0, HV_REGISTER_APIC_BASE, &value), 0);
    assert_true(value.low == 0xfee00900);
}

/// Calls without end: VTL0 gets time to itself, and looks by its own timer.
static void test_storm_of_calls(void **state) {
    unsigned calls = 0;

    (void)state;
    memset(f->kicks, 0, sizeof(f->kicks));
    for (unsigned i = 0; i < 100; i++) {
        vsm_kick_vtl0(vp);
        if (f->kicks[0] == calls) {
            break;
        }
        calls = f->kicks[0];
        assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_NMI, 0, 0), VSM_RUN);
        vsm_kick_vtl0(vp); // it looks before it enters: no call
        assert_int_equal(f->kicks[0], calls);
        assert_int_equal(vsm_before_entry(vp), VSM_RUN);
        f->now_100ns += 100;
    }
    assert_in_range(calls, 2, 20);
    assert_in_range(vsm_deadline(vp), f->now_100ns + 1000, f->now_100ns + 2000);
    f->now_100ns = vsm_deadline(vp);
    vsm_kick_vtl0(vp);
    assert_int_equal(f->kicks[0], calls + 1);
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_NMI, 0, 0), VSM_RUN);
    assert_true(vsm_deadline(vp) > f->now_100ns && vsm_deadline(vp) != UINT64_MAX);
    f->now_100ns += 1000000; // it is over
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_NMI, 0, 0), VSM_RUN);
    assert_true(vsm_deadline(vp) == UINT64_MAX);
}

static void test_refused_state(void **state) {
    (void)state;
    assert_int_equal(fake_partition_exit(f, 0, UINT32_MAX, 0, 0), VSM_RUN);
    assert_int_equal(vsm_before_entry(vp), VSM_RUN);
    assert_true((vmcb(0)->control.event_injection & SVM_EVENT_VECTOR_MASK) == 13);
    // Not a value, the whole state: VTL0's crash, or ours. Where svm/ does not see it, the #GP
    // fails.
    vmcb(0)->control.exit_int_info = vmcb(0)->control.event_injection;
    assert_int_equal(vsm_handle_exit(vp), VSM_RUN);
    (void)message(HV_MESSAGE_UNRECOVERABLE_EXCEPTION, sizeof(struct hv_intercept_header));
    fake_partition_enter_vtl0(f, 0, RIP);
    vp->refused = true;
    assert_int_equal(fake_partition_exit(f, 0, UINT64_MAX, 0, 0), VSM_RUN);
    (void)message(HV_MESSAGE_UNRECOVERABLE_EXCEPTION, sizeof(struct hv_intercept_header));
    assert_int_equal(fake_partition_exit(f, 0, UINT64_MAX, 0, 0), VSM_STOP);
    assert_int_equal(f->partition.stop, VSM_STOP_FAILED);
}

static void test_lost_state(void **state) {
    (void)state;
    // Whatever the exit code says: it is of another exit.
    vp->lost = true;
    vmcb(0)->control.event_injection = SVM_EVENT_VALID | SVM_EVENT_TYPE_EXCEPTION | 14;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_NPF, 0, 0x100000), VSM_RUN);
    (void)message(HV_MESSAGE_UNRECOVERABLE_EXCEPTION, sizeof(struct hv_intercept_header));
    assert_int_equal(vp->active_vtl, VSM_PARAVISOR);
    assert_true(vmcb(0)->control.event_injection == 0);
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_NMI, 0, 0), VSM_STOP);
    assert_int_equal(f->partition.stop, VSM_STOP_FAILED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
