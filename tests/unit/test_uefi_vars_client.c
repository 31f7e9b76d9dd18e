// SPDX-License-Identifier: MIT
//
// The VM worker's client of the variable process, against a process that lies or hangs: the test
// itself, at the other end of the socket.

#include "tests/support/uefi_client.h"
#include "userspace/uefi_vars_client.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct uefi_vars_client link;
    struct uefi_client client;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));

    uefi_client_init_backend(&f->client, &f->link.backend);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    free(*state);
    return 0;
}

/// A process of the test's: what it sends stands in the socket already.
static int fake_process(struct fixture *f, const struct uefi_vars_packet *packets, unsigned count) {
    static uint8_t out[UEFI_VARS_PACKET_MAX_BYTES];
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    for (unsigned i = 0; i < count; i++) {
        size_t n = uefi_vars_packet_format(out, &packets[i]);

        assert_true(send(pair[1], out, n, 0) == (ssize_t)n);
    }
    uefi_vars_client_init(&f->link, pair[0]);
    return pair[1];
}

static void a_process_that_lies(void **state) {
    struct fixture *f = *state;
    uint8_t payload[100] = {0};
    const struct uefi_vars_packet lies[] = {
        {.op = UEFI_VARS_CALL_DONE, .sequence = 2, .payload = payload, .payload_bytes = 40},
        {.op = UEFI_VARS_CALL_DONE, .sequence = 1, .payload = payload, .payload_bytes = 39},
        {.op = UEFI_VARS_CALL_DONE, .sequence = 1, .payload = payload, .payload_bytes = 41},
        {.op = UEFI_VARS_CALL_DONE, .sequence = 1},
        {.op = UEFI_VARS_RESET_DONE, .sequence = 1},
        {.op = UEFI_VARS_CALL, .sequence = 1, .room = 40, .payload = payload, .payload_bytes = 40},
        {.op = UEFI_VARS_CALL_DONE, .sequence = 1, .status = 5000},
    };

    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        int other = fake_process(f, &lies[i], 1);

        uefi_begin(&f->client, &uefi_test_variable_service, 16);
        assert_int_equal(uefi_call(&f->client, 5, 0), UEFI_NO_ANSWER);
        assert_int_equal(f->client.transport, -EIO);
        assert_true(uefi_vars_client_is_dead(&f->link));
        uefi_vars_client_close(&f->link);
        close(other);
    }
}

static void ready_comes_once(void **state) {
    struct fixture *f = *state;
    const struct uefi_vars_packet packets[] = {
        {.op = UEFI_VARS_READY, .status = EIO},
        {.op = UEFI_VARS_RESET_DONE, .sequence = 1, .status = ENOMEM},
        {.op = UEFI_VARS_READY},
    };
    int other = fake_process(f, packets, 3);

    assert_int_equal(f->link.backend.reset(&f->link.backend), -ENOMEM);
    assert_int_equal(f->link.backend.reset(&f->link.backend), -EIO);
    assert_true(uefi_vars_client_is_dead(&f->link));
    uefi_vars_client_close(&f->link);
    close(other);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signal_number) {
    (void)signal_number;
    alarms++;
}

/// The VP is kicked all the time, more often than the limit ends.
static void a_process_that_hangs_under_signals(void **state) {
    struct fixture *f = *state;
    int other = fake_process(f, NULL, 0);
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval every = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};

    f->link.call_max_ms = 300;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    assert_int_equal(f->link.backend.reset(&f->link.backend), -EIO);
    setitimer(ITIMER_REAL, &never, NULL);
    assert_true(alarms > 2);
    assert_true(uefi_vars_client_is_dead(&f->link));
    uefi_vars_client_close(&f->link);
    close(other);
}

static void a_process_that_hangs(void **state) {
    struct fixture *f = *state;
    int other = fake_process(f, NULL, 0);
    time_t before = time(NULL);
    int again = dup(f->link.fd);

    f->link.call_max_ms = 200;
    f->link.fd = -1;
    uefi_vars_client_attach(&f->link, again); // the limit holds from here on
    assert_int_equal(f->link.backend.reset(&f->link.backend), -EIO);
    assert_true(time(NULL) - before < 15);
    assert_true(uefi_vars_client_is_dead(&f->link));
    assert_int_equal(f->link.backend.reset(&f->link.backend), -EIO); // at once
    uefi_vars_client_close(&f->link);
    close(other);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(a_process_that_lies),
        T(ready_comes_once),
        T(a_process_that_hangs),
        T(a_process_that_hangs_under_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
