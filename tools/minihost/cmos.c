// SPDX-License-Identifier: MIT
//
// Reading the real-time clock through ports 0x70 and 0x71. See cmos.h.

#include "tools/minihost/cmos.h"

#include "loader/bare/cpu.h"

#define PORT_INDEX 0x70u
#define PORT_DATA  0x71u

#define REG_SECOND   0x00u
#define REG_MINUTE   0x02u
#define REG_HOUR     0x04u
#define REG_DAY      0x07u
#define REG_MONTH    0x08u
#define REG_YEAR     0x09u
#define REG_STATUS_A 0x0au
#define REG_STATUS_B 0x0bu
#define REG_CENTURY  0x32u

#define STATUS_A_UPDATING 0x80u
#define MAX_READINGS      100000u ///< an update takes 2 ms; a clock that is not there reads as 0xff

static uint8_t read_register(uint8_t index) {
    cpu_outb(PORT_INDEX, index);
    return cpu_inb(PORT_DATA);
}

static void read_all(struct cmos_time *out) {
    out->second = read_register(REG_SECOND);
    out->minute = read_register(REG_MINUTE);
    out->hour = read_register(REG_HOUR);
    out->day = read_register(REG_DAY);
    out->month = read_register(REG_MONTH);
    out->year = read_register(REG_YEAR);
    out->century = read_register(REG_CENTURY);
    out->format = read_register(REG_STATUS_B);
}

uint64_t cmos_unix_time(void) {
    struct cmos_time time;

    for (unsigned i = 0; i < MAX_READINGS; i++) {
        if (read_register(REG_STATUS_A) & STATUS_A_UPDATING) {
            continue;
        }
        read_all(&time);
        // No update began meanwhile: all belongs to one second.
        if (!(read_register(REG_STATUS_A) & STATUS_A_UPDATING) &&
            time.second == read_register(REG_SECOND)) {
            return cmos_to_unix(&time);
        }
    }
    return 0;
}
