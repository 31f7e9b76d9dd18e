// SPDX-License-Identifier: MIT
//
// Virtio console: both directions, back-pressure, and no byte lost over pause, save and restore.
#include "tests/support/virtio_console_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RX_GPA 0x80000u
#define TX_GPA 0x90000u

static int setup(void **state) {
    struct console_fixture *f = console_build(0, 0);

    vd_start(&f->vd, ~0ull, 2, 8);
    *state = f;
    return 0;
}

static void give_receive_buffer(struct console_fixture *f, uint32_t size_bytes) {
    struct vd_buffer buffer = {RX_GPA, size_bytes, true};

    vd_submit(&f->vd, RX, vd_chain(&f->vd, RX, &buffer, 1));
}

static void transmit(struct console_fixture *f, const char *text) {
    struct vd_buffer buffers[] = {
        {TX_GPA, 2, false},
        {TX_GPA + 2, (uint32_t)strlen(text) - 2, false},
    };

    vd_put(&f->vd, TX_GPA, text, strlen(text));
    vd_submit(&f->vd, TX, vd_chain(&f->vd, TX, buffers, 2));
}

static void feed(struct console_fixture *f, const char *text) {
    fake_chardev_feed(&f->fc, text, strlen(text));
    assert_true(fake_loop_run(&f->m->fl));
}

static void receives(void **state) {
    struct console_fixture *f = *state;
    struct vd_used used;
    char bytes[16];

    feed(f, "hello, world"); // no buffer yet: it stays where it is
    assert_int_equal(f->fc.in_bytes, 12);
    give_receive_buffer(f, 5);
    assert_true(vd_used(&f->vd, RX, &used));
    assert_int_equal(used.len, 5);
    vd_get(&f->vd, RX_GPA, bytes, 5);
    assert_memory_equal(bytes, "hello", 5);
    give_receive_buffer(f, 16);
    assert_true(vd_used(&f->vd, RX, &used));
    assert_int_equal(used.len, 7);
    vd_get(&f->vd, RX_GPA, bytes, 7);
    assert_memory_equal(bytes, ", world", 7);
    give_receive_buffer(f, 16); // buffer first, bytes later
    assert_false(vd_used(&f->vd, RX, &used));
    feed(f, "!");
    assert_true(vd_used(&f->vd, RX, &used));
    assert_int_equal(used.len, 1);
    assert_int_equal(f->console.received_bytes, 13);
}

static void transmits_with_back_pressure(void **state) {
    struct console_fixture *f = *state;
    struct vd_used used;

    transmit(f, "first ");
    assert_true(vd_used(&f->vd, TX, &used));
    f->fc.out_room = 3;
    transmit(f, "second ");
    assert_false(vd_used(&f->vd, TX, &used));
    transmit(f, "second "); // the same bytes again: its buffer must not change under the first
    fake_chardev_drain(&f->fc, 2);
    assert_true(fake_loop_run(&f->m->fl));
    assert_false(vd_used(&f->vd, TX, &used));
    fake_chardev_drain(&f->fc, 1000);
    assert_true(fake_loop_run(&f->m->fl));
    assert_true(vd_used(&f->vd, TX, &used));
    assert_true(vd_used(&f->vd, TX, &used));
    assert_int_equal(f->fc.out_bytes, 20);
    assert_memory_equal(f->fc.out, "first second second ", 20);
    assert_int_equal(f->console.sent_bytes, 20);
}

static void reset_forgets_a_half_sent_chain(void **state) {
    struct console_fixture *f = *state;
    struct vd_used used;

    f->fc.out_room = 3;
    transmit(f, "abcdef");
    vd_start(&f->vd, ~0ull, 2, 8);
    fake_chardev_drain(&f->fc, 1000);
    assert_true(fake_loop_run(&f->m->fl));
    transmit(f, "xyz");
    assert_true(vd_used(&f->vd, TX, &used));
    assert_memory_equal(f->fc.out, "abcxyz", 6);
}

static void a_shortened_chain_is_harmless(void **state) {
    struct console_fixture *f = *state;
    struct vd_used used;

    f->fc.out_room = 5;
    transmit(f, "abcdef");
    vd_desc(&f->vd, TX, 0, TX_GPA, 1, 0, 0); // changed under foot
    fake_chardev_drain(&f->fc, 1000);
    assert_true(fake_loop_run(&f->m->fl));
    assert_true(vd_used(&f->vd, TX, &used));
    assert_int_equal(f->fc.out_bytes, 5);
    transmit(f, "gh");
    assert_memory_equal(f->fc.out, "abcde", 5);
}

static void receive_buffer_must_be_writable(void **state) {
    struct console_fixture *f = *state;
    struct vd_buffer buffer = {RX_GPA, 16, false};

    feed(f, "x");
    vd_submit(&f->vd, RX, vd_chain(&f->vd, RX, &buffer, 1));
    assert_true(vd_read(&f->vd, VD_STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(f->fc.in_bytes, 1);
}

static void paused(void *ctx) {
    *(bool *)ctx = true;
}

static void save_and_restore_in_the_middle(void **state) {
    struct console_fixture *f = *state;
    struct console_fixture *g = console_build(0, 0);
    struct guest_memory own = g->m->gm;
    struct device *device = &f->console.virtio.device;
    struct vd_used used;
    bool done = false;
    size_t sizes[2];
    uint8_t *blobs[2];

    give_receive_buffer(f, 16);
    f->fc.out_room = 4;
    transmit(f, "0123456789");
    pthread_mutex_lock(&device->lock);
    device->ops->pause(device->self, paused, &done);
    pthread_mutex_unlock(&device->lock);
    assert_true(fake_loop_run(&f->m->fl));
    assert_true(done);
    fake_chardev_drain(&f->fc, 100); // nothing moves while paused
    assert_true(fake_loop_run(&f->m->fl));
    assert_int_equal(f->fc.out_bytes, 4);
    blobs[0] = fake_save(device, &sizes[0]);
    blobs[1] = fake_save(&f->console.pci.function.device, &sizes[1]);

    g->m->gm = f->m->gm;
    assert_int_equal(fake_load(&g->console.pci.function.device, blobs[1], sizes[1]), 0);
    assert_int_equal(fake_load(&g->console.virtio.device, blobs[0], sizes[0]), 0);
    g->vd = f->vd;
    g->vd.m = g->m;
    assert_true(fake_loop_run(&g->m->fl));
    assert_int_equal(g->fc.out_bytes, 6);
    assert_memory_equal(g->fc.out, "456789", 6);
    assert_true(vd_used(&g->vd, TX, &used));
    feed(g, "in");
    assert_true(vd_used(&g->vd, RX, &used));
    assert_int_equal(used.len, 2);
    free(blobs[0]);
    free(blobs[1]);
    g->m->gm = own;
    console_free(g);
}

/// The driver keeps adding while the device works: others get their turn.
static size_t endless_write(struct chardev *c, const uint8_t *bytes, size_t size) {
    struct fake_chardev *fc = (struct fake_chardev *)c;
    struct console_fixture *f =
        (struct console_fixture *)((char *)fc - offsetof(struct console_fixture, fc));

    (void)bytes;
    fc->write_calls++;
    if (fc->write_calls < 1000) {
        vd_offer(&f->vd, TX, 0);
    }
    return size;
}

static void a_busy_driver_does_not_keep_the_loop(void **state) {
    struct console_fixture *f = *state;
    struct chardev_ops endless = *f->fc.chardev.ops;

    endless.write = endless_write;
    f->fc.chardev.ops = &endless;
    vd_desc(&f->vd, TX, 0, TX_GPA, 4, 0, 0);
    vd_offer(&f->vd, TX, 0);
    vd_kick(&f->vd, TX);
    assert_int_equal(f->fc.write_calls, 8); // one ring's worth, then back to the loop
    assert_true(fake_loop_run(&f->m->fl));
    assert_int_equal(f->fc.write_calls, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(receives, setup, console_teardown),
        cmocka_unit_test_setup_teardown(transmits_with_back_pressure, setup, console_teardown),
        cmocka_unit_test_setup_teardown(reset_forgets_a_half_sent_chain, setup, console_teardown),
        cmocka_unit_test_setup_teardown(a_shortened_chain_is_harmless, setup, console_teardown),
        cmocka_unit_test_setup_teardown(receive_buffer_must_be_writable, setup, console_teardown),
        cmocka_unit_test_setup_teardown(save_and_restore_in_the_middle, setup, console_teardown),
        cmocka_unit_test_setup_teardown(a_busy_driver_does_not_keep_the_loop, setup,
                                        console_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
