// SPDX-License-Identifier: MIT
//
// TPM 2.0 commands for tests.
#include "tests/support/tpm_commands.h"

#include "igvm/base/bytes.h"

#include <string.h>

#define NO_SESSIONS 0x8001u
#define SESSIONS    0x8002u
#define RH_OWNER    0x40000001u
#define RS_PW       0x40000009u

static void put(struct tpm_command *c, uint64_t value, unsigned size_bytes) {
    for (unsigned i = size_bytes; i-- > 0;) {
        c->bytes[c->size_bytes++] = (uint8_t)(value >> (8 * i));
    }
}

static struct tpm_command begin(uint16_t tag, uint32_t code) {
    struct tpm_command c = {.size_bytes = 0};

    put(&c, tag, 2);
    put(&c, 0, 4);
    put(&c, code, 4);
    return c;
}

/// An empty password session.
static void put_password(struct tpm_command *c) {
    put(c, 9, 4);
    put(c, RS_PW, 4);
    put(c, 0, 2);
    put(c, 0, 1);
    put(c, 0, 2);
}

static struct tpm_command end(struct tpm_command c) {
    for (unsigned i = 0; i < 4; i++) {
        c.bytes[2 + i] = (uint8_t)(c.size_bytes >> (8 * (3 - i)));
    }
    return c;
}

struct tpm_command tpm_startup(uint16_t type) {
    struct tpm_command c = begin(NO_SESSIONS, 0x144);

    put(&c, type, 2);
    return end(c);
}

struct tpm_command tpm_shutdown(uint16_t type) {
    struct tpm_command c = begin(NO_SESSIONS, 0x145);

    put(&c, type, 2);
    return end(c);
}

struct tpm_command tpm_get_random(uint16_t count) {
    struct tpm_command c = begin(NO_SESSIONS, 0x17B);

    put(&c, count, 2);
    return end(c);
}

struct tpm_command tpm_get_pcr_banks(void) {
    struct tpm_command c = begin(NO_SESSIONS, 0x17A);

    put(&c, 5, 4); // TPM_CAP_PCRS
    put(&c, 0, 4);
    put(&c, 1, 4);
    return end(c);
}

struct tpm_command tpm_pcr_read(uint16_t alg, unsigned pcr) {
    struct tpm_command c = begin(NO_SESSIONS, 0x17E);

    put(&c, 1, 4);
    put(&c, alg, 2);
    put(&c, 3, 1);
    for (unsigned i = 0; i < 3; i++) {
        put(&c, pcr / 8 == i ? 1u << (pcr % 8) : 0, 1);
    }
    return end(c);
}

struct tpm_command tpm_pcr_extend(unsigned pcr, uint16_t alg, uint8_t fill) {
    struct tpm_command c = begin(SESSIONS, 0x182);

    put(&c, pcr, 4);
    put_password(&c);
    put(&c, 1, 4);
    put(&c, alg, 2);
    for (unsigned i = 0; i < (alg == TPM_ALG_SHA384 ? 48u : 32u); i++) {
        put(&c, fill, 1);
    }
    return end(c);
}

/// TPM2_CreatePrimary up to the public area's type-specific part.
static struct tpm_command begin_create(uint16_t type, uint16_t public_bytes) {
    struct tpm_command c = begin(SESSIONS, 0x131);

    put(&c, RH_OWNER, 4);
    put_password(&c);
    put(&c, 4, 2); // sensitive: no auth, no data
    put(&c, 0, 4);
    put(&c, public_bytes, 2);
    put(&c, type, 2);
    put(&c, TPM_ALG_SHA256, 2);
    put(&c, 0x00030472,
        4);             // fixedTPM, fixedParent, origin, userWithAuth, noDA, restricted, decrypt
    put(&c, 0, 2);      // no policy
    put(&c, 0x0006, 2); // AES
    put(&c, 128, 2);
    put(&c, 0x0043, 2); // CFB
    return c;
}

static struct tpm_command end_create(struct tpm_command c) {
    put(&c, 0, 2); // outside info
    put(&c, 0, 4); // creation PCRs
    return end(c);
}

struct tpm_command tpm_create_primary_rsa(uint8_t unique) {
    struct tpm_command c = begin_create(0x0001, 27);

    put(&c, 0x0010, 2); // scheme: null
    put(&c, 2048, 2);
    put(&c, 0, 4); // exponent: default
    put(&c, 1, 2);
    put(&c, unique, 1);
    return end_create(c);
}

struct tpm_command tpm_create_primary_ecc(void) {
    struct tpm_command c = begin_create(0x0023, 26);

    put(&c, 0x0010, 2); // scheme: null
    put(&c, 0x0003, 2); // P-256
    put(&c, 0x0010, 2); // KDF: null
    put(&c, 0, 4);      // unique point
    return end_create(c);
}

struct tpm_command tpm_flush(uint32_t handle) {
    struct tpm_command c = begin(NO_SESSIONS, 0x165);

    put(&c, handle, 4);
    return end(c);
}

struct tpm_command tpm_nv_define(uint32_t index, uint16_t size_bytes) {
    struct tpm_command c = begin(SESSIONS, 0x12A);

    put(&c, RH_OWNER, 4);
    put_password(&c);
    put(&c, 0, 2);
    put(&c, 14, 2);
    put(&c, index, 4);
    put(&c, TPM_ALG_SHA256, 2);
    put(&c, 0x02060006, 4); // owner and auth may read and write, noDA
    put(&c, 0, 2);
    put(&c, size_bytes, 2);
    return end(c);
}

struct tpm_command tpm_nv_write(uint32_t index, const void *bytes, uint16_t size_bytes) {
    return tpm_nv_write_as(index, index, bytes, size_bytes);
}

struct tpm_command tpm_nv_write_as(uint32_t hierarchy, uint32_t index, const void *bytes,
                                   uint16_t size_bytes) {
    struct tpm_command c = begin(SESSIONS, 0x137);

    put(&c, hierarchy, 4);
    put(&c, index, 4);
    put_password(&c);
    put(&c, size_bytes, 2);
    memcpy(c.bytes + c.size_bytes, bytes, size_bytes);
    c.size_bytes += size_bytes;
    put(&c, 0, 2);
    return end(c);
}

struct tpm_command tpm_nv_read(uint32_t index, uint16_t size_bytes) {
    return tpm_nv_read_at(index, size_bytes, 0);
}

struct tpm_command tpm_nv_read_at(uint32_t index, uint16_t size_bytes, uint16_t off) {
    struct tpm_command c = begin(SESSIONS, 0x14E);

    put(&c, index, 4);
    put(&c, index, 4);
    put_password(&c);
    put(&c, size_bytes, 2);
    put(&c, off, 2);
    return end(c);
}

struct tpm_command tpm_nv_read_public(uint32_t index) {
    struct tpm_command c = begin(NO_SESSIONS, 0x169);

    put(&c, index, 4);
    return end(c);
}

struct tpm_command tpm_nv_undefine(uint32_t hierarchy, uint32_t index) {
    struct tpm_command c = begin(SESSIONS, 0x122);

    put(&c, hierarchy, 4);
    put(&c, index, 4);
    put_password(&c);
    return end(c);
}

struct tpm_command tpm_read_public(uint32_t handle) {
    struct tpm_command c = begin(NO_SESSIONS, 0x173);

    put(&c, handle, 4);
    return end(c);
}

struct tpm_command tpm_read_clock(void) {
    return end(begin(NO_SESSIONS, 0x181));
}

struct tpm_command tpm_change_auth(uint32_t hierarchy) {
    struct tpm_command c = begin(SESSIONS, 0x129);

    put(&c, hierarchy, 4);
    put_password(&c);
    put(&c, 0, 2);
    return end(c);
}

struct tpm_command tpm_quote(uint32_t handle, uint16_t alg) {
    struct tpm_command c = begin(SESSIONS, 0x158);

    put(&c, handle, 4);
    put_password(&c);
    put(&c, 4, 2); // qualifying data
    put(&c, 0x6E6F6E63, 4);
    put(&c, 0x0010, 2); // the key's scheme
    put(&c, 1, 4);
    put(&c, alg, 2);
    put(&c, 3, 1);
    put(&c, 0xFF0000, 3);
    return end(c);
}

uint32_t tpm_rc(const uint8_t *response, size_t size_bytes) {
    return size_bytes < 10 || load_be32(response + 2) != size_bytes ? UINT32_MAX
                                                                    : load_be32(response + 6);
}
