// SPDX-License-Identifier: MIT
//
// The variable device on a fake machine, its registers, and a keeper of variables that answers as a
// test wants.
#pragma once

#include "devices/uefi_vars.h"
#include "tests/support/fake_machine.h"
#include "tests/support/uefi_client.h"

#define BASE       UEFI_VARS_GPA
#define MAGIC      (BASE + 0x00)
#define COMMAND    (BASE + 0x02)
#define SIZE       (BASE + 0x04)
#define GPA_LOW    (BASE + 0x08)
#define GPA_HIGH   (BASE + 0x0C)
#define WINDOW     (BASE + 0x10)
#define CRC        (BASE + 0x18)
#define FLAGS      (BASE + 0x1C)
#define RESET      1
#define BY_BUFFER  2
#define BY_WINDOW  3
#define REWIND     4
#define BUFFER_GPA 0x20000u

struct fake_keeper {
    struct uefi_vars_backend backend;
    struct uefi_engine *engine; ///< NULL: answers result
    int result;
    unsigned calls, resets;
    uint32_t size_bytes;
    uint8_t message[UEFI_VARS_MAX_BYTES]; ///< as it came
    void (*meanwhile)(void *ctx);         ///< what the guest does during the call
    void *meanwhile_ctx;
};

struct uefi_vars_fixture {
    struct fake_machine *m;
    struct uefi_vars device;
    struct fake_keeper keeper;
    struct uefi_fixture uefi;
};

void vars_write16(struct uefi_vars_fixture *f, uint64_t address, uint32_t value);
void vars_write32(struct uefi_vars_fixture *f, uint64_t address, uint32_t value);
/// Gives a command; the status.
uint32_t vars_command(struct uefi_vars_fixture *f, uint32_t number);
/// Writes a message's header (GUID of nobody) into the guest's memory.
void vars_put_header(struct uefi_vars_fixture *f, uint64_t gpa, uint64_t length);
/// What EDK II's driver does first.
void vars_start(struct uefi_vars_fixture *f, uint64_t gpa);

/// cmocka's set-up and tear-down: *state is the fixture.
int uefi_vars_setup(void **state);
int uefi_vars_teardown(void **state);
