// SPDX-License-Identifier: MIT
// cbmc-sources: userspace/uefi/policy_entry.c
// cbmc-flags: --unwind 19 --unwindset memcpy.0:45 -D __builtin_memcpy=memcpy --function main
//
// Proof, for every policy entry in up to 74 bytes of memory of exactly its size: the parser reads
// nothing outside, and the names that it hands out lie inside, apart, whole and without a NUL.

#include "tests/proofs/proof.h"
#include "userspace/uefi/policy.h"

#include <stdlib.h>

#define MAX_BYTES    74u
#define HEADER_BYTES 44u
#define STATE_BYTES  18u

static void prove_name(struct uefi_bytes name, const uint8_t *start, const uint8_t *end) {
    __CPROVER_assert(name.size_bytes >= 2 && name.size_bytes % 2 == 0, "whole characters");
    __CPROVER_assert(name.at >= start && name.size_bytes + 2 <= (size_t)(end - name.at), "inside");
    for (size_t i = 0; i < name.size_bytes; i += 2) {
        __CPROVER_assert(name.at[i] != 0 || name.at[i + 1] != 0, "no NUL");
    }
    __CPROVER_assert(name.at[name.size_bytes] == 0 && name.at[name.size_bytes + 1] == 0, "its NUL");
}

int main(void) {
    size_t size_bytes = nondet_size();
    uint8_t *bytes;
    struct uefi_policy_entry e;

    __CPROVER_assume(size_bytes <= MAX_BYTES);
    bytes = malloc(size_bytes);
    __CPROVER_assume(bytes != NULL);
    if (uefi_policy_parse(bytes, size_bytes, &e) != UEFI_SUCCESS) {
        return 0;
    }
    __CPROVER_assert(e.lock < UEFI_POLICY_LOCK_COUNT, "a lock");
    __CPROVER_assert((e.lock == UEFI_POLICY_LOCK_ON_VAR_STATE) == (e.state_name.size_bytes != 0),
                     "a state's name where it belongs");
    if (e.state_name.size_bytes != 0) {
        prove_name(e.state_name, bytes + HEADER_BYTES + STATE_BYTES, bytes + size_bytes);
        __CPROVER_assert(e.name.size_bytes == 0 ||
                             e.name.at == e.state_name.at + e.state_name.size_bytes + 2,
                         "the names are apart");
    }
    if (e.name.size_bytes != 0) {
        prove_name(e.name, bytes + HEADER_BYTES, bytes + size_bytes);
    }
    return 0;
}
