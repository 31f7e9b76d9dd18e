// SPDX-License-Identifier: MIT
//
// The CRB's ways around exits: commands and responses in the guest's RAM beside those in the
// device's page, what of them stays, and the page that the guest reads without asking.

#include "devices/tpm_crb.h"
#include "igvm/base/bytes.h"
#include "tests/support/fake_machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RAM        (FAKE_RAM_END - PAGE_SIZE_4K)
#define LOC_CTRL   0x08
#define CTRL_REQ   0x40
#define CANCEL     0x48
#define START      0x4C
#define CMD_ADDR   0x5C
#define RSP_ADDR   0x68
#define REQUEST    1
#define RELINQUISH 2

struct fixture {
    struct fake_machine *m;
    struct tpm_backend backend;
    struct tpm_crb crb;
    uint8_t *page;
    // the command that runs
    uint8_t *buffer;
    uint8_t command[TPM_BUFFER_BYTES];
    size_t command_bytes;
    tpm_done_fn done;
    void *owner;
    unsigned submit_count;
    int at_once; ///< what submit() returns
};

static const uint8_t response[] = {0x80, 1, 0, 0, 0, 12, 0, 0, 0, 0, 0xAB, 0xCD};

static struct fixture *fixture_of(struct tpm_backend *b) {
    return (struct fixture *)((char *)b - offsetof(struct fixture, backend));
}

static int submit(struct tpm_backend *b, uint8_t locality, uint8_t *buffer, size_t command_bytes,
                  tpm_done_fn done, void *owner) {
    struct fixture *f = fixture_of(b);

    (void)locality;
    f->buffer = buffer;
    memcpy(f->command, buffer, command_bytes);
    f->command_bytes = command_bytes;
    f->done = done;
    f->owner = owner;
    f->submit_count++;
    if (f->at_once > 0) {
        memcpy(buffer, response, sizeof(response));
    }
    return f->at_once;
}

static void cancel(struct tpm_backend *b) {
    (void)b;
}

static int power_cycle(struct tpm_backend *b, tpm_done_fn done, void *owner) {
    (void)b, (void)done, (void)owner;
    return -EIO;
}

static const struct tpm_backend_ops ops = {
    .submit = submit, .cancel = cancel, .power_cycle = power_cycle};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    struct tpm_crb_config config;

    f->m = fake_machine_new();
    f->backend.ops = &ops;
    f->page = aligned_alloc(PAGE_SIZE_4K, PAGE_SIZE_4K);
    config = (struct tpm_crb_config){
        .backend = &f->backend, .memory = &f->m->gm, .ram_gpa = gpa(RAM), .page = f->page};
    assert_int_equal(tpm_crb_init(&f->crb, &config, f->m->mmio), 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    pthread_mutex_destroy(&f->crb.device.lock);
    fake_machine_free(f->m);
    free(f->page);
    free(f);
    return 0;
}

static uint32_t rd(struct fixture *f, unsigned off) {
    uint32_t value = (uint32_t)fake_mmio_read(f->m, TPM_CRB_GPA + off, 4);

    assert_int_equal(value, load_le32(f->page + off)); // told and shown are the same
    return value;
}

static void wr(struct fixture *f, unsigned off, uint32_t value) {
    fake_mmio_write(f->m, TPM_CRB_GPA + off, 4, value);
}

static const uint8_t ram_command[] = {0x80, 1, 0, 0, 0, 14, 0, 0, 1, 0x44, 0xC0, 0xFF, 0xEE, 1};
static const uint8_t page_command[] = {0x80, 2, 0, 0, 0, 12, 0, 0, 1, 0x45, 0xBA, 0xBE};
static void write_ram(struct fixture *f) {
    assert_int_equal(guest_write(&f->m->gm, gpa(RAM), ram_command, sizeof(ram_command)), 0);
}

static void write_page(struct fixture *f) {
    for (unsigned i = 0; i < sizeof(page_command); i++) {
        fake_mmio_write(f->m, TPM_CRB_GPA + TPM_CRB_DATA_OFF + i, 1, page_command[i]);
    }
}

static void answer(struct fixture *f) {
    memcpy(f->buffer, response, sizeof(response));
    f->done(f->owner, sizeof(response));
}

/// Whether RAM has these bytes, and zeroes up to the buffer's end.
static void assert_ram(struct fixture *f, const void *bytes, size_t size_bytes) {
    uint8_t found[TPM_CRB_DATA_BYTES];

    assert_int_equal(guest_read(&f->m->gm, gpa(RAM), found, sizeof(found)), 0);
    assert_memory_equal(found, bytes, size_bytes);
    for (size_t i = size_bytes; i < sizeof(found); i++) {
        assert_int_equal(found[i], 0);
    }
}

static void test_addresses(void **state) {
    struct fixture *f = *state;
    struct tpm_crb other;
    struct tpm_crb_config config = {.memory = &f->m->gm, .ram_gpa = gpa(FAKE_RAM_END)};

    assert_int_equal(rd(f, CMD_ADDR), RAM);
    assert_int_equal(rd(f, RSP_ADDR), RAM);
    assert_int_equal(rd(f, CMD_ADDR + 4), 0);
    wr(f, LOC_CTRL, REQUEST);
    wr(f, CMD_ADDR, 0xFED40080); // as EDK II does
    assert_int_equal(rd(f, CMD_ADDR), RAM);
    assert_int_equal(tpm_crb_init(&other, &config, f->m->mmio), -EINVAL); // no RAM
    config.ram_gpa = gpa(RAM + 4);
    assert_int_equal(tpm_crb_init(&other, &config, f->m->mmio), -EINVAL);
}

static void test_command_in_ram(void **state) {
    struct fixture *f = *state;
    uint8_t none = 0;

    write_ram(f);
    wr(f, START, 1); // nobody has the TPM
    wr(f, LOC_CTRL, REQUEST);
    wr(f, START, 1); // idle
    assert_int_equal(f->submit_count, 0);
    wr(f, CTRL_REQ, 1);
    wr(f, START, 1);
    assert_int_equal(rd(f, START), 1);
    assert_int_equal(f->submit_count, 1);
    assert_int_equal(f->command_bytes, sizeof(ram_command));
    assert_memory_equal(f->command, ram_command, sizeof(ram_command));
    assert_int_equal(guest_zero(&f->m->gm, gpa(RAM), 14), 0); // too late to change anything
    answer(f);
    assert_int_equal(rd(f, START), 0);
    assert_ram(f, response, sizeof(response));
    // The next one without going idle; what the last one was cancelled with is over.
    wr(f, CANCEL, 1);
    write_ram(f);
    wr(f, START, 1);
    assert_int_equal(rd(f, CANCEL), 0);
    assert_int_equal(f->submit_count, 2);
    answer(f);
    assert_ram(f, response, sizeof(response));
    wr(f, CTRL_REQ, 2);
    assert_ram(f, &none, 1);
}

static void test_bad_commands_in_ram(void **state) {
    struct fixture *f = *state;
    static const uint8_t sizes[][6] = {
        {0x80, 1, 0, 0, 0, 9}, {0x80, 2, 0, 0, 0x0F, 0x81}, {0x80, 1, 0xFF, 0xFF, 0xFF, 0xFF}};
    static const uint8_t refused[] = {0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0x42};
    static const uint8_t failed[] = {0x80, 1, 0, 0, 0, 10, 0, 0, 1, 1};

    wr(f, LOC_CTRL, REQUEST);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        wr(f, CTRL_REQ, 1);
        assert_int_equal(guest_write(&f->m->gm, gpa(RAM), sizes[i], 6), 0);
        wr(f, START, 1);
        assert_int_equal(rd(f, START), 0);
        assert_ram(f, refused, sizeof(refused));
    }
    assert_int_equal(f->submit_count, 0);
    write_ram(f);
    wr(f, START, 1);
    f->done(f->owner, -EIO);
    assert_ram(f, failed, sizeof(failed));
}

/// EDK II does not look at the address registers: its commands stand in the page, and so do the
/// responses.
static void test_page_and_ram_in_turn(void **state) {
    struct fixture *f = *state;
    uint8_t none = 0;

    wr(f, LOC_CTRL, REQUEST);
    wr(f, CTRL_REQ, 1);
    write_ram(f);
    write_page(f);
    wr(f, START, 1);
    assert_int_equal(f->command_bytes, sizeof(page_command));
    assert_memory_equal(f->command, page_command, sizeof(page_command));
    answer(f);
    assert_ram(f, ram_command, sizeof(ram_command)); // not ours this time
    assert_memory_equal(f->page + TPM_CRB_DATA_OFF, response, sizeof(response));
    wr(f, START, 1);
    assert_memory_equal(f->command, ram_command, sizeof(ram_command));
    answer(f);
    assert_ram(f, response, sizeof(response));
    write_page(f); // the RAM's response is over
    assert_ram(f, &none, 1);
    wr(f, START, 1);
    assert_memory_equal(f->command, page_command, sizeof(page_command));
    answer(f);
    assert_ram(f, &none, 1);
    wr(f, LOC_CTRL, RELINQUISH);
    assert_int_equal(load_le32(f->page + TPM_CRB_DATA_OFF), UINT32_MAX);
}

static void test_answer_at_once(void **state) {
    struct fixture *f = *state;
    static const uint8_t failed[] = {0x80, 1, 0, 0, 0, 10, 0, 0, 1, 1};

    wr(f, LOC_CTRL, REQUEST);
    wr(f, CTRL_REQ, 1);
    write_ram(f);
    f->at_once = sizeof(response);
    wr(f, START, 1);
    assert_int_equal(rd(f, START), 0);
    assert_ram(f, response, sizeof(response));
    assert_false(f->crb.in_flight);
    write_page(f);
    wr(f, START, 1);
    assert_memory_equal(f->page + TPM_CRB_DATA_OFF, response, sizeof(response));
    f->at_once = sizeof(response) - 1; // not what its header says
    write_ram(f);
    wr(f, START, 1);
    assert_ram(f, failed, sizeof(failed));
    f->at_once = -EBUSY;
    wr(f, START, 1);
    assert_ram(f, failed, sizeof(failed));
}

/// A refused command may hold an authorisation value as any other.
static void test_nothing_stays(void **state) {
    struct fixture *f = *state;
    static const uint8_t none[TPM_BUFFER_BYTES];

    wr(f, LOC_CTRL, REQUEST);
    wr(f, CTRL_REQ, 1);
    f->at_once = -EIO;
    write_ram(f);
    wr(f, START, 1);
    assert_memory_equal(f->crb.buffer, none, sizeof(none));
    f->at_once = sizeof(response);
    wr(f, START, 1);
    assert_memory_equal(f->crb.buffer, none, sizeof(none));
    f->at_once = 0;
    write_ram(f);
    wr(f, START, 1);
    answer(f);
    assert_memory_equal(f->crb.buffer, none, sizeof(none));
}

static void test_abort_reset_and_load(void **state) {
    struct fixture *f = *state;
    uint8_t none = 0, *blob;
    size_t size_bytes;

    wr(f, LOC_CTRL, REQUEST);
    wr(f, CTRL_REQ, 1);
    write_ram(f);
    wr(f, START, 1);
    wr(f, LOC_CTRL, RELINQUISH);
    answer(f); // late: dropped
    assert_ram(f, &none, 1);
    wr(f, LOC_CTRL, REQUEST);
    wr(f, CTRL_REQ, 1);
    write_ram(f);
    wr(f, START, 1);
    answer(f);
    blob = fake_save(&f->crb.device, &size_bytes);
    fake_reset(f->m, &f->crb.device);
    assert_ram(f, &none, 1);
    assert_int_equal(rd(f, 0), 0x81);
    assert_int_equal(fake_load(&f->crb.device, blob, size_bytes), 0);
    assert_int_equal(rd(f, 0), 0x83);
    assert_int_equal(f->crb.state.from_ram, 1);
    f->crb.memory = NULL; // a state of a machine with a buffer, where there is none
    assert_int_equal(fake_load(&f->crb.device, blob, size_bytes), -EINVAL);
    fake_reset(f->m, &f->crb.device);
    free(blob);
}

/// The driver has read the buffer's address once: where it is another one, commands would be read
/// from, and responses be written to, what the guest takes for its own.
static void test_load_elsewhere(void **state) {
    struct fixture *f = *state;
    size_t with_bytes, without_bytes;
    uint8_t *with, *without;

    wr(f, LOC_CTRL, REQUEST); // no command runs, none is in RAM
    with = fake_save(&f->crb.device, &with_bytes);
    assert_int_equal(fake_load(&f->crb.device, with, with_bytes), 0);
    f->crb.memory = NULL;
    assert_int_equal(fake_load(&f->crb.device, with, with_bytes), -EINVAL);
    fake_reset(f->m, &f->crb.device);
    f->crb.state.from_ram = 1;
    without = fake_save(&f->crb.device, &without_bytes);
    assert_int_equal(fake_load(&f->crb.device, without, without_bytes), -EINVAL);
    free(without);
    fake_reset(f->m, &f->crb.device);
    without = fake_save(&f->crb.device, &without_bytes);
    f->crb.memory = &f->m->gm;
    f->crb.ram_gpa = gpa(RAM - PAGE_SIZE_4K);
    assert_int_equal(fake_load(&f->crb.device, with, with_bytes), -EINVAL);
    fake_reset(f->m, &f->crb.device);
    // A driver that writes into the page can go on anywhere.
    assert_int_equal(fake_load(&f->crb.device, without, without_bytes), 0);
    free(with);
    free(without);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_command_in_ram, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_commands_in_ram, setup, teardown),
        cmocka_unit_test_setup_teardown(test_page_and_ram_in_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answer_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_abort_reset_and_load, setup, teardown),
        cmocka_unit_test_setup_teardown(test_load_elsewhere, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
