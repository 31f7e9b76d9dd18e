// SPDX-License-Identifier: MIT
//
// 16550 UART, polled output (National Semiconductor PC16550D data sheet).

#include "loader/bare/serial.h"

#include <stdbool.h>

#include "loader/bare/cpu.h"

#define COM1_BASE 0x3f8u
#define REG_THR   0u // transmit, when DLAB is clear; divisor low when set
#define REG_IER   1u // interrupt enable; divisor high when DLAB is set
#define REG_FCR   2u
#define REG_LCR   3u
#define REG_MCR   4u
#define REG_LSR   5u

#define LCR_8N1      0x03u
#define LCR_DLAB     0x80u
#define FCR_ON_CLEAR 0x07u
#define MCR_DTR_RTS  0x03u
#define LSR_THRE     0x20u
#define LSR_ABSENT   0xffu

#define MAX_POLLS 100000u // far above one character time at 115200 baud

static bool present;

static void write_reg(unsigned reg, uint8_t value) {
    cpu_outb((uint16_t)(COM1_BASE + reg), value);
}

void serial_init(void) {
    present = cpu_inb(COM1_BASE + REG_LSR) != LSR_ABSENT;
    if (!present) {
        return;
    }
    write_reg(REG_IER, 0);
    write_reg(REG_LCR, LCR_8N1 | LCR_DLAB);
    write_reg(REG_THR, 1); // divisor 1: 115200 baud
    write_reg(REG_IER, 0);
    write_reg(REG_LCR, LCR_8N1);
    write_reg(REG_FCR, FCR_ON_CLEAR);
    write_reg(REG_MCR, MCR_DTR_RTS);
}

static void put(char c) {
    for (unsigned i = 0; i < MAX_POLLS; i++) {
        if ((cpu_inb(COM1_BASE + REG_LSR) & LSR_THRE) != 0) {
            write_reg(REG_THR, (uint8_t)c);
            return;
        }
    }
}

void serial_write(const char *text, size_t count) {
    if (!present) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (text[i] == '\n') {
            put('\r');
        }
        put(text[i]);
    }
}
