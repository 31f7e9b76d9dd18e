// SPDX-License-Identifier: MIT
// cbmc-sources: userspace/vtpm_store.c
// cbmc-flags: --unwind 65 --function main
//
// Proof: vtpm_slot_parse() accepts no header whose payload would leave its slot, and
// vtpm_slots_judge() never chooses a slot that is not whole or that is the older one.

#include <stdint.h>

#include "tests/proofs/proof.h"
#include "userspace/vtpm_store.h"

/// What vtpm_store.c hands to vtpm_slots_judge: a parsed header, perhaps torn by its payload.
static struct vtpm_slot any_slot(unsigned slot_idx) {
    struct vtpm_slot slot = {.kind = (enum vtpm_slot_kind)(nondet_u8() & 3)};

    if (slot.kind == VTPM_SLOT_WHOLE || slot.kind == VTPM_SLOT_TORN) {
        slot.sequence = nondet_u64();
        slot.size_bytes = nondet_u32();
        __CPROVER_assume(slot.sequence != 0 && (slot.sequence & 1) == (slot_idx ^ 1));
    }
    return slot;
}

int main(void) {
    struct vtpm_slot slots[2] = {any_slot(0), any_slot(1)};
    int newest = vtpm_slots_judge(slots);
    uint8_t header[64]; // arbitrary
    unsigned idx = nondet_u8() & 1;
    struct vtpm_slot parsed = vtpm_slot_parse(header, idx);

    if (newest >= 0) {
        __CPROVER_assert(newest < 2, "one of two");
        __CPROVER_assert(slots[newest].kind == VTPM_SLOT_WHOLE, "whole");
        __CPROVER_assert(slots[!newest].kind != VTPM_SLOT_INVALID, "no damage is passed over");
        __CPROVER_assert(slots[newest].sequence == slots[!newest].sequence + 1, "the newer one");
    }
    if (parsed.kind == VTPM_SLOT_WHOLE) {
        __CPROVER_assert(parsed.size_bytes > 0 && parsed.size_bytes <= VTPM_STATE_MAX_BYTES &&
                             parsed.size_bytes + VTPM_SLOT_HEADER_BYTES <= VTPM_SLOT_BYTES,
                         "the payload stays in its slot");
        __CPROVER_assert((parsed.sequence & 1) == (idx ^ 1), "in the slot of its parity");
    }
    return 0;
}
