// SPDX-License-Identifier: MIT
//
// The first serial port (16550 UART at 0x3f8), output only, polled.
#pragma once

#include <stddef.h>

/// 115200 8N1, FIFOs on, interrupts off. Without a UART (reads give 0xff) output is dropped.
void serial_init(void);

/// Writes text; "\n" becomes "\r\n". Never blocks for ever: a stuck port loses characters.
void serial_write(const char *text, size_t count);
