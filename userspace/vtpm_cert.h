// SPDX-License-Identifier: MIT
//
// The vTPM's certificates (RFC 5280; TCG EK Credential Profile for TPM 2.0, version 2.5, section 3;
// TCG Platform Certificate and AK profiles for the key purposes): who issues, what is said of the
// key. Pure: no clock, no randomness, no signing; der.h writes.
#pragma once

#include "userspace/der.h"

#define VTPM_CERT_MAX_BYTES    1400u
#define VTPM_CERT_SERIAL_BYTES 16u
#define VTPM_CERT_KEY_ID_BYTES 20u
#define VTPM_RSA_BYTES         256u ///< RSA-2048
#define VTPM_ECC_BYTES         32u  ///< a coordinate of P-256

enum vtpm_cert_kind {
    VTPM_CERT_CA,     ///< signs the others, and itself
    VTPM_CERT_EK_RSA, ///< key encipherment
    VTPM_CERT_EK_ECC, ///< key agreement
    VTPM_CERT_AK,     ///< digital signature
};

/// A public key: RSA-2048 with exponent 65537, or a point of P-256.
struct vtpm_public {
    bool is_rsa;
    uint8_t modulus[VTPM_RSA_BYTES];
    uint8_t x[VTPM_ECC_BYTES], y[VTPM_ECC_BYTES];
};

struct vtpm_cert {
    enum vtpm_cert_kind kind;
    struct vtpm_public key;
    uint8_t serial[VTPM_CERT_SERIAL_BYTES];
    char issuer[48];                               ///< common name
    uint8_t issuer_key_id[VTPM_CERT_KEY_ID_BYTES]; ///< also the CA's own
    int64_t not_before;                            ///< seconds since 1970; there is no end
    // what the TPM says of itself: TPM2_GetCapability
    uint32_t manufacturer, firmware, level, revision;
};

/// Writes the part that is signed (TBSCertificate) into an empty *out.
void vtpm_cert_body(const struct vtpm_cert *cert, struct der *out);

/// Puts the ECDSA P-256 signature (SHA-256) behind the body: *out, empty, becomes the certificate.
void vtpm_cert_seal(const uint8_t *body, size_t body_bytes, const uint8_t r[VTPM_ECC_BYTES],
                    const uint8_t s[VTPM_ECC_BYTES], struct der *out);
