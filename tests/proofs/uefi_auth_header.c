// SPDX-License-Identifier: MIT
// cbmc-sources: userspace/uefi/auth_header.c
// cbmc-flags: --unwind 20 --function main
//
// Proof, for every payload of up to 80 bytes: what the header walker accepts is time, certificate
// and value, one behind the other and to the last byte; and times are ordered.

#include "tests/proofs/proof.h"
#include "userspace/uefi/auth_header.h"

#define PAYLOAD_BYTES 80u

static void prove_header(void) {
    static uint8_t payload[PAYLOAD_BYTES];
    const size_t size = nondet_size();
    struct uefi_auth_header header;

    __CPROVER_assume(size <= PAYLOAD_BYTES);
    __CPROVER_havoc_object(payload);
    if (uefi_auth_header_parse((struct uefi_bytes){payload, size}, &header) != NULL) {
        return;
    }
    __CPROVER_assert(size >= 40, "a whole header");
    __CPROVER_assert(header.time.at == payload && header.time.size_bytes == UEFI_TIME_BYTES,
                     "the time comes first");
    __CPROVER_assert(header.pkcs7.at == payload + 40, "the certificate's data behind its header");
    __CPROVER_assert(header.pkcs7.size_bytes <= size - 40, "inside the payload");
    __CPROVER_assert(header.value.at == header.pkcs7.at + header.pkcs7.size_bytes,
                     "the value behind it");
    __CPROVER_assert(40 + header.pkcs7.size_bytes + header.value.size_bytes == size,
                     "and nothing else");
}

static void prove_time(void) {
    uint8_t a[UEFI_TIME_BYTES], b[UEFI_TIME_BYTES];
    const int order = uefi_time_compare(a, b);

    __CPROVER_assert((order < 0) == (uefi_time_compare(b, a) > 0), "one is earlier, one later");
    __CPROVER_assert(uefi_time_compare(a, a) == 0, "no time is later than itself");
}

int main(void) {
    prove_header();
    prove_time();
    return 0;
}
