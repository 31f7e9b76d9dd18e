// SPDX-License-Identifier: MIT
//
// Local APICs on one bus (see fake_apics.h).
#include "tests/support/fake_apics.h"

#include "igvm/base/check.h"

#include <string.h>

static struct hv_lapic *bus_lapic(void *ctx, uint32_t index) {
    struct fake_apics *a = ctx;

    CHECK(index < FAKE_APIC_COUNT);
    return &a->lapic[index];
}

static void bus_kick(void *ctx, uint32_t index) {
    struct fake_apics *a = ctx;

    CHECK(index < FAKE_APIC_COUNT);
    a->kicks[index]++;
}

void fake_apics_init(struct fake_apics *a) {
    memset(a, 0, sizeof(*a));
    a->bus = (struct hv_apic_bus){
        .count = FAKE_APIC_COUNT, .ctx = a, .lapic = bus_lapic, .kick = bus_kick};
    a->now_100ns = 10000000;
    for (uint32_t i = 0; i < FAKE_APIC_COUNT; i++) {
        struct hv_lapic_config config = {.id = i,
                                         .index = i,
                                         .is_bsp = i == 0,
                                         .physical_address_bits = 48,
                                         .timer_hz = FAKE_APIC_HZ,
                                         .tsc_hz = FAKE_TSC_HZ};

        CHECK(hv_lapic_init(&a->lapic[i], &config, &a->bus) == 0);
        hv_lapic_set_activity(&a->lapic[i], HV_VP_RUNNING);
    }
}

struct hv_clock fake_apics_now(const struct fake_apics *a) {
    return (struct hv_clock){.now_100ns = a->now_100ns,
                             .now_tsc = a->now_100ns * (FAKE_TSC_HZ / 10000000)};
}

uint32_t fake_apic_read(struct fake_apics *a, unsigned idx, uint32_t off) {
    return (uint32_t)hv_lapic_mmio_read(&a->lapic[idx], fake_apics_now(a), off, 4);
}

void fake_apic_write(struct fake_apics *a, unsigned idx, uint32_t off, uint32_t value) {
    hv_lapic_mmio_write(&a->lapic[idx], fake_apics_now(a), off, 4, value);
}

int fake_apic_rdmsr(struct fake_apics *a, unsigned idx, uint32_t index, uint64_t *value) {
    return hv_lapic_read_msr(&a->lapic[idx], fake_apics_now(a), index, value);
}

int fake_apic_wrmsr(struct fake_apics *a, unsigned idx, uint32_t index, uint64_t value) {
    return hv_lapic_write_msr(&a->lapic[idx], fake_apics_now(a), index, value);
}

void fake_apics_enable(struct fake_apics *a) {
    for (unsigned i = 0; i < FAKE_APIC_COUNT; i++) {
        fake_apic_write(a, i, 0xF0, 0x1FF);
    }
}

void fake_apics_enable_x2apic(struct fake_apics *a) {
    fake_apics_enable(a);
    for (unsigned i = 0; i < FAKE_APIC_COUNT; i++) {
        CHECK(fake_apic_wrmsr(a, i, HV_APIC_BASE_MSR,
                              HV_APIC_DEFAULT_GPA | HV_APIC_BASE_ENABLE | HV_APIC_BASE_X2APIC) ==
              0);
    }
}

int fake_apic_take(struct fake_apics *a, unsigned idx) {
    struct hv_lapic *lapic = &a->lapic[idx];
    struct hv_interrupt next;
    uint8_t sipi;

    hv_lapic_advance(lapic, fake_apics_now(a));
    (void)hv_lapic_collect(lapic, &sipi);
    next = hv_lapic_next(lapic, false);
    switch (next.kind) {
    case HV_INTERRUPT_NMI:
        hv_lapic_take_nmi(lapic);
        return FAKE_APIC_NMI;
    case HV_INTERRUPT_EXTINT:
        return FAKE_APIC_EXTINT;
    case HV_INTERRUPT_FIXED:
        hv_lapic_acknowledge(lapic, next.vector, false);
        return next.vector;
    default:
        return FAKE_APIC_NOTHING;
    }
}

void fake_apic_check(const struct hv_lapic *lapic) {
    const struct hv_lapic_state *s = &lapic->state;
    struct hv_interrupt next = hv_lapic_next(lapic, false);
    bool is_enabled = (s->apic_base & HV_APIC_BASE_ENABLE) != 0;

    // Vectors below 16 are nowhere, reserved bits clear.
    CHECK(((s->irr[0] | s->isr[0] | s->eoi_report[0]) & 0xFFFF) == 0);
    CHECK(s->tpr <= 0xFF && s->activity <= HV_VP_WAIT_FOR_SIPI);
    CHECK(is_enabled || (s->apic_base & HV_APIC_BASE_X2APIC) == 0);
    // What is offered has a higher class than what is serviced and than TPR.
    if (next.kind == HV_INTERRUPT_FIXED) {
        CHECK(is_enabled && (next.vector >> 4) > (s->tpr >> 4));
        CHECK((s->irr[next.vector / 32] >> next.vector % 32 & 1) != 0);
        for (unsigned v = next.vector & 0xF0u; v < 256; v++) {
            CHECK((s->isr[v / 32] >> v % 32 & 1) == 0);
        }
        CHECK(hv_lapic_held_by_tpr(lapic) < 0);
    }
    if (hv_lapic_held_by_tpr(lapic) >= 0) {
        CHECK(next.kind != HV_INTERRUPT_FIXED);
        CHECK((unsigned)hv_lapic_held_by_tpr(lapic) >> 4 <= s->tpr >> 4);
    }
    // Software-disabled: every entry is masked.
    for (unsigned i = 0; i < HV_LVT_COUNT && (s->svr & 0x100) == 0; i++) {
        CHECK((s->lvt[i] & 0x10000) != 0);
    }
}
