// SPDX-License-Identifier: MIT
//
// TPM 2.0 checks by raw commands through /dev/tpm0: TCG TPM 2.0 Library, part 1 (structures on the
// wire) and part 3 (commands). All numbers on the wire are big-endian.

#include "tests/guest/probe.h"
#include "tests/guest/tpm_message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long pcr_extend(int fd, unsigned pcr, uint8_t fill) {
    struct tpm_message c, r;
    tpm_begin(&c, TPM_ST_SESSIONS, TPM_CC_PCR_EXTEND);
    tpm_put(&c, 4, pcr);
    tpm_put_password(&c);
    tpm_put(&c, 4, 1);
    tpm_put(&c, 2, TPM_ALG_SHA256);
    for (unsigned i = 0; i < 32; i++) {
        tpm_put(&c, 1, fill);
    }
    return tpm_exchange(fd, &c, &r);
}

static void check_random(int fd) {
    struct tpm_message c, first, second;
    tpm_begin(&c, TPM_ST_NO_SESSIONS, TPM_CC_GET_RANDOM);
    tpm_put(&c, 2, 32);
    long code = tpm_exchange(fd, &c, &first);
    long again = tpm_exchange(fd, &c, &second);
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
    struct tpm_message c, r;
    tpm_begin(&c, TPM_ST_SESSIONS, TPM_CC_CREATE_PRIMARY);
    tpm_put(&c, 4, TPM_RH_OWNER);
    tpm_put_password(&c);
    tpm_put(&c, 2, 4); // sensitive: empty authorisation, no data
    tpm_put(&c, 4, 0);
    tpm_put(&c, 2, sizeof(template));
    memcpy(c.bytes + c.size, template, sizeof(template));
    c.size += sizeof(template);
    tpm_put(&c, 2, 0); // outside info
    tpm_put(&c, 4, 0); // creation PCRs
    uint64_t start = now_ns();
    long code = tpm_exchange(fd, &c, &r);
    check(code == 0 && r.size > 100, "tpm-create-primary", "code 0x%lx, %zu bytes, %llu ms", code,
          r.size, (unsigned long long)(now_ns() - start) / 1000000);
    if (code != 0) {
        return;
    }
    // handle 4, parameter size 4, TPM2B_PUBLIC 2 + 28 bytes before the point; x is 32 bytes.
    printf("PT primary %08x%08x\n", tpm_get32(r.bytes + 10 + 4 + 4 + 2 + 24),
           tpm_get32(r.bytes + 10 + 4 + 4 + 2 + 28));
    fflush(stdout);
    uint32_t handle = tpm_get32(r.bytes + 10);
    tpm_begin(&c, TPM_ST_NO_SESSIONS, TPM_CC_FLUSH_CONTEXT);
    tpm_put(&c, 4, handle);
    code = tpm_exchange(fd, &c, &r);
    check(code == 0, "tpm-flush", "handle 0x%x, code 0x%lx", handle, code);
}

/// Commands go through RAM that the memory map reserves, not through the device's page: a line
/// "START-END : MSFT0101:00" below PCI's window.
static void check_buffer(void) {
    FILE *file = fopen("/proc/iomem", "re");
    unsigned long long start = 0, found = 0;
    char line[160];

    while (file && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "%llx-", &start) == 1 && strstr(line, "MSFT0101") &&
            start < 0xC0000000ull) {
            found = start;
        }
    }
    if (file) {
        fclose(file);
    }
    check(found != 0, "tpm-buffer", "in RAM at 0x%llx", found);
}

int cmd_tpm(int argc, char **argv) {
    (void)argc;
    (void)argv;
    struct tpm_message c, r;
    uint8_t before[32], after[32];
    char version[64];
    snprintf(version, sizeof(version), "/sys/class/tpm/tpm%u/tpm_version_major", tpm_number());
    check(read_number(version, 0) == 2, "tpm-found", "version %ld", read_number(version, 0));
    int fd = tpm_open("tpm-open");
    if (fd < 0) {
        return 1;
    }
    check_buffer();
    // The kernel's driver has started it: a second Startup answers "initialize".
    tpm_begin(&c, TPM_ST_NO_SESSIONS, TPM_CC_STARTUP);
    tpm_put(&c, 2, 0);
    long code = tpm_exchange(fd, &c, &r);
    check(code == TPM_RC_INITIALIZE, "tpm-started", "code 0x%lx", code);
    // What is not tested yet: a full test takes a second or more under emulation, and the driver
    // gives up after two.
    tpm_begin(&c, TPM_ST_NO_SESSIONS, TPM_CC_SELF_TEST);
    tpm_put(&c, 1, 0);
    code = tpm_exchange(fd, &c, &r);
    check(code == 0, "tpm-self-test", "code 0x%lx", code);
    check_random(fd);

    long first = tpm_pcr_read(fd, 10, before);
    long extended = pcr_extend(fd, 10, 0x11);
    long second = tpm_pcr_read(fd, 10, after);
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
    int fd = tpm_open("tpm-extend");
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
    int fd = tpm_open("tpm-fresh");
    if (fd < 0) {
        return 1;
    }
    static const uint8_t zero[32];
    for (unsigned pcr = 8; pcr < 17; pcr += 4) {
        uint8_t digest[32] = {1};
        long code = tpm_pcr_read(fd, pcr, digest);
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
    int fd = tpm_open("tpm-garbage");
    if (fd < 0) {
        return 1;
    }
    for (unsigned round = 0; round < rounds; round++) {
        struct tpm_message c, r;
        size_t size = 10 + random_next(&seed) % (round % 8 == 0 ? 3000 : 60);
        tpm_begin(&c, random_next(&seed) % 2 ? TPM_ST_NO_SESSIONS : TPM_ST_SESSIONS,
                  0x11f + (uint32_t)(random_next(&seed) % 0x7f));
        while (c.size < size) {
            tpm_put(&c, 1, random_next(&seed) >> 32);
        }
        // Linux refuses a size field larger than what was written; smaller and absurd ones pass.
        uint32_t said =
            round % 3 == 0 ? (uint32_t)(random_next(&seed) % (size + 1)) : (uint32_t)size;
        c.size = 2;
        tpm_put(&c, 4, said);
        long got = tpm_exchange_raw(fd, c.bytes, size, &r);
        answered += got >= 10;
        refused += got < 0;
        accepted += got >= 10 && tpm_get32(r.bytes + 6) == 0;
        if (got < 0) {
            // A half-done exchange would block the next one: start afresh.
            close(fd);
            fd = tpm_open("tpm-garbage");
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
