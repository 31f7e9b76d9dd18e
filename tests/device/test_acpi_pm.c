// SPDX-License-Identifier: MIT
//
// ACPI fixed hardware register by register: status and enable bits, soft-off, the power button, the
// PM timer, state.
#include "devices/acpi_pm.h"

#include "tests/support/fake_machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define STS    0xB000
#define EN     0xB002
#define CNT    0xB004
#define TMR    0xB008
#define SCI    9

struct fixture {
    struct fake_machine *m;
    struct acpi_pm pm;
    unsigned offs;
};

static void power_off(void *ctx) {
    ((struct fixture *)ctx)->offs++;
}

static int set_up(void **state) {
    struct fixture *x = calloc(1, sizeof(*x));
    struct acpi_pm_config config;

    x->m = fake_machine_new();
    config = (struct acpi_pm_config){.pio = x->m->pio,
                                     .sci = fake_irq(x->m, SCI),
                                     .loop = &x->m->fl.loop,
                                     .power_off = power_off,
                                     .power_off_ctx = x};
    assert_int_equal(acpi_pm_init(&x->pm, &config), 0);
    *state = x;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *x = *state;

    fake_machine_free(x->m);
    free(x);
    return 0;
}

static uint32_t rd(struct fixture *x, unsigned port, uint8_t size) {
    return fake_pio_read(x->m, (uint16_t)port, size);
}

static void wr(struct fixture *x, unsigned port, uint8_t size, uint32_t value) {
    fake_pio_write(x->m, (uint16_t)port, size, value);
}

static void register_bits(void **state) {
    struct fixture *x = *state;

    assert_int_equal(rd(x, STS, 4), 0);
    assert_int_equal(rd(x, CNT, 2), 1); // SCI_EN
    wr(x, EN, 2, 0xFFFF);
    assert_int_equal(rd(x, EN, 2), 0x0521);
    wr(x, EN, 1, 0);
    assert_int_equal(rd(x, EN, 2), 0x0500);
    wr(x, EN + 1, 1, 0xFF);
    wr(x, EN, 1, 0xFF);
    assert_int_equal(rd(x, STS, 4), 0x05210000);
    assert_int_equal(rd(x, EN + 1, 1), 5);
    wr(x, STS, 4, 0);
    assert_int_equal(rd(x, EN, 2), 0);
    wr(x, CNT, 2, 0xFFFF & ~0x2000);
    assert_int_equal(rd(x, CNT, 2), 0x1C03);
    wr(x, CNT, 2, 0);
    assert_int_equal(rd(x, CNT, 2), 1);
    assert_int_equal(x->offs, 0);
    assert_int_equal(rd(x, CNT + 2, 2), 0);
    assert_int_equal(rd(x, TMR + 2, 4), 0xFFFFFFFF); // beyond the block
    assert_int_equal(rd(x, STS + 12, 1), 0xFF);
}

static void soft_off(void **state) {
    struct fixture *x = *state;

    for (unsigned typ = 1; typ < 8; typ++) { // no such state
        wr(x, CNT, 2, 0x2000 | typ << 10);
    }
    assert_int_equal(x->offs, 0);
    wr(x, CNT, 2, 0x2001);
    assert_int_equal(x->offs, 1);
    assert_int_equal(rd(x, CNT, 2), 1); // SLP_EN reads 0
    wr(x, CNT + 1, 1, 0x20);
    assert_int_equal(x->offs, 2);
}

static void power_button(void **state) {
    struct fixture *x = *state;

    acpi_pm_press_power_button(&x->pm);
    assert_false(x->m->level[SCI]);
    assert_int_equal(rd(x, STS, 2), 0x100);
    wr(x, EN, 2, 0x100);
    assert_true(x->m->level[SCI]);
    wr(x, STS, 2, 0xFEFF); // clears the others only
    assert_true(x->m->level[SCI]);
    wr(x, STS + 1, 1, 1);
    assert_false(x->m->level[SCI]);
    assert_int_equal(rd(x, STS, 2), 0);
    acpi_pm_press_power_button(&x->pm);
    assert_true(x->m->level[SCI]);
    fake_reset(x->m, &x->pm.device);
    assert_false(x->m->level[SCI]);
    assert_int_equal(rd(x, STS, 4), 0);
}

static void timer_counts(void **state) {
    struct fixture *x = *state;

    assert_int_equal(rd(x, TMR, 4), 0);
    assert_true(fake_loop_advance(&x->m->fl, SECOND));
    assert_int_equal(rd(x, TMR, 4), 3579545);
    wr(x, TMR, 4, 0); // read-only
    assert_true(fake_loop_advance(&x->m->fl, SECOND / 2));
    assert_int_equal(rd(x, TMR, 4), 3579545 + 1789772);
    assert_true(fake_loop_advance(&x->m->fl, 2000 * SECOND)); // wraps at 32 bits
    assert_int_equal(rd(x, TMR, 4), (uint32_t)(UINT64_C(3579545) * 4003 / 2));
    assert_true(fake_loop_next_deadline(&x->m->fl) == UINT64_MAX);
}

static void timer_interrupt(void **state) {
    struct fixture *x = *state;

    wr(x, EN, 2, 1);
    assert_true(fake_loop_advance(&x->m->fl, 599 * SECOND));
    assert_false(x->m->level[SCI]);
    assert_true(fake_loop_advance(&x->m->fl, SECOND));
    assert_true(x->m->level[SCI]); // 2^31 ticks are 599.9 s
    assert_int_equal(rd(x, STS, 2), 1);
    wr(x, STS, 2, 1);
    assert_false(x->m->level[SCI]);
    assert_true(fake_loop_advance(&x->m->fl, 600 * SECOND));
    assert_true(x->m->level[SCI]);
    assert_int_equal(x->m->raise_count[SCI], 2);
    wr(x, EN, 2, 0);
    wr(x, STS, 2, 1);
    assert_true(fake_loop_run(&x->m->fl));
    assert_true(fake_loop_next_deadline(&x->m->fl) == UINT64_MAX);
}

static void state_round_trip(void **state) {
    struct fixture *x = *state;
    size_t size;
    uint8_t *blob;

    wr(x, EN, 2, 0x101);
    assert_true(fake_loop_advance(&x->m->fl, 10 * SECOND));
    acpi_pm_press_power_button(&x->pm);
    blob = fake_save(&x->pm.device, &size);
    fake_reset(x->m, &x->pm.device);
    assert_true(fake_loop_advance(&x->m->fl, 5 * SECOND));
    assert_int_equal(fake_load(&x->pm.device, blob, size), 0);
    assert_true(x->m->level[SCI]);
    assert_int_equal(rd(x, TMR, 4), 35795450); // goes on where it stood
    memset(blob + 12, 0xFF, 2);                // status bits that do not exist
    assert_int_equal(fake_load(&x->pm.device, blob, size), 0);
    assert_int_equal(rd(x, STS, 2), 0x101);
    free(blob);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(register_bits), TEST(soft_off),        TEST(power_button),
        TEST(timer_counts),  TEST(timer_interrupt), TEST(state_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
