// SPDX-License-Identifier: MIT
//
// Registers of the PC16550D (data sheet, chapter 8, table II), with its names.
#pragma once

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
