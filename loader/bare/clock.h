// SPDX-License-Identifier: MIT
//
// Time since the program's start, from the TSC. For messages only.
#pragma once

#include <stdint.h>

/// TSC kHz from CPUID leaves 0x15 and 0x40000010, or 0 if the CPU does not say.
uint32_t clock_tsc_khz_from_cpuid(void);

/// TSC kHz measured against PIT channel 2 for about 2 ms, or 0 if there is no PIT.
uint32_t clock_tsc_khz_from_pit(void);

/// Time 0 is now; khz == 0 (unknown) makes stamps count thousands of cycles.
void clock_start(uint64_t tsc_zero, uint32_t tsc_khz);

/// Writes "[   12.345 ms]" (or "[  123456 kc]") into out; returns out.
const char *clock_stamp(char out[24]);
