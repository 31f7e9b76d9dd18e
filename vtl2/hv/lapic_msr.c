// SPDX-License-Identifier: MIT
//
// Local APIC: x2APIC's and Hyper-V's MSRs, APIC_BASE and the way between the modes (Intel SDM vol.
// 3, 11.4.3, 11.4.4, 11.12; TLFS, "Local APIC").
#include "vtl2/hv/lapic_internal.h"

#include "vtl2/hv/tlfs.h"

#include <errno.h>

// ---- x2APIC -------------------------------------------------------------------------------------

static int read_x2apic(const struct hv_lapic *lapic, struct hv_clock now, uint32_t reg,
                       uint64_t *out) {
    uint32_t id = lapic->config.id, value;
    int rc;

    switch (reg) {
    case APIC_REG_ID:
        *out = id;
        return 0;
    case APIC_REG_LDR:
        *out = (uint64_t)(id >> 4) << 16 | 1u << (id & 15);
        *out &= UINT32_MAX;
        return 0;
    case APIC_REG_ICR:
        *out = (uint64_t)lapic->state.icr_high << 32 | lapic->state.icr_low;
        return 0;
    default:
        rc = lapic_read_register(lapic, now, reg, &value);
        if (rc == 0) {
            *out = value;
        }
        return rc;
    }
}

static int write_x2apic(struct hv_lapic *lapic, struct hv_clock now, uint32_t reg, uint64_t value) {
    struct hv_lapic_state *s = &lapic->state;

    switch (reg) {
    case APIC_REG_EOI:
    case APIC_REG_ESR:
        if (value != 0) {
            return -EPERM;
        }
        if (reg == APIC_REG_EOI) {
            lapic_eoi(lapic);
        } else {
            lapic_write_esr(lapic);
        }
        return 0;
    case APIC_REG_ICR:
        // Bit 12 is reserved; guests that wait for it to clear write it back.
        if (((uint32_t)value & ~APIC_ICR_MASK) != 0) {
            return -EPERM;
        }
        s->icr_low = (uint32_t)value & ~APIC_ICR_STATUS;
        s->icr_high = (uint32_t)(value >> 32);
        lapic_send_icr(lapic, s->icr_low, s->icr_high, true);
        return 0;
    case APIC_REG_SELF_IPI:
        if (value > 0xFF) {
            return -EPERM;
        }
        lapic_send_icr(lapic, (uint32_t)value | 1u << APIC_ICR_SHORTHAND_SHIFT, 0, true);
        return 0;
    default: {
        uint32_t legal = lapic_writable(lapic, reg);

        // Read-only status bits of LVT entries are no reason to fault.
        if (reg >= APIC_REG_LVT && reg < APIC_REG_LVT + HV_LVT_COUNT) {
            legal |= APIC_LVT_STATUS | APIC_LVT_REMOTE_IRR;
        }
        if (legal == 0 || (value & ~(uint64_t)legal) != 0) {
            return -EPERM;
        }
        lapic_write_register(lapic, now, reg, (uint32_t)value);
        return 0;
    }
    }
}

// ---- APIC_BASE and the other MSRs ---------------------------------------------------------------

bool lapic_base_is_legal(const struct hv_lapic *lapic, uint64_t value) {
    uint64_t address = (UINT64_C(1) << lapic->config.physical_address_bits) - PAGE_SIZE_4K;
    uint64_t mode = value & (HV_APIC_BASE_ENABLE | HV_APIC_BASE_X2APIC);

    return (value & ~(address | HV_APIC_BASE_BSP | HV_APIC_BASE_ENABLE | HV_APIC_BASE_X2APIC)) ==
               0 &&
           mode != HV_APIC_BASE_X2APIC;
}

/// SDM 11.12.5: x2APIC is reached from xAPIC only and left only by disabling the APIC.
static int write_base(struct hv_lapic *lapic, uint64_t value) {
    uint64_t old = lapic->state.apic_base;
    bool was_x2apic = lapic_is_x2apic(lapic);
    bool is_enabled = (value & HV_APIC_BASE_ENABLE) != 0;
    bool is_x2apic = (value & HV_APIC_BASE_X2APIC) != 0;

    if (!lapic_base_is_legal(lapic, value) || (was_x2apic && is_enabled && !is_x2apic) ||
        (!lapic_is_enabled(lapic) && is_x2apic)) {
        return -EPERM;
    }
    // Which processor is the BSP was decided at reset.
    lapic->state.apic_base = (value & ~HV_APIC_BASE_BSP) | (old & HV_APIC_BASE_BSP);
    if (!is_enabled && (old & HV_APIC_BASE_ENABLE) != 0) {
        uint8_t nmi = lapic->state.nmi_pending;

        lapic_clear(lapic); // SDM 11.4.3: its state is lost; the VP of course goes on
        lapic->state.activity = HV_VP_RUNNING;
        lapic->state.nmi_pending = nmi;
    }
    if (is_x2apic && !was_x2apic) {
        lapic->state.icr_high = 0;
        lapic->state.ldr = 0;
        lapic->state.dfr = APIC_DFR_FLAT;
    }
    lapic_publish(lapic);
    return 0;
}

static bool is_x2apic_msr(uint32_t index) {
    return index >= HV_X2APIC_FIRST_MSR && index <= HV_X2APIC_LAST_MSR;
}

static uint32_t icr_destination(const struct hv_lapic *lapic, uint32_t icr_high) {
    return lapic_is_x2apic(lapic) ? icr_high : icr_high >> 24;
}

int hv_lapic_read_msr(struct hv_lapic *lapic, struct hv_clock now, uint32_t index, uint64_t *out) {
    hv_lapic_advance(lapic, now);
    if (is_x2apic_msr(index)) {
        return lapic_is_x2apic(lapic) ? read_x2apic(lapic, now, index - HV_X2APIC_FIRST_MSR, out)
                                      : -EPERM;
    }
    switch (index) {
    case HV_APIC_BASE_MSR:
        *out = lapic->state.apic_base;
        return 0;
    case HV_TSC_DEADLINE_MSR:
        *out = lapic->state.tsc_deadline;
        return lapic->config.tsc_hz != 0 ? 0 : -EPERM;
    case HV_MSR_ICR:
        *out = (uint64_t)lapic->state.icr_high << 32 | lapic->state.icr_low;
        return lapic_is_enabled(lapic) ? 0 : -EPERM;
    case HV_MSR_TPR:
        *out = lapic->state.tpr;
        return lapic_is_enabled(lapic) ? 0 : -EPERM;
    case HV_MSR_EOI:
        return -EPERM; // write-only
    default:
        return -ENOENT;
    }
}

static int write_hyperv_msr(struct hv_lapic *lapic, uint32_t index, uint64_t value) {
    struct hv_lapic_state *s = &lapic->state;

    if (!lapic_is_enabled(lapic)) {
        return -EPERM;
    }
    switch (index) {
    case HV_MSR_EOI:
        if (value >> 32 != 0) {
            return -EPERM;
        }
        lapic_eoi(lapic);
        return 0;
    case HV_MSR_TPR:
        if (value > 0xFF) {
            return -EPERM;
        }
        s->tpr = (uint32_t)value;
        return 0;
    default:
        s->icr_low = (uint32_t)value & APIC_ICR_MASK & ~APIC_ICR_STATUS;
        s->icr_high = (uint32_t)(value >> 32);
        lapic_send_icr(lapic, s->icr_low, icr_destination(lapic, s->icr_high),
                       lapic_is_x2apic(lapic));
        return 0;
    }
}

int hv_lapic_write_msr(struct hv_lapic *lapic, struct hv_clock now, uint32_t index,
                       uint64_t value) {
    hv_lapic_advance(lapic, now);
    if (is_x2apic_msr(index)) {
        return lapic_is_x2apic(lapic) ? write_x2apic(lapic, now, index - HV_X2APIC_FIRST_MSR, value)
                                      : -EPERM;
    }
    switch (index) {
    case HV_APIC_BASE_MSR:
        return write_base(lapic, value);
    case HV_TSC_DEADLINE_MSR:
        if (lapic->config.tsc_hz == 0) {
            return -EPERM;
        }
        // Outside its mode the register reads 0 and ignores writes (SDM 11.5.4.1).
        if ((lapic->state.lvt[HV_LVT_TIMER] & APIC_LVT_TIMER_MODE) == APIC_LVT_TSC_DEADLINE) {
            lapic->state.tsc_deadline = value;
        }
        return 0;
    case HV_MSR_EOI:
    case HV_MSR_ICR:
    case HV_MSR_TPR:
        return write_hyperv_msr(lapic, index, value);
    default:
        return -ENOENT;
    }
}
