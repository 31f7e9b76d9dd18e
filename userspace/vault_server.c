// SPDX-License-Identifier: MIT
//
// The vault's end of its protocol (vault_protocol.h).
#include "userspace/vault_server.h"

#include "igvm/base/log.h"

#include <errno.h>
#include <string.h>

#define AREA "vault"

static void forget(struct vault_client *c) {
    explicit_bzero(c->staging, c->staged_bytes > c->copy_bytes ? c->staged_bytes : c->copy_bytes);
    c->staged_bytes = c->total_bytes = c->copy_bytes = 0;
}

/// Fills the answer to a READ. 0 or -errno.
static int serve_read(struct vault_store *store, struct vault_client *c, uint32_t offset,
                      struct vault_message *answer) {
    size_t left;

    if (offset == 0) {
        size_t size = 0;
        int r;

        forget(c); // a write that was not completed is given up
        r = vault_store_read(store, c->file_id, c->staging, VAULT_FILE_MAX_BYTES, &size);
        if (r != 0) {
            return r;
        }
        c->copy_bytes = (uint32_t)size;
    }
    if (offset >= c->copy_bytes) {
        // An empty file is none that a client of ours has written.
        return offset == 0 ? -EBADMSG : -EPROTO;
    }
    left = c->copy_bytes - offset;
    answer->total = c->copy_bytes;
    answer->payload = c->staging + offset;
    answer->payload_bytes = left < VAULT_PAYLOAD_MAX_BYTES ? left : VAULT_PAYLOAD_MAX_BYTES;
    return 0;
}

/// Takes a piece; the last one makes the file. 0 or -errno.
static int serve_write(struct vault_store *store, struct vault_client *c,
                       const struct vault_message *m, struct vault_message *answer) {
    int r = 0;

    answer->total = m->total;
    if (m->offset == 0) {
        forget(c);
        c->total_bytes = m->total;
    }
    if (m->total != c->total_bytes || m->offset != c->staged_bytes) {
        forget(c);
        return -EPROTO;
    }
    memcpy(c->staging + m->offset, m->payload, m->payload_bytes); // the parser has bounded it
    c->staged_bytes += (uint32_t)m->payload_bytes;
    if (c->staged_bytes == c->total_bytes) {
        r = vault_store_write(store, c->file_id, c->staging, c->total_bytes);
        forget(c);
    }
    return r;
}

size_t vault_serve(struct vault_store *store, struct vault_client *client, const uint8_t *packet,
                   size_t packet_bytes, uint8_t *out) {
    struct vault_message m;
    struct vault_message answer;
    size_t size;
    int r;

    if (vault_message_parse(packet, packet_bytes, VAULT_TO_PROCESS, &m) != 0) {
        LOG_LIMITED(LOG_WARN, AREA, "dropped a packet of %zu bytes that is no message",
                    packet_bytes);
        return 0;
    }
    answer = (struct vault_message){
        .op = m.op == VAULT_READ ? VAULT_READ_DONE : VAULT_WRITE_DONE,
        .sequence = m.sequence,
        .offset = m.offset,
    };
    r = m.op == VAULT_READ ? serve_read(store, client, m.offset, &answer)
                           : serve_write(store, client, &m, &answer);
    if (r != 0) {
        answer.status = (uint32_t)-r;
        answer.total = 0;
        answer.payload_bytes = 0;
    }
    size = vault_message_format(out, &answer);
    if (m.op == VAULT_READ && r == 0 &&
        answer.offset + (uint32_t)answer.payload_bytes == client->copy_bytes) {
        forget(client); // handed out: what is secret stays no longer than needed
    }
    return size;
}
