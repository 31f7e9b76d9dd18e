// SPDX-License-Identifier: MIT
//
// The SignedData of PKCS#7 (RFC 2315 section 9) as far as UEFI's authenticated variables use it
// (UEFI specification 2.10 section 8.2.2): detached contents, one signer named by issuer and serial
// number. Strict, so that nothing that is not looked at can be changed. Pure; verifies nothing
// (auth_crypto.h does).
#pragma once

#include "userspace/uefi/defs.h"

#define UEFI_PKCS7_MAX_CERTIFICATES 8u

enum uefi_hash { UEFI_SHA256, UEFI_SHA384, UEFI_SHA512 };
#define UEFI_HASH_MAX_BYTES 64u

static inline size_t uefi_hash_size(enum uefi_hash hash) {
    return hash == UEFI_SHA256 ? 32 : hash == UEFI_SHA384 ? 48 : 64;
}

/// What stands in a SignedData. All slices point into it.
struct uefi_pkcs7 {
    struct uefi_bytes certificates[UEFI_PKCS7_MAX_CERTIFICATES]; ///< X.509 in DER
    size_t certificate_count;                                    ///< at least 1
    struct uefi_bytes issuer, serial; ///< of the signer: Name as an element; INTEGER's contents
    enum uefi_hash hash;
    struct uefi_bytes
        attributes; ///< the signed attributes, tag [0] and length included; size 0: there are none
    struct uefi_bytes message_digest; ///< out of attributes
    struct uefi_bytes signature;
};

/// Parses a SignedData, bare or inside a ContentInfo. NULL, or what is wrong (static text).
/// Accepted: version 1; SHA-256, SHA-384, SHA-512 with RSA (PKCS#1 v1.5); signed attributes with
/// exactly one contentType (data) and messageDigest. Refused: contents, CRLs, unsigned attributes,
/// more than one signer, bytes behind the end.
const char *uefi_pkcs7_parse(struct uefi_bytes der, struct uefi_pkcs7 *out);
