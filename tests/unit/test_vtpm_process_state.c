// SPDX-License-Identifier: MIT
//
// The vTPM process and its state file: killed at random moments while it writes, started with one
// that is damaged, foreign, blank or of another size.

#include "tests/support/vtpm_alone.h"
#include "userspace/vtpm_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define NV_INDEX 0x01500001u

/// Kills the process at random moments while it writes its state: what the next one finds is what
/// was acknowledged last or what was being written.
static void test_kill_while_writing(void **state) {
    struct vtpm_alone *f = *state;
    uint64_t acknowledged = 0;
    unsigned in_between = 0;

    vtpm_alone_start(f, NULL);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_nv_define(NV_INDEX, 8)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_nv_write(NV_INDEX, &acknowledged, 8)), 0);
    for (unsigned i = 0; i < 300; i++) {
        unsigned writes = (unsigned)(vtpm_alone_random(f) % 4);
        uint64_t attempt = acknowledged + 1;
        struct tpm_command c;
        uint64_t found;

        for (unsigned w = 0; w < writes; w++) {
            assert_int_equal(tpm_run(&f->line, tpm_nv_write(NV_INDEX, &attempt, 8)), 0);
            acknowledged = attempt++;
        }
        c = tpm_nv_write(NV_INDEX, &attempt, 8);
        tpm_send(&f->line, &c);
        usleep((useconds_t)(vtpm_alone_random(f) % 700));
        vtpm_alone_kill(f);
        vtpm_alone_start(f, "--create=never");
        assert_int_equal(f->line.ready_status, 0);
        assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
        assert_int_equal(tpm_run(&f->line, tpm_nv_read(NV_INDEX, 8)), 0);
        memcpy(&found, tpm_response(&f->line) + 16, 8);
        assert_in_range(found, acknowledged, attempt);
        in_between += found == attempt;
        acknowledged = found;
    }
    print_message("state was new after %u of 300 kills, old after the others\n", in_between);
    vtpm_alone_stop(f);
}

/// Changes bytes of the state file.
static void patch(struct vtpm_alone *f, off_t off, const void *bytes, size_t size_bytes) {
    int fd = open(f->state, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size_bytes, off), size_bytes);
    close(fd);
}

static uint64_t checksum(struct vtpm_alone *f) {
    static uint8_t bytes[VTPM_STORE_BYTES];
    int fd = open(f->state, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, bytes, sizeof(bytes));

    assert_true(n >= 0);
    close(fd);
    return vtpm_crc64(bytes, (size_t)n);
}

static void assert_failure_mode(struct vtpm_alone *f, const char *extra) {
    uint64_t before = checksum(f);

    vtpm_alone_start(f, extra);
    assert_int_not_equal(f->line.ready_status, 0);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0x101);
    assert_int_equal(tpm_run(&f->line, tpm_get_random(8)), 0x101);
    vtpm_alone_stop(f);
    assert_true(checksum(f) == before); // not a byte was changed
}

static void test_corruption(void **state) {
    struct vtpm_alone *f = *state;
    uint8_t kept[64];
    int fd;

    vtpm_alone_start(f, NULL);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_nv_define(NV_INDEX, 8)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_shutdown(0)), 0);
    vtpm_alone_stop(f);
    patch(f, 16, "\xEE", 1); // slot A's sequence number
    assert_failure_mode(f, NULL);
    assert_failure_mode(f, "--create=if-blank");

    vtpm_alone_start(f, "--on-corrupt=manufacture");
    assert_int_equal(f->line.ready_status, 0);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    assert_int_equal(tpm_run(&f->line, tpm_nv_read(NV_INDEX, 8)),
                     0x18B); // another TPM: no such index
    vtpm_alone_stop(f);
    fd = open(f->state, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, kept, sizeof(kept), VTPM_ASIDE_OFF), sizeof(kept));
    close(fd);
    assert_memory_equal(kept, "PARAVTPM", 8);
    assert_int_equal(kept[16], 0xEE);

    patch(f, 24, "\xEE\xEE", 2); // again: the first incident's evidence stays
    assert_failure_mode(f, "--on-corrupt=manufacture");
}

/// Valid checksums around what libtpms cannot read.
static void test_foreign_contents(void **state) {
    struct vtpm_alone *f = *state;
    struct vtpm_store store;
    uint8_t junk[3000];
    int fd = open(f->state, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    for (size_t i = 0; i < sizeof(junk); i++) {
        junk[i] = (uint8_t)vtpm_alone_random(f);
    }
    assert_int_equal(vtpm_store_attach(&store, fd), 0);
    assert_int_equal(vtpm_store_load(&store), 0);
    assert_int_equal(vtpm_store_write(&store, junk, sizeof(junk)), 0);
    vtpm_store_close(&store);
    close(fd);
    assert_failure_mode(f, NULL);
    vtpm_alone_start(f, "--on-corrupt=manufacture");
    assert_int_equal(f->line.ready_status, 0);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    vtpm_alone_stop(f);
}

static void test_blank_and_sizes(void **state) {
    struct vtpm_alone *f = *state;
    int fd = open(f->state, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, VTPM_STORE_BYTES), 0);
    assert_failure_mode(f, "--create=never");
    assert_int_equal(ftruncate(fd, VTPM_STORE_BYTES + 1), 0);
    assert_failure_mode(f, "--on-corrupt=manufacture");
    assert_int_equal(ftruncate(fd, 100), 0);
    assert_failure_mode(f, NULL);
    vtpm_alone_start(f, "--on-corrupt=manufacture");
    assert_int_equal(f->line.ready_status, 0);
    vtpm_alone_stop(f);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kill_while_writing, vtpm_alone_setup,
                                        vtpm_alone_teardown),
        cmocka_unit_test_setup_teardown(test_corruption, vtpm_alone_setup, vtpm_alone_teardown),
        cmocka_unit_test_setup_teardown(test_foreign_contents, vtpm_alone_setup,
                                        vtpm_alone_teardown),
        cmocka_unit_test_setup_teardown(test_blank_and_sizes, vtpm_alone_setup,
                                        vtpm_alone_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
