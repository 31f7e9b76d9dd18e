// SPDX-License-Identifier: MIT
//
// Messages to local APICs: IPIs in both modes, NMIs, MSIs, INIT and start-up.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/lapic_fixture.h"

/// Sends and tells who got it, as a bit mask.
static unsigned who_gets(unsigned from, uint32_t high, uint32_t low) {
    unsigned got = 0;

    fake_apic_write(&apics, from, ICR_HIGH, high);
    fake_apic_write(&apics, from, ICR, low);
    for (unsigned i = 0; i < FAKE_APIC_COUNT; i++) {
        int vector = fake_apic_take(&apics, i);

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
    fake_apics_enable(&apics);
    assert_int_equal(who_gets(0, 2u << 24, 0x4055), 1u << 2);
    assert_int_equal(apics.kicks[2], 1);
    assert_int_equal(who_gets(1, 1u << 24, 0x4055), 1u << 1);
    assert_int_equal(who_gets(1, 9u << 24, 0x4055), 0);
    assert_int_equal(who_gets(1, 0xFFu << 24, 0x4055), 0xF);
    assert_int_equal(who_gets(3, 0, 0x44055), 1u << 3); // self
    assert_int_equal(who_gets(3, 0, 0x84055), 0xF);     // all
    assert_int_equal(who_gets(3, 0, 0xC4055), 0x7);     // others
    assert_int_equal(who_gets(3, 0, 0xC4155), 0x7);     // others, "lowest priority"
    assert_int_equal(who_gets(3, 0, 0x84255), 0);       // SMI: nobody
    assert_int_equal(fake_apic_read(&apics, 3, ICR), 0x84255);
    assert_int_equal(who_gets(3, 1u << 24, 0xC055), 1u << 1); // level: an edge
    assert_int_equal(hv_lapic_take_eoi(&apics.lapic[1]), -1);
    fake_apic_write(&apics, 2, SVR, 0xFF);
    assert_int_equal(who_gets(0, 0xFFu << 24, 0x4055), 0xB); // not to the disabled one
}

static void test_ipi_logical(void **state) {
    (void)state;
    fake_apics_enable(&apics);
    for (unsigned i = 0; i < FAKE_APIC_COUNT; i++) {
        fake_apic_write(&apics, i, LDR, 1u << (24 + i));
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
    fake_apic_write(&apics, 0, SVR, 0xFF);
    assert_int_equal(who_gets(1, 0x01u << 24, 0x4950), 0);
    fake_apic_write(&apics, 0, SVR, 0x1FF);
    // Clusters: two of two.
    for (unsigned i = 0; i < FAKE_APIC_COUNT; i++) {
        fake_apic_write(&apics, i, DFR, 0x0FFFFFFF);
        fake_apic_write(&apics, i, LDR, (i / 2) << 28 | 1u << (24 + i % 2));
    }
    assert_int_equal(who_gets(0, 0x03u << 24, 0x4855), 0x3);
    assert_int_equal(who_gets(0, 0x12u << 24, 0x4855), 0x8);
    assert_int_equal(who_gets(0, 0x23u << 24, 0x4855), 0);
    assert_int_equal(fake_apic_read(&apics, 0, DFR), 0x0FFFFFFF);
}

static unsigned who_gets_x2(unsigned from, uint64_t icr) {
    unsigned got = 0;

    assert_int_equal(fake_apic_wrmsr(&apics, from, 0x830, icr), 0);
    for (unsigned i = 0; i < FAKE_APIC_COUNT; i++) {
        if (fake_apic_take(&apics, i) != FAKE_APIC_NOTHING) {
            got |= 1u << i;
            assert_int_equal(fake_apic_wrmsr(&apics, i, 0x80B, 0), 0);
        }
    }
    return got;
}

static void test_x2apic_ipis(void **state) {
    uint64_t value;

    (void)state;
    fake_apics_enable_x2apic(&apics);
    assert_int_equal(who_gets_x2(0, 2ull << 32 | 0x4055), 1u << 2);
    assert_int_equal(who_gets_x2(0, 0xFFull << 32 | 0x4055), 0);
    assert_int_equal(who_gets_x2(0, 0xFFFFFFFFull << 32 | 0x4055), 0xF);
    assert_int_equal(who_gets_x2(0, 0x000Aull << 32 | 0x4855), 0xA);
    assert_int_equal(who_gets_x2(0, 0x1000Aull << 32 | 0x4855), 0); // another cluster
    assert_int_equal(who_gets_x2(0, 0xC4055), 0xE);
    assert_int_equal(fake_apic_rdmsr(&apics, 0, 0x830, &value), 0);
    assert_int_equal(value, 0xC4055);
    assert_int_equal(fake_apic_wrmsr(&apics, 0, 0x830, 0x100000), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&apics, 0, 0x83F, 0x155), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&apics, 0, 0x83F, 0x55), 0);
    assert_int_equal(fake_apic_take(&apics, 0), 0x55);
    assert_int_equal(hv_apic_send_msi(&apics.bus, 0xFEEFF000, 0x66), 0); // 8-bit broadcast
    assert_int_equal(fake_apic_take(&apics, 3), 0x66);
}

static void test_nmi_and_msi(void **state) {
    (void)state;
    fake_apics_enable(&apics);
    fake_apic_write(&apics, 0, ICR_HIGH, 1u << 24);
    fake_apic_write(&apics, 0, ICR, 0x4400);
    assert_int_equal(fake_apic_take(&apics, 1), FAKE_APIC_NMI);
    hv_lapic_request_nmi(&apics.lapic[1]);
    hv_lapic_raise(&apics.lapic[1], 0x77);
    assert_true(hv_lapic_has_mail(&apics.lapic[1]));
    assert_int_equal(fake_apic_take(&apics, 1), FAKE_APIC_NMI);
    assert_false(hv_lapic_has_mail(&apics.lapic[1]));
    assert_int_equal(fake_apic_take(&apics, 1), 0x77);
    apics.lapic[1].state.nmi_pending = 1;
    assert_false(hv_lapic_wakes(&apics.lapic[1], false, true)); // while one is handled
    assert_true(hv_lapic_wakes(&apics.lapic[1], false, false));

    assert_int_equal(hv_apic_send_msi(&apics.bus, 0xFEE02000, 0x4061), 0);
    assert_int_equal(fake_apic_take(&apics, 2), 0x61);
    eoi(2);
    assert_int_equal(hv_lapic_take_eoi(&apics.lapic[2]), -1);
    assert_int_equal(hv_apic_send_msi(&apics.bus, 0xFEE02000, 0xC061), 0); // level
    assert_int_equal(fake_apic_take(&apics, 2), 0x61);
    assert_int_equal(fake_apic_read(&apics, 2, TMR + 0x30), 2);
    assert_int_equal(hv_lapic_take_eoi(&apics.lapic[2]), -1);
    eoi(2);
    assert_int_equal(hv_lapic_take_eoi(&apics.lapic[2]), 0x61);
    assert_int_equal(hv_lapic_take_eoi(&apics.lapic[2]), -1);
    assert_int_equal(hv_apic_send_msi(&apics.bus, 0xFEE02000, 0x8061), 0); // de-assert: nothing
    expect_nothing(2);
    assert_int_equal(hv_apic_send_msi(&apics.bus, 0xFEE09000, 0x61), -ESRCH);
    assert_int_equal(hv_apic_send_msi(&apics.bus, 0xFED02000, 0x61), -EINVAL);
    assert_int_equal(hv_apic_send_msi(&apics.bus, 0x1FEE02000, 0x61), -EINVAL);
    assert_int_equal(hv_apic_send_msi(&apics.bus, 0xFEE02000, 0x0761), -EINVAL); // ExtINT
    assert_int_equal(hv_apic_send_msi(&apics.bus, 0xFEE0F00C, 0x0161), -ESRCH);  // LDRs are 0
}

static void test_init_sipi(void **state) {
    struct hv_lapic *ap = &apics.lapic[1];
    uint8_t vector = 0;

    (void)state;
    fake_apics_enable(&apics);
    fake_apic_write(&apics, 1, LDR, 2u << 24);
    hv_lapic_raise(ap, 0x50);
    fake_apic_write(&apics, 0, ICR_HIGH, 1u << 24);
    fake_apic_write(&apics, 0, ICR, 0x4608); // SIPI to one that runs: ignored
    assert_int_equal(hv_lapic_collect(ap, &vector), 0);
    fake_apic_write(&apics, 0, ICR, 0xC500);
    assert_int_equal(hv_lapic_collect(ap, &vector), HV_LAPIC_GOT_INIT);
    fake_apic_write(&apics, 0, ICR, 0x8500); // de-assert
    assert_int_equal(hv_lapic_collect(ap, &vector), 0);
    assert_int_equal(fake_apic_read(&apics, 1, SVR), 0xFF);
    assert_int_equal(fake_apic_read(&apics, 1, LDR), 0);
    assert_int_equal(fake_apic_read(&apics, 1, IRR + 0x20), 0);
    hv_lapic_request_nmi(ap);
    assert_int_equal(hv_lapic_collect(ap, &vector), 0);
    assert_false(hv_lapic_wakes(ap, true, false)); // waits for SIPI
    fake_apic_write(&apics, 0, ICR, 0x4608);
    fake_apic_write(&apics, 0, ICR, 0x4609);
    assert_int_equal(hv_lapic_collect(ap, &vector), HV_LAPIC_GOT_SIPI);
    assert_int_equal(vector, 8);
    assert_int_equal(ap->state.activity, HV_VP_RUNNING);
    // Both between two looks.
    fake_apic_write(&apics, 0, ICR, 0xC500);
    fake_apic_write(&apics, 0, ICR, 0x4699);
    assert_int_equal(hv_lapic_collect(ap, &vector), HV_LAPIC_GOT_INIT | HV_LAPIC_GOT_SIPI);
    assert_int_equal(vector, 0x99);
    // An INIT undoes the start-up message before it.
    fake_apic_write(&apics, 0, ICR, 0x4607);
    fake_apic_write(&apics, 0, ICR, 0xC500);
    assert_int_equal(hv_lapic_collect(ap, &vector), HV_LAPIC_GOT_INIT);
    // The BSP does not wait.
    fake_apic_write(&apics, 1, ICR_HIGH, 0);
    fake_apic_write(&apics, 1, ICR, 0xC500);
    assert_int_equal(hv_lapic_collect(&apics.lapic[0], &vector), HV_LAPIC_GOT_INIT);
    assert_int_equal(apics.lapic[0].state.activity, HV_VP_RUNNING);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_ipi_physical, lapic_setup),
        cmocka_unit_test_setup(test_ipi_logical, lapic_setup),
        cmocka_unit_test_setup(test_x2apic_ipis, lapic_setup),
        cmocka_unit_test_setup(test_nmi_and_msi, lapic_setup),
        cmocka_unit_test_setup(test_init_sipi, lapic_setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
