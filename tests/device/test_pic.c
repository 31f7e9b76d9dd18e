// SPDX-License-Identifier: MIT
//
// PIC: initialisation, priorities, cascade, edges and levels, ends of interrupt, rotation, special
// modes, poll, and its state.
#include "devices/pic.h"

#include "tests/support/fake_machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MASTER 0x20u
#define SLAVE  0xA0u

struct fixture {
    struct fake_machine *m;
    struct pic pic;
    bool intr;
    unsigned intr_calls;
};

static void set_intr(void *ctx, bool level) {
    struct fixture *x = ctx;

    assert_true(x->intr != level);
    x->intr = level;
    x->intr_calls++;
}

static void out(struct fixture *x, uint16_t port, unsigned value) {
    fake_pio_write(x->m, port, 1, value);
}

static unsigned in(struct fixture *x, uint16_t port) {
    return fake_pio_read(x->m, port, 1);
}

/// As every operating system does it: vectors 0x20 and 0x28, nothing masked.
static void init_chips(struct fixture *x, unsigned icw4) {
    out(x, MASTER, 0x11);
    out(x, MASTER + 1, 0x20);
    out(x, MASTER + 1, 0x04);
    out(x, MASTER + 1, icw4);
    out(x, SLAVE, 0x11);
    out(x, SLAVE + 1, 0x28);
    out(x, SLAVE + 1, 0x02);
    out(x, SLAVE + 1, 0x01);
    out(x, MASTER + 1, 0);
    out(x, SLAVE + 1, 0);
}

static int set_up(void **state) {
    struct fixture *x = calloc(1, sizeof(*x));
    struct pic_config config;

    x->m = fake_machine_new();
    config = (struct pic_config){
        .pio = x->m->pio, .set_intr = set_intr, .set_intr_ctx = x, .level_lines = 0x0C01};
    assert_int_equal(pic_init(&x->pic, &config), 0);
    fake_reset(x->m, &x->pic.device);
    init_chips(x, 1);
    *state = x;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *x = *state;

    fake_machine_free(x->m);
    free(x);
    return 0;
}

static void pulse(struct fixture *x, unsigned line) {
    pic_set_line(&x->pic, line, false);
    pic_set_line(&x->pic, line, true);
}

static unsigned read_isr(struct fixture *x, uint16_t port) {
    out(x, port, 0x0B);
    return in(x, port);
}

static unsigned read_irr(struct fixture *x, uint16_t port) {
    out(x, port, 0x0A);
    return in(x, port);
}

// ---- the cases ----

static void masked_after_reset(void **state) {
    struct fixture *x = *state;

    fake_reset(x->m, &x->pic.device);
    for (unsigned line = 0; line < 20; line++) {
        pic_set_line(&x->pic, line, true);
    }
    assert_false(x->intr);
    assert_int_equal(in(x, MASTER + 1), 0xFF);
    assert_int_equal(in(x, SLAVE + 1), 0xFF);
    assert_int_equal(pic_acknowledge(&x->pic), -1);
    assert_int_equal(fake_pio_read(x->m, 0x4D0, 2), 0x0C00); // line 0 cannot be one
}

static void edge(void **state) {
    struct fixture *x = *state;

    pic_set_line(&x->pic, 4, true);
    assert_true(x->intr);
    assert_int_equal(read_irr(x, MASTER), 0x10);
    assert_int_equal(pic_acknowledge(&x->pic), 0x24);
    assert_false(x->intr);
    assert_int_equal(read_irr(x, MASTER), 0);
    assert_int_equal(read_isr(x, MASTER), 0x10);
    out(x, MASTER, 0x20);
    assert_int_equal(read_isr(x, MASTER), 0);
    assert_false(x->intr); // still high: no new edge
    pulse(x, 4);
    assert_int_equal(pic_acknowledge(&x->pic), 0x24);
    pulse(x, 4); // held back by its own service
    assert_false(x->intr);
    out(x, MASTER, 0x64); // specific
    assert_true(x->intr);
}

/// A request goes with its line; a mask only holds it back.
static void edge_goes_away(void **state) {
    struct fixture *x = *state;

    out(x, MASTER + 1, 0x10);
    pic_set_line(&x->pic, 4, true);
    assert_false(x->intr);
    out(x, MASTER + 1, 0);
    assert_true(x->intr);
    pic_set_line(&x->pic, 4, false);
    assert_false(x->intr);
    assert_int_equal(pic_acknowledge(&x->pic), -1);
}

static void level(void **state) {
    struct fixture *x = *state;

    fake_pio_write(x->m, 0x4D0, 2, 0xFFFF);
    assert_int_equal(fake_pio_read(x->m, 0x4D0, 1), 0xF8);
    assert_int_equal(fake_pio_read(x->m, 0x4D1, 1), 0xDE);
    pic_set_line(&x->pic, 5, true);
    assert_int_equal(pic_acknowledge(&x->pic), 0x25);
    out(x, MASTER, 0x20);
    assert_true(x->intr); // nobody served the device
    assert_int_equal(pic_acknowledge(&x->pic), 0x25);
    pic_set_line(&x->pic, 5, false);
    out(x, MASTER, 0x20);
    assert_false(x->intr);
}

static void priorities(void **state) {
    struct fixture *x = *state;

    pulse(x, 6);
    pulse(x, 3);
    assert_int_equal(pic_acknowledge(&x->pic), 0x23);
    assert_false(x->intr); // 6 waits
    pulse(x, 1);
    assert_int_equal(pic_acknowledge(&x->pic), 0x21);
    assert_int_equal(read_isr(x, MASTER), 0x0A);
    out(x, MASTER, 0x20); // ends 1, the highest
    assert_int_equal(read_isr(x, MASTER), 0x08);
    out(x, MASTER, 0x20);
    assert_int_equal(pic_acknowledge(&x->pic), 0x26);
}

static void cascade(void **state) {
    struct fixture *x = *state;

    pulse(x, 12);
    pulse(x, 4);
    assert_int_equal(pic_acknowledge(&x->pic), 0x2C); // IR2 of the master stands over IR4
    assert_int_equal(read_isr(x, MASTER), 0x04);
    assert_int_equal(read_isr(x, SLAVE), 0x10);
    pulse(x, 8); // higher than 12, but the master holds IR2 back
    assert_false(x->intr);
    out(x, SLAVE, 0x20);
    out(x, MASTER, 0x20);
    assert_int_equal(pic_acknowledge(&x->pic), 0x28);
    out(x, SLAVE, 0x20);
    out(x, MASTER, 0x20);
    assert_int_equal(pic_acknowledge(&x->pic), 0x24);
    pic_set_line(&x->pic, PIC_CASCADE, true); // nobody's line
    pic_set_line(&x->pic, 16, true);
    assert_false(x->intr);
}

static void special_fully_nested(void **state) {
    struct fixture *x = *state;

    init_chips(x, 0x11);
    pulse(x, 12);
    assert_int_equal(pic_acknowledge(&x->pic), 0x2C);
    pulse(x, 8);
    assert_int_equal(pic_acknowledge(&x->pic), 0x28);
    assert_int_equal(read_isr(x, SLAVE), 0x11);
}

static void special_mask(void **state) {
    struct fixture *x = *state;

    pulse(x, 1);
    assert_int_equal(pic_acknowledge(&x->pic), 0x21);
    pulse(x, 5);
    assert_false(x->intr);
    out(x, MASTER + 1, 0x02);
    out(x, MASTER, 0x68);
    assert_int_equal(pic_acknowledge(&x->pic), 0x25);
    out(x, MASTER, 0x20); // ends 5: 1 is set aside
    assert_int_equal(read_isr(x, MASTER), 0x02);
    out(x, MASTER, 0x48);
    pulse(x, 5);
    assert_false(x->intr);
    out(x, MASTER, 0x61);
    assert_true(x->intr);
}

static void rotation(void **state) {
    struct fixture *x = *state;

    pulse(x, 0);
    assert_int_equal(pic_acknowledge(&x->pic), 0x20);
    out(x, MASTER, 0xA0); // rotate on EOI: 0 is the lowest now
    pulse(x, 0);
    pulse(x, 7);
    assert_int_equal(pic_acknowledge(&x->pic), 0x27);
    out(x, MASTER, 0xE7); // ... and now 7
    assert_int_equal(pic_acknowledge(&x->pic), 0x20);
    out(x, MASTER, 0x20);
    out(x, MASTER, 0xC3); // set priority: 3 the lowest, 4 the highest
    pulse(x, 3);
    pulse(x, 4);
    assert_int_equal(pic_acknowledge(&x->pic), 0x24);
    out(x, MASTER, 0x40); // no operation
    assert_int_equal(read_isr(x, MASTER), 0x10);
}

static void automatic_eoi(void **state) {
    struct fixture *x = *state;

    init_chips(x, 0x03);
    out(x, MASTER, 0x80); // rotate
    pulse(x, 3);
    assert_int_equal(pic_acknowledge(&x->pic), 0x23);
    assert_int_equal(read_isr(x, MASTER), 0);
    pulse(x, 3);
    pulse(x, 4);
    assert_int_equal(pic_acknowledge(&x->pic), 0x24);
    out(x, MASTER, 0x00);
    assert_int_equal(pic_acknowledge(&x->pic), 0x23);
    out(x, MASTER, 0x20); // nothing in service: no harm
}

static void poll(void **state) {
    struct fixture *x = *state;

    out(x, MASTER, 0x0C);
    assert_int_equal(in(x, MASTER), 0);
    pulse(x, 6);
    out(x, MASTER, 0x0C);
    assert_int_equal(in(x, MASTER), 0x86);
    assert_false(x->intr);
    assert_int_equal(read_isr(x, MASTER), 0x40);
}

/// ICW1 forgets requests; a level comes back, an edge needs a new one.
static void initialisation(void **state) {
    struct fixture *x = *state;

    out(x, 0x4D0, 0x20);
    pic_set_line(&x->pic, 5, true);
    pic_set_line(&x->pic, 4, true);
    assert_int_equal(pic_acknowledge(&x->pic), 0x24);
    init_chips(x, 1);
    assert_int_equal(read_isr(x, MASTER), 0);
    assert_int_equal(read_irr(x, MASTER), 0x20);
    out(x, MASTER, 0x12); // single, no ICW4: one word more
    out(x, MASTER + 1, 0x47);
    out(x, MASTER + 1, 0xAA);
    assert_int_equal(in(x, MASTER + 1), 0xAA);
    out(x, MASTER + 1, 0);
    assert_int_equal(pic_acknowledge(&x->pic), 0x45);
    out(x, MASTER, 0x13); // single with ICW4
    out(x, MASTER + 1, 0x30);
    out(x, MASTER + 1, 0x02);
    assert_int_equal(pic_acknowledge(&x->pic), 0x35);
    assert_int_equal(read_isr(x, MASTER), 0);
    out(x, MASTER, 0x10); // three words
    out(x, MASTER + 1, 0x50);
    out(x, MASTER + 1, 0x04);
    out(x, MASTER + 1, 0x5A);
    assert_int_equal(in(x, MASTER + 1), 0x5A);
}

static void odd_accesses(void **state) {
    struct fixture *x = *state;

    assert_int_equal(fake_pio_read(x->m, MASTER, 2), 0xFFFF);
    assert_int_equal(fake_pio_read(x->m, SLAVE, 2), 0xFFFF);
    fake_pio_write(x->m, MASTER, 2, 0x1111);
    assert_int_equal(in(x, MASTER + 1), 0);
}

static void save_and_load(void **state) {
    struct fixture *x = *state;
    size_t size;
    uint8_t *blob;

    out(x, 0x4D0, 0x20);
    pic_set_line(&x->pic, 5, true);
    pulse(x, 3);
    assert_int_equal(pic_acknowledge(&x->pic), 0x23);
    blob = fake_save(&x->pic.device, &size);
    fake_reset(x->m, &x->pic.device);
    assert_false(x->intr);
    assert_int_equal(fake_load(&x->pic.device, blob, size), 0);
    assert_false(x->intr); // 3 in service; its line is still high and no edge
    out(x, MASTER, 0x20);
    assert_int_equal(pic_acknowledge(&x->pic), 0x25);
    // A line that rose meanwhile is an edge; a level that fell is gone.
    pic_set_line(&x->pic, 5, false);
    pic_set_line(&x->pic, 1, true);
    assert_int_equal(fake_load(&x->pic.device, blob, size), 0);
    assert_int_equal(pic_acknowledge(&x->pic), 0x21);
    assert_int_equal(read_irr(x, MASTER), 0);
    free(blob);
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(masked_after_reset),
        CASE(edge),
        CASE(edge_goes_away),
        CASE(level),
        CASE(priorities),
        CASE(cascade),
        CASE(special_fully_nested),
        CASE(special_mask),
        CASE(rotation),
        CASE(automatic_eoi),
        CASE(poll),
        CASE(initialisation),
        CASE(odd_accesses),
        CASE(save_and_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
