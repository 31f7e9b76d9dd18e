// SPDX-License-Identifier: MIT
//
// The I/O bus: containment, overlap, sizes, and lookups while regions move.
#include "devices/bus.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct echo {
    struct bus_access last;
    unsigned calls;
    uint64_t answer;
    enum bus_result result;
};

static enum bus_result echo_fn(void *self, struct bus_access *access) {
    struct echo *echo = self;

    echo->last = *access;
    echo->calls++;
    access->value = echo->answer;
    return echo->result;
}

static int add(struct bus *bus, uint64_t start, uint64_t size_bytes, struct echo *echo) {
    struct bus_region region = {
        .start = start, .size_bytes = size_bytes, .fn = echo_fn, .self = echo, .name = "echo"};

    return bus_add(bus, &region);
}

static uint64_t do_read(struct bus *bus, uint64_t address, uint8_t size, bool *answered) {
    struct bus_access access = {.offset = address, .size = size, .value = 0xAAAA};

    *answered = bus_dispatch(bus, &access);
    return access.value;
}

static void finds_by_containment(void **state) {
    struct bus *bus = bus_new("t", 0x10000);
    struct echo a = {.answer = UINT64_MAX};
    struct echo b = {.answer = 0x42};
    bool answered;

    (void)state;
    assert_int_equal(add(bus, 0x100, 8, &a), 0);
    assert_int_equal(add(bus, 0x108, 4, &b), 0);
    assert_int_equal(do_read(bus, 0x107, 1, &answered), 0xFF);
    assert_true(answered);
    assert_int_equal(a.last.offset, 7);
    assert_int_equal(a.last.value, 0);
    assert_int_equal(do_read(bus, 0x108, 4, &answered), 0x42);
    assert_int_equal(b.last.offset, 0);
    // Straddling a border, below, above, and past the end of the address space: nobody's.
    assert_int_equal(do_read(bus, 0x107, 2, &answered), 0xFFFF);
    assert_false(answered);
    assert_true(do_read(bus, 0x104, 8, &answered) == UINT64_MAX);
    assert_false(answered);
    (void)do_read(bus, 0xFF, 1, &answered);
    assert_false(answered);
    (void)do_read(bus, 0x10C, 1, &answered);
    assert_false(answered);
    (void)do_read(bus, UINT64_MAX, 8, &answered);
    assert_false(answered);
    assert_int_equal(bus_unclaimed_count(bus), 5);
    bus_free(bus);
}

static void cleans_values(void **state) {
    struct bus *bus = bus_new("t", 0x1000);
    struct echo a = {.answer = 0x1122334455667788};
    struct bus_access access = {.offset = 0, .size = 2, .is_write = true, .value = 0xAABBCCDD};
    bool answered;

    (void)state;
    assert_int_equal(add(bus, 0, 16, &a), 0);
    assert_true(bus_dispatch(bus, &access));
    assert_int_equal(a.last.value, 0xCCDD);
    assert_int_equal(do_read(bus, 0, 1, &answered), 0x88);
    assert_int_equal(do_read(bus, 0, 2, &answered), 0x7788);
    assert_int_equal(do_read(bus, 0, 4, &answered), 0x55667788);
    assert_true(do_read(bus, 0, 8, &answered) == a.answer);
    a.result = BUS_NOT_MINE;
    assert_int_equal(do_read(bus, 0, 4, &answered), 0xFFFFFFFF);
    assert_false(answered);
    for (unsigned size = 0; size < 256; size++) { // sizes that no access has
        unsigned calls = a.calls;

        if (size != 1 && size != 2 && size != 4 && size != 8) {
            (void)do_read(bus, 0, (uint8_t)size, &answered);
            assert_false(answered);
            assert_int_equal(a.calls, calls);
        }
    }
    bus_free(bus);
}

static void refuses_bad_regions(void **state) {
    struct bus *bus = bus_new("t", 0x1000);
    struct echo e = {0};
    struct bus_region no_handler = {.start = 0, .size_bytes = 1};

    (void)state;
    assert_int_equal(add(bus, 0x100, 0, &e), -EINVAL);
    assert_int_equal(add(bus, 0xFFF, 2, &e), -EINVAL);
    assert_int_equal(add(bus, UINT64_MAX, 2, &e), -EINVAL);
    assert_int_equal(bus_add(bus, &no_handler), -EINVAL);
    assert_int_equal(add(bus, 0xFFF, 1, &e), 0);
    assert_int_equal(add(bus, 0x100, 0x10, &e), 0);
    assert_int_equal(add(bus, 0x100, 1, &e), -EEXIST);
    assert_int_equal(add(bus, 0x10F, 1, &e), -EEXIST);
    assert_int_equal(add(bus, 0xFF, 2, &e), -EEXIST);
    assert_int_equal(add(bus, 0, 0x1000, &e), -EEXIST);
    assert_int_equal(add(bus, 0xFF, 1, &e), 0);
    assert_int_equal(add(bus, 0x110, 1, &e), 0);
    assert_int_equal(bus_remove(bus, 0x101), -ENOENT);
    assert_int_equal(bus_remove(bus, 0x100), 0);
    assert_int_equal(bus_remove(bus, 0x100), -ENOENT);
    assert_int_equal(add(bus, 0x100, 0x10, &e), 0);
    bus_free(bus);
}

static uint64_t last_start;
static unsigned region_count;
static void check_order(void *ctx, const struct bus_region *region) {
    (void)ctx;
    assert_true(region_count == 0 || region->start > last_start);
    last_start = region->start;
    region_count++;
}

static void holds_many_in_order(void **state) {
    struct bus *bus = bus_new("t", 0x100000);
    struct echo e = {.answer = 5};
    unsigned added = 0;
    bool answered;

    (void)state;
    // 7919 is odd: the starts come in scattered order and never twice.
    while (add(bus, (uint64_t)(added * 7919u % 4096u) * 16, 16, &e) == 0) {
        added++;
    }
    assert_true(added >= 256);
    assert_int_equal(add(bus, 0x80000, 1, &e), -ENOSPC);
    region_count = 0;
    bus_for_each(bus, check_order, NULL);
    assert_int_equal(region_count, added);
    for (unsigned i = 0; i < added; i++) {
        assert_int_equal(do_read(bus, (uint64_t)(i * 7919u % 4096u) * 16 + 15, 1, &answered), 5);
        assert_true(answered);
    }
    for (unsigned i = 0; i < added; i++) {
        assert_int_equal(bus_remove(bus, (uint64_t)(i * 7919u % 4096u) * 16), 0);
    }
    region_count = 0;
    bus_for_each(bus, check_order, NULL);
    assert_int_equal(region_count, 0);
    bus_free(bus);
}

/// A reader on another thread, while regions below the one it reads come and go.
static struct bus *shared_bus;
static _Atomic bool stop;
static _Atomic unsigned long wrong;
static void *reader(void *arg) {
    (void)arg;
    while (!stop) {
        bool answered;

        if (do_read(shared_bus, 0x5004, 4, &answered) != 0x77 || !answered) {
            wrong++;
        }
    }
    return NULL;
}

static enum bus_result const_fn(void *self, struct bus_access *access) {
    (void)self;
    access->value = access->offset == 4 ? 0x77 : 0;
    return BUS_OK;
}

static void lookup_survives_moves(void **state) {
    struct bus_region fixed = {.start = 0x5000, .size_bytes = 8, .fn = const_fn, .name = "fixed"};
    struct echo e = {0};
    pthread_t thread;

    (void)state;
    shared_bus = bus_new("t", 0x10000);
    assert_int_equal(bus_add(shared_bus, &fixed), 0);
    assert_int_equal(pthread_create(&thread, NULL, reader, NULL), 0);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t start = (uint64_t)(i % 64) * 0x10;

        assert_int_equal(add(shared_bus, start, 8, &e), 0);
        assert_int_equal(bus_remove(shared_bus, start), 0);
    }
    stop = true;
    pthread_join(thread, NULL);
    assert_int_equal(wrong, 0);
    bus_free(shared_bus);
}

static pthread_mutex_t region_lock = PTHREAD_MUTEX_INITIALIZER;
static enum bus_result locked_fn(void *self, struct bus_access *access) {
    (void)access;
    *(int *)self = pthread_mutex_trylock(&region_lock);
    return BUS_OK;
}

static void holds_the_region_lock(void **state) {
    struct bus *bus = bus_new("t", 0x1000);
    int tried = 0;
    struct bus_region region = {
        .start = 0, .size_bytes = 4, .fn = locked_fn, .self = &tried, .lock = &region_lock};
    bool answered;

    (void)state;
    assert_int_equal(bus_add(bus, &region), 0);
    (void)do_read(bus, 0, 4, &answered);
    assert_int_equal(tried, EBUSY);
    assert_int_equal(pthread_mutex_trylock(&region_lock), 0);
    pthread_mutex_unlock(&region_lock);
    bus_free(bus);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_by_containment),  cmocka_unit_test(cleans_values),
        cmocka_unit_test(refuses_bad_regions),   cmocka_unit_test(holds_many_in_order),
        cmocka_unit_test(lookup_survives_moves), cmocka_unit_test(holds_the_region_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
