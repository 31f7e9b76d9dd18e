// SPDX-License-Identifier: MIT
//
// Vault and vTPM as processes (vtpm_pair.h).
#include "tests/support/vtpm_pair.h"

#include "userspace/vault.h"
#include "userspace/vmgs/vmgs_format.h"
#include "userspace/vtpm.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

int vtpm_pair_setup(void **state) {
    struct vtpm_pair *f = calloc(1, sizeof(*f));
    int fd;

    snprintf(f->path, sizeof(f->path), "/tmp/parapet-state-XXXXXX");
    fd = mkstemp(f->path);
    assert_true(fd >= 0);
    close(fd);
    f->line.fd = f->vault_fd = -1;
    f->key = 0x31;
    *state = f;
    return 0;
}

static void end(pid_t *pid) {
    int status;

    assert_int_equal(waitpid(*pid, &status, 0), *pid);
    *pid = 0;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

void vtpm_pair_stop_vtpm(struct vtpm_pair *f) {
    vtpm_line_close(&f->line);
    end(&f->vtpm);
}

void vtpm_pair_stop(struct vtpm_pair *f) {
    vtpm_pair_stop_vtpm(f);
    close(f->vault_fd);
    f->vault_fd = -1;
    end(&f->vault);
}

int vtpm_pair_teardown(void **state) {
    struct vtpm_pair *f = *state;

    if (f->vtpm > 0) {
        kill(f->vtpm, SIGKILL);
        waitpid(f->vtpm, NULL, 0);
    }
    if (f->vault > 0) {
        kill(f->vault, SIGKILL);
        waitpid(f->vault, NULL, 0);
    }
    unlink(f->path);
    free(f);
    return 0;
}

void vtpm_pair_start_vault(struct vtpm_pair *f) {
    char disk_arg[32], key_arg[32], client_arg[32];
    uint8_t key[VMGS_KEY_BYTES];
    int pair[2], pipe_fds[2];

    memset(key, f->key, sizeof(key));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(write(pipe_fds[1], key, sizeof(key)), sizeof(key));
    close(pipe_fds[1]);
    f->vault = fork();
    assert_true(f->vault >= 0);
    if (f->vault == 0) {
        char *argv[] = {"vault", disk_arg, client_arg, key_arg, NULL};

        close(pair[0]);
        snprintf(disk_arg, sizeof(disk_arg), "--disk-fd=%d", open(f->path, O_RDWR));
        snprintf(key_arg, sizeof(key_arg), "--key-fd=%d", pipe_fds[0]);
        snprintf(client_arg, sizeof(client_arg), "--client=%d:%d", pair[1], VMGS_TPM_NVRAM);
        _exit(vault_main(f->key ? 4 : 3, argv));
    }
    close(pair[1]);
    close(pipe_fds[0]);
    f->vault_fd = pair[0];
}

void vtpm_pair_start_vtpm_with(struct vtpm_pair *f, const char *extra, const char *more) {
    char socket_arg[32], state_arg[32], extra_arg[32], more_arg[32];
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    f->vtpm = fork();
    assert_true(f->vtpm >= 0);
    if (f->vtpm == 0) {
        char *argv[] = {"vtpm", socket_arg, state_arg, "--identity", extra_arg, more_arg, NULL};

        close(pair[0]);
        snprintf(socket_arg, sizeof(socket_arg), "--socket=%d", pair[1]);
        snprintf(state_arg, sizeof(state_arg), "--vault-fd=%d", f->vault_fd);
        snprintf(extra_arg, sizeof(extra_arg), "%s", extra ? extra : "");
        snprintf(more_arg, sizeof(more_arg), "%s", more ? more : "");
        _exit(vtpm_main(4 + (extra != NULL) + (more != NULL), argv));
    }
    close(pair[1]);
    vtpm_line_open(&f->line, pair[0]);
}

void vtpm_pair_start_vtpm(struct vtpm_pair *f, const char *extra) {
    vtpm_pair_start_vtpm_with(f, extra, NULL);
}

void vtpm_pair_start(struct vtpm_pair *f, const char *extra) {
    vtpm_pair_start_vault(f);
    vtpm_pair_start_vtpm(f, extra);
}
