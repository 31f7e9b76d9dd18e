// SPDX-License-Identifier: MIT
//
// Serial port: TI (National) PC16550D, as COM1 on a PC.
#pragma once

#include "devices/bus.h"
#include "devices/chardev.h"
#include "devices/device.h"
#include "devices/irq.h"
#include "devices/loop.h"

#define SERIAL_FIFO_BYTES 16u
#define SERIAL_TX_BYTES   512u ///< bytes on the wire, waiting for the backend

struct serial16550_state {
    uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
    uint8_t lsr_errors;   ///< LSR bits that stay until LSR is read
    uint8_t msr_inputs;   ///< CTS, DSR, RI, DCD as last seen: MSR bits 7:4
    uint8_t msr_deltas;   ///< MSR bits 3:0
    uint8_t thre_pending; ///< the transmitter interrupt, until IIR or THR is touched
    uint8_t rx_count;
    uint8_t rx[SERIAL_FIFO_BYTES];
    uint16_t tx_count;
    uint8_t tx[SERIAL_TX_BYTES];
};

struct serial16550 {
    struct device device; ///< register it with the machine
    // Glue.
    struct loop *loop;
    struct chardev *chardev;
    struct irq_line irq;
    struct loop_task rx_task;
    struct loop_task tx_task;
    struct loop_timer tx_timer;
    bool rx_more;           ///< the backend had more than fitted: ask again when there is room
    bool tx_scheduled;      ///< tx_timer will flush
    bool tx_blocked;        ///< the backend is full: writable() comes
    uint64_t dropped_count; ///< bytes written while THRE said no
    // Volatile.
    struct serial16550_state state;
};

struct serial16550_config {
    struct bus *pio;
    uint16_t port; ///< 0x3F8; claims eight ports
    struct irq_line irq;
    struct loop *loop;       ///< all calls to chardev happen on its thread
    struct chardev *chardev; ///< NULL: output is dropped
};

/// 0 or bus_add()'s error.
int serial16550_init(struct serial16550 *s, const char *name,
                     const struct serial16550_config *config);

/// Hands what the guest wrote to the backend now (otherwise within a millisecond). On the loop's
/// thread, without device.lock; before the machine powers off.
void serial16550_flush(struct serial16550 *s);
