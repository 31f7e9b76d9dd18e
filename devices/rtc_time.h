// SPDX-License-Identifier: MIT
//
// Calendar arithmetic of the MC146818A: its time bytes from and to seconds since 1970 (UTC), in all
// four formats, and when an alarm rings next. Pure.
#pragma once

#include <stdint.h>

#define RTC_B_24H    0x02u ///< hours 0..23, else 1..12 with bit 7 for p.m.
#define RTC_B_BINARY 0x04u ///< DM: bytes are binary, else BCD

/// The time bytes as the chip holds them, and the century byte that PCs added.
struct rtc_bytes {
    uint8_t second, minute, hour, weekday, day, month, year, century;
};

struct rtc_alarm {
    uint8_t second, minute, hour; ///< 0xC0..0xFF: any
};

/// Bytes for a time; years are taken modulo 10000.
void rtc_encode(int64_t epoch_s, uint8_t reg_b, struct rtc_bytes *out);

/// Time for bytes a guest wrote. What is out of range is taken as the nearest value in range; the
/// weekday is not looked at. The result is within years 0..9999.
int64_t rtc_decode(const struct rtc_bytes *in, uint8_t reg_b);

/// The first second after after_s at which the alarm matches; INT64_MAX when it never does.
int64_t rtc_next_alarm(int64_t after_s, const struct rtc_alarm *alarm, uint8_t reg_b);
