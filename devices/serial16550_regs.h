// SPDX-License-Identifier: MIT
//
// Registers of the PC16550D (data sheet, chapter 8, table II), with its names.
#pragma once

enum {
    REG_RBR_THR_DLL = 0,
    REG_IER_DLM = 1,
    REG_IIR_FCR = 2,
    REG_LCR = 3,
    REG_MCR = 4,
    REG_LSR = 5,
    REG_MSR = 6,
    REG_SCR = 7,
};

#define IER_RDA      0x01u ///< ERBFI
#define IER_THRE     0x02u ///< ETBEI
#define IER_RLS      0x04u ///< ELSI
#define IER_MSR      0x08u ///< EDSSI
#define IER_WRITABLE 0x0Fu

// IIR identification (table V), highest priority first.
#define IIR_RLS     0x06u
#define IIR_RDA     0x04u
#define IIR_TIMEOUT 0x0Cu
#define IIR_THRE    0x02u
#define IIR_MSR     0x00u
#define IIR_NONE    0x01u
#define IIR_FIFOS   0xC0u

#define FCR_ENABLE   0x01u
#define FCR_RESET_RX 0x02u
#define FCR_KEPT     0xC9u ///< enable, DMA mode, trigger level; the resets clear themselves

#define LCR_DLAB 0x80u

#define MCR_DTR      0x01u
#define MCR_RTS      0x02u
#define MCR_OUT1     0x04u
#define MCR_OUT2     0x08u
#define MCR_LOOP     0x10u
#define MCR_WRITABLE 0x1Fu

#define LSR_DR   0x01u
#define LSR_OE   0x02u
#define LSR_THRE 0x20u
#define LSR_TEMT 0x40u

#define MSR_TERI 0x04u
#define MSR_CTS  0x10u
#define MSR_DSR  0x20u
#define MSR_RI   0x40u
#define MSR_DCD  0x80u
/// The other end is always there and ready.
#define MSR_CONNECTED (MSR_CTS | MSR_DSR | MSR_DCD)
