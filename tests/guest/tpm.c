// SPDX-License-Identifier: MIT
//
// TPM 2.0 checks by raw commands through /dev/tpm0: TCG TPM 2.0 Library, part 1 (structures on the
// wire) and part 3 (commands). All numbers on the wire are big-endian.

#include "tests/guest/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TPM_ST_NO_SESSIONS    0x8001u
#define TPM_ST_SESSIONS       0x8002u
#define TPM_CC_CREATE_PRIMARY 0x131u
#define TPM_CC_SELF_TEST      0x143u
#define TPM_CC_STARTUP        0x144u
#define TPM_CC_FLUSH_CONTEXT  0x165u
#define TPM_CC_GET_CAPABILITY 0x17au
#define TPM_CC_GET_RANDOM     0x17bu
#define TPM_CC_PCR_READ       0x17eu
#define TPM_CC_PCR_EXTEND     0x182u
#define TPM_RC_INITIALIZE     0x100u
#define TPM_RH_OWNER          0x40000001u
#define TPM_RS_PW             0x40000009u
#define TPM_ALG_SHA256        0x00bu

struct message {
    uint8_t bytes[4096];
    size_t size;
};

static void put(struct message *m, unsigned count, uint64_t number) {
    for (unsigned i = 0; i < count; i++) {
        m->bytes[m->size++] = (uint8_t)(number >> 8 * (count - 1 - i));
    }
}

static uint32_t get32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void begin(struct message *m, unsigned tag, uint32_t command) {
    m->size = 0;
    put(m, 2, tag);
    put(m, 4, 0); // the size, written by exchange()
    put(m, 4, command);
}

/// The empty password session that authorises a command on one handle.
static void put_password(struct message *m) {
    put(m, 4, 9);
    put(m, 4, TPM_RS_PW);
    put(m, 2, 0);
    put(m, 1, 0);
    put(m, 2, 0);
}

/// Sends bytes as they are. Response size, or -errno.
static long exchange_raw(int fd, const uint8_t *command, size_t size, struct message *response) {
    if (write(fd, command, size) != (ssize_t)size) {
        return -errno;
    }
    ssize_t got = read(fd, response->bytes, sizeof(response->bytes));
    response->size = got > 0 ? (size_t)got : 0;
    return got < 0 ? -errno : got;
}

/// Response code, or negative errno when there was no well-formed response.
static long exchange(int fd, struct message *command, struct message *response) {
    size_t size = command->size;
    command->size = 2;
    put(command, 4, size);
    command->size = size;
    long got = exchange_raw(fd, command->bytes, size, response);
    if (got < 0) {
        return got;
    }
    if (got < 10 || get32(response->bytes + 2) != (uint32_t)got) {
        return -EBADMSG;
    }
    return (long)get32(response->bytes + 6);
}

static int open_tpm(const char *check_name) {
    char path[32];
    snprintf(path, sizeof(path), "/dev/tpm%u", tpm_number());
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        fail(check_name, "%s: %s", path, strerror(errno));
    }
    return fd;
}

static long pcr_read(int fd, unsigned pcr, uint8_t digest[32]) {
    struct message c, r;
    begin(&c, TPM_ST_NO_SESSIONS, TPM_CC_PCR_READ);
    put(&c, 4, 1);
    put(&c, 2, TPM_ALG_SHA256);
    put(&c, 1, 3);
    for (unsigned i = 0; i < 3; i++) {
        put(&c, 1, i == pcr / 8 ? 1u << pcr % 8 : 0);
    }
    long code = exchange(fd, &c, &r);
    // header 10, update counter 4, selection 4+2+1+3, digest list count 4, size 2, digest 32
    if (code == 0 && r.size < 62) {
        return -EBADMSG;
    }
    if (code == 0) {
        memcpy(digest, r.bytes + r.size - 32, 32);
    }
    return code;
}

static long pcr_extend(int fd, unsigned pcr, uint8_t fill) {
    struct message c, r;
    begin(&c, TPM_ST_SESSIONS, TPM_CC_PCR_EXTEND);
    put(&c, 4, pcr);
    put_password(&c);
    put(&c, 4, 1);
    put(&c, 2, TPM_ALG_SHA256);
    for (unsigned i = 0; i < 32; i++) {
        put(&c, 1, fill);
    }
    return exchange(fd, &c, &r);
}

static void check_random(int fd) {
    struct message c, first, second;
    begin(&c, TPM_ST_NO_SESSIONS, TPM_CC_GET_RANDOM);
    put(&c, 2, 32);
    long code = exchange(fd, &c, &first);
    long again = exchange(fd, &c, &second);
    check(code == 0 && again == 0 && first.size == 44 && memcmp(&first, &second, 44) != 0,
          "tpm-random", "codes 0x%lx 0x%lx, %zu bytes", code, again, first.size);
}

/// A storage primary key: ECC P-256, restricted decryption, AES-128-CFB (the standard template).
static void check_create_primary(int fd) {
    static const uint8_t template[] = {
        0x00, 0x23,             // type ECC
        0x00, 0x0b,             // name algorithm SHA-256
        0x00, 0x03, 0x04, 0x72, // fixedTPM|fixedParent|sensitiveDataOrigin|userWithAuth|noDA|restricted|decrypt
        0x00, 0x00,             // no policy
        0x00, 0x06, 0x00, 0x80, 0x00, 0x43, // AES 128 CFB
        0x00, 0x10,                         // no scheme
        0x00, 0x03,                         // NIST P-256
        0x00, 0x10,                         // no KDF
        0x00, 0x00, 0x00, 0x00,             // empty point
    };
    struct message c, r;
    begin(&c, TPM_ST_SESSIONS, TPM_CC_CREATE_PRIMARY);
    put(&c, 4, TPM_RH_OWNER);
    put_password(&c);
    put(&c, 2, 4); // sensitive: empty authorisation, no data
    put(&c, 4, 0);
    put(&c, 2, sizeof(template));
    memcpy(c.bytes + c.size, template, sizeof(template));
    c.size += sizeof(template);
    put(&c, 2, 0); // outside info
    put(&c, 4, 0); // creation PCRs
    uint64_t start = now_ns();
    long code = exchange(fd, &c, &r);
    check(code == 0 && r.size > 100, "tpm-create-primary", "code 0x%lx, %zu bytes, %llu ms", code,
          r.size, (unsigned long long)(now_ns() - start) / 1000000);
    if (code != 0) {
        return;
    }
    // handle 4, parameter size 4, TPM2B_PUBLIC 2 + 28 bytes before the point; x is 32 bytes.
    printf("PT primary %08x%08x\n", get32(r.bytes + 10 + 4 + 4 + 2 + 24),
           get32(r.bytes + 10 + 4 + 4 + 2 + 28));
    fflush(stdout);
    uint32_t handle = get32(r.bytes + 10);
    begin(&c, TPM_ST_NO_SESSIONS, TPM_CC_FLUSH_CONTEXT);
    put(&c, 4, handle);
    code = exchange(fd, &c, &r);
    check(code == 0, "tpm-flush", "handle 0x%x, code 0x%lx", handle, code);
}

int cmd_tpm(int argc, char **argv) {
    (void)argc;
    (void)argv;
    struct message c, r;
    uint8_t before[32], after[32];
    char version[64];
    snprintf(version, sizeof(version), "/sys/class/tpm/tpm%u/tpm_version_major", tpm_number());
    check(read_number(version, 0) == 2, "tpm-found", "version %ld", read_number(version, 0));
    int fd = open_tpm("tpm-open");
    if (fd < 0) {
        return 1;
    }
    // The kernel's driver has started it: a second Startup answers "initialize".
    begin(&c, TPM_ST_NO_SESSIONS, TPM_CC_STARTUP);
    put(&c, 2, 0);
    long code = exchange(fd, &c, &r);
    check(code == TPM_RC_INITIALIZE, "tpm-started", "code 0x%lx", code);
    begin(&c, TPM_ST_NO_SESSIONS, TPM_CC_SELF_TEST);
    put(&c, 1, 1);
    code = exchange(fd, &c, &r);
    check(code == 0, "tpm-self-test", "code 0x%lx", code);
    check_random(fd);

    long first = pcr_read(fd, 10, before);
    long extended = pcr_extend(fd, 10, 0x11);
    long second = pcr_read(fd, 10, after);
    check(first == 0 && extended == 0 && second == 0 && memcmp(before, after, 32) != 0, "tpm-pcr",
          "codes 0x%lx 0x%lx 0x%lx", first, extended, second);
    check_create_primary(fd);
    close(fd);
    return 0;
}

/// Leaves marks in the PCRs that a restart must take away.
int cmd_tpm_extend(int argc, char **argv) {
    (void)argc;
    (void)argv;
    int fd = open_tpm("tpm-extend");
    if (fd < 0) {
        return 1;
    }
    for (unsigned pcr = 8; pcr < 17; pcr += 4) {
        long code = pcr_extend(fd, pcr, 0x5a);
        check(code == 0, "tpm-extend", "PCR %u, code 0x%lx", pcr, code);
    }
    close(fd);
    return 0;
}

/// The same PCRs are zero again: TPM2_Startup(CLEAR) after _TPM_Init resets them (part 1, 17.2).
int cmd_tpm_fresh(int argc, char **argv) {
    (void)argc;
    (void)argv;
    int fd = open_tpm("tpm-fresh");
    if (fd < 0) {
        return 1;
    }
    static const uint8_t zero[32];
    for (unsigned pcr = 8; pcr < 17; pcr += 4) {
        uint8_t digest[32] = {1};
        long code = pcr_read(fd, pcr, digest);
        check(code == 0 && memcmp(digest, zero, 32) == 0, "tpm-fresh",
              "PCR %u, code 0x%lx, first byte 0x%02x", pcr, code, digest[0]);
    }
    close(fd);
    return 0;
}

/// Malformed commands get an error code; after all of them a good command still works.
int cmd_tpm_garbage(int argc, char **argv) {
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 200;
    uint64_t seed = 0x7061726170657400ull;
    unsigned answered = 0, refused = 0, accepted = 0;
    int fd = open_tpm("tpm-garbage");
    if (fd < 0) {
        return 1;
    }
    for (unsigned round = 0; round < rounds; round++) {
        struct message c, r;
        size_t size = 10 + random_next(&seed) % (round % 8 == 0 ? 3000 : 60);
        begin(&c, random_next(&seed) % 2 ? TPM_ST_NO_SESSIONS : TPM_ST_SESSIONS,
              0x11f + (uint32_t)(random_next(&seed) % 0x7f));
        while (c.size < size) {
            put(&c, 1, random_next(&seed) >> 32);
        }
        // Linux refuses a size field larger than what was written; smaller and absurd ones pass.
        uint32_t said =
            round % 3 == 0 ? (uint32_t)(random_next(&seed) % (size + 1)) : (uint32_t)size;
        c.size = 2;
        put(&c, 4, said);
        long got = exchange_raw(fd, c.bytes, size, &r);
        answered += got >= 10;
        refused += got < 0;
        accepted += got >= 10 && get32(r.bytes + 6) == 0;
        if (got < 0) {
            // A half-done exchange would block the next one: start afresh.
            close(fd);
            fd = open_tpm("tpm-garbage");
            if (fd < 0) {
                return 1;
            }
        }
    }
    pass("tpm-garbage",
         "%u malformed commands: %u answered (%u as success), %u refused by the driver", rounds,
         answered, accepted, refused);
    check_random(fd);
    close(fd);
    return 0;
}
