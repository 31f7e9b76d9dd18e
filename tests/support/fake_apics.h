// SPDX-License-Identifier: MIT
//
// Local APICs on one bus, for tests and fuzzers: who was kicked is recorded.
#pragma once

#include "vtl2/hv/lapic.h"

#define FAKE_APIC_COUNT 4u
#define FAKE_APIC_HZ    UINT64_C(1000000000)
#define FAKE_TSC_HZ     UINT64_C(2000000000)

struct fake_apics {
    struct hv_apic_bus bus;
    struct hv_lapic lapic[FAKE_APIC_COUNT];
    unsigned kicks[FAKE_APIC_COUNT];
    uint64_t now_100ns;
};

/// Power-on: ids 0..3, the first is the BSP, the others' VPs were started. Time is 1 s.
void fake_apics_init(struct fake_apics *a);
struct hv_clock fake_apics_now(const struct fake_apics *a);

/// xAPIC accesses by register offset.
uint32_t fake_apic_read(struct fake_apics *a, unsigned idx, uint32_t off);
void fake_apic_write(struct fake_apics *a, unsigned idx, uint32_t off, uint32_t value);
/// MSRs: what the hv_lapic functions return.
int fake_apic_rdmsr(struct fake_apics *a, unsigned idx, uint32_t index, uint64_t *value);
int fake_apic_wrmsr(struct fake_apics *a, unsigned idx, uint32_t index, uint64_t value);

/// Software-enables all, spurious vector 0xFF.
void fake_apics_enable(struct fake_apics *a);
/// Enables all and takes them to x2APIC mode.
void fake_apics_enable_x2apic(struct fake_apics *a);

/// Collects and takes whatever comes next: the vector (acknowledged), or one of the others.
#define FAKE_APIC_NOTHING (-1)
#define FAKE_APIC_NMI     (-2)
#define FAKE_APIC_EXTINT  (-3)
int fake_apic_take(struct fake_apics *a, unsigned idx);

/// What must hold of any APIC at any time: check-fails.
void fake_apic_check(const struct hv_lapic *lapic);
