// SPDX-License-Identifier: MIT
//
// Log sink and check_failed for tests and fuzzers.
#include "tests/support/fake_log.h"

#include "igvm/base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct fake_log fake_log;

__attribute__((weak, format(printf, 3, 4))) void log_write(enum log_level level, const char *area,
                                                           const char *format, ...) {
    va_list args;

    va_start(args, format);
    fake_log.count[level & 3]++;
    vsnprintf(fake_log.last, sizeof(fake_log.last), format, args);
    va_end(args);
    if (getenv("PARAPET_TEST_LOG")) {
        fprintf(stderr, "%s: %s\n", area, fake_log.last);
    }
}

__attribute__((weak)) bool log_allowed(struct log_limit *limit, const char *area) {
    (void)limit;
    (void)area;
    return true;
}

__attribute__((weak, noreturn)) void check_failed(const char *expression, const char *file,
                                                  int line) {
    fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, expression);
    abort();
}
