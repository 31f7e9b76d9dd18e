// SPDX-License-Identifier: MIT
//
// Registers of the real-time clock as a time. Pure; see cmos.h.

#include "tools/minihost/cmos.h"

#include <stdbool.h>

#define FORMAT_24_HOURS 0x02u
#define FORMAT_BINARY   0x04u
#define HOUR_PM         0x80u

static unsigned number(const struct cmos_time *raw, uint8_t value) {
    return raw->format & FORMAT_BINARY ? value : (value >> 4) * 10u + (value & 0xfu);
}

/// Days from 1970-01-01 to a day of the Gregorian calendar: years begin with March, so that the day
/// that comes and goes is the last one.
static uint64_t days_since_1970(unsigned year, unsigned month, unsigned day) {
    unsigned y = month <= 2 ? year - 1 : year;
    unsigned m = month <= 2 ? month + 9 : month - 3;

    return 365ull * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

uint64_t cmos_to_unix(const struct cmos_time *raw) {
    bool is_pm = !(raw->format & FORMAT_24_HOURS) && (raw->hour & HOUR_PM);
    unsigned hour = number(raw, raw->format & FORMAT_24_HOURS ? raw->hour : raw->hour & 0x7f);
    unsigned second = number(raw, raw->second), minute = number(raw, raw->minute);
    unsigned day = number(raw, raw->day), month = number(raw, raw->month);
    unsigned century = number(raw, raw->century);
    unsigned year = (century >= 19 && century <= 21 ? century : 20) * 100 + number(raw, raw->year);

    if (!(raw->format & FORMAT_24_HOURS)) {
        hour = hour % 12 + (is_pm ? 12 : 0);
    }
    if (second > 59 || minute > 59 || hour > 23 || day < 1 || day > 31 || month < 1 || month > 12 ||
        year < 1970) {
        return 0;
    }
    return ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
}
