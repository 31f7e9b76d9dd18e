// SPDX-License-Identifier: MIT
//
// PKCS#7 SignedData: see pkcs7.h. What signing tools write decides what is accepted: efitools and
// Microsoft's updates have no signed attributes, sbsigntool's have; all come without ContentInfo,
// OpenSSL's own with it; Microsoft's updates carry the chain's certificates.
#include "userspace/uefi/pkcs7.h"

#include "igvm/base/types.h"
#include "userspace/uefi/der.h"

// Object identifiers as whole elements.
#define RSADSI  0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D // 1.2.840.113549
#define NISTALG 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02
static const uint8_t oid_data[] = {DER_OID, 9, RSADSI, 1, 7, 1};
static const uint8_t oid_signed_data[] = {DER_OID, 9, RSADSI, 1, 7, 2};
static const uint8_t oid_content_type[] = {DER_OID, 9, RSADSI, 1, 9, 3};
static const uint8_t oid_message_digest[] = {DER_OID, 9, RSADSI, 1, 9, 4};
static const uint8_t oid_rsa[] = {DER_OID, 9, RSADSI, 1, 1, 1};
static const uint8_t version_1[] = {DER_INTEGER, 1, 1};

static const struct {
    uint8_t digest[11];   // the hash
    uint8_t with_rsa[11]; // the hash with RSA: another way to say rsaEncryption
} hashes[] = {
    [UEFI_SHA256] = {{DER_OID, 9, NISTALG, 1}, {DER_OID, 9, RSADSI, 1, 1, 11}},
    [UEFI_SHA384] = {{DER_OID, 9, NISTALG, 2}, {DER_OID, 9, RSADSI, 1, 1, 12}},
    [UEFI_SHA512] = {{DER_OID, 9, NISTALG, 3}, {DER_OID, 9, RSADSI, 1, 1, 13}},
};

/// AlgorithmIdentifier's parameters: NULL or none, and nothing behind.
static bool no_parameters(struct cursor *in) {
    static const uint8_t null[] = {DER_NULL, 0};

    (void)der_exactly(in, null, sizeof(null));
    return cursor_left(in) == 0;
}

static bool take_hash(struct cursor *c, enum uefi_hash *hash) {
    struct cursor in;

    if (!der_take(c, DER_SEQUENCE, &in, NULL)) {
        return false;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(hashes); i++) {
        if (der_exactly(&in, hashes[i].digest, sizeof(hashes[i].digest))) {
            *hash = (enum uefi_hash)i;
            return no_parameters(&in);
        }
    }
    return false;
}

static bool take_rsa(struct cursor *c, enum uefi_hash hash) {
    struct cursor in;

    return der_take(c, DER_SEQUENCE, &in, NULL) &&
           (der_exactly(&in, oid_rsa, sizeof(oid_rsa)) ||
            der_exactly(&in, hashes[hash].with_rsa, sizeof(hashes[hash].with_rsa))) &&
           no_parameters(&in);
}

/// digestAlgorithms: the one of the only signer.
static bool take_hash_set(struct cursor *c, enum uefi_hash *hash) {
    struct cursor in;

    return der_take(c, DER_SET, &in, NULL) && take_hash(&in, hash) && cursor_left(&in) == 0;
}

/// contentInfo: type data, and the content itself elsewhere.
static bool take_content(struct cursor *c) {
    struct cursor in;

    return der_take(c, DER_SEQUENCE, &in, NULL) && der_exactly(&in, oid_data, sizeof(oid_data)) &&
           cursor_left(&in) == 0;
}

static const char *take_certificates(struct cursor *c, struct uefi_pkcs7 *out) {
    struct cursor in, skipped;

    if (!der_take(c, DER_CONTEXT(0), &in, NULL)) {
        return "PKCS#7: no certificates";
    }
    while (cursor_left(&in) > 0) {
        if (out->certificate_count == UEFI_PKCS7_MAX_CERTIFICATES) {
            return "PKCS#7: too many certificates";
        }
        if (!der_take(&in, DER_SEQUENCE, &skipped, &out->certificates[out->certificate_count])) {
            return "PKCS#7: a certificate is not DER";
        }
        out->certificate_count++;
    }
    return out->certificate_count > 0 ? NULL : "PKCS#7: no certificates";
}

/// One attribute: its type, and exactly one value of which only these two types are looked into.
static const char *take_attribute(struct cursor *c, struct uefi_pkcs7 *out, bool *has_type) {
    struct cursor in, values;

    if (!der_take(c, DER_SEQUENCE, &in, NULL)) {
        return "PKCS#7: signed attributes are not DER";
    }
    if (der_exactly(&in, oid_content_type, sizeof(oid_content_type))) {
        if (*has_type || !der_take(&in, DER_SET, &values, NULL) ||
            !der_exactly(&values, oid_data, sizeof(oid_data)) || cursor_left(&values) != 0 ||
            cursor_left(&in) != 0) {
            return "PKCS#7: content type";
        }
        *has_type = true;
    } else if (der_exactly(&in, oid_message_digest, sizeof(oid_message_digest))) {
        if (out->message_digest.at != NULL || !der_take(&in, DER_SET, &values, NULL) ||
            !der_bytes(&values, DER_OCTET_STRING, &out->message_digest) ||
            cursor_left(&values) != 0 || cursor_left(&in) != 0 ||
            out->message_digest.size_bytes != uefi_hash_size(out->hash)) {
            return "PKCS#7: message digest";
        }
    }
    return NULL;
}

static const char *take_attributes(struct cursor *c, struct uefi_pkcs7 *out) {
    struct cursor in;
    bool has_type = false;
    const char *wrong = NULL;

    if (!der_take(c, DER_CONTEXT(0), &in, &out->attributes)) {
        return "PKCS#7: signed attributes are not DER";
    }
    while (wrong == NULL && cursor_left(&in) > 0) {
        wrong = take_attribute(&in, out, &has_type);
    }
    if (wrong == NULL && (!has_type || out->message_digest.at == NULL)) {
        wrong = "PKCS#7: signed attributes without content type and message digest";
    }
    return wrong;
}

/// signerInfos: exactly one.
static const char *take_signer(struct cursor *c, struct uefi_pkcs7 *out) {
    struct cursor set, in, name, skipped;
    const char *wrong;
    enum uefi_hash hash;

    if (!der_take(c, DER_SET, &set, NULL) || !der_take(&set, DER_SEQUENCE, &in, NULL)) {
        return "PKCS#7: no signer";
    }
    if (cursor_left(&set) != 0) {
        return "PKCS#7: more than one signer";
    }
    if (!der_exactly(&in, version_1, sizeof(version_1)) ||
        !der_take(&in, DER_SEQUENCE, &name, NULL) ||
        !der_take(&name, DER_SEQUENCE, &skipped, &out->issuer) ||
        !der_bytes(&name, DER_INTEGER, &out->serial) || cursor_left(&name) != 0) {
        return "PKCS#7: signer's version, issuer or serial number";
    }
    if (!take_hash(&in, &hash) || hash != out->hash) {
        return "PKCS#7: digest algorithm";
    }
    if (der_is_next(&in, DER_CONTEXT(0))) {
        wrong = take_attributes(&in, out);
        if (wrong != NULL) {
            return wrong;
        }
    }
    if (!take_rsa(&in, hash)) {
        return "PKCS#7: signature algorithm";
    }
    if (!der_bytes(&in, DER_OCTET_STRING, &out->signature) || cursor_left(&in) != 0) {
        return "PKCS#7: signature, or unsigned attributes";
    }
    return NULL;
}

/// Steps into a ContentInfo, if there is one: its first element is an OID, a SignedData's a
/// version.
static bool unwrap(struct cursor *c, struct cursor *in) {
    struct cursor wrapped;

    if (!der_take(c, DER_SEQUENCE, in, NULL) || cursor_left(c) != 0) {
        return false;
    }
    if (!der_is_next(in, DER_OID)) {
        return true;
    }
    return der_exactly(in, oid_signed_data, sizeof(oid_signed_data)) &&
           der_take(in, DER_CONTEXT(0), &wrapped, NULL) && cursor_left(in) == 0 &&
           der_take(&wrapped, DER_SEQUENCE, in, NULL) && cursor_left(&wrapped) == 0;
}

const char *uefi_pkcs7_parse(struct uefi_bytes der, struct uefi_pkcs7 *out) {
    struct cursor c = cursor_init(der.at, der.size_bytes);
    struct cursor in;
    const char *wrong;

    memset(out, 0, sizeof(*out));
    if (!unwrap(&c, &in)) {
        return "PKCS#7: no SignedData of exactly the certificate's length";
    }
    if (!der_exactly(&in, version_1, sizeof(version_1))) {
        return "PKCS#7: version";
    }
    if (!take_hash_set(&in, &out->hash)) {
        return "PKCS#7: digest algorithms";
    }
    if (!take_content(&in)) {
        return "PKCS#7: content is not detached data";
    }
    wrong = take_certificates(&in, out);
    if (wrong == NULL) {
        wrong = take_signer(&in, out);
    }
    if (wrong == NULL && cursor_left(&in) != 0) {
        wrong = "PKCS#7: more behind the signer";
    }
    return wrong;
}
