// SPDX-License-Identifier: MIT
//
// The vTPM process for real: forked, confined, driven over its socket. TPM commands and their
// persistence, suspend, garbage on the socket, cancelled commands.

#include "igvm/base/bytes.h"
#include "tests/support/vtpm_alone.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define NV_INDEX 0x01500001u

/// First bytes of the digest that PCR_Read gave.
static uint32_t pcr_value(struct vtpm_alone *f, uint16_t alg, unsigned pcr) {
    assert_int_equal(tpm_run(&f->line, tpm_pcr_read(alg, pcr)), 0);
    assert_in_range(f->line.response_bytes, 34, 128);
    return load_be32(tpm_response(&f->line) + 30);
}

static void test_commands(void **state) {
    struct vtpm_alone *f = *state;
    static const uint8_t banks[] = {0, 0,    0, 5,    0,    0,    0, 4,    0, 0x04, 3,    0,   0, 0,
                                    0, 0x0B, 3, 0xFF, 0xFF, 0xFF, 0, 0x0C, 3, 0xFF, 0xFF, 0xFF};
    uint8_t first[32];
    uint32_t extended;

    vtpm_alone_start(f, NULL);
    assert_int_equal(f->line.ready_status, 0);
    assert_int_equal(tpm_run(&f->line, tpm_get_random(32)), 0x100); // TPM_RC_INITIALIZE
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_get_random(32)), 0);
    memcpy(first, tpm_response(&f->line) + 12, sizeof(first));
    assert_int_equal(tpm_run(&f->line, tpm_get_random(32)), 0);
    assert_memory_not_equal(first, tpm_response(&f->line) + 12, sizeof(first));
    assert_int_equal(tpm_run(&f->line, tpm_get_pcr_banks()), 0);
    assert_memory_equal(tpm_response(&f->line) + 11, banks, sizeof(banks));

    assert_int_equal(pcr_value(f, TPM_ALG_SHA256, 8), 0);
    assert_int_equal(tpm_run(&f->line, tpm_pcr_extend(8, TPM_ALG_SHA256, 0x5A)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_pcr_extend(8, TPM_ALG_SHA384, 0x5A)), 0);
    extended = pcr_value(f, TPM_ALG_SHA256, 8);
    assert_int_not_equal(extended, 0);
    assert_int_not_equal(pcr_value(f, TPM_ALG_SHA384, 8), 0);

    assert_int_equal(tpm_run(&f->line, tpm_create_primary_ecc()), 0);
    assert_int_equal(tpm_run(&f->line, tpm_flush(load_be32(tpm_response(&f->line) + 10))), 0);
    assert_int_equal(tpm_run(&f->line, tpm_create_primary_rsa(0)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_flush(load_be32(tpm_response(&f->line) + 10))), 0);

    assert_int_equal(tpm_run(&f->line, tpm_nv_define(NV_INDEX, 8)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_nv_write(NV_INDEX, "parapet!", 8)), 0);
    tpm_power_cycle(&f->line); // PCRs go, NV stays
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    assert_int_equal(pcr_value(f, TPM_ALG_SHA256, 8), 0);
    assert_int_equal(tpm_run(&f->line, tpm_pcr_extend(8, TPM_ALG_SHA256, 0x5A)), 0);
    assert_int_equal(pcr_value(f, TPM_ALG_SHA256, 8), extended);
    assert_int_equal(tpm_run(&f->line, tpm_shutdown(0)), 0);
    vtpm_alone_stop(f);

    vtpm_alone_start(f, "--create=never"); // another process, the same TPM
    assert_int_equal(f->line.ready_status, 0);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_nv_read(NV_INDEX, 8)), 0);
    assert_memory_equal(tpm_response(&f->line) + 16, "parapet!", 8);
    vtpm_alone_stop(f);
}

/// With firmware's part played, the TPM is started after every power-on, and a power cycle before
/// the first command changes nothing.
static void test_plays_firmware(void **state) {
    struct vtpm_alone *f = *state;
    uint32_t extended;

    vtpm_alone_start(f, "--play-firmware");
    assert_int_equal(f->line.ready_status, 0);
    tpm_power_cycle(&f->line);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0x100); // TPM_RC_INITIALIZE: somebody has
    assert_int_equal(tpm_run(&f->line, tpm_pcr_extend(8, TPM_ALG_SHA256, 0x5A)), 0);
    extended = pcr_value(f, TPM_ALG_SHA256, 8);
    assert_int_not_equal(extended, 0);
    tpm_power_cycle(&f->line);
    assert_int_equal(pcr_value(f, TPM_ALG_SHA256, 8), 0);
    vtpm_alone_stop(f);
}

/// Suspend: TPM2_Shutdown(STATE), power cycle, TPM2_Startup(STATE) brings the PCRs back.
static void test_suspend(void **state) {
    struct vtpm_alone *f = *state;
    uint32_t extended;

    vtpm_alone_start(f, NULL);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_pcr_extend(3, TPM_ALG_SHA256, 1)), 0);
    extended = pcr_value(f, TPM_ALG_SHA256, 3);
    assert_int_equal(tpm_run(&f->line, tpm_shutdown(1)), 0);
    vtpm_alone_stop(f);
    vtpm_alone_start(f, NULL);
    assert_int_equal(tpm_run(&f->line, tpm_startup(1)), 0);
    assert_int_equal(pcr_value(f, TPM_ALG_SHA256, 3), extended);
    vtpm_alone_stop(f);
}

/// What the kernel says about the process.
static void assert_status(pid_t pid, const char *name, const char *want) {
    char path[64];
    char line[256];
    FILE *file;
    bool found = false;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, name, strlen(name)) == 0) {
            assert_string_equal(line + strlen(name), want);
            found = true;
        }
    }
    fclose(file);
    assert_true(found);
}

static void test_confinement(void **state) {
    struct vtpm_alone *f = *state;

    vtpm_alone_start(f, NULL);
    assert_status(f->pid, "Seccomp:\t", "2\n");
    assert_status(f->pid, "NoNewPrivs:\t", "1\n");
    assert_status(f->pid, "CapEff:\t", "0000000000000000\n");
    assert_status(f->pid, "CapPrm:\t", "0000000000000000\n");
    if (geteuid() == 0) {
        assert_status(f->pid, "CapBnd:\t", "0000000000000000\n");
        assert_status(f->pid, "Uid:\t", "65534\t65534\t65534\t65534\n");
        assert_status(f->pid, "Groups:\t", " \n");
    }
    vtpm_alone_stop(f);
}

static void test_garbage(void **state) {
    struct vtpm_alone *f = *state;
    uint8_t bytes[8192];
    struct vtpm_message m;
    struct tpm_command c = tpm_get_random(8);

    vtpm_alone_start(f, NULL);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    for (unsigned i = 0; i < 3000; i++) {
        size_t n = 1 + vtpm_alone_random(f) % (i % 50 == 0 ? sizeof(bytes) : 64);

        for (size_t j = 0; j < n; j++) {
            bytes[j] = (uint8_t)vtpm_alone_random(f);
        }
        if (n >= VTPM_HEADER_BYTES && (i & 1)) { // nearly right, but the size never is
            vtpm_message_format(bytes, &(struct vtpm_message){.op = VTPM_COMMAND, .sequence = 1});
            bytes[vtpm_alone_random(f) % VTPM_HEADER_BYTES] ^= (uint8_t)(1u << (i & 7));
            store_le32(bytes + 16, (i & 2) ? (uint32_t)(n - VTPM_HEADER_BYTES) + 1 : 0xFFFFFFFF);
        }
        assert_int_equal(send(f->line.fd, bytes, n, MSG_NOSIGNAL), n);
    }
    tpm_send_plain(&f->line, VTPM_COMMAND_DONE, 7); // the wrong direction
    tpm_send_plain(&f->line, VTPM_READY, 0);
    tpm_send_plain(&f->line, VTPM_CANCEL, 12345); // nobody's
    assert_int_equal(tpm_run(&f->line, c), 0);
    // Garbage inside a well-formed message is the TPM's affair.
    for (unsigned i = 0; i < 2000; i++) {
        c.size_bytes = 10 + vtpm_alone_random(f) % 200;
        for (size_t j = 0; j < c.size_bytes; j++) {
            c.bytes[j] = (uint8_t)vtpm_alone_random(f);
        }
        if (i & 1) { // a plausible header
            store_le16(c.bytes, __builtin_bswap16((uint16_t)(0x8001 + (i >> 1 & 1))));
            store_le32(c.bytes + 2, __builtin_bswap32((uint32_t)c.size_bytes));
            store_le32(c.bytes + 6,
                       __builtin_bswap32(0x11F + (uint32_t)(vtpm_alone_random(f) % 0x90)));
        }
        tpm_run(&f->line, c);
        assert_in_range(f->line.response_bytes, 10, 4096);
    }
    // More than one command at a time is refused, not queued without end.
    for (unsigned i = 0; i < 50; i++) {
        c = tpm_get_random(8);
        tpm_send(&f->line, &c);
    }
    for (unsigned i = 0; i < 50; i++) {
        tpm_receive(&f->line, &m);
        assert_int_equal(m.op, VTPM_COMMAND_DONE);
        assert_true(m.status == 0 || m.status == EBUSY);
    }
    tpm_power_cycle(&f->line);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    vtpm_alone_stop(f);
}

static void test_cancel(void **state) {
    struct vtpm_alone *f = *state;
    unsigned cancelled = 0;
    struct tpm_command c;
    struct vtpm_message m;

    vtpm_alone_start(f, NULL);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    for (unsigned i = 0; i < 20; i++) {
        c = tpm_create_primary_rsa((uint8_t)i);
        tpm_send(&f->line, &c);
        if (i & 1) {
            usleep((useconds_t)(vtpm_alone_random(f) % 5000));
        }
        tpm_send_plain(&f->line, VTPM_CANCEL, f->line.sequence);
        tpm_receive(&f->line, &m);
        if (tpm_rc(tpm_response(&f->line), f->line.response_bytes) == 0x909) {
            cancelled++;
        } else {
            assert_int_equal(tpm_rc(tpm_response(&f->line), f->line.response_bytes), 0);
            assert_int_equal(tpm_run(&f->line, tpm_flush(load_be32(tpm_response(&f->line) + 10))),
                             0);
        }
        assert_int_equal(tpm_run(&f->line, tpm_get_random(4)), 0); // a cancel does not stick
    }
    assert_true(cancelled > 0);
    // A power cycle does not wait for a long command.
    for (unsigned i = 0; i < 5; i++) {
        uint32_t power = f->line.sequence + 2;

        c = tpm_create_primary_rsa((uint8_t)(100 + i));
        tpm_send(&f->line, &c);
        tpm_send_plain(&f->line, VTPM_POWER_CYCLE, power);
        tpm_receive(&f->line, &m);
        assert_int_equal(m.op, VTPM_COMMAND_DONE);
        tpm_receive(&f->line, &m);
        assert_int_equal(m.op, VTPM_POWER_CYCLE_DONE);
        f->line.sequence = power;
        assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    }
    c = tpm_create_primary_rsa(200);
    tpm_send(&f->line, &c);
    vtpm_alone_stop(f); // the peer goes away in the middle of a command
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_commands, vtpm_alone_setup, vtpm_alone_teardown),
        cmocka_unit_test_setup_teardown(test_plays_firmware, vtpm_alone_setup, vtpm_alone_teardown),
        cmocka_unit_test_setup_teardown(test_suspend, vtpm_alone_setup, vtpm_alone_teardown),
        cmocka_unit_test_setup_teardown(test_confinement, vtpm_alone_setup, vtpm_alone_teardown),
        cmocka_unit_test_setup_teardown(test_garbage, vtpm_alone_setup, vtpm_alone_teardown),
        cmocka_unit_test_setup_teardown(test_cancel, vtpm_alone_setup, vtpm_alone_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
