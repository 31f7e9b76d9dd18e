// SPDX-License-Identifier: MIT
//
// Calendar arithmetic of the MC146818A (data sheet, "Time, calendar and alarm locations").
#include "devices/rtc_time.h"

#include <stdbool.h>

#define DAY_S          86400
#define HOUR_S         3600
#define MINUTE_S       60
#define DAYS_PER_CYCLE 146097 ///< the Gregorian calendar repeats after 400 years
#define HOUR_PM        0x80u

static int64_t floor_div(int64_t a, int64_t b) {
    return a / b - (a % b < 0 ? 1 : 0);
}

static uint8_t to_byte(unsigned value, uint8_t reg_b) {
    return (uint8_t)((reg_b & RTC_B_BINARY) ? value : (value / 10 << 4 | value % 10));
}

static unsigned from_byte(uint8_t byte, uint8_t reg_b) {
    return (reg_b & RTC_B_BINARY) ? byte : (unsigned)(byte >> 4) * 10 + (byte & 0xF);
}

static uint8_t hour_to_byte(unsigned hour, uint8_t reg_b) {
    unsigned twelve = hour % 12 == 0 ? 12 : hour % 12;

    if (reg_b & RTC_B_24H) {
        return to_byte(hour, reg_b);
    }
    return (uint8_t)(to_byte(twelve, reg_b) | (hour >= 12 ? HOUR_PM : 0));
}

static unsigned hour_from_byte(uint8_t byte, uint8_t reg_b) {
    unsigned hour;

    if (reg_b & RTC_B_24H) {
        return from_byte(byte, reg_b);
    }
    hour = from_byte(byte & (uint8_t)~HOUR_PM, reg_b);
    if (hour < 1 || hour > 12) {
        return 24; // no such hour
    }
    return hour % 12 + ((byte & HOUR_PM) ? 12 : 0);
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar. The year is counted from
/// March, so that the leap day comes last.
static int64_t days_of(int64_t year, unsigned month, unsigned day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t cycle = floor_div(y, 400);
    int64_t of_cycle = y - cycle * 400;
    int64_t of_year = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return cycle * DAYS_PER_CYCLE + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year -
           719468; // from 0000-03-01 to 1970-01-01
}

void rtc_encode(int64_t epoch_s, uint8_t reg_b, struct rtc_bytes *out) {
    int64_t days = floor_div(epoch_s, DAY_S);
    unsigned of_day = (unsigned)(epoch_s - days * DAY_S);
    int64_t shifted = days + 719468;
    int64_t cycle = floor_div(shifted, DAYS_PER_CYCLE);
    int64_t of_cycle = shifted - cycle * DAYS_PER_CYCLE; // 0..146096
    int64_t year_of_cycle =
        (of_cycle - of_cycle / 1460 + of_cycle / 36524 - of_cycle / 146096) / 365;
    int64_t of_year =
        of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100); // from March
    int64_t march_month = (5 * of_year + 2) / 153;
    unsigned day = (unsigned)(of_year - (153 * march_month + 2) / 5 + 1);
    unsigned month = (unsigned)(march_month < 10 ? march_month + 3 : march_month - 9);
    int64_t year = year_of_cycle + cycle * 400 + (month <= 2 ? 1 : 0);
    unsigned in_range = (unsigned)(year - floor_div(year, 10000) * 10000);

    out->second = to_byte(of_day % 60, reg_b);
    out->minute = to_byte(of_day / MINUTE_S % 60, reg_b);
    out->hour = hour_to_byte(of_day / HOUR_S, reg_b);
    out->weekday = (uint8_t)(days + 4 - floor_div(days + 4, 7) * 7 + 1); // Sunday is 1
    out->day = to_byte(day, reg_b);
    out->month = to_byte(month, reg_b);
    out->year = to_byte(in_range % 100, reg_b);
    out->century = to_byte(in_range / 100, reg_b);
}

static unsigned clamp(unsigned value, unsigned min, unsigned max) {
    return value < min ? min : value > max ? max : value;
}

static unsigned days_in_month(unsigned year, unsigned month) {
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

int64_t rtc_decode(const struct rtc_bytes *in, uint8_t reg_b) {
    unsigned year = clamp(from_byte(in->century, reg_b), 0, 99) * 100 +
                    clamp(from_byte(in->year, reg_b), 0, 99);
    unsigned month = clamp(from_byte(in->month, reg_b), 1, 12);
    unsigned day = clamp(from_byte(in->day, reg_b), 1, days_in_month(year, month));

    return days_of(year, month, day) * DAY_S +
           (int64_t)clamp(hour_from_byte(in->hour, reg_b), 0, 23) * HOUR_S +
           (int64_t)clamp(from_byte(in->minute, reg_b), 0, 59) * MINUTE_S +
           clamp(from_byte(in->second, reg_b), 0, 59);
}

/// One unit of an alarm: its value, or -1 for "any".
static int alarm_unit(uint8_t byte, unsigned value) {
    return (byte & 0xC0) == 0xC0 ? -1 : (int)value;
}

int64_t rtc_next_alarm(int64_t after_s, const struct rtc_alarm *alarm, uint8_t reg_b) {
    int hour = alarm_unit(alarm->hour, hour_from_byte(alarm->hour, reg_b));
    int minute = alarm_unit(alarm->minute, from_byte(alarm->minute, reg_b));
    int second = alarm_unit(alarm->second, from_byte(alarm->second, reg_b));
    int64_t at = after_s + 1;

    if (hour > 23 || minute > 59 || second > 59) {
        return INT64_MAX;
    }
    // Skips whole hours, then whole minutes, then seconds: fewer than 25 + 60 + 60 steps to the
    // next match, which is at most a day away.
    for (;;) {
        int of_day = (int)(at - floor_div(at, DAY_S) * DAY_S);

        if (hour >= 0 && of_day / HOUR_S != hour) {
            at += HOUR_S - of_day % HOUR_S;
        } else if (minute >= 0 && of_day / MINUTE_S % 60 != minute) {
            at += MINUTE_S - of_day % MINUTE_S;
        } else if (second >= 0 && of_day % 60 != second) {
            at++;
        } else {
            return at;
        }
    }
}
