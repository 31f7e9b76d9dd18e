// SPDX-License-Identifier: MIT
//
// Checks and writes the messages between the VM worker and the vTPM process (vtpm_protocol.h).

#include "userspace/vtpm_protocol.h"

#include "igvm/base/bytes.h"

#include <errno.h>
#include <string.h>

#define TPM_HEADER_BYTES 10u ///< no TPM command or response is smaller

/// What each operation may carry. Everything not said here must be zero.
struct op_rule {
    uint8_t op;
    uint8_t direction;
    uint8_t has_locality;
    uint8_t has_status;
    uint8_t has_sequence;
    uint8_t has_payload; ///< when status is 0
};

static const struct op_rule op_rules[] = {
    {VTPM_COMMAND, VTPM_TO_PROCESS, 1, 0, 1, 1},
    {VTPM_CANCEL, VTPM_TO_PROCESS, 0, 0, 1, 0},
    {VTPM_POWER_CYCLE, VTPM_TO_PROCESS, 0, 0, 1, 0},
    {VTPM_COMMAND_DONE, VTPM_TO_CLIENT, 0, 1, 1, 1},
    {VTPM_POWER_CYCLE_DONE, VTPM_TO_CLIENT, 0, 1, 1, 0},
    {VTPM_READY, VTPM_TO_CLIENT, 0, 1, 0, 0},
};

static const struct op_rule *find_rule(uint8_t op, enum vtpm_direction direction) {
    for (size_t i = 0; i < sizeof(op_rules) / sizeof(op_rules[0]); i++) {
        if (op_rules[i].op == op && op_rules[i].direction == (uint8_t)direction) {
            return &op_rules[i];
        }
    }
    return NULL;
}

int vtpm_message_parse(const uint8_t *bytes, size_t size_bytes, enum vtpm_direction direction,
                       struct vtpm_message *out) {
    struct cursor c = cursor_init(bytes, size_bytes);
    struct vtpm_wire_header h;
    const struct op_rule *rule;
    struct vtpm_message m;
    uint32_t payload_bytes;
    bool payload_due;

    if (!cursor_copy(&c, &h, sizeof(h))) {
        return -EPROTO;
    }
    rule = find_rule(h.op, direction);
    if (load_le32(h.magic) != VTPM_MAGIC || h.version != VTPM_VERSION || rule == NULL ||
        h.reserved0 != 0 || load_le32(h.reserved1) != 0) {
        return -EPROTO;
    }
    m.op = (enum vtpm_op)h.op;
    m.locality = h.locality;
    m.sequence = load_le32(h.sequence);
    m.status = load_le32(h.status);
    payload_bytes = load_le32(h.size);
    payload_due = rule->has_payload && m.status == 0;

    if (m.locality > (rule->has_locality ? VTPM_LOCALITY_MAX : 0) ||
        (m.sequence != 0) != (rule->has_sequence != 0) || (!rule->has_status && m.status != 0) ||
        m.status > VTPM_STATUS_MAX || payload_bytes != cursor_left(&c) ||
        payload_bytes > VTPM_PAYLOAD_MAX_BYTES || (!payload_due && payload_bytes != 0) ||
        (payload_due && payload_bytes < TPM_HEADER_BYTES)) {
        return -EPROTO;
    }
    m.payload = bytes + VTPM_HEADER_BYTES;
    m.payload_bytes = payload_bytes;
    *out = m;
    return 0;
}

size_t vtpm_message_format(uint8_t *out, const struct vtpm_message *message) {
    struct vtpm_wire_header h = {
        .version = VTPM_VERSION,
        .op = (uint8_t)message->op,
        .locality = message->locality,
    };

    if (message->payload_bytes > VTPM_PAYLOAD_MAX_BYTES) {
        return 0;
    }
    store_le32(h.magic, VTPM_MAGIC);
    store_le32(h.sequence, message->sequence);
    store_le32(h.status, message->status);
    store_le32(h.size, (uint32_t)message->payload_bytes);
    if (message->payload_bytes != 0) {
        memmove(out + VTPM_HEADER_BYTES, message->payload, message->payload_bytes);
    }
    memcpy(out, &h, sizeof(h));
    return VTPM_HEADER_BYTES + message->payload_bytes;
}
