// SPDX-License-Identifier: MIT
//
// The TPM CRB interface on a fake machine, before a TPM that answers when the test says so.
// cmocka's: what must hold is asserted. Register names: PTP 1.05.
#pragma once

#include "devices/tpm_crb.h"
#include "tests/support/fake_machine.h"

#define BASE       TPM_CRB_GPA
#define L(n)       (BASE + (n)*0x1000ull)
#define LOC_STATE  0x00
#define LOC_CTRL   0x08
#define LOC_STS    0x0C
#define INTF_ID    0x30
#define CTRL_REQ   0x40
#define CTRL_STS   0x44
#define CANCEL     0x48
#define START      0x4C
#define CMD_SIZE   0x58
#define CMD_ADDR   0x5C
#define RSP_SIZE   0x64
#define RSP_ADDR   0x68
#define DATA       0x80
#define REQUEST    1
#define RELINQUISH 2
#define SEIZE      4

struct fake_tpm {
    struct tpm_backend backend;
    bool gone;
    bool running;
    uint8_t locality;
    uint8_t *buffer;
    uint8_t command[TPM_BUFFER_BYTES];
    size_t command_bytes;
    tpm_done_fn done;
    void *owner;
    unsigned cancel_count;
    unsigned submit_count;
    tpm_done_fn power_done;
    void *power_owner;
    unsigned power_count;
    struct loop_task power_task;
    struct loop *loop;
};

struct crb_fixture {
    struct fake_machine *m;
    struct fake_tpm tpm;
    struct tpm_crb crb;
};

/// cmocka's set-up and tear-down: *state is the fixture.
int crb_setup(void **state);
int crb_teardown(void **state);

/// The command that runs ends with this response, or with an error (result below 0).
void fake_tpm_answer(struct fake_tpm *tpm, const void *response, int64_t result);

/// 12 bytes: success, and two more.
extern const uint8_t crb_ok_response[12];

/// A locality's register of four bytes.
uint32_t crb_rd(struct crb_fixture *f, unsigned loc, unsigned off);
void crb_wr(struct crb_fixture *f, unsigned loc, unsigned off, uint32_t value);

/// A command with this tag and size field, whose further bytes count up.
void crb_put_command(struct crb_fixture *f, unsigned loc, uint16_t tag, uint32_t size,
                     uint32_t bytes);
/// Makes the interface ready and starts a command of so many bytes.
void crb_start_command(struct crb_fixture *f, unsigned loc, uint32_t bytes);
uint32_t crb_response_code(struct crb_fixture *f, unsigned loc);
