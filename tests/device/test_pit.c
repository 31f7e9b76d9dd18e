// SPDX-License-Identifier: MIT
//
// PIT: port 0x61 and the gate, BCD, bytes, latches and read-back, the fastest counts, reset, state.
#include "tests/support/pit_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

/// How Linux measures the TSC.
static void port61(void **state) {
    struct pit_fixture *x = *state;
    unsigned toggles = 0;
    unsigned last;

    pd_program(x, 2, 0, 59659); // 50 ms
    pd_advance(x, 100000);
    assert_false(pd_out2(x)); // the gate is low
    assert_int_equal(pd_latched(x, 2), 59659);
    pd_out(x, 0x61, 0xFD); // gate, no speaker
    assert_int_equal(pd_in(x, 0x61) & 0x2F, 0x0D);
    pd_advance(x, 30000);
    pd_out(x, 0x61, 0);
    pd_advance(x, 100000);
    pd_out(x, 0x61, 1);
    pd_advance(x, 29658);
    assert_false(pd_out2(x));
    pd_advance(x, 1);
    assert_true(pd_out2(x));
    last = pd_in(x, 0x61) & 0x10;
    for (unsigned i = 0; i < 1000; i++) {
        pd_advance(x, 3);
        toggles += (pd_in(x, 0x61) & 0x10) != last;
        last = pd_in(x, 0x61) & 0x10;
    }
    assert_in_range(toggles, 160, 170); // every 15 us
}

static void periodic_gate(void **state) {
    struct pit_fixture *x = *state;

    pd_out(x, 0x61, 1);
    pd_program(x, 2, 3, 1000);
    pd_advance(x, 700);
    assert_false(pd_out2(x));
    pd_out(x, 0x61, 0);
    assert_true(pd_out2(x)); // at once
    pd_out(x, 0x42, 100);
    pd_out(x, 0x42, 0);
    pd_advance(x, 700);
    pd_out(x, 0x61, 1); // starts anew, with the new count
    assert_int_equal(pd_latched(x, 2), 100);
    pd_advance(x, 50);
    assert_false(pd_out2(x));
}

static void bcd(void **state) {
    struct pit_fixture *x = *state;

    pd_out(x, 0x43, 0x31); // mode 0, BCD
    pd_out(x, 0x40, 0x00);
    pd_out(x, 0x40, 0x10); // 1000
    pd_advance(x, 1);
    assert_int_equal(pd_latched(x, 0), 0x0999);
    pd_advance(x, 1000);
    assert_int_equal(pd_latched(x, 0), 0x9999);
    pd_out(x, 0x43, 0x35);
    pd_out(x, 0x40, 0);
    pd_out(x, 0x40, 0); // 10000
    pd_advance(x, 1);
    assert_int_equal(pd_latched(x, 0), 0x9999);
    pd_advance(x, 9999);
    assert_int_equal(pd_latched(x, 0), 0x0000); // 10000
    pd_out(x, 0x40, 0xFF);
    pd_out(x, 0x40, 0xFF); // no digits: some number
    pd_advance(x, 30000);
    pd_latched(x, 0);
}

static void bytes(void **state) {
    struct pit_fixture *x = *state;
    unsigned low;

    pd_out(x, 0x43, 0x10); // low byte only
    pd_out(x, 0x40, 100);
    pd_advance(x, 10);
    assert_int_equal(pd_in(x, 0x40), 90);
    assert_int_equal(pd_in(x, 0x40), 90);
    pd_out(x, 0x43, 0x20); // high byte only
    pd_out(x, 0x40, 2);
    assert_int_equal(pd_in(x, 0x40), 2);
    pd_advance(x, 1);
    assert_int_equal(pd_in(x, 0x40), 1);
    pd_program(x, 0, 0, 0x1234);
    pd_out(x, 0x43, 0x00);
    pd_advance(x, 0x234);
    pd_out(x, 0x43, 0x00); // ignored: one is there
    assert_int_equal(pd_in(x, 0x40), 0x34);
    assert_int_equal(pd_in(x, 0x40), 0x12);
    assert_int_equal(pd_in(x, 0x40), 0x00); // as it runs
    assert_int_equal(pd_in(x, 0x40), 0x10);
    pd_out(x, 0x43, 0xC2); // read back both: status first
    low = pd_in(x, 0x40);
    assert_int_equal(low, 0x30);
    assert_int_equal(pd_in(x, 0x40), 0x00);
    assert_int_equal(pd_in(x, 0x40), 0x10);
    assert_int_equal(fake_pio_read(x->m, 0x43, 1), 0xFF);
    assert_int_equal(fake_pio_read(x->m, 0x40, 2), 0xFFFF);
    assert_int_equal(fake_pio_read(x->m, 0x60, 2), 0xFFFF);
}

/// The fastest that can be programmed, and nothing spins.
static void fast(void **state) {
    struct pit_fixture *x = *state;
    unsigned before;

    for (unsigned mode = 2; mode <= 3; mode++) {
        for (unsigned count = 1; count <= 3; count++) {
            pd_program(x, 0, mode, count);
            before = x->m->raise_count[0];
            assert_true(fake_loop_advance(&x->m->fl, 100 * MS));
            assert_in_range(x->m->raise_count[0] - before, 900, 2100);
        }
    }
}

static void reset_and_idle(void **state) {
    struct pit_fixture *x = *state;
    unsigned before;

    pd_program(x, 0, 2, 1000);
    pd_advance(x, 10);
    fake_reset(x->m, &x->pit.device);
    before = x->m->raise_count[0];
    pd_advance(x, 100000);
    assert_int_equal(x->m->raise_count[0], before);
    assert_int_equal(fake_loop_next_deadline(&x->m->fl), UINT64_MAX);
    assert_int_equal(pd_in(x, 0x61) & 0x0F, 0);
}

static void save_and_load(void **state) {
    struct pit_fixture *x = *state;
    size_t size;
    uint8_t *blob;
    unsigned before;

    pd_program(x, 0, 2, 5000);
    pd_program(x, 2, 0, 3000);
    pd_out(x, 0x61, 1);
    pd_advance(x, 2000);
    pd_out(x, 0x40, 0x10);
    pd_out(x, 0x40, 0x27); // 10000, later
    blob = fake_save(&x->pit.device, &size);
    fake_reset(x->m, &x->pit.device);
    pd_advance(x, 777777);
    assert_int_equal(fake_load(&x->pit.device, blob, size), 0);
    assert_true(fake_loop_run(&x->m->fl));
    assert_int_equal(pd_latched(x, 0), 3000);
    assert_int_equal(pd_latched(x, 2), 1000);
    before = x->m->raise_count[0];
    pd_advance(x, 3001);
    assert_int_equal(x->m->raise_count[0], before + 1);
    assert_true(pd_out2(x));
    pd_advance(x, 9900);
    assert_int_equal(x->m->raise_count[0], before + 1);
    pd_advance(x, 101);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, pit_fixture_setup, pit_fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(port61), TEST(periodic_gate),  TEST(bcd),           TEST(bytes),
        TEST(fast),   TEST(reset_and_idle), TEST(save_and_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
