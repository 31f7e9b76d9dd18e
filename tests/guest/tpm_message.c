// SPDX-License-Identifier: MIT
//
// TPM 2.0 commands through /dev/tpm0 (tpm_message.h).

#include "tests/guest/tpm_message.h"

#include "tests/guest/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void tpm_put(struct tpm_message *m, unsigned count, uint64_t number) {
    for (unsigned i = 0; i < count; i++) {
        m->bytes[m->size++] = (uint8_t)(number >> 8 * (count - 1 - i));
    }
}

uint32_t tpm_get32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

void tpm_begin(struct tpm_message *m, unsigned tag, uint32_t command) {
    m->size = 0;
    tpm_put(m, 2, tag);
    tpm_put(m, 4, 0); // the size, written by tpm_exchange()
    tpm_put(m, 4, command);
}

void tpm_put_password(struct tpm_message *m) {
    tpm_put(m, 4, 9);
    tpm_put(m, 4, TPM_RS_PW);
    tpm_put(m, 2, 0);
    tpm_put(m, 1, 0);
    tpm_put(m, 2, 0);
}

long tpm_exchange_raw(int fd, const uint8_t *command, size_t size, struct tpm_message *response) {
    if (write(fd, command, size) != (ssize_t)size) {
        return -errno;
    }
    ssize_t got = read(fd, response->bytes, sizeof(response->bytes));
    response->size = got > 0 ? (size_t)got : 0;
    return got < 0 ? -errno : got;
}

long tpm_exchange(int fd, struct tpm_message *command, struct tpm_message *response) {
    size_t size = command->size;
    command->size = 2;
    tpm_put(command, 4, size);
    command->size = size;
    long got = tpm_exchange_raw(fd, command->bytes, size, response);
    if (got < 0) {
        return got;
    }
    if (got < 10 || tpm_get32(response->bytes + 2) != (uint32_t)got) {
        return -EBADMSG;
    }
    return (long)tpm_get32(response->bytes + 6);
}

int tpm_open(const char *check_name) {
    char path[32];
    snprintf(path, sizeof(path), "/dev/tpm%u", tpm_number());
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        fail(check_name, "%s: %s", path, strerror(errno));
    }
    return fd;
}

long tpm_pcr_read(int fd, unsigned pcr, uint8_t digest[32]) {
    struct tpm_message c, r;
    tpm_begin(&c, TPM_ST_NO_SESSIONS, TPM_CC_PCR_READ);
    tpm_put(&c, 4, 1);
    tpm_put(&c, 2, TPM_ALG_SHA256);
    tpm_put(&c, 1, 3);
    for (unsigned i = 0; i < 3; i++) {
        tpm_put(&c, 1, i == pcr / 8 ? 1u << pcr % 8 : 0);
    }
    long code = tpm_exchange(fd, &c, &r);
    // header 10, update counter 4, selection 4+2+1+3, digest list count 4, size 2, digest 32
    if (code == 0 && r.size < 62) {
        return -EBADMSG;
    }
    if (code == 0) {
        memcpy(digest, r.bytes + r.size - 32, 32);
    }
    return code;
}
