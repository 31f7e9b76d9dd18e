// SPDX-License-Identifier: MIT
//
// The vTPM's certificates (vtpm_cert.h). DER is written from the end: every sequence stands here
// with its last element first.
#include "userspace/vtpm_cert.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct oid {
    uint8_t size;
    uint8_t bytes[9];
};

static const struct oid oid_ecdsa_sha256 = {8, {0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2}};
static const struct oid oid_ec_key = {7, {0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1}};
static const struct oid oid_p256 = {8, {0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7}};
static const struct oid oid_rsa = {9, {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1}};
static const struct oid oid_common_name = {3, {0x55, 4, 3}};
static const struct oid oid_directory_attributes = {3, {0x55, 0x1D, 9}};
static const struct oid oid_subject_key_id = {3, {0x55, 0x1D, 14}};
static const struct oid oid_key_usage = {3, {0x55, 0x1D, 15}};
static const struct oid oid_alternative_name = {3, {0x55, 0x1D, 17}};
static const struct oid oid_basic_constraints = {3, {0x55, 0x1D, 19}};
static const struct oid oid_authority_key_id = {3, {0x55, 0x1D, 35}};
static const struct oid oid_extended_key_usage = {3, {0x55, 0x1D, 37}};
// 2.23.133: TCG
static const struct oid oid_tpm_manufacturer = {5, {0x67, 0x81, 5, 2, 1}};
static const struct oid oid_tpm_model = {5, {0x67, 0x81, 5, 2, 2}};
static const struct oid oid_tpm_version = {5, {0x67, 0x81, 5, 2, 3}};
static const struct oid oid_tpm_specification = {5, {0x67, 0x81, 5, 2, 16}};
static const struct oid oid_ek_certificate = {5, {0x67, 0x81, 5, 8, 1}};
static const struct oid oid_ak_certificate = {5, {0x67, 0x81, 5, 8, 3}};

static void put_oid(struct der *d, const struct oid *oid) {
    der_value(d, DER_OID, oid->bytes, oid->size);
}

static void put_text(struct der *d, const char *text) {
    der_value(d, DER_UTF8_STRING, text, strlen(text));
}

/// AttributeTypeAndValue as a RelativeDistinguishedName of its own.
static void put_name_part(struct der *d, const struct oid *oid, const char *text) {
    size_t mark = d->used_bytes;

    put_text(d, text);
    put_oid(d, oid);
    der_wrap(d, DER_SEQUENCE, mark);
    der_wrap(d, DER_SET, mark);
}

static void put_name(struct der *d, const char *common_name) {
    size_t mark = d->used_bytes;

    put_name_part(d, &oid_common_name, common_name);
    der_wrap(d, DER_SEQUENCE, mark);
}

static void put_algorithm(struct der *d) {
    size_t mark = d->used_bytes;

    put_oid(d, &oid_ecdsa_sha256);
    der_wrap(d, DER_SEQUENCE, mark);
}

/// Ends a BIT STRING whose content was written since mark.
static void end_bits(struct der *d, size_t mark, uint8_t unused_bits) {
    der_raw(d, &unused_bits, 1);
    der_wrap(d, DER_BIT_STRING, mark);
}

// ---- the key ----

static void put_rsa_key(struct der *d, const struct vtpm_public *key) {
    static const uint8_t null_value[] = {5, 0};
    size_t whole = d->used_bytes, part;

    der_small_integer(d, 65537);
    der_integer(d, key->modulus, sizeof(key->modulus));
    der_wrap(d, DER_SEQUENCE, whole);
    end_bits(d, whole, 0);
    part = d->used_bytes;
    der_raw(d, null_value, sizeof(null_value));
    put_oid(d, &oid_rsa);
    der_wrap(d, DER_SEQUENCE, part);
    der_wrap(d, DER_SEQUENCE, whole);
}

static void put_ecc_key(struct der *d, const struct vtpm_public *key) {
    static const uint8_t uncompressed = 4;
    size_t whole = d->used_bytes, part;

    der_raw(d, key->y, sizeof(key->y));
    der_raw(d, key->x, sizeof(key->x));
    der_raw(d, &uncompressed, 1);
    end_bits(d, whole, 0);
    part = d->used_bytes;
    put_oid(d, &oid_p256);
    put_oid(d, &oid_ec_key);
    der_wrap(d, DER_SEQUENCE, part);
    der_wrap(d, DER_SEQUENCE, whole);
}

// ---- extensions ----

/// Makes what was written since mark an extension's value.
static void end_extension(struct der *d, size_t mark, const struct oid *oid, bool critical) {
    static const uint8_t true_value[] = {1, 1, 0xFF};

    der_wrap(d, DER_OCTET_STRING, mark);
    if (critical) {
        der_raw(d, true_value, sizeof(true_value));
    }
    put_oid(d, oid);
    der_wrap(d, DER_SEQUENCE, mark);
}

/// What the TPM is: the subject has no other name, so this is critical (RFC 5280, 4.2.1.6).
static void put_tpm_name(struct der *d, const struct vtpm_cert *cert) {
    char text[16];
    size_t mark = d->used_bytes;

    snprintf(text, sizeof(text), "id:%08X", (unsigned)cert->firmware);
    put_name_part(d, &oid_tpm_version, text);
    put_name_part(d, &oid_tpm_model, "Parapet vTPM");
    snprintf(text, sizeof(text), "id:%08X", (unsigned)cert->manufacturer);
    put_name_part(d, &oid_tpm_manufacturer, text);
    der_wrap(d, DER_SEQUENCE, mark);
    der_wrap(d, DER_EXPLICIT(4), mark); // directoryName
    der_wrap(d, DER_SEQUENCE, mark);
    end_extension(d, mark, &oid_alternative_name, true);
}

static void put_tpm_specification(struct der *d, const struct vtpm_cert *cert) {
    size_t mark = d->used_bytes;

    der_small_integer(d, cert->revision);
    der_small_integer(d, cert->level);
    put_text(d, "2.0");
    der_wrap(d, DER_SEQUENCE, mark);
    der_wrap(d, DER_SET, mark);
    put_oid(d, &oid_tpm_specification);
    der_wrap(d, DER_SEQUENCE, mark);
    der_wrap(d, DER_SEQUENCE, mark);
    end_extension(d, mark, &oid_directory_attributes, false);
}

static void put_key_usage(struct der *d, enum vtpm_cert_kind kind) {
    // The bit and how many bits after it are unused: digitalSignature is bit 0, the topmost.
    static const struct {
        uint8_t bits, unused;
    } usage[] = {
        [VTPM_CERT_CA] = {0x04, 2},     // keyCertSign
        [VTPM_CERT_EK_RSA] = {0x20, 5}, // keyEncipherment
        [VTPM_CERT_EK_ECC] = {0x08, 3}, // keyAgreement
        [VTPM_CERT_AK] = {0x80, 7},     // digitalSignature
    };
    size_t mark = d->used_bytes;

    der_raw(d, &usage[kind].bits, 1);
    end_bits(d, mark, usage[kind].unused);
    end_extension(d, mark, &oid_key_usage, true);
}

static void put_purpose(struct der *d, const struct oid *oid) {
    size_t mark = d->used_bytes;

    put_oid(d, oid);
    der_wrap(d, DER_SEQUENCE, mark);
    end_extension(d, mark, &oid_extended_key_usage, false);
}

static void put_basic_constraints(struct der *d, bool is_ca) {
    static const uint8_t true_value[] = {1, 1, 0xFF};
    size_t mark = d->used_bytes;

    if (is_ca) {
        der_small_integer(d, 0); // no further CA below
        der_raw(d, true_value, sizeof(true_value));
    }
    der_wrap(d, DER_SEQUENCE, mark);
    end_extension(d, mark, &oid_basic_constraints, true);
}

static void put_extensions(struct der *d, const struct vtpm_cert *cert) {
    size_t mark = d->used_bytes, part;

    if (cert->kind == VTPM_CERT_CA) {
        der_value(d, DER_OCTET_STRING, cert->issuer_key_id, sizeof(cert->issuer_key_id));
        end_extension(d, mark, &oid_subject_key_id, false);
    } else {
        put_purpose(d, cert->kind == VTPM_CERT_AK ? &oid_ak_certificate : &oid_ek_certificate);
        put_tpm_specification(d, cert);
        put_tpm_name(d, cert);
        part = d->used_bytes;
        der_value(d, DER_CONTEXT(0), cert->issuer_key_id, sizeof(cert->issuer_key_id));
        der_wrap(d, DER_SEQUENCE, part);
        end_extension(d, part, &oid_authority_key_id, false);
    }
    put_key_usage(d, cert->kind);
    put_basic_constraints(d, cert->kind == VTPM_CERT_CA);
    der_wrap(d, DER_SEQUENCE, mark);
    der_wrap(d, DER_EXPLICIT(3), mark);
}

// ---- the certificate ----

/// From then on, without an end (RFC 5280, 4.1.2.5): nobody renews them.
static void put_validity(struct der *d, int64_t not_before) {
    static const char never[] = "99991231235959Z";
    char text[16] = "260101000000Z";
    time_t seconds = (time_t)not_before;
    size_t mark = d->used_bytes;
    struct tm tm;

    // UTCTime says years up to 2049; a clock that is far off has no say.
    if (gmtime_r(&seconds, &tm) != NULL && tm.tm_year >= 126 && tm.tm_year < 150) {
        snprintf(text, sizeof(text), "%02d%02d%02d%02d%02d%02dZ", tm.tm_year % 100, tm.tm_mon + 1,
                 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    }
    der_value(d, DER_GENERALIZED_TIME, never, sizeof(never) - 1);
    der_value(d, DER_UTC_TIME, text, strlen(text));
    der_wrap(d, DER_SEQUENCE, mark);
}

void vtpm_cert_body(const struct vtpm_cert *cert, struct der *out) {
    size_t mark;

    put_extensions(out, cert);
    if (cert->key.is_rsa) {
        put_rsa_key(out, &cert->key);
    } else {
        put_ecc_key(out, &cert->key);
    }
    if (cert->kind == VTPM_CERT_CA) {
        put_name(out, cert->issuer);
    } else {
        der_wrap(out, DER_SEQUENCE, out->used_bytes); // no subject: see put_tpm_name()
    }
    put_validity(out, cert->not_before);
    put_name(out, cert->issuer);
    put_algorithm(out);
    der_integer(out, cert->serial, sizeof(cert->serial));
    mark = out->used_bytes;
    der_small_integer(out, 2); // version 3
    der_wrap(out, DER_EXPLICIT(0), mark);
    der_wrap(out, DER_SEQUENCE, 0);
}

void vtpm_cert_seal(const uint8_t *body, size_t body_bytes, const uint8_t r[VTPM_ECC_BYTES],
                    const uint8_t s[VTPM_ECC_BYTES], struct der *out) {
    der_integer(out, s, VTPM_ECC_BYTES);
    der_integer(out, r, VTPM_ECC_BYTES);
    der_wrap(out, DER_SEQUENCE, 0);
    end_bits(out, 0, 0);
    put_algorithm(out);
    der_raw(out, body, body_bytes);
    der_wrap(out, DER_SEQUENCE, 0);
}
