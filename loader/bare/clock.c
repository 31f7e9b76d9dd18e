// SPDX-License-Identifier: MIT
//
// TSC time stamps. Frequency: CPUID 0x15 (SDM vol. 2), the hypervisor timing leaf 0x40000010, or
// the 8254 timer's channel 2 (1.193182 MHz).

#include "loader/bare/clock.h"

#include <stdbool.h>

#include "loader/bare/cpu.h"
#include "loader/bare/format.h"

#define PIT_HZ         1193182u
#define PIT_CHANNEL2   0x42u
#define PIT_COMMAND    0x43u
#define PIT_CH2_MODE0  0xb0u // channel 2, low then high byte, mode 0: out goes high at zero
#define PORT_B         0x61u
#define PORT_B_GATE2   0x01u
#define PORT_B_SPEAKER 0x02u
#define PORT_B_OUT2    0x20u
#define PIT_TICKS      2386u // 2 ms
#define MAX_POLLS      10000000u

#define CPUID_HYPERVISOR_TIMING 0x40000010u

static uint64_t zero_tsc;
static uint32_t khz;

uint32_t clock_tsc_khz_from_cpuid(void) {
    struct cpuid_regs r;

    if (cpu_cpuid(0, 0).eax >= 0x15) {
        r = cpu_cpuid(0x15, 0); // eax denominator, ebx numerator, ecx crystal Hz
        if (r.eax != 0 && r.ebx != 0 && r.ecx != 0) {
            return (uint32_t)((uint64_t)r.ecx * r.ebx / r.eax / 1000);
        }
    }
    if ((cpu_cpuid(1, 0).ecx >> 31) != 0 &&
        cpu_cpuid(0x40000000u, 0).eax >= CPUID_HYPERVISOR_TIMING) {
        return cpu_cpuid(CPUID_HYPERVISOR_TIMING, 0).eax;
    }
    return 0;
}

uint32_t clock_tsc_khz_from_pit(void) {
    uint8_t port_b = (uint8_t)(cpu_inb(PORT_B) & ~(PORT_B_GATE2 | PORT_B_SPEAKER));
    uint64_t start, cycles;
    bool done = false;

    cpu_outb(PORT_B, port_b);
    cpu_outb(PIT_COMMAND, PIT_CH2_MODE0);
    cpu_outb(PIT_CHANNEL2, PIT_TICKS & 0xff);
    cpu_outb(PIT_CHANNEL2, PIT_TICKS >> 8);
    cpu_outb(PORT_B, port_b | PORT_B_GATE2);
    start = cpu_rdtsc();
    for (uint32_t i = 0; i < MAX_POLLS && !done; i++) {
        done = (cpu_inb(PORT_B) & PORT_B_OUT2) != 0;
    }
    cycles = cpu_rdtsc() - start;
    cpu_outb(PORT_B, port_b);
    return done ? (uint32_t)(cycles * (PIT_HZ / 1000) / PIT_TICKS) : 0;
}

void clock_start(uint64_t tsc_zero, uint32_t tsc_khz) {
    zero_tsc = tsc_zero;
    khz = tsc_khz;
}

const char *clock_stamp(char out[24]) {
    uint64_t cycles = cpu_rdtsc() - zero_tsc;

    if (khz == 0) {
        bare_format(out, 24, "[%9lu kc]", (unsigned long)(cycles / 1000));
    } else {
        uint64_t us = cycles * 1000 / khz;

        bare_format(out, 24, "[%5lu.%03lu ms]", (unsigned long)(us / 1000),
                    (unsigned long)(us % 1000));
    }
    return out;
}
