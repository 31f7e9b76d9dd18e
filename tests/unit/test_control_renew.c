// SPDX-License-Identifier: MIT
//
// New services at a guest reset: when the supervisor is asked for one, nothing of the old guest
// runs any more. The supervisor is a thread that looks at the machine when it is asked.
#include "userspace/control.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct machine machine;
    struct control control;
    int ends[2]; ///< the VM worker's, the supervisor's
    pthread_t supervisor;
    unsigned asked;
    bool ran; ///< the guest, when the supervisor was asked
};

/// Has no service to give.
static void *supervisor(void *argument) {
    struct fixture *f = argument;
    char byte;

    while (recv(f->ends[1], &byte, 1, 0) == 1) {
        f->asked++;
        f->ran |= f->machine.running;
        send(f->ends[1], &byte, 1, 0);
    }
    return NULL;
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));

    f->control = (struct control){.machine = &f->machine, .listen_fd = -1};
    assert_int_equal(uring_loop_init(&f->machine.loop, 0), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, f->ends), 0);
    uefi_vars_client_init(&f->machine.uefi_vars_client, -1);
    f->machine.has_uefi_vars = true;
    assert_int_equal(pthread_create(&f->supervisor, NULL, supervisor, f), 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    uefi_vars_client_close(&f->machine.uefi_vars_client);
    uring_loop_free(&f->machine.loop);
    free(f);
    return 0;
}

static void the_old_guest_stands(void **state) {
    struct fixture *f = *state;

    f->machine.running = true; // a VP asked for the reset, the others run on
    control_renew_services(&f->control, f->ends[0]);
    close(f->ends[0]);
    pthread_join(f->supervisor, NULL);
    close(f->ends[1]);
    assert_int_equal(f->asked, 1);
    assert_false(f->ran);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_old_guest_stands, setup, teardown),
    };

    return cmocka_run_group_tests_name("control_renew", tests, NULL, NULL);
}
