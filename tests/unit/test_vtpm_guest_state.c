// SPDX-License-Identifier: MIT
//
// The vTPM over the guest state, both processes for real: what lasts over power cycles, wrong keys,
// foreign and damaged states, what is measured, and whose the platform hierarchy is.

#include "igvm/base/bytes.h"
#include "tests/support/vtpm_pair.h"
#include "userspace/vault_client.h"
#include "userspace/vmgs/vmgs_format.h"
#include "userspace/vtpm_events.h"
#include "userspace/vtpm_vault.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>

#include <cmocka.h>

#define NV_INDEX    0x01500001u
#define RH_OWNER    0x40000001u
#define RH_PLATFORM 0x4000000Cu
#define EK_HANDLE   0x81010001u

/// Two TPMs share nothing; a restarted one is the same.
static void test_lasts(void **state) {
    struct vtpm_pair *f = *state;
    uint8_t first[256];

    vtpm_pair_start(f, NULL);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_read_public(EK_HANDLE)), 0);
    memcpy(first, tpm_response(&f->line) + 70, sizeof(first));
    assert_int_equal(tpm_run(&f->line, tpm_nv_define(NV_INDEX, 8)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_nv_write(NV_INDEX, "parapet!", 8)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_shutdown(0)), 0);
    vtpm_pair_stop(f);

    vtpm_pair_start(f, "--create=never");
    assert_int_equal(f->line.ready_status, 0);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_nv_read(NV_INDEX, 8)), 0);
    assert_memory_equal(tpm_response(&f->line) + 16, "parapet!", 8);
    assert_int_equal(tpm_run(&f->line, tpm_read_public(EK_HANDLE)), 0);
    assert_memory_equal(first, tpm_response(&f->line) + 70, sizeof(first));
    // Another vTPM process on the same vault: what a supervisor does at a guest reset.
    vtpm_pair_stop_vtpm(f);
    vtpm_pair_start_vtpm(f, NULL);
    assert_int_equal(f->line.ready_status, 0);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_nv_read(NV_INDEX, 8)), 0);
    vtpm_pair_stop(f);

    assert_int_equal(truncate(f->path, 0), 0); // a new machine
    vtpm_pair_start(f, NULL);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_read_public(EK_HANDLE)), 0);
    assert_memory_not_equal(first, tpm_response(&f->line) + 70, sizeof(first));
    vtpm_pair_stop(f);
}

static uint64_t file_hash(const struct vtpm_pair *f) {
    uint8_t *bytes = malloc(VMGS_DEFAULT_BYTES);
    FILE *file = fopen(f->path, "re");
    size_t n = fread(bytes, 1, VMGS_DEFAULT_BYTES, file);
    uint64_t hash = vtpm_crc64(bytes, n);

    fclose(file);
    free(bytes);
    return hash;
}

static void assert_fails(struct vtpm_pair *f) {
    uint64_t before = file_hash(f);

    vtpm_pair_start(f, NULL);
    assert_int_not_equal(f->line.ready_status, 0);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0x101); // TPM_RC_FAILURE
    assert_int_equal(tpm_run(&f->line, tpm_get_random(8)), 0x101);
    vtpm_pair_stop(f);
    vtpm_pair_start(f, "--on-corrupt=manufacture");
    assert_int_not_equal(f->line.ready_status, 0);
    vtpm_pair_stop(f);
    assert_int_equal(file_hash(f), before);
}

static void test_refused_states(void **state) {
    struct vtpm_pair *f = *state;
    uint8_t block[VMGS_BLOCK_BYTES];
    int fd;

    vtpm_pair_start(f, NULL);
    assert_int_equal(f->line.ready_status, 0);
    vtpm_pair_stop(f);
    f->key ^= 1; // a wrong key
    assert_fails(f);
    f->key = 0; // none
    assert_fails(f);
    f->key = 0x31;
    vtpm_pair_start(f, "--create=never");
    assert_int_equal(f->line.ready_status, 0);
    vtpm_pair_stop(f);
    // Every block of the middle is overwritten: the file's among them.
    fd = open(f->path, O_RDWR);
    memset(block, 0x5A, sizeof(block));
    for (unsigned i = 6; i < 60; i++) {
        assert_int_equal(pwrite(fd, block, sizeof(block), (off_t)i * VMGS_BLOCK_BYTES),
                         sizeof(block));
    }
    close(fd);
    assert_fails(f);
}

/// A file that libtpms does not accept, and one without our header, in a sound guest state.
static void test_foreign_contents(void **state) {
    struct vtpm_pair *f = *state;
    uint8_t bytes[64];

    memset(bytes, 0x42, sizeof(bytes));
    vtpm_pair_start_vault(f);
    assert_int_equal(vault_write(f->vault_fd, bytes, sizeof(bytes)), 0);
    vtpm_pair_start_vtpm(f, NULL);
    assert_int_not_equal(f->line.ready_status, 0);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0x101);
    vtpm_pair_stop_vtpm(f);
    assert_int_equal(vtpm_vault_write(f->vault_fd, bytes, sizeof(bytes)), 0);
    vtpm_pair_start_vtpm(f, NULL);
    assert_int_not_equal(f->line.ready_status, 0);
    vtpm_pair_stop(f);
}

/// Without firmware the platform hierarchy is the process's: its password is random, again after
/// each power cycle. With firmware it is the firmware's.
static void test_platform(void **state) {
    struct vtpm_pair *f = *state;

    vtpm_pair_start(f, "--play-firmware");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(tpm_run(&f->line, tpm_change_auth(RH_PLATFORM)),
                         0x9A2); // TPM_RC_BAD_AUTH, session 1
        assert_int_equal(tpm_run(&f->line, tpm_nv_undefine(RH_PLATFORM, 0x01C00002)), 0x9A2);
        assert_int_equal(tpm_run(&f->line, tpm_change_auth(RH_OWNER)), 0);
        tpm_power_cycle(&f->line);
    }
    vtpm_pair_stop_vtpm(f);
    vtpm_pair_start_vtpm(f, NULL);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_change_auth(RH_PLATFORM)), 0);
    vtpm_pair_stop(f);
}

static void put_events(int fd, const char *text) {
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/// First bytes of a PCR.
static uint32_t pcr(struct vtpm_pair *f, uint16_t alg, unsigned index) {
    assert_int_equal(tpm_run(&f->line, tpm_pcr_read(alg, index)), 0);
    return load_be32(tpm_response(&f->line) + 30);
}

/// extend(0, hash(text)), first bytes.
static uint32_t extended(const EVP_MD *md, const char *text) {
    unsigned n = (unsigned)EVP_MD_get_size(md);
    uint8_t both[128] = {0}, digest[64];

    EVP_Digest(text, strlen(text), both + n, NULL, md, NULL);
    EVP_Digest(both, 2 * n, digest, NULL, md, NULL);
    return load_be32(digest);
}

/// What the supervisor says is measured, at every power-on, before anybody can say otherwise.
static void test_measures(void **state) {
    struct vtpm_pair *f = *state;
    int ends[2];
    char option[32];

    assert_int_equal(pipe(ends), 0);
    snprintf(option, sizeof(option), "--events-fd=%d", ends[0]);
    put_events(ends[1], "4 kernel sha384 00ff\n9 command line quiet\n");
    vtpm_pair_start_vault(f);
    vtpm_pair_start_vtpm_with(f, "--play-firmware", option);
    close(ends[0]);
    assert_int_equal(f->line.ready_status, 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pcr(f, TPM_ALG_SHA256, 4), extended(EVP_sha256(), "kernel sha384 00ff"));
        assert_int_equal(pcr(f, TPM_ALG_SHA384, 4), extended(EVP_sha384(), "kernel sha384 00ff"));
        assert_int_equal(pcr(f, TPM_ALG_SHA256, 9), extended(EVP_sha256(), "command line quiet"));
        assert_int_equal(pcr(f, TPM_ALG_SHA256, 8), 0);
        assert_int_equal(tpm_run(&f->line, tpm_pcr_extend(4, TPM_ALG_SHA256, 1)), 0);
        tpm_power_cycle(&f->line);
    }
    vtpm_pair_stop(f);
}

static int parse_events(struct vtpm_events *events, const char *text) {
    events->size_bytes = strlen(text);
    memcpy(events->bytes, text, events->size_bytes);
    return vtpm_events_parse(events);
}

static void test_event_lines(void **state) {
    static const char *const bad[] = {"4 x",    "\n",      "4\n",    "4 \n",     " x\n",  "x y\n",
                                      "16 x\n", "004 x\n", "-1 x\n", "4 x\n5\n", "4x y\n"};
    static struct vtpm_events events;
    char text[VTPM_EVENT_MAX_BYTES + 16];

    (void)state;
    assert_int_equal(parse_events(&events, ""), 0);
    assert_int_equal(events.count, 0);
    assert_int_equal(parse_events(&events, "4 a b\n15 c\n"), 0);
    assert_int_equal(events.count, 2);
    assert_int_equal(events.events[1].pcr, 15);
    assert_int_equal(events.events[0].text_bytes, 3);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse_events(&events, bad[i]), -EINVAL);
        assert_int_equal(events.count, 0);
    }
    memset(text, 'x', sizeof(text));
    memcpy(text, "9 ", 2);
    memcpy(text + 2 + VTPM_EVENT_MAX_BYTES, "\n", 2);
    assert_int_equal(parse_events(&events, text), 0);
    memcpy(text + 2 + VTPM_EVENT_MAX_BYTES, "x\n", 3);
    assert_int_equal(parse_events(&events, text), -EINVAL);
    for (size_t i = 0; i < VTPM_EVENTS_MAX + 1; i++) {
        memcpy(text + 4 * i, "1 a\n", 5);
    }
    assert_int_equal(parse_events(&events, text), -EINVAL);
    text[4 * VTPM_EVENTS_MAX] = '\0';
    assert_int_equal(parse_events(&events, text), 0);
}

/// resetCount and "safe" of TPM2_ReadClock.
static void read_clock(struct vtpm_pair *f, uint32_t *resets, bool *safe) {
    assert_int_equal(tpm_run(&f->line, tpm_read_clock()), 0);
    *resets = load_be32(tpm_response(&f->line) + 10 + 16);
    *safe = tpm_response(&f->line)[10 + 24] == 1;
}

/// A power cycle is a TPM reset; one without a shutdown before shows in "safe".
static void test_resets(void **state) {
    struct vtpm_pair *f = *state;
    uint32_t first, second;
    bool safe;

    vtpm_pair_start(f, NULL);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    read_clock(f, &first, &safe);
    assert_true(safe);
    assert_int_equal(tpm_run(&f->line, tpm_shutdown(0)), 0);
    tpm_power_cycle(&f->line);
    assert_int_equal(tpm_run(&f->line, tpm_get_random(8)), 0x100); // TPM_RC_INITIALIZE
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    read_clock(f, &second, &safe);
    assert_int_equal(second, first + 1);
    assert_true(safe);
    tpm_power_cycle(&f->line); // no shutdown
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    read_clock(f, &second, &safe);
    assert_int_equal(second, first + 2);
    assert_false(safe);
    vtpm_pair_stop(f); // nor here
    vtpm_pair_start(f, NULL);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    read_clock(f, &second, &safe);
    assert_int_equal(second, first + 3);
    vtpm_pair_stop(f);
}

/// The vault dies under a running TPM: what has to be written fails, and the TPM says so.
static void test_vault_dies(void **state) {
    struct vtpm_pair *f = *state;

    vtpm_pair_start(f, NULL);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_nv_define(NV_INDEX, 8)), 0);
    kill(f->vault, SIGKILL);
    waitpid(f->vault, NULL, 0);
    f->vault = 0;
    assert_int_not_equal(tpm_run(&f->line, tpm_nv_write(NV_INDEX, "parapet!", 8)), 0);
    vtpm_pair_stop_vtpm(f);
    close(f->vault_fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lasts, vtpm_pair_setup, vtpm_pair_teardown),
        cmocka_unit_test_setup_teardown(test_refused_states, vtpm_pair_setup, vtpm_pair_teardown),
        cmocka_unit_test_setup_teardown(test_foreign_contents, vtpm_pair_setup, vtpm_pair_teardown),
        cmocka_unit_test_setup_teardown(test_platform, vtpm_pair_setup, vtpm_pair_teardown),
        cmocka_unit_test_setup_teardown(test_measures, vtpm_pair_setup, vtpm_pair_teardown),
        cmocka_unit_test(test_event_lines),
        cmocka_unit_test_setup_teardown(test_resets, vtpm_pair_setup, vtpm_pair_teardown),
        cmocka_unit_test_setup_teardown(test_vault_dies, vtpm_pair_setup, vtpm_pair_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
