// SPDX-License-Identifier: MIT
//
// What the files of the local APIC share: register numbers and bits (Intel SDM vol. 3, tables 11-1
// and 11-6), and the functions behind hv/lapic.h.
#pragma once

#include "vtl2/hv/lapic.h"

// Registers by number: MMIO offset >> 4, and x2APIC MSR - 0x800.
#define APIC_REG_ID            0x02u
#define APIC_REG_VERSION       0x03u
#define APIC_REG_TPR           0x08u
#define APIC_REG_APR           0x09u
#define APIC_REG_PPR           0x0Au
#define APIC_REG_EOI           0x0Bu
#define APIC_REG_RRD           0x0Cu
#define APIC_REG_LDR           0x0Du
#define APIC_REG_DFR           0x0Eu
#define APIC_REG_SVR           0x0Fu
#define APIC_REG_ISR           0x10u ///< 8 registers
#define APIC_REG_TMR           0x18u
#define APIC_REG_IRR           0x20u
#define APIC_REG_ESR           0x28u
#define APIC_REG_ICR           0x30u
#define APIC_REG_ICR_HIGH      0x31u ///< xAPIC only
#define APIC_REG_LVT           0x32u ///< enum hv_lvt, HV_LVT_COUNT registers
#define APIC_REG_INITIAL_COUNT 0x38u
#define APIC_REG_CURRENT_COUNT 0x39u
#define APIC_REG_DIVIDE        0x3Eu
#define APIC_REG_SELF_IPI      0x3Fu ///< x2APIC only

/// An integrated APIC with HV_LVT_COUNT entries and no EOI broadcast suppression.
#define APIC_VERSION (0x14u | (HV_LVT_COUNT - 1u) << 16)

#define APIC_SVR_ENABLE 0x100u
#define APIC_SVR_MASK   0x3FFu
#define APIC_DFR_FLAT   0xFFFFFFFFu
#define APIC_DFR_FIXED  0x0FFFFFFFu ///< bits that read as ones

#define APIC_ESR_SEND_VECTOR    (1u << 5)
#define APIC_ESR_RECEIVE_VECTOR (1u << 6)
#define APIC_ESR_ADDRESS        (1u << 7)
#define APIC_ESR_MASK           0xEFu

#define APIC_ICR_VECTOR          0xFFu
#define APIC_ICR_DELIVERY_SHIFT  8u
#define APIC_ICR_LOGICAL         (1u << 11)
#define APIC_ICR_STATUS          (1u << 12) ///< read-only, always idle here
#define APIC_ICR_ASSERT          (1u << 14)
#define APIC_ICR_LEVEL           (1u << 15)
#define APIC_ICR_SHORTHAND_SHIFT 18u
#define APIC_ICR_MASK            0xCCFFFu

#define APIC_LVT_DELIVERY_SHIFT 8u
#define APIC_LVT_STATUS         (1u << 12)
#define APIC_LVT_ACTIVE_LOW     (1u << 13)
#define APIC_LVT_REMOTE_IRR     (1u << 14)
#define APIC_LVT_LEVEL          (1u << 15)
#define APIC_LVT_MASKED         (1u << 16)
#define APIC_LVT_PERIODIC       (1u << 17)
#define APIC_LVT_TSC_DEADLINE   (1u << 18)
#define APIC_LVT_TIMER_MODE     (3u << 17)

#define APIC_DIVIDE_MASK 0xBu

#define APIC_FIRST_VECTOR 16u ///< lower ones are reserved for exceptions

// hv_lapic_inbox.flags.
#define APIC_MAIL_NMI          (1u << 0)
#define APIC_MAIL_INIT         (1u << 1)
#define APIC_MAIL_SIPI         (1u << 2)
#define APIC_MAIL_BAD_VECTOR   (1u << 3)
#define APIC_MAIL_VECTOR_SHIFT 8u
#define APIC_MAIL_VECTOR_MASK  (0xFFu << APIC_MAIL_VECTOR_SHIFT)

// hv_lapic.address: [31:0] the APIC id.
#define APIC_ADDRESS_LDR_SHIFT 32u ///< LDR's 8 bits
#define APIC_ADDRESS_HARDWARE  (1ull << 40)
#define APIC_ADDRESS_X2APIC    (1ull << 41)
#define APIC_ADDRESS_SOFTWARE  (1ull << 42)
#define APIC_ADDRESS_FLAT      (1ull << 43)

/// Shortest period that a periodic timer wakes anybody for: 200 us. The guest may ask for less and
/// sees its counter run as asked, but gets fewer interrupts.
#define APIC_MIN_PERIOD_HZ 5000u

static inline bool lapic_is_enabled(const struct hv_lapic *lapic) {
    return (lapic->state.apic_base & HV_APIC_BASE_ENABLE) != 0;
}

static inline bool lapic_is_x2apic(const struct hv_lapic *lapic) {
    return lapic_is_enabled(lapic) && (lapic->state.apic_base & HV_APIC_BASE_X2APIC) != 0;
}

static inline bool lapic_is_software_enabled(const struct hv_lapic *lapic) {
    return lapic_is_enabled(lapic) && (lapic->state.svr & APIC_SVR_ENABLE) != 0;
}

static inline void vector_set(uint32_t *words, uint8_t vector) {
    words[vector / 32] |= 1u << vector % 32;
}

static inline void vector_clear(uint32_t *words, uint8_t vector) {
    words[vector / 32] &= ~(1u << vector % 32);
}

static inline bool vector_test(const uint32_t *words, uint8_t vector) {
    return (words[vector / 32] >> vector % 32 & 1) != 0;
}

/// The highest vector of a set, or -1.
int lapic_highest(const uint32_t *words);
/// Processor priority (SDM 11.8.3.1).
uint32_t lapic_ppr(const struct hv_lapic *lapic);
/// Makes what senders match against agree with the state; after every change of it.
void lapic_publish(struct hv_lapic *lapic);
/// Power-on or INIT values of everything but APIC_BASE.
void lapic_clear(struct hv_lapic *lapic);
/// A local interrupt source fires: delivers as its LVT entry says.
void lapic_fire(struct hv_lapic *lapic, enum hv_lvt entry);
/// Records errors for ESR and fires the error entry when they are new.
void lapic_error(struct hv_lapic *lapic, uint32_t esr_bits);
void lapic_eoi(struct hv_lapic *lapic);
/// Looks at a LINT pin again: after a change of its entry or an EOI.
void lapic_sync_lint(struct hv_lapic *lapic, unsigned pin);
/// Bits of an LVT entry that can be written.
uint32_t lapic_lvt_mask(const struct hv_lapic *lapic, enum hv_lvt entry);
/// Whether APIC_BASE can hold value at all (not: come to it from the present one).
bool lapic_base_is_legal(const struct hv_lapic *lapic, uint64_t value);

/// The guest wrote ICR: destination as it stands there.
void lapic_send_icr(struct hv_lapic *lapic, uint32_t icr_low, uint32_t destination, bool wide);

uint32_t lapic_timer_count(const struct hv_lapic *lapic, struct hv_clock now);
void lapic_timer_set_initial(struct hv_lapic *lapic, struct hv_clock now, uint32_t count);
void lapic_timer_set_divide(struct hv_lapic *lapic, struct hv_clock now, uint32_t divide);
/// Before the timer's LVT entry changes to lvt: leaving or entering TSC-deadline mode disarms.
void lapic_timer_mode_changes(struct hv_lapic *lapic, uint32_t lvt);

/// Reads register reg of those that both modes have. -EPERM: there is none, or not to read.
int lapic_read_register(const struct hv_lapic *lapic, struct hv_clock now, uint32_t reg,
                        uint32_t *out);
/// Bits of a register that both modes have which may be written; 0: not writable or none such.
uint32_t lapic_writable(const struct hv_lapic *lapic, uint32_t reg);
/// Writes a register for which lapic_writable() is not 0.
void lapic_write_register(struct hv_lapic *lapic, struct hv_clock now, uint32_t reg,
                          uint32_t value);
/// What was found since the last write becomes what reads show (SDM 11.5.3).
void lapic_write_esr(struct hv_lapic *lapic);
