// SPDX-License-Identifier: MIT
//
// The keyboard controller's last use: command 0xFE at port 0x64 pulses the processors' reset line
// (IBM PC AT Technical Reference, 8042 command FE). UEFI firmware's warm reset goes that way. There
// is no keyboard: reads give all-ones, which is how software finds that none is there.
#pragma once

#include "devices/bus.h"

#define RESET_PORT         0x64u
#define RESET_PORT_COMMAND 0xFEu

/// No state of its own: nothing to save or reset.
struct reset_port {
    void (*reset_requested)(void *ctx); ///< on a VP's thread; only notes the request
    void *ctx;
};

/// 0 or bus_add()'s error.
int reset_port_init(struct reset_port *port, struct bus *pio, void (*reset_requested)(void *ctx),
                    void *ctx);
