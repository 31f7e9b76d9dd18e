// SPDX-License-Identifier: MIT
//
// minihost's output: lines with a time stamp on COM1.

#include <stdarg.h>

#include "loader/bare/clock.h"
#include "loader/bare/format.h"
#include "loader/bare/panic.h"
#include "loader/bare/serial.h"

const char bare_program_name[] = "minihost";
const uint8_t bare_exit_value = 0x10;

void bare_print(const char *format, ...) {
    char stamp[24];
    char line[512];
    size_t count;
    va_list args;

    count = bare_format(line, sizeof(line), "%s %s: ", clock_stamp(stamp), bare_program_name);
    va_start(args, format);
    count += bare_vformat(line + count, sizeof(line) - 1 - count, format, args);
    va_end(args);
    line[count++] = '\n';
    serial_write(line, count);
}
