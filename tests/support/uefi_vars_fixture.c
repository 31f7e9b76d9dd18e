// SPDX-License-Identifier: MIT
//
// The variable device on a fake machine (uefi_vars_fixture.h).

#include "tests/support/uefi_vars_fixture.h"

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"

#include <stdlib.h>
#include <string.h>

static int keeper_call(struct uefi_vars_backend *b, uint8_t *message, uint32_t size_bytes) {
    struct fake_keeper *k = (struct fake_keeper *)b;

    k->calls++;
    k->size_bytes = size_bytes;
    memcpy(k->message, message, sizeof(k->message));
    if (k->meanwhile) {
        k->meanwhile(k->meanwhile_ctx);
    }
    if (k->engine) {
        return uefi_engine_handle(k->engine, message, size_bytes);
    }
    memset(message + 24, 0xAB, UEFI_VARS_MAX_BYTES - 24); // more than it may answer
    return k->result;
}

static int keeper_reset(struct uefi_vars_backend *b) {
    struct fake_keeper *k = (struct fake_keeper *)b;

    k->resets++;
    return k->engine ? uefi_engine_reset(k->engine) : k->result;
}

void vars_write16(struct uefi_vars_fixture *f, uint64_t address, uint32_t value) {
    fake_mmio_write(f->m, address, 2, value);
}
void vars_write32(struct uefi_vars_fixture *f, uint64_t address, uint32_t value) {
    fake_mmio_write(f->m, address, 4, value);
}
uint32_t vars_command(struct uefi_vars_fixture *f, uint32_t number) {
    vars_write16(f, COMMAND, number);
    return (uint32_t)fake_mmio_read(f->m, COMMAND, 2);
}

int uefi_vars_setup(void **state) {
    struct uefi_vars_fixture *f = calloc(1, sizeof(*f));

    f->m = fake_machine_new();
    f->keeper.backend = (struct uefi_vars_backend){.call = keeper_call, .reset = keeper_reset};
    uefi_fixture_start(&f->uefi, false);
    CHECK(uefi_vars_init(&f->device, &f->keeper.backend, &f->m->gm, false, f->m->mmio) == 0);
    *state = f;
    return 0;
}

int uefi_vars_teardown(void **state) {
    struct uefi_vars_fixture *f = *state;

    uefi_fixture_stop(&f->uefi);
    fake_machine_free(f->m);
    free(f);
    return 0;
}

void vars_put_header(struct uefi_vars_fixture *f, uint64_t gpa, uint64_t length) {
    uint8_t header[24];

    memset(header, 0x77, 16);
    store_le64(header + 16, length);
    CHECK(guest_write(&f->m->gm, (gpa_t){gpa}, header, 24) == 0);
}

void vars_start(struct uefi_vars_fixture *f, uint64_t gpa) {
    CHECK(fake_mmio_read(f->m, MAGIC, 2) == 0x0EF1);
    CHECK(vars_command(f, RESET) == 0);
    vars_write32(f, SIZE, UEFI_VARS_MAX_BYTES);
    CHECK(fake_mmio_read(f->m, SIZE, 4) == UEFI_VARS_MAX_BYTES);
    CHECK(fake_mmio_read(f->m, FLAGS, 4) == 0);
    vars_write32(f, GPA_LOW, (uint32_t)gpa);
    vars_write32(f, GPA_HIGH, (uint32_t)(gpa >> 32));
}
