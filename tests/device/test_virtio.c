// SPDX-License-Identifier: MIT
//
// The common part of virtio devices, with a console as the example: what a driver may set when,
// DEVICE_NEEDS_RESET, load.
#include "tests/support/virtio_console_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void features_are_negotiated_once(void **state) {
    struct console_fixture *f = *state;

    assert_false(vd_negotiate(&f->vd, ~VIRTIO_F_VERSION_1)); // a legacy driver
    assert_int_equal(console_status(f), 3);
    assert_true(vd_negotiate(&f->vd, VIRTIO_F_VERSION_1));
    vd_write(&f->vd, VD_DRIVER_FEATURE_SELECT, 4, 0);
    vd_write(&f->vd, VD_DRIVER_FEATURE, 4, 0xFFFFFFFF); // too late
    assert_int_equal(vd_read(&f->vd, VD_DRIVER_FEATURE, 4), 0);
    vd_write(&f->vd, VD_STATUS, 1, 0);
    vd_write(&f->vd, VD_DRIVER_FEATURE_SELECT, 4, 0);
    vd_write(&f->vd, VD_DRIVER_FEATURE, 4, 0xFFFFFFFF); // never offered
    vd_write(&f->vd, VD_STATUS, 1, 11);
    assert_int_equal(console_status(f), 3);
    vd_write(&f->vd, VD_STATUS, 1, 7); // DRIVER_OK without FEATURES_OK
    assert_int_equal(console_status(f), 3);
    vd_write(&f->vd, VD_STATUS, 1, VIRTIO_STATUS_FAILED);
    assert_int_equal(console_status(f), 3 | VIRTIO_STATUS_FAILED);
    vd_write(&f->vd, VD_STATUS, 1, VIRTIO_STATUS_NEEDS_RESET); // not the driver's bit
    assert_int_equal(console_status(f), 3 | VIRTIO_STATUS_FAILED);
}

static void queue_registers_are_checked(void **state) {
    struct console_fixture *f = *state;

    assert_true(vd_negotiate(&f->vd, ~0ull));
    vd_write(&f->vd, VD_QUEUE_SELECT, 2, 0);
    vd_write(&f->vd, VD_QUEUE_SIZE, 2, 3);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_SIZE, 2), 128);
    vd_write(&f->vd, VD_QUEUE_SIZE, 2, 256);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_SIZE, 2), 128);
    vd_write(&f->vd, VD_QUEUE_SIZE, 2, 0x8000);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_SIZE, 2), 128);
    vd_write(&f->vd, VD_QUEUE_VECTOR, 2, 3); // beyond the table
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_VECTOR, 2), 0xFFFF);
    vd_write(&f->vd, VD_CONFIG_VECTOR, 2, 0xFFFE);
    assert_int_equal(vd_read(&f->vd, VD_CONFIG_VECTOR, 2), 0xFFFF);
    vd_setup_queue(&f->vd, 0, 16);
    vd_write(&f->vd, VD_QUEUE_SIZE, 2, 32); // enabled: nothing moves any more
    vd_write(&f->vd, VD_QUEUE_DESC, 8, 0);
    vd_write(&f->vd, VD_QUEUE_ENABLE, 2, 0);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_SIZE, 2), 16);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_DESC, 8), RING_BASE);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_ENABLE, 2), 1);
    vd_driver_ok(&f->vd);
    vd_write(&f->vd, VD_QUEUE_SELECT, 2, 1);
    vd_write(&f->vd, VD_QUEUE_ENABLE, 2, 1); // too late
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_ENABLE, 2), 0);
}

static void needs_reset(void **state) {
    struct console_fixture *f = *state;

    vd_start(&f->vd, VIRTIO_F_VERSION_1, 2, 8);
    vd_desc(&f->vd, TX, 0, DATA_GPA, 16, VD_F_NEXT, 0);
    vd_submit(&f->vd, TX, 0);
    assert_int_equal(console_status(f), 15 | VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(f->m->msi_count, 1);
    assert_int_equal(f->m->msis[0].data, VD_MSI_BASE);
    assert_int_equal(fake_mmio_read(f->m, f->vd.isr, 1), VIRTIO_ISR_CONFIG);
    vd_submit(&f->vd, TX, 0); // stays dead, says nothing more
    assert_int_equal(f->m->msi_count, 1);
    vd_start(&f->vd, VIRTIO_F_VERSION_1, 2, 8);
    assert_int_equal(console_status(f), 15);
    assert_true(console_transmit(f, "again"));
}

static void bad_rings_need_reset(void **state) {
    struct console_fixture *f = *state;

    assert_true(vd_negotiate(&f->vd, VIRTIO_F_VERSION_1));
    vd_write(&f->vd, VD_QUEUE_SELECT, 2, 0);
    vd_write(&f->vd, VD_QUEUE_DESC, 8, FAKE_RAM_END); // a hole
    vd_write(&f->vd, VD_QUEUE_ENABLE, 2, 1);
    vd_setup_queue(&f->vd, TX, 8);
    vd_driver_ok(&f->vd);
    assert_int_equal(console_status(f), 15 | VIRTIO_STATUS_NEEDS_RESET);
    fake_mmio_write(f->m, f->vd.notify, 2, 0);
    assert_true(fake_loop_run(&f->m->fl));
    vd_start(&f->vd, VIRTIO_F_VERSION_1, 2, 8);
    assert_int_equal(console_status(f), 15);
}

static void load_refuses_nonsense(void **state) {
    struct console_fixture *f = *state;
    struct device *device = &f->console.virtio.device;
    struct virtio_state *s = &f->console.state.virtio;
    struct virtio_state good = *s;
    size_t size;
    uint8_t *blob;

    for (unsigned i = 0; i < 5; i++) {
        *s = good;
        switch (i) {
        case 0:
            s->status = VIRTIO_STATUS_FEATURES_OK;
            s->driver_features = 1ull << 50;
            break;
        case 4:
            s->status = VIRTIO_STATUS_DRIVER_OK;
            break;
        case 1:
            s->queue_size[0] = 12;
            break;
        case 2:
            s->queue_size[1] = 256;
            break;
        case 3:
            s->queue_enabled[2] = 1;
            break;
        }
        blob = fake_save(device, &size);
        *s = good;
        assert_int_equal(fake_load(device, blob, size), -EINVAL);
        free(blob);
        fake_reset(f->m, device);
    }
}

/// A driver may write any feature bits until it asks for FEATURES_OK: that state is loadable, and
/// the bits are refused where they always are.
static void load_between_features_and_features_ok(void **state) {
    struct console_fixture *f = *state;
    struct device *device = &f->console.virtio.device;
    size_t size;
    uint8_t *blob;

    vd_write(&f->vd, VD_DRIVER_FEATURE_SELECT, 4, 0);
    vd_write(&f->vd, VD_DRIVER_FEATURE, 4, 0x7F);
    blob = fake_save(device, &size);
    fake_reset(f->m, device);
    assert_int_equal(fake_load(device, blob, size), 0);
    free(blob);
    assert_int_equal(vd_read(&f->vd, VD_DRIVER_FEATURE, 4), 0x7F);
    vd_write(&f->vd, VD_STATUS, 1, 3 | VIRTIO_STATUS_FEATURES_OK);
    assert_int_equal(console_status(f), 3);
    fake_reset(f->m, device);
}

/// Rings whose place became wrong: the load works, the device says DEVICE_NEEDS_RESET.
static void load_with_bad_rings(void **state) {
    struct console_fixture *f = *state;
    struct device *device = &f->console.virtio.device;
    size_t size;
    uint8_t *blob;

    vd_start(&f->vd, VIRTIO_F_VERSION_1, 2, 8);
    f->console.state.virtio.queue_used_gpa[1] = UINT64_MAX - 3;
    blob = fake_save(device, &size);
    fake_reset(f->m, device);
    assert_int_equal(fake_load(device, blob, size), 0);
    free(blob);
    assert_int_equal(console_status(f), 15 | VIRTIO_STATUS_NEEDS_RESET);
    fake_reset(f->m, device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(features_are_negotiated_once, console_setup,
                                        console_teardown),
        cmocka_unit_test_setup_teardown(queue_registers_are_checked, console_setup,
                                        console_teardown),
        cmocka_unit_test_setup_teardown(needs_reset, console_setup, console_teardown),
        cmocka_unit_test_setup_teardown(bad_rings_need_reset, console_setup, console_teardown),
        cmocka_unit_test_setup_teardown(load_refuses_nonsense, console_setup, console_teardown),
        cmocka_unit_test_setup_teardown(load_between_features_and_features_ok, console_setup,
                                        console_teardown),
        cmocka_unit_test_setup_teardown(load_with_bad_rings, console_setup, console_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
