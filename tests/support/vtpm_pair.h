// SPDX-License-Identifier: MIT
//
// Vault and vTPM as processes of their own, forked and confined, with a file as the guest state's
// disk. cmocka's: what must hold is asserted.
#pragma once

#include "tests/support/vtpm_line.h"

#include <stdint.h>
#include <sys/types.h>

struct vtpm_pair {
    char path[64];
    pid_t vault, vtpm;
    int vault_fd; ///< the vTPM's end, kept as the supervisor keeps it
    struct vtpm_line line;
    uint8_t key;
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
