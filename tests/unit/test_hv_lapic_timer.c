// SPDX-License-Identifier: MIT
//
// The local APIC: its timer in all modes, and saved state.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/lapic_fixture.h"

#define PERIODIC 0x20000u
#define DEADLINE 0x40000u
#define MS       10000u // in 100 ns

static uint64_t deadline(unsigned idx) {
    return hv_lapic_deadline(&apics.lapic[idx], fake_apics_now(&apics));
}

static void test_timer_one_shot(void **state) {
    uint64_t start = apics.now_100ns;

    (void)state;
    fake_apics_enable(&apics);
    assert_true(deadline(0) == HV_LAPIC_NEVER);
    fake_apic_write(&apics, 0, DIVIDE, 0xB); // by 1
    fake_apic_write(&apics, 0, LVT_TIMER, 0xEC);
    fake_apic_write(&apics, 0, INITIAL, 1000001); // 1 ms and a tick
    assert_true(deadline(0) == start + MS + 1);
    apics.now_100ns += MS / 2;
    assert_int_equal(fake_apic_read(&apics, 0, CURRENT), 500001);
    expect_nothing(0);
    apics.now_100ns = start + MS;
    assert_int_equal(fake_apic_read(&apics, 0, CURRENT), 1);
    expect_nothing(0);
    apics.now_100ns++;
    assert_int_equal(fake_apic_take(&apics, 0), 0xEC);
    eoi(0);
    assert_int_equal(fake_apic_read(&apics, 0, CURRENT), 0);
    assert_int_equal(fake_apic_read(&apics, 0, INITIAL), 1000001);
    assert_true(deadline(0) == HV_LAPIC_NEVER);
    apics.now_100ns += 100 * MS;
    expect_nothing(0);
    // Masked: it counts, and nobody hears of it.
    fake_apic_write(&apics, 0, LVT_TIMER, 0xEC | MASKED);
    fake_apic_write(&apics, 0, INITIAL, 1000);
    assert_true(deadline(0) == HV_LAPIC_NEVER);
    apics.now_100ns += MS;
    expect_nothing(0);
    fake_apic_write(&apics, 0, LVT_TIMER, 0xEC);
    expect_nothing(0);
    fake_apic_write(&apics, 0, INITIAL, 1000);
    fake_apic_write(&apics, 0, INITIAL, 0); // stops
    apics.now_100ns += MS;
    expect_nothing(0);
}

static void test_timer_periodic(void **state) {
    uint64_t start = apics.now_100ns;

    (void)state;
    fake_apics_enable(&apics);
    fake_apic_write(&apics, 0, DIVIDE, 0x3); // by 16
    fake_apic_write(&apics, 0, LVT_TIMER, 0xEC | PERIODIC);
    fake_apic_write(&apics, 0, INITIAL, 62500); // 1 ms
    for (unsigned i = 1; i <= 3; i++) {
        assert_true(deadline(0) == start + i * MS);
        apics.now_100ns = start + i * MS - 1;
        expect_nothing(0);
        apics.now_100ns++;
        assert_int_equal(fake_apic_take(&apics, 0), 0xEC);
        eoi(0);
    }
    apics.now_100ns = start + 10 * MS + MS / 2; // late: one interrupt, and in step again
    assert_int_equal(fake_apic_take(&apics, 0), 0xEC);
    eoi(0);
    expect_nothing(0);
    assert_true(deadline(0) == start + 11 * MS);
    assert_int_equal(fake_apic_read(&apics, 0, CURRENT), 31250);
    // A tick's period wakes nobody more often than every 200 us.
    fake_apic_write(&apics, 0, INITIAL, 1);
    assert_true(deadline(0) == apics.now_100ns + 2000);
    // The divider may change on the way: the counter goes on from where it was.
    fake_apic_write(&apics, 0, LVT_TIMER, 0xEC);
    fake_apic_write(&apics, 0, INITIAL, 62500);
    apics.now_100ns += MS / 2;
    fake_apic_write(&apics, 0, DIVIDE, 0xB);
    assert_int_equal(fake_apic_read(&apics, 0, CURRENT), 31250);
    assert_true(deadline(0) == apics.now_100ns + 313); // 31.25 us
}

static void test_timer_tsc_deadline(void **state) {
    uint64_t tsc = fake_apics_now(&apics).now_tsc, value = 1;

    (void)state;
    fake_apics_enable(&apics);
    assert_int_equal(fake_apic_wrmsr(&apics, 0, HV_TSC_DEADLINE_MSR, tsc + 1), 0); // not this mode
    assert_int_equal(fake_apic_rdmsr(&apics, 0, HV_TSC_DEADLINE_MSR, &value), 0);
    assert_int_equal(value, 0);
    fake_apic_write(&apics, 0, LVT_TIMER, 0xEC | DEADLINE);
    fake_apic_write(&apics, 0, INITIAL, 1000); // ignored
    assert_int_equal(fake_apic_read(&apics, 0, INITIAL), 0);
    assert_int_equal(fake_apic_wrmsr(&apics, 0, HV_TSC_DEADLINE_MSR, tsc + 2000001), 0);
    assert_true(deadline(0) == apics.now_100ns + MS + 1);
    apics.now_100ns += MS;
    expect_nothing(0);
    apics.now_100ns++;
    assert_int_equal(fake_apic_take(&apics, 0), 0xEC);
    eoi(0);
    assert_int_equal(fake_apic_rdmsr(&apics, 0, HV_TSC_DEADLINE_MSR, &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(fake_apic_wrmsr(&apics, 0, HV_TSC_DEADLINE_MSR, 1), 0); // past: at once
    assert_true(deadline(0) == apics.now_100ns);
    assert_int_equal(fake_apic_take(&apics, 0), 0xEC);
    eoi(0);
    assert_int_equal(fake_apic_wrmsr(&apics, 0, HV_TSC_DEADLINE_MSR, UINT64_MAX), 0);
    assert_true(deadline(0) == HV_LAPIC_NEVER);
    fake_apic_write(&apics, 0, LVT_TIMER, 0xEC); // leaving the mode disarms
    assert_int_equal(apics.lapic[0].state.tsc_deadline, 0);
    apics.lapic[0].config.tsc_hz = 0;
    assert_int_equal(fake_apic_rdmsr(&apics, 0, HV_TSC_DEADLINE_MSR, &value), -EPERM);
    assert_int_equal(fake_apic_wrmsr(&apics, 0, HV_TSC_DEADLINE_MSR, 5), -EPERM);
    fake_apic_write(&apics, 0, LVT_TIMER, 0xEC | DEADLINE);
    assert_int_equal(fake_apic_read(&apics, 0, LVT_TIMER), 0xEC);
}

static void test_state(void **state) {
    struct hv_lapic_state saved, bad;
    struct fake_apics other;

    (void)state;
    fake_apics_enable(&apics);
    fake_apic_write(&apics, 1, LDR, 0x02000000);
    fake_apic_write(&apics, 1, LVT_TIMER, 0xEC | PERIODIC);
    fake_apic_write(&apics, 1, INITIAL, 12345);
    fake_apic_write(&apics, 1, TPR, 0x22);
    hv_lapic_request(&apics.lapic[1], 0x55);
    assert_int_equal(hv_apic_send_msi(&apics.bus, 0xFEE01000, 0xC066), 0);
    hv_lapic_save(&apics.lapic[1], &saved);
    fake_apics_init(&other);
    assert_int_equal(hv_lapic_load(&other.lapic[1], &saved), 0);
    assert_memory_equal(&other.lapic[1].state, &saved, sizeof(saved));
    assert_int_equal(fake_apic_take(&other, 1), 0x66);
    fake_apic_write(&other, 1, EOI, 0);
    assert_int_equal(hv_lapic_take_eoi(&other.lapic[1]), 0x66);
    assert_int_equal(fake_apic_take(&other, 1), 0x55);
    // Senders know it again by its logical id.
    fake_apic_write(&other, 1, ICR_HIGH, 0x02000000);
    fake_apic_write(&other, 1, ICR, 0x4877);
    assert_int_equal(fake_apic_take(&other, 1), 0x77);

#define REFUSED(field, value)                                                                      \
    do {                                                                                           \
        bad = saved;                                                                               \
        bad.field = (value);                                                                       \
        assert_int_equal(hv_lapic_load(&other.lapic[1], &bad), -EINVAL);                           \
    } while (0)
    REFUSED(version, 2);
    REFUSED(apic_base, BASE(EXTD));
    REFUSED(apic_base, BASE(EN | HV_APIC_BASE_BSP));
    REFUSED(tpr, 0x100);
    REFUSED(svr, 0x400);
    REFUSED(svr, 0xFF); // with an unmasked entry
    REFUSED(ldr, 1);
    REFUSED(dfr, 0);
    REFUSED(esr, 0x100);
    REFUSED(icr_low, 1u << 31);
    REFUSED(lvt[HV_LVT_TIMER], 0x400);
    REFUSED(irr[0], 1);
    REFUSED(isr[0], 0x8000);
    REFUSED(timer_divide, 4);
    REFUSED(timer_initial, 0);
    REFUSED(timer_running, 2);
    REFUSED(timer_start, 1ull << 62);
    REFUSED(activity, 2);
    REFUSED(nmi_pending, 2);
    REFUSED(lint_level[1], 2);
    REFUSED(reserved[2], 1);
#undef REFUSED
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_timer_one_shot, lapic_setup),
        cmocka_unit_test_setup(test_timer_periodic, lapic_setup),
        cmocka_unit_test_setup(test_timer_tsc_deadline, lapic_setup),
        cmocka_unit_test_setup(test_state, lapic_setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
