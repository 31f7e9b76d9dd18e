// SPDX-License-Identifier: MIT
//
// The supervisor's workers: who is not started at all, and what the vTPM is given to measure.
#include "userspace/workers.h"

#include "userspace/vtpm_events.h"
#include "userspace/workers_content.h"

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

/// A guest without firmware cannot make its PCRs those of a start with firmware: each of firmware's
/// has an event in it that firmware never measures.
static void firmware_registers_are_taken(void **state) {
    static struct config config;
    static struct vtpm_events events;
    struct host_info info = {.kernel = {.size_bytes = 1, .has_digest = true},
                             .initrd = {.size_bytes = 1, .has_digest = true}};
    uint32_t seen = 0;

    (void)state;
    memset(config.command_line, 'x', sizeof(config.command_line) - 3); // as long as can be
    assert_int_equal(vtpm_events_read(&events, workers_events_pipe(&config, &info)), 0);
    for (uint32_t i = 0; i < events.count; i++) {
        seen |= 1u << events.events[i].pcr;
    }
    assert_int_equal(seen & 0xFF, 0xFF);
    assert_int_equal(events.count, 7 + 1 + 3 + 1);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_service_without_its_state),
        cmocka_unit_test(firmware_registers_are_taken),
    };

    (void)argv;
    if (argc > 1) {
        return 0; // a worker that should not have been started
    }
    return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
