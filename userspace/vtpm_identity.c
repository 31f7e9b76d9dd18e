// SPDX-License-Identifier: MIT
//
// Keys and certificates of a new TPM (vtpm_identity.h). Everything is asked of the TPM itself:
// keys, random numbers, hashes, signatures.
#include "userspace/vtpm_identity.h"

#include "igvm/base/log.h"
#include "userspace/tpm_wire.h"
#include "userspace/vtpm_cert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define AREA "vtpm"

#define TPM_ALG_RSA    0x0001u
#define TPM_ALG_AES    0x0006u
#define TPM_ALG_SHA256 0x000Bu
#define TPM_ALG_NULL   0x0010u
#define TPM_ALG_RSASSA 0x0014u
#define TPM_ALG_ECDSA  0x0018u
#define TPM_ALG_ECC    0x0023u
#define TPM_ALG_CFB    0x0043u
#define TPM_ECC_P256   0x0003u
#define TPM_ST_HASHED  0x8024u

#define TPM_RC_RETRY 0x922u
#define MAX_TRIES    10u

#define PT_LEVEL        0x101u
#define PT_REVISION     0x102u
#define PT_MANUFACTURER 0x105u
#define PT_FIRMWARE_1   0x10Bu

#define RSA_EK_HANDLE  0x81010001u
#define AK_HANDLE      0x81000003u
#define NV_RSA_EK_CERT 0x01C00002u
#define NV_ECC_EK_CERT 0x01C0000Au
#define NV_CA_CERT     0x01C00100u
#define NV_AK_CERT     0x01C101D0u
#define NV_PIECE_BYTES 512u

/// TPMA_OBJECT: fixedTPM, fixedParent, sensitiveDataOrigin, then
#define OBJECT_EK 0x000300B2u ///< adminWithPolicy, restricted, decrypt: the profile's
#define OBJECT_AK 0x00050072u ///< userWithAuth, restricted, sign
#define OBJECT_CA 0x00040072u ///< userWithAuth, sign
/// TPMA_NV: PPWRITE, WRITEDEFINE, PPREAD, OWNERREAD, AUTHREAD, NO_DA, PLATFORMCREATE.
#define NV_CERT 0x42072001u

/// The profile's policy A: PolicySecret(TPM_RH_ENDORSEMENT), SHA-256.
static const uint8_t ek_policy[32] = {
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xB3, 0xF8, 0x1A, 0x90, 0xCC, 0x8D, 0x46, 0xA5, 0xD7, 0x24,
    0xFD, 0x52, 0xD7, 0x6E, 0x06, 0x52, 0x0B, 0x64, 0xF2, 0xA1, 0xDA, 0x1B, 0x33, 0x14, 0x69, 0xAA};

struct maker {
    vtpm_run_fn run;
    struct tpm_wire command;
    uint8_t response[TPM_WIRE_MAX_BYTES];
    struct vtpm_cert cert; ///< what all certificates share stays between them
    uint32_t ca_handle;
    uint8_t body_room[VTPM_CERT_MAX_BYTES], cert_room[VTPM_CERT_MAX_BYTES];
};

/// Runs the command that has been written. *out: the response after its header.
static int run(struct maker *m, const char *name, struct cursor *out) {
    uint64_t code = TPM_RC_RETRY;
    size_t n = 0;

    // An algorithm is tested before its first use; the command is to be sent again then.
    for (unsigned i = 0; code == TPM_RC_RETRY && i < MAX_TRIES && tpm_wire_end(&m->command); i++) {
        n = m->run(m->command.bytes, m->command.size_bytes, m->response, sizeof(m->response));
        *out = cursor_init(m->response, n);
        if (!cursor_skip(out, 6) || !tpm_wire_get(out, 4, &code)) {
            code = UINT64_MAX;
        }
    }
    if (code != 0) {
        log_write(LOG_ERROR, AREA, "a new TPM's keys: %s gives 0x%llx", name,
                  (unsigned long long)code);
        return -EIO;
    }
    return 0;
}

// ---- keys ---------------------------------------------------------------------------------------

struct template {
    uint32_t hierarchy;
    bool is_rsa;
    uint32_t attributes;
    uint32_t scheme;  ///< signing; TPM_ALG_NULL: a storage key with AES-128-CFB
    bool policy;      ///< ek_policy
    bool zero_unique; ///< as long as the key, the profile's; else empty
    const char *purpose;
};

static const struct template ca_template = {TPM_RH_NULL, false, OBJECT_CA,   TPM_ALG_ECDSA,
                                            false,       false, "the CA key"};
static const struct template rsa_ek_template = {
    TPM_RH_ENDORSEMENT, true, OBJECT_EK, TPM_ALG_NULL, true, true, "the RSA EK"};
static const struct template ecc_ek_template = {
    TPM_RH_ENDORSEMENT, false, OBJECT_EK, TPM_ALG_NULL, true, true, "the ECC EK"};
static const struct template ak_template = {
    TPM_RH_ENDORSEMENT, true, OBJECT_AK, TPM_ALG_RSASSA, false, false, "the AK"};

/// TPM2B_PUBLIC.
static void put_public(struct tpm_wire *w, const struct template *t) {
    static const uint8_t zero[VTPM_RSA_BYTES];
    size_t mark = tpm_wire_open_2b(w);
    uint16_t unique_bytes = t->is_rsa ? VTPM_RSA_BYTES : VTPM_ECC_BYTES;

    tpm_wire_put(w, t->is_rsa ? TPM_ALG_RSA : TPM_ALG_ECC, 2);
    tpm_wire_put(w, TPM_ALG_SHA256, 2);
    tpm_wire_put(w, t->attributes, 4);
    tpm_wire_put_2b(w, ek_policy, t->policy ? sizeof(ek_policy) : 0);
    if (t->scheme == TPM_ALG_NULL) {
        tpm_wire_put(w, TPM_ALG_AES, 2);
        tpm_wire_put(w, 128, 2);
        tpm_wire_put(w, TPM_ALG_CFB, 2);
        tpm_wire_put(w, TPM_ALG_NULL, 2);
    } else {
        tpm_wire_put(w, TPM_ALG_NULL, 2); // no symmetric algorithm
        tpm_wire_put(w, t->scheme, 2);
        tpm_wire_put(w, TPM_ALG_SHA256, 2);
    }
    if (t->is_rsa) {
        tpm_wire_put(w, 2048, 2);
        tpm_wire_put(w, 0, 4); // the default exponent
    } else {
        tpm_wire_put(w, TPM_ECC_P256, 2);
        tpm_wire_put(w, TPM_ALG_NULL, 2); // key derivation
        tpm_wire_put_2b(w, zero, t->zero_unique ? unique_bytes : 0);
    }
    tpm_wire_put_2b(w, zero, t->zero_unique ? unique_bytes : 0);
    tpm_wire_close_2b(w, mark);
}

/// What stands before the key itself in a TPM2B_PUBLIC of this template.
static bool skip_to_unique(struct cursor *c, const struct template *t) {
    const uint8_t *policy;
    size_t policy_bytes;

    return cursor_skip(c, 2 + 2 + 2 + 4) && tpm_wire_get_2b(c, &policy, &policy_bytes) &&
           cursor_skip(c, t->scheme == TPM_ALG_NULL ? 8 : 6) && cursor_skip(c, t->is_rsa ? 6 : 4);
}

/// A TPM2B as a number of exactly size_bytes, zeroes in front.
static bool get_number(struct cursor *c, uint8_t *out, size_t size_bytes) {
    const uint8_t *bytes;
    size_t size;

    if (!tpm_wire_get_2b(c, &bytes, &size) || size > size_bytes) {
        return false;
    }
    memset(out, 0, size_bytes);
    memcpy(out + size_bytes - size, bytes, size);
    return true;
}

static int create_primary(struct maker *m, const struct template *t, uint32_t *handle) {
    struct vtpm_public *key = &m->cert.key;
    struct tpm_wire *w = &m->command;
    uint64_t value;
    struct cursor c;

    tpm_wire_begin(w, TPM_ST_SESSIONS, 0x131);
    tpm_wire_put(w, t->hierarchy, 4);
    tpm_wire_put_password(w, 1);
    tpm_wire_put(w, 4, 2); // TPM2B_SENSITIVE_CREATE: no password, no data
    tpm_wire_put(w, 0, 4);
    put_public(w, t);
    tpm_wire_put(w, 0, 2); // outside information
    tpm_wire_put(w, 0, 4); // creation PCRs
    if (run(m, t->purpose, &c) != 0) {
        return -EIO;
    }
    key->is_rsa = t->is_rsa;
    if (!tpm_wire_get(&c, 4, &value) || !cursor_skip(&c, 4) || !skip_to_unique(&c, t) ||
        !(t->is_rsa
              ? get_number(&c, key->modulus, sizeof(key->modulus))
              : get_number(&c, key->x, sizeof(key->x)) && get_number(&c, key->y, sizeof(key->y)))) {
        log_write(LOG_ERROR, AREA, "%s: the TPM's answer is not understood", t->purpose);
        return -EIO;
    }
    *handle = (uint32_t)value;
    return 0;
}

static int flush_key(struct maker *m, uint32_t handle) {
    struct cursor c;

    tpm_wire_begin(&m->command, TPM_ST_NO_SESSIONS, 0x165);
    tpm_wire_put(&m->command, handle, 4);
    return run(m, "FlushContext", &c);
}

static int make_persistent(struct maker *m, uint32_t handle, uint32_t persistent) {
    struct cursor c;

    tpm_wire_begin(&m->command, TPM_ST_SESSIONS, 0x120);
    tpm_wire_put(&m->command, TPM_RH_OWNER, 4);
    tpm_wire_put(&m->command, handle, 4);
    tpm_wire_put_password(&m->command, 1);
    tpm_wire_put(&m->command, persistent, 4);
    return run(m, "EvictControl", &c);
}

// ---- small services of the TPM -----------------------------------------------------------------

static int get_property(struct maker *m, uint32_t property, uint32_t *value) {
    uint64_t got;
    struct cursor c;

    tpm_wire_begin(&m->command, TPM_ST_NO_SESSIONS, 0x17A);
    tpm_wire_put(&m->command, 6, 4); // TPM_CAP_TPM_PROPERTIES
    tpm_wire_put(&m->command, property, 4);
    tpm_wire_put(&m->command, 1, 4);
    // moreData, capability, count, property, value
    if (run(m, "GetCapability", &c) != 0 || !cursor_skip(&c, 1 + 4 + 4 + 4) ||
        !tpm_wire_get(&c, 4, &got)) {
        return -EIO;
    }
    *value = (uint32_t)got;
    return 0;
}

static int get_random(struct maker *m, uint8_t *out, uint16_t size_bytes) {
    const uint8_t *bytes;
    size_t size;
    struct cursor c;

    tpm_wire_begin(&m->command, TPM_ST_NO_SESSIONS, 0x17B);
    tpm_wire_put(&m->command, size_bytes, 2);
    if (run(m, "GetRandom", &c) != 0 || !tpm_wire_get_2b(&c, &bytes, &size) || size != size_bytes) {
        return -EIO;
    }
    memcpy(out, bytes, size);
    return 0;
}

/// SHA-256 of at most 1024 bytes (MAX_DIGEST_BUFFER).
static int hash(struct maker *m, const uint8_t *bytes, size_t size_bytes, uint8_t out[32]) {
    const uint8_t *digest;
    size_t size;
    struct cursor c;

    if (size_bytes > 1024) {
        return -EIO;
    }
    tpm_wire_begin(&m->command, TPM_ST_NO_SESSIONS, 0x17D);
    tpm_wire_put_2b(&m->command, bytes, (uint16_t)size_bytes);
    tpm_wire_put(&m->command, TPM_ALG_SHA256, 2);
    tpm_wire_put(&m->command, TPM_RH_NULL, 4);
    if (run(m, "Hash", &c) != 0 || !tpm_wire_get_2b(&c, &digest, &size) || size != 32) {
        return -EIO;
    }
    memcpy(out, digest, 32);
    return 0;
}

static int sign(struct maker *m, const uint8_t digest[32], uint8_t r[VTPM_ECC_BYTES],
                uint8_t s[VTPM_ECC_BYTES]) {
    struct tpm_wire *w = &m->command;
    struct cursor c;

    tpm_wire_begin(w, TPM_ST_SESSIONS, 0x15D);
    tpm_wire_put(w, m->ca_handle, 4);
    tpm_wire_put_password(w, 1);
    tpm_wire_put_2b(w, digest, 32);
    tpm_wire_put(w, TPM_ALG_NULL, 2); // the key's own scheme
    tpm_wire_put(w, TPM_ST_HASHED, 2);
    tpm_wire_put(w, TPM_RH_NULL, 4);
    tpm_wire_put(w, 0, 2);
    // Parameters' size, scheme, hash.
    return run(m, "Sign", &c) == 0 && cursor_skip(&c, 4 + 2 + 2) &&
                   get_number(&c, r, VTPM_ECC_BYTES) && get_number(&c, s, VTPM_ECC_BYTES)
               ? 0
               : -EIO;
}

// ---- certificates -------------------------------------------------------------------------------

/// Defines an index of the platform's, writes it and locks it for good.
static int write_index(struct maker *m, uint32_t index, const uint8_t *bytes, size_t size_bytes) {
    struct tpm_wire *w = &m->command;
    struct cursor c;
    int r;

    tpm_wire_begin(w, TPM_ST_SESSIONS, 0x12A);
    tpm_wire_put(w, TPM_RH_PLATFORM, 4);
    tpm_wire_put_password(w, 1);
    tpm_wire_put(w, 0, 2);  // no password
    tpm_wire_put(w, 14, 2); // TPM2B_NV_PUBLIC
    tpm_wire_put(w, index, 4);
    tpm_wire_put(w, TPM_ALG_SHA256, 2);
    tpm_wire_put(w, NV_CERT, 4);
    tpm_wire_put(w, 0, 2);
    tpm_wire_put(w, size_bytes, 2);
    r = run(m, "NV_DefineSpace", &c);
    for (size_t done = 0; r == 0 && done < size_bytes; done += NV_PIECE_BYTES) {
        size_t left = size_bytes - done;

        tpm_wire_begin(w, TPM_ST_SESSIONS, 0x137);
        tpm_wire_put(w, TPM_RH_PLATFORM, 4);
        tpm_wire_put(w, index, 4);
        tpm_wire_put_password(w, 1);
        tpm_wire_put_2b(w, bytes + done, (uint16_t)(left < NV_PIECE_BYTES ? left : NV_PIECE_BYTES));
        tpm_wire_put(w, done, 2);
        r = run(m, "NV_Write", &c);
    }
    if (r == 0) {
        tpm_wire_begin(w, TPM_ST_SESSIONS, 0x138);
        tpm_wire_put(w, TPM_RH_PLATFORM, 4);
        tpm_wire_put(w, index, 4);
        tpm_wire_put_password(w, 1);
        r = run(m, "NV_WriteLock", &c);
    }
    return r;
}

/// Certifies the key that was made last.
static int certify(struct maker *m, enum vtpm_cert_kind kind, uint32_t index) {
    struct der body = {.base = m->body_room, .room_bytes = sizeof(m->body_room)};
    struct der whole = {.base = m->cert_room, .room_bytes = sizeof(m->cert_room)};
    uint8_t digest[32], r[VTPM_ECC_BYTES], s[VTPM_ECC_BYTES];

    m->cert.kind = kind;
    if (get_random(m, m->cert.serial, sizeof(m->cert.serial)) != 0) {
        return -EIO;
    }
    m->cert.serial[0] = (m->cert.serial[0] & 0x7F) | 0x40; // positive, of full length
    vtpm_cert_body(&m->cert, &body);
    if (body.full || hash(m, der_bytes(&body), body.used_bytes, digest) != 0 ||
        sign(m, digest, r, s) != 0) {
        return -EIO;
    }
    vtpm_cert_seal(der_bytes(&body), body.used_bytes, r, s, &whole);
    return whole.full ? -EIO : write_index(m, index, der_bytes(&whole), whole.used_bytes);
}

/// The CA: its key, its name and its own certificate.
static int make_ca(struct maker *m) {
    uint8_t point[1 + 2 * VTPM_ECC_BYTES] = {4}, digest[32], name[8];
    struct vtpm_cert *cert = &m->cert;

    if (create_primary(m, &ca_template, &m->ca_handle) != 0) {
        return -EIO;
    }
    memcpy(point + 1, cert->key.x, VTPM_ECC_BYTES);
    memcpy(point + 1 + VTPM_ECC_BYTES, cert->key.y, VTPM_ECC_BYTES);
    if (hash(m, point, sizeof(point), digest) != 0 || get_random(m, name, sizeof(name)) != 0) {
        return -EIO;
    }
    memcpy(cert->issuer_key_id, digest, sizeof(cert->issuer_key_id));
    snprintf(cert->issuer, sizeof(cert->issuer), "Parapet vTPM CA %02x%02x%02x%02x%02x%02x%02x%02x",
             name[0], name[1], name[2], name[3], name[4], name[5], name[6], name[7]);
    return certify(m, VTPM_CERT_CA, NV_CA_CERT);
}

/// One key: made, certified, kept under persistent (0: only its certificate is).
static int make_key(struct maker *m, const struct template *t, enum vtpm_cert_kind kind,
                    uint32_t index, uint32_t persistent) {
    uint32_t handle;
    int r = create_primary(m, t, &handle);

    if (r == 0) {
        r = certify(m, kind, index);
    }
    if (r == 0 && persistent != 0) {
        r = make_persistent(m, handle, persistent);
    }
    return r == 0 ? flush_key(m, handle) : r;
}

int vtpm_identity_make(vtpm_run_fn run_command) {
    static struct maker maker; // one engine, one thread
    struct maker *m = &maker;
    int r;

    *m = (struct maker){.run = run_command};
    m->cert.not_before = (int64_t)time(NULL);
    r = get_property(m, PT_MANUFACTURER, &m->cert.manufacturer);
    r = r == 0 ? get_property(m, PT_FIRMWARE_1, &m->cert.firmware) : r;
    r = r == 0 ? get_property(m, PT_LEVEL, &m->cert.level) : r;
    r = r == 0 ? get_property(m, PT_REVISION, &m->cert.revision) : r;
    r = r == 0 ? make_ca(m) : r;
    r = r == 0 ? make_key(m, &rsa_ek_template, VTPM_CERT_EK_RSA, NV_RSA_EK_CERT, RSA_EK_HANDLE) : r;
    r = r == 0 ? make_key(m, &ecc_ek_template, VTPM_CERT_EK_ECC, NV_ECC_EK_CERT, 0) : r;
    r = r == 0 ? make_key(m, &ak_template, VTPM_CERT_AK, NV_AK_CERT, AK_HANDLE) : r;
    return r == 0 ? flush_key(m, m->ca_handle) : r;
}
