// SPDX-License-Identifier: MIT
//
// The HPET (IA-PC HPET specification 1.0a) where every PC has it: the clock that the TSC is
// measured by. Its comparators are svm/timer.c's.
#pragma once

#include <stdint.h>

#define HPET_GPA           0xfed00000u
#define HPET_PERIOD        0x004u // femtoseconds a tick
#define HPET_CONFIG        0x010u
#define HPET_CONFIG_ENABLE (1u << 0)
#define HPET_COUNTER       0x0f0u

/// A register.
static inline volatile uint32_t *hpet(uint32_t offset) {
    return (volatile uint32_t *)(uintptr_t)(HPET_GPA + offset);
}

/// Femtoseconds a tick of the counter, 0: there is no HPET.
uint32_t hpet_period_fs(void);

/// The TSC's frequency, measured for this many milliseconds; 0: there is no HPET, or it does not
/// count. A processor that stands still meanwhile (an emulated one on a busy machine) does no harm.
/// The HPET is left as it was.
uint64_t hpet_measure_tsc_hz(uint32_t ms);
