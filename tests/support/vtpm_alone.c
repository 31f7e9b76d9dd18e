// SPDX-License-Identifier: MIT
//
// The vTPM as a process (vtpm_alone.h).
#include "tests/support/vtpm_alone.h"

#include "userspace/vtpm.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

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
    f->line.fd = -1;
    f->random = 0x9E3779B97F4A7C15;
    *state = f;
    return 0;
}

void vtpm_alone_stop(struct vtpm_alone *f) {
    int status;

    vtpm_line_close(&f->line);
    assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
    f->pid = 0;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

void vtpm_alone_kill(struct vtpm_alone *f) {
    kill(f->pid, SIGKILL);
    waitpid(f->pid, NULL, 0);
    vtpm_line_close(&f->line);
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

void vtpm_alone_start(struct vtpm_alone *f, const char *extra) {
    char socket_arg[32];
    char state_arg[128];
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
    vtpm_line_open(&f->line, pair[0]);
}
