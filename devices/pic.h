// SPDX-License-Identifier: MIT
//
// The pair of Intel 8259A interrupt controllers of a PC, with the edge/level control registers of
// the chipsets since EISA.
#pragma once

#include "devices/bus.h"
#include "devices/device.h"

#define PIC_CHIPS   2u
#define PIC_LINES   16u
#define PIC_CASCADE 2u ///< the slave's INT; no line of its own

/// Master first. Masks: bit n is IR n of the chip.
struct pic_state {
    uint8_t irr[PIC_CHIPS];  ///< requests
    uint8_t isr[PIC_CHIPS];  ///< in service
    uint8_t imr[PIC_CHIPS];  ///< OCW1: masked
    uint8_t elcr[PIC_CHIPS]; ///< 1: level-triggered
    uint8_t seen[PIC_CHIPS]; ///< the lines as the edge detectors saw them last
    uint8_t icw1[PIC_CHIPS];
    uint8_t icw2[PIC_CHIPS]; ///< vector of IR0
    uint8_t icw3[PIC_CHIPS]; ///< kept; a PC's cascade is wired
    uint8_t icw4[PIC_CHIPS];
    uint8_t next_icw[PIC_CHIPS]; ///< which command word comes at the odd port; 0: none, OCW1
    uint8_t lowest[PIC_CHIPS];   ///< IR with the lowest priority
    uint8_t ocw3[PIC_CHIPS];     ///< read ISR, special mask mode
    uint8_t poll[PIC_CHIPS];     ///< the next read is a poll
    uint8_t rotate_aeoi[PIC_CHIPS];
};

struct pic {
    struct device device; ///< register it with the machine
    // Fixed.
    uint16_t level_lines;
    // Glue.
    void (*set_intr)(void *ctx, bool level);
    void *set_intr_ctx;
    uint8_t pins[PIC_CHIPS]; ///< the lines as they are
    bool intr;               ///< last level given
    // Volatile.
    struct pic_state state;
};

struct pic_config {
    struct bus *pio; ///< claims ports 0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1
    /// The master's INT output. Called when it changed, on any thread, with the PIC's lock held: it
    /// must not call back.
    void (*set_intr)(void *ctx, bool level);
    void *set_intr_ctx;
    /// Bit n: line n is level-triggered after a reset, as firmware sets up the lines of PCI.
    uint16_t level_lines;
};

/// 0 or bus_add()'s error.
int pic_init(struct pic *pic, const struct pic_config *config);

/// Level of a line, 0 to 15; others and PIC_CASCADE are nobody's. Any thread.
void pic_set_line(struct pic *pic, uint32_t line, bool level);

/// The processor's interrupt acknowledge cycle: the vector. -1 when INT is low by now (the
/// processor then has nothing to acknowledge).
int pic_acknowledge(struct pic *pic);
