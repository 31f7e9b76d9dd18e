// SPDX-License-Identifier: MIT
//
// The log's sink in VTL2 and on a plain host: one write(2) per line to stderr (VTL2's console),
// and a ring of the last lines in memory. Rate limits are per call site (igvm/base/log.h).
#include "userspace/log.h"

#include "igvm/base/check.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S  1000000000ull
#define LOG_BURST 10u ///< lines of a call site before it is slowed down
#define WINDOW_NS (10 * NS_PER_S)

static struct {
    const char *program;
    enum log_level level;
    int fd;
    pthread_mutex_t lock; ///< of the ring and of the order of lines
    uint32_t next;        ///< lines ever kept; slot is next % LOG_RING_LINES
    char ring[LOG_RING_LINES][LOG_LINE_BYTES];
} sink = {.program = "parapet", .level = LOG_INFO, .fd = 2, .lock = PTHREAD_MUTEX_INITIALIZER};

void log_init(const char *program, enum log_level level, int fd) {
    sink.program = program;
    sink.level = level;
    sink.fd = fd;
}

void log_set_level(enum log_level level) {
    sink.level = level;
}

void log_for_each(void (*fn)(void *ctx, const char *line), void *ctx) {
    uint32_t first;

    pthread_mutex_lock(&sink.lock);
    first = sink.next > LOG_RING_LINES ? sink.next - LOG_RING_LINES : 0;
    for (uint32_t i = first; i < sink.next; i++) {
        fn(ctx, sink.ring[i % LOG_RING_LINES]);
    }
    pthread_mutex_unlock(&sink.lock);
}

#ifndef PARAPET_TEST // unit tests bring a sink that counts (tests/support)

/// Cuts control characters out: guests and hosts contribute to some texts.
static void make_printable(char *text) {
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            *text = '?';
        }
    }
}

void log_write(enum log_level level, const char *area, const char *format, ...) {
    static const char *const names[] = {"ERROR", "warn", "info", "debug"};
    char text[LOG_LINE_BYTES];
    char line[LOG_LINE_BYTES + 64];
    struct timespec now;
    va_list args;
    int size;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    make_printable(text);
    clock_gettime(CLOCK_MONOTONIC, &now);
    size = snprintf(line, sizeof(line), "[%5lld.%06ld] %s %s: %s: %s\r\n", (long long)now.tv_sec,
                    now.tv_nsec / 1000, sink.program, names[level & 3], area, text);
    if (size < 0) {
        return;
    }
    if ((size_t)size >= sizeof(line)) {
        size = sizeof(line) - 1;
    }
    pthread_mutex_lock(&sink.lock);
    snprintf(sink.ring[sink.next++ % LOG_RING_LINES], LOG_LINE_BYTES, "%.*s", size - 2, line);
    if (level <= sink.level) {
        ssize_t written = write(sink.fd, line, (size_t)size);

        (void)written; // nowhere to report it
    }
    pthread_mutex_unlock(&sink.lock);
}

bool log_allowed(struct log_limit *limit, const char *area) {
    struct timespec now;
    uint64_t now_ns, start, in_window, suppressed;

    clock_gettime(CLOCK_MONOTONIC, &now);
    now_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
    start = atomic_load(&limit->window_start_ns);
    // Two threads may both open a window: the burst is then a little larger, no harm.
    if (start == 0 || now_ns - start >= WINDOW_NS) {
        atomic_store(&limit->window_start_ns, now_ns);
        atomic_store(&limit->in_window, 0);
        suppressed = atomic_exchange(&limit->suppressed, 0);
        if (suppressed > 0) {
            log_write(LOG_INFO, area, "%llu lines like the next one were dropped",
                      (unsigned long long)suppressed);
        }
    }
    in_window = atomic_fetch_add(&limit->in_window, 1);
    if (in_window < LOG_BURST) {
        return true;
    }
    atomic_fetch_add(&limit->suppressed, 1);
    return false;
}

_Noreturn void check_failed(const char *expression, const char *file, int line) {
    log_write(LOG_ERROR, "check", "CHECK failed: %s at %s:%d", expression, file, line);
    abort();
}

#endif
