// SPDX-License-Identifier: MIT
//
// What a loop must hold against: a taken-over process that asks its ring for what seccomp forbids
// (io_uring operations are no system calls), and more completions at once than the ring has room.
#include "userspace/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY        3000u ///< far above the completion queue's 2 * URING_LOOP_ENTRIES
#define SECOND      1000000000ull
#define TAG_FOREIGN 4711u

static struct uring_loop loop;

static int set_up(void **state) {
    (void)state;
    return uring_loop_init(&loop, 0);
}

static int tear_down(void **state) {
    (void)state;
    uring_loop_free(&loop);
    return 0;
}

/// The result of one entry that the loop itself would never make.
static int foreign(struct io_uring *ring, void (*prep)(struct io_uring_sqe *sqe)) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    struct io_uring_cqe *cqe;
    int result = 0;
    bool found = false;

    assert_non_null(sqe);
    prep(sqe);
    io_uring_sqe_set_data64(sqe, TAG_FOREIGN);
    assert_true(io_uring_submit(ring) >= 0);
    while (!found) { // the doorbell's own read may come first
        assert_int_equal(io_uring_wait_cqe(ring, &cqe), 0);
        found = cqe->user_data == TAG_FOREIGN;
        result = cqe->res;
        io_uring_cqe_seen(ring, cqe);
    }
    return result;
}

static void prep_open(struct io_uring_sqe *sqe) {
    io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY, 0);
}

static void prep_socket(struct io_uring_sqe *sqe) {
    io_uring_prep_socket(sqe, AF_UNIX, SOCK_STREAM, 0, 0);
}

static void prep_unlink(struct io_uring_sqe *sqe) {
    io_uring_prep_unlinkat(sqe, AT_FDCWD, "/tmp/parapet-no-such-file", 0);
}

/// The sandbox says that the VM worker opens nothing: its rings must say so too.
static void test_only_its_own_operations(void **state) {
    struct io_uring *rings[] = {&loop.io, &loop.bell};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(foreign(rings[i], prep_open), -EACCES);
        assert_int_equal(foreign(rings[i], prep_socket), -EACCES);
        assert_int_equal(foreign(rings[i], prep_unlink), -EACCES);
    }
}

static void completed(struct loop_io *io, int64_t value) {
    assert_true(value > 0);
    (*(unsigned *)io->owner)++;
}

/// The kernel keeps what finds the completion queue full and says nothing about it.
static void test_overflow(void **state) {
    static struct loop_io ios[MANY];
    int fd = eventfd(0, EFD_CLOEXEC);
    uint64_t one = 1;
    unsigned count = 0;
    uint64_t end = loop_now_ns(&loop.base) + 10 * SECOND;

    (void)state;
    assert_true(fd >= 0);
    for (unsigned i = 0; i < MANY; i++) {
        ios[i] =
            (struct loop_io){.op = LOOP_POLL_IN, .fd = fd, .complete = completed, .owner = &count};
        loop_submit(&loop.base, &ios[i]);
    }
    while (uring_loop_ready(&loop)) {
        uring_loop_run(&loop);
    }
    assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one)); // all of them at once
    while (count < MANY) {
        assert_true(loop_now_ns(&loop.base) < end);
        if (uring_loop_ready(&loop)) { // never waits: a lost wake-up must fail, not hang
            uring_loop_run(&loop);
        } else {
            usleep(1000);
        }
    }
    assert_int_equal(loop.in_flight, 0);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_only_its_own_operations, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_overflow, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
