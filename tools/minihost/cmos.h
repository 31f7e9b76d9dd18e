// SPDX-License-Identifier: MIT
//
// The machine's real-time clock, read once: what the host tells the image about the time of day
// (Motorola MC146818A; the century in CMOS byte 0x32 as in ACPI's FADT).
#pragma once

#include <stdint.h>

/// One reading of the clock's registers, as they stand there.
struct cmos_time {
    uint8_t second, minute, hour, day, month, year, century;
    uint8_t format; ///< status register B
};

/// Seconds since 1970 of a reading that is taken as UTC; 0 when it is no time. Pure.
uint64_t cmos_to_unix(const struct cmos_time *raw);

/// Reads the clock. 0 when there is none.
uint64_t cmos_unix_time(void);
