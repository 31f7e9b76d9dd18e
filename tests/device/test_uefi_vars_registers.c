// SPDX-License-Identifier: MIT
//
// The variable device's registers: every one at every offset and size, the window and its checksum,
// VPs that race, save, load and reset.

#include "igvm/base/bytes.h"
#include "tests/support/uefi_vars_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// ---- registers ----

static void commands(void **state) {
    struct uefi_vars_fixture *f = *state;

    for (uint32_t number = 0; number < 0x10000; number += number < 32 ? 1 : 251) {
        uint32_t status = vars_command(f, number);

        assert_int_equal(status, number == 1 || number == 4 ? 0 : number - 2 < 2 ? 0x12 : 0x11);
    }
    assert_int_equal(f->keeper.calls, 0);
}

/// Reads of every size at every offset agree with the registers' bytes; writes of another shape
/// change nothing.
static void every_shape_of_access(void **state) {
    struct uefi_vars_fixture *f = *state;
    uint8_t bytes[0x20] = {0xF1, 0x0E, 0, 0};

    vars_write32(f, SIZE, 0x1234);
    vars_write32(f, GPA_LOW, 0x89ABCDEF);
    vars_write32(f, GPA_HIGH, 0x01234567);
    store_le32(bytes + 4, 0x1234);
    store_le64(bytes + 8, 0x0123456789ABCDEF);
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (unsigned off = 0; off < 0x40; off++) {
            uint64_t got;

            vars_write16(f, COMMAND, REWIND); // reading the window moves it
            got = fake_mmio_read(f->m, BASE + off, (uint8_t)size);

            for (unsigned i = 0; i < size; i++) {
                uint8_t want = off + size > 0x20 ? 0xFF : off == 0x10 ? 0 : bytes[off + i];

                assert_int_equal((got >> 8 * i) & 0xFF, want);
            }
        }
    }
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (unsigned off = 0; off < 0x40; off++) {
            bool is_register = (size == 2 && off == 2) ||
                               (size == 4 && (off == 4 || off == 8 || off == 12)) || off == 0x10;

            if (!is_register) {
                fake_mmio_write(f->m, BASE + off, (uint8_t)size, 0x0001000100010001);
            }
        }
    }
    for (unsigned off = 0; off < 0x10; off += 4) {
        assert_int_equal(fake_mmio_read(f->m, BASE + off, 4), load_le32(bytes + off));
    }
}

static void the_window(void **state) {
    struct uefi_vars_fixture *f = *state;

    vars_write32(f, SIZE, 11);
    assert_int_equal(fake_mmio_read(f->m, CRC, 4), 0);
    fake_mmio_write(f->m, WINDOW, 1, '1');
    fake_mmio_write(f->m, WINDOW, 2, '2' | '3' << 8);
    fake_mmio_write(f->m, WINDOW, 4, 0x37363534);
    fake_mmio_write(f->m, WINDOW, 2, '8' | '9' << 8);
    assert_int_equal(fake_mmio_read(f->m, CRC, 4), 0xE3069283); // CRC-32C of "123456789"
    fake_mmio_write(f->m, WINDOW, 8, 0x4847464544434241);       // two of them fit
    fake_mmio_write(f->m, WINDOW, 8, 0x4847464544434241);       // none
    assert_int_equal(f->device.state.offset, 11);
    assert_int_equal(vars_command(f, REWIND), 0);
    assert_int_equal(fake_mmio_read(f->m, WINDOW, 8), 0x3837363534333231);
    assert_int_equal(fake_mmio_read(f->m, WINDOW, 8), 0x424139);
    assert_int_equal(fake_mmio_read(f->m, WINDOW, 4), 0);
    vars_write32(f, SIZE, 11); // begins anew
    assert_int_equal(fake_mmio_read(f->m, WINDOW, 8), 0);
}

static void window_only(void **state) {
    struct uefi_vars_fixture *f = *state;

    f->device.window_only = true;
    vars_write32(f, SIZE, UEFI_VARS_MAX_BYTES);
    assert_int_equal(fake_mmio_read(f->m, FLAGS, 4), 1);
    vars_put_header(f, BUFFER_GPA, 0);
    vars_write32(f, GPA_LOW, BUFFER_GPA);
    assert_int_equal(vars_command(f, BY_BUFFER), 0x11);
    assert_int_equal(vars_command(f, BY_WINDOW), 0); // a message of 24 zeroes
    assert_int_equal(f->keeper.calls, 1);
}

// ---- threads, state ----

static void *hammer(void *arg) {
    struct uefi_vars_fixture *f = arg;

    for (unsigned i = 0; i < 3000; i++) {
        struct bus_access a = {
            .offset = BASE + (i % 8) * 4, .size = 4, .is_write = i & 1, .value = i * 0x9E3779B9u};

        if (i % 5 == 0) {
            a.offset = COMMAND;
            a.size = 2;
            a.value = i % 7;
        }
        bus_dispatch(f->m->mmio, &a);
    }
    return NULL;
}

static void vps_that_race(void **state) {
    struct uefi_vars_fixture *f = *state;
    pthread_t threads[3];

    f->keeper.engine = &f->uefi.engine;
    vars_start(f, BUFFER_GPA);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, f), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(f->device.state.offset <= f->device.state.size_bytes);
    vars_start(f, BUFFER_GPA);
    vars_put_header(f, BUFFER_GPA, 0);
    assert_int_equal(vars_command(f, BY_BUFFER), 0x11);
}

static void save_load_reset(void **state) {
    struct uefi_vars_fixture *f = *state;
    size_t size_bytes;
    uint8_t *blob;

    vars_start(f, 0x123456789000);
    fake_mmio_write(f->m, WINDOW, 4, 0x11223344);
    vars_command(f, 99);
    blob = fake_save(&f->device.device, &size_bytes);
    fake_reset(f->m, &f->device.device);
    assert_int_equal(f->keeper.resets, 1);
    assert_int_equal(fake_mmio_read(f->m, SIZE, 4), 0);
    assert_int_equal(fake_mmio_read(f->m, COMMAND, 2), 0);
    assert_int_equal(f->device.state.window[0], 0);
    assert_int_equal(fake_load(&f->device.device, blob, size_bytes), 0);
    assert_int_equal(fake_mmio_read(f->m, GPA_HIGH, 4), 0x1234);
    assert_int_equal(fake_mmio_read(f->m, COMMAND, 2), 0x11);
    assert_int_equal(f->device.state.offset, 4);
    free(blob);
    // an offset behind the buffer cannot be
    f->device.state.size_bytes = 2;
    blob = fake_save(&f->device.device, &size_bytes);
    assert_int_equal(fake_load(&f->device.device, blob, size_bytes), -EINVAL);
    free(blob);
    // a backend that is gone does not keep the machine from restarting
    f->keeper.result = -EIO;
    fake_reset(f->m, &f->device.device);
}

#define T(name) cmocka_unit_test_setup_teardown(name, uefi_vars_setup, uefi_vars_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(commands),    T(every_shape_of_access), T(the_window),
        T(window_only), T(vps_that_race),         T(save_load_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
