// SPDX-License-Identifier: MIT
//
// Packets between the VM worker and the variable process (uefi_vars_protocol.h).

#include "userspace/uefi_vars_protocol.h"

#include "igvm/base/bytes.h"

#include <errno.h>
#include <string.h>

/// What an operation may carry.
struct rule {
    uint8_t op;
    uint8_t direction;
    uint32_t payload_min_bytes, payload_max_bytes;
};

static const struct rule rules[] = {
    {UEFI_VARS_CALL, UEFI_VARS_TO_PROCESS, 24, UEFI_VARS_PAYLOAD_MAX_BYTES},
    {UEFI_VARS_RESET, UEFI_VARS_TO_PROCESS, 0, 0},
    {UEFI_VARS_INSPECT, UEFI_VARS_TO_PROCESS, 0, 0},
    {UEFI_VARS_CALL_DONE, UEFI_VARS_TO_CLIENT, 0, UEFI_VARS_PAYLOAD_MAX_BYTES},
    {UEFI_VARS_RESET_DONE, UEFI_VARS_TO_CLIENT, 0, 0},
    {UEFI_VARS_INSPECT_DONE, UEFI_VARS_TO_CLIENT, 0, UEFI_VARS_PAYLOAD_MAX_BYTES},
    {UEFI_VARS_READY, UEFI_VARS_TO_CLIENT, 0, 0},
};

static const struct rule *rule_of(uint8_t op, enum uefi_vars_direction direction) {
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (rules[i].op == op && rules[i].direction == direction) {
            return &rules[i];
        }
    }
    return NULL;
}

int uefi_vars_packet_parse(const uint8_t *bytes, size_t size_bytes,
                           enum uefi_vars_direction direction, struct uefi_vars_packet *out) {
    struct uefi_vars_wire_header h;
    struct uefi_vars_packet p;
    const struct rule *rule;

    if (size_bytes < sizeof(h) || size_bytes > UEFI_VARS_PACKET_MAX_BYTES) {
        return -EPROTO;
    }
    memcpy(&h, bytes, sizeof(h));
    rule = rule_of(h.op, direction);
    if (load_le32(h.magic) != UEFI_VARS_WIRE_MAGIC || h.version != UEFI_VARS_WIRE_VERSION ||
        rule == NULL || h.reserved[0] != 0 || h.reserved[1] != 0) {
        return -EPROTO;
    }
    p = (struct uefi_vars_packet){
        .op = (enum uefi_vars_op)h.op,
        .sequence = load_le32(h.sequence),
        .status = load_le32(h.status),
        .room = load_le32(h.room),
        .payload = bytes + sizeof(h),
        .payload_bytes = size_bytes - sizeof(h),
    };
    if (load_le32(h.size) != p.payload_bytes || p.payload_bytes < rule->payload_min_bytes ||
        p.payload_bytes > rule->payload_max_bytes || p.status > UEFI_VARS_STATUS_MAX ||
        (direction == UEFI_VARS_TO_PROCESS && p.status != 0) ||
        (p.sequence == 0) != (p.op == UEFI_VARS_READY)) {
        return -EPROTO;
    }
    if (p.op == UEFI_VARS_CALL ? p.room < p.payload_bytes || p.room > UEFI_VARS_PAYLOAD_MAX_BYTES
                               : p.room != 0) {
        return -EPROTO;
    }
    *out = p;
    return 0;
}

size_t uefi_vars_packet_format(uint8_t *out, const struct uefi_vars_packet *packet) {
    struct uefi_vars_wire_header h = {.version = UEFI_VARS_WIRE_VERSION, .op = (uint8_t)packet->op};

    if (packet->payload_bytes > UEFI_VARS_PAYLOAD_MAX_BYTES) {
        return 0;
    }
    store_le32(h.magic, UEFI_VARS_WIRE_MAGIC);
    store_le32(h.sequence, packet->sequence);
    store_le32(h.status, packet->status);
    store_le32(h.size, (uint32_t)packet->payload_bytes);
    store_le32(h.room, packet->room);
    if (packet->payload_bytes != 0) {
        memmove(out + sizeof(h), packet->payload, packet->payload_bytes);
    }
    memcpy(out, &h, sizeof(h));
    return sizeof(h) + packet->payload_bytes;
}
