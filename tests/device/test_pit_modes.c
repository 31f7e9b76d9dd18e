// SPDX-License-Identifier: MIT
//
// PIT: every mode's OUT and count, new counts while it runs, IRQ 0's edges.
#include "tests/support/pit_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

static void mode0(void **state) {
    struct pit_fixture *x = *state;

    pd_out(x, 0x43, 0x30);
    assert_false(x->m->level[0]);
    assert_int_equal(pd_status(x, 0), 0x70); // low, no count yet
    pd_out(x, 0x40, 0xE8);
    pd_out(x, 0x40, 0x03);
    assert_int_equal(pd_status(x, 0), 0x30);
    pd_advance(x, 400);
    assert_int_equal(pd_latched(x, 0), 600);
    assert_false(x->m->level[0]);
    pd_advance(x, 599);
    assert_false(x->m->level[0]);
    pd_advance(x, 1);
    assert_true(x->m->level[0]);
    assert_int_equal(x->m->raise_count[0], 1);
    pd_advance(x, 10);
    assert_int_equal(pd_latched(x, 0), 0xFFF6); // goes on
    pd_advance(x, 200000);
    assert_int_equal(x->m->raise_count[0], 1);
    pd_out(x, 0x40, 5); // the first byte stops it and takes OUT down
    assert_false(x->m->level[0]);
    pd_advance(x, 100);
    assert_false(x->m->level[0]);
    pd_out(x, 0x40, 1);
    pd_advance(x, 261);
    assert_true(x->m->level[0]);
    assert_int_equal(x->m->raise_count[0], 2);
}

static void mode1(void **state) {
    struct pit_fixture *x = *state;

    pd_program(x, 2, 1, 100);
    assert_true(pd_out2(x));
    pd_advance(x, 500);
    assert_true(pd_out2(x));
    assert_int_equal(pd_status(x, 2), 0x80 | 0x40 | 0x30 | 2); // not loaded before the trigger
    pd_out(x, 0x61, 1);
    assert_false(pd_out2(x));
    pd_advance(x, 99);
    assert_false(pd_out2(x));
    pd_out(x, 0x61, 0); // the gate's level means nothing
    pd_out(x, 0x61, 1); // ... but an edge starts again
    pd_advance(x, 99);
    assert_false(pd_out2(x));
    pd_advance(x, 1);
    assert_true(pd_out2(x));
    pd_program(x, 0, 1, 100); // channel 0 has no trigger
    pd_advance(x, 1000);
    assert_int_equal(pd_status(x, 0) & 0xC0, 0xC0);
}

static void mode2(void **state) {
    struct pit_fixture *x = *state;
    unsigned before;

    pd_program(x, 0, 2, 11932); // 100 Hz
    assert_true(pd_high(x, 0));
    before = x->m->raise_count[0];
    pd_advance(x, 11931);
    assert_false(pd_high(x, 0));
    assert_int_equal(pd_latched(x, 0), 1);
    pd_advance(x, 1);
    assert_int_equal(x->m->raise_count[0], before + 1);
    assert_int_equal(pd_latched(x, 0), 11932);
    before = x->m->raise_count[0];
    for (unsigned i = 0; i < 100; i++) {
        assert_true(fake_loop_advance(&x->m->fl, 10 * MS));
    }
    assert_int_equal(x->m->raise_count[0] - before, 99); // 100.0 Hz less what is left of a cycle
}

static void mode2_reload(void **state) {
    struct pit_fixture *x = *state;
    unsigned before;

    pd_program(x, 0, 2, 1000);
    pd_advance(x, 300);
    pd_out(x, 0x40, 0xD0);
    pd_out(x, 0x40, 0x07);
    assert_int_equal(pd_status(x, 0) & 0x40, 0x40);
    assert_int_equal(pd_latched(x, 0), 700);
    before = x->m->raise_count[0];
    pd_advance(x, 700);
    assert_int_equal(x->m->raise_count[0], before + 1);
    assert_int_equal(pd_latched(x, 0), 2000);
    assert_int_equal(pd_status(x, 0) & 0x40, 0);
    pd_advance(x, 1999);
    assert_int_equal(x->m->raise_count[0], before + 1);
    pd_advance(x, 1);
    assert_int_equal(x->m->raise_count[0], before + 2);
}

static void mode3(void **state) {
    struct pit_fixture *x = *state;
    unsigned before;

    pd_program(x, 0, 3, 1000);
    pd_advance(x, 499);
    assert_true(pd_high(x, 0));
    assert_int_equal(pd_latched(x, 0), 2);
    pd_advance(x, 1);
    assert_false(pd_high(x, 0));
    assert_int_equal(pd_latched(x, 0), 1000);
    before = x->m->raise_count[0];
    pd_advance(x, 500);
    assert_int_equal(x->m->raise_count[0], before + 1);
    pd_program(x, 0, 3, 7); // odd: one tick longer high
    pd_advance(x, 3);
    assert_true(pd_high(x, 0));
    assert_int_equal(pd_latched(x, 0), 0);
    pd_advance(x, 1);
    assert_false(pd_high(x, 0));
    assert_int_equal(pd_latched(x, 0), 6);
}

/// A new count comes with the next half-cycle.
static void mode3_reload(void **state) {
    struct pit_fixture *x = *state;
    unsigned before;

    pd_program(x, 0, 3, 1000);
    before = x->m->raise_count[0];
    pd_advance(x, 100);
    pd_out(x, 0x40, 0xD0);
    pd_out(x, 0x40, 0x07); // 2000: low from 500 to 1500
    pd_advance(x, 400);
    assert_false(pd_high(x, 0));
    pd_advance(x, 999);
    assert_false(pd_high(x, 0));
    assert_int_equal(x->m->raise_count[0], before);
    pd_advance(x, 1);
    assert_true(pd_high(x, 0));
    assert_int_equal(x->m->raise_count[0], before + 1);
    pd_advance(x, 1500);
    pd_out(x, 0x40, 0xE8);
    pd_out(x, 0x40, 0x03); // 1000 again, in the low half: with the next cycle
    pd_advance(x, 499);
    assert_false(pd_high(x, 0));
    pd_advance(x, 1);
    assert_true(pd_high(x, 0));
    pd_advance(x, 500);
    assert_false(pd_high(x, 0));
}

static void mode4(void **state) {
    struct pit_fixture *x = *state;
    unsigned before;

    pd_program(x, 0, 4, 100);
    assert_true(pd_high(x, 0));
    before = x->m->raise_count[0];
    pd_advance(x, 100);
    assert_false(pd_high(x, 0));
    pd_advance(x, 1);
    assert_true(pd_high(x, 0));
    assert_int_equal(x->m->raise_count[0], before + 1);
    pd_advance(x, 100000);
    assert_int_equal(x->m->raise_count[0], before + 1);
    pd_out(x, 0x40, 50); // once more
    pd_out(x, 0x40, 0);
    pd_advance(x, 51);
    pd_advance(x, 2000);
    assert_int_equal(x->m->raise_count[0], before + 2);
}

static void mode5(void **state) {
    struct pit_fixture *x = *state;

    pd_program(x, 2, 5, 100);
    pd_advance(x, 1000);
    assert_true(pd_out2(x));
    pd_out(x, 0x61, 1);
    pd_advance(x, 100);
    assert_false(pd_out2(x));
    pd_advance(x, 1);
    assert_true(pd_out2(x));
}

static void modes6and7(void **state) {
    struct pit_fixture *x = *state;

    pd_program(x, 0, 6, 100);
    assert_int_equal(pd_status(x, 0), 0x80 | 0x30 | 2 << 1);
    pd_program(x, 0, 7, 100);
    assert_int_equal(pd_status(x, 0), 0x80 | 0x30 | 3 << 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pit_fixture_setup, pit_fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(mode0),        TEST(mode1), TEST(mode2), TEST(mode2_reload), TEST(mode3),
        TEST(mode3_reload), TEST(mode4), TEST(mode5), TEST(modes6and7),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
