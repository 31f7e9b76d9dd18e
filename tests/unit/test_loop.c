// SPDX-License-Identifier: MIT
//
// The event loop on the real io_uring of the build machine, without a VP: file I/O of every kind,
// timers, tasks from another thread, cancellation, more operations than the queue has room for,
// and the doorbell (every completion sets the wake flag).
#include "userspace/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MS     1000000ull
#define SECOND (1000 * MS)
#define MANY   2000u ///< far above URING_LOOP_ENTRIES

struct result {
    unsigned count;
    int64_t value;
};

static struct uring_loop loop;
static char path[] = "/tmp/parapet-test-loop.XXXXXX";
static int file;

static void completed(struct loop_io *io, int64_t value) {
    struct result *result = io->owner;

    result->count++;
    result->value = value;
}

/// Runs until *counter reaches wanted; fails after ten seconds.
static void run_until(const unsigned *counter, unsigned wanted) {
    uint64_t end = loop_now_ns(&loop.base) + 10 * SECOND;

    while (*counter < wanted) {
        assert_true(loop_now_ns(&loop.base) < end);
        uring_loop_wait(&loop);
    }
}

static int64_t do_io(struct loop_io io) {
    struct result result = {0};

    io.complete = completed;
    io.owner = &result;
    loop_submit(&loop.base, &io);
    assert_int_equal(result.count, 0); // never before it returns
    run_until(&result.count, 1);
    assert_int_equal(result.count, 1);
    return result.value;
}

static int set_up(void **state) {
    (void)state;
    file = mkstemp(path);
    unlink(path);
    return file < 0 ? -1 : uring_loop_init(&loop, 0);
}

static int tear_down(void **state) {
    (void)state;
    close(file);
    uring_loop_free(&loop);
    memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
    return 0;
}

static void test_file(void **state) {
    char a[100], b[4000], back[4100], one;
    struct iovec out[2] = {{a, sizeof(a)}, {b, sizeof(b)}};
    struct iovec in = {back, sizeof(back)};

    (void)state;
    memset(a, 'a', sizeof(a));
    memset(b, 'b', sizeof(b));
    assert_int_equal(do_io((struct loop_io){.op = LOOP_WRITEV,
                                            .fd = file,
                                            .iov = out,
                                            .iov_count = 2,
                                            .file_off = 4096,
                                            .flags = LOOP_IO_FUA}),
                     4100);
    assert_int_equal(do_io((struct loop_io){.op = LOOP_FSYNC, .fd = file}), 0);
    assert_int_equal(
        do_io((struct loop_io){
            .op = LOOP_READV, .fd = file, .iov = &in, .iov_count = 1, .file_off = 4096}),
        4100);
    assert_memory_equal(back, a, sizeof(a));
    assert_memory_equal(back + sizeof(a), b, sizeof(b));
    assert_int_equal(do_io((struct loop_io){
                         .op = LOOP_WRITE_ZEROES, .fd = file, .file_off = 4096, .size_bytes = 50}),
                     0);
    assert_int_equal(pread(file, &one, 1, 4096), 1);
    assert_int_equal(one, 0);
    assert_int_equal(pread(file, &one, 1, 4146), 1);
    assert_int_equal(one, 'a');
    assert_int_equal(do_io((struct loop_io){
                         .op = LOOP_DISCARD, .fd = file, .file_off = 4096, .size_bytes = 4096}),
                     0);
    assert_int_equal(pread(file, &one, 1, 8000), 1);
    assert_int_equal(one, 0);
    assert_int_equal(
        do_io((struct loop_io){.op = LOOP_READV, .fd = -1, .iov = &in, .iov_count = 1}), -EBADF);
}

static void test_stream(void **state) {
    char byte = 'x', got = 0;
    struct iovec out = {&byte, 1}, in = {&got, 1};
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(
        do_io((struct loop_io){.op = LOOP_WRITE, .fd = ends[1], .iov = &out, .iov_count = 1}), 1);
    assert_true(do_io((struct loop_io){.op = LOOP_POLL_IN, .fd = ends[0]}) > 0);
    assert_int_equal(
        do_io((struct loop_io){.op = LOOP_READ, .fd = ends[0], .iov = &in, .iov_count = 1}), 1);
    assert_int_equal(got, 'x');
    close(ends[0]);
    close(ends[1]);
}

static void test_cancel(void **state) {
    struct result result = {0};
    char got;
    struct iovec in = {&got, 1};
    struct loop_io io = {
        .op = LOOP_READ, .iov = &in, .iov_count = 1, .complete = completed, .owner = &result};
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    io.fd = ends[0];
    loop_submit(&loop.base, &io);
    uring_loop_run(&loop);
    assert_int_equal(result.count, 0);
    loop_cancel(&loop.base, &io);
    run_until(&result.count, 1);
    assert_true(result.value == -ECANCELED || result.value == -EINTR);
    close(ends[0]);
    close(ends[1]);
}

static void test_many(void **state) {
    static struct loop_io ios[MANY];
    static char bytes[MANY];
    static struct iovec iovs[MANY];
    struct result result = {0};

    (void)state;
    memset(bytes, 'm', sizeof(bytes));
    for (unsigned i = 0; i < MANY; i++) {
        iovs[i] = (struct iovec){&bytes[i], 1};
        ios[i] = (struct loop_io){.op = LOOP_WRITEV,
                                  .fd = file,
                                  .iov = &iovs[i],
                                  .iov_count = 1,
                                  .file_off = i,
                                  .complete = completed,
                                  .owner = &result};
        loop_submit(&loop.base, &ios[i]);
    }
    run_until(&result.count, MANY);
    assert_int_equal(lseek(file, 0, SEEK_END), MANY);
    assert_int_equal(loop.in_flight, 0);
}

struct ticker {
    struct loop_timer timer;
    unsigned count;
    uint64_t last_ns;
};

static void tick(void *self) {
    struct ticker *ticker = self;

    ticker->count++;
    ticker->last_ns = loop_now_ns(&loop.base);
}

static void test_timers(void **state) {
    struct ticker early = {.timer = {.fn = tick, .self = &early}};
    struct ticker late = {.timer = {.fn = tick, .self = &late}};
    struct ticker never = {.timer = {.fn = tick, .self = &never}};
    uint64_t start = loop_now_ns(&loop.base);

    (void)state;
    loop_timer_arm(&loop.base, &late.timer, start + 40 * MS);
    uring_loop_run(&loop);
    loop_timer_arm(&loop.base, &early.timer, start + 10 * MS); // earlier than what is programmed
    loop_timer_arm(&loop.base, &never.timer, start + 20 * MS);
    loop_timer_cancel(&loop.base, &never.timer);
    run_until(&late.count, 1);
    assert_int_equal(early.count, 1);
    assert_int_equal(never.count, 0);
    assert_true(early.last_ns >= start + 10 * MS);
    assert_true(late.last_ns >= start + 40 * MS);
    loop_timer_arm(&loop.base, &early.timer, 1); // long past
    run_until(&early.count, 2);
    loop_timer_arm(&loop.base, &early.timer, start + SECOND * 100);
    loop_timer_arm(&loop.base, &early.timer, loop_now_ns(&loop.base) + MS); // re-armed
    run_until(&early.count, 3);
    assert_false(early.timer.armed);
}

struct poster {
    struct loop_task task;
    _Atomic unsigned posted;
    unsigned seen, runs;
};

static void run_posted(void *self) {
    struct poster *poster = self;

    poster->runs++;
    poster->seen = atomic_load(&poster->posted);
}

static void *post_many(void *argument) {
    struct poster *poster = argument;

    for (unsigned i = 0; i < MANY; i++) {
        atomic_fetch_add(&poster->posted, 1);
        loop_post(&loop.base, &poster->task);
    }
    return NULL;
}

static void test_posts(void **state) {
    struct poster poster = {.task = {.fn = run_posted, .self = &poster}};
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, post_many, &poster), 0);
    run_until(&poster.seen, MANY); // the last post is never lost
    pthread_join(thread, NULL);
    assert_true(poster.runs <= MANY);
    loop_post(&loop.base, &poster.task);
    loop_post(&loop.base, &poster.task);
    assert_true(uring_loop_ready(&loop)); // from the own thread: no system call needed to notice
    poster.runs = 0;
    uring_loop_run(&loop);
    assert_int_equal(poster.runs, 1);
}

/// What keeps KVM_RUN from entering the guest: each completion sets the flag, wherever it happens
/// (fsync completes in a kernel worker).
static void test_doorbell(void **state) {
    uint8_t flag = 0;
    struct result result = {0};
    struct loop_io io = {.op = LOOP_FSYNC, .fd = file, .complete = completed, .owner = &result};

    (void)state;
    uring_loop_attach(&loop, &flag);
    uring_loop_run(&loop);
    for (unsigned i = 0; i < 50; i++) {
        uint64_t end = loop_now_ns(&loop.base) + 10 * SECOND;

        loop_submit(&loop.base, &io);
        while (result.count == i) {
            // Only the flag (or what is not submitted yet) is looked at, as a VP's thread does.
            while (!uring_loop_ready(&loop)) {
                assert_true(loop_now_ns(&loop.base) < end);
            }
            uring_loop_run(&loop);
        }
    }
    uring_loop_attach(&loop, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_timers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_posts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_doorbell, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
