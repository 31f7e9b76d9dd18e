// SPDX-License-Identifier: MIT
// cbmc-sources: userspace/vault_protocol.c
// cbmc-flags: --unwind 12 --unwindset memcpy.0:33 -D __builtin_memcpy=memcpy
//
// Proof: vault_message_parse() reads no byte outside a packet of any contents and size, and what it
// accepts keeps every promise that vault_protocol.h makes to vault and client: a piece lies within
// its file, a file within its buffer.

#include <stdint.h>
#include <stdlib.h>

#include "tests/proofs/proof.h"
#include "userspace/vault_protocol.h"

int main(void) {
    enum vault_direction direction = nondet_bool() ? VAULT_TO_PROCESS : VAULT_TO_CLIENT;
    size_t size = nondet_size();
    struct vault_message m;
    uint8_t *packet;

    __CPROVER_assume(size <= VAULT_MESSAGE_MAX_BYTES + 1);
    packet = malloc(size); // contents are arbitrary
    __CPROVER_assume(packet != NULL);
    if (vault_message_parse(packet, size, direction, &m) != 0) {
        return 0;
    }
    __CPROVER_assert(m.payload == packet + VAULT_HEADER_BYTES, "payload behind the header");
    __CPROVER_assert(m.payload_bytes == size - VAULT_HEADER_BYTES, "payload fills the packet");
    __CPROVER_assert(m.payload_bytes <= VAULT_PAYLOAD_MAX_BYTES, "payload fits every buffer");
    __CPROVER_assert(m.total <= VAULT_FILE_MAX_BYTES, "a file fits every buffer");
    __CPROVER_assert(m.payload_bytes == 0 ||
                         (uint64_t)m.offset + m.payload_bytes <= (uint64_t)m.total,
                     "a piece lies within its file");
    __CPROVER_assert((m.op == VAULT_WRITE) <= (m.payload_bytes != 0), "a write brings something");
    __CPROVER_assert((m.op < 0x80) == (direction == VAULT_TO_PROCESS), "direction");
    __CPROVER_assert(m.status <= VAULT_STATUS_MAX, "an errno");
    __CPROVER_assert(m.sequence != 0, "a sequence number");
    return 0;
}
