// SPDX-License-Identifier: MIT
//
// The test's end of a vTPM process's socket (vtpm_line.h).
#include "tests/support/vtpm_line.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define TIMEOUT_MS 120000

void vtpm_line_open(struct vtpm_line *line, int fd) {
    struct vtpm_message ready;

    line->fd = fd;
    tpm_receive(line, &ready);
    assert_int_equal(ready.op, VTPM_READY);
    line->ready_status = ready.status;
}

void vtpm_line_close(struct vtpm_line *line) {
    close(line->fd);
    line->fd = -1;
}

void tpm_send(struct vtpm_line *line, const struct tpm_command *c) {
    uint8_t out[VTPM_MESSAGE_MAX_BYTES];
    size_t n = vtpm_message_format(out, &(struct vtpm_message){.op = VTPM_COMMAND,
                                                               .sequence = ++line->sequence,
                                                               .payload = c->bytes,
                                                               .payload_bytes = c->size_bytes});

    assert_int_equal(send(line->fd, out, n, MSG_NOSIGNAL), n);
}

void tpm_send_plain(struct vtpm_line *line, enum vtpm_op op, uint32_t sequence) {
    uint8_t out[VTPM_MESSAGE_MAX_BYTES];
    size_t n = vtpm_message_format(out, &(struct vtpm_message){.op = op, .sequence = sequence});

    assert_int_equal(send(line->fd, out, n, MSG_NOSIGNAL), n);
}

void tpm_receive(struct vtpm_line *line, struct vtpm_message *m) {
    struct pollfd p = {.fd = line->fd, .events = POLLIN};
    ssize_t n;

    assert_int_equal(poll(&p, 1, TIMEOUT_MS), 1);
    n = recv(line->fd, line->response, sizeof(line->response), 0);
    assert_true(n > 0);
    assert_int_equal(vtpm_message_parse(line->response, (size_t)n, VTPM_TO_CLIENT, m), 0);
    line->response_bytes = m->payload_bytes;
}

uint32_t tpm_run(struct vtpm_line *line, struct tpm_command c) {
    struct vtpm_message m;

    tpm_send(line, &c);
    tpm_receive(line, &m);
    assert_int_equal(m.op, VTPM_COMMAND_DONE);
    assert_int_equal(m.sequence, line->sequence);
    assert_int_equal(m.status, 0);
    return tpm_rc(tpm_response(line), line->response_bytes);
}

const uint8_t *tpm_response(const struct vtpm_line *line) {
    return line->response + VTPM_HEADER_BYTES;
}

void tpm_power_cycle(struct vtpm_line *line) {
    struct vtpm_message m;

    tpm_send_plain(line, VTPM_POWER_CYCLE, ++line->sequence);
    tpm_receive(line, &m);
    assert_int_equal(m.op, VTPM_POWER_CYCLE_DONE);
    assert_int_equal(m.sequence, line->sequence);
    assert_int_equal(m.status, 0);
}
