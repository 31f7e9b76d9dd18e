// SPDX-License-Identifier: MIT
//
// Registers of the PC16550D (data sheet, chapter 8, table II), with its names, and what follows
// from their values alone.
#pragma once

#include "devices/serial16550.h"

enum {
    UART_RBR_THR_DLL = 0,
    UART_IER_DLM = 1,
    UART_IIR_FCR = 2,
    UART_LCR = 3,
    UART_MCR = 4,
    UART_LSR = 5,
    UART_MSR = 6,
    UART_SCR = 7,
};

#define UART_IER_RDA      0x01u ///< ERBFI
#define UART_IER_THRE     0x02u ///< ETBEI
#define UART_IER_RLS      0x04u ///< ELSI
#define UART_IER_MSR      0x08u ///< EDSSI
#define UART_IER_WRITABLE 0x0Fu

// IIR identification (table V), highest priority first.
#define UART_IIR_RLS     0x06u
#define UART_IIR_RDA     0x04u
#define UART_IIR_TIMEOUT 0x0Cu
#define UART_IIR_THRE    0x02u
#define UART_IIR_MSR     0x00u
#define UART_IIR_NONE    0x01u
#define UART_IIR_FIFOS   0xC0u

#define UART_FCR_ENABLE   0x01u
#define UART_FCR_RESET_RX 0x02u
#define UART_FCR_KEPT     0xC9u ///< enable, DMA mode, trigger level; the resets clear themselves

#define UART_LCR_DLAB 0x80u

#define UART_MCR_DTR      0x01u
#define UART_MCR_RTS      0x02u
#define UART_MCR_OUT1     0x04u
#define UART_MCR_OUT2     0x08u
#define UART_MCR_LOOP     0x10u
#define UART_MCR_WRITABLE 0x1Fu

#define UART_LSR_DR   0x01u
#define UART_LSR_OE   0x02u
#define UART_LSR_THRE 0x20u
#define UART_LSR_TEMT 0x40u

#define UART_MSR_TERI 0x04u
#define UART_MSR_CTS  0x10u
#define UART_MSR_DSR  0x20u
#define UART_MSR_RI   0x40u
#define UART_MSR_DCD  0x80u
/// The other end is always there and ready.
#define UART_MSR_CONNECTED (UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD)

/// How many bytes the receiver holds.
static inline uint8_t uart_rx_depth(const struct serial16550_state *st) {
    return (st->fcr & UART_FCR_ENABLE) ? SERIAL_FIFO_BYTES : 1;
}

static inline uint8_t uart_rx_trigger(const struct serial16550_state *st) {
    static const uint8_t levels[4] = {1, 4, 8, 14};

    return (st->fcr & UART_FCR_ENABLE) ? levels[st->fcr >> 6] : 1;
}

/// The transmitter takes a whole FIFO more.
static inline bool uart_tx_empty(const struct serial16550_state *st) {
    return st->tx_count + SERIAL_FIFO_BYTES <= SERIAL_TX_BYTES;
}

/// IIR bits 3:0. Fewer bytes than the trigger level give the character timeout interrupt at once:
/// that the backend had no more is the silence of four character times that it stands for (8.10).
static inline uint8_t uart_interrupt_id(const struct serial16550_state *st) {
    if ((st->ier & UART_IER_RLS) && st->lsr_errors) {
        return UART_IIR_RLS;
    }
    if ((st->ier & UART_IER_RDA) && st->rx_count >= uart_rx_trigger(st)) {
        return UART_IIR_RDA;
    }
    if ((st->ier & UART_IER_RDA) && st->rx_count > 0) {
        return UART_IIR_TIMEOUT;
    }
    if ((st->ier & UART_IER_THRE) && st->thre_pending) {
        return UART_IIR_THRE;
    }
    if ((st->ier & UART_IER_MSR) && st->msr_deltas) {
        return UART_IIR_MSR;
    }
    return UART_IIR_NONE;
}
