// SPDX-License-Identifier: MIT
//
// What the tests of the local APIC share: four of them on a bus, and the registers by the names of
// the Intel SDM (volume 3, "Local APIC Register Address Map").
#pragma once

#include "tests/support/fake_apics.h"

#define ID        0x20u
#define VERSION   0x30u
#define TPR       0x80u
#define PPR       0xA0u
#define EOI       0xB0u
#define LDR       0xD0u
#define DFR       0xE0u
#define SVR       0xF0u
#define ISR       0x100u
#define TMR       0x180u
#define IRR       0x200u
#define ESR       0x280u
#define ICR       0x300u
#define ICR_HIGH  0x310u
#define LVT_TIMER 0x320u
#define LVT_LINT0 0x350u
#define LVT_LINT1 0x360u
#define LVT_ERROR 0x370u
#define INITIAL   0x380u
#define CURRENT   0x390u
#define DIVIDE    0x3E0u

#define MASKED      0x10000u
#define BASE_MSR    HV_APIC_BASE_MSR
#define BASE(flags) (HV_APIC_DEFAULT_GPA | (flags))
#define EN          HV_APIC_BASE_ENABLE
#define EXTD        HV_APIC_BASE_X2APIC

extern struct fake_apics apics;

/// cmocka's set-up: power-on.
int lapic_setup(void **state);

/// The APIC has nothing to deliver: asserted.
void expect_nothing(unsigned idx);
/// EOI in xAPIC mode.
void eoi(unsigned idx);
