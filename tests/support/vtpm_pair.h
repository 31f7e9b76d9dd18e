// SPDX-License-Identifier: MIT
//
// Vault and vTPM as processes of their own, forked and confined, with a file as the guest state's
// disk. cmocka's: what must hold is asserted.
#pragma once

#include "tests/support/tpm_commands.h"
#include "userspace/vtpm_protocol.h"

#include <stdint.h>
#include <sys/types.h>

struct vtpm_pair {
    char path[64];
    pid_t vault, vtpm;
    int vault_fd; ///< the vTPM's end, kept as the supervisor keeps it
    int fd;
    uint8_t key;
    uint32_t sequence;
    uint32_t ready_status;
    uint8_t response[VTPM_MESSAGE_MAX_BYTES];
    size_t response_bytes;
};

int vtpm_pair_setup(void **state);
int vtpm_pair_teardown(void **state);

/// Both, the vTPM with one more option (NULL: none).
void vtpm_pair_start(struct vtpm_pair *f, const char *extra);
void vtpm_pair_start_vault(struct vtpm_pair *f);
void vtpm_pair_start_vtpm(struct vtpm_pair *f, const char *extra);
void vtpm_pair_start_vtpm_with(struct vtpm_pair *f, const char *extra, const char *more);

/// They must end by themselves, with 0.
void vtpm_pair_stop(struct vtpm_pair *f);
void vtpm_pair_stop_vtpm(struct vtpm_pair *f);

/// Sends a command; its response code. The response stands in vtpm_pair_response() then.
uint32_t vtpm_pair_run(struct vtpm_pair *f, struct tpm_command c);
const uint8_t *vtpm_pair_response(const struct vtpm_pair *f);
void vtpm_pair_power_cycle(struct vtpm_pair *f);
