// SPDX-License-Identifier: MIT
//
// A command whose answer comes while the VP still waits in submit(): a thread plays the process on
// a real socket; the loop is a fake one that must not be needed. And the answers that come too
// late, are wrong, or never come.

#include "tests/support/fake_log.h"
#include "tests/support/fake_loop.h"
#include "userspace/vtpm_client.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct fake_loop fl;
    struct vtpm_client client;
    struct tpm_backend *tpm;
    uint8_t buffer[TPM_BUFFER_BYTES];
    int process_fd;
    unsigned done_count;
    int64_t result;
    // what the process does with the next command
    pthread_t thread;
    struct vtpm_message answer;
    struct vtpm_message seen;
    uint8_t packet[VTPM_MESSAGE_MAX_BYTES];
};

static const uint8_t tpm_response[12] = {0x80, 1, 0, 0, 0, 12, 0, 0, 0, 0, 5, 6};

static void feed(struct fixture *f, struct vtpm_message m) {
    uint8_t out[VTPM_MESSAGE_MAX_BYTES];
    size_t n = vtpm_message_format(out, &m);

    fake_loop_feed(&f->fl, out, n);
    assert_true(fake_loop_run(&f->fl));
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    f->process_fd = ends[0];
    fake_loop_init(&f->fl, NULL, 0);
    vtpm_client_init(&f->client, &f->fl.loop, ends[1]);
    f->tpm = &f->client.backend;
    assert_true(fake_loop_run(&f->fl));
    feed(f, (struct vtpm_message){.op = VTPM_READY});
    assert_null(f->fl.ios); // nothing is awaited
    *state = f;
    return 0;
}

static void closed(void *ctx) {
    ((struct fixture *)ctx)->done_count = 1000;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    vtpm_client_close(&f->client, closed, f);
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(f->done_count, 1000);
    assert_null(f->fl.ios);
    assert_null(f->fl.timers);
    if (f->process_fd >= 0) {
        close(f->process_fd);
    }
    free(f);
    return 0;
}

static void command_done(void *owner, int64_t result) {
    struct fixture *f = owner;

    f->done_count++;
    f->result = result;
}

static void *process(void *ctx) {
    struct fixture *f = ctx;
    uint8_t out[VTPM_MESSAGE_MAX_BYTES];
    ssize_t n = recv(f->process_fd, f->packet, sizeof(f->packet), 0);

    if (n > 0 && vtpm_message_parse(f->packet, (size_t)n, VTPM_TO_PROCESS, &f->seen) == 0) {
        f->answer.sequence += f->seen.sequence;
        n = (ssize_t)vtpm_message_format(out, &f->answer);
        n = send(f->process_fd, out, (size_t)n, MSG_NOSIGNAL);
    }
    return NULL;
}

/// Submits while the process gives this answer (its sequence is added to the command's).
static int submit(struct fixture *f, const struct vtpm_message *answer) {
    int result;

    memset(f->buffer, 0x33, 20);
    if (answer) {
        f->answer = *answer;
        assert_int_equal(pthread_create(&f->thread, NULL, process, f), 0);
    }
    result = f->tpm->ops->submit(f->tpm, 1, f->buffer, 20, command_done, f);
    if (answer) {
        pthread_join(f->thread, NULL);
    }
    return result;
}

static const struct vtpm_message good = {
    .op = VTPM_COMMAND_DONE, .payload = tpm_response, .payload_bytes = sizeof(tpm_response)};

/// The thread may not get a processor in time: then the answer waits in the socket, and the test's
/// loop, which has no socket, is given it.
static int64_t submit_and_finish(struct fixture *f, const struct vtpm_message *answer) {
    unsigned before = f->done_count;
    int64_t result = submit(f, answer);

    if (result > 0) {
        assert_int_equal(f->done_count, before);
        return result;
    }
    assert_int_equal(result, 0);
    assert_true(fake_loop_run(&f->fl));
    if (f->done_count == before) {
        uint8_t late[VTPM_MESSAGE_MAX_BYTES];
        ssize_t n = recv(f->client.fd, late, sizeof(late), 0);

        assert_true(n > 0);
        fake_loop_feed(&f->fl, late, (size_t)n);
        assert_true(fake_loop_run(&f->fl));
    }
    assert_int_equal(f->done_count, before + 1);
    return f->result;
}

static void test_answer_at_once(void **state) {
    struct fixture *f = *state;
    unsigned direct = 0;

    for (unsigned i = 0; i < 200; i++) {
        unsigned before = f->done_count;

        assert_int_equal(submit_and_finish(f, &good), sizeof(tpm_response));
        assert_memory_equal(f->buffer, tpm_response, sizeof(tpm_response));
        assert_int_equal(f->seen.op, VTPM_COMMAND);
        assert_int_equal(f->seen.locality, 1);
        assert_int_equal(f->seen.payload_bytes, 20);
        direct += f->done_count == before;
    }
    assert_true(direct > 0); // on any machine some of them are in time
    assert_false(vtpm_client_is_dead(&f->client));
}

static void test_late_answer(void **state) {
    struct fixture *f = *state;

    assert_int_equal(submit(f, NULL), 0);
    assert_int_equal(f->tpm->ops->submit(f->tpm, 1, f->buffer, 20, command_done, f), -EBUSY);
    assert_true(fake_loop_run(&f->fl));
    assert_non_null(f->fl.ios); // the loop reads now
    assert_int_equal(f->fl.output_bytes, 0);
    feed(f, (struct vtpm_message){.op = VTPM_COMMAND_DONE,
                                  .sequence = f->client.last_sequence,
                                  .payload = tpm_response,
                                  .payload_bytes = sizeof(tpm_response)});
    assert_int_equal(f->done_count, 1);
    assert_int_equal(f->result, sizeof(tpm_response));
    assert_null(f->fl.ios);
    // One that never comes: the clock runs although submit() had no loop.
    assert_int_equal(submit(f, NULL), 0);
    assert_true(fake_loop_run(&f->fl));
    assert_true(fake_loop_advance(&f->fl, VTPM_COMMAND_MAX_NS));
    assert_int_equal(f->done_count, 2);
    assert_int_equal(f->result, -EIO);
    assert_true(vtpm_client_is_dead(&f->client));
}

static void test_cancel_after_waiting(void **state) {
    struct fixture *f = *state;
    struct vtpm_message m;

    assert_int_equal(submit(f, NULL), 0);
    f->tpm->ops->cancel(f->tpm);
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(vtpm_message_parse(f->fl.output, f->fl.output_bytes, VTPM_TO_PROCESS, &m), 0);
    assert_int_equal(m.op, VTPM_CANCEL);
    assert_int_equal(m.sequence, f->client.last_sequence);
}

/// While the loop speaks and listens on the socket nobody else does: two readers would take each
/// other's answers.
static void test_not_beside_the_loop(void **state) {
    struct fixture *f = *state;
    uint8_t byte;

    assert_int_equal(f->tpm->ops->power_cycle(f->tpm, command_done, f), 0);
    assert_true(fake_loop_run(&f->fl));
    assert_non_null(f->fl.ios);
    assert_int_equal(submit(f, NULL), 0);
    assert_int_equal(recv(f->process_fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    // Nor before the process has said that it is there.
    vtpm_client_attach(&f->client, dup(f->client.fd));
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(submit(f, NULL), 0);
    assert_int_equal(recv(f->process_fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

static void test_wrong_answers(void **state) {
    static const struct vtpm_message wrong[] = {
        {.op = VTPM_COMMAND_DONE, .sequence = 1, .payload = tpm_response, .payload_bytes = 12},
        {.op = VTPM_POWER_CYCLE_DONE},
        {.op = VTPM_READY},
        {.op = VTPM_COMMAND, .payload = tpm_response, .payload_bytes = 12},
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct fixture *f;

        setup(state);
        f = *state;
        assert_int_equal(submit_and_finish(f, &wrong[i]), -EIO);
        assert_true(vtpm_client_is_dead(&f->client));
        assert_int_equal(submit(f, NULL), -EIO);
        teardown(state);
    }
}

static void test_refused_by_the_process(void **state) {
    struct fixture *f = *state;
    struct vtpm_message busy = {.op = VTPM_COMMAND_DONE, .status = EBUSY};

    assert_int_equal(submit_and_finish(f, &busy), -EBUSY);
    assert_int_equal(submit_and_finish(f, &good), sizeof(tpm_response));
}

/// Nothing is read while nothing is awaited; who asks hears of the process's end all the same.
static void test_end_while_idle(void **state) {
    struct fixture *f = *state;

    assert_false(vtpm_client_is_dead(&f->client));
    close(f->process_fd);
    f->process_fd = -1;
    assert_true(vtpm_client_is_dead(&f->client));
    assert_int_equal(submit(f, NULL), -EIO);
}

/// How the process ends does not matter: with words that nobody asked for before its end, with
/// unread words of ours (the socket says ECONNRESET then), or while the loop waits for an answer.
static void test_ends_that_are_seen(void **state) {
    for (unsigned i = 0; i < 4; i++) {
        struct fixture *f;

        setup(state);
        f = *state;
        if (i == 0 || i == 1) {
            assert_int_equal(send(f->process_fd, "rubbish", 7, 0), 7);
        } else if (i == 2) {
            assert_int_equal(send(f->client.fd, "unread", 6, 0), 6);
        } else {
            assert_int_equal(submit(f, NULL), 0);
            assert_true(fake_loop_run(&f->fl)); // which reads now, and has not heard yet
            assert_false(vtpm_client_is_dead(&f->client));
        }
        if (i != 1) { // rubbish is enough
            close(f->process_fd);
            f->process_fd = -1;
        }
        assert_true(vtpm_client_is_dead(&f->client));
        assert_int_equal(f->tpm->ops->power_cycle(f->tpm, command_done, f), -EIO);
        teardown(state);
    }
}

/// An answer that the loop has not fetched yet is no rubbish.
static void test_life_that_is_seen(void **state) {
    struct fixture *f = *state;
    uint8_t out[VTPM_MESSAGE_MAX_BYTES];
    struct vtpm_message answer = good;
    size_t n;

    assert_int_equal(submit(f, NULL), 0);
    answer.sequence = f->client.last_sequence;
    n = vtpm_message_format(out, &answer);
    assert_int_equal(send(f->process_fd, out, n, 0), n);
    assert_false(vtpm_client_is_dead(&f->client)); // before the loop reads
    assert_true(fake_loop_run(&f->fl));
    assert_false(vtpm_client_is_dead(&f->client)); // and while it does
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answer_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_late_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel_after_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_beside_the_loop, setup, teardown),
        cmocka_unit_test(test_wrong_answers),
        cmocka_unit_test_setup_teardown(test_refused_by_the_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_while_idle, setup, teardown),
        cmocka_unit_test(test_ends_that_are_seen),
        cmocka_unit_test_setup_teardown(test_life_that_is_seen, setup, teardown),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
