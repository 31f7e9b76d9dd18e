// SPDX-License-Identifier: MIT
//
// Local APIC: the registers that both modes have, and xAPIC's memory-mapped accesses (Intel SDM
// vol. 3, 11.4.1).
#include "vtl2/hv/lapic_internal.h"

#include <errno.h>

static bool is_lvt(uint32_t reg) {
    return reg >= APIC_REG_LVT && reg < APIC_REG_LVT + HV_LVT_COUNT;
}

/// ISR, TMR and IRR: 8 registers each, in this order.
static int read_vectors(const struct hv_lapic_state *s, uint32_t reg, uint32_t *out) {
    const uint32_t *const sets[] = {s->isr, s->tmr, s->irr};

    if (reg < APIC_REG_ISR || reg >= APIC_REG_IRR + HV_LAPIC_WORDS) {
        return -EPERM;
    }
    reg -= APIC_REG_ISR;
    *out = sets[reg / HV_LAPIC_WORDS][reg % HV_LAPIC_WORDS];
    return 0;
}

int lapic_read_register(const struct hv_lapic *lapic, struct hv_clock now, uint32_t reg,
                        uint32_t *out) {
    const struct hv_lapic_state *s = &lapic->state;

    if (is_lvt(reg)) {
        *out = s->lvt[reg - APIC_REG_LVT];
        return 0;
    }
    switch (reg) {
    case APIC_REG_VERSION:
        *out = APIC_VERSION;
        return 0;
    case APIC_REG_TPR:
        *out = s->tpr;
        return 0;
    case APIC_REG_PPR:
        *out = lapic_ppr(lapic);
        return 0;
    case APIC_REG_SVR:
        *out = s->svr;
        return 0;
    case APIC_REG_ESR:
        *out = s->esr;
        return 0;
    case APIC_REG_INITIAL_COUNT:
        *out = s->timer_initial;
        return 0;
    case APIC_REG_CURRENT_COUNT:
        *out = lapic_timer_count(lapic, now);
        return 0;
    case APIC_REG_DIVIDE:
        *out = s->timer_divide;
        return 0;
    default:
        return read_vectors(s, reg, out);
    }
}

uint32_t lapic_lvt_mask(const struct hv_lapic *lapic, enum hv_lvt entry) {
    switch (entry) {
    case HV_LVT_TIMER:
        return 0xFF | APIC_LVT_MASKED | APIC_LVT_PERIODIC |
               (lapic->config.tsc_hz != 0 ? APIC_LVT_TSC_DEADLINE : 0);
    case HV_LVT_LINT0:
    case HV_LVT_LINT1:
        return 0x7FF | APIC_LVT_ACTIVE_LOW | APIC_LVT_LEVEL | APIC_LVT_MASKED;
    case HV_LVT_ERROR:
        return 0xFF | APIC_LVT_MASKED;
    default:
        return 0x7FF | APIC_LVT_MASKED;
    }
}

static void write_lvt(struct hv_lapic *lapic, enum hv_lvt entry, uint32_t value) {
    uint32_t *lvt = &lapic->state.lvt[entry];

    value &= lapic_lvt_mask(lapic, entry);
    if ((lapic->state.svr & APIC_SVR_ENABLE) == 0) {
        value |= APIC_LVT_MASKED; // SDM 11.4.7.2
    }
    if (entry == HV_LVT_TIMER) {
        lapic_timer_mode_changes(lapic, value);
    }
    *lvt = value | (*lvt & APIC_LVT_REMOTE_IRR);
    if (entry == HV_LVT_LINT0 || entry == HV_LVT_LINT1) {
        lapic_sync_lint(lapic, entry - HV_LVT_LINT0);
    }
}

static void write_svr(struct hv_lapic *lapic, uint32_t value) {
    lapic->state.svr = value & APIC_SVR_MASK;
    if ((value & APIC_SVR_ENABLE) == 0) {
        for (unsigned i = 0; i < HV_LVT_COUNT; i++) {
            lapic->state.lvt[i] |= APIC_LVT_MASKED;
        }
    }
    lapic_publish(lapic);
}

uint32_t lapic_writable(const struct hv_lapic *lapic, uint32_t reg) {
    switch (reg) {
    case APIC_REG_TPR:
        return 0xFF;
    case APIC_REG_SVR:
        return APIC_SVR_MASK;
    case APIC_REG_INITIAL_COUNT:
        return UINT32_MAX;
    case APIC_REG_DIVIDE:
        return APIC_DIVIDE_MASK;
    default:
        return is_lvt(reg) ? lapic_lvt_mask(lapic, reg - APIC_REG_LVT) : 0;
    }
}

void lapic_write_register(struct hv_lapic *lapic, struct hv_clock now, uint32_t reg,
                          uint32_t value) {
    switch (reg) {
    case APIC_REG_TPR:
        lapic->state.tpr = value & 0xFF;
        break;
    case APIC_REG_SVR:
        write_svr(lapic, value);
        break;
    case APIC_REG_INITIAL_COUNT:
        lapic_timer_set_initial(lapic, now, value);
        break;
    case APIC_REG_DIVIDE:
        lapic_timer_set_divide(lapic, now, value & APIC_DIVIDE_MASK);
        break;
    default:
        write_lvt(lapic, reg - APIC_REG_LVT, value);
        break;
    }
}

void lapic_write_esr(struct hv_lapic *lapic) {
    lapic->state.esr = lapic->state.esr_new;
    lapic->state.esr_new = 0;
}

// ---- xAPIC --------------------------------------------------------------------------------------

bool hv_lapic_owns_page(const struct hv_lapic *lapic, gpa_t gpa) {
    return lapic_is_enabled(lapic) && !lapic_is_x2apic(lapic) &&
           align_down(gpa.value, PAGE_SIZE_4K) == align_down(lapic->state.apic_base, PAGE_SIZE_4K);
}

static uint32_t read_xapic(struct hv_lapic *lapic, struct hv_clock now, uint32_t reg) {
    const struct hv_lapic_state *s = &lapic->state;
    uint32_t value = 0;

    switch (reg) {
    case APIC_REG_ID:
        return lapic->config.id << 24;
    case APIC_REG_LDR:
        return s->ldr;
    case APIC_REG_DFR:
        return s->dfr;
    case APIC_REG_ICR:
        return s->icr_low;
    case APIC_REG_ICR_HIGH:
        return s->icr_high;
    case APIC_REG_APR: // there, and nothing uses them any more
    case APIC_REG_RRD:
    case APIC_REG_EOI:
        return 0;
    default:
        if (lapic_read_register(lapic, now, reg, &value) != 0) {
            lapic_error(lapic, APIC_ESR_ADDRESS);
        }
        return value;
    }
}

static void write_xapic(struct hv_lapic *lapic, struct hv_clock now, uint32_t reg, uint32_t value) {
    struct hv_lapic_state *s = &lapic->state;
    uint32_t unused;

    switch (reg) {
    case APIC_REG_EOI:
        lapic_eoi(lapic);
        break;
    case APIC_REG_LDR:
        s->ldr = value & 0xFF000000;
        lapic_publish(lapic);
        break;
    case APIC_REG_DFR:
        s->dfr = value | APIC_DFR_FIXED;
        lapic_publish(lapic);
        break;
    case APIC_REG_ESR:
        lapic_write_esr(lapic);
        break;
    case APIC_REG_ICR_HIGH:
        s->icr_high = value & 0xFF000000;
        break;
    case APIC_REG_ICR:
        s->icr_low = value & APIC_ICR_MASK & ~APIC_ICR_STATUS;
        lapic_send_icr(lapic, s->icr_low, s->icr_high >> 24, false);
        break;
    case APIC_REG_ID: // read-only here, as on most processors
    case APIC_REG_APR:
    case APIC_REG_RRD:
        break;
    default:
        if (lapic_writable(lapic, reg) != 0) {
            lapic_write_register(lapic, now, reg, value);
        } else if (lapic_read_register(lapic, now, reg, &unused) != 0) {
            lapic_error(lapic, APIC_ESR_ADDRESS);
        }
        break;
    }
}

uint64_t hv_lapic_mmio_read(struct hv_lapic *lapic, struct hv_clock now, uint32_t off,
                            uint8_t size_bytes) {
    uint64_t value;

    if (off >= HV_LAPIC_BYTES || off % 16 >= 4) {
        return 0;
    }
    hv_lapic_advance(lapic, now);
    value = (uint64_t)read_xapic(lapic, now, off / 16) >> off % 4 * 8;
    return size_bytes >= 8 ? value : value & ((UINT64_C(1) << size_bytes * 8) - 1);
}

void hv_lapic_mmio_write(struct hv_lapic *lapic, struct hv_clock now, uint32_t off,
                         uint8_t size_bytes, uint64_t value) {
    if (off >= HV_LAPIC_BYTES || off % 16 != 0 || size_bytes != 4) {
        return;
    }
    hv_lapic_advance(lapic, now);
    write_xapic(lapic, now, off / 16, (uint32_t)value);
}
