// SPDX-License-Identifier: MIT
//
// The TSC against the HPET (hpet.h).
#include "tools/minihost/hpet.h"

#include "loader/bare/cpu.h"

#define PERIOD_MAX_FS     100000000u // 2.4.2: 10 MHz at least
#define FS_PER_SECOND     1000000000000000ull
#define CALIBRATION_TRIES 50u
#define MAX_POLLS         10000000u

uint32_t hpet_period_fs(void) {
    uint32_t period_fs = *hpet(HPET_PERIOD);

    return period_fs > PERIOD_MAX_FS ? 0 : period_fs;
}

/// Both clocks at one moment. On a busy machine this CPU may lose its processor between two reads:
/// of several tries, the one that took the fewest cycles counts.
static uint32_t read_clocks(uint64_t *tsc) {
    uint64_t least = UINT64_MAX;
    uint32_t counter = 0;

    for (unsigned i = 0; i < CALIBRATION_TRIES; i++) {
        uint64_t before = cpu_rdtsc();
        uint32_t now = *hpet(HPET_COUNTER);
        uint64_t took = cpu_rdtsc() - before;

        if (took < least) {
            least = took;
            counter = now;
            *tsc = before + took / 2;
        }
    }
    return counter;
}

uint64_t hpet_measure_tsc_hz(uint32_t ms) {
    uint32_t period_fs = hpet_period_fs(), config, start, ticks, passed = 0;
    uint64_t from = 0, to = 0;

    if (period_fs == 0) {
        return 0;
    }
    config = *hpet(HPET_CONFIG);
    *hpet(HPET_CONFIG) = config | HPET_CONFIG_ENABLE;
    ticks = (uint32_t)(ms * (FS_PER_SECOND / 1000) / period_fs);
    start = read_clocks(&from);
    for (uint32_t i = 0; i < MAX_POLLS && passed < ticks; i++) {
        passed = *hpet(HPET_COUNTER) - start;
    }
    passed = read_clocks(&to) - start;
    *hpet(HPET_CONFIG) = config;
    return passed < ticks ? 0 : (to - from) * (FS_PER_SECOND / period_fs) / passed;
}
