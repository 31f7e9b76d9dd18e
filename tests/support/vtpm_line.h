// SPDX-License-Identifier: MIT
//
// The test's end of a vTPM process's socket: one command at a time and its response. cmocka's: what
// must hold is asserted.
#pragma once

#include "tests/support/tpm_commands.h"
#include "userspace/vtpm_protocol.h"

#include <stdint.h>

struct vtpm_line {
    int fd; ///< -1: none
    uint32_t sequence;
    uint32_t ready_status;
    uint8_t response[VTPM_MESSAGE_MAX_BYTES];
    size_t response_bytes;
};

/// Takes the descriptor over and waits until the process is ready.
void vtpm_line_open(struct vtpm_line *line, int fd);
void vtpm_line_close(struct vtpm_line *line);

void tpm_send(struct vtpm_line *line, const struct tpm_command *c);
/// A message without payload.
void tpm_send_plain(struct vtpm_line *line, enum vtpm_op op, uint32_t sequence);
void tpm_receive(struct vtpm_line *line, struct vtpm_message *m);

/// Sends a command and returns its response code. The response stands in tpm_response() then.
uint32_t tpm_run(struct vtpm_line *line, struct tpm_command c);
const uint8_t *tpm_response(const struct vtpm_line *line);
void tpm_power_cycle(struct vtpm_line *line);
