// SPDX-License-Identifier: MIT
//
// The cryptography behind authenticated variables: RSA, SHA-2 and X.509 by Mbed TLS, which nothing
// outside of crypto/ sees. Certificates must have RSA keys of 2048 to 4096 bits with a public
// exponent of at most 32 bits and be signed with SHA-256, SHA-384 or SHA-512. Dates are not looked
// at (a firmware has no clock to trust, and revocation is dbx's work). Allocates while it works.
#pragma once

#include "userspace/uefi/pkcs7.h"

/// Hashes parts one after the other; out has room for uefi_hash_size(). False: out of memory.
bool uefi_crypto_hash(enum uefi_hash hash, const struct uefi_bytes *parts, size_t part_count,
                      uint8_t out[UEFI_HASH_MAX_BYTES]);

/// Whether a certificate is one that can verify signatures here. NULL, or why not (static text).
const char *uefi_crypto_check_certificate(struct uefi_bytes certificate);

/// Whether the signer of message signed these contents (parts one after the other) and its
/// certificate is one of the anchors, or leads to one by way of message's certificates. NULL: yes.
/// Else why not (static text).
const char *uefi_crypto_verify(const struct uefi_pkcs7 *message, const struct uefi_bytes *parts,
                               size_t part_count, const struct uefi_bytes *anchors,
                               size_t anchor_count);

/// The same with the message's own topmost certificate as the anchor; digest becomes what
/// identifies the signer: SHA-256 of its common name and the SHA-256 of the topmost tbsCertificate.
const char *uefi_crypto_verify_own(const struct uefi_pkcs7 *message, const struct uefi_bytes *parts,
                                   size_t part_count, uint8_t digest[UEFI_DIGEST_BYTES]);
