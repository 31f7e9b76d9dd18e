// SPDX-License-Identifier: MIT
//
// The debug console of virtual machines' firmware: one port, every byte written is a character of
// the firmware's log. EDK II (OvmfPkg/README, "DEBUG messages") probes it by reading 0xE9 and is
// silent without it. For diagnosis only: the machine has it when the configuration says so.
#pragma once

#include "devices/bus.h"
#include "devices/device.h"

#define DEBUGCON_PORT       0x402u
#define DEBUGCON_READS      0xE9u
#define DEBUGCON_LINE_BYTES 160u

struct debugcon_state {
    uint8_t line[DEBUGCON_LINE_BYTES]; ///< what was written since the last line end
    uint32_t line_bytes;
};

struct debugcon {
    struct device device; ///< register it with the machine
    /// A line without its end, printable characters only; called with device.lock held.
    void (*put_line)(void *ctx, const char *line);
    void *ctx;
    struct debugcon_state state;
};

/// 0 or bus_add()'s error.
int debugcon_init(struct debugcon *con, struct bus *pio,
                  void (*put_line)(void *ctx, const char *line), void *ctx);
