// SPDX-License-Identifier: MIT
//
// RTC: registers, formats, setting the time, alarms, periodic and update-ended interrupts, memory,
// reset, state.
#include "devices/rtc.h"
#include "devices/rtc_regs.h"
#include "devices/rtc_time.h"

#include "tests/support/fake_machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define MS     UINT64_C(1000000)
/// 2026-11-21 13:04:05 UTC, a Saturday.
#define WALL_S 1795266245ull

struct fixture {
    struct fake_machine *m;
    struct rtc rtc;
    uint64_t wall_base_ns;
};

static uint64_t wall_ns(void *ctx) {
    struct fixture *x = ctx;

    return x->wall_base_ns + x->m->fl.now_ns;
}

static int set_up(void **state) {
    struct fixture *x = calloc(1, sizeof(*x));
    struct rtc_config config;

    x->m = fake_machine_new();
    x->wall_base_ns = WALL_S * SECOND - x->m->fl.now_ns;
    config = (struct rtc_config){.pio = x->m->pio,
                                 .irq = fake_irq(x->m, 8),
                                 .loop = &x->m->fl.loop,
                                 .wall_ns = wall_ns,
                                 .wall_ctx = x};
    assert_int_equal(rtc_init(&x->rtc, &config), 0);
    *state = x;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *x = *state;

    fake_machine_free(x->m);
    free(x);
    return 0;
}

static uint8_t rd(struct fixture *x, unsigned reg) {
    uint8_t value;

    fake_pio_write(x->m, 0x70, 1, reg | 0x80); // the NMI bit is not part of the index
    value = (uint8_t)fake_pio_read(x->m, 0x71, 1);
    assert_true(fake_loop_run(&x->m->fl));
    return value;
}

static void wr(struct fixture *x, unsigned reg, unsigned value) {
    fake_pio_write(x->m, 0x70, 1, reg);
    fake_pio_write(x->m, 0x71, 1, value);
    assert_true(fake_loop_run(&x->m->fl));
}

static void advance(struct fixture *x, uint64_t ns) {
    assert_true(fake_loop_advance(&x->m->fl, ns));
}

static void expect_time(struct fixture *x, unsigned century, unsigned year, unsigned month,
                        unsigned day, unsigned hour, unsigned minute, unsigned second) {
    assert_int_equal(rd(x, RTC_CENTURY), century);
    assert_int_equal(rd(x, RTC_YEAR), year);
    assert_int_equal(rd(x, RTC_MONTH), month);
    assert_int_equal(rd(x, RTC_DAY), day);
    assert_int_equal(rd(x, RTC_HOURS), hour);
    assert_int_equal(rd(x, RTC_MINUTES), minute);
    assert_int_equal(rd(x, RTC_SECONDS), second);
}

static void power_on_values(void **state) {
    struct fixture *x = *state;

    expect_time(x, 0x20, 0x26, 0x11, 0x21, 0x13, 0x04, 0x05);
    assert_int_equal(rd(x, RTC_WEEKDAY), 7);
    assert_int_equal(rd(x, RTC_A), 0x26);
    assert_int_equal(rd(x, RTC_B), 0x02);
    assert_int_equal(rd(x, RTC_C), 0);
    assert_int_equal(rd(x, RTC_D), 0x80);
    assert_int_equal(fake_pio_read(x->m, 0x70, 1), 0xFF); // the index is write-only
    assert_int_equal(fake_pio_read(x->m, 0x70, 2), 0xFFFF);
}

static void time_passes_in_all_formats(void **state) {
    struct fixture *x = *state;

    advance(x, 60 * SECOND);
    expect_time(x, 0x20, 0x26, 0x11, 0x21, 0x13, 0x05, 0x05);
    wr(x, RTC_B, RTC_B_24H | RTC_B_BINARY);
    expect_time(x, 20, 26, 11, 21, 13, 5, 5);
    wr(x, RTC_B, 0);
    assert_int_equal(rd(x, RTC_HOURS), 0x81);
    wr(x, RTC_B, RTC_B_BINARY);
    assert_int_equal(rd(x, RTC_HOURS), 0x81);
    advance(x, 11 * 3600 * SECOND);
    assert_int_equal(rd(x, RTC_HOURS), 12);
    assert_int_equal(rd(x, RTC_DAY), 22);
}

static void memory_and_readonly_registers(void **state) {
    struct fixture *x = *state;

    for (unsigned i = 0x0E; i < 128; i++) {
        if (i != RTC_CENTURY) {
            wr(x, i, i ^ 0xA5);
        }
    }
    for (unsigned i = 0x0E; i < 128; i++) {
        if (i != RTC_CENTURY) {
            assert_int_equal(rd(x, i), i ^ 0xA5);
        }
    }
    wr(x, RTC_C, 0xFF);
    wr(x, RTC_D, 0);
    assert_int_equal(rd(x, RTC_C), 0);
    assert_int_equal(rd(x, RTC_D), 0x80);
    for (unsigned v = 0; v < 256; v++) {
        wr(x, RTC_A, v);
        assert_int_equal(rd(x, RTC_A) & 0x7F, v & 0x7F);
        wr(x, RTC_B, v);
        assert_int_equal(rd(x, RTC_B), v & 0x80 ? v & ~0x10u : v); // SET clears UIE
    }
}

static void update_in_progress(void **state) {
    struct fixture *x = *state;

    assert_int_equal(rd(x, RTC_A), 0x26);
    advance(x, SECOND - 244001);
    assert_int_equal(rd(x, RTC_A), 0x26);
    advance(x, 1001);
    assert_int_equal(rd(x, RTC_A), 0xA6);
    wr(x, RTC_B, RTC_B_SET | RTC_B_24H); // a stopped clock has no update
    assert_int_equal(rd(x, RTC_A), 0x26);
    wr(x, RTC_B, RTC_B_24H);
    advance(x, 244001);
    assert_int_equal(rd(x, RTC_A), 0x26);
}

/// As Linux sets it: SET, divider reset, bytes, run; then the next second comes after 500 ms.
static void guest_sets_the_time(void **state) {
    struct fixture *x = *state;

    advance(x, 300 * MS);
    wr(x, RTC_B, RTC_B_SET | RTC_B_24H);
    wr(x, RTC_A, 0x76);
    wr(x, RTC_YEAR, 0x99);
    wr(x, RTC_MONTH, 0x12);
    wr(x, RTC_DAY, 0x31);
    wr(x, RTC_HOURS, 0x23);
    wr(x, RTC_MINUTES, 0x59);
    wr(x, RTC_SECONDS, 0x58);
    wr(x, RTC_CENTURY, 0x19);
    wr(x, RTC_B, RTC_B_24H);
    advance(x, 10 * SECOND); // still held by the divider
    assert_int_equal(rd(x, RTC_SECONDS), 0x58);
    wr(x, RTC_A, 0x26);
    advance(x, 499 * MS);
    assert_int_equal(rd(x, RTC_SECONDS), 0x58);
    advance(x, 2 * MS);
    assert_int_equal(rd(x, RTC_SECONDS), 0x59);
    advance(x, SECOND);
    expect_time(x, 0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00);
    // SET alone: the fraction starts anew. A running clock takes a byte as well.
    wr(x, RTC_B, RTC_B_SET | RTC_B_24H);
    wr(x, RTC_B, RTC_B_24H);
    wr(x, RTC_MINUTES, 0x30);
    advance(x, 999 * MS);
    expect_time(x, 0x20, 0x00, 0x01, 0x01, 0x00, 0x30, 0x00);
    advance(x, MS);
    assert_int_equal(rd(x, RTC_SECONDS), 0x01);
}

static void update_ended_interrupt(void **state) {
    struct fixture *x = *state;

    (void)rd(x, RTC_C);
    advance(x, 1500 * MS);
    assert_int_equal(rd(x, RTC_C) & ~RTC_C_PF, RTC_C_UF); // the flag comes without its enable
    assert_false(x->m->level[8]);
    wr(x, RTC_B, RTC_B_UIE | RTC_B_24H);
    for (unsigned i = 0; i < 5; i++) {
        assert_false(x->m->level[8]);
        advance(x, SECOND);
        assert_true(x->m->level[8]);
        assert_int_equal(rd(x, RTC_C) & ~RTC_C_PF, RTC_C_IRQF | RTC_C_UF);
    }
    // Unacknowledged: one interrupt, and no timer runs.
    advance(x, SECOND);
    assert_true(fake_loop_next_deadline(&x->m->fl) == UINT64_MAX);
    advance(x, 100 * SECOND);
    assert_int_equal(x->m->raise_count[8], 6);
    wr(x, RTC_B, RTC_B_24H);
    assert_false(x->m->level[8]);
}

static void periodic_interrupt(void **state) {
    struct fixture *x = *state;

    for (unsigned rs = 1; rs < 16; rs++) {
        uint64_t period = SECOND * (UINT64_C(1) << ((rs <= 2 ? rs + 7 : rs) - 1)) / 32768;
        unsigned before;

        wr(x, RTC_A, 0x20 | rs);
        wr(x, RTC_B, RTC_B_PIE | RTC_B_24H);
        (void)rd(x, RTC_C);
        before = x->m->raise_count[8];
        for (unsigned i = 0; i < 10; i++) {
            assert_false(x->m->level[8]);
            advance(x, period);
            assert_true(x->m->level[8]);
            assert_int_equal(rd(x, RTC_C) & 0xC0, 0xC0);
        }
        assert_int_equal(x->m->raise_count[8] - before, 10);
        wr(x, RTC_B, RTC_B_24H);
    }
    wr(x, RTC_A, 0x20);
    wr(x, RTC_B, RTC_B_PIE | RTC_B_24H);
    (void)rd(x, RTC_C);
    advance(x, 10 * SECOND);
    assert_false(x->m->level[8]); // rate 0: none
}

static void alarm_interrupt(void **state) {
    struct fixture *x = *state;

    wr(x, RTC_SECONDS_ALARM, 0x10);
    wr(x, RTC_MINUTES_ALARM, 0x05);
    wr(x, RTC_HOURS_ALARM, 0xFF);
    wr(x, RTC_B, RTC_B_AIE | RTC_B_24H);
    advance(x, 65 * SECOND - 1);
    assert_false(x->m->level[8]);
    advance(x, 1);
    assert_true(x->m->level[8]);
    assert_int_equal(rd(x, RTC_C) & ~RTC_C_PF, RTC_C_IRQF | RTC_C_AF | RTC_C_UF);
    advance(x, 3600 * SECOND); // every hour
    assert_true(x->m->level[8]);
    (void)rd(x, RTC_C);
    wr(x, RTC_MINUTES_ALARM, 0x77); // never matches: no timer
    assert_true(fake_loop_next_deadline(&x->m->fl) == UINT64_MAX);
    advance(x, 86400 * SECOND);
    assert_false(x->m->level[8]);
}

static void wall_clock_steps(void **state) {
    struct fixture *x = *state;

    wr(x, RTC_B, RTC_B_UIE | RTC_B_24H);
    x->wall_base_ns -= 3600 * SECOND;
    (void)rd(x, RTC_C);
    assert_int_equal(rd(x, RTC_HOURS), 0x12);
    advance(x, 2 * SECOND);
    assert_true(x->m->level[8]);
    (void)rd(x, RTC_C);
    x->wall_base_ns += 86400 * 400 * SECOND;
    advance(x, 2 * SECOND);
    assert_true(x->m->level[8]);
    (void)rd(x, RTC_C);
    x->wall_base_ns = 0; // 1970
    advance(x, 2 * SECOND);
    assert_int_equal(rd(x, RTC_YEAR), 0x70);
}

static void reset_is_not_a_battery_change(void **state) {
    struct fixture *x = *state;

    wr(x, 0x40, 0x77);
    wr(x, RTC_YEAR, 0x30);
    wr(x, RTC_B, 0x7F & ~RTC_B_BINARY);
    advance(x, 2 * SECOND);
    assert_true(x->m->level[8]);
    fake_reset(x->m, &x->rtc.device);
    assert_false(x->m->level[8]);
    assert_int_equal(rd(x, RTC_B), 0x03);
    assert_int_equal(rd(x, RTC_C), 0);
    assert_int_equal(rd(x, 0x40), 0x77);
    assert_int_equal(rd(x, RTC_YEAR), 0x30);
    advance(x, 2 * SECOND);
    assert_false(x->m->level[8]);
}

/// Else firmware would go on in memory that the guest has written.
static void reset_is_not_a_resume(void **state) {
    struct fixture *x = *state;

    wr(x, RTC_SHUTDOWN, 0xFE);
    assert_int_equal(rd(x, RTC_SHUTDOWN), 0xFE);
    fake_reset(x->m, &x->rtc.device);
    assert_int_equal(rd(x, RTC_SHUTDOWN), 0);
}

static void state_round_trip(void **state) {
    struct fixture *x = *state;
    size_t size;
    uint8_t *blob;

    wr(x, RTC_YEAR, 0x40);
    wr(x, 0x50, 0x99);
    wr(x, RTC_B, RTC_B_UIE | RTC_B_24H);
    (void)rd(x, RTC_C);
    blob = fake_save(&x->rtc.device, &size);
    state_reset(x->rtc.device.ops->state, x->rtc.device.state);
    advance(x, 10 * SECOND); // the new paravisor takes its time
    assert_int_equal(fake_load(&x->rtc.device, blob, size), 0);
    assert_int_equal(rd(x, RTC_YEAR), 0x40);
    assert_int_equal(rd(x, RTC_SECONDS), 0x15);
    assert_int_equal(rd(x, 0x50), 0x99);
    (void)rd(x, RTC_C);
    advance(x, SECOND);
    assert_true(x->m->level[8]);
    x->rtc.state.offset_s = (uint64_t)INT64_MAX; // not fake_save: it computes with that
    assert_int_equal(state_save(x->rtc.device.ops->state, &x->rtc.state, blob, size, &size), 0);
    assert_int_equal(fake_load(&x->rtc.device, blob, size), -EINVAL);
    free(blob);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(power_on_values),
        TEST(time_passes_in_all_formats),
        TEST(memory_and_readonly_registers),
        TEST(update_in_progress),
        TEST(guest_sets_the_time),
        TEST(update_ended_interrupt),
        TEST(periodic_interrupt),
        TEST(alarm_interrupt),
        TEST(wall_clock_steps),
        TEST(reset_is_not_a_battery_change),
        TEST(reset_is_not_a_resume),
        TEST(state_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
