// SPDX-License-Identifier: MIT
//
// The local APIC: registers of both modes and Hyper-V's, priorities, errors, pins.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/lapic_fixture.h"
#include "vtl2/hv/tlfs.h"

static void test_reset_values(void **state) {
    struct hv_apic_bus bus = apics.bus;
    struct hv_lapic_config bad = {.id = UINT32_MAX, .timer_hz = FAKE_APIC_HZ};
    uint64_t base;

    (void)state;
    assert_int_equal(fake_apic_read(&apics, 2, ID), 2u << 24);
    assert_int_equal(fake_apic_read(&apics, 2, VERSION), 0x50014);
    assert_int_equal(fake_apic_read(&apics, 2, SVR), 0xFF);
    assert_int_equal(fake_apic_read(&apics, 2, DFR), 0xFFFFFFFF);
    for (uint32_t off = LVT_TIMER; off <= LVT_ERROR; off += 16) {
        assert_int_equal(fake_apic_read(&apics, 2, off), MASKED);
    }
    assert_int_equal(fake_apic_rdmsr(&apics, 0, BASE_MSR, &base), 0);
    assert_true(base == BASE(EN | HV_APIC_BASE_BSP));
    assert_int_equal(fake_apic_rdmsr(&apics, 1, BASE_MSR, &base), 0);
    assert_true(base == BASE(EN));
    assert_int_equal(hv_lapic_init(&apics.lapic[0], &bad, &bus), -EINVAL);
    bad = (struct hv_lapic_config){.timer_hz = FAKE_APIC_HZ, .index = FAKE_APIC_COUNT};
    assert_int_equal(hv_lapic_init(&apics.lapic[0], &bad, &bus), -EINVAL);
    bad = (struct hv_lapic_config){.timer_hz = 0};
    assert_int_equal(hv_lapic_init(&apics.lapic[0], &bad, &bus), -EINVAL);
    bad = (struct hv_lapic_config){.timer_hz = FAKE_APIC_HZ, .id = 300};
    assert_int_equal(hv_lapic_init(&apics.lapic[0], &bad, &bus), 0);
    assert_int_equal(fake_apic_rdmsr(&apics, 0, 0x802, &base), 0); // starts in x2APIC mode
    assert_int_equal(base, 300);
}

static void test_mmio_shapes(void **state) {
    struct hv_clock now = fake_apics_now(&apics);

    (void)state;
    fake_apics_enable(&apics);
    fake_apic_write(&apics, 0, TPR, 0x45);
    assert_int_equal(hv_lapic_mmio_read(&apics.lapic[0], now, TPR, 1), 0x45);
    assert_int_equal(hv_lapic_mmio_read(&apics.lapic[0], now, SVR + 1, 1), 0x01);
    assert_int_equal(hv_lapic_mmio_read(&apics.lapic[0], now, SVR, 8), 0x1FF);
    assert_int_equal(hv_lapic_mmio_read(&apics.lapic[0], now, TPR + 4, 4), 0);
    assert_int_equal(hv_lapic_mmio_read(&apics.lapic[0], now, 0x1000, 4), 0);
    hv_lapic_mmio_write(&apics.lapic[0], now, TPR, 1, 0x60);
    hv_lapic_mmio_write(&apics.lapic[0], now, TPR, 8, 0x60);
    hv_lapic_mmio_write(&apics.lapic[0], now, TPR + 1, 4, 0x60);
    hv_lapic_mmio_write(&apics.lapic[0], now, 0xFFFFFFF0, 4, 0x60);
    assert_int_equal(fake_apic_read(&apics, 0, TPR), 0x45);
    assert_true(hv_lapic_owns_page(&apics.lapic[0], gpa(0xFEE00123)));
    assert_false(hv_lapic_owns_page(&apics.lapic[0], gpa(0xFEE01000)));
}

static void test_priorities(void **state) {
    (void)state;
    fake_apics_enable(&apics);
    hv_lapic_raise(&apics.lapic[0], 0x31);
    hv_lapic_raise(&apics.lapic[0], 0x52);
    hv_lapic_raise(&apics.lapic[0], 0x35);
    assert_int_equal(fake_apic_read(&apics, 0, IRR + 0x10), 1u << 0x11 | 1u << 0x15);
    assert_int_equal(fake_apic_take(&apics, 0), 0x52);
    assert_int_equal(fake_apic_read(&apics, 0, PPR), 0x50);
    expect_nothing(0); // lower class
    hv_lapic_raise(&apics.lapic[0], 0x5F);
    expect_nothing(0); // same class
    hv_lapic_raise(&apics.lapic[0], 0x60);
    assert_int_equal(fake_apic_take(&apics, 0), 0x60);
    assert_int_equal(fake_apic_read(&apics, 0, ISR + 0x30), 1);
    eoi(0);
    expect_nothing(0);
    eoi(0);
    assert_int_equal(fake_apic_take(&apics, 0), 0x5F);
    eoi(0);
    assert_int_equal(fake_apic_take(&apics, 0), 0x35);
    eoi(0);
    assert_int_equal(fake_apic_take(&apics, 0), 0x31);
    eoi(0);
    eoi(0); // nothing is serviced: nothing happens
    expect_nothing(0);
}

static void test_tpr_and_cr8(void **state) {
    (void)state;
    fake_apics_enable(&apics);
    fake_apic_write(&apics, 0, TPR, 0x37);
    assert_int_equal(hv_lapic_cr8(&apics.lapic[0]), 3);
    hv_lapic_set_cr8(&apics.lapic[0], 3);
    assert_int_equal(fake_apic_read(&apics, 0, TPR), 0x37); // says nothing new
    hv_lapic_raise(&apics.lapic[0], 0x3F);
    expect_nothing(0);
    assert_int_equal(hv_lapic_held_by_tpr(&apics.lapic[0]), 0x3F);
    assert_false(hv_lapic_wakes(&apics.lapic[0], true, false));
    hv_lapic_set_cr8(&apics.lapic[0], 2);
    assert_int_equal(fake_apic_read(&apics, 0, TPR), 0x20);
    assert_int_equal(hv_lapic_held_by_tpr(&apics.lapic[0]), -1);
    assert_true(hv_lapic_wakes(&apics.lapic[0], true, false));
    assert_false(hv_lapic_wakes(&apics.lapic[0], false, false));
    assert_int_equal(fake_apic_take(&apics, 0), 0x3F);
    assert_int_equal(fake_apic_read(&apics, 0, PPR), 0x30);
    fake_apic_write(&apics, 0, TPR, 0x3A);
    assert_int_equal(fake_apic_read(&apics, 0, PPR), 0x3A);
    hv_lapic_raise(&apics.lapic[0], 0x38);
    assert_int_equal(hv_lapic_held_by_tpr(&apics.lapic[0]), -1); // ISR holds it back as well
}

static void test_auto_eoi(void **state) {
    struct hv_interrupt next;

    (void)state;
    fake_apics_enable(&apics);
    hv_lapic_raise(&apics.lapic[0], 0xEE);
    next = hv_lapic_next(&apics.lapic[0], false);
    assert_int_equal(next.kind, HV_INTERRUPT_FIXED);
    hv_lapic_acknowledge(&apics.lapic[0], next.vector, true);
    assert_int_equal(fake_apic_read(&apics, 0, PPR), 0);
    expect_nothing(0);
}

static void test_software_disable(void **state) {
    (void)state;
    fake_apics_enable(&apics);
    fake_apic_write(&apics, 0, LVT_ERROR, 0xFE);
    hv_lapic_raise(&apics.lapic[0], 0x40);
    fake_apic_write(&apics, 0, SVR, 0xFF);
    assert_int_equal(fake_apic_read(&apics, 0, LVT_ERROR), 0xFE | MASKED);
    fake_apic_write(&apics, 0, LVT_ERROR, 0xFE);
    assert_int_equal(fake_apic_read(&apics, 0, LVT_ERROR), 0xFE | MASKED);
    hv_lapic_raise(&apics.lapic[0], 0x41);
    hv_lapic_request(&apics.lapic[0], 0x42);
    assert_int_equal(fake_apic_take(&apics, 0), 0x40); // what was requested before stays
    eoi(0);
    expect_nothing(0);
    hv_lapic_request_nmi(&apics.lapic[0]);
    assert_int_equal(fake_apic_take(&apics, 0), FAKE_APIC_NMI);
}

static void test_esr(void **state) {
    (void)state;
    fake_apics_enable(&apics);
    fake_apic_write(&apics, 0, LVT_ERROR, 0xFE);
    fake_apic_write(&apics, 0, ICR, 0x00040005); // self, vector 5
    assert_int_equal(fake_apic_take(&apics, 0), 0xFE);
    eoi(0);
    assert_int_equal(fake_apic_read(&apics, 0, ESR), 0); // shows only after a write
    fake_apic_write(&apics, 0, ESR, 0);
    assert_int_equal(fake_apic_read(&apics, 0, ESR), 0x20);
    fake_apic_write(&apics, 0, ESR, 0);
    assert_int_equal(fake_apic_read(&apics, 0, ESR), 0);
    hv_lapic_request(&apics.lapic[0], 3);
    assert_int_equal(fake_apic_take(&apics, 0), 0xFE);
    eoi(0);
    (void)fake_apic_read(&apics, 0, 0x40);
    assert_int_equal(fake_apic_take(&apics, 0), 0xFE);
    eoi(0);
    fake_apic_write(&apics, 0, 0x3F0, 1); // no self IPI register in this mode; not a new error
    expect_nothing(0);
    fake_apic_write(&apics, 0, ESR, 0);
    assert_int_equal(fake_apic_read(&apics, 0, ESR), 0xC0);
    // An error entry that is an error itself does not go round for ever.
    fake_apic_write(&apics, 0, LVT_ERROR, 0x01);
    fake_apic_write(&apics, 0, 0x3F0, 1);
    expect_nothing(0);
}

static void test_base_transitions(void **state) {
    uint64_t value;

    (void)state;
    fake_apics_enable(&apics);
    assert_int_equal(fake_apic_rdmsr(&apics, 1, 0x802, &value), -EPERM); // xAPIC mode
    assert_int_equal(fake_apic_wrmsr(&apics, 1, BASE_MSR, BASE(EXTD)), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&apics, 1, BASE_MSR, BASE(EN | 1)), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&apics, 1, BASE_MSR, BASE(EN | 1ull << 48)), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&apics, 1, BASE_MSR, 0xFEC80000 | EN), 0); // relocate
    assert_false(hv_lapic_owns_page(&apics.lapic[1], gpa(0xFEE00000)));
    assert_true(hv_lapic_owns_page(&apics.lapic[1], gpa(0xFEC80000)));
    assert_int_equal(fake_apic_wrmsr(&apics, 1, BASE_MSR, BASE(EN | EXTD)), 0);
    assert_false(hv_lapic_owns_page(&apics.lapic[1], gpa(0xFEE00000)));
    assert_int_equal(fake_apic_rdmsr(&apics, 1, 0x80F, &value), 0);
    assert_int_equal(value, 0x1FF);                                           // kept
    assert_int_equal(fake_apic_wrmsr(&apics, 1, BASE_MSR, BASE(EN)), -EPERM); // no way back
    assert_int_equal(fake_apic_wrmsr(&apics, 1, BASE_MSR, BASE(0)), 0);
    assert_int_equal(fake_apic_rdmsr(&apics, 1, 0x802, &value), -EPERM);
    hv_lapic_raise(&apics.lapic[1], 0x50);
    expect_nothing(1);
    assert_int_equal(fake_apic_wrmsr(&apics, 1, BASE_MSR, BASE(EN | EXTD)),
                     -EPERM); // through xAPIC
    assert_int_equal(fake_apic_wrmsr(&apics, 1, BASE_MSR, BASE(EN)), 0);
    assert_int_equal(fake_apic_read(&apics, 1, SVR), 0xFF); // its state was lost
    // The BSP flag is nobody's to change.
    assert_int_equal(fake_apic_wrmsr(&apics, 1, BASE_MSR, BASE(EN | HV_APIC_BASE_BSP)), 0);
    assert_int_equal(fake_apic_rdmsr(&apics, 1, BASE_MSR, &value), 0);
    assert_true(value == BASE(EN));
    assert_int_equal(fake_apic_rdmsr(&apics, 1, 0x10, &value), -ENOENT);
    assert_int_equal(fake_apic_wrmsr(&apics, 1, 0x900, 0), -ENOENT);
}

static void test_x2apic_registers(void **state) {
    static const uint32_t none[] = {0x800, 0x801, 0x804, 0x809, 0x80C, 0x80E,
                                    0x82F, 0x831, 0x83A, 0x840, 0x8FF};
    static const uint32_t read_only[] = {0x802, 0x803, 0x80A, 0x80D, 0x810, 0x81F, 0x827, 0x839};
    static const uint32_t write_only[] = {0x80B, 0x83F};
    uint64_t value;

    (void)state;
    fake_apics_enable_x2apic(&apics);
    for (size_t i = 0; i < ARRAY_COUNT(none); i++) {
        assert_int_equal(fake_apic_rdmsr(&apics, 1, none[i], &value), -EPERM);
        assert_int_equal(fake_apic_wrmsr(&apics, 1, none[i], 0), -EPERM);
    }
    for (size_t i = 0; i < ARRAY_COUNT(read_only); i++) {
        assert_int_equal(fake_apic_rdmsr(&apics, 1, read_only[i], &value), 0);
        assert_int_equal(fake_apic_wrmsr(&apics, 1, read_only[i], 0), -EPERM);
    }
    for (size_t i = 0; i < ARRAY_COUNT(write_only); i++) {
        assert_int_equal(fake_apic_rdmsr(&apics, 1, write_only[i], &value), -EPERM);
    }
    assert_int_equal(fake_apic_wrmsr(&apics, 1, 0x808, 0x100), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&apics, 1, 0x808, 0x50), 0);
    assert_int_equal(hv_lapic_cr8(&apics.lapic[1]), 5);
    assert_int_equal(fake_apic_wrmsr(&apics, 1, 0x80B, 1), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&apics, 1, 0x828, 1), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&apics, 1, 0x80F, 0x1000), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&apics, 1, 0x832, 0x300EC | 1ull << 32), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&apics, 1, 0x832, 0x7EC), -EPERM); // no delivery mode
    assert_int_equal(fake_apic_wrmsr(&apics, 1, 0x835, 0x1700), 0);     // status bit: no fault
    assert_int_equal(fake_apic_rdmsr(&apics, 1, 0x835, &value), 0);
    assert_int_equal(value, 0x700);
    assert_int_equal(fake_apic_wrmsr(&apics, 1, 0x83E, 0x4), -EPERM);
    assert_int_equal(fake_apic_rdmsr(&apics, 3, 0x80D, &value), 0);
    assert_int_equal(value, 8);
}

static void test_hyperv_msrs(void **state) {
    uint64_t value;

    (void)state;
    fake_apics_enable(&apics);
    assert_int_equal(fake_apic_wrmsr(&apics, 0, HV_MSR_TPR, 0x20), 0);
    assert_int_equal(fake_apic_rdmsr(&apics, 0, HV_MSR_TPR, &value), 0);
    assert_int_equal(value, 0x20);
    assert_int_equal(fake_apic_wrmsr(&apics, 0, HV_MSR_TPR, 0x100), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&apics, 0, HV_MSR_ICR, 1ull << 56 | 0x4055), 0);
    assert_int_equal(fake_apic_take(&apics, 1), 0x55);
    assert_int_equal(fake_apic_wrmsr(&apics, 1, HV_MSR_EOI, 0), 0);
    assert_int_equal(fake_apic_read(&apics, 1, PPR), 0);
    assert_int_equal(fake_apic_rdmsr(&apics, 1, HV_MSR_EOI, &value), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&apics, 1, BASE_MSR, BASE(EN | EXTD)), 0);
    assert_int_equal(fake_apic_wrmsr(&apics, 1, HV_MSR_ICR, 0ull << 32 | 0x4056), 0);
    assert_int_equal(fake_apic_take(&apics, 0), 0x56);
    assert_int_equal(fake_apic_wrmsr(&apics, 1, BASE_MSR, BASE(0)), 0);
    assert_int_equal(fake_apic_wrmsr(&apics, 1, HV_MSR_EOI, 0), -EPERM);
    assert_int_equal(fake_apic_rdmsr(&apics, 1, HV_MSR_ICR, &value), -EPERM);
}

static void test_lint_pins(void **state) {
    (void)state;
    // Disabled in hardware: INTR and NMI.
    assert_int_equal(fake_apic_wrmsr(&apics, 0, BASE_MSR, BASE(0)), 0);
    assert_true(hv_lapic_accepts_extint(&apics.lapic[0]));
    hv_lapic_set_lint(&apics.lapic[0], 0, true);
    assert_int_equal(fake_apic_take(&apics, 0), FAKE_APIC_EXTINT);
    hv_lapic_set_lint(&apics.lapic[0], 0, false);
    expect_nothing(0);
    hv_lapic_set_lint(&apics.lapic[0], 1, true);
    assert_int_equal(fake_apic_take(&apics, 0), FAKE_APIC_NMI);
    expect_nothing(0);
    hv_lapic_set_lint(&apics.lapic[0], 1, false);
    assert_int_equal(fake_apic_wrmsr(&apics, 0, BASE_MSR, BASE(EN)), 0);
    fake_apics_enable(&apics);
    // Masked, then ExtINT.
    hv_lapic_set_lint(&apics.lapic[0], 0, true);
    expect_nothing(0);
    fake_apic_write(&apics, 0, LVT_LINT0, 0x700);
    assert_int_equal(fake_apic_take(&apics, 0), FAKE_APIC_EXTINT);
    fake_apic_write(&apics, 0, TPR, 0xFF); // knows no priority
    assert_int_equal(fake_apic_take(&apics, 0), FAKE_APIC_EXTINT);
    fake_apic_write(&apics, 0, TPR, 0);
    fake_apic_write(&apics, 0, LVT_LINT0, 0x700 | MASKED);
    assert_false(hv_lapic_accepts_extint(&apics.lapic[0]));
    expect_nothing(0);
    hv_lapic_set_lint(&apics.lapic[0], 0, false);
    // An edge, then a level.
    fake_apic_write(&apics, 0, LVT_LINT0, 0x45);
    hv_lapic_set_lint(&apics.lapic[0], 0, true);
    hv_lapic_set_lint(&apics.lapic[0], 0, true);
    assert_int_equal(fake_apic_take(&apics, 0), 0x45);
    eoi(0);
    expect_nothing(0);
    fake_apic_write(&apics, 0, LVT_LINT0, 0x8045);
    assert_int_equal(fake_apic_take(&apics, 0), 0x45);
    assert_int_equal(fake_apic_read(&apics, 0, LVT_LINT0), 0xC045);
    eoi(0);
    assert_int_equal(fake_apic_take(&apics, 0), 0x45); // still high
    hv_lapic_set_lint(&apics.lapic[0], 0, false);
    eoi(0);
    assert_int_equal(fake_apic_read(&apics, 0, LVT_LINT0), 0x8045);
    expect_nothing(0);
    // LINT1 as NMI.
    fake_apic_write(&apics, 0, LVT_LINT1, 0x400);
    hv_lapic_set_lint(&apics.lapic[0], 1, true);
    assert_int_equal(fake_apic_take(&apics, 0), FAKE_APIC_NMI);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_reset_values, lapic_setup),
        cmocka_unit_test_setup(test_mmio_shapes, lapic_setup),
        cmocka_unit_test_setup(test_priorities, lapic_setup),
        cmocka_unit_test_setup(test_tpr_and_cr8, lapic_setup),
        cmocka_unit_test_setup(test_auto_eoi, lapic_setup),
        cmocka_unit_test_setup(test_software_disable, lapic_setup),
        cmocka_unit_test_setup(test_esr, lapic_setup),
        cmocka_unit_test_setup(test_base_transitions, lapic_setup),
        cmocka_unit_test_setup(test_x2apic_registers, lapic_setup),
        cmocka_unit_test_setup(test_hyperv_msrs, lapic_setup),
        cmocka_unit_test_setup(test_lint_pins, lapic_setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
