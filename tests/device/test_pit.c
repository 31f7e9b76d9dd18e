// SPDX-License-Identifier: MIT
//
// PIT: every mode's OUT and count, latches and read-back, reloads, BCD, port 0x61, IRQ 0's edges,
// and its state.
#include "devices/pit.h"

#include "tests/support/fake_machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define MS     UINT64_C(1000000)

struct fixture {
    struct fake_machine *m;
    struct pit pit;
    uint64_t ticks; ///< that the test has let pass since base_ns
    uint64_t base_ns;
};

static int set_up(void **state) {
    struct fixture *x = calloc(1, sizeof(*x));
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

static int tear_down(void **state) {
    struct fixture *x = *state;

    fake_machine_free(x->m);
    free(x);
    return 0;
}

/// Lets exactly so many ticks of the chip's clock pass.
static void advance(struct fixture *x, uint64_t ticks) {
    uint64_t ns;

    x->ticks += ticks;
    ns = x->ticks / PIT_HZ * SECOND + (x->ticks % PIT_HZ * SECOND + PIT_HZ - 1) / PIT_HZ;
    assert_true(fake_loop_advance(&x->m->fl, x->base_ns + ns - x->m->fl.now_ns));
}

static void out(struct fixture *x, uint16_t port, unsigned value) {
    fake_pio_write(x->m, port, 1, value);
    assert_true(fake_loop_run(&x->m->fl));
}

static unsigned in(struct fixture *x, uint16_t port) {
    unsigned value = fake_pio_read(x->m, port, 1);

    assert_true(fake_loop_run(&x->m->fl));
    return value;
}

static void program(struct fixture *x, unsigned ch, unsigned mode, unsigned count) {
    out(x, 0x43, ch << 6 | 0x30 | mode << 1);
    out(x, (uint16_t)(0x40 + ch), count & 0xFF);
    out(x, (uint16_t)(0x40 + ch), count >> 8);
}

static unsigned latched(struct fixture *x, unsigned ch) {
    unsigned low;

    out(x, 0x43, ch << 6);
    low = in(x, (uint16_t)(0x40 + ch));
    return low | in(x, (uint16_t)(0x40 + ch)) << 8;
}

static unsigned status(struct fixture *x, unsigned ch) {
    out(x, 0x43, 0xE0 | 2u << ch);
    return in(x, (uint16_t)(0x40 + ch));
}

static bool high(struct fixture *x, unsigned ch) {
    return status(x, ch) & 0x80;
}

static bool out2(struct fixture *x) {
    return in(x, 0x61) & 0x20;
}

// ---- modes ----

static void mode0(void **state) {
    struct fixture *x = *state;

    out(x, 0x43, 0x30);
    assert_false(x->m->level[0]);
    assert_int_equal(status(x, 0), 0x70); // low, no count yet
    out(x, 0x40, 0xE8);
    out(x, 0x40, 0x03);
    assert_int_equal(status(x, 0), 0x30);
    advance(x, 400);
    assert_int_equal(latched(x, 0), 600);
    assert_false(x->m->level[0]);
    advance(x, 599);
    assert_false(x->m->level[0]);
    advance(x, 1);
    assert_true(x->m->level[0]);
    assert_int_equal(x->m->raise_count[0], 1);
    advance(x, 10);
    assert_int_equal(latched(x, 0), 0xFFF6); // goes on
    advance(x, 200000);
    assert_int_equal(x->m->raise_count[0], 1);
    out(x, 0x40, 5); // the first byte stops it and takes OUT down
    assert_false(x->m->level[0]);
    advance(x, 100);
    assert_false(x->m->level[0]);
    out(x, 0x40, 1);
    advance(x, 261);
    assert_true(x->m->level[0]);
    assert_int_equal(x->m->raise_count[0], 2);
}

static void mode1(void **state) {
    struct fixture *x = *state;

    program(x, 2, 1, 100);
    assert_true(out2(x));
    advance(x, 500);
    assert_true(out2(x));
    assert_int_equal(status(x, 2), 0x80 | 0x40 | 0x30 | 2); // not loaded before the trigger
    out(x, 0x61, 1);
    assert_false(out2(x));
    advance(x, 99);
    assert_false(out2(x));
    out(x, 0x61, 0); // the gate's level means nothing
    out(x, 0x61, 1); // ... but an edge starts again
    advance(x, 99);
    assert_false(out2(x));
    advance(x, 1);
    assert_true(out2(x));
    program(x, 0, 1, 100); // channel 0 has no trigger
    advance(x, 1000);
    assert_int_equal(status(x, 0) & 0xC0, 0xC0);
}

static void mode2(void **state) {
    struct fixture *x = *state;
    unsigned before;

    program(x, 0, 2, 11932); // 100 Hz
    assert_true(high(x, 0));
    before = x->m->raise_count[0];
    advance(x, 11931);
    assert_false(high(x, 0));
    assert_int_equal(latched(x, 0), 1);
    advance(x, 1);
    assert_int_equal(x->m->raise_count[0], before + 1);
    assert_int_equal(latched(x, 0), 11932);
    before = x->m->raise_count[0];
    for (unsigned i = 0; i < 100; i++) {
        assert_true(fake_loop_advance(&x->m->fl, 10 * MS));
    }
    assert_int_equal(x->m->raise_count[0] - before, 99); // 100.0 Hz less what is left of a cycle
}

static void mode2_reload(void **state) {
    struct fixture *x = *state;
    unsigned before;

    program(x, 0, 2, 1000);
    advance(x, 300);
    out(x, 0x40, 0xD0);
    out(x, 0x40, 0x07);
    assert_int_equal(status(x, 0) & 0x40, 0x40);
    assert_int_equal(latched(x, 0), 700);
    before = x->m->raise_count[0];
    advance(x, 700);
    assert_int_equal(x->m->raise_count[0], before + 1);
    assert_int_equal(latched(x, 0), 2000);
    assert_int_equal(status(x, 0) & 0x40, 0);
    advance(x, 1999);
    assert_int_equal(x->m->raise_count[0], before + 1);
    advance(x, 1);
    assert_int_equal(x->m->raise_count[0], before + 2);
}

static void mode3(void **state) {
    struct fixture *x = *state;
    unsigned before;

    program(x, 0, 3, 1000);
    advance(x, 499);
    assert_true(high(x, 0));
    assert_int_equal(latched(x, 0), 2);
    advance(x, 1);
    assert_false(high(x, 0));
    assert_int_equal(latched(x, 0), 1000);
    before = x->m->raise_count[0];
    advance(x, 500);
    assert_int_equal(x->m->raise_count[0], before + 1);
    program(x, 0, 3, 7); // odd: one tick longer high
    advance(x, 3);
    assert_true(high(x, 0));
    assert_int_equal(latched(x, 0), 0);
    advance(x, 1);
    assert_false(high(x, 0));
    assert_int_equal(latched(x, 0), 6);
}

/// A new count comes with the next half-cycle.
static void mode3_reload(void **state) {
    struct fixture *x = *state;
    unsigned before;

    program(x, 0, 3, 1000);
    before = x->m->raise_count[0];
    advance(x, 100);
    out(x, 0x40, 0xD0);
    out(x, 0x40, 0x07); // 2000: low from 500 to 1500
    advance(x, 400);
    assert_false(high(x, 0));
    advance(x, 999);
    assert_false(high(x, 0));
    assert_int_equal(x->m->raise_count[0], before);
    advance(x, 1);
    assert_true(high(x, 0));
    assert_int_equal(x->m->raise_count[0], before + 1);
    advance(x, 1500);
    out(x, 0x40, 0xE8);
    out(x, 0x40, 0x03); // 1000 again, in the low half: with the next cycle
    advance(x, 499);
    assert_false(high(x, 0));
    advance(x, 1);
    assert_true(high(x, 0));
    advance(x, 500);
    assert_false(high(x, 0));
}

static void mode4(void **state) {
    struct fixture *x = *state;
    unsigned before;

    program(x, 0, 4, 100);
    assert_true(high(x, 0));
    before = x->m->raise_count[0];
    advance(x, 100);
    assert_false(high(x, 0));
    advance(x, 1);
    assert_true(high(x, 0));
    assert_int_equal(x->m->raise_count[0], before + 1);
    advance(x, 100000);
    assert_int_equal(x->m->raise_count[0], before + 1);
    out(x, 0x40, 50); // once more
    out(x, 0x40, 0);
    advance(x, 51);
    advance(x, 2000);
    assert_int_equal(x->m->raise_count[0], before + 2);
}

static void mode5(void **state) {
    struct fixture *x = *state;

    program(x, 2, 5, 100);
    advance(x, 1000);
    assert_true(out2(x));
    out(x, 0x61, 1);
    advance(x, 100);
    assert_false(out2(x));
    advance(x, 1);
    assert_true(out2(x));
}

static void modes6and7(void **state) {
    struct fixture *x = *state;

    program(x, 0, 6, 100);
    assert_int_equal(status(x, 0), 0x80 | 0x30 | 2 << 1);
    program(x, 0, 7, 100);
    assert_int_equal(status(x, 0), 0x80 | 0x30 | 3 << 1);
}

// ---- gate, BCD, bytes ----

/// How Linux measures the TSC.
static void port61(void **state) {
    struct fixture *x = *state;
    unsigned toggles = 0;
    unsigned last;

    program(x, 2, 0, 59659); // 50 ms
    advance(x, 100000);
    assert_false(out2(x)); // the gate is low
    assert_int_equal(latched(x, 2), 59659);
    out(x, 0x61, 0xFD); // gate, no speaker
    assert_int_equal(in(x, 0x61) & 0x2F, 0x0D);
    advance(x, 30000);
    out(x, 0x61, 0);
    advance(x, 100000);
    out(x, 0x61, 1);
    advance(x, 29658);
    assert_false(out2(x));
    advance(x, 1);
    assert_true(out2(x));
    last = in(x, 0x61) & 0x10;
    for (unsigned i = 0; i < 1000; i++) {
        advance(x, 3);
        toggles += (in(x, 0x61) & 0x10) != last;
        last = in(x, 0x61) & 0x10;
    }
    assert_in_range(toggles, 160, 170); // every 15 us
}

static void periodic_gate(void **state) {
    struct fixture *x = *state;

    out(x, 0x61, 1);
    program(x, 2, 3, 1000);
    advance(x, 700);
    assert_false(out2(x));
    out(x, 0x61, 0);
    assert_true(out2(x)); // at once
    out(x, 0x42, 100);
    out(x, 0x42, 0);
    advance(x, 700);
    out(x, 0x61, 1); // starts anew, with the new count
    assert_int_equal(latched(x, 2), 100);
    advance(x, 50);
    assert_false(out2(x));
}

static void bcd(void **state) {
    struct fixture *x = *state;

    out(x, 0x43, 0x31); // mode 0, BCD
    out(x, 0x40, 0x00);
    out(x, 0x40, 0x10); // 1000
    advance(x, 1);
    assert_int_equal(latched(x, 0), 0x0999);
    advance(x, 1000);
    assert_int_equal(latched(x, 0), 0x9999);
    out(x, 0x43, 0x35);
    out(x, 0x40, 0);
    out(x, 0x40, 0); // 10000
    advance(x, 1);
    assert_int_equal(latched(x, 0), 0x9999);
    advance(x, 9999);
    assert_int_equal(latched(x, 0), 0x0000); // 10000
    out(x, 0x40, 0xFF);
    out(x, 0x40, 0xFF); // no digits: some number
    advance(x, 30000);
    latched(x, 0);
}

static void bytes(void **state) {
    struct fixture *x = *state;
    unsigned low;

    out(x, 0x43, 0x10); // low byte only
    out(x, 0x40, 100);
    advance(x, 10);
    assert_int_equal(in(x, 0x40), 90);
    assert_int_equal(in(x, 0x40), 90);
    out(x, 0x43, 0x20); // high byte only
    out(x, 0x40, 2);
    assert_int_equal(in(x, 0x40), 2);
    advance(x, 1);
    assert_int_equal(in(x, 0x40), 1);
    program(x, 0, 0, 0x1234);
    out(x, 0x43, 0x00);
    advance(x, 0x234);
    out(x, 0x43, 0x00); // ignored: one is there
    assert_int_equal(in(x, 0x40), 0x34);
    assert_int_equal(in(x, 0x40), 0x12);
    assert_int_equal(in(x, 0x40), 0x00); // as it runs
    assert_int_equal(in(x, 0x40), 0x10);
    out(x, 0x43, 0xC2); // read back both: status first
    low = in(x, 0x40);
    assert_int_equal(low, 0x30);
    assert_int_equal(in(x, 0x40), 0x00);
    assert_int_equal(in(x, 0x40), 0x10);
    assert_int_equal(fake_pio_read(x->m, 0x43, 1), 0xFF);
    assert_int_equal(fake_pio_read(x->m, 0x40, 2), 0xFFFF);
    assert_int_equal(fake_pio_read(x->m, 0x60, 2), 0xFFFF);
}

// ---- limits, life ----

/// The fastest that can be programmed, and nothing spins.
static void fast(void **state) {
    struct fixture *x = *state;
    unsigned before;

    for (unsigned mode = 2; mode <= 3; mode++) {
        for (unsigned count = 1; count <= 3; count++) {
            program(x, 0, mode, count);
            before = x->m->raise_count[0];
            assert_true(fake_loop_advance(&x->m->fl, 100 * MS));
            assert_in_range(x->m->raise_count[0] - before, 900, 2100);
        }
    }
}

static void reset_and_idle(void **state) {
    struct fixture *x = *state;
    unsigned before;

    program(x, 0, 2, 1000);
    advance(x, 10);
    fake_reset(x->m, &x->pit.device);
    before = x->m->raise_count[0];
    advance(x, 100000);
    assert_int_equal(x->m->raise_count[0], before);
    assert_int_equal(fake_loop_next_deadline(&x->m->fl), UINT64_MAX);
    assert_int_equal(in(x, 0x61) & 0x0F, 0);
}

static void save_and_load(void **state) {
    struct fixture *x = *state;
    size_t size;
    uint8_t *blob;
    unsigned before;

    program(x, 0, 2, 5000);
    program(x, 2, 0, 3000);
    out(x, 0x61, 1);
    advance(x, 2000);
    out(x, 0x40, 0x10);
    out(x, 0x40, 0x27); // 10000, later
    blob = fake_save(&x->pit.device, &size);
    fake_reset(x->m, &x->pit.device);
    advance(x, 777777);
    assert_int_equal(fake_load(&x->pit.device, blob, size), 0);
    assert_true(fake_loop_run(&x->m->fl));
    assert_int_equal(latched(x, 0), 3000);
    assert_int_equal(latched(x, 2), 1000);
    before = x->m->raise_count[0];
    advance(x, 3001);
    assert_int_equal(x->m->raise_count[0], before + 1);
    assert_true(out2(x));
    advance(x, 9900);
    assert_int_equal(x->m->raise_count[0], before + 1);
    advance(x, 101);
    assert_int_equal(x->m->raise_count[0], before + 2);
    free(blob);
    // A gate that port 0x61 does not know of.
    x->pit.state.gate[2] = 0;
    blob = fake_save(&x->pit.device, &size);
    assert_int_equal(fake_load(&x->pit.device, blob, size), -EINVAL);
    free(blob);
    x->pit.state.rw[1] = 0;
    blob = fake_save(&x->pit.device, &size);
    assert_int_equal(fake_load(&x->pit.device, blob, size), -EINVAL);
    free(blob);
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(mode0),      CASE(mode1),        CASE(mode2),          CASE(mode2_reload),
        CASE(mode3),      CASE(mode3_reload), CASE(mode4),          CASE(mode5),
        CASE(modes6and7), CASE(port61),       CASE(periodic_gate),  CASE(bcd),
        CASE(bytes),      CASE(fast),         CASE(reset_and_idle), CASE(save_and_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
