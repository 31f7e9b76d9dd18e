// SPDX-License-Identifier: MIT
//
// Time: the TSC counts, the HPET wakes (IA-PC HPET specification 1.0a). Comparator n belongs to
// CPU n and sends its interrupt as a message (FSB delivery) that the local APIC takes as an NMI, so
// that no vector of VTL2's is needed and neither VTL can hold it off.

#include "loader/bare/cpu.h"
#include "loader/bare/panic.h"
#include "tools/minihost/hpet.h"
#include "tools/minihost/svm/svm.h"

#define HPET_CAPABILITIES      0x000u
#define HPET_CAP_TIMERS_SHIFT  8u
#define HPET_CAP_TIMERS_MASK   0x1fu
#define HPET_TIMER(n)          (0x100u + 0x20u * (n))
#define HPET_TIMER_COMPARATOR  0x08u
#define HPET_TIMER_FSB_VALUE   0x10u
#define HPET_TIMER_FSB_ADDRESS 0x14u
#define HPET_TIMER_ENABLE      (1u << 2) // edge, one-shot
#define HPET_TIMER_32BIT       (1u << 8)
#define HPET_TIMER_FSB_ENABLE  (1u << 14)
#define HPET_TIMER_FSB_CAPABLE (1u << 15)

#define MSI_ADDRESS    0xfee00000u
#define MSI_DEST_SHIFT 12u
#define MSI_NMI        0x400u // delivery mode; the vector is ignored

#define FS_PER_100NS     100000000ull
#define UNITS_PER_SECOND 10000000ull // of 100 ns
#define CALIBRATION_MS   20u
#define COMPARATOR_TRIES 16u                     // of doubling: milliseconds
#define LONGEST_100NS    (10 * UNITS_PER_SECOND) // the counter is used with 32 bits
#define FARTHEST_TICKS   0x7fffffffu             // beyond it is the past
#define SHORTEST_100NS   50u
#define TSC_ROUND_HZ     100000u

__extension__ typedef unsigned __int128 uint128;

static uint32_t period_fs;

/// (high << 64) / divisor, for high < divisor.
static uint64_t divide_wide(uint64_t high, uint64_t divisor) {
    uint64_t quotient, remainder;

    __asm__("divq %4" : "=a"(quotient), "=d"(remainder) : "a"(0ull), "d"(high), "r"(divisor));
    (void)remainder;
    return quotient;
}

static void measure_tsc(void) {
    svm_host.tsc_hz = hpet_measure_tsc_hz(CALIBRATION_MS);
    svm_host.tsc_hz -= svm_host.tsc_hz % TSC_ROUND_HZ;
    if (svm_host.tsc_hz <= UNITS_PER_SECOND) {
        bare_stop("vsm: the TSC does not count");
    }
    svm_host.tsc_scale = divide_wide(UNITS_PER_SECOND, svm_host.tsc_hz);
    svm_host.tsc_start = cpu_rdtsc();
}

void svm_timer_assign(const struct svm_cpu *cpu) {
    uint32_t timer = HPET_TIMER(cpu->index);

    if ((*hpet(timer) & HPET_TIMER_FSB_CAPABLE) == 0) {
        bare_stop("vsm: the HPET cannot send messages: QEMU needs -global hpet.msi=on");
    }
    *hpet(timer) = 0;
    *hpet(timer + HPET_TIMER_FSB_VALUE) = MSI_NMI;
    *hpet(timer + HPET_TIMER_FSB_ADDRESS) = MSI_ADDRESS | cpu->apic_id << MSI_DEST_SHIFT;
    *hpet(timer + HPET_TIMER_COMPARATOR) = *hpet(HPET_COUNTER) + FARTHEST_TICKS;
    *hpet(timer) = HPET_TIMER_ENABLE | HPET_TIMER_32BIT | HPET_TIMER_FSB_ENABLE; // for good
}

void svm_timer_init(void) {
    uint32_t timers =
        (*hpet(HPET_CAPABILITIES) >> HPET_CAP_TIMERS_SHIFT & HPET_CAP_TIMERS_MASK) + 1;

    period_fs = hpet_period_fs();
    if (period_fs == 0) {
        bare_stop("vsm: no HPET at 0x%x: QEMU needs -M q35 with its HPET", HPET_GPA);
    }
    if (timers < svm_host.cpu_count) {
        bare_stop("vsm: %u CPUs, but the HPET has %u timers: QEMU needs -global hpet.timers=%u",
                  svm_host.cpu_count, timers, svm_host.cpu_count);
    }
    measure_tsc();
    *hpet(HPET_CONFIG) = HPET_CONFIG_ENABLE;
}

uint64_t svm_now_100ns(void) {
    return (uint64_t)((uint128)(cpu_rdtsc() - svm_host.tsc_start) * svm_host.tsc_scale >> 64);
}

/// The interrupt comes when the counter meets the comparator: one that was passed already while it
/// was written would mean a whole turn of the counter (as hardware does it, and QEMU since 9.2).
static void set_comparator(uint32_t timer, uint32_t ticks) {
    for (unsigned i = 0; i < COMPARATOR_TRIES; i++) {
        uint32_t at = *hpet(HPET_COUNTER) + ticks;

        *hpet(timer + HPET_TIMER_COMPARATOR) = at;
        if ((int32_t)(at - *hpet(HPET_COUNTER)) > 0) {
            return;
        }
        ticks *= 2;
    }
}

void svm_timer_arm(struct svm_cpu *cpu, uint64_t at_100ns) {
    uint32_t timer = HPET_TIMER(cpu->index);
    uint64_t now, left;

    if (at_100ns == cpu->armed_100ns) {
        return;
    }
    if (at_100ns == UINT64_MAX) { // a late NMI does no harm: leave the comparator as it is
        cpu->armed_100ns = UINT64_MAX;
        return;
    }
    now = svm_now_100ns();
    left = at_100ns > now + SHORTEST_100NS ? at_100ns - now : SHORTEST_100NS;
    if (left > LONGEST_100NS) { // wakes up too early, and arms again
        left = LONGEST_100NS;
    }
    set_comparator(timer, (uint32_t)(left * FS_PER_100NS / period_fs));
    cpu->armed_100ns = at_100ns;
}

void svm_delay_us(uint64_t us) {
    uint64_t from = cpu_rdtsc(), cycles = us * (svm_host.tsc_hz / 1000000);

    while (cpu_rdtsc() - from < cycles) {
        __builtin_ia32_pause();
    }
}
