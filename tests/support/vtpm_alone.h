// SPDX-License-Identifier: MIT
//
// The vTPM as a process of its own, forked and confined, with its state in a file and no vault: the
// test holds the other end of its socket. cmocka's: what must hold is asserted.
#pragma once

#include "tests/support/vtpm_line.h"

#include <stdint.h>
#include <sys/types.h>

struct vtpm_alone {
    char dir[64];
    char state[96];
    pid_t pid;
    struct vtpm_line line;
    uint64_t random;
};

int vtpm_alone_setup(void **state);
int vtpm_alone_teardown(void **state);

/// Starts the process; extra is a further option or NULL.
void vtpm_alone_start(struct vtpm_alone *f, const char *extra);
/// Closes our end; the process must end by itself with 0.
void vtpm_alone_stop(struct vtpm_alone *f);
/// SIGKILL, and awaits it.
void vtpm_alone_kill(struct vtpm_alone *f);

/// The same numbers in each test.
uint64_t vtpm_alone_random(struct vtpm_alone *f);
