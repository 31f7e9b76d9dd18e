// SPDX-License-Identifier: MIT
//
// A command's way through the TPM CRB interface against a fake backend: its states, bad headers,
// cancel, reset and save with a command in flight, and a backend that is gone or answers nonsense.
#include "tests/support/tpm_crb_fixture.h"

#include "igvm/base/types.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_command(void **state) {
    struct crb_fixture *f = *state;

    crb_wr(f, 0, LOC_CTRL, REQUEST);
    assert_int_equal(crb_rd(f, 0, LOC_STATE), 0x83);
    assert_int_equal(crb_rd(f, 0, LOC_STS), 1);
    crb_wr(f, 0, DATA, 0x12345678); // idle: not taken
    assert_int_equal(crb_rd(f, 0, DATA), 0);
    crb_wr(f, 0, START, 1);
    assert_int_equal(crb_rd(f, 0, START), 0);
    crb_wr(f, 0, CTRL_REQ, 1);
    assert_int_equal(crb_rd(f, 0, CTRL_REQ), 0);
    assert_int_equal(crb_rd(f, 0, CTRL_STS), 0);
    crb_wr(f, 0, START, 1); // ready, but there is no command
    assert_int_equal(crb_rd(f, 0, START), 0);
    crb_put_command(f, 0, 0x8002, 100, 120);
    crb_wr(f, 0, START, 0);
    assert_int_equal(crb_rd(f, 0, START), 0);
    crb_wr(f, 0, START, 1);
    assert_int_equal(crb_rd(f, 0, START), 1);
    assert_int_equal(f->tpm.submit_count, 1);
    assert_int_equal(f->tpm.command_bytes, 100);
    assert_int_equal(f->tpm.locality, 0);
    for (unsigned i = 6; i < 100; i++) {
        assert_int_equal(f->tpm.command[i], i);
    }
    // While it runs: no write, no transition, no second start.
    crb_wr(f, 0, DATA, 0);
    assert_int_equal(crb_rd(f, 0, DATA) & 0xFFFF, 0x0280);
    crb_wr(f, 0, CTRL_REQ, 1);
    crb_wr(f, 0, CTRL_REQ, 2);
    crb_wr(f, 0, START, 1);
    assert_int_equal(crb_rd(f, 0, START), 1);
    assert_int_equal(f->tpm.submit_count, 1);
    fake_tpm_answer(&f->tpm, crb_ok_response, sizeof(crb_ok_response));
    assert_int_equal(crb_rd(f, 0, START), 0);
    assert_int_equal(crb_response_code(f, 0), 0);
    assert_int_equal(fake_mmio_read(f->m, BASE + DATA + 10, 2), 0xCDAB);
    for (unsigned i = 12; i < TPM_CRB_DATA_BYTES; i += 4) {
        assert_int_equal(crb_rd(f, 0, DATA + i), 0); // the command's tail is gone
    }
    crb_wr(f, 0, DATA, 1); // completion: the next command begins, without a rest of the response
    assert_int_equal(crb_rd(f, 0, DATA), 1);
    assert_int_equal(crb_rd(f, 0, DATA + 4), 0);
    crb_wr(f, 0, CTRL_REQ, 2);
    assert_int_equal(crb_rd(f, 0, CTRL_STS), 2);
    assert_int_equal(crb_rd(f, 0, DATA), 0);
}

static void test_bad_headers(void **state) {
    struct crb_fixture *f = *state;
    static const struct {
        uint16_t tag;
        uint32_t size;
        uint32_t rc;
        uint16_t response_tag;
    } cases[] = {
        {0x0000, 12, 0x01E, 0xC400},         {0x8003, 12, 0x01E, 0xC400},
        {0x0180, 12, 0x01E, 0xC400},         {0x8001, 0, 0x142, 0x0180},
        {0x8001, 9, 0x142, 0x0180},          {0x8002, 3969, 0x142, 0x0180},
        {0x8002, UINT32_MAX, 0x142, 0x0180}, {0x8001, 0x80000000, 0x142, 0x0180},
    };

    crb_wr(f, 0, LOC_CTRL, REQUEST);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        crb_wr(f, 0, CTRL_REQ, 1);
        crb_put_command(f, 0, cases[i].tag, cases[i].size, 12);
        crb_wr(f, 0, START, 1);
        assert_int_equal(crb_rd(f, 0, START), 0);
        assert_int_equal(crb_response_code(f, 0), cases[i].rc);
        assert_int_equal(crb_rd(f, 0, DATA) & 0xFFFF, cases[i].response_tag);
        assert_int_equal(fake_mmio_read(f->m, BASE + DATA + 2, 4), 0x0A000000);
    }
    assert_int_equal(f->tpm.submit_count, 0);
    crb_start_command(f, 0, 10); // smallest and largest
    assert_int_equal(f->tpm.command_bytes, 10);
    fake_tpm_answer(&f->tpm, crb_ok_response, sizeof(crb_ok_response));
    crb_start_command(f, 0, 3968);
    assert_int_equal(f->tpm.command_bytes, 3968);
    fake_tpm_answer(&f->tpm, crb_ok_response, sizeof(crb_ok_response));
    assert_int_equal(crb_response_code(f, 0), 0);
}

static void test_backend_nonsense(void **state) {
    struct crb_fixture *f = *state;
    static uint8_t big[TPM_BUFFER_BYTES] = {0x80, 1, 0, 0, 0x0F, 0x81};
    static const uint8_t lying[] = {0x80, 1, 0, 0, 0, 13, 0, 0, 0, 0, 1, 2};

    crb_wr(f, 0, LOC_CTRL, REQUEST);
    crb_start_command(f, 0, 12);
    fake_tpm_answer(&f->tpm, NULL, -EIO);
    assert_int_equal(crb_response_code(f, 0), 0x101);
    crb_start_command(f, 0, 12);
    fake_tpm_answer(&f->tpm, crb_ok_response, 9);
    assert_int_equal(crb_response_code(f, 0), 0x101);
    crb_start_command(f, 0, 12);
    fake_tpm_answer(&f->tpm, NULL, 0);
    assert_int_equal(crb_response_code(f, 0), 0x101);
    crb_start_command(f, 0, 12);
    fake_tpm_answer(&f->tpm, big, 3969);
    assert_int_equal(crb_response_code(f, 0), 0x101);
    crb_start_command(f, 0, 12);
    fake_tpm_answer(&f->tpm, lying, sizeof(lying));
    assert_int_equal(crb_response_code(f, 0), 0x101);
    f->tpm.gone = true;
    crb_start_command(f, 0, 12);
    assert_int_equal(crb_rd(f, 0, START), 0);
    assert_int_equal(crb_response_code(f, 0), 0x101);
    fake_reset(f->m, &f->crb.device); // must end although nobody is there
    f->tpm.gone = false;
    f->crb.backend = NULL;
    crb_wr(f, 0, LOC_CTRL, REQUEST);
    crb_start_command(f, 0, 12);
    assert_int_equal(crb_response_code(f, 0), 0x101);
    fake_reset(f->m, &f->crb.device);
}

static void test_cancel(void **state) {
    struct crb_fixture *f = *state;

    crb_wr(f, 0, LOC_CTRL, REQUEST);
    crb_wr(f, 0, CTRL_REQ, 1);
    crb_wr(f, 0, CANCEL, 1);
    assert_int_equal(f->tpm.cancel_count, 0);
    crb_wr(f, 0, CANCEL, 0);
    crb_start_command(f, 0, 12);
    crb_wr(f, 0, CANCEL, 1);
    assert_int_equal(f->tpm.cancel_count, 1);
    assert_int_equal(crb_rd(f, 0, CANCEL), 1);
    assert_int_equal(crb_rd(f, 0, START), 1); // ends when the TPM says so
    fake_tpm_answer(&f->tpm, crb_ok_response, sizeof(crb_ok_response));
    assert_int_equal(crb_rd(f, 0, START), 0);
    crb_wr(f, 0, CTRL_REQ, 1);
    assert_int_equal(crb_rd(f, 0, CANCEL), 0);
}

static void test_reset_in_flight(void **state) {
    struct crb_fixture *f = *state;

    crb_wr(f, 0, LOC_CTRL, REQUEST);
    crb_start_command(f, 0, 12);
    fake_reset(f->m, &f->crb.device); // the late answer comes inside
    assert_false(f->tpm.running);
    assert_int_equal(f->tpm.cancel_count, 1);
    assert_int_equal(f->tpm.power_count, 1);
    assert_int_equal(crb_rd(f, 0, LOC_STATE), 0x81);
    assert_int_equal(crb_rd(f, 0, CTRL_STS), 2);
    for (unsigned i = 0; i < TPM_CRB_DATA_BYTES; i++) {
        assert_int_equal(f->crb.state.data[i], 0);
    }
    crb_wr(f, 0, LOC_CTRL, REQUEST);
    crb_start_command(f, 0, 12);
    fake_tpm_answer(&f->tpm, crb_ok_response, sizeof(crb_ok_response));
    assert_int_equal(crb_response_code(f, 0), 0);
    fake_reset(f->m, &f->crb.device);
}

static void count(void *ctx) {
    ++*(unsigned *)ctx;
}

static void test_pause_save_load(void **state) {
    struct crb_fixture *f = *state;
    unsigned paused = 0;
    size_t size;
    uint8_t *blob;

    crb_wr(f, 0, LOC_CTRL, REQUEST);
    crb_start_command(f, 0, 12);
    pthread_mutex_lock(&f->crb.device.lock);
    f->crb.device.ops->pause(&f->crb, count, &paused);
    pthread_mutex_unlock(&f->crb.device.lock);
    assert_int_equal(paused, 0);
    // In flight: a save now is against the rules, and its load gives a failure, not a hang.
    blob = fake_save(&f->crb.device, &size);
    fake_tpm_answer(&f->tpm, crb_ok_response, sizeof(crb_ok_response));
    assert_int_equal(paused, 1);
    assert_int_equal(fake_load(&f->crb.device, blob, size), 0);
    assert_int_equal(crb_rd(f, 0, START), 0);
    assert_int_equal(crb_response_code(f, 0), 0x101);
    free(blob);

    crb_wr(f, 2, LOC_CTRL, REQUEST);
    crb_start_command(f, 0, 12);
    fake_tpm_answer(&f->tpm, crb_ok_response, sizeof(crb_ok_response));
    pthread_mutex_lock(&f->crb.device.lock);
    f->crb.device.ops->pause(&f->crb, count, &paused);
    pthread_mutex_unlock(&f->crb.device.lock);
    assert_int_equal(paused, 2);
    blob = fake_save(&f->crb.device, &size);
    fake_reset(f->m, &f->crb.device);
    assert_int_equal(fake_load(&f->crb.device, blob, size), 0);
    assert_int_equal(crb_rd(f, 0, LOC_STATE), 0x83);
    assert_int_equal(fake_mmio_read(f->m, BASE + DATA + 10, 2), 0xCDAB);
    crb_wr(f, 0, LOC_CTRL, RELINQUISH);
    assert_int_equal(crb_rd(f, 0, LOC_STATE), 0x8B);
    free(blob);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_command, crb_setup, crb_teardown),
        cmocka_unit_test_setup_teardown(test_bad_headers, crb_setup, crb_teardown),
        cmocka_unit_test_setup_teardown(test_backend_nonsense, crb_setup, crb_teardown),
        cmocka_unit_test_setup_teardown(test_cancel, crb_setup, crb_teardown),
        cmocka_unit_test_setup_teardown(test_reset_in_flight, crb_setup, crb_teardown),
        cmocka_unit_test_setup_teardown(test_pause_save_load, crb_setup, crb_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
