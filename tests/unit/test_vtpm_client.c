// SPDX-License-Identifier: MIT
//
// The VM worker's end of the vTPM on the fake loop: the test plays the process, well-behaved,
// hostile, slow, dead and replaced.

#include "igvm/base/bytes.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_loop.h"
#include "userspace/vtpm_client.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct fake_loop fl;
    struct vtpm_client client;
    struct tpm_backend *tpm;
    uint8_t buffer[TPM_BUFFER_BYTES];
    unsigned command_done_count, power_done_count, closed_count;
    int64_t command_result, power_result;
    unsigned order[8], order_count; ///< 1: command, 2: power cycle
    size_t seen;                    ///< bytes of output that the test has read
};

static int some_fd(void) {
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));

    fake_loop_init(&f->fl, NULL, 0);
    vtpm_client_init(&f->client, &f->fl.loop, some_fd());
    f->tpm = &f->client.backend;
    assert_true(fake_loop_run(&f->fl));
    *state = f;
    return 0;
}

static void closed(void *ctx) {
    ((struct fixture *)ctx)->closed_count++;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    vtpm_client_close(&f->client, closed, f);
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(f->closed_count, 1);
    assert_null(f->fl.ios);
    assert_null(f->fl.timers);
    free(f);
    return 0;
}

static void command_done(void *owner, int64_t result) {
    struct fixture *f = owner;

    f->command_done_count++;
    f->command_result = result;
    f->order[f->order_count++ % 8] = 1;
}

static void power_done(void *owner, int64_t result) {
    struct fixture *f = owner;

    f->power_done_count++;
    f->power_result = result;
    f->order[f->order_count++ % 8] = 2;
}

static int submit(struct fixture *f) {
    for (unsigned i = 0; i < 20; i++) {
        f->buffer[i] = (uint8_t)(0x30 + i);
    }
    return f->tpm->ops->submit(f->tpm, 2, f->buffer, 20, command_done, f);
}

static int power(struct fixture *f) {
    return f->tpm->ops->power_cycle(f->tpm, power_done, f);
}

/// The next message that the client has sent; false when there is none.
static bool sent(struct fixture *f, struct vtpm_message *m) {
    size_t left;
    size_t n;

    assert_true(fake_loop_run(&f->fl));
    left = f->fl.output_bytes - f->seen;
    if (left == 0) {
        return false;
    }
    assert_true(left >= VTPM_HEADER_BYTES);
    n = VTPM_HEADER_BYTES + load_le32(f->fl.output + f->seen + 16);
    assert_true(n <= left);
    assert_int_equal(vtpm_message_parse(f->fl.output + f->seen, n, VTPM_TO_PROCESS, m), 0);
    f->seen += n;
    return true;
}

static uint32_t expect(struct fixture *f, enum vtpm_op op) {
    struct vtpm_message m;

    assert_true(sent(f, &m));
    assert_int_equal(m.op, op);
    return m.sequence;
}

static void feed(struct fixture *f, struct vtpm_message m) {
    uint8_t out[VTPM_MESSAGE_MAX_BYTES];
    size_t n = vtpm_message_format(out, &m);

    fake_loop_feed(&f->fl, out, n);
    assert_true(fake_loop_run(&f->fl));
}

static const uint8_t tpm_response[12] = {0x80, 1, 0, 0, 0, 12, 0, 0, 0, 0, 5, 6};

static void feed_response(struct fixture *f, uint32_t sequence) {
    feed(f, (struct vtpm_message){.op = VTPM_COMMAND_DONE,
                                  .sequence = sequence,
                                  .payload = tpm_response,
                                  .payload_bytes = sizeof(tpm_response)});
}

static void test_command(void **state) {
    struct fixture *f = *state;
    struct vtpm_message m;

    feed(f, (struct vtpm_message){.op = VTPM_READY});
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(submit(f), 0);
        assert_int_equal(submit(f), -EBUSY);
        assert_int_equal(f->command_done_count, i - 1); // nothing happens inside submit
        assert_true(sent(f, &m));
        assert_int_equal(m.op, VTPM_COMMAND);
        assert_int_equal(m.locality, 2);
        assert_int_equal(m.payload_bytes, 20);
        assert_memory_equal(m.payload, f->buffer, 20);
        feed_response(f, m.sequence);
        assert_int_equal(f->command_done_count, i);
        assert_int_equal(f->command_result, 12);
        assert_memory_equal(f->buffer, tpm_response, 12);
    }
    assert_int_equal(f->tpm->ops->submit(f->tpm, 0, f->buffer, 0, command_done, f), -EINVAL);
    assert_int_equal(f->tpm->ops->submit(f->tpm, 0, f->buffer, 4097, command_done, f), -EINVAL);
    assert_int_equal(f->tpm->ops->submit(f->tpm, 5, f->buffer, 10, command_done, f), -EINVAL);
    assert_int_equal(submit(f), 0);
    feed(f, (struct vtpm_message){
                .op = VTPM_COMMAND_DONE, .sequence = expect(f, VTPM_COMMAND), .status = EBUSY});
    assert_int_equal(f->command_result, -EBUSY);
    assert_false(vtpm_client_is_dead(&f->client));
}

static void test_cancel(void **state) {
    struct fixture *f = *state;
    struct vtpm_message m;
    uint32_t sequence;

    f->tpm->ops->cancel(f->tpm);
    assert_false(sent(f, &m));
    submit(f);
    f->tpm->ops->cancel(f->tpm); // before the command was written: goes behind it
    f->tpm->ops->cancel(f->tpm);
    sequence = expect(f, VTPM_COMMAND);
    assert_int_equal(expect(f, VTPM_CANCEL), sequence);
    assert_false(sent(f, &m));
    feed_response(f, sequence);
    assert_int_equal(f->command_done_count, 1);
    f->tpm->ops->cancel(f->tpm);
    assert_false(sent(f, &m));
}

static void test_power_cycle(void **state) {
    struct fixture *f = *state;
    uint32_t command, cycle;

    submit(f);
    f->tpm->ops->cancel(f->tpm);
    assert_int_equal(power(f), 0);
    assert_int_equal(power(f), -EBUSY);
    command = expect(f, VTPM_COMMAND);
    assert_int_equal(expect(f, VTPM_CANCEL), command);
    cycle = expect(f, VTPM_POWER_CYCLE);
    feed_response(f, command);
    feed(f, (struct vtpm_message){.op = VTPM_POWER_CYCLE_DONE, .sequence = cycle});
    assert_int_equal(f->order[0], 1);
    assert_int_equal(f->order[1], 2);
    assert_int_equal(f->power_result, 0);
    // The answers in the wrong order reach the owner in the right one.
    submit(f);
    power(f);
    command = expect(f, VTPM_COMMAND);
    cycle = expect(f, VTPM_POWER_CYCLE);
    feed(f, (struct vtpm_message){.op = VTPM_POWER_CYCLE_DONE, .sequence = cycle});
    assert_int_equal(f->power_done_count, 1);
    feed_response(f, command);
    assert_int_equal(f->order[2], 1);
    assert_int_equal(f->order[3], 2);
    // No answer: given up.
    power(f);
    expect(f, VTPM_POWER_CYCLE);
    assert_true(fake_loop_advance(&f->fl, VTPM_POWER_CYCLE_MAX_NS - 1));
    assert_int_equal(f->power_done_count, 2);
    assert_true(fake_loop_advance(&f->fl, 1));
    assert_int_equal(f->power_done_count, 3);
    assert_int_equal(f->power_result, -EIO);
    assert_true(vtpm_client_is_dead(&f->client));
}

/// A process that takes a command and never answers: whoever waits for its end (a save) would wait
/// with the guest's processors stopped.
static void test_command_without_end(void **state) {
    struct fixture *f = *state;

    assert_int_equal(submit(f), 0);
    feed_response(f, expect(f, VTPM_COMMAND)); // an answer in time: the clock stops
    assert_true(fake_loop_advance(&f->fl, 2 * VTPM_COMMAND_MAX_NS));
    assert_false(vtpm_client_is_dead(&f->client));
    assert_int_equal(submit(f), 0);
    expect(f, VTPM_COMMAND);
    assert_true(fake_loop_advance(&f->fl, VTPM_COMMAND_MAX_NS - 1));
    assert_int_equal(f->command_done_count, 1);
    assert_true(fake_loop_advance(&f->fl, 1));
    assert_int_equal(f->command_done_count, 2);
    assert_int_equal(f->command_result, -EIO);
    assert_true(vtpm_client_is_dead(&f->client));
}

static void assert_dead(struct fixture *f) {
    assert_true(vtpm_client_is_dead(&f->client));
    assert_int_equal(submit(f), -EIO);
    assert_int_equal(power(f), -EIO);
    f->tpm->ops->cancel(f->tpm);
    assert_true(fake_loop_run(&f->fl));
    assert_null(f->fl.ios); // nothing is under way on a dead socket
}

static void test_unasked_answers(void **state) {
    static const struct vtpm_message unasked[] = {
        {.op = VTPM_COMMAND_DONE,
         .sequence = 1,
         .payload = tpm_response,
         .payload_bytes = sizeof(tpm_response)},
        {.op = VTPM_COMMAND_DONE, .sequence = 3, .status = EIO},
        {.op = VTPM_POWER_CYCLE_DONE, .sequence = 2},
        {.op = VTPM_READY}, // the second
        {.op = VTPM_COMMAND, .sequence = 1, .payload = tpm_response, .payload_bytes = 12},
        {.op = VTPM_CANCEL, .sequence = 1},
    };

    for (size_t i = 0; i < sizeof(unasked) / sizeof(unasked[0]); i++) {
        struct fixture *f;

        setup(state);
        f = *state;
        feed(f, (struct vtpm_message){.op = VTPM_READY});
        submit(f);
        feed_response(f, expect(f, VTPM_COMMAND)); // sequence 1 is used up
        assert_int_equal(submit(f), 0);
        expect(f, VTPM_COMMAND);
        feed(f, unasked[i]);
        assert_int_equal(f->command_done_count, 2);
        assert_int_equal(f->command_result, -EIO);
        assert_dead(f);
        teardown(state);
    }
}

/// Every bit of a good answer's header flipped: dead or unharmed, never more than 4096 bytes
/// written, the owner always called back.
static void test_flipped_headers(void **state) {
    for (unsigned bit = 0; bit < VTPM_HEADER_BYTES * 8; bit++) {
        uint8_t out[VTPM_MESSAGE_MAX_BYTES];
        struct fixture *f;
        size_t n;

        setup(state);
        f = *state;
        submit(f);
        n = vtpm_message_format(out, &(struct vtpm_message){.op = VTPM_COMMAND_DONE,
                                                            .sequence = expect(f, VTPM_COMMAND),
                                                            .payload = tpm_response,
                                                            .payload_bytes = 12});
        out[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        fake_loop_feed(&f->fl, out, n);
        assert_true(fake_loop_run(&f->fl));
        assert_int_equal(f->command_done_count, 1);
        assert_int_equal(f->command_result, -EIO);
        assert_dead(f);
        teardown(state);
    }
}

static void test_sizes(void **state) {
    for (unsigned size = 1; size <= VTPM_MESSAGE_MAX_BYTES + 1; size += size < 40 ? 1 : 997) {
        static uint8_t bytes[VTPM_MESSAGE_MAX_BYTES + 1];
        struct fixture *f;

        setup(state);
        f = *state;
        submit(f);
        memset(bytes, 0, sizeof(bytes));
        vtpm_message_format(bytes, &(struct vtpm_message){.op = VTPM_COMMAND_DONE,
                                                          .sequence = expect(f, VTPM_COMMAND)});
        store_le32(bytes + 16, 4097);
        fake_loop_feed(&f->fl, bytes, size);
        assert_true(fake_loop_run(&f->fl));
        assert_int_equal(f->command_result, -EIO);
        assert_dead(f);
        teardown(state);
    }
}

static void test_end_and_errors(void **state) {
    for (unsigned i = 0; i < 5; i++) {
        struct fixture *f;

        setup(state);
        f = *state;
        submit(f);
        power(f);
        if (i == 0) {
            f->fl.input_closed = true;
        } else if (i == 1) {
            fake_loop_complete_with(&f->fl, &f->client.read_io, -ECONNRESET);
        } else if (i == 2) {
            fake_loop_script(&f->fl, 0, -EPIPE); // the write
        } else if (i == 3) {
            fake_loop_script(&f->fl, 0, 10); // half a message
        } else {
            assert_true(fake_loop_run(&f->fl));
            vtpm_client_attach(&f->client, -1); // the supervisor saw it die first
        }
        assert_true(fake_loop_run(&f->fl));
        assert_int_equal(f->command_done_count, 1);
        assert_int_equal(f->power_done_count, 1);
        assert_int_equal(f->command_result, -EIO);
        assert_int_equal(f->power_result, -EIO);
        assert_dead(f);
        teardown(state);
    }
}

static void test_attach(void **state) {
    struct fixture *f = *state;
    uint32_t sequence;

    submit(f);
    expect(f, VTPM_COMMAND);
    vtpm_client_attach(&f->client, some_fd()); // under way: ends with -EIO
    assert_int_equal(power(f), 0);             // for the new one already
    sequence = expect(f, VTPM_POWER_CYCLE);
    assert_int_equal(f->command_done_count, 1);
    assert_int_equal(f->command_result, -EIO);
    assert_int_equal(f->power_done_count, 0);
    feed(f, (struct vtpm_message){.op = VTPM_READY, .status = EBADMSG}); // failure mode: alive
    feed(f, (struct vtpm_message){.op = VTPM_POWER_CYCLE_DONE, .sequence = sequence});
    assert_int_equal(f->power_result, 0);
    submit(f);
    feed_response(f, expect(f, VTPM_COMMAND));
    assert_int_equal(f->command_result, 12);
    // Two in a row: the first never comes to life.
    vtpm_client_attach(&f->client, some_fd());
    vtpm_client_attach(&f->client, some_fd());
    submit(f);
    feed_response(f, expect(f, VTPM_COMMAND));
    assert_int_equal(f->command_result, 12);
    // One that never comes to life and has no successor.
    vtpm_client_attach(&f->client, some_fd());
    assert_int_equal(power(f), 0);
    vtpm_client_attach(&f->client, -1);
    assert_true(fake_loop_run(&f->fl));
    assert_int_equal(f->power_done_count, 2);
    assert_int_equal(f->power_result, -EIO);
    assert_dead(f);
    vtpm_client_attach(&f->client, some_fd());
    // Close with everything under way.
    submit(f);
    power(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_command, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_power_cycle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_command_without_end, setup, teardown),
        cmocka_unit_test(test_unasked_answers),
        cmocka_unit_test(test_flipped_headers),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_end_and_errors),
        cmocka_unit_test_setup_teardown(test_attach, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
