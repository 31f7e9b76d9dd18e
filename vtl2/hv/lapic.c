// SPDX-License-Identifier: MIT
//
// Local APIC: state, priorities, the inbox, interrupts in and out (Intel SDM vol. 3, 11.4, 11.5,
// 11.8).
#include "vtl2/hv/lapic_internal.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

int lapic_highest(const uint32_t *words) {
    for (unsigned i = HV_LAPIC_WORDS; i-- > 0;) {
        if (words[i] != 0) {
            return (int)(i * 32 + 31 - (unsigned)__builtin_clz(words[i]));
        }
    }
    return -1;
}

uint32_t lapic_ppr(const struct hv_lapic *lapic) {
    int serviced = lapic_highest(lapic->state.isr);
    uint32_t isr_class = serviced < 0 ? 0 : (uint32_t)serviced & 0xF0;

    return (lapic->state.tpr & 0xF0) >= isr_class ? lapic->state.tpr : isr_class;
}

void lapic_publish(struct hv_lapic *lapic) {
    const struct hv_lapic_state *s = &lapic->state;
    uint64_t address = lapic->config.id;

    address |= (uint64_t)(s->ldr >> 24) << APIC_ADDRESS_LDR_SHIFT;
    address |= lapic_is_enabled(lapic) ? APIC_ADDRESS_HARDWARE : 0;
    address |= lapic_is_x2apic(lapic) ? APIC_ADDRESS_X2APIC : 0;
    address |= lapic_is_software_enabled(lapic) ? APIC_ADDRESS_SOFTWARE : 0;
    address |= s->dfr >> 28 == 0xF ? APIC_ADDRESS_FLAT : 0;
    atomic_store(&lapic->address, address);
}

void lapic_clear(struct hv_lapic *lapic) {
    uint64_t apic_base = lapic->state.apic_base;
    uint8_t lint_level[2] = {lapic->state.lint_level[0], lapic->state.lint_level[1]};

    lapic->state = (struct hv_lapic_state){.version = HV_LAPIC_STATE_VERSION,
                                           .apic_base = apic_base,
                                           .dfr = APIC_DFR_FLAT,
                                           .svr = 0xFF,
                                           .lint_level = {lint_level[0], lint_level[1]}};
    for (unsigned i = 0; i < HV_LVT_COUNT; i++) {
        lapic->state.lvt[i] = APIC_LVT_MASKED;
    }
    lapic->state.activity = lapic->config.is_bsp ? HV_VP_RUNNING : HV_VP_WAIT_FOR_SIPI;
}

static void empty_inbox(struct hv_lapic *lapic) {
    for (unsigned i = 0; i < HV_LAPIC_WORDS; i++) {
        atomic_store(&lapic->inbox.requested[i], 0);
    }
}

int hv_lapic_init(struct hv_lapic *lapic, const struct hv_lapic_config *config,
                  struct hv_apic_bus *bus) {
    uint64_t limit = UINT64_C(1) << 40; // keeps the products of lapic_timer.c within 64 bits

    if (config->id == UINT32_MAX || config->timer_hz < APIC_MIN_PERIOD_HZ ||
        config->timer_hz >= limit || config->tsc_hz >= limit || config->index >= bus->count ||
        (config->physical_address_bits != 0 &&
         (config->physical_address_bits < 32 || config->physical_address_bits > 52))) {
        return -EINVAL;
    }
    memset(lapic, 0, sizeof(*lapic));
    lapic->config = *config;
    lapic->bus = bus;
    if (lapic->config.physical_address_bits == 0) {
        lapic->config.physical_address_bits = 52;
    }
    hv_lapic_reset(lapic);
    return 0;
}

void hv_lapic_reset(struct hv_lapic *lapic) {
    atomic_store(&lapic->inbox.flags, 0);
    empty_inbox(lapic);
    memset(lapic->state.lint_level, 0, sizeof(lapic->state.lint_level));
    lapic->state.apic_base = HV_APIC_DEFAULT_GPA | HV_APIC_BASE_ENABLE;
    lapic->state.apic_base |= lapic->config.is_bsp ? HV_APIC_BASE_BSP : 0;
    // Ids that eight bits cannot say exist in x2APIC mode only (SDM 11.12.5.1).
    lapic->state.apic_base |= lapic->config.id >= 0xFF ? HV_APIC_BASE_X2APIC : 0;
    lapic_clear(lapic);
    lapic_publish(lapic);
}

// ---- interrupts in ------------------------------------------------------------------------------

/// Takes a fixed vector into IRR (SDM 11.8.4).
static void accept(struct hv_lapic *lapic, uint8_t vector, bool level) {
    if (!lapic_is_software_enabled(lapic)) {
        return;
    }
    if (vector < APIC_FIRST_VECTOR) {
        lapic_error(lapic, APIC_ESR_RECEIVE_VECTOR);
        return;
    }
    vector_set(lapic->state.irr, vector);
    if (level) {
        vector_set(lapic->state.tmr, vector);
    } else {
        vector_clear(lapic->state.tmr, vector);
    }
}

void hv_lapic_raise(struct hv_lapic *lapic, uint8_t vector) {
    accept(lapic, vector, false);
}

void hv_lapic_set_activity(struct hv_lapic *lapic, enum hv_activity activity) {
    lapic->state.activity = activity;
}

void lapic_fire(struct hv_lapic *lapic, enum hv_lvt entry) {
    uint32_t lvt = lapic->state.lvt[entry];

    if ((lvt & APIC_LVT_MASKED) != 0) {
        return;
    }
    // The timer has no delivery mode (its bits 10:8 cannot be written): fixed. SMI is for nobody
    // here; INIT by a pin is not offered; ExtINT is a level that hv_lapic_next() looks at.
    switch (lvt >> APIC_LVT_DELIVERY_SHIFT & 7) {
    case HV_FIXED:
        accept(lapic, (uint8_t)lvt, (lvt & APIC_LVT_REMOTE_IRR) != 0);
        break;
    case HV_NMI:
        lapic->state.nmi_pending = 1;
        break;
    default:
        break;
    }
}

void lapic_error(struct hv_lapic *lapic, uint32_t esr_bits) {
    bool is_new = (esr_bits & ~lapic->state.esr_new) != 0;

    lapic->state.esr_new |= esr_bits;
    // An error entry with a reserved vector would report itself for ever.
    if (is_new && (lapic->state.lvt[HV_LVT_ERROR] & 0xFF) >= APIC_FIRST_VECTOR) {
        lapic_fire(lapic, HV_LVT_ERROR);
    }
}

/// A level-triggered fixed entry of a pin: one that sets remote IRR.
static bool is_level_entry(uint32_t lvt) {
    return (lvt & APIC_LVT_LEVEL) != 0 && (lvt >> APIC_LVT_DELIVERY_SHIFT & 7) == HV_FIXED;
}

void lapic_sync_lint(struct hv_lapic *lapic, unsigned pin) {
    uint32_t *lvt = &lapic->state.lvt[HV_LVT_LINT0 + pin];

    if (!is_level_entry(*lvt)) {
        *lvt &= ~APIC_LVT_REMOTE_IRR;
        return;
    }
    if (lapic->state.lint_level[pin] && (*lvt & (APIC_LVT_MASKED | APIC_LVT_REMOTE_IRR)) == 0) {
        *lvt |= APIC_LVT_REMOTE_IRR;
        lapic_fire(lapic, HV_LVT_LINT0 + pin);
    }
}

void hv_lapic_set_lint(struct hv_lapic *lapic, unsigned pin, bool level) {
    bool rises;

    pin &= 1;
    rises = level && !lapic->state.lint_level[pin];
    lapic->state.lint_level[pin] = level;
    if (!lapic_is_enabled(lapic)) {
        // The pins are the processor's INTR and NMI (SDM 11.4.3).
        lapic->state.nmi_pending |= pin == 1 && rises;
    } else if (is_level_entry(lapic->state.lvt[HV_LVT_LINT0 + pin])) {
        lapic_sync_lint(lapic, pin);
    } else if (rises) {
        lapic_fire(lapic, HV_LVT_LINT0 + pin);
    }
}

bool hv_lapic_accepts_extint(const struct hv_lapic *lapic) {
    uint32_t lvt = lapic->state.lvt[HV_LVT_LINT0];

    return !lapic_is_enabled(lapic) ||
           ((lvt & APIC_LVT_MASKED) == 0 && (lvt >> APIC_LVT_DELIVERY_SHIFT & 7) == HV_EXTINT);
}

uint32_t hv_lapic_collect(struct hv_lapic *lapic, uint8_t *sipi_vector) {
    uint32_t flags = atomic_exchange(&lapic->inbox.flags, 0);
    uint32_t got = 0;

    if ((flags & APIC_MAIL_INIT) != 0) {
        empty_inbox(lapic); // what came before INIT
        lapic_clear(lapic);
        lapic_publish(lapic);
        got |= HV_LAPIC_GOT_INIT;
    }
    if ((flags & APIC_MAIL_SIPI) != 0 && lapic->state.activity == HV_VP_WAIT_FOR_SIPI) {
        lapic->state.activity = HV_VP_RUNNING;
        *sipi_vector = (uint8_t)(flags >> APIC_MAIL_VECTOR_SHIFT);
        got |= HV_LAPIC_GOT_SIPI;
    }
    if ((flags & APIC_MAIL_NMI) != 0 && lapic->state.activity == HV_VP_RUNNING) {
        lapic->state.nmi_pending = 1;
    }
    if ((flags & APIC_MAIL_BAD_VECTOR) != 0) {
        lapic_error(lapic, APIC_ESR_RECEIVE_VECTOR);
    }
    for (unsigned i = 0; i < HV_LAPIC_WORDS; i++) {
        uint32_t bits, level;

        if (atomic_load_explicit(&lapic->inbox.requested[i], memory_order_relaxed) == 0) {
            continue;
        }
        bits = atomic_exchange(&lapic->inbox.requested[i], 0);
        level = atomic_load(&lapic->inbox.level[i]);
        if (lapic_is_software_enabled(lapic)) {
            lapic->state.irr[i] |= bits;
            lapic->state.tmr[i] = (lapic->state.tmr[i] & ~bits) | (level & bits);
        }
    }
    return got;
}

bool hv_lapic_has_mail(const struct hv_lapic *lapic) {
    uint32_t any = atomic_load(&lapic->inbox.flags);

    for (unsigned i = 0; i < HV_LAPIC_WORDS; i++) {
        any |= atomic_load(&lapic->inbox.requested[i]);
    }
    return any != 0;
}

// ---- interrupts out -----------------------------------------------------------------------------

void hv_lapic_set_cr8(struct hv_lapic *lapic, uint8_t cr8) {
    // TPR's lower half stays as long as CR8 says what it said.
    if ((cr8 & 0xF) != lapic->state.tpr >> 4) {
        lapic->state.tpr = (uint32_t)(cr8 & 0xF) << 4;
    }
}

uint8_t hv_lapic_cr8(const struct hv_lapic *lapic) {
    return (uint8_t)(lapic->state.tpr >> 4);
}

struct hv_interrupt hv_lapic_next(const struct hv_lapic *lapic, bool nmi_masked) {
    int requested = lapic_highest(lapic->state.irr);
    struct hv_interrupt next = {.kind = HV_INTERRUPT_NONE};

    if (lapic->state.activity != HV_VP_RUNNING) {
        return next;
    }
    if (lapic->state.nmi_pending && !nmi_masked) {
        next.kind = HV_INTERRUPT_NMI;
    } else if (lapic->state.lint_level[0] && hv_lapic_accepts_extint(lapic)) {
        next.kind = HV_INTERRUPT_EXTINT;
    } else if (requested >= 0 && lapic_is_enabled(lapic) &&
               ((uint32_t)requested & 0xF0) > (lapic_ppr(lapic) & 0xF0)) {
        next.kind = HV_INTERRUPT_FIXED;
        next.vector = (uint8_t)requested;
    }
    return next;
}

bool hv_lapic_wakes(const struct hv_lapic *lapic, bool interrupts_enabled, bool nmi_masked) {
    struct hv_interrupt next = hv_lapic_next(lapic, nmi_masked);

    return next.kind == HV_INTERRUPT_NMI || (next.kind != HV_INTERRUPT_NONE && interrupts_enabled);
}

int hv_lapic_held_by_tpr(const struct hv_lapic *lapic) {
    int requested = lapic_highest(lapic->state.irr);
    int serviced = lapic_highest(lapic->state.isr);

    if (requested < 0 || !lapic_is_enabled(lapic) ||
        (serviced >= 0 && (requested & 0xF0) <= (serviced & 0xF0)) ||
        ((uint32_t)requested & 0xF0) > (lapic->state.tpr & 0xF0)) {
        return -1;
    }
    return requested;
}

void hv_lapic_acknowledge(struct hv_lapic *lapic, uint8_t vector, bool auto_eoi) {
    vector_clear(lapic->state.irr, vector);
    if (!auto_eoi) {
        vector_set(lapic->state.isr, vector);
    }
}

void hv_lapic_take_nmi(struct hv_lapic *lapic) {
    lapic->state.nmi_pending = 0;
}

void lapic_eoi(struct hv_lapic *lapic) {
    int serviced = lapic_highest(lapic->state.isr);

    if (serviced < 0) {
        return; // e.g. after a spurious interrupt: nothing happens (SDM 11.8.5)
    }
    vector_clear(lapic->state.isr, (uint8_t)serviced);
    if (!vector_test(lapic->state.tmr, (uint8_t)serviced)) {
        return;
    }
    for (unsigned pin = 0; pin < 2; pin++) {
        uint32_t *lvt = &lapic->state.lvt[HV_LVT_LINT0 + pin];

        if ((*lvt & APIC_LVT_REMOTE_IRR) != 0 && (*lvt & 0xFF) == (uint32_t)serviced) {
            *lvt &= ~APIC_LVT_REMOTE_IRR;
            lapic_sync_lint(lapic, pin);
        }
    }
    vector_set(lapic->state.eoi_report, (uint8_t)serviced);
}

int hv_lapic_take_eoi(struct hv_lapic *lapic) {
    int vector = lapic_highest(lapic->state.eoi_report);

    if (vector >= 0) {
        vector_clear(lapic->state.eoi_report, (uint8_t)vector);
    }
    return vector;
}
