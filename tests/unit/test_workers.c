// SPDX-License-Identifier: MIT
//
// The supervisor's table of workers: who is not started at all.
#include "userspace/workers.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/// With a guest state configured and no way to it (no descriptors left when the vault began), a
/// service would take its state for new: a blank TPM, variables that forget dbx and are not kept.
static void no_service_without_its_state(void **state) {
    static const enum worker_kind services[] = {WORKER_VTPM, WORKER_UEFI_VARS};
    static const struct host_info info;
    static struct config config;
    struct workers workers;

    (void)state;
    config.boot = CONFIG_BOOT_UEFI;
    config.tpm_enabled = true;
    snprintf(config.secure_boot_template, sizeof(config.secure_boot_template), "none");
    snprintf(config.tpm_state, sizeof(config.tpm_state), "/dev/null");
    snprintf(config.state_path, sizeof(config.state_path), "/nowhere");
    workers_init(&workers, &config, &info, NULL);
    for (unsigned i = 0; i < 2; i++) {
        int fd = workers_start_service(&workers, services[i]);

        if (fd >= 0) {
            close(fd);
            waitpid(workers.pids[services[i]], NULL, 0);
        }
        assert_int_equal(fd, -1);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_service_without_its_state),
    };

    (void)argv;
    if (argc > 1) {
        return 0; // a worker that should not have been started
    }
    return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
