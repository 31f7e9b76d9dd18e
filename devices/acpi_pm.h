// SPDX-License-Identifier: MIT
//
// ACPI fixed hardware: PM1 event and control blocks and the PM timer (ACPI 6.5, section 4.8.3).
#pragma once

#include "devices/bus.h"
#include "devices/device.h"
#include "devices/irq.h"
#include "devices/loop.h"

#define ACPI_PM_BASE      0xB000u ///< twelve ports: PM1a_EVT
#define ACPI_PM_CNT_PORT  0xB004u ///< PM1a_CNT
#define ACPI_PM_TMR_PORT  0xB008u ///< PM_TMR, 32 bits
#define ACPI_PM_EVT_BYTES 4u
#define ACPI_PM_CNT_BYTES 2u
#define ACPI_PM_TMR_BYTES 4u
#define ACPI_PM_TMR_HZ    3579545u

/// SLP_TYP of S5; the DSDT's \_S5 says the same (and the 82371AB that OvmfPkg expects).
#define ACPI_PM_SLP_TYP_S5 0u

struct acpi_pm_state {
    uint16_t pm1_sts;
    uint16_t pm1_en;
    uint16_t pm1_cnt;     ///< without SCI_EN, which is always set, and SLP_EN, which reads 0
    uint64_t timer_ticks; ///< PM timer, all bits it would have, at base_ns
};

struct acpi_pm {
    struct device device; ///< register it with the machine
    // Fixed.
    void (*power_off)(void *ctx);
    void *power_off_ctx;
    // Glue.
    struct loop *loop;
    struct irq_line sci;
    struct loop_task arm_task;
    struct loop_timer timer;
    uint64_t wanted_ns; ///< when the timer shall fire; UINT64_MAX: not at all
    uint64_t base_ns;   ///< the loop's clock at timer_ticks
    bool seen_msb;      ///< PM_TMR bit 31 when TMR_STS was last brought up to date
    // Volatile.
    struct acpi_pm_state state;
};

struct acpi_pm_config {
    struct bus *pio;
    struct irq_line sci; ///< GSI 9, level, active high
    struct loop *loop;
    /// The guest entered S5. Called on a VP's thread with device.lock held: it only notes that.
    void (*power_off)(void *ctx);
    void *power_off_ctx;
};

/// 0 or bus_add()'s error.
int acpi_pm_init(struct acpi_pm *pm, const struct acpi_pm_config *config);

/// The user pressed the power button: the guest gets an SCI if it enabled PWRBTN_EN, and finds
/// PWRBTN_STS in any case. Any thread, without device.lock.
void acpi_pm_press_power_button(struct acpi_pm *pm);
