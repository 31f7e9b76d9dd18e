// SPDX-License-Identifier: MIT
//
// Options of the workers (worker_options.h).
#include "userspace/worker_options.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

const char *worker_option(const char *arg, const char *name) {
    size_t n = strlen(name);

    return strncmp(arg, name, n) == 0 && arg[n] == '=' ? arg + n + 1 : NULL;
}

int worker_number(const char *text) {
    char *end;
    long value;

    errno = 0;
    value = strtol(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && value >= 0 && value <= INT32_MAX
               ? (int)value
               : -1;
}

bool worker_take_number(const char *arg, const struct worker_number_option *options, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const char *text = worker_option(arg, options[i].name);
        int value = text ? worker_number(text) : -1;

        if (value >= 0) {
            *options[i].value = value;
            return true;
        }
    }
    return false;
}
