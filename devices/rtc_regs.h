// SPDX-License-Identifier: MIT
//
// Registers of the MC146818A (data sheet, "Address map" and "Registers"), with its names.
// RTC_B_24H and RTC_B_BINARY stand in rtc_time.h.
#pragma once

enum {
    RTC_SECONDS = 0x00,
    RTC_SECONDS_ALARM = 0x01,
    RTC_MINUTES = 0x02,
    RTC_MINUTES_ALARM = 0x03,
    RTC_HOURS = 0x04,
    RTC_HOURS_ALARM = 0x05,
    RTC_WEEKDAY = 0x06,
    RTC_DAY = 0x07,
    RTC_MONTH = 0x08,
    RTC_YEAR = 0x09,
    RTC_A = 0x0A,
    RTC_B = 0x0B,
    RTC_C = 0x0C,
    RTC_D = 0x0D,
    RTC_SHUTDOWN = 0x0F, ///< IBM PC/AT Technical Reference: how firmware goes on after a reset
};

#define RTC_A_UIP      0x80u
#define RTC_A_DV_SHIFT 4u
#define RTC_A_DV_RESET 6u ///< DV = 11x: divider held in reset
#define RTC_A_RS       0x0Fu
#define RTC_A_WRITABLE 0x7Fu
#define RTC_A_RESET    0x26u ///< 32768 Hz, periodic rate 1024 Hz

#define RTC_B_SET  0x80u
#define RTC_B_PIE  0x40u
#define RTC_B_AIE  0x20u
#define RTC_B_UIE  0x10u
#define RTC_B_SQWE 0x08u

#define RTC_C_IRQF  0x80u
#define RTC_C_PF    0x40u
#define RTC_C_AF    0x20u
#define RTC_C_UF    0x10u
#define RTC_C_FLAGS (RTC_C_PF | RTC_C_AF | RTC_C_UF)

#define RTC_D_VRT 0x80u ///< the battery is good
