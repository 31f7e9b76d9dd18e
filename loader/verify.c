// SPDX-License-Identifier: MIT
//
// SHA-384 (FIPS 180-4) of what the host loaded unmeasured, against the measured digests.

#include <string.h>

#include <mbedtls/platform_util.h>
#include <mbedtls/sha512.h>

#include "loader/bare/clock.h"
#include "loader/bare/format.h"
#include "loader/bare/panic.h"
#include "loader/shim.h"

/// What Mbed TLS clears its context with; its own version wants a C library.
void mbedtls_platform_zeroize(void *bytes, size_t count) {
    memset(bytes, 0, count);
    __asm__ volatile("" ::"r"(bytes) : "memory"); // the store is not dead
}

/// The first bytes of a digest as text: enough to tell two apart by eye.
static const char *digest_start(const uint8_t digest[SHIM_DIGEST_BYTES], char out[24]) {
    for (unsigned i = 0; i < 8; i++) {
        bare_format(out + 2 * i, 24 - 2 * i, "%02x", digest[i]);
    }
    return out;
}

void shim_verify_payload(const char *name, const struct shim_payload *payload) {
    const void *bytes = (const void *)(uintptr_t)payload->gpa;
    uint8_t digest[64]; // Mbed TLS writes at most 64, SHA-384 uses 48
    char is[24], should_be[24];

    if (mbedtls_sha512(bytes, payload->size_bytes, digest, 1) != 0) {
        bare_stop("SHA-384 of the %s failed", name);
    }
    // Not constant time: neither digest is a secret.
    if (memcmp(digest, payload->sha384, SHIM_DIGEST_BYTES) != 0) {
        bare_stop("%s at 0x%lx, %lu bytes: SHA-384 is %s..., the image was built with %s...", name,
                  (unsigned long)payload->gpa, (unsigned long)payload->size_bytes,
                  digest_start(digest, is), digest_start(payload->sha384, should_be));
    }
    bare_print("%s verified: %lu KiB at 0x%lx, SHA-384 %s...", name,
               (unsigned long)(payload->size_bytes / 1024), (unsigned long)payload->gpa,
               digest_start(digest, is));
}
