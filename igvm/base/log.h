// SPDX-License-Identifier: MIT
//
// The log interface. One line per message: level, area, text. The sink belongs to the program
// (userspace/log.c writes to VTL2's console and keeps a ring for later; tests collect it).
//
// Whatever a guest or a host can trigger goes through LOG_LIMITED, so that a hostile guest can
// neither flood the console nor push other messages out.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/// Writes one line; area is a short constant such as "virtio-blk". Thread-safe, never blocks on the
/// guest, truncates over-long text.
__attribute__((format(printf, 3, 4))) void log_write(enum log_level level, const char *area,
                                                     const char *format, ...);

/// Budget of one call site: a burst, then one line per second. Zero-initialised is ready to use.
struct log_limit {
    _Atomic uint64_t window_start_ns;
    _Atomic uint32_t in_window;
    _Atomic uint32_t suppressed;
};

/// Whether this call site may write now; counts what it suppresses. Lines let through after a
/// pause report how many were dropped (in log_write's own line).
bool log_allowed(struct log_limit *limit, const char *area);

#define LOG_LIMITED(level, area, ...)                                                              \
    do {                                                                                           \
        static struct log_limit log_limit_here;                                                    \
        if (log_allowed(&log_limit_here, (area))) {                                                \
            log_write((level), (area), __VA_ARGS__);                                               \
        }                                                                                          \
    } while (0)
