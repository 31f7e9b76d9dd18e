// SPDX-License-Identifier: MIT
// cbmc-sources: userspace/vtpm_protocol.c
// cbmc-flags: --unwind 12 --unwindset memcpy.0:25 -D __builtin_memcpy=memcpy
//
// Proof: vtpm_message_parse() reads no byte outside a packet of any contents and size, and what it
// accepts keeps every promise that vtpm_protocol.h makes to the two ends.

#include <stdint.h>
#include <stdlib.h>

#include "tests/proofs/proof.h"
#include "userspace/vtpm_protocol.h"

int main(void) {
    enum vtpm_direction direction = nondet_bool() ? VTPM_TO_PROCESS : VTPM_TO_CLIENT;
    size_t size = nondet_size();
    struct vtpm_message m;
    uint8_t *packet;

    __CPROVER_assume(size <= VTPM_MESSAGE_MAX_BYTES + 1);
    packet = malloc(size); // contents are arbitrary
    __CPROVER_assume(packet != NULL);
    if (vtpm_message_parse(packet, size, direction, &m) != 0) {
        return 0;
    }
    __CPROVER_assert(m.payload == packet + VTPM_HEADER_BYTES, "payload behind the header");
    __CPROVER_assert(m.payload_bytes == size - VTPM_HEADER_BYTES, "payload fills the packet");
    __CPROVER_assert(m.payload_bytes <= VTPM_PAYLOAD_MAX_BYTES, "payload fits every buffer");
    __CPROVER_assert(m.locality <= VTPM_LOCALITY_MAX, "locality");
    __CPROVER_assert((m.op < 0x80) == (direction == VTPM_TO_PROCESS), "direction");
    __CPROVER_assert(m.status <= VTPM_STATUS_MAX, "an errno");
    __CPROVER_assert(m.op == VTPM_READY || m.sequence != 0, "a sequence number");
    __CPROVER_assert(m.op != VTPM_COMMAND || m.payload_bytes >= 10, "a TPM header at least");
    return 0;
}
