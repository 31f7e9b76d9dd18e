// SPDX-License-Identifier: MIT
//
// Real-time clock with CMOS memory: Motorola MC146818A, as a PC has it.
#pragma once

#include "devices/bus.h"
#include "devices/device.h"
#include "devices/irq.h"
#include "devices/loop.h"

#define RTC_RAM_BYTES 128u
/// Where the century byte stands; the FADT says so too.
#define RTC_CENTURY 0x32u

struct rtc_state {
    uint8_t index; ///< port 0x70, without the NMI bit
    uint8_t reg_a;
    uint8_t reg_b;
    uint8_t reg_c;              ///< PF, AF, UF; IRQF is derived
    uint32_t offset_ns;         ///< guest time minus wall time is offset_s + offset_ns / 1e9
    uint64_t offset_s;          ///< two's complement
    uint8_t ram[RTC_RAM_BYTES]; ///< time bytes only while the clock is stopped; alarms; memory
};

struct rtc {
    struct device device; ///< register it with the machine
    // Fixed.
    uint64_t (*wall_ns)(void *ctx);
    void *wall_ctx;
    // Glue.
    struct loop *loop;
    struct irq_line irq;
    struct loop_task arm_task;
    struct loop_timer timer;
    uint64_t wanted_ns; ///< when the timer shall fire; UINT64_MAX: not at all
    int64_t seen_s;     ///< flags are up to date until this second of guest time
    uint64_t seen_ns;   ///< ... and until this moment of the loop's clock
    // Volatile.
    struct rtc_state state;
};

struct rtc_config {
    struct bus *pio;     ///< claims ports 0x70 and 0x71
    struct irq_line irq; ///< GSI 8
    struct loop *loop;
    uint64_t (*wall_ns)(void *ctx); ///< UTC, nanoseconds since 1970; any thread
    void *wall_ctx;
};

/// 0 or bus_add()'s error.
int rtc_init(struct rtc *rtc, const struct rtc_config *config);
