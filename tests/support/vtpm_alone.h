// SPDX-License-Identifier: MIT
//
// The vTPM as a process of its own, forked and confined, with its state in a file and no vault: the
// test holds the other end of its socket. cmocka's: what must hold is asserted.
#pragma once

#include "tests/support/tpm_commands.h"
#include "userspace/vtpm_protocol.h"

#include <stdint.h>
#include <sys/types.h>

struct vtpm_alone {
    char dir[64];
    char state[96];
    pid_t pid;
    int fd;
    uint32_t sequence;
    uint32_t ready_status;
    uint8_t response[VTPM_MESSAGE_MAX_BYTES];
    size_t response_bytes;
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

void vtpm_alone_send(struct vtpm_alone *f, const struct tpm_command *c);
/// A message without payload.
void vtpm_alone_send_plain(struct vtpm_alone *f, enum vtpm_op op, uint32_t sequence);
void vtpm_alone_receive(struct vtpm_alone *f, struct vtpm_message *m);

/// Sends a command and returns its response code. The response stands in vtpm_alone_response()
/// then.
uint32_t vtpm_alone_run(struct vtpm_alone *f, struct tpm_command c);
const uint8_t *vtpm_alone_response(const struct vtpm_alone *f);
void vtpm_alone_power_cycle(struct vtpm_alone *f);

/// The same numbers in each test.
uint64_t vtpm_alone_random(struct vtpm_alone *f);
