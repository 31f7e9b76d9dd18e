// SPDX-License-Identifier: MIT
//
// Checks and writes the messages between the vault and its clients (vault_protocol.h).
#include "userspace/vault_protocol.h"

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool is_answer(uint8_t op) {
    return op == VAULT_READ_DONE || op == VAULT_WRITE_DONE;
}

static bool is_request(uint8_t op) {
    return op == VAULT_READ || op == VAULT_WRITE;
}

/// Whether the numbers fit the operation. Payload stands in a good READ_DONE and in every WRITE.
static bool numbers_fit(const struct vault_message *m) {
    bool has_payload = m->op == VAULT_WRITE || (m->op == VAULT_READ_DONE && m->status == 0);
    bool has_total = m->op != VAULT_READ && m->status == 0;
    uint32_t end;

    if (m->sequence == 0 || m->status > VAULT_STATUS_MAX || (is_request(m->op) && m->status != 0) ||
        (m->total != 0) != has_total || m->total > VAULT_FILE_MAX_BYTES ||
        m->offset >= VAULT_FILE_MAX_BYTES || (m->payload_bytes != 0) != has_payload ||
        m->payload_bytes > VAULT_PAYLOAD_MAX_BYTES) {
        return false;
    }
    return !has_total || (!__builtin_add_overflow(m->offset, (uint32_t)m->payload_bytes, &end) &&
                          m->offset < m->total && end <= m->total);
}

int vault_message_parse(const uint8_t *bytes, size_t size_bytes, enum vault_direction direction,
                        struct vault_message *out) {
    struct cursor c = cursor_init(bytes, size_bytes);
    struct vault_wire_header h;
    struct vault_message m;

    if (!cursor_copy(&c, &h, sizeof(h))) {
        return -EPROTO;
    }
    if (load_le32(h.magic) != VAULT_MAGIC || h.version != VAULT_VERSION ||
        load_le16(h.reserved) != 0 ||
        !(direction == VAULT_TO_PROCESS ? is_request(h.op) : is_answer(h.op)) ||
        load_le32(h.size) != cursor_left(&c)) {
        return -EPROTO;
    }
    m = (struct vault_message){
        .op = (enum vault_op)h.op,
        .sequence = load_le64(h.sequence),
        .status = load_le32(h.status),
        .total = load_le32(h.total),
        .offset = load_le32(h.offset),
        .payload = bytes + VAULT_HEADER_BYTES,
        .payload_bytes = cursor_left(&c),
    };
    if (!numbers_fit(&m)) {
        return -EPROTO;
    }
    *out = m;
    return 0;
}

size_t vault_message_format(uint8_t *out, const struct vault_message *message) {
    struct vault_wire_header h = {.version = VAULT_VERSION, .op = (uint8_t)message->op};

    CHECK(message->payload_bytes <= VAULT_PAYLOAD_MAX_BYTES);
    store_le32(h.magic, VAULT_MAGIC);
    store_le64(h.sequence, message->sequence);
    store_le32(h.status, message->status);
    store_le32(h.total, message->total);
    store_le32(h.offset, message->offset);
    store_le32(h.size, (uint32_t)message->payload_bytes);
    memcpy(out, &h, sizeof(h));
    if (message->payload_bytes != 0) {
        memcpy(out + VAULT_HEADER_BYTES, message->payload, message->payload_bytes);
    }
    return VAULT_HEADER_BYTES + message->payload_bytes;
}
