// SPDX-License-Identifier: MIT
//
// The firmware's debug console: bytes to lines. What is not printable ASCII is shown as '?', so
// that the guest cannot put control characters into our log.
#include "devices/debugcon.h"

#include "igvm/base/types.h"

#include <string.h>

static const struct state_field fields[] = {
    STATE_BYTE_ARRAY(1, struct debugcon_state, line, DEBUGCON_LINE_BYTES, GUEST),
    STATE_SCALAR(2, struct debugcon_state, line_bytes, U32, PUBLIC, 0, DEBUGCON_LINE_BYTES - 1),
};

static const struct state_table table = {
    .name = "debugcon",
    .version = 1,
    .field_count = ARRAY_COUNT(fields),
    .struct_bytes = sizeof(struct debugcon_state),
    .fields = fields,
};

static uint8_t printable(uint8_t byte) {
    return byte >= 0x20 && byte < 0x7F ? byte : '?';
}

static void end_line(struct debugcon *con) {
    struct debugcon_state *st = &con->state;
    char text[DEBUGCON_LINE_BYTES];

    memcpy(text, st->line, st->line_bytes); // at most DEBUGCON_LINE_BYTES - 1
    text[st->line_bytes] = '\0';
    st->line_bytes = 0;
    if (text[0] != '\0') {
        con->put_line(con->ctx, text);
    }
}

static void put_byte(struct debugcon *con, uint8_t byte) {
    struct debugcon_state *st = &con->state;

    if (byte == '\n') {
        end_line(con);
    } else if (byte != '\r') {
        st->line[st->line_bytes++] = printable(byte);
        if (st->line_bytes == DEBUGCON_LINE_BYTES - 1) {
            end_line(con); // a longer one is shown in pieces
        }
    }
}

static enum bus_result port_access(void *self, struct bus_access *access) {
    struct debugcon *con = self;

    if (access->is_write) {
        put_byte(con, (uint8_t)access->value);
    } else {
        access->value = DEBUGCON_READS;
    }
    return BUS_OK;
}

static void reset(void *self, device_reset_done_fn done, void *ctx) {
    struct debugcon *con = self;

    end_line(con); // the last words before the reset
    state_reset(&table, &con->state);
    done(ctx);
}

/// A line from a blob consists of what put_byte() lets through.
static int after_load(void *self) {
    struct debugcon *con = self;

    for (uint32_t i = 0; i < con->state.line_bytes; i++) {
        con->state.line[i] = printable(con->state.line[i]);
    }
    return 0;
}

static const struct device_ops ops = {.state = &table, .reset = reset, .after_load = after_load};

int debugcon_init(struct debugcon *con, struct bus *pio,
                  void (*put_line)(void *ctx, const char *line), void *ctx) {
    struct bus_region port = {.start = DEBUGCON_PORT,
                              .size_bytes = 1,
                              .fn = port_access,
                              .self = con,
                              .lock = &con->device.lock,
                              .name = "debugcon"};

    memset(con, 0, sizeof(*con));
    con->put_line = put_line;
    con->ctx = ctx;
    device_init(&con->device, "debugcon", &ops, con, &con->state);
    return bus_add(pio, &port);
}
