// SPDX-License-Identifier: MIT
//
// How shim and minihost stop: one readable line, then the machine ends or halts.
//
// Each program defines its own bare_print() (console and log) and bare_program_name; everything
// else here is shared.
#pragma once

#include <stdint.h>

/// "minihost" or "shim"; the prefix of every line.
extern const char bare_program_name[];

/// What the program writes to QEMU's isa-debug-exit port when it stops; QEMU's exit status is then
/// value * 2 + 1. 0x10 (33): minihost, 0x11 (35): shim.
extern const uint8_t bare_exit_value;

/// One line, with a time stamp, on the console (and in the log, where the program has one).
__attribute__((format(printf, 1, 2))) void bare_print(const char *format, ...);

/// Prints "STOP: …" and never returns: writes to port 0xf4 (ends QEMU where it has isa-debug-exit,
/// is nothing elsewhere), then halts with interrupts off.
__attribute__((format(printf, 1, 2))) _Noreturn void bare_stop(const char *format, ...);

/// Seeds the stack protector; call from the first C function, which must not return.
void bare_seed_stack_guard(void);

/// What the assembly stubs saved, lowest address first (see exceptions.S).
struct exception_frame {
    uint64_t vector;
    uint64_t error_code; ///< 0 for vectors that have none
    uint64_t rip;
    uint64_t cs;
    uint64_t rflags;
    uint64_t rsp;
    uint64_t ss;
};
_Static_assert(sizeof(struct exception_frame) == 56, "exceptions.S pushes seven quadwords");

/// Loads an IDT whose 32 exception gates stop with vector, error code, RIP and CR2.
/// code_selector: of the running flat code segment.
void bare_exceptions_init(uint16_t code_selector);

/// Loads the IDT that bare_exceptions_init() made: for further processors.
void bare_exceptions_load(void);

/// Lets a vector go to code of the program's own, a gate that ends with IRETQ.
void bare_exceptions_set_gate(unsigned vector, uintptr_t entry);

/// Called by the stubs only.
_Noreturn void bare_exception(const struct exception_frame *frame);
