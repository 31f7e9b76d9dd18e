// SPDX-License-Identifier: MIT
//
// The variable device's messages: the sequence that firmware uses, by buffer and by window, buffers
// at the edges of memory, a guest that changes its buffer meanwhile, a backend that is gone.

#include "igvm/base/bytes.h"
#include "tests/support/uefi_vars_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool by_window;

/// The client's messages go through the device.
static int through_device(void *ctx, uint8_t *message, size_t size_bytes) {
    struct uefi_vars_fixture *f = ctx;
    size_t used = 24 + (size_t)load_le64(message + 16);
    uint32_t status;

    assert_int_equal(size_bytes, UEFI_VARS_MAX_BYTES);
    if (by_window) {
        assert_int_equal(vars_command(f, REWIND), 0);
        for (size_t i = 0; i < used; i += 4) {
            vars_write32(f, WINDOW, load_le32(message + i));
        }
        status = vars_command(f, BY_WINDOW);
        assert_int_equal(vars_command(f, REWIND), 0);
        for (size_t i = 0; i < used; i += 4) {
            store_le32(message + i, (uint32_t)fake_mmio_read(f->m, WINDOW, 4));
        }
    } else {
        assert_int_equal(guest_write(&f->m->gm, (gpa_t){BUFFER_GPA}, message, size_bytes), 0);
        status = vars_command(f, BY_BUFFER);
        assert_int_equal(guest_read(&f->m->gm, (gpa_t){BUFFER_GPA}, message, size_bytes), 0);
    }
    return (int)status;
}

static void firmware_works(void **state) {
    struct uefi_vars_fixture *f = *state;
    struct uefi_client *c = &f->uefi.client;

    f->keeper.engine = &f->uefi.engine;
    uefi_store_clear(&f->uefi.engine.store); // Secure Boot's state
    c->call = through_device;
    c->ctx = f;
    for (int i = 0; i < 2; i++) {
        by_window = i == 1;
        vars_start(f, BUFFER_GPA);
        uefi_begin(c, &uefi_test_variable_service, 24);
        assert_int_equal(uefi_call(c, 11, 8), 0);
        assert_int_equal(load_le64(c->message + 40), 65496);
        assert_int_equal(uefi_set(c, &uefi_test_guid, "Name", 3, "value", 5), 0);
        assert_int_equal(uefi_get(c, &uefi_test_guid, "Name", 100), 0);
        assert_memory_equal(c->value, "value", 5);
        c->name[0] = '\0';
        assert_int_equal(uefi_next(c, 100), 0);
        assert_string_equal(c->name, "Name");
        assert_int_equal(uefi_set(c, &uefi_test_guid, "Name", 3, "", 0), 0);
    }
}

// ---- messages ----

/// Only the message's own bytes are read and written; the copy's rest is zero.
static void exactly_the_message(void **state) {
    struct uefi_vars_fixture *f = *state;
    uint8_t bytes[4096];

    vars_start(f, BUFFER_GPA);
    memset(bytes, 0x5A, sizeof(bytes));
    assert_int_equal(guest_write(&f->m->gm, (gpa_t){BUFFER_GPA}, bytes, sizeof(bytes)), 0);
    vars_put_header(f, BUFFER_GPA, 100);
    assert_int_equal(vars_command(f, BY_BUFFER), 0);
    assert_int_equal(f->keeper.size_bytes, UEFI_VARS_MAX_BYTES);
    assert_int_equal(f->keeper.message[123], 0x5A);
    for (unsigned i = 124; i < UEFI_VARS_MAX_BYTES; i++) {
        assert_int_equal(f->keeper.message[i], 0);
    }
    assert_int_equal(guest_read(&f->m->gm, (gpa_t){BUFFER_GPA}, bytes, sizeof(bytes)), 0);
    assert_int_equal(bytes[16], 100);
    assert_int_equal(bytes[24], 0xAB);
    assert_int_equal(bytes[123], 0xAB);
    assert_int_equal(bytes[124], 0x5A);
}

static void lengths(void **state) {
    struct uefi_vars_fixture *f = *state;
    static const uint64_t bad[] = {65513,      65536,           UINT32_MAX,
                                   1ull << 32, UINT64_MAX - 23, UINT64_MAX};

    vars_start(f, BUFFER_GPA);
    vars_put_header(f, BUFFER_GPA, 65512);
    assert_int_equal(vars_command(f, BY_BUFFER), 0);
    vars_put_header(f, BUFFER_GPA, 0);
    assert_int_equal(vars_command(f, BY_BUFFER), 0);
    assert_int_equal(f->keeper.calls, 2);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        vars_put_header(f, BUFFER_GPA, bad[i]);
        assert_int_equal(vars_command(f, BY_BUFFER), 0x12);
    }
    vars_write32(f, SIZE, UINT32_MAX); // clamped
    assert_int_equal(fake_mmio_read(f->m, SIZE, 4), UEFI_VARS_MAX_BYTES);
    vars_write32(f, SIZE, 64);
    vars_put_header(f, BUFFER_GPA, 41);
    assert_int_equal(vars_command(f, BY_BUFFER), 0x12);
    for (uint32_t size = 0; size < 24; size++) {
        vars_write32(f, SIZE, size);
        vars_put_header(f, BUFFER_GPA, 0);
        assert_int_equal(vars_command(f, BY_BUFFER), 0x12);
        assert_int_equal(vars_command(f, BY_WINDOW), 0x12);
    }
    assert_int_equal(f->keeper.calls, 2);
    vars_write32(f, SIZE, 24);
    assert_int_equal(vars_command(f, BY_BUFFER), 0);
}

static void buffers_at_the_edges(void **state) {
    struct uefi_vars_fixture *f = *state;
    static const struct {
        uint64_t gpa, length;
        uint32_t status;
    } cases[] = {
        {FAKE_RAM_BORDER - 10, 100, 0}, // across two regions
        {FAKE_RAM_END - 24, 0, 0},      // the very end
        {FAKE_HIGH_START, 65512, 0},    // above 4 GiB
        {FAKE_HIGH_END - 124, 100, 0},  //
        {FAKE_RAM_END, 0, 0x10},        // a hole
        {FAKE_HIGH_END, 0, 0x10},       //
        {UINT64_MAX - 10, 0, 0x10},     // wraps
        {BASE, 0, 0x10},                // the device itself
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        vars_start(f, cases[i].gpa);
        if (cases[i].status == 0) {
            vars_put_header(f, cases[i].gpa, cases[i].length);
        }
        assert_int_equal(vars_command(f, BY_BUFFER), cases[i].status);
    }
    // The header is in memory, the rest is not: nothing is called.
    f->keeper.calls = 0;
    vars_start(f, FAKE_RAM_END - 24);
    vars_put_header(f, FAKE_RAM_END - 24, 1);
    assert_int_equal(vars_command(f, BY_BUFFER), 0x10);
    assert_int_equal(f->keeper.calls, 0);
}

static void scribble(void *ctx) {
    struct uefi_vars_fixture *f = ctx;
    static uint8_t ones[UEFI_VARS_MAX_BYTES];

    memset(ones, 0xFF, sizeof(ones));
    assert_int_equal(guest_write(&f->m->gm, (gpa_t){BUFFER_GPA}, ones, sizeof(ones)), 0);
}

/// Another VP makes the length enormous while the message is handled: the copy counts.
static void a_guest_that_changes_its_buffer(void **state) {
    struct uefi_vars_fixture *f = *state;
    uint8_t bytes[256];

    vars_start(f, BUFFER_GPA);
    vars_put_header(f, BUFFER_GPA, 100);
    f->keeper.meanwhile = scribble;
    f->keeper.meanwhile_ctx = f;
    assert_int_equal(vars_command(f, BY_BUFFER), 0);
    assert_int_equal(guest_read(&f->m->gm, (gpa_t){BUFFER_GPA}, bytes, sizeof(bytes)), 0);
    assert_int_equal(load_le64(bytes + 16), 100);
    assert_int_equal(bytes[123], 0xAB);
    assert_int_equal(bytes[124], 0xFF); // the guest's own
}

static void what_the_backend_says(void **state) {
    struct uefi_vars_fixture *f = *state;
    static const struct {
        int result;
        uint32_t status;
    } cases[] = {{-ENOTSUP, 0x11}, {-EMSGSIZE, 0x12}, {-EIO, 0x10}, {-ETIMEDOUT, 0x10}};

    vars_start(f, BUFFER_GPA);
    for (unsigned i = 0; i < 4; i++) {
        uint8_t byte;

        vars_put_header(f, BUFFER_GPA, 100);
        f->keeper.result = cases[i].result;
        assert_int_equal(vars_command(f, BY_BUFFER), cases[i].status);
        assert_int_equal(guest_read(&f->m->gm, (gpa_t){BUFFER_GPA + 24}, &byte, 1), 0);
        assert_int_not_equal(byte, 0xAB); // nothing written back
        assert_int_equal(vars_command(f, BY_WINDOW), cases[i].status);
    }
    f->device.backend = NULL;
    assert_int_equal(vars_command(f, BY_BUFFER), 0x10);
    fake_reset(f->m, &f->device.device);
}

#define T(name) cmocka_unit_test_setup_teardown(name, uefi_vars_setup, uefi_vars_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(firmware_works),
        T(exactly_the_message),
        T(lengths),
        T(buffers_at_the_edges),
        T(a_guest_that_changes_its_buffer),
        T(what_the_backend_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
