// SPDX-License-Identifier: MIT
// cbmc-sources: userspace/uefi/mm.c
// cbmc-flags: --unwind 26 --function main
//
// Proof, for every message of up to 104 bytes in memory of exactly its size: the walker of
// management mode messages reads nothing outside, and what it hands out lies inside: payload in
// message, name, data and room in payload, in this order and without overlap.

#include "igvm/base/bytes.h"
#include "tests/proofs/proof.h"
#include "userspace/uefi/mm.h"

#include <stdlib.h>

#define MAX_BYTES 104u

static void prove_access(uint8_t *bytes, size_t size_bytes) {
    const uint8_t *end = bytes + size_bytes;
    struct uefi_mm_access a;

    if (uefi_mm_access_parse(bytes, size_bytes, &a) != UEFI_SUCCESS) {
        return;
    }
    __CPROVER_assert(a.name.at == bytes + UEFI_MM_ACCESS_BYTES, "the name stands in its place");
    __CPROVER_assert(a.name.size_bytes >= 2 && a.name.size_bytes % 2 == 0,
                     "it is whole and not empty");
    __CPROVER_assert(a.data == a.name.at + a.name.size_bytes + 2, "the data follows its NUL");
    __CPROVER_assert(a.data <= end && a.data_bytes <= (size_t)(end - a.data), "and is inside");
    __CPROVER_assert(a.data[-1] == 0 && a.data[-2] == 0, "there is a NUL");
    for (size_t i = 0; i < a.name.size_bytes; i += 2) {
        __CPROVER_assert(a.name.at[i] != 0 || a.name.at[i + 1] != 0, "and no other");
    }
}

static void prove_name(uint8_t *bytes, size_t size_bytes) {
    struct uefi_mm_name n;

    if (uefi_mm_name_parse(bytes, size_bytes, &n) != UEFI_SUCCESS) {
        return;
    }
    __CPROVER_assert(n.room == bytes + UEFI_MM_NAME_BYTES && n.name.at == n.room, "in its place");
    __CPROVER_assert(n.room_bytes <= size_bytes - UEFI_MM_NAME_BYTES, "the room is inside");
    __CPROVER_assert(n.name.size_bytes % 2 == 0 && n.name.size_bytes + 2 <= n.room_bytes,
                     "the name and its NUL are in the room");
}

int main(void) {
    size_t size_bytes = nondet_size();
    uint8_t *message;
    struct uefi_mm mm;

    __CPROVER_assume(size_bytes <= MAX_BYTES);
    message = malloc(size_bytes);
    __CPROVER_assume(message != NULL);
    if (uefi_mm_parse(message, size_bytes, &mm) != 0) {
        return 0;
    }
    __CPROVER_assert(mm.service < UEFI_MM_SERVICE_COUNT, "a service");
    __CPROVER_assert(mm.payload == message + UEFI_MM_HEADER_BYTES, "behind the header");
    __CPROVER_assert(mm.payload_bytes == load_le64(message + 16), "as long as it says");
    __CPROVER_assert(mm.payload_bytes <= size_bytes - UEFI_MM_HEADER_BYTES, "inside the message");
    if (mm.service == UEFI_MM_VARIABLE) {
        __CPROVER_assert(mm.payload_bytes >= UEFI_MM_FUNCTION_BYTES, "room for the status");
        prove_access(mm.payload + UEFI_MM_FUNCTION_BYTES,
                     mm.payload_bytes - UEFI_MM_FUNCTION_BYTES);
        prove_name(mm.payload + UEFI_MM_FUNCTION_BYTES, mm.payload_bytes - UEFI_MM_FUNCTION_BYTES);
    }
    if (mm.service == UEFI_MM_POLICY) {
        __CPROVER_assert(mm.payload_bytes >= UEFI_MM_POLICY_BYTES, "room for the result");
    }
    return 0;
}
