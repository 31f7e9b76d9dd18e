// SPDX-License-Identifier: MIT
//
// How a device interrupts the guest: a level-triggered or edge line, and message-signalled
// interrupts. The machine (userspace/) wires them to the platform; tests to a recorder.
#pragma once

#include <stdbool.h>
#include <stdint.h>

/// One interrupt line. set() is called with the level whenever a device recomputed it; it must be
/// cheap when the level did not change (the helper below filters), and may be called on any thread.
struct irq_line {
    void (*set)(void *ctx, uint32_t line, bool level);
    void *ctx;
    uint32_t line; ///< global system interrupt
    bool level;    ///< last level given; glue, not guest state: recomputed after a load
};

static inline void irq_set(struct irq_line *irq, bool level) {
    if (irq->level != level) {
        irq->level = level;
        if (irq->set) {
            irq->set(irq->ctx, irq->line, level);
        }
    }
}

/// Message-signalled interrupts: address and data as in the PCI MSI/MSI-X capability.
struct msi_sink {
    int (*send)(void *ctx, uint64_t address, uint32_t data); ///< 0 or -errno; any thread
    void *ctx;
};
