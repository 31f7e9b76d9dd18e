// SPDX-License-Identifier: MIT
//
// Events that VTL2 gives to VTL0: PendingEvent0, PendingInterruption, deliverability notifications,
// NMIs, HLT and activity (TLFS, "Virtual Interrupt Control", "Virtual Processor Registers").
#include "tests/guest/vtl2/vtl2.h"

static struct guest *const guest = &guests[0];

static bool has_error_code(unsigned vector) {
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

static void vtl0_one_stop(void *argument) {
    (void)argument;
    stop(0);
}

static void set_event(uint64_t event, uint64_t cr2) {
    struct hv_register_value value;

    EQUAL(set_register(VTL0, HV_REGISTER_PENDING_EVENT0, event, cr2), 0);
    EQUAL(get_register(VTL0, HV_REGISTER_PENDING_EVENT0, &value), 0);
    EQUAL(value.low, event);
}

TEST(event_exceptions) {
    for (unsigned vector = 0; vector < 31; vector++) {
        uint64_t event = HV_EVENT_PENDING | vector << HV_EVENT_EXC_VECTOR_SHIFT;

        // QEMU leaves out the error codes of 21 and 29; 2 and 30 are no events of this kind.
        if (vector == 2 || vector == 21 || vector >= 29) {
            continue;
        }
        if (has_error_code(vector)) {
            event |= HV_EVENT_EXC_ERROR_VALID | (UINT64_C(0x40) + vector)
                                                    << HV_EVENT_EXC_ERROR_SHIFT;
        }
        vtl0_function(vtl0_one_stop, NULL);
        vtl0_to_stop(0);
        set_event(event, 0xc2000 + vector);
        vtl0_finish();
        EQUAL(guest->exceptions, 1);
        EQUAL(guest->vector, vector);
        EQUAL(guest->error_code, has_error_code(vector) ? 0x40 + vector : 0);
        if (vector == 14) {
            EQUAL(guest->cr2, 0xc200e);
        }
        EQUAL(guest->cs, 0x10);
        EQUAL(vtl0_get(HV_REGISTER_PENDING_EVENT0), 0);
    }
}

TEST(event_cancelled) {
    vtl0_function(vtl0_one_stop, NULL);
    vtl0_to_stop(0);
    set_event(HV_EVENT_PENDING | 6u << HV_EVENT_EXC_VECTOR_SHIFT, 0);
    set_event(0, 0);
    vtl0_finish();
    EQUAL(guest->exceptions, 0);
}

TEST(event_external_interrupt) {
    // As a PIC's: past the local APIC, which has nothing in service then.
    vtl0_function(vtl0_one_stop, NULL);
    guest->eoi = EOI_NONE;
    vtl0_to_stop(0);
    set_event(HV_EVENT_PENDING | HV_EVENT_KIND_EXTINT << HV_EVENT_KIND_SHIFT |
                  0x55u << HV_EVENT_EXTINT_SHIFT,
              0);
    vtl0_finish();
    EQUAL(guest->taken[0x55], 1);
}

TEST(pending_interruption) {
    static const struct {
        uint64_t value;
        uint32_t vector, error_code;
    } cases[] = {
        {HV_PENDING_TYPE_EXTINT << 1 | 0x77u << 16, 0x77, 0},
        {HV_PENDING_TYPE_NMI << 1 | 2u << 16, 2, 0},
        {HV_PENDING_TYPE_EXCEPTION << 1 | 6u << 16, 6, 0},
        {HV_PENDING_TYPE_EXCEPTION << 1 | 13u << 16 | HV_PENDING_ERROR_CODE | UINT64_C(0x50) << 32,
         13, 0x50},
        {HV_PENDING_TYPE_EXCEPTION << 1 | 14u << 16 | HV_PENDING_ERROR_CODE | UINT64_C(3) << 32, 14,
         3},
    };

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        vtl0_function(vtl0_one_stop, NULL);
        guest->eoi = EOI_NONE;
        vtl0_to_stop(0);
        vtl0_set(HV_REGISTER_PENDING_INTERRUPTION, cases[i].value | HV_PENDING_INTERRUPTION);
        EQUAL(vtl0_get(HV_REGISTER_PENDING_INTERRUPTION), cases[i].value | HV_PENDING_INTERRUPTION);
        vtl0_finish();
        EQUAL(guest->taken[cases[i].vector], 1);
        EQUAL(guest->order_count, 1);
        if (cases[i].vector < 32) {
            EQUAL(guest->vector, cases[i].vector);
            EQUAL(guest->error_code, cases[i].error_code);
        }
        EQUAL(vtl0_get(HV_REGISTER_PENDING_INTERRUPTION), 0);
    }
}

// ---- deliverability -----------------------------------------------------------------------------
static void vtl0_opens(void *argument) {
    (void)argument;
    stop(0);
    __asm__ volatile("sti; nop; nop; nop; cli");
    stop(1);
}

static void expect_deliverable(uint8_t type) {
    const struct hv_interruption_deliverable *m = message();

    EQUAL(vtl0_run(), HV_MESSAGE_INTERRUPTION_DELIVERABLE);
    EQUAL(m->type, type);
    EQUAL(m->header.vp_index, 0);
    EQUAL(vtl0_get(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), 0); // one message for one request
}

TEST(deliverable_when_opened) {
    const struct hv_intercept_header *h = message();
    uint64_t closed;

    vtl0_function(vtl0_opens, NULL);
    vtl0_to_stop(0);
    closed = vtl0_get(HV_REGISTER_RIP);
    vtl0_set(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, HV_DELIVERABILITY_INTERRUPT);
    EQUAL(vtl0_get(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), HV_DELIVERABILITY_INTERRUPT);
    expect_deliverable(HV_PENDING_TYPE_EXTINT);
    EXPECT(h->rflags & 0x200);
    EXPECT(h->rip >= closed + 2 && h->rip <= closed + 4); // behind STI's shadow, before CLI
    // Then an interrupt can be given, and comes at once.
    guest->eoi = EOI_NONE;
    set_event(HV_EVENT_PENDING | HV_EVENT_KIND_EXTINT << HV_EVENT_KIND_SHIFT |
                  0x56u << HV_EVENT_EXTINT_SHIFT,
              0);
    vtl0_to_stop(1);
    EQUAL(guest->taken[0x56], 1);
    vtl0_finish();
}

TEST(deliverable_now) {
    vtl0_function(vtl0_one_stop, NULL);
    vtl0_to_stop(0);
    vtl0_set(HV_REGISTER_RFLAGS, 0x202);
    vtl0_set(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, HV_DELIVERABILITY_INTERRUPT);
    expect_deliverable(HV_PENDING_TYPE_EXTINT);
    vtl0_set(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, HV_DELIVERABILITY_NMI);
    expect_deliverable(HV_PENDING_TYPE_NMI);
    vtl0_finish();
}

TEST(deliverable_not_while_closed) {
    vtl0_function(vtl0_one_stop, NULL);
    vtl0_to_stop(0);
    vtl0_set(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, HV_DELIVERABILITY_INTERRUPT);
    vtl0_finish(); // IF is clear: the function ends first
    EQUAL(vtl0_get(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), HV_DELIVERABILITY_INTERRUPT);
    vtl0_set(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 0);
}

// ---- NMI ----------------------------------------------------------------------------------------
TEST(nmi) {
    vtl0_function(vtl0_one_stop, NULL);
    vtl0_to_stop(0);
    EQUAL(assert_interrupt(HV_INTERRUPT_TYPE_NMI, 0, 0), 0);
    vtl0_finish(); // IF is clear: an NMI does not mind
    EQUAL(guest->taken[2], 1);
}

static void vtl0_waits_for_nmis(void *argument) {
    uint32_t wanted = (uint32_t)(uintptr_t)argument;

    stop(0);
    for (unsigned i = 0; i < 100000000 && guest_me()->taken[2] < wanted; i++) {
        __builtin_ia32_pause(); // no exits of its own
    }
}

TEST(nmi_waits_for_iret) {
    vtl0_function(vtl0_waits_for_nmis, at(2));
    guest->nmi_stops = 1;
    vtl0_to_stop(0);
    EQUAL(assert_interrupt(HV_INTERRUPT_TYPE_NMI, 0, 0), 0);
    vtl0_to_stop(8); // in the handler
    EQUAL(vtl0_get(HV_REGISTER_INTERRUPT_STATE), HV_INTERRUPT_STATE_NMI_MASKED);
    EQUAL(assert_interrupt(HV_INTERRUPT_TYPE_NMI, 0, 0), 0);
    EQUAL(assert_interrupt(HV_INTERRUPT_TYPE_NMI, 0, 0), 0); // one is kept
    EQUAL(guest->taken[2], 1);
    vtl0_finish();
    EQUAL(guest->taken[2], 2);
    EQUAL(vtl0_get(HV_REGISTER_INTERRUPT_STATE), 0);
}

TEST(nmi_deliverable_after_iret) {
    vtl0_function(vtl0_waits_for_nmis, at(2));
    guest->nmi_stops = 1;
    vtl0_to_stop(0);
    EQUAL(assert_interrupt(HV_INTERRUPT_TYPE_NMI, 0, 0), 0);
    vtl0_to_stop(8);
    vtl0_set(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, HV_DELIVERABILITY_NMI);
    expect_deliverable(HV_PENDING_TYPE_NMI);
    EQUAL(guest->nmi_stops, 0); // the handler is behind us
    vtl0_set(HV_REGISTER_PENDING_INTERRUPTION,
             HV_PENDING_INTERRUPTION | HV_PENDING_TYPE_NMI << 1 | 2u << 16);
    vtl0_finish();
    EQUAL(guest->taken[2], 2);
}

// ---- HLT and activity ---------------------------------------------------------------------------
static void vtl0_halts(void *argument) {
    apic_set(APIC_SVR, 0x1ff);
    stop(0);
    if (argument) {
        __asm__ volatile("sti; hlt; cli");
    } else {
        __asm__ volatile("cli; hlt");
    }
}

/// VTL0 comes to HLT (on a busy machine it may need some turns) and stays there through interrupts
/// of VTL2's.
static void expect_halted(void) {
    unsigned halted = 0;

    for (unsigned i = 0; i < 50 && halted < 2; i++) {
        watchdog_arm(1000);
        EQUAL(vtl0_enter(0), HV_VTL_ENTRY_INTERRUPT);
        take_interrupts();
        if (vtl0_get(HV_REGISTER_INTERNAL_ACTIVITY_STATE) == HV_ACTIVITY_HALT_SUSPEND) {
            halted++;
        } else {
            EQUAL(halted, 0); // it woke up
        }
    }
    EQUAL(halted, 2);
}

TEST(halt_until_interrupt) {
    vtl0_function(vtl0_halts, at(1));
    vtl0_to_stop(0);
    expect_halted();
    EQUAL(assert_interrupt(0, 0, 0x51), 0);
    vtl0_finish();
    EQUAL(guest->taken[0x51], 1);
    EQUAL(vtl0_get(HV_REGISTER_INTERNAL_ACTIVITY_STATE), 0);
}

TEST(halt_closed_until_nmi) {
    vtl0_function(vtl0_halts, NULL);
    vtl0_to_stop(0);
    expect_halted();
    EQUAL(assert_interrupt(0, 0, 0x51), 0);
    expect_halted(); // IF is clear
    EQUAL(assert_interrupt(HV_INTERRUPT_TYPE_NMI, 0, 0), 0);
    vtl0_finish();
    EQUAL(guest->taken[2], 1);
    EQUAL(guest->taken[0x51], 0);
}

TEST(halt_until_event) {
    vtl0_function(vtl0_halts, NULL);
    vtl0_to_stop(0);
    expect_halted();
    set_event(HV_EVENT_PENDING | 6u << HV_EVENT_EXC_VECTOR_SHIFT, 0);
    vtl0_finish();
    EQUAL(guest->vector, 6);
}

TEST(halt_with_interrupt_waiting) {
    // STI's shadow: the interrupt that waits already comes behind HLT, which it ends.
    vtl0_function(vtl0_halts, at(1));
    vtl0_to_stop(0);
    EQUAL(assert_interrupt(0, 0, 0x52), 0);
    vtl0_finish();
    EQUAL(guest->taken[0x52], 1);
}

TEST(halt_by_register) {
    vtl0_function(vtl0_one_stop, NULL);
    vtl0_to_stop(0);
    vtl0_set(HV_REGISTER_INTERNAL_ACTIVITY_STATE, HV_ACTIVITY_HALT_SUSPEND);
    expect_halted();
    vtl0_set(HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0);
    vtl0_finish();
}

TEST(startup_suspended) {
    vtl0_function(vtl0_one_stop, NULL);
    vtl0_set(HV_REGISTER_INTERNAL_ACTIVITY_STATE, HV_ACTIVITY_STARTUP_SUSPEND);
    watchdog_arm(1000);
    EQUAL(vtl0_enter(0), HV_VTL_ENTRY_INTERRUPT);
    take_interrupts();
    EQUAL(vtl0_get(HV_REGISTER_INTERNAL_ACTIVITY_STATE), HV_ACTIVITY_STARTUP_SUSPEND);
    vtl0_set(HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0);
    vtl0_to_stop(0);
    vtl0_finish();
}
