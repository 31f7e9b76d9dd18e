// SPDX-License-Identifier: MIT
//
// The whole way of a TPM command: guest registers, CRB device, client on a real io_uring loop,
// the confined vTPM process with libtpms, and back; and what the guest sees when the process dies.

#include "devices/tpm_crb.h"
#include "igvm/base/bytes.h"
#include "tests/support/fake_machine.h"
#include "tests/support/tpm_commands.h"
#include "userspace/loop.h"
#include "userspace/vtpm.h"
#include "userspace/vtpm_client.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CTRL_REQ   (TPM_CRB_GPA + 0x40)
#define CTRL_START (TPM_CRB_GPA + 0x4C)
#define DATA       (TPM_CRB_GPA + TPM_CRB_DATA_OFF)

struct fixture {
    struct fake_machine *m;
    struct uring_loop loop;
    struct vtpm_client client;
    struct tpm_crb crb;
    char path[64];
    pid_t pid;
    unsigned done_count;
};

static int spawn(struct fixture *f) {
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    f->pid = fork();
    assert_true(f->pid >= 0);
    if (f->pid == 0) {
        char socket_arg[32], state_arg[96];
        char *argv[] = {"vtpm", socket_arg, state_arg, NULL};

        snprintf(socket_arg, sizeof(socket_arg), "--socket=%d", pair[1]);
        snprintf(state_arg, sizeof(state_arg), "--state=%s", f->path);
        _exit(vtpm_main(3, argv));
    }
    close(pair[1]);
    return pair[0];
}

static uint32_t rd(struct fixture *f, uint64_t address) {
    return (uint32_t)fake_mmio_read(f->m, address, 4);
}

/// Runs a command as a guest's driver does; returns its response code.
static uint32_t run(struct fixture *f, struct tpm_command c) {
    uint8_t response[TPM_CRB_DATA_BYTES];

    fake_mmio_write(f->m, CTRL_REQ, 4, 1);
    for (size_t i = 0; i < c.size_bytes; i++) {
        fake_mmio_write(f->m, DATA + i, 1, c.bytes[i]);
    }
    fake_mmio_write(f->m, CTRL_START, 4, 1);
    while (rd(f, CTRL_START) & 1) {
        uring_loop_wait(&f->loop);
    }
    for (size_t i = 0; i < sizeof(response); i += 8) {
        store_le64(response + i, fake_mmio_read(f->m, DATA + i, 8));
    }
    return tpm_rc(response, load_be32(response + 2));
}

static void done(void *ctx) {
    ((struct fixture *)ctx)->done_count++;
}

static void reset(struct fixture *f) {
    unsigned before = f->done_count;

    pthread_mutex_lock(&f->crb.device.lock);
    f->crb.device.ops->reset(&f->crb, done, f);
    pthread_mutex_unlock(&f->crb.device.lock);
    while (f->done_count == before) {
        uring_loop_wait(&f->loop);
    }
    fake_mmio_write(f->m, TPM_CRB_GPA + 8, 4, 1);
}

static void test_stack(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    uint8_t value[8] = "in VTL2";

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    if (uring_loop_init(&f->loop, 0) != 0) {
        free(f);
        skip(); // no io_uring on this kernel
    }
    snprintf(f->path, sizeof(f->path), "/tmp/parapet-vtpm-stack-%d", (int)getpid());
    f->m = fake_machine_new();
    vtpm_client_init(&f->client, &f->loop.base, spawn(f));
    assert_int_equal(
        tpm_crb_init(&f->crb, &(struct tpm_crb_config){.backend = &f->client.backend}, f->m->mmio),
        0);

    reset(f);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    assert_int_equal(run(f, tpm_get_random(32)), 0);
    assert_int_equal(run(f, tpm_create_primary_ecc()), 0);
    assert_int_equal(run(f, tpm_nv_define(0x01500001, 8)), 0);
    assert_int_equal(run(f, tpm_nv_write(0x01500001, value, 8)), 0);
    reset(f);
    assert_int_equal(run(f, tpm_get_random(8)), 0x100); // TPM_RC_INITIALIZE: power was cycled
    assert_int_equal(run(f, tpm_startup(0)), 0);

    kill(f->pid, SIGKILL);
    waitpid(f->pid, NULL, 0);
    assert_int_equal(run(f, tpm_get_random(8)), 0x101); // TPM_RC_FAILURE
    assert_int_equal(run(f, tpm_get_random(8)), 0x101);
    reset(f); // ends although nobody is there
    assert_int_equal(run(f, tpm_startup(0)), 0x101);

    vtpm_client_attach(&f->client, spawn(f));
    reset(f);
    assert_int_equal(run(f, tpm_startup(0)), 0);
    assert_int_equal(run(f, tpm_nv_read(0x01500001, 8)), 0);
    assert_int_equal(fake_mmio_read(f->m, DATA + 16, 8), load_le64(value));

    f->done_count = 0;
    vtpm_client_close(&f->client, done, f);
    while (f->done_count == 0) {
        uring_loop_wait(&f->loop);
    }
    assert_int_equal(waitpid(f->pid, NULL, 0), f->pid);
    uring_loop_free(&f->loop);
    fake_machine_free(f->m);
    unlink(f->path);
    free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stack)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
