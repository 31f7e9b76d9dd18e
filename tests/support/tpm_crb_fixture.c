// SPDX-License-Identifier: MIT
//
// The TPM CRB interface and its TPM for tests (tpm_crb_fixture.h).
#include "tests/support/tpm_crb_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const uint8_t crb_ok_response[12] = {0x80, 1, 0, 0, 0, 12, 0, 0, 0, 0, 0xAB, 0xCD};

static int tpm_submit(struct tpm_backend *b, uint8_t locality, uint8_t *buffer,
                      size_t command_bytes, tpm_done_fn done, void *owner) {
    struct fake_tpm *tpm = (struct fake_tpm *)b;

    if (tpm->gone) {
        return -EIO;
    }
    if (tpm->running) {
        return -EBUSY;
    }
    assert_in_range(command_bytes, 10, TPM_CRB_DATA_BYTES);
    memcpy(tpm->command, buffer, command_bytes);
    tpm->running = true;
    tpm->locality = locality;
    tpm->buffer = buffer;
    tpm->command_bytes = command_bytes;
    tpm->done = done;
    tpm->owner = owner;
    tpm->submit_count++;
    return 0;
}

static void tpm_cancel(struct tpm_backend *b) {
    ((struct fake_tpm *)b)->cancel_count++;
}

void fake_tpm_answer(struct fake_tpm *tpm, const void *response, int64_t result) {
    assert_true(tpm->running);
    tpm->running = false;
    if (result > 0) {
        memcpy(tpm->buffer, response, (size_t)result);
    }
    tpm->done(tpm->owner, result);
}

/// As the real one: what runs ends first.
static void power_task(void *self) {
    struct fake_tpm *tpm = self;

    if (tpm->running) {
        static const uint8_t cancelled[] = {0x80, 1, 0, 0, 0, 10, 0, 0, 9, 9};

        fake_tpm_answer(tpm, cancelled, sizeof(cancelled));
    }
    tpm->power_done(tpm->power_owner, 0);
}

static int tpm_power_cycle(struct tpm_backend *b, tpm_done_fn done, void *owner) {
    struct fake_tpm *tpm = (struct fake_tpm *)b;

    if (tpm->gone) {
        return -EIO;
    }
    tpm->power_done = done;
    tpm->power_owner = owner;
    tpm->power_count++;
    loop_post(tpm->loop, &tpm->power_task);
    return 0;
}

static const struct tpm_backend_ops fake_tpm_ops = {
    .submit = tpm_submit, .cancel = tpm_cancel, .power_cycle = tpm_power_cycle};

int crb_setup(void **state) {
    struct crb_fixture *f = calloc(1, sizeof(*f));
    struct tpm_crb_config config = {0};

    f->m = fake_machine_new();
    f->tpm.backend.ops = &fake_tpm_ops;
    f->tpm.loop = &f->m->fl.loop;
    f->tpm.power_task = (struct loop_task){.fn = power_task, .self = &f->tpm};
    config.backend = &f->tpm.backend;
    assert_int_equal(tpm_crb_init(&f->crb, &config, f->m->mmio), 0);
    *state = f;
    return 0;
}

int crb_teardown(void **state) {
    struct crb_fixture *f = *state;

    pthread_mutex_destroy(&f->crb.device.lock);
    fake_machine_free(f->m);
    free(f);
    return 0;
}

uint32_t crb_rd(struct crb_fixture *f, unsigned loc, unsigned off) {
    return (uint32_t)fake_mmio_read(f->m, L(loc) + off, 4);
}

void crb_wr(struct crb_fixture *f, unsigned loc, unsigned off, uint32_t value) {
    fake_mmio_write(f->m, L(loc) + off, 4, value);
}

void crb_put_command(struct crb_fixture *f, unsigned loc, uint16_t tag, uint32_t size,
                     uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) {
        uint8_t b = (uint8_t)i;

        b = i < 2 ? (uint8_t)(tag >> (8 * (1 - i))) : b;
        b = i >= 2 && i < 6 ? (uint8_t)(size >> (8 * (5 - i))) : b;
        fake_mmio_write(f->m, L(loc) + DATA + i, 1, b);
    }
}

void crb_start_command(struct crb_fixture *f, unsigned loc, uint32_t bytes) {
    crb_wr(f, loc, CTRL_REQ, 1);
    crb_put_command(f, loc, 0x8001, bytes, bytes);
    crb_wr(f, loc, START, 1);
}

uint32_t crb_response_code(struct crb_fixture *f, unsigned loc) {
    return __builtin_bswap32(crb_rd(f, loc, DATA + 8) << 16 | crb_rd(f, loc, DATA + 4) >> 16);
}
