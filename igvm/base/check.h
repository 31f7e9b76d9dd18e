// SPDX-License-Identifier: MIT
//
// CHECK: an invariant of our own code. Always on, in every build.
//
// Never for something that a guest, a host or a file can cause: that gets an error return and a
// rate-limited log line. Each program links its own check_failed(): the VMM prints and aborts (the
// supervisor reports it), shim and minihost print and halt, tests fail.
#pragma once

_Noreturn void check_failed(const char *expression, const char *file, int line);

#define CHECK(expression)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(expression), 0)) {                                                  \
            check_failed(#expression, __FILE__, __LINE__);                                         \
        }                                                                                          \
    } while (0)
