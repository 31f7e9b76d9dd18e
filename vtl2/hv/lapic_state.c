// SPDX-License-Identifier: MIT
//
// Local APIC: saving and loading its state. What is loaded is not trusted.
#include "vtl2/hv/lapic_internal.h"

#include <errno.h>
#include <stdatomic.h>

void hv_lapic_save(struct hv_lapic *lapic, struct hv_lapic_state *out) {
    struct hv_lapic_inbox *inbox = &lapic->inbox;
    uint32_t kept = atomic_load(&inbox->flags) & (APIC_MAIL_INIT | APIC_MAIL_SIPI);

    // INIT and SIPI change more than this APIC: they stay for the owner to collect. A saved VP has
    // collected them before.
    if (kept == 0) {
        uint8_t none;

        (void)hv_lapic_collect(lapic, &none);
    }
    *out = lapic->state;
}

static bool lvt_is_legal(const struct hv_lapic *lapic, const struct hv_lapic_state *in) {
    for (unsigned i = 0; i < HV_LVT_COUNT; i++) {
        uint32_t legal = lapic_lvt_mask(lapic, i);

        legal |= i == HV_LVT_LINT0 || i == HV_LVT_LINT1 ? APIC_LVT_REMOTE_IRR : 0;
        if ((in->lvt[i] & ~legal) != 0) {
            return false;
        }
        if ((in->svr & APIC_SVR_ENABLE) == 0 && (in->lvt[i] & APIC_LVT_MASKED) == 0) {
            return false;
        }
    }
    return true;
}

int hv_lapic_load(struct hv_lapic *lapic, const struct hv_lapic_state *in) {
    uint32_t low = in->irr[0] | in->isr[0] | in->eoi_report[0];

    if (in->version != HV_LAPIC_STATE_VERSION || !lapic_base_is_legal(lapic, in->apic_base) ||
        (lapic->config.is_bsp != ((in->apic_base & HV_APIC_BASE_BSP) != 0)) || in->tpr > 0xFF ||
        (in->svr & ~APIC_SVR_MASK) != 0 || (in->ldr & 0xFFFFFF) != 0 ||
        (in->dfr & APIC_DFR_FIXED) != APIC_DFR_FIXED ||
        ((in->esr | in->esr_new) & ~APIC_ESR_MASK) || (in->icr_low & ~APIC_ICR_MASK) != 0 ||
        (low & 0xFFFF) != 0 || (in->timer_divide & ~APIC_DIVIDE_MASK) != 0 ||
        in->timer_running > 1 || in->timer_start >> 62 != 0 ||
        (in->timer_running && in->timer_initial == 0) || in->activity > HV_VP_WAIT_FOR_SIPI ||
        in->nmi_pending > 1 || in->lint_level[0] > 1 || in->lint_level[1] > 1 ||
        (in->reserved[0] | in->reserved[1] | in->reserved[2]) != 0 || !lvt_is_legal(lapic, in)) {
        return -EINVAL;
    }
    if (lapic->config.tsc_hz == 0 && in->tsc_deadline != 0) {
        return -EINVAL;
    }
    hv_lapic_reset(lapic);
    lapic->state = *in;
    lapic_publish(lapic);
    return 0;
}
