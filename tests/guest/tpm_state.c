// SPDX-License-Identifier: MIT
//
// What a TPM keeps: an NV index and the endorsement key over power cycles; what a guest may not do
// with the platform's part of it.

#include "tests/guest/probe.h"
#include "tests/guest/tpm_message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TPM_CC_UNDEFINE_SPACE 0x122u
#define TPM_CC_NV_DEFINE      0x12au
#define TPM_CC_NV_WRITE       0x137u
#define TPM_CC_NV_READ        0x14eu
#define TPM_CC_NV_READ_PUBLIC 0x169u
#define TPM_CC_READ_PUBLIC    0x173u
#define TPM_RH_PLATFORM       0x4000000cu
#define TPM_RC_BAD_AUTH       0x9a2u ///< of the first session
#define NV_INDEX              0x01500001u
#define NV_EK_CERTIFICATE     0x01c00002u
#define EK_HANDLE             0x81010001u

static const char mark[8] = {'p', 'a', 'r', 'a', 'p', 'e', 't', '!'};

static long nv_write(int fd) {
    struct tpm_message c, r;
    tpm_begin(&c, TPM_ST_SESSIONS, TPM_CC_NV_DEFINE);
    tpm_put(&c, 4, TPM_RH_OWNER);
    tpm_put_password(&c);
    tpm_put(&c, 2, 0);
    tpm_put(&c, 2, 14);
    tpm_put(&c, 4, NV_INDEX);
    tpm_put(&c, 2, TPM_ALG_SHA256);
    tpm_put(&c, 4, 0x02060006); // owner and index password read and write, noDA
    tpm_put(&c, 2, 0);
    tpm_put(&c, 2, sizeof(mark));
    long code = tpm_exchange(fd, &c, &r);
    if (code != 0) {
        return code;
    }
    tpm_begin(&c, TPM_ST_SESSIONS, TPM_CC_NV_WRITE);
    tpm_put(&c, 4, NV_INDEX);
    tpm_put(&c, 4, NV_INDEX);
    tpm_put_password(&c);
    tpm_put(&c, 2, sizeof(mark));
    for (size_t i = 0; i < sizeof(mark); i++) {
        tpm_put(&c, 1, (uint8_t)mark[i]);
    }
    tpm_put(&c, 2, 0);
    return tpm_exchange(fd, &c, &r);
}

/// size bytes of an index into out, by the index's empty password.
static long nv_read(int fd, uint32_t index, unsigned size, uint8_t *out) {
    struct tpm_message c, r;
    tpm_begin(&c, TPM_ST_SESSIONS, TPM_CC_NV_READ);
    tpm_put(&c, 4, index);
    tpm_put(&c, 4, index);
    tpm_put_password(&c);
    tpm_put(&c, 2, size);
    tpm_put(&c, 2, 0);
    long code = tpm_exchange(fd, &c, &r);
    if (code == 0 && r.size < 16 + size) {
        return -EBADMSG;
    }
    if (code == 0) {
        memcpy(out, r.bytes + 16, size);
    }
    return code;
}

/// The endorsement key's modulus, its first bytes: what the host compares between two boots.
static void show_ek(int fd) {
    struct tpm_message c, r;
    tpm_begin(&c, TPM_ST_NO_SESSIONS, TPM_CC_READ_PUBLIC);
    tpm_put(&c, 4, EK_HANDLE);
    long code = tpm_exchange(fd, &c, &r);
    check(code == 0 && r.size > 90, "tpm-ek", "code 0x%lx, %zu bytes", code, r.size);
    if (code == 0 && r.size > 90) {
        printf("PT ek %08x%08x\n", tpm_get32(r.bytes + 70), tpm_get32(r.bytes + 74));
        fflush(stdout);
    }
}

/// What the paravisor has measured, for the host to compare.
static void show_pcrs(int fd) {
    static const unsigned pcrs[] = {4, 9};
    for (unsigned i = 0; i < 2; i++) {
        uint8_t digest[32] = {0};
        long code = tpm_pcr_read(fd, pcrs[i], digest);
        check(code == 0, "tpm-pcr-read", "PCR %u, code 0x%lx", pcrs[i], code);
        printf("PT pcr%u ", pcrs[i]);
        for (unsigned j = 0; j < sizeof(digest); j++) {
            printf("%02x", digest[j]);
        }
        printf("\n");
        fflush(stdout);
    }
}

/// The certificate is there and nobody but its manufacturer removes it.
static void check_certificate(int fd) {
    struct tpm_message c, r;
    uint8_t start[4] = {0};
    long code = nv_read(fd, NV_EK_CERTIFICATE, sizeof(start), start);
    check(code == 0 && start[0] == 0x30 && start[1] == 0x82, "tpm-ek-certificate",
          "code 0x%lx, starts with %02x %02x", code, start[0], start[1]);
    tpm_begin(&c, TPM_ST_SESSIONS, TPM_CC_UNDEFINE_SPACE);
    tpm_put(&c, 4, TPM_RH_PLATFORM);
    tpm_put(&c, 4, NV_EK_CERTIFICATE);
    tpm_put_password(&c);
    code = tpm_exchange(fd, &c, &r);
    check(code == TPM_RC_BAD_AUTH, "tpm-platform-closed", "code 0x%lx", code);
}

/// write: leaves a mark; check: finds it.
int cmd_tpm_state(int argc, char **argv) {
    bool is_write = argc > 1 && strcmp(argv[1], "write") == 0;
    uint8_t found[sizeof(mark)] = {0};
    int fd = tpm_open("tpm-state");
    if (fd < 0) {
        return 1;
    }
    show_ek(fd);
    show_pcrs(fd);
    check_certificate(fd);
    long code = is_write ? nv_write(fd) : 0;
    if (is_write) {
        check(code == 0, "tpm-nv-write", "code 0x%lx", code);
    }
    code = nv_read(fd, NV_INDEX, sizeof(found), found);
    check(code == 0 && memcmp(found, mark, sizeof(mark)) == 0, "tpm-nv-read", "code 0x%lx", code);
    close(fd);
    return 0;
}
