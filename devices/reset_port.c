// SPDX-License-Identifier: MIT
//
// Port 0x64 of a machine without a keyboard controller: see reset_port.h.
#include "devices/reset_port.h"

static enum bus_result port_access(void *self, struct bus_access *access) {
    struct reset_port *port = self;

    if (!access->is_write || access->value != RESET_PORT_COMMAND) {
        return BUS_NOT_MINE;
    }
    port->reset_requested(port->ctx);
    return BUS_OK;
}

int reset_port_init(struct reset_port *port, struct bus *pio, void (*reset_requested)(void *ctx),
                    void *ctx) {
    struct bus_region region = {.start = RESET_PORT,
                                .size_bytes = 1,
                                .fn = port_access,
                                .self = port,
                                .name = "reset-port"};

    *port = (struct reset_port){.reset_requested = reset_requested, .ctx = ctx};
    return bus_add(pio, &region);
}
