// SPDX-License-Identifier: MIT
//
// What a worker of ours says when it dies of a fault of its own: one readable screen on its
// standard error, then it dies of the same signal and the supervisor takes over.
#pragma once

#include <stdbool.h>

/// From now on SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP and SIGABRT of any thread are reported.
/// secrets: the process holds keys, so that registers and stack are not shown, only where it
/// happened. program: a constant text. Gives the calling thread a stack for the report.
void worker_crash_install(const char *program, bool secrets);

/// Gives another thread a stack for the report: without, an overflow of its own goes unreported.
void worker_crash_thread(void);
