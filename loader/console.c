// SPDX-License-Identifier: MIT
//
// The shim's one output: lines with a time stamp, on COM1 and into a buffer that the device tree
// hands to VTL2's Linux.

#include <stdarg.h>
#include <string.h>

#include "loader/bare/clock.h"
#include "loader/bare/format.h"
#include "loader/bare/panic.h"
#include "loader/bare/serial.h"
#include "loader/shim.h"

#define LOG_BYTES 8192u // 100 lines; what comes later is on the serial port only

const char bare_program_name[] = "shim";
const uint8_t bare_exit_value = 0x11;

static char log_text[LOG_BYTES];
static uint32_t log_count;

static void log_append(const char *text, size_t count) {
    if (count <= sizeof(log_text) - log_count) {
        memcpy(log_text + log_count, text, count);
        log_count += (uint32_t)count;
    }
}

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
    log_append(line, count);
}

const char *shim_log(uint32_t *size_bytes) {
    *size_bytes = log_count;
    return log_text;
}
