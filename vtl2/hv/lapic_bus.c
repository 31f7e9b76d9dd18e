// SPDX-License-Identifier: MIT
//
// Local APIC: messages between APICs, IPIs and MSIs (Intel SDM vol. 3, 11.6, 11.11, 11.12.9).
// Everything here but lapic_send_icr() may run on any thread: it reads what an APIC published and
// posts into its inbox.
#include "vtl2/hv/lapic_internal.h"

#include <errno.h>
#include <stdatomic.h>

enum shorthand { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };

static void kick(struct hv_lapic *lapic) {
    lapic->bus->kick(lapic->bus->ctx, lapic->config.index);
}

static void post_vector(struct hv_lapic *lapic, uint8_t vector, bool level) {
    uint32_t bit = 1u << vector % 32;

    if (vector < APIC_FIRST_VECTOR) {
        atomic_fetch_or(&lapic->inbox.flags, APIC_MAIL_BAD_VECTOR);
        return;
    }
    // The trigger mode first: who collects the request sees it.
    if (level) {
        atomic_fetch_or(&lapic->inbox.level[vector / 32], bit);
    } else {
        atomic_fetch_and(&lapic->inbox.level[vector / 32], ~bit);
    }
    atomic_fetch_or(&lapic->inbox.requested[vector / 32], bit);
}

/// INIT undoes a start-up message before it; of two start-up messages the first counts.
static void post_flags(struct hv_lapic *lapic, uint32_t set, uint32_t clear, uint32_t unless) {
    uint32_t old = atomic_load(&lapic->inbox.flags);

    while ((old & unless) == 0 &&
           !atomic_compare_exchange_weak(&lapic->inbox.flags, &old, (old & ~clear) | set)) {
    }
}

/// False when this APIC does not take such messages now.
static bool post(struct hv_lapic *lapic, const struct hv_apic_message *message) {
    uint64_t address = atomic_load(&lapic->address);

    switch (message->delivery) {
    case HV_FIXED:
    case HV_LOWEST_PRIORITY:
        if ((address & APIC_ADDRESS_SOFTWARE) == 0) {
            return false;
        }
        post_vector(lapic, message->vector, message->level);
        break;
    case HV_NMI:
        post_flags(lapic, APIC_MAIL_NMI, 0, 0);
        break;
    case HV_INIT:
        post_flags(lapic, APIC_MAIL_INIT, APIC_MAIL_SIPI | APIC_MAIL_VECTOR_MASK | APIC_MAIL_NMI,
                   0);
        break;
    default: // HV_SIPI: hv_apic_send() let nothing else pass
        post_flags(lapic, APIC_MAIL_SIPI | (uint32_t)message->vector << APIC_MAIL_VECTOR_SHIFT, 0,
                   APIC_MAIL_SIPI);
        break;
    }
    kick(lapic);
    return true;
}

/// SDM 11.6.2 and, for x2APIC, 11.12.10.
static bool matches(uint64_t address, const struct hv_apic_message *message) {
    uint32_t destination = message->destination;
    uint32_t id = (uint32_t)address, ldr = (uint32_t)(address >> APIC_ADDRESS_LDR_SHIFT) & 0xFF;

    if ((address & APIC_ADDRESS_HARDWARE) == 0) {
        return false;
    }
    if (destination == (message->wide ? UINT32_MAX : 0xFF)) {
        return true;
    }
    if (!message->logical) {
        return destination == id;
    }
    if ((address & APIC_ADDRESS_X2APIC) != 0) {
        // The logical id is [31:16] id >> 4, [15:0] one bit of 16.
        return destination >> 16 == id >> 4 && (destination & 1u << (id & 15)) != 0;
    }
    if (destination > 0xFF) {
        return false;
    }
    if ((address & APIC_ADDRESS_FLAT) != 0) {
        return (destination & ldr) != 0;
    }
    return destination >> 4 == ldr >> 4 && (destination & ldr & 0xF) != 0;
}

static bool is_sendable(const struct hv_apic_message *message) {
    switch (message->delivery) {
    case HV_FIXED:
    case HV_LOWEST_PRIORITY:
    case HV_NMI:
    case HV_INIT:
    case HV_SIPI:
        return true;
    default:
        return false;
    }
}

/// One of those that match and are enabled. Which one is the platform's choice (SDM 11.6.2.4): the
/// vector spreads them, and the same vector stays where its handler's data is in the cache.
static int send_lowest(struct hv_apic_bus *bus, const struct hv_apic_message *message) {
    uint32_t candidates = 0, chosen;

    for (uint32_t pass = 0; pass < 2; pass++) {
        uint32_t seen = 0;

        chosen = candidates == 0 ? 0 : message->vector % candidates;
        for (uint32_t i = 0; i < bus->count; i++) {
            struct hv_lapic *lapic = bus->lapic(bus->ctx, i);
            uint64_t address = atomic_load(&lapic->address);

            if ((address & APIC_ADDRESS_SOFTWARE) == 0 || !matches(address, message)) {
                continue;
            }
            if (pass == 1 && seen == chosen && post(lapic, message)) {
                return 0;
            }
            seen++;
        }
        candidates = seen;
    }
    return -ESRCH;
}

int hv_apic_send(struct hv_apic_bus *bus, const struct hv_apic_message *message) {
    bool accepted = false;

    if (!is_sendable(message)) {
        return -EINVAL;
    }
    if (message->delivery == HV_LOWEST_PRIORITY) {
        return send_lowest(bus, message);
    }
    for (uint32_t i = 0; i < bus->count; i++) {
        struct hv_lapic *lapic = bus->lapic(bus->ctx, i);

        if (matches(atomic_load(&lapic->address), message)) {
            accepted |= post(lapic, message);
        }
    }
    return accepted ? 0 : -ESRCH;
}

int hv_apic_send_msi(struct hv_apic_bus *bus, uint64_t address, uint32_t data) {
    struct hv_apic_message message = {
        .destination = (uint32_t)address >> 12 & 0xFF,
        .logical = (address & 1u << 2) != 0,
        .level = (data & APIC_ICR_LEVEL) != 0,
        .delivery = data >> APIC_ICR_DELIVERY_SHIFT & 7,
        .vector = (uint8_t)data,
    };

    if (address >> 20 != 0xFEE) {
        return -EINVAL;
    }
    if (message.level && (data & APIC_ICR_ASSERT) == 0) {
        return 0; // a level that goes away: nothing to deliver
    }
    return hv_apic_send(bus, &message);
}

void hv_lapic_request(struct hv_lapic *lapic, uint8_t vector) {
    (void)post(lapic, &(struct hv_apic_message){.delivery = HV_FIXED, .vector = vector});
}

void hv_lapic_request_nmi(struct hv_lapic *lapic) {
    (void)post(lapic, &(struct hv_apic_message){.delivery = HV_NMI});
}

/// Every APIC but maybe the sender's, whatever its id.
static void send_to_all(struct hv_lapic *from, bool but_self, struct hv_apic_message *message) {
    for (uint32_t i = 0; i < from->bus->count; i++) {
        struct hv_lapic *lapic = from->bus->lapic(from->bus->ctx, i);

        if ((lapic != from || !but_self) &&
            (atomic_load(&lapic->address) & APIC_ADDRESS_HARDWARE) != 0) {
            (void)post(lapic, message);
        }
    }
}

void lapic_send_icr(struct hv_lapic *lapic, uint32_t icr_low, uint32_t destination, bool wide) {
    enum shorthand shorthand = icr_low >> APIC_ICR_SHORTHAND_SHIFT & 3;
    struct hv_apic_message message = {
        .destination = destination,
        .logical = (icr_low & APIC_ICR_LOGICAL) != 0,
        .wide = wide,
        .level = false, // IPIs are edges, whatever bit 15 says (SDM 11.6.1)
        .delivery = icr_low >> APIC_ICR_DELIVERY_SHIFT & 7,
        .vector = (uint8_t)icr_low,
    };
    bool has_vector = message.delivery == HV_FIXED || message.delivery == HV_LOWEST_PRIORITY;

    if (has_vector && message.vector < APIC_FIRST_VECTOR) {
        lapic_error(lapic, APIC_ESR_SEND_VECTOR);
        return;
    }
    if (!is_sendable(&message)) {
        return;
    }
    if (message.delivery == HV_INIT &&
        (icr_low & (APIC_ICR_LEVEL | APIC_ICR_ASSERT)) == APIC_ICR_LEVEL) {
        return; // INIT level de-assert: no effect since the Pentium 4
    }
    switch (shorthand) {
    case TO_DESTINATION:
        (void)hv_apic_send(lapic->bus, &message);
        break;
    case TO_SELF:
        if (message.delivery == HV_FIXED) { // no other is valid (SDM table 11-3)
            (void)post(lapic, &message);
        }
        break;
    case TO_ALL:
        if (message.delivery == HV_FIXED) {
            send_to_all(lapic, false, &message);
        }
        break;
    case TO_OTHERS:
        if (message.delivery == HV_LOWEST_PRIORITY) {
            message.delivery = HV_FIXED; // valid, and no better defined
        }
        send_to_all(lapic, true, &message);
        break;
    }
}
