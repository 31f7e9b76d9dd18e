// SPDX-License-Identifier: MIT
//
// The RTC's time: calendar arithmetic against the C library, the registers' formats with any bytes
// in them, the next alarm against a search.
#include "devices/rtc_time.h"

#include "devices/rtc_regs.h"
#include "igvm/base/types.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static void calendar_agrees_with_libc(void **state) {
    (void)state;
    // From year 0 to 9999 in steps that meet every month, day and leap year sooner or later.
    for (int64_t t = -62167219200; t < 253402300800; t += 86400 * 17 + 3671) {
        time_t libc = t;
        struct tm tm;
        struct rtc_bytes b;

        gmtime_r(&libc, &tm);
        rtc_encode(t, RTC_B_24H | RTC_B_BINARY, &b);
        assert_int_equal(b.second, tm.tm_sec);
        assert_int_equal(b.minute, tm.tm_min);
        assert_int_equal(b.hour, tm.tm_hour);
        assert_int_equal(b.day, tm.tm_mday);
        assert_int_equal(b.month, tm.tm_mon + 1);
        assert_int_equal(b.century * 100 + b.year, tm.tm_year + 1900);
        assert_int_equal(b.weekday, tm.tm_wday + 1);
        assert_true(rtc_decode(&b, RTC_B_24H | RTC_B_BINARY) == t);
    }
}

static void all_formats_round_trip(void **state) {
    static const uint8_t formats[4] = {0, RTC_B_24H, RTC_B_BINARY, RTC_B_24H | RTC_B_BINARY};

    (void)state;
    for (unsigned f = 0; f < 4; f++) {
        for (int64_t t = 0; t < 86400 * 3; t += 59) {
            struct rtc_bytes b;

            rtc_encode(t + 951782400, formats[f], &b); // around 2000-02-29
            assert_true(rtc_decode(&b, formats[f]) == t + 951782400);
        }
    }
}

static void decode_bounds_any_bytes(void **state) {
    uint32_t random = 1;

    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        struct rtc_bytes b;
        uint8_t *bytes = (uint8_t *)&b;
        int64_t t;

        for (unsigned k = 0; k < sizeof(b); k++) {
            random = random * 1664525 + 1013904223;
            bytes[k] = (uint8_t)(random >> 24);
        }
        t = rtc_decode(&b, (uint8_t)(random >> 16));
        assert_true(t >= -62167219200 && t < 253402300800);
        rtc_encode(t, (uint8_t)random, &b);
    }
    rtc_encode(INT64_MAX / 2, 0, &(struct rtc_bytes){0});
    rtc_encode(-INT64_MAX / 2, 0, &(struct rtc_bytes){0});
}

static void twelve_hours(void **state) {
    static const uint8_t bcd[24] = {0x12, 1,    2,    3,    4,    5,    6,    7,
                                    8,    9,    0x10, 0x11, 0x92, 0x81, 0x82, 0x83,
                                    0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x90, 0x91};
    struct rtc_bytes b;

    (void)state;
    for (unsigned h = 0; h < 24; h++) {
        rtc_encode((int64_t)h * 3600, 0, &b);
        assert_int_equal(b.hour, bcd[h]);
    }
}

static void alarms_agree_with_a_search(void **state) {
    static const struct rtc_alarm alarms[] = {
        {0, 0, 0},       {59, 59, 23},   {0xC0, 0xFF, 0xC0}, {30, 0xFF, 0xFF}, {0xFF, 30, 0xFF},
        {0xFF, 0xFF, 5}, {10, 0xC1, 12}, {0xC1, 20, 3},      {15, 45, 0xFF},   {60, 0, 0},
        {0, 60, 0},      {0, 0, 24},     {0x80, 0, 0},
    };

    (void)state;
    for (unsigned a = 0; a < ARRAY_COUNT(alarms); a++) {
        for (int64_t start = 0; start < 86400; start += 7207) {
            int64_t expected = INT64_MAX;

            for (int64_t t = start + 1; t <= start + 86400 && expected == INT64_MAX; t++) {
                int64_t day = t % 86400;

                if ((alarms[a].second >= 0xC0 || alarms[a].second == day % 60) &&
                    (alarms[a].minute >= 0xC0 || alarms[a].minute == day / 60 % 60) &&
                    (alarms[a].hour >= 0xC0 || alarms[a].hour == day / 3600)) {
                    expected = t;
                }
            }
            assert_true(rtc_next_alarm(start, &alarms[a], RTC_B_24H | RTC_B_BINARY) == expected);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calendar_agrees_with_libc),  cmocka_unit_test(all_formats_round_trip),
        cmocka_unit_test(decode_bounds_any_bytes),    cmocka_unit_test(twelve_hours),
        cmocka_unit_test(alarms_agree_with_a_search),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
