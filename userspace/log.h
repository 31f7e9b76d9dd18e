// SPDX-License-Identifier: MIT
//
// The programs' side of igvm/base/log.h: where lines go, which are written, and the ring of the
// last ones for the inspect tree and crash reports.
#pragma once

#include "igvm/base/log.h"

#include <stddef.h>

#define LOG_RING_LINES 128u
#define LOG_LINE_BYTES 240u

/// program stands in every line ("vmm"); lines above level are not written, only kept. fd: where
/// to, usually 2. Call once, before threads.
void log_init(const char *program, enum log_level level, int fd);

void log_set_level(enum log_level level);

/// Calls fn for the kept lines, oldest first.
void log_for_each(void (*fn)(void *ctx, const char *line), void *ctx);
