// SPDX-License-Identifier: MIT
//
// The local APIC: registers of both modes, priorities, IPIs and MSIs, INIT and start-up, pins.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/fake_apics.h"
#include "vtl2/hv/tlfs.h"

#define ID        0x20u
#define VERSION   0x30u
#define TPR       0x80u
#define PPR       0xA0u
#define EOI       0xB0u
#define LDR       0xD0u
#define DFR       0xE0u
#define SVR       0xF0u
#define ISR       0x100u
#define TMR       0x180u
#define IRR       0x200u
#define ESR       0x280u
#define ICR       0x300u
#define ICR_HIGH  0x310u
#define LVT_TIMER 0x320u
#define LVT_LINT0 0x350u
#define LVT_LINT1 0x360u
#define LVT_ERROR 0x370u

#define MASKED      0x10000u
#define BASE_MSR    HV_APIC_BASE_MSR
#define BASE(flags) (HV_APIC_DEFAULT_GPA | (flags))
#define EN          HV_APIC_BASE_ENABLE
#define EXTD        HV_APIC_BASE_X2APIC

static struct fake_apics a;

static int setup(void **state) {
    (void)state;
    fake_apics_init(&a);
    return 0;
}

static void expect_nothing(unsigned idx) {
    assert_int_equal(fake_apic_take(&a, idx), FAKE_APIC_NOTHING);
}

/// EOI in xAPIC mode.
static void eoi(unsigned idx) {
    fake_apic_write(&a, idx, EOI, 0);
}

static void test_reset_values(void **state) {
    struct hv_apic_bus bus = a.bus;
    struct hv_lapic_config bad = {.id = UINT32_MAX, .timer_hz = FAKE_APIC_HZ};
    uint64_t base;

    (void)state;
    assert_int_equal(fake_apic_read(&a, 2, ID), 2u << 24);
    assert_int_equal(fake_apic_read(&a, 2, VERSION), 0x50014);
    assert_int_equal(fake_apic_read(&a, 2, SVR), 0xFF);
    assert_int_equal(fake_apic_read(&a, 2, DFR), 0xFFFFFFFF);
    for (uint32_t off = LVT_TIMER; off <= LVT_ERROR; off += 16) {
        assert_int_equal(fake_apic_read(&a, 2, off), MASKED);
    }
    assert_int_equal(fake_apic_rdmsr(&a, 0, BASE_MSR, &base), 0);
    assert_true(base == BASE(EN | HV_APIC_BASE_BSP));
    assert_int_equal(fake_apic_rdmsr(&a, 1, BASE_MSR, &base), 0);
    assert_true(base == BASE(EN));
    assert_int_equal(hv_lapic_init(&a.lapic[0], &bad, &bus), -EINVAL);
    bad = (struct hv_lapic_config){.timer_hz = FAKE_APIC_HZ, .index = FAKE_APIC_COUNT};
    assert_int_equal(hv_lapic_init(&a.lapic[0], &bad, &bus), -EINVAL);
    bad = (struct hv_lapic_config){.timer_hz = 0};
    assert_int_equal(hv_lapic_init(&a.lapic[0], &bad, &bus), -EINVAL);
    bad = (struct hv_lapic_config){.timer_hz = FAKE_APIC_HZ, .id = 300};
    assert_int_equal(hv_lapic_init(&a.lapic[0], &bad, &bus), 0);
    assert_int_equal(fake_apic_rdmsr(&a, 0, 0x802, &base), 0); // starts in x2APIC mode
    assert_int_equal(base, 300);
}

static void test_mmio_shapes(void **state) {
    struct hv_clock now = fake_apics_now(&a);

    (void)state;
    fake_apics_enable(&a);
    fake_apic_write(&a, 0, TPR, 0x45);
    assert_int_equal(hv_lapic_mmio_read(&a.lapic[0], now, TPR, 1), 0x45);
    assert_int_equal(hv_lapic_mmio_read(&a.lapic[0], now, SVR + 1, 1), 0x01);
    assert_int_equal(hv_lapic_mmio_read(&a.lapic[0], now, SVR, 8), 0x1FF);
    assert_int_equal(hv_lapic_mmio_read(&a.lapic[0], now, TPR + 4, 4), 0);
    assert_int_equal(hv_lapic_mmio_read(&a.lapic[0], now, 0x1000, 4), 0);
    hv_lapic_mmio_write(&a.lapic[0], now, TPR, 1, 0x60);
    hv_lapic_mmio_write(&a.lapic[0], now, TPR, 8, 0x60);
    hv_lapic_mmio_write(&a.lapic[0], now, TPR + 1, 4, 0x60);
    hv_lapic_mmio_write(&a.lapic[0], now, 0xFFFFFFF0, 4, 0x60);
    assert_int_equal(fake_apic_read(&a, 0, TPR), 0x45);
    assert_true(hv_lapic_owns_page(&a.lapic[0], gpa(0xFEE00123)));
    assert_false(hv_lapic_owns_page(&a.lapic[0], gpa(0xFEE01000)));
}

static void test_priorities(void **state) {
    (void)state;
    fake_apics_enable(&a);
    hv_lapic_raise(&a.lapic[0], 0x31);
    hv_lapic_raise(&a.lapic[0], 0x52);
    hv_lapic_raise(&a.lapic[0], 0x35);
    assert_int_equal(fake_apic_read(&a, 0, IRR + 0x10), 1u << 0x11 | 1u << 0x15);
    assert_int_equal(fake_apic_take(&a, 0), 0x52);
    assert_int_equal(fake_apic_read(&a, 0, PPR), 0x50);
    expect_nothing(0); // lower class
    hv_lapic_raise(&a.lapic[0], 0x5F);
    expect_nothing(0); // same class
    hv_lapic_raise(&a.lapic[0], 0x60);
    assert_int_equal(fake_apic_take(&a, 0), 0x60);
    assert_int_equal(fake_apic_read(&a, 0, ISR + 0x30), 1);
    eoi(0);
    expect_nothing(0);
    eoi(0);
    assert_int_equal(fake_apic_take(&a, 0), 0x5F);
    eoi(0);
    assert_int_equal(fake_apic_take(&a, 0), 0x35);
    eoi(0);
    assert_int_equal(fake_apic_take(&a, 0), 0x31);
    eoi(0);
    eoi(0); // nothing is serviced: nothing happens
    expect_nothing(0);
}

static void test_tpr_and_cr8(void **state) {
    (void)state;
    fake_apics_enable(&a);
    fake_apic_write(&a, 0, TPR, 0x37);
    assert_int_equal(hv_lapic_cr8(&a.lapic[0]), 3);
    hv_lapic_set_cr8(&a.lapic[0], 3);
    assert_int_equal(fake_apic_read(&a, 0, TPR), 0x37); // says nothing new
    hv_lapic_raise(&a.lapic[0], 0x3F);
    expect_nothing(0);
    assert_int_equal(hv_lapic_held_by_tpr(&a.lapic[0]), 0x3F);
    assert_false(hv_lapic_wakes(&a.lapic[0], true, false));
    hv_lapic_set_cr8(&a.lapic[0], 2);
    assert_int_equal(fake_apic_read(&a, 0, TPR), 0x20);
    assert_int_equal(hv_lapic_held_by_tpr(&a.lapic[0]), -1);
    assert_true(hv_lapic_wakes(&a.lapic[0], true, false));
    assert_false(hv_lapic_wakes(&a.lapic[0], false, false));
    assert_int_equal(fake_apic_take(&a, 0), 0x3F);
    assert_int_equal(fake_apic_read(&a, 0, PPR), 0x30);
    fake_apic_write(&a, 0, TPR, 0x3A);
    assert_int_equal(fake_apic_read(&a, 0, PPR), 0x3A);
    hv_lapic_raise(&a.lapic[0], 0x38);
    assert_int_equal(hv_lapic_held_by_tpr(&a.lapic[0]), -1); // ISR holds it back as well
}

static void test_auto_eoi(void **state) {
    struct hv_interrupt next;

    (void)state;
    fake_apics_enable(&a);
    hv_lapic_raise(&a.lapic[0], 0xEE);
    next = hv_lapic_next(&a.lapic[0], false);
    assert_int_equal(next.kind, HV_INTERRUPT_FIXED);
    hv_lapic_acknowledge(&a.lapic[0], next.vector, true);
    assert_int_equal(fake_apic_read(&a, 0, PPR), 0);
    expect_nothing(0);
}

static void test_software_disable(void **state) {
    (void)state;
    fake_apics_enable(&a);
    fake_apic_write(&a, 0, LVT_ERROR, 0xFE);
    hv_lapic_raise(&a.lapic[0], 0x40);
    fake_apic_write(&a, 0, SVR, 0xFF);
    assert_int_equal(fake_apic_read(&a, 0, LVT_ERROR), 0xFE | MASKED);
    fake_apic_write(&a, 0, LVT_ERROR, 0xFE);
    assert_int_equal(fake_apic_read(&a, 0, LVT_ERROR), 0xFE | MASKED);
    hv_lapic_raise(&a.lapic[0], 0x41);
    hv_lapic_request(&a.lapic[0], 0x42);
    assert_int_equal(fake_apic_take(&a, 0), 0x40); // what was requested before stays
    eoi(0);
    expect_nothing(0);
    hv_lapic_request_nmi(&a.lapic[0]);
    assert_int_equal(fake_apic_take(&a, 0), FAKE_APIC_NMI);
}

static void test_esr(void **state) {
    (void)state;
    fake_apics_enable(&a);
    fake_apic_write(&a, 0, LVT_ERROR, 0xFE);
    fake_apic_write(&a, 0, ICR, 0x00040005); // self, vector 5
    assert_int_equal(fake_apic_take(&a, 0), 0xFE);
    eoi(0);
    assert_int_equal(fake_apic_read(&a, 0, ESR), 0); // shows only after a write
    fake_apic_write(&a, 0, ESR, 0);
    assert_int_equal(fake_apic_read(&a, 0, ESR), 0x20);
    fake_apic_write(&a, 0, ESR, 0);
    assert_int_equal(fake_apic_read(&a, 0, ESR), 0);
    hv_lapic_request(&a.lapic[0], 3);
    assert_int_equal(fake_apic_take(&a, 0), 0xFE);
    eoi(0);
    (void)fake_apic_read(&a, 0, 0x40);
    assert_int_equal(fake_apic_take(&a, 0), 0xFE);
    eoi(0);
    fake_apic_write(&a, 0, 0x3F0, 1); // no self IPI register in this mode; not a new error
    expect_nothing(0);
    fake_apic_write(&a, 0, ESR, 0);
    assert_int_equal(fake_apic_read(&a, 0, ESR), 0xC0);
    // An error entry that is an error itself does not go round for ever.
    fake_apic_write(&a, 0, LVT_ERROR, 0x01);
    fake_apic_write(&a, 0, 0x3F0, 1);
    expect_nothing(0);
}

/// Sends and tells who got it, as a bit mask.
static unsigned who_gets(unsigned from, uint32_t high, uint32_t low) {
    unsigned got = 0;

    fake_apic_write(&a, from, ICR_HIGH, high);
    fake_apic_write(&a, from, ICR, low);
    for (unsigned i = 0; i < FAKE_APIC_COUNT; i++) {
        int vector = fake_apic_take(&a, i);

        assert_true(vector == FAKE_APIC_NOTHING || vector == (int)(low & 0xFF));
        got |= vector == FAKE_APIC_NOTHING ? 0 : 1u << i;
        if (vector >= 0) {
            eoi(i);
        }
    }
    return got;
}

static void test_ipi_physical(void **state) {
    (void)state;
    fake_apics_enable(&a);
    assert_int_equal(who_gets(0, 2u << 24, 0x4055), 1u << 2);
    assert_int_equal(a.kicks[2], 1);
    assert_int_equal(who_gets(1, 1u << 24, 0x4055), 1u << 1);
    assert_int_equal(who_gets(1, 9u << 24, 0x4055), 0);
    assert_int_equal(who_gets(1, 0xFFu << 24, 0x4055), 0xF);
    assert_int_equal(who_gets(3, 0, 0x44055), 1u << 3); // self
    assert_int_equal(who_gets(3, 0, 0x84055), 0xF);     // all
    assert_int_equal(who_gets(3, 0, 0xC4055), 0x7);     // others
    assert_int_equal(who_gets(3, 0, 0xC4155), 0x7);     // others, "lowest priority"
    assert_int_equal(who_gets(3, 0, 0x84255), 0);       // SMI: nobody
    assert_int_equal(fake_apic_read(&a, 3, ICR), 0x84255);
    assert_int_equal(who_gets(3, 1u << 24, 0xC055), 1u << 1); // level: an edge
    assert_int_equal(hv_lapic_take_eoi(&a.lapic[1]), -1);
    fake_apic_write(&a, 2, SVR, 0xFF);
    assert_int_equal(who_gets(0, 0xFFu << 24, 0x4055), 0xB); // not to the disabled one
}

static void test_ipi_logical(void **state) {
    (void)state;
    fake_apics_enable(&a);
    for (unsigned i = 0; i < FAKE_APIC_COUNT; i++) {
        fake_apic_write(&a, i, LDR, 1u << (24 + i));
    }
    assert_int_equal(who_gets(0, 0x05u << 24, 0x4855), 0x5);
    assert_int_equal(who_gets(0, 0xF0u << 24, 0x4855), 0);
    assert_int_equal(who_gets(0, 0xFFu << 24, 0x4855), 0xF);
    // One of several, the same each time.
    for (unsigned vector = 0x50; vector < 0x54; vector++) {
        unsigned got = who_gets(0, 0x0Fu << 24, 0x4900 | vector);

        assert_int_equal(got, 1u << vector % 4);
        assert_int_equal(who_gets(0, 0x0Fu << 24, 0x4900 | vector), got);
    }
    fake_apic_write(&a, 0, SVR, 0xFF);
    assert_int_equal(who_gets(1, 0x01u << 24, 0x4950), 0);
    fake_apic_write(&a, 0, SVR, 0x1FF);
    // Clusters: two of two.
    for (unsigned i = 0; i < FAKE_APIC_COUNT; i++) {
        fake_apic_write(&a, i, DFR, 0x0FFFFFFF);
        fake_apic_write(&a, i, LDR, (i / 2) << 28 | 1u << (24 + i % 2));
    }
    assert_int_equal(who_gets(0, 0x03u << 24, 0x4855), 0x3);
    assert_int_equal(who_gets(0, 0x12u << 24, 0x4855), 0x8);
    assert_int_equal(who_gets(0, 0x23u << 24, 0x4855), 0);
    assert_int_equal(fake_apic_read(&a, 0, DFR), 0x0FFFFFFF);
}

static void test_nmi_and_msi(void **state) {
    (void)state;
    fake_apics_enable(&a);
    fake_apic_write(&a, 0, ICR_HIGH, 1u << 24);
    fake_apic_write(&a, 0, ICR, 0x4400);
    assert_int_equal(fake_apic_take(&a, 1), FAKE_APIC_NMI);
    hv_lapic_request_nmi(&a.lapic[1]);
    hv_lapic_raise(&a.lapic[1], 0x77);
    assert_true(hv_lapic_has_mail(&a.lapic[1]));
    assert_int_equal(fake_apic_take(&a, 1), FAKE_APIC_NMI);
    assert_false(hv_lapic_has_mail(&a.lapic[1]));
    assert_int_equal(fake_apic_take(&a, 1), 0x77);
    a.lapic[1].state.nmi_pending = 1;
    assert_false(hv_lapic_wakes(&a.lapic[1], false, true)); // while one is handled
    assert_true(hv_lapic_wakes(&a.lapic[1], false, false));

    assert_int_equal(hv_apic_send_msi(&a.bus, 0xFEE02000, 0x4061), 0);
    assert_int_equal(fake_apic_take(&a, 2), 0x61);
    eoi(2);
    assert_int_equal(hv_lapic_take_eoi(&a.lapic[2]), -1);
    assert_int_equal(hv_apic_send_msi(&a.bus, 0xFEE02000, 0xC061), 0); // level
    assert_int_equal(fake_apic_take(&a, 2), 0x61);
    assert_int_equal(fake_apic_read(&a, 2, TMR + 0x30), 2);
    assert_int_equal(hv_lapic_take_eoi(&a.lapic[2]), -1);
    eoi(2);
    assert_int_equal(hv_lapic_take_eoi(&a.lapic[2]), 0x61);
    assert_int_equal(hv_lapic_take_eoi(&a.lapic[2]), -1);
    assert_int_equal(hv_apic_send_msi(&a.bus, 0xFEE02000, 0x8061), 0); // de-assert: nothing
    expect_nothing(2);
    assert_int_equal(hv_apic_send_msi(&a.bus, 0xFEE09000, 0x61), -ESRCH);
    assert_int_equal(hv_apic_send_msi(&a.bus, 0xFED02000, 0x61), -EINVAL);
    assert_int_equal(hv_apic_send_msi(&a.bus, 0x1FEE02000, 0x61), -EINVAL);
    assert_int_equal(hv_apic_send_msi(&a.bus, 0xFEE02000, 0x0761), -EINVAL); // ExtINT
    assert_int_equal(hv_apic_send_msi(&a.bus, 0xFEE0F00C, 0x0161), -ESRCH);  // LDRs are 0
}

static void test_init_sipi(void **state) {
    struct hv_lapic *ap = &a.lapic[1];
    uint8_t vector = 0;

    (void)state;
    fake_apics_enable(&a);
    fake_apic_write(&a, 1, LDR, 2u << 24);
    hv_lapic_raise(ap, 0x50);
    fake_apic_write(&a, 0, ICR_HIGH, 1u << 24);
    fake_apic_write(&a, 0, ICR, 0x4608); // SIPI to one that runs: ignored
    assert_int_equal(hv_lapic_collect(ap, &vector), 0);
    fake_apic_write(&a, 0, ICR, 0xC500);
    assert_int_equal(hv_lapic_collect(ap, &vector), HV_LAPIC_GOT_INIT);
    fake_apic_write(&a, 0, ICR, 0x8500); // de-assert
    assert_int_equal(hv_lapic_collect(ap, &vector), 0);
    assert_int_equal(fake_apic_read(&a, 1, SVR), 0xFF);
    assert_int_equal(fake_apic_read(&a, 1, LDR), 0);
    assert_int_equal(fake_apic_read(&a, 1, IRR + 0x20), 0);
    hv_lapic_request_nmi(ap);
    assert_int_equal(hv_lapic_collect(ap, &vector), 0);
    assert_false(hv_lapic_wakes(ap, true, false)); // waits for SIPI
    fake_apic_write(&a, 0, ICR, 0x4608);
    fake_apic_write(&a, 0, ICR, 0x4609);
    assert_int_equal(hv_lapic_collect(ap, &vector), HV_LAPIC_GOT_SIPI);
    assert_int_equal(vector, 8);
    assert_int_equal(ap->state.activity, HV_VP_RUNNING);
    // Both between two looks.
    fake_apic_write(&a, 0, ICR, 0xC500);
    fake_apic_write(&a, 0, ICR, 0x4699);
    assert_int_equal(hv_lapic_collect(ap, &vector), HV_LAPIC_GOT_INIT | HV_LAPIC_GOT_SIPI);
    assert_int_equal(vector, 0x99);
    // An INIT undoes the start-up message before it.
    fake_apic_write(&a, 0, ICR, 0x4607);
    fake_apic_write(&a, 0, ICR, 0xC500);
    assert_int_equal(hv_lapic_collect(ap, &vector), HV_LAPIC_GOT_INIT);
    // The BSP does not wait.
    fake_apic_write(&a, 1, ICR_HIGH, 0);
    fake_apic_write(&a, 1, ICR, 0xC500);
    assert_int_equal(hv_lapic_collect(&a.lapic[0], &vector), HV_LAPIC_GOT_INIT);
    assert_int_equal(a.lapic[0].state.activity, HV_VP_RUNNING);
}

static void test_base_transitions(void **state) {
    uint64_t value;

    (void)state;
    fake_apics_enable(&a);
    assert_int_equal(fake_apic_rdmsr(&a, 1, 0x802, &value), -EPERM); // xAPIC mode
    assert_int_equal(fake_apic_wrmsr(&a, 1, BASE_MSR, BASE(EXTD)), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&a, 1, BASE_MSR, BASE(EN | 1)), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&a, 1, BASE_MSR, BASE(EN | 1ull << 48)), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&a, 1, BASE_MSR, 0xFEC80000 | EN), 0); // relocate
    assert_false(hv_lapic_owns_page(&a.lapic[1], gpa(0xFEE00000)));
    assert_true(hv_lapic_owns_page(&a.lapic[1], gpa(0xFEC80000)));
    assert_int_equal(fake_apic_wrmsr(&a, 1, BASE_MSR, BASE(EN | EXTD)), 0);
    assert_false(hv_lapic_owns_page(&a.lapic[1], gpa(0xFEE00000)));
    assert_int_equal(fake_apic_rdmsr(&a, 1, 0x80F, &value), 0);
    assert_int_equal(value, 0x1FF);                                       // kept
    assert_int_equal(fake_apic_wrmsr(&a, 1, BASE_MSR, BASE(EN)), -EPERM); // no way back
    assert_int_equal(fake_apic_wrmsr(&a, 1, BASE_MSR, BASE(0)), 0);
    assert_int_equal(fake_apic_rdmsr(&a, 1, 0x802, &value), -EPERM);
    hv_lapic_raise(&a.lapic[1], 0x50);
    expect_nothing(1);
    assert_int_equal(fake_apic_wrmsr(&a, 1, BASE_MSR, BASE(EN | EXTD)), -EPERM); // through xAPIC
    assert_int_equal(fake_apic_wrmsr(&a, 1, BASE_MSR, BASE(EN)), 0);
    assert_int_equal(fake_apic_read(&a, 1, SVR), 0xFF); // its state was lost
    // The BSP flag is nobody's to change.
    assert_int_equal(fake_apic_wrmsr(&a, 1, BASE_MSR, BASE(EN | HV_APIC_BASE_BSP)), 0);
    assert_int_equal(fake_apic_rdmsr(&a, 1, BASE_MSR, &value), 0);
    assert_true(value == BASE(EN));
    assert_int_equal(fake_apic_rdmsr(&a, 1, 0x10, &value), -ENOENT);
    assert_int_equal(fake_apic_wrmsr(&a, 1, 0x900, 0), -ENOENT);
}

static void test_x2apic_registers(void **state) {
    static const uint32_t none[] = {0x800, 0x801, 0x804, 0x809, 0x80C, 0x80E,
                                    0x82F, 0x831, 0x83A, 0x840, 0x8FF};
    static const uint32_t read_only[] = {0x802, 0x803, 0x80A, 0x80D, 0x810, 0x81F, 0x827, 0x839};
    static const uint32_t write_only[] = {0x80B, 0x83F};
    uint64_t value;

    (void)state;
    fake_apics_enable_x2apic(&a);
    for (size_t i = 0; i < ARRAY_COUNT(none); i++) {
        assert_int_equal(fake_apic_rdmsr(&a, 1, none[i], &value), -EPERM);
        assert_int_equal(fake_apic_wrmsr(&a, 1, none[i], 0), -EPERM);
    }
    for (size_t i = 0; i < ARRAY_COUNT(read_only); i++) {
        assert_int_equal(fake_apic_rdmsr(&a, 1, read_only[i], &value), 0);
        assert_int_equal(fake_apic_wrmsr(&a, 1, read_only[i], 0), -EPERM);
    }
    for (size_t i = 0; i < ARRAY_COUNT(write_only); i++) {
        assert_int_equal(fake_apic_rdmsr(&a, 1, write_only[i], &value), -EPERM);
    }
    assert_int_equal(fake_apic_wrmsr(&a, 1, 0x808, 0x100), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&a, 1, 0x808, 0x50), 0);
    assert_int_equal(hv_lapic_cr8(&a.lapic[1]), 5);
    assert_int_equal(fake_apic_wrmsr(&a, 1, 0x80B, 1), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&a, 1, 0x828, 1), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&a, 1, 0x80F, 0x1000), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&a, 1, 0x832, 0x300EC | 1ull << 32), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&a, 1, 0x832, 0x7EC), -EPERM); // no delivery mode
    assert_int_equal(fake_apic_wrmsr(&a, 1, 0x835, 0x1700), 0);     // status bit: no fault
    assert_int_equal(fake_apic_rdmsr(&a, 1, 0x835, &value), 0);
    assert_int_equal(value, 0x700);
    assert_int_equal(fake_apic_wrmsr(&a, 1, 0x83E, 0x4), -EPERM);
    assert_int_equal(fake_apic_rdmsr(&a, 3, 0x80D, &value), 0);
    assert_int_equal(value, 8);
}

static unsigned who_gets_x2(unsigned from, uint64_t icr) {
    unsigned got = 0;

    assert_int_equal(fake_apic_wrmsr(&a, from, 0x830, icr), 0);
    for (unsigned i = 0; i < FAKE_APIC_COUNT; i++) {
        if (fake_apic_take(&a, i) != FAKE_APIC_NOTHING) {
            got |= 1u << i;
            assert_int_equal(fake_apic_wrmsr(&a, i, 0x80B, 0), 0);
        }
    }
    return got;
}

static void test_x2apic_ipis(void **state) {
    uint64_t value;

    (void)state;
    fake_apics_enable_x2apic(&a);
    assert_int_equal(who_gets_x2(0, 2ull << 32 | 0x4055), 1u << 2);
    assert_int_equal(who_gets_x2(0, 0xFFull << 32 | 0x4055), 0);
    assert_int_equal(who_gets_x2(0, 0xFFFFFFFFull << 32 | 0x4055), 0xF);
    assert_int_equal(who_gets_x2(0, 0x000Aull << 32 | 0x4855), 0xA);
    assert_int_equal(who_gets_x2(0, 0x1000Aull << 32 | 0x4855), 0); // another cluster
    assert_int_equal(who_gets_x2(0, 0xC4055), 0xE);
    assert_int_equal(fake_apic_rdmsr(&a, 0, 0x830, &value), 0);
    assert_int_equal(value, 0xC4055);
    assert_int_equal(fake_apic_wrmsr(&a, 0, 0x830, 0x100000), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&a, 0, 0x83F, 0x155), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&a, 0, 0x83F, 0x55), 0);
    assert_int_equal(fake_apic_take(&a, 0), 0x55);
    assert_int_equal(hv_apic_send_msi(&a.bus, 0xFEEFF000, 0x66), 0); // 8-bit broadcast
    assert_int_equal(fake_apic_take(&a, 3), 0x66);
}

static void test_hyperv_msrs(void **state) {
    uint64_t value;

    (void)state;
    fake_apics_enable(&a);
    assert_int_equal(fake_apic_wrmsr(&a, 0, HV_MSR_TPR, 0x20), 0);
    assert_int_equal(fake_apic_rdmsr(&a, 0, HV_MSR_TPR, &value), 0);
    assert_int_equal(value, 0x20);
    assert_int_equal(fake_apic_wrmsr(&a, 0, HV_MSR_TPR, 0x100), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&a, 0, HV_MSR_ICR, 1ull << 56 | 0x4055), 0);
    assert_int_equal(fake_apic_take(&a, 1), 0x55);
    assert_int_equal(fake_apic_wrmsr(&a, 1, HV_MSR_EOI, 0), 0);
    assert_int_equal(fake_apic_read(&a, 1, PPR), 0);
    assert_int_equal(fake_apic_rdmsr(&a, 1, HV_MSR_EOI, &value), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&a, 1, BASE_MSR, BASE(EN | EXTD)), 0);
    assert_int_equal(fake_apic_wrmsr(&a, 1, HV_MSR_ICR, 0ull << 32 | 0x4056), 0);
    assert_int_equal(fake_apic_take(&a, 0), 0x56);
    assert_int_equal(fake_apic_wrmsr(&a, 1, BASE_MSR, BASE(0)), 0);
    assert_int_equal(fake_apic_wrmsr(&a, 1, HV_MSR_EOI, 0), -EPERM);
    assert_int_equal(fake_apic_rdmsr(&a, 1, HV_MSR_ICR, &value), -EPERM);
}

static void test_lint_pins(void **state) {
    (void)state;
    // Disabled in hardware: INTR and NMI.
    assert_int_equal(fake_apic_wrmsr(&a, 0, BASE_MSR, BASE(0)), 0);
    assert_true(hv_lapic_accepts_extint(&a.lapic[0]));
    hv_lapic_set_lint(&a.lapic[0], 0, true);
    assert_int_equal(fake_apic_take(&a, 0), FAKE_APIC_EXTINT);
    hv_lapic_set_lint(&a.lapic[0], 0, false);
    expect_nothing(0);
    hv_lapic_set_lint(&a.lapic[0], 1, true);
    assert_int_equal(fake_apic_take(&a, 0), FAKE_APIC_NMI);
    expect_nothing(0);
    hv_lapic_set_lint(&a.lapic[0], 1, false);
    assert_int_equal(fake_apic_wrmsr(&a, 0, BASE_MSR, BASE(EN)), 0);
    fake_apics_enable(&a);
    // Masked, then ExtINT.
    hv_lapic_set_lint(&a.lapic[0], 0, true);
    expect_nothing(0);
    fake_apic_write(&a, 0, LVT_LINT0, 0x700);
    assert_int_equal(fake_apic_take(&a, 0), FAKE_APIC_EXTINT);
    fake_apic_write(&a, 0, TPR, 0xFF); // knows no priority
    assert_int_equal(fake_apic_take(&a, 0), FAKE_APIC_EXTINT);
    fake_apic_write(&a, 0, TPR, 0);
    fake_apic_write(&a, 0, LVT_LINT0, 0x700 | MASKED);
    assert_false(hv_lapic_accepts_extint(&a.lapic[0]));
    expect_nothing(0);
    hv_lapic_set_lint(&a.lapic[0], 0, false);
    // An edge, then a level.
    fake_apic_write(&a, 0, LVT_LINT0, 0x45);
    hv_lapic_set_lint(&a.lapic[0], 0, true);
    hv_lapic_set_lint(&a.lapic[0], 0, true);
    assert_int_equal(fake_apic_take(&a, 0), 0x45);
    eoi(0);
    expect_nothing(0);
    fake_apic_write(&a, 0, LVT_LINT0, 0x8045);
    assert_int_equal(fake_apic_take(&a, 0), 0x45);
    assert_int_equal(fake_apic_read(&a, 0, LVT_LINT0), 0xC045);
    eoi(0);
    assert_int_equal(fake_apic_take(&a, 0), 0x45); // still high
    hv_lapic_set_lint(&a.lapic[0], 0, false);
    eoi(0);
    assert_int_equal(fake_apic_read(&a, 0, LVT_LINT0), 0x8045);
    expect_nothing(0);
    // LINT1 as NMI.
    fake_apic_write(&a, 0, LVT_LINT1, 0x400);
    hv_lapic_set_lint(&a.lapic[0], 1, true);
    assert_int_equal(fake_apic_take(&a, 0), FAKE_APIC_NMI);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_reset_values, setup),
        cmocka_unit_test_setup(test_mmio_shapes, setup),
        cmocka_unit_test_setup(test_priorities, setup),
        cmocka_unit_test_setup(test_tpr_and_cr8, setup),
        cmocka_unit_test_setup(test_auto_eoi, setup),
        cmocka_unit_test_setup(test_software_disable, setup),
        cmocka_unit_test_setup(test_esr, setup),
        cmocka_unit_test_setup(test_ipi_physical, setup),
        cmocka_unit_test_setup(test_ipi_logical, setup),
        cmocka_unit_test_setup(test_nmi_and_msi, setup),
        cmocka_unit_test_setup(test_init_sipi, setup),
        cmocka_unit_test_setup(test_base_transitions, setup),
        cmocka_unit_test_setup(test_x2apic_registers, setup),
        cmocka_unit_test_setup(test_x2apic_ipis, setup),
        cmocka_unit_test_setup(test_hyperv_msrs, setup),
        cmocka_unit_test_setup(test_lint_pins, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
