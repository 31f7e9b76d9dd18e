// SPDX-License-Identifier: MIT
//
// The vTPM as a process (vtpm_alone.h).
#include "tests/support/vtpm_alone.h"

#include "userspace/vtpm.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TIMEOUT_MS 60000

uint64_t vtpm_alone_random(struct vtpm_alone *f) {
    f->random ^= f->random << 13;
    f->random ^= f->random >> 7;
    f->random ^= f->random << 17;
    return f->random;
}

int vtpm_alone_setup(void **state) {
    struct vtpm_alone *f = calloc(1, sizeof(*f));

    snprintf(f->dir, sizeof(f->dir), "/tmp/parapet-vtpm-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->state, sizeof(f->state), "%s/state", f->dir);
    f->fd = -1;
    f->random = 0x9E3779B97F4A7C15;
    *state = f;
    return 0;
}

void vtpm_alone_stop(struct vtpm_alone *f) {
    int status;

    close(f->fd);
    f->fd = -1;
    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    f->pid = 0;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

void vtpm_alone_kill(struct vtpm_alone *f) {
    kill(f->pid, SIGKILL);
    waitpid(f->pid, NULL, 0);
    close(f->fd);
    f->fd = -1;
    f->pid = 0;
}

int vtpm_alone_teardown(void **state) {
    struct vtpm_alone *f = *state;

    if (f->pid > 0) {
        vtpm_alone_kill(f);
    }
    unlink(f->state);
    rmdir(f->dir);
    free(f);
    return 0;
}

void vtpm_alone_receive(struct vtpm_alone *f, struct vtpm_message *m) {
    struct pollfd p = {.fd = f->fd, .events = POLLIN};
    ssize_t n;

    assert_int_equal(poll(&p, 1, TIMEOUT_MS), 1);
    n = recv(f->fd, f->response, sizeof(f->response), 0);
    assert_true(n > 0);
    assert_int_equal(vtpm_message_parse(f->response, (size_t)n, VTPM_TO_CLIENT, m), 0);
    f->response_bytes = m->payload_bytes;
}

void vtpm_alone_start(struct vtpm_alone *f, const char *extra) {
    char socket_arg[32];
    char state_arg[128];
    struct vtpm_message ready;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    f->pid = fork();
    assert_true(f->pid >= 0);
    if (f->pid == 0) {
        char *argv[] = {"vtpm", socket_arg, state_arg, (char *)(uintptr_t)extra, NULL};

        close(pair[0]);
        snprintf(socket_arg, sizeof(socket_arg), "--socket=%d", pair[1]);
        snprintf(state_arg, sizeof(state_arg), "--state=%s", f->state);
        _exit(vtpm_main(extra ? 4 : 3, argv));
    }
    close(pair[1]);
    f->fd = pair[0];
    vtpm_alone_receive(f, &ready);
    assert_int_equal(ready.op, VTPM_READY);
    f->ready_status = ready.status;
}

void vtpm_alone_send(struct vtpm_alone *f, const struct tpm_command *c) {
    uint8_t out[VTPM_MESSAGE_MAX_BYTES];
    size_t n = vtpm_message_format(out, &(struct vtpm_message){.op = VTPM_COMMAND,
                                                               .sequence = ++f->sequence,
                                                               .payload = c->bytes,
                                                               .payload_bytes = c->size_bytes});

    assert_int_equal(send(f->fd, out, n, MSG_NOSIGNAL), n);
}

void vtpm_alone_send_plain(struct vtpm_alone *f, enum vtpm_op op, uint32_t sequence) {
    uint8_t out[VTPM_MESSAGE_MAX_BYTES];
    size_t n = vtpm_message_format(out, &(struct vtpm_message){.op = op, .sequence = sequence});

    assert_int_equal(send(f->fd, out, n, MSG_NOSIGNAL), n);
}

const uint8_t *vtpm_alone_response(const struct vtpm_alone *f) {
    return f->response + VTPM_HEADER_BYTES;
}

uint32_t vtpm_alone_run(struct vtpm_alone *f, struct tpm_command c) {
    struct vtpm_message m;

    vtpm_alone_send(f, &c);
    vtpm_alone_receive(f, &m);
    assert_int_equal(m.op, VTPM_COMMAND_DONE);
    assert_int_equal(m.sequence, f->sequence);
    assert_int_equal(m.status, 0);
    return tpm_rc(vtpm_alone_response(f), f->response_bytes);
}

void vtpm_alone_power_cycle(struct vtpm_alone *f) {
    struct vtpm_message m;

    vtpm_alone_send_plain(f, VTPM_POWER_CYCLE, ++f->sequence);
    vtpm_alone_receive(f, &m);
    assert_int_equal(m.op, VTPM_POWER_CYCLE_DONE);
    assert_int_equal(m.sequence, f->sequence);
    assert_int_equal(m.status, 0);
}
