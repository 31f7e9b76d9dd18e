// SPDX-License-Identifier: MIT
//
// The vsm platform from an intercept message to VTL0's registers: decoding and its limits, port
// accesses, MSRs, CPUID, hypercalls, memory accesses by the emulator.
#include "tests/support/vsm_machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct vsm_test t;

#define RIP     (t.vp.registers->rip)
#define GPR(i)  (t.vp.run->gpr[i])
#define DIRTY   (t.vp.registers->dirty)
#define NEXT(n) (VSM_TEST_CODE_GPA + (n))

// ---- decoding ----

static void test_short_messages_are_refused(void **state) {
    static const struct {
        uint32_t type;
        uint8_t size;
    } cases[] = {
        {HV_MESSAGE_IO_PORT_INTERCEPT, sizeof(struct hv_io_port_intercept)},
        {HV_MESSAGE_UNMAPPED_GPA, sizeof(struct hv_memory_intercept)},
        {HV_MESSAGE_GPA_INTERCEPT, sizeof(struct hv_memory_intercept)},
        {HV_MESSAGE_MSR_INTERCEPT, sizeof(struct hv_msr_intercept)},
        {HV_MESSAGE_CPUID_INTERCEPT, sizeof(struct hv_cpuid_intercept)},
        {HV_MESSAGE_HYPERCALL_INTERCEPT, sizeof(struct hv_hypercall_intercept)},
        {HV_MESSAGE_EXCEPTION_INTERCEPT, sizeof(struct hv_exception_intercept)},
        {HV_MESSAGE_APIC_EOI, sizeof(struct hv_apic_eoi_message)},
        {HV_MESSAGE_SIPI_INTERCEPT, sizeof(struct hv_sipi_intercept)},
        {HV_MESSAGE_HALT, sizeof(struct hv_intercept_header)},
        {HV_MESSAGE_INTERRUPTION_DELIVERABLE, sizeof(struct hv_intercept_header)},
        {HV_MESSAGE_UNRECOVERABLE_EXCEPTION, sizeof(struct hv_intercept_header)},
    };
    struct hv_message message = {0};
    struct vsm_event event;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        message.header.type = cases[i].type;
        // An access size for the port message; everything else may be zero.
        message.payload[42] = 1;
        message.header.payload_size_bytes = cases[i].size;
        assert_int_equal(vsm_message_decode(&message, &event), 0);
        message.header.payload_size_bytes = cases[i].size - 1;
        assert_int_equal(vsm_message_decode(&message, &event), -EPROTO);
        message.header.payload_size_bytes = 241;
        assert_int_equal(vsm_message_decode(&message, &event), -EPROTO);
    }
    message.header.payload_size_bytes = 240;
    message.header.type = HV_MESSAGE_NONE;
    assert_int_equal(vsm_message_decode(&message, &event), -EPROTO);
    message.header.type = HV_MESSAGE_TIMER_EXPIRED;
    assert_int_equal(vsm_message_decode(&message, &event), -EPROTO);
}

static void test_odd_values_are_refused(void **state) {
    struct hv_io_port_intercept io = {.access_info = 3};
    struct hv_exception_intercept exception = {.vector = 32};
    struct hv_apic_eoi_message eoi = {.vector = 256};
    struct hv_message message = {.header = {.payload_size_bytes = 240}};
    struct vsm_event event;

    (void)state;
    message.header.type = HV_MESSAGE_IO_PORT_INTERCEPT;
    memcpy(message.payload, &io, sizeof(io));
    assert_int_equal(vsm_message_decode(&message, &event), -EPROTO);
    io.access_info = 4;
    io.header.access = HV_INTERCEPT_EXECUTE;
    memcpy(message.payload, &io, sizeof(io));
    assert_int_equal(vsm_message_decode(&message, &event), -EPROTO);
    message.header.type = HV_MESSAGE_EXCEPTION_INTERCEPT;
    memcpy(message.payload, &exception, sizeof(exception));
    assert_int_equal(vsm_message_decode(&message, &event), -EPROTO);
    message.header.type = HV_MESSAGE_APIC_EOI;
    memcpy(message.payload, &eoi, sizeof(eoi));
    assert_int_equal(vsm_message_decode(&message, &event), -EPROTO);
    // More instruction bytes than there is room for.
    message.header.type = HV_MESSAGE_UNMAPPED_GPA;
    memset(message.payload, 0, sizeof(message.payload));
    message.payload[44] = 255;
    assert_int_equal(vsm_message_decode(&message, &event), 0);
    assert_int_equal(event.emulate.insn_bytes, 15);
}

static void test_unknown_message_fails_the_vp(void **state) {
    (void)state;
    vsm_test_init(&t);
    vsm_test_message(&t, 0x12345678, 240);
    vsm_test_deliver(&t);
    assert_int_equal(t.exit.kind, VP_EXIT_FAILED);
    assert_int_equal(t.exit.failed.detail[0], 0x12345678);
}

// ---- ports ----

static void deliver_io(uint16_t port, uint8_t access_info, bool is_write, uint8_t length,
                       const char *insn, uint8_t insn_bytes) {
    struct hv_io_port_intercept m = {
        .header = vsm_test_header(&t, length, is_write ? HV_INTERCEPT_WRITE : HV_INTERCEPT_READ),
        .port = port,
        .access_info = access_info,
        .instruction_byte_count = insn_bytes,
    };

    memcpy(m.instruction_bytes, insn, insn_bytes);
    memcpy(vsm_test_message(&t, HV_MESSAGE_IO_PORT_INTERCEPT, sizeof(m))->payload, &m, sizeof(m));
    vsm_test_deliver(&t);
}

static void test_port_write(void **state) {
    (void)state;
    vsm_test_init(&t);
    GPR(0) = 0x1122334455667788;
    deliver_io(0x3f8, 2, true, 1, "", 0);
    assert_int_equal(t.exit.kind, VP_EXIT_PIO);
    assert_int_equal(t.exit.pio.port, 0x3f8);
    assert_int_equal(t.exit.pio.size, 2);
    assert_int_equal(t.exit.pio.count, 1);
    assert_true(t.exit.pio.is_write);
    assert_memory_equal(t.exit.pio.data, "\x88\x77", 2);
    assert_int_equal(RIP, NEXT(0)); // not before the VMM is done
    assert_int_equal(vsm_finish(&t.vp, &t.exit), 0);
    assert_int_equal(RIP, NEXT(1));
    assert_int_equal(DIRTY, HV_REGISTER_PAGE_DIRTY_RIP);
    assert_int_equal(GPR(0), 0x1122334455667788);
    // Nothing is finished twice.
    assert_int_equal(vsm_finish(&t.vp, &t.exit), 0);
    assert_int_equal(RIP, NEXT(1));
}

static void test_port_read_merges(void **state) {
    static const struct {
        uint8_t size;
        uint64_t rax;
    } cases[] = {{1, 0x11223344556677aa}, {2, 0x112233445566bbaa}, {4, 0x00000000ddccbbaa}};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        vsm_test_init(&t);
        GPR(0) = 0x1122334455667788;
        deliver_io(0x60, cases[i].size, false, 2, "", 0);
        memcpy(t.exit.pio.data, "\xaa\xbb\xcc\xdd", cases[i].size);
        assert_int_equal(vsm_finish(&t.vp, &t.exit), 0);
        assert_int_equal(GPR(0), cases[i].rax);
        assert_int_equal(RIP, NEXT(2));
    }
}

static void test_instruction_pointer_wraps(void **state) {
    (void)state;
    vsm_test_init(&t);
    t.vp.registers->rip = 0xffffffff;
    deliver_io(0x80, 1, true, 1, "", 0);
    assert_int_equal(vsm_finish(&t.vp, &t.exit), 0);
    assert_int_equal(RIP, 0);
}

static void test_string_output(void **state) {
    (void)state;
    vsm_test_init(&t);
    memcpy(t.ram + 0x2000, "hello", 5);
    GPR(1) = 5;                         // rcx
    GPR(2) = 0x3f8;                     // rdx
    GPR(6) = VSM_TEST_RAM_GPA + 0x2000; // rsi
    GPR(MSHV_GPR_CR2) = 0x4444;
    deliver_io(0x3f8, 1 | HV_IO_ACCESS_STRING | HV_IO_ACCESS_REP, true, 2, "\xf3\x6e", 2);
    assert_int_equal(t.exit.kind, VP_EXIT_NONE);
    assert_int_equal(t.access_count, 5);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(t.access[i].kind, VP_EXIT_PIO);
        assert_int_equal(t.access[i].address, 0x3f8);
        assert_int_equal(t.access[i].value, "hello"[i]);
    }
    assert_int_equal(GPR(1), 0);
    assert_int_equal(GPR(6), VSM_TEST_RAM_GPA + 0x2005);
    assert_int_equal(GPR(MSHV_GPR_CR2), 0x4444); // RSP's place in the run page is CR2's
    assert_int_equal(RIP, NEXT(2));
}

static void test_string_input_without_bytes(void **state) {
    (void)state;
    vsm_test_init(&t);
    t.read_value = 0x42;
    memcpy(t.ram + 0x1000, "\x6c", 1); // insb, fetched from memory
    GPR(2) = 0x60;
    GPR(7) = VSM_TEST_RAM_GPA + 0x2000; // rdi
    deliver_io(0x60, 1 | HV_IO_ACCESS_STRING, false, 0, "", 0);
    assert_int_equal(t.exit.kind, VP_EXIT_NONE);
    assert_int_equal(t.ram[0x2000], 0x42);
    assert_int_equal(RIP, NEXT(1));
}

// ---- memory ----

static void deliver_memory(uint64_t gpa, bool is_write, const char *insn, uint8_t insn_bytes) {
    struct hv_memory_intercept m = {
        .header = vsm_test_header(&t, 0, is_write ? HV_INTERCEPT_WRITE : HV_INTERCEPT_READ),
        .gpa = gpa,
        .instruction_byte_count = insn_bytes,
    };

    memcpy(m.instruction_bytes, insn, insn_bytes);
    memcpy(vsm_test_message(&t, HV_MESSAGE_UNMAPPED_GPA, sizeof(m))->payload, &m, sizeof(m));
    vsm_test_deliver(&t);
}

static void test_memory_write(void **state) {
    (void)state;
    vsm_test_init(&t);
    GPR(0) = 0xcafe;
    GPR(3) = VSM_TEST_MMIO_GPA; // mov [ebx+4], eax
    deliver_memory(VSM_TEST_MMIO_GPA + 4, true, "\x89\x43\x04", 3);
    assert_int_equal(t.exit.kind, VP_EXIT_NONE);
    assert_int_equal(t.access_count, 1);
    assert_int_equal(t.access[0].kind, VP_EXIT_MMIO);
    assert_int_equal(t.access[0].address, VSM_TEST_MMIO_GPA + 4);
    assert_int_equal(t.access[0].size, 4);
    assert_true(t.access[0].is_write);
    assert_int_equal(t.access[0].value, 0xcafe);
    assert_int_equal(RIP, NEXT(3));
    assert_int_equal(DIRTY, HV_REGISTER_PAGE_DIRTY_RIP);
}

static void test_memory_read_and_flags(void **state) {
    (void)state;
    vsm_test_init(&t);
    t.read_value = 5;
    GPR(3) = VSM_TEST_MMIO_GPA; // cmp dword [ebx], 5
    deliver_memory(VSM_TEST_MMIO_GPA, false, "\x83\x3b\x05", 3);
    assert_int_equal(t.exit.kind, VP_EXIT_NONE);
    assert_true(t.vp.registers->rflags & 0x40);
    assert_int_equal(DIRTY, HV_REGISTER_PAGE_DIRTY_RIP | HV_REGISTER_PAGE_DIRTY_RFLAGS);
}

static void test_own_memory_is_a_device(void **state) {
    (void)state;
    vsm_test_init(&t);
    t.read_value = UINT64_MAX;
    GPR(3) = 0x10000000; // nobody's, or VTL2's
    deliver_memory(0x10000000, false, "\x8b\x03", 2);
    assert_int_equal(t.access_count, 1);
    assert_int_equal(GPR(0), 0xffffffff);
}

static void test_vector_registers(void **state) {
    (void)state;
    vsm_test_init(&t);
    t.vp.registers->cr4 = 0x200;
    memcpy(t.vp.run->fx_state + 160 + 16, "0123456789abcdef", 16);
    GPR(3) = VSM_TEST_MMIO_GPA; // movups [ebx], xmm1
    deliver_memory(VSM_TEST_MMIO_GPA, true, "\x0f\x11\x0b", 3);
    assert_int_equal(t.exit.kind, VP_EXIT_NONE);
    assert_int_equal(t.access_count, 2);
    assert_memory_equal(&t.access[1].value, "89abcdef", 8);
}

static void test_what_cannot_be_emulated_needs_the_hypervisor(void **state) {
    (void)state;
    vsm_test_init(&t);
    // An exception is due, and there is no hypervisor that takes it.
    deliver_memory(VSM_TEST_MMIO_GPA, true, "\x0f\xa2", 2);
    assert_int_equal(t.exit.kind, VP_EXIT_FAILED);
    assert_int_equal(t.access_count, 0);
    assert_int_equal(RIP, NEXT(0));
}

// ---- the rest ----

static void deliver_msr(uint32_t msr, bool is_write) {
    struct hv_msr_intercept m = {
        .header = vsm_test_header(&t, 2, is_write ? HV_INTERCEPT_WRITE : HV_INTERCEPT_READ),
        .msr = msr,
    };

    memcpy(vsm_test_message(&t, HV_MESSAGE_MSR_INTERCEPT, sizeof(m))->payload, &m, sizeof(m));
    vsm_test_deliver(&t);
}

static void test_msrs(void **state) {
    (void)state;
    vsm_test_init(&t);
    GPR(0) = GPR(2) = UINT64_MAX;
    deliver_msr(0x8b, false); // known
    assert_int_equal(t.exit.kind, VP_EXIT_NONE);
    assert_int_equal(GPR(0), 0);
    assert_int_equal(GPR(2), 1);
    assert_int_equal(RIP, NEXT(2));

    GPR(0) = 0xffffffff00000001;
    GPR(2) = 0xffffffff00000002;
    deliver_msr(0x12345, true); // the VMM's
    assert_int_equal(t.exit.kind, VP_EXIT_MSR);
    assert_int_equal(t.exit.msr.index, 0x12345);
    assert_int_equal(t.exit.msr.value, 0x200000001);
    assert_int_equal(vsm_finish(&t.vp, &t.exit), 0);
    assert_int_equal(RIP, NEXT(4));

    deliver_msr(0x12345, false);
    t.exit.msr.fault = true;
    assert_int_equal(vsm_finish(&t.vp, &t.exit), -EBADF); // #GP, by the hypervisor
    assert_int_equal(RIP, NEXT(4));
}

static void test_cpuid(void **state) {
    struct hv_cpuid_intercept m;

    (void)state;
    vsm_test_init(&t);
    m = (struct hv_cpuid_intercept){
        .header = vsm_test_header(&t, 2, HV_INTERCEPT_EXECUTE),
        .default_rax = 1,
        .default_rcx = 2,
        .default_rdx = 3,
        .default_rbx = UINT64_C(0x100000004),
    };
    memcpy(vsm_test_message(&t, HV_MESSAGE_CPUID_INTERCEPT, sizeof(m))->payload, &m, sizeof(m));
    vsm_test_deliver(&t);
    assert_int_equal(t.exit.kind, VP_EXIT_NONE);
    assert_int_equal(GPR(0), 1);
    assert_int_equal(GPR(1), 2);
    assert_int_equal(GPR(2), 3);
    assert_int_equal(GPR(3), 4);
    assert_int_equal(RIP, NEXT(2));
}

static void test_hypercalls_are_refused(void **state) {
    struct hv_hypercall_intercept m;

    (void)state;
    vsm_test_init(&t);
    t.vp.registers->cs.attributes = 0xa09b;
    m = (struct hv_hypercall_intercept){
        .header = vsm_test_header(&t, 3, HV_INTERCEPT_EXECUTE),
        .rcx = HV_CALL_SIGNAL_EVENT | HV_CONTROL_FAST,
    };
    m.header.state |= HV_STATE_EFER_LMA;
    memcpy(vsm_test_message(&t, HV_MESSAGE_HYPERCALL_INTERCEPT, sizeof(m))->payload, &m, sizeof(m));
    vsm_test_deliver(&t);
    assert_int_equal(t.exit.kind, VP_EXIT_NONE);
    assert_int_equal(GPR(0), HV_STATUS_INVALID_CONNECTION_ID);
    assert_int_equal(RIP, NEXT(3));
}

static void test_interrupt_window(void **state) {
    struct hv_interruption_deliverable m;

    (void)state;
    vsm_test_init(&t);
    m = (struct hv_interruption_deliverable){.header = vsm_test_header(&t, 0, 0)};
    memcpy(vsm_test_message(&t, HV_MESSAGE_INTERRUPTION_DELIVERABLE, sizeof(m))->payload, &m,
           sizeof(m));
    t.vp.extint_level = t.vp.window_requested = true;
    vsm_test_deliver(&t);
    assert_int_equal(t.exit.kind, VP_EXIT_EXTINT);
    assert_false(t.vp.window_requested);
    t.vp.extint_level = false; // gone meanwhile
    vsm_test_deliver(&t);
    assert_int_equal(t.exit.kind, VP_EXIT_NONE);
}

static void test_end_of_interrupt_and_triple_fault(void **state) {
    const struct hv_apic_eoi_message eoi = {.vector = 0x31};

    (void)state;
    vsm_test_init(&t);
    memcpy(vsm_test_message(&t, HV_MESSAGE_APIC_EOI, sizeof(eoi))->payload, &eoi, sizeof(eoi));
    vsm_test_deliver(&t);
    assert_int_equal(t.exit.kind, VP_EXIT_EOI);
    assert_int_equal(t.exit.eoi.vector, 0x31);
    vsm_test_message(&t, HV_MESSAGE_UNRECOVERABLE_EXCEPTION, 40);
    vsm_test_deliver(&t);
    assert_int_equal(t.exit.kind, VP_EXIT_SHUTDOWN);
    assert_int_equal(RIP, NEXT(0));
}

static void test_segments(void **state) {
    const struct hv_segment_register code = {
        .base = 1, .limit = 2, .selector = 3, .attributes = 0xb0fb};
    struct vp_segment s = vsm_segment_from_hv(&code);
    struct hv_segment_register back = vsm_segment_to_hv(&s);

    (void)state;
    assert_int_equal(s.attributes, 0xbfb);
    assert_memory_equal(&back, &code, sizeof(code));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_messages_are_refused),
        cmocka_unit_test(test_odd_values_are_refused),
        cmocka_unit_test(test_unknown_message_fails_the_vp),
        cmocka_unit_test(test_port_write),
        cmocka_unit_test(test_port_read_merges),
        cmocka_unit_test(test_instruction_pointer_wraps),
        cmocka_unit_test(test_string_output),
        cmocka_unit_test(test_string_input_without_bytes),
        cmocka_unit_test(test_memory_write),
        cmocka_unit_test(test_memory_read_and_flags),
        cmocka_unit_test(test_own_memory_is_a_device),
        cmocka_unit_test(test_vector_registers),
        cmocka_unit_test(test_what_cannot_be_emulated_needs_the_hypervisor),
        cmocka_unit_test(test_msrs),
        cmocka_unit_test(test_cpuid),
        cmocka_unit_test(test_hypercalls_are_refused),
        cmocka_unit_test(test_interrupt_window),
        cmocka_unit_test(test_end_of_interrupt_and_triple_fault),
        cmocka_unit_test(test_segments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
