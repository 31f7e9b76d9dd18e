// SPDX-License-Identifier: MIT
//
// What the emulator's table tests share: vectors, and a check of one result.
#pragma once

#include "tests/support/emu_machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define UD 6
#define NM 7
#define SS 12
#define GP 13
#define PF 14
#define OK (-1)

#define DATA EMU_DATA_GPA

/// Fails the test unless the run ended as said: vector OK, or a fault with its error code.
static inline void expect(const char *name, struct emu_result r, int vector, uint32_t error) {
    if (vector == OK
            ? r.status != EMU_DONE
            : r.status != EMU_FAULT || r.fault.vector != vector || r.fault.error_code != error) {
        fail_msg("%s: status %d vector %u error %x", name, (int)r.status, r.fault.vector,
                 r.fault.error_code);
    }
}
