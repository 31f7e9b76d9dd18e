// SPDX-License-Identifier: MIT
//
// Mbed TLS behind auth_crypto.h. Compiled apart from the rest (userspace/build.mk): with Mbed TLS's
// sources and their own configuration into one object, whose mbedtls_ names stay inside.
#include "userspace/uefi/auth_crypto.h"

#include "igvm/base/types.h"

#include <mbedtls/md.h>
#include <mbedtls/oid.h>
#include <mbedtls/rsa.h>
#include <mbedtls/x509_crt.h>

#define KEY_BITS_MIN       2048u
#define KEY_BITS_MAX       4096u
#define EXPONENT_BYTES_MAX 4u // a larger one only makes verifying slow

static const mbedtls_x509_crt_profile profile = {
    .allowed_mds = MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA256) |
                   MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA384) |
                   MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA512),
    .allowed_pks = MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_RSA),
    .allowed_curves = 0,
    .rsa_min_bitlen = KEY_BITS_MIN,
};

static const mbedtls_md_info_t *md_of(enum uefi_hash hash) {
    return mbedtls_md_info_from_type(hash == UEFI_SHA256   ? MBEDTLS_MD_SHA256
                                     : hash == UEFI_SHA384 ? MBEDTLS_MD_SHA384
                                                           : MBEDTLS_MD_SHA512);
}

bool uefi_crypto_hash(enum uefi_hash hash, const struct uefi_bytes *parts, size_t part_count,
                      uint8_t out[UEFI_HASH_MAX_BYTES]) {
    mbedtls_md_context_t md;
    bool good;

    mbedtls_md_init(&md);
    good = mbedtls_md_setup(&md, md_of(hash), 0) == 0 && mbedtls_md_starts(&md) == 0;
    for (size_t i = 0; good && i < part_count; i++) {
        good = mbedtls_md_update(&md, parts[i].at, parts[i].size_bytes) == 0;
    }
    good = good && mbedtls_md_finish(&md, out) == 0;
    mbedtls_md_free(&md);
    return good;
}

/// Whether a parsed certificate's key is one that we verify with.
static bool key_is_good(mbedtls_x509_crt *certificate) {
    uint8_t exponent[EXPONENT_BYTES_MAX];
    size_t bits;

    if (mbedtls_pk_get_type(&certificate->pk) != MBEDTLS_PK_RSA) {
        return false;
    }
    bits = mbedtls_pk_get_bitlen(&certificate->pk);
    return bits >= KEY_BITS_MIN && bits <= KEY_BITS_MAX &&
           mbedtls_rsa_export_raw(mbedtls_pk_rsa(certificate->pk), NULL, 0, NULL, 0, NULL, 0, NULL,
                                  0, exponent, sizeof(exponent)) == 0;
}

/// Appends a certificate to a chain; the bytes are not copied and must outlive it.
static bool add(mbedtls_x509_crt *chain, struct uefi_bytes der) {
    mbedtls_x509_crt *last;

    if (mbedtls_x509_crt_parse_der_nocopy(chain, der.at, der.size_bytes) != 0) {
        return false;
    }
    for (last = chain; last->next != NULL;) {
        last = last->next;
    }
    return last->raw.len == der.size_bytes && key_is_good(last);
}

const char *uefi_crypto_check_certificate(struct uefi_bytes certificate) {
    mbedtls_x509_crt parsed;
    bool good;

    mbedtls_x509_crt_init(&parsed);
    good = add(&parsed, certificate);
    mbedtls_x509_crt_free(&parsed);
    return good ? NULL : "not an X.509 certificate with an RSA key of 2048 to 4096 bits";
}

static bool is(const mbedtls_x509_buf *field, struct uefi_bytes bytes) {
    return field->len == bytes.size_bytes && memcmp(field->p, bytes.at, field->len) == 0;
}

static bool same(const mbedtls_x509_buf *a, const mbedtls_x509_buf *b) {
    return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

/// The signer's certificate becomes the chain's first, the message's others follow. A certificate
/// that we could not verify with is left out, unless it is the signer's: a root with another kind
/// of key may come along.
static const char *load_chain(const struct uefi_pkcs7 *message, mbedtls_x509_crt *chain) {
    size_t signer = message->certificate_count;

    for (size_t i = 0; i < message->certificate_count; i++) {
        mbedtls_x509_crt one;

        mbedtls_x509_crt_init(&one);
        if (add(&one, message->certificates[i]) && is(&one.issuer_raw, message->issuer) &&
            is(&one.serial, message->serial)) {
            signer = i;
        }
        mbedtls_x509_crt_free(&one);
    }
    if (signer == message->certificate_count) {
        return "signer: no such certificate, or not with an RSA key of 2048 to 4096 bits";
    }
    if (!add(chain, message->certificates[signer])) {
        return "out of memory";
    }
    for (size_t i = 0; i < message->certificate_count; i++) {
        mbedtls_x509_crt one;

        mbedtls_x509_crt_init(&one);
        if (i != signer && add(&one, message->certificates[i]) &&
            !add(chain, message->certificates[i])) {
            mbedtls_x509_crt_free(&one);
            return "out of memory";
        }
        mbedtls_x509_crt_free(&one);
    }
    return NULL;
}

/// RFC 2315 section 9.3: the signature is over the contents, or over the attributes as a SET, which
/// then hold the contents' digest.
static const char *check_signature(const struct uefi_pkcs7 *message, const struct uefi_bytes *parts,
                                   size_t part_count, mbedtls_x509_crt *signer) {
    const size_t size = uefi_hash_size(message->hash);
    uint8_t digest[UEFI_HASH_MAX_BYTES];

    if (!uefi_crypto_hash(message->hash, parts, part_count, digest)) {
        return "out of memory";
    }
    if (message->attributes.size_bytes > 0) {
        // The tag [0] counts as SET's.
        static const uint8_t set = 0x31;
        const struct uefi_bytes signed_parts[] = {
            {&set, 1}, {message->attributes.at + 1, message->attributes.size_bytes - 1}};

        if (memcmp(digest, message->message_digest.at, size) != 0) {
            return "the signed digest is another one";
        }
        if (!uefi_crypto_hash(message->hash, signed_parts, 2, digest)) {
            return "out of memory";
        }
    }
    if (message->signature.size_bytes != mbedtls_pk_get_len(&signer->pk) ||
        mbedtls_rsa_pkcs1_verify(mbedtls_pk_rsa(signer->pk),
                                 mbedtls_md_get_type(md_of(message->hash)), (unsigned)size, digest,
                                 message->signature.at) != 0) {
        return "the signature is not the signer's over these contents";
    }
    return NULL;
}

/// Whether the chain's first certificate is an anchor itself or leads to one.
static const char *check_chain(mbedtls_x509_crt *chain, const struct uefi_bytes *anchors,
                               size_t anchor_count) {
    mbedtls_x509_crt trusted;
    const char *wrong = "the signer is not trusted";
    uint32_t flags = 0;

    mbedtls_x509_crt_init(&trusted);
    for (size_t i = 0; i < anchor_count; i++) {
        // Mbed TLS would ask a trusted certificate that is not self-issued for its issuer.
        if (is(&chain->raw, anchors[i])) {
            wrong = NULL;
            goto out;
        }
    }
    for (size_t i = 0; i < anchor_count; i++) {
        mbedtls_x509_crt one;
        bool usable;

        mbedtls_x509_crt_init(&one);
        usable = add(&one, anchors[i]);
        mbedtls_x509_crt_free(&one);
        if (usable && !add(&trusted, anchors[i])) {
            wrong = "out of memory";
            goto out;
        }
    }
    if (trusted.raw.len > 0 &&
        mbedtls_x509_crt_verify_with_profile(chain, &trusted, NULL, &profile, NULL, &flags, NULL,
                                             NULL) == 0 &&
        flags == 0) {
        wrong = NULL;
    }
out:
    mbedtls_x509_crt_free(&trusted);
    return wrong;
}

const char *uefi_crypto_verify(const struct uefi_pkcs7 *message, const struct uefi_bytes *parts,
                               size_t part_count, const struct uefi_bytes *anchors,
                               size_t anchor_count) {
    mbedtls_x509_crt chain;
    const char *wrong;

    mbedtls_x509_crt_init(&chain);
    wrong = load_chain(message, &chain);
    if (wrong == NULL) {
        wrong = check_signature(message, parts, part_count, &chain);
    }
    if (wrong == NULL) {
        wrong = check_chain(&chain, anchors, anchor_count);
    }
    mbedtls_x509_crt_free(&chain);
    return wrong;
}

/// Follows issuers from the signer upwards, each certificate once.
static mbedtls_x509_crt *topmost(mbedtls_x509_crt *chain) {
    mbedtls_x509_crt *top = chain;

    for (unsigned steps = 0; steps < UEFI_PKCS7_MAX_CERTIFICATES; steps++) {
        mbedtls_x509_crt *next = chain->next;

        if (same(&top->issuer_raw, &top->subject_raw)) {
            break;
        }
        while (next != NULL && (next == top || !same(&next->subject_raw, &top->issuer_raw))) {
            next = next->next;
        }
        if (next == NULL) {
            break;
        }
        top = next;
    }
    return top;
}

/// The signer's digest, section 8.2.2. A subject without common name counts as an empty one.
static bool signer_digest(mbedtls_x509_crt *signer, const mbedtls_x509_crt *top,
                          uint8_t digest[UEFI_DIGEST_BYTES]) {
    static const char common_name[] = MBEDTLS_OID_AT_CN;
    const struct uefi_bytes tbs = {top->tbs.p, top->tbs.len};
    struct uefi_bytes parts[2] = {{NULL, 0}};
    uint8_t hash[UEFI_HASH_MAX_BYTES], top_hash[UEFI_HASH_MAX_BYTES];

    for (const mbedtls_x509_name *name = &signer->subject; name != NULL; name = name->next) {
        if (name->oid.len == sizeof(common_name) - 1 &&
            memcmp(name->oid.p, common_name, name->oid.len) == 0) {
            parts[0] = (struct uefi_bytes){name->val.p, name->val.len};
            break;
        }
    }
    parts[1] = (struct uefi_bytes){top_hash, UEFI_DIGEST_BYTES};
    if (!uefi_crypto_hash(UEFI_SHA256, &tbs, 1, top_hash) ||
        !uefi_crypto_hash(UEFI_SHA256, parts, 2, hash)) {
        return false;
    }
    memcpy(digest, hash, UEFI_DIGEST_BYTES);
    return true;
}

const char *uefi_crypto_verify_own(const struct uefi_pkcs7 *message, const struct uefi_bytes *parts,
                                   size_t part_count, uint8_t digest[UEFI_DIGEST_BYTES]) {
    mbedtls_x509_crt chain;
    const mbedtls_x509_crt *top;
    struct uefi_bytes anchor;
    const char *wrong;

    mbedtls_x509_crt_init(&chain);
    wrong = load_chain(message, &chain);
    if (wrong == NULL) {
        wrong = check_signature(message, parts, part_count, &chain);
    }
    if (wrong == NULL) {
        top = topmost(&chain);
        anchor = (struct uefi_bytes){top->raw.p, top->raw.len};
        wrong = check_chain(&chain, &anchor, 1);
        if (wrong == NULL && !signer_digest(&chain, top, digest)) {
            wrong = "out of memory";
        }
    }
    mbedtls_x509_crt_free(&chain);
    return wrong;
}
