// SPDX-License-Identifier: MIT
//
// TPM commands per second through /dev/tpm0: one that does next to nothing (the transport), then
// the ones that people wait for. The same program runs under Parapet and under the peers.

#include "tests/guest/probe.h"
#include "tests/guest/tpm_message.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TPM_CC_QUOTE      0x158u
#define TPM_CC_SIGN       0x15du
#define TPM_CC_READ_CLOCK 0x181u
#define TPM_RC_RETRY      0x922u
#define TPM_RH_NULL       0x40000007u
#define TPM_ALG_NULL      0x0010u
#define TPM_ST_HASHCHECK  0x8024u

/// P-256 with ECDSA, RSA-2048 with RSASSA; SHA-256, unrestricted.
static const uint8_t ecc_template[] = {0x00, 0x23, 0x00, 0x0b, 0x00, 0x04, 0x04, 0x72,
                                       0x00, 0x00, 0x00, 0x10, 0x00, 0x18, 0x00, 0x0b,
                                       0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00};
static const uint8_t rsa_template[] = {0x00, 0x01, 0x00, 0x0b, 0x00, 0x04, 0x04, 0x72,
                                       0x00, 0x00, 0x00, 0x10, 0x00, 0x14, 0x00, 0x0b,
                                       0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};

/// A signing key under the owner; its handle, 0 when it cannot be made.
static uint32_t make_key(int fd, const uint8_t *template, size_t size) {
    struct tpm_message c, r;
    tpm_begin(&c, TPM_ST_SESSIONS, TPM_CC_CREATE_PRIMARY);
    tpm_put(&c, 4, TPM_RH_OWNER);
    tpm_put_password(&c);
    tpm_put(&c, 2, 4);
    tpm_put(&c, 4, 0);
    tpm_put(&c, 2, size);
    memcpy(c.bytes + c.size, template, size);
    c.size += size;
    tpm_put(&c, 2, 0);
    tpm_put(&c, 4, 0);
    long code = tpm_exchange(fd, &c, &r);
    check(code == 0, "bench-tpm-key", "code 0x%lx", code);
    return code == 0 ? tpm_get32(r.bytes + 10) : 0;
}

static void write_clock(struct tpm_message *c) {
    tpm_begin(c, TPM_ST_NO_SESSIONS, TPM_CC_READ_CLOCK);
}

static void write_extend(struct tpm_message *c) {
    tpm_begin(c, TPM_ST_SESSIONS, TPM_CC_PCR_EXTEND);
    tpm_put(c, 4, 16);
    tpm_put_password(c);
    tpm_put(c, 4, 1);
    tpm_put(c, 2, TPM_ALG_SHA256);
    for (unsigned i = 0; i < 32; i++) {
        tpm_put(c, 1, i);
    }
}

static void write_sign(struct tpm_message *c, uint32_t key) {
    tpm_begin(c, TPM_ST_SESSIONS, TPM_CC_SIGN);
    tpm_put(c, 4, key);
    tpm_put_password(c);
    tpm_put(c, 2, 32);
    for (unsigned i = 0; i < 32; i++) {
        tpm_put(c, 1, i);
    }
    tpm_put(c, 2, TPM_ALG_NULL); // the key's scheme
    tpm_put(c, 2, TPM_ST_HASHCHECK);
    tpm_put(c, 4, TPM_RH_NULL);
    tpm_put(c, 2, 0);
}

static void write_quote(struct tpm_message *c, uint32_t key) {
    tpm_begin(c, TPM_ST_SESSIONS, TPM_CC_QUOTE);
    tpm_put(c, 4, key);
    tpm_put_password(c);
    tpm_put(c, 2, 0);
    tpm_put(c, 2, TPM_ALG_NULL);
    tpm_put(c, 4, 1);
    tpm_put(c, 2, TPM_ALG_SHA256);
    tpm_put(c, 4, 0x03ff0000); // PCRs 0 to 7
}

/// Sends the same command for a while and tells how many there were in a second.
static void rate(int fd, const char *name, struct tpm_message *command, unsigned seconds) {
    struct tpm_message r;
    long code = tpm_exchange(fd, command, &r);
    if (code == TPM_RC_RETRY) {
        code = tpm_exchange(fd, command, &r); // an algorithm is tested before its first use
    }
    uint64_t start = now_ns(), now = start;
    unsigned count = 0;
    while (code == 0 && now - start < seconds * 1000000000ull) {
        code = tpm_exchange(fd, command, &r);
        count++;
        now = now_ns();
    }
    check(code == 0, name, "code 0x%lx after %u", code, count);
    if (code == 0) {
        value(name, count * 1e9 / (double)(now - start), "1/s");
    }
}

/// [SECONDS]: of each.
int cmd_bench_tpm(int argc, char **argv) {
    unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 3;
    struct tpm_message c;
    int fd = tpm_open("bench-tpm");
    if (fd < 0) {
        return 1;
    }
    write_clock(&c);
    rate(fd, "tpm-transport", &c, seconds);
    write_extend(&c);
    rate(fd, "tpm-extend", &c, seconds);
    uint32_t key = make_key(fd, ecc_template, sizeof(ecc_template));
    if (key != 0) {
        write_sign(&c, key);
        rate(fd, "tpm-ecc-sign", &c, seconds);
        write_quote(&c, key);
        rate(fd, "tpm-quote", &c, seconds);
    }
    key = make_key(fd, rsa_template, sizeof(rsa_template));
    if (key != 0) {
        write_sign(&c, key);
        rate(fd, "tpm-rsa-sign", &c, seconds);
    }
    close(fd);
    return 0;
}
