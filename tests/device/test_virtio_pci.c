// SPDX-License-Identifier: MIT
//
// The PCI transport of virtio devices, with a console as the example: registers, kicks, interrupts,
// the window in configuration space.
#include "tests/support/virtio_console_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GSI    (16 + (SLOT & 3))
#define F_SIZE (1ull << 0)

static void identity(void **state) {
    struct console_fixture *f = *state;

    assert_int_equal(vd_config_read(&f->vd, PCI_VENDOR_ID, 4), 0x10431AF4);
    assert_int_equal(vd_config_read(&f->vd, PCI_REVISION_ID, 1), 1);
    assert_int_equal(vd_config_read(&f->vd, PCI_CLASS_CODE, 2), 0x8000);
    assert_int_equal(vd_config_read(&f->vd, PCI_INTERRUPT_PIN, 1), 1);
    assert_int_equal(vd_config_read(&f->vd, (uint8_t)(f->vd.msix_cap + 2), 2) & 0x7FF, 2);
    assert_int_equal(f->vd.notify_step, 4);
}

static void registers_after_reset(void **state) {
    struct console_fixture *f = *state;

    assert_int_equal(console_status(f), 0);
    assert_int_equal(vd_read(&f->vd, VD_NUM_QUEUES, 2), 2);
    assert_int_equal(vd_read(&f->vd, VD_CONFIG_VECTOR, 2), 0xFFFF);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_SIZE, 2), 128);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_VECTOR, 2), 0xFFFF);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_ENABLE, 2), 0);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_DESC, 8), 0);
    vd_write(&f->vd, VD_QUEUE_SELECT, 2, 1);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_NOTIFY_OFF, 2), 1);
    vd_write(&f->vd, VD_QUEUE_SELECT, 2, 2); // there is no such queue
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_SIZE, 2), 0);
    vd_write(&f->vd, VD_QUEUE_SIZE, 2, 8);
    vd_write(&f->vd, VD_QUEUE_DESC, 8, 0x1234);
    vd_write(&f->vd, VD_QUEUE_ENABLE, 2, 1);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_DESC, 8), 0);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_ENABLE, 2), 0);
    vd_write(&f->vd, VD_QUEUE_SELECT, 2, 0xFFFF);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_SIZE, 2), 0);
    vd_write(&f->vd, VD_DEVICE_FEATURE_SELECT, 4, 2);
    assert_int_equal(vd_read(&f->vd, VD_DEVICE_FEATURE, 4), 0);
    vd_write(&f->vd, VD_DEVICE_FEATURE_SELECT, 4, 0xFFFFFFFF);
    assert_int_equal(vd_read(&f->vd, VD_DEVICE_FEATURE, 4), 0);
}

static void registers_have_their_width(void **state) {
    struct console_fixture *f = *state;

    assert_int_equal(vd_read(&f->vd, VD_STATUS, 4), 0xFFFFFFFF);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_SIZE, 1), 0xFF);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_SIZE, 4), 0xFFFFFFFF);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_DESC, 2), 0xFFFF);
    assert_int_equal(vd_read(&f->vd, VD_DEVICE_FEATURE + 1, 1), 0xFF);
    vd_write(&f->vd, VD_STATUS, 2, 1);
    assert_int_equal(console_status(f), 0);
    vd_write(&f->vd, VD_QUEUE_DESC + 4, 4, 0x11);
    vd_write(&f->vd, VD_QUEUE_DESC, 4, 0x22220);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_DESC, 8), 0x1100022220);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_DESC + 4, 4), 0x11);
}

static void device_configuration(void **state) {
    struct console_fixture *f = *state;

    assert_int_equal(fake_mmio_read(f->m, f->vd.device, 2), 80);
    assert_int_equal(fake_mmio_read(f->m, f->vd.device, 4), 25 << 16 | 80);
    assert_int_equal(fake_mmio_read(f->m, f->vd.device + 3, 1), 0);
    fake_mmio_write(f->m, f->vd.device, 2, 1);
    assert_int_equal(fake_mmio_read(f->m, f->vd.device, 2), 80);
    assert_true(vd_negotiate(&f->vd, ~0ull));
    assert_true(f->vd.features & F_SIZE);
}

static void kicks_at_the_wrong_time(void **state) {
    struct console_fixture *f = *state;
    struct vd_used used;

    fake_mmio_write(f->m, f->vd.notify, 2, 0);
    fake_mmio_write(f->m, f->vd.notify + 4, 4, 0);
    fake_mmio_write(f->m, f->vd.notify + 0x800, 2, 0); // no such queue
    assert_int_equal(fake_mmio_read(f->m, f->vd.notify, 2), 0);
    assert_true(vd_negotiate(&f->vd, VIRTIO_F_VERSION_1));
    vd_setup_queue(&f->vd, TX, 8);
    assert_false(console_transmit(f, "early")); // before DRIVER_OK
    assert_int_equal(f->fc.out_bytes, 0);
    vd_driver_ok(&f->vd); // what lies in the ring is taken now
    assert_true(vd_used(&f->vd, TX, &used));
    assert_memory_equal(f->fc.out, "early", 5);
    fake_mmio_write(f->m, f->vd.notify, 2, 0); // receive queue was never enabled
    assert_true(fake_loop_run(&f->m->fl));
    assert_int_equal(console_status(f), 15);
}

static void line_interrupts(void **state) {
    struct console_fixture *f = *state;

    assert_true(vd_negotiate(&f->vd, VIRTIO_F_VERSION_1));
    vd_setup_queue(&f->vd, TX, 8);
    vd_driver_ok(&f->vd);
    assert_true(console_transmit(f, "x"));
    assert_true(f->m->level[GSI]);
    assert_int_equal(f->m->msi_count, 0);
    assert_int_equal(fake_mmio_read(f->m, f->vd.isr, 1), VIRTIO_ISR_QUEUE);
    assert_false(f->m->level[GSI]);
    assert_int_equal(fake_mmio_read(f->m, f->vd.isr, 1), 0);
    vd_set_avail_flags(&f->vd, TX, 1);
    assert_true(console_transmit(f, "y"));
    assert_false(f->m->level[GSI]);
    vd_set_avail_flags(&f->vd, TX, 0);
    assert_true(console_transmit(f, "z"));
    assert_true(f->m->level[GSI]);
    vd_enable_msix(&f->vd, 3); // takes the line down
    assert_false(f->m->level[GSI]);
    fake_reset(f->m, &f->console.virtio.device);
    assert_int_equal(fake_mmio_read(f->m, f->vd.isr, 1), 0);
}

static void vectors(void **state) {
    struct console_fixture *f = *state;

    vd_start(&f->vd, VIRTIO_F_VERSION_1, 2, 8);
    vd_write(&f->vd, VD_QUEUE_SELECT, 2, TX);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_VECTOR, 2), 2);
    assert_true(console_transmit(f, "a"));
    assert_int_equal(f->m->msi_count, 1);
    assert_int_equal(f->m->msis[0].data, VD_MSI_BASE + 2);
    vd_write(&f->vd, VD_QUEUE_VECTOR, 2, 0xFFFF);
    assert_true(console_transmit(f, "b"));
    assert_int_equal(f->m->msi_count, 1);
    assert_false(f->m->level[GSI]);
}

static void no_bus_master_no_access(void **state) {
    struct console_fixture *f = *state;
    struct vd_used used;

    vd_start(&f->vd, VIRTIO_F_VERSION_1, 2, 8);
    vd_config_write(&f->vd, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_false(console_transmit(f, "later"));
    vd_config_write(&f->vd, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
    assert_true(fake_loop_run(&f->m->fl));
    assert_true(vd_used(&f->vd, TX, &used));
    assert_memory_equal(f->fc.out, "later", 5);
}

static void aim_window(struct console_fixture *f, uint8_t bar, uint32_t offset, uint32_t length) {
    vd_config_write(&f->vd, (uint8_t)(f->vd.cfg_cap + 4), 1, bar);
    vd_config_write(&f->vd, (uint8_t)(f->vd.cfg_cap + 8), 4, offset);
    vd_config_write(&f->vd, (uint8_t)(f->vd.cfg_cap + 12), 4, length);
}

static void configuration_window(void **state) {
    struct console_fixture *f = *state;
    uint8_t data = (uint8_t)(f->vd.cfg_cap + 16);
    struct vd_used used;

    aim_window(f, 0, VD_NUM_QUEUES, 2);
    assert_int_equal(vd_config_read(&f->vd, data, 2), 2);
    aim_window(f, 0, VD_STATUS, 1);
    vd_config_write(&f->vd, data, 1, 1);
    assert_int_equal(console_status(f), 1);
    aim_window(f, 0, (uint32_t)(f->vd.device - f->vd.common), 4);
    assert_int_equal(vd_config_read(&f->vd, data, 4), 25 << 16 | 80);
    aim_window(f, 0, 0x3FFC, 4); // nothing there
    assert_int_equal(vd_config_read(&f->vd, data, 4), 0xFFFFFFFF);
    aim_window(f, 0, UINT32_MAX & ~3u, 4);
    assert_int_equal(vd_config_read(&f->vd, data, 4), 0xFFFFFFFF);
    aim_window(f, 0, VD_NUM_QUEUES, 3); // not a length
    vd_config_write(&f->vd, data, 4, 0);
    vd_config_read(&f->vd, data, 4);
    aim_window(f, 1, 0, 4); // not the areas' BAR
    vd_config_read(&f->vd, data, 4);
    aim_window(f, 0, 1, 2); // not aligned
    vd_config_read(&f->vd, data, 4);

    vd_start(&f->vd, VIRTIO_F_VERSION_1, 2, 8); // a kick through the window
    vd_put(&f->vd, DATA_GPA, "w", 1);
    vd_offer(&f->vd, TX, vd_chain(&f->vd, TX, &(struct vd_buffer){DATA_GPA, 1, false}, 1));
    aim_window(f, 0, (uint32_t)(f->vd.queues[TX].notify - f->vd.common), 2);
    vd_config_write(&f->vd, data, 2, TX);
    assert_true(fake_loop_run(&f->m->fl));
    assert_true(vd_used(&f->vd, TX, &used));
    aim_window(f, 0, (uint32_t)(f->vd.notify - f->vd.common) + 64, 2);
    vd_config_write(&f->vd, data, 2, 16); // no such queue
}

static void init_errors(void **state) {
    struct console_fixture *f = *state;
    struct virtio_console other;
    struct virtio_console_config config = {
        .virtio = {.name = "x", .gm = &f->m->gm, .loops = f->loops, .loop_count = 0},
        .pci = {.name = "pci-x", .root = &f->root, .slot = SLOT + 1},
        .chardev = &f->fc.chardev,
    };

    assert_int_equal(virtio_console_init(&other, &config), -EINVAL);
    config.virtio.loop_count = 1;
    config.pci.slot = SLOT;
    assert_int_equal(virtio_console_init(&other, &config), -EEXIST);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(identity, console_setup, console_teardown),
        cmocka_unit_test_setup_teardown(registers_after_reset, console_setup, console_teardown),
        cmocka_unit_test_setup_teardown(registers_have_their_width, console_setup,
                                        console_teardown),
        cmocka_unit_test_setup_teardown(device_configuration, console_setup, console_teardown),
        cmocka_unit_test_setup_teardown(kicks_at_the_wrong_time, console_setup, console_teardown),
        cmocka_unit_test_setup_teardown(line_interrupts, console_setup, console_teardown),
        cmocka_unit_test_setup_teardown(vectors, console_setup, console_teardown),
        cmocka_unit_test_setup_teardown(no_bus_master_no_access, console_setup, console_teardown),
        cmocka_unit_test_setup_teardown(configuration_window, console_setup, console_teardown),
        cmocka_unit_test_setup_teardown(init_errors, console_setup, console_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
