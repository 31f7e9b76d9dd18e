// SPDX-License-Identifier: MIT
//
// I/O APIC: Intel 82093AA with 24 pins, in version 0x20 (with the EOI register) as in the chipsets
// that followed it.
#pragma once

#include "devices/bus.h"
#include "devices/device.h"
#include "devices/irq.h"

#define IOAPIC_PINS  24u
#define IOAPIC_START UINT64_C(0xFEC00000) ///< the MADT says so too

struct ioapic_state {
    uint8_t id;                        ///< bits 27:24 of register 0
    uint8_t index;                     ///< IOREGSEL
    uint32_t seen;                     ///< the pins as the edge detectors saw them last
    uint64_t redirection[IOAPIC_PINS]; ///< with remote IRR; delivery status always reads 0
};

struct ioapic {
    struct device device; ///< register it with the machine
    // Glue.
    struct msi_sink msi;
    void (*route)(void *ctx, uint32_t pin, uint64_t address, uint32_t data);
    void *route_ctx;
    uint32_t pins;                ///< as they are
    uint64_t lost_count;          ///< messages that nobody took
    uint64_t routed[IOAPIC_PINS]; ///< the entries that route() has seen
    // Volatile.
    struct ioapic_state state;
};

struct ioapic_config {
    struct bus *mmio; ///< claims IOAPIC_START and the 4 KiB from there
    /// Where interrupt messages go: an MSI's address and data, data bit 15 set for level-triggered
    /// ones. Called on any thread with the IOAPIC's lock held: it must not call back.
    struct msi_sink msi;
    /// Told of every pin's message when the guest has changed it, masked or not; like msi. May be
    /// NULL.
    void (*route)(void *ctx, uint32_t pin, uint64_t address, uint32_t data);
    void *route_ctx;
};

/// 0 or bus_add()'s error.
int ioapic_init(struct ioapic *ioapic, const struct ioapic_config *config);

/// Level of a pin: asserted or not, whatever its polarity. Any thread.
void ioapic_set_pin(struct ioapic *ioapic, uint32_t pin, bool level);

/// A processor has ended a level-triggered interrupt with this vector. Any thread.
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector);
