// SPDX-License-Identifier: MIT
//
// The terminal backend on a real pipe and a loop with an injected clock: a device that gave more
// than fits is told when there is room again, however much the first write took.
#include "tests/support/fake_loop.h"
#include "userspace/chardev_tty.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MS          1000000ull
#define ROOM_BYTES  4096u // the smallest pipe
#define BURST_BYTES 6000u // more than that, less than twice

struct fixture {
    struct fake_loop fl;
    struct chardev_tty tty;
    int reader;
    unsigned writable_count;
};

static void writable(void *owner) {
    struct fixture *f = owner;

    f->writable_count++;
}

static int set_up(void **state) {
    static struct fixture fixture;
    struct fixture *f = &fixture;
    char path[32];
    int ends[2];

    memset(f, 0, sizeof(*f));
    fake_loop_init(&f->fl, NULL, 0);
    if (pipe(ends) < 0 || fcntl(ends[1], F_SETPIPE_SZ, ROOM_BYTES) < 0) {
        return -1;
    }
    f->reader = ends[0];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[1]);
    if (chardev_tty_open(&f->tty, path, &f->fl.loop) < 0) {
        return -1;
    }
    close(ends[1]); // it has a description of its own
    f->tty.chardev.owner = f;
    f->tty.chardev.writable = writable;
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;

    chardev_tty_close(&f->tty);
    close(f->reader);
    return 0;
}

static size_t put(struct fixture *f, const uint8_t *bytes, size_t size_bytes) {
    return f->tty.chardev.ops->write(&f->tty.chardev, bytes, size_bytes);
}

static void test_all_of_it(void **state) {
    struct fixture *f = *state;
    uint8_t back[8];

    assert_int_equal(put(f, (const uint8_t *)"console", 7), 7);
    fake_loop_advance(&f->fl, 10 * MS);
    assert_int_equal(f->writable_count, 0); // nobody waits
    assert_int_equal(read(f->reader, back, sizeof(back)), 7);
    assert_memory_equal(back, "console", 7);
    assert_int_equal(f->tty.out_bytes, 7);
}

static void test_a_part_of_it(void **state) {
    struct fixture *f = *state;
    static uint8_t burst[BURST_BYTES], back[BURST_BYTES];

    for (size_t i = 0; i < BURST_BYTES; i++) {
        burst[i] = (uint8_t)(i * 7);
    }
    assert_int_equal(put(f, burst, BURST_BYTES), ROOM_BYTES);
    assert_int_equal(f->writable_count, 0);
    fake_loop_advance(&f->fl, 10 * MS);
    assert_int_equal(f->writable_count, 1);
    assert_int_equal(put(f, burst + ROOM_BYTES, BURST_BYTES - ROOM_BYTES), 0); // nobody has read
    fake_loop_advance(&f->fl, 10 * MS);
    assert_int_equal(f->writable_count, 2);
    assert_int_equal(read(f->reader, back, sizeof(back)), ROOM_BYTES);
    assert_int_equal(put(f, burst + ROOM_BYTES, BURST_BYTES - ROOM_BYTES),
                     BURST_BYTES - ROOM_BYTES);
    assert_int_equal(read(f->reader, back + ROOM_BYTES, sizeof(back) - ROOM_BYTES),
                     BURST_BYTES - ROOM_BYTES);
    assert_memory_equal(back, burst, BURST_BYTES);
    fake_loop_advance(&f->fl, 10 * MS);
    assert_int_equal(f->writable_count, 2);
    assert_int_equal(f->tty.out_bytes, BURST_BYTES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_of_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_part_of_it, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
