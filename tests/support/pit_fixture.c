// SPDX-License-Identifier: MIT
//
// A PIT and its driver for tests (pit_fixture.h).
#include "tests/support/pit_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

int pit_fixture_setup(void **state) {
    struct pit_fixture *x = calloc(1, sizeof(*x));
    struct pit_config config;

    x->m = fake_machine_new();
    config =
        (struct pit_config){.pio = x->m->pio, .irq = fake_irq(x->m, 0), .loop = &x->m->fl.loop};
    x->base_ns = x->m->fl.now_ns;
    assert_int_equal(pit_init(&x->pit, &config), 0);
    fake_reset(x->m, &x->pit.device);
    *state = x;
    return 0;
}

int pit_fixture_teardown(void **state) {
    struct pit_fixture *x = *state;

    fake_machine_free(x->m);
    free(x);
    return 0;
}

void pd_advance(struct pit_fixture *x, uint64_t ticks) {
    uint64_t ns;

    x->ticks += ticks;
    ns = x->ticks / PIT_HZ * SECOND + (x->ticks % PIT_HZ * SECOND + PIT_HZ - 1) / PIT_HZ;
    assert_true(fake_loop_advance(&x->m->fl, x->base_ns + ns - x->m->fl.now_ns));
}

void pd_out(struct pit_fixture *x, uint16_t port, unsigned value) {
    fake_pio_write(x->m, port, 1, value);
    assert_true(fake_loop_run(&x->m->fl));
}

unsigned pd_in(struct pit_fixture *x, uint16_t port) {
    unsigned value = fake_pio_read(x->m, port, 1);

    assert_true(fake_loop_run(&x->m->fl));
    return value;
}

void pd_program(struct pit_fixture *x, unsigned ch, unsigned mode, unsigned count) {
    pd_out(x, 0x43, ch << 6 | 0x30 | mode << 1);
    pd_out(x, (uint16_t)(0x40 + ch), count & 0xFF);
    pd_out(x, (uint16_t)(0x40 + ch), count >> 8);
}

unsigned pd_latched(struct pit_fixture *x, unsigned ch) {
    unsigned low;

    pd_out(x, 0x43, ch << 6);
    low = pd_in(x, (uint16_t)(0x40 + ch));
    return low | pd_in(x, (uint16_t)(0x40 + ch)) << 8;
}

unsigned pd_status(struct pit_fixture *x, unsigned ch) {
    pd_out(x, 0x43, 0xE0 | 2u << ch);
    return pd_in(x, (uint16_t)(0x40 + ch));
}

bool pd_high(struct pit_fixture *x, unsigned ch) {
    return pd_status(x, ch) & 0x80;
}

bool pd_out2(struct pit_fixture *x) {
    return pd_in(x, 0x61) & 0x20;
}
