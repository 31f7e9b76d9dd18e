// SPDX-License-Identifier: MIT
//
// The PCI transport and the common part of virtio devices, with a console as the example.
#include "devices/virtio_console.h"
#include "tests/support/virtio_driver.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BAR_BASE  0xC0000000u
#define RING_BASE 0x10000u
#define DATA_GPA  0x80000u
#define SLOT      5u
#define GSI       (16 + (SLOT & 3))
#define RX        0u
#define TX        1u
#define F_SIZE    (1ull << 0)

struct fixture {
    struct fake_machine *m;
    struct loop *loops[1];
    struct pci_root root;
    struct fake_chardev fc;
    struct virtio_console console;
    struct virtio_driver vd;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    struct pci_root_config root;
    struct virtio_console_config config;

    f->m = fake_machine_new();
    f->loops[0] = &f->m->fl.loop;
    root = fake_pci_root_config(f->m);
    assert_int_equal(pci_root_init(&f->root, &root), 0);
    fake_chardev_init(&f->fc);
    config = (struct virtio_console_config){
        .virtio = {.name = "virtio-console0", .gm = &f->m->gm, .loops = f->loops, .loop_count = 1},
        .pci = {.name = "pci-virtio-console0", .root = &f->root, .slot = SLOT},
        .chardev = &f->fc.chardev,
        .columns = 80,
        .rows = 25,
    };
    assert_int_equal(virtio_console_init(&f->console, &config), 0);
    vd_probe(&f->vd, f->m, SLOT, BAR_BASE, RING_BASE);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;

    fake_machine_free(f->m);
    free(f);
    return 0;
}

static uint8_t status(struct fixture *f) {
    return (uint8_t)vd_read(&f->vd, VD_STATUS, 1);
}

/// Sends text through the transmit queue. Returns whether the device used it.
static bool transmit(struct fixture *f, const char *text) {
    struct vd_buffer buffer = {DATA_GPA, (uint32_t)strlen(text), false};
    struct vd_used used;

    vd_put(&f->vd, DATA_GPA, text, strlen(text));
    vd_submit(&f->vd, TX, vd_chain(&f->vd, TX, &buffer, 1));
    return vd_used(&f->vd, TX, &used);
}

static void identity(void **state) {
    struct fixture *f = *state;

    assert_int_equal(vd_config_read(&f->vd, PCI_VENDOR_ID, 4), 0x10431AF4);
    assert_int_equal(vd_config_read(&f->vd, PCI_REVISION_ID, 1), 1);
    assert_int_equal(vd_config_read(&f->vd, PCI_CLASS_CODE, 2), 0x8000);
    assert_int_equal(vd_config_read(&f->vd, PCI_INTERRUPT_PIN, 1), 1);
    assert_int_equal(vd_config_read(&f->vd, (uint8_t)(f->vd.msix_cap + 2), 2) & 0x7FF, 2);
    assert_int_equal(f->vd.notify_step, 4);
}

static void registers_after_reset(void **state) {
    struct fixture *f = *state;

    assert_int_equal(status(f), 0);
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
    struct fixture *f = *state;

    assert_int_equal(vd_read(&f->vd, VD_STATUS, 4), 0xFFFFFFFF);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_SIZE, 1), 0xFF);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_SIZE, 4), 0xFFFFFFFF);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_DESC, 2), 0xFFFF);
    assert_int_equal(vd_read(&f->vd, VD_DEVICE_FEATURE + 1, 1), 0xFF);
    vd_write(&f->vd, VD_STATUS, 2, 1);
    assert_int_equal(status(f), 0);
    vd_write(&f->vd, VD_QUEUE_DESC + 4, 4, 0x11);
    vd_write(&f->vd, VD_QUEUE_DESC, 4, 0x22220);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_DESC, 8), 0x1100022220);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_DESC + 4, 4), 0x11);
}

static void device_configuration(void **state) {
    struct fixture *f = *state;

    assert_int_equal(fake_mmio_read(f->m, f->vd.device, 2), 80);
    assert_int_equal(fake_mmio_read(f->m, f->vd.device, 4), 25 << 16 | 80);
    assert_int_equal(fake_mmio_read(f->m, f->vd.device + 3, 1), 0);
    fake_mmio_write(f->m, f->vd.device, 2, 1);
    assert_int_equal(fake_mmio_read(f->m, f->vd.device, 2), 80);
    assert_true(vd_negotiate(&f->vd, ~0ull));
    assert_true(f->vd.features & F_SIZE);
}

static void features_are_negotiated_once(void **state) {
    struct fixture *f = *state;

    assert_false(vd_negotiate(&f->vd, ~VIRTIO_F_VERSION_1)); // a legacy driver
    assert_int_equal(status(f), 3);
    assert_true(vd_negotiate(&f->vd, VIRTIO_F_VERSION_1));
    vd_write(&f->vd, VD_DRIVER_FEATURE_SELECT, 4, 0);
    vd_write(&f->vd, VD_DRIVER_FEATURE, 4, 0xFFFFFFFF); // too late
    assert_int_equal(vd_read(&f->vd, VD_DRIVER_FEATURE, 4), 0);
    vd_write(&f->vd, VD_STATUS, 1, 0);
    vd_write(&f->vd, VD_DRIVER_FEATURE_SELECT, 4, 0);
    vd_write(&f->vd, VD_DRIVER_FEATURE, 4, 0xFFFFFFFF); // never offered
    vd_write(&f->vd, VD_STATUS, 1, 11);
    assert_int_equal(status(f), 3);
    vd_write(&f->vd, VD_STATUS, 1, 7); // DRIVER_OK without FEATURES_OK
    assert_int_equal(status(f), 3);
    vd_write(&f->vd, VD_STATUS, 1, VIRTIO_STATUS_FAILED);
    assert_int_equal(status(f), 3 | VIRTIO_STATUS_FAILED);
    vd_write(&f->vd, VD_STATUS, 1, VIRTIO_STATUS_NEEDS_RESET); // not the driver's bit
    assert_int_equal(status(f), 3 | VIRTIO_STATUS_FAILED);
}

static void queue_registers_are_checked(void **state) {
    struct fixture *f = *state;

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

static void kicks_at_the_wrong_time(void **state) {
    struct fixture *f = *state;
    struct vd_used used;

    fake_mmio_write(f->m, f->vd.notify, 2, 0);
    fake_mmio_write(f->m, f->vd.notify + 4, 4, 0);
    fake_mmio_write(f->m, f->vd.notify + 0x800, 2, 0); // no such queue
    assert_int_equal(fake_mmio_read(f->m, f->vd.notify, 2), 0);
    assert_true(vd_negotiate(&f->vd, VIRTIO_F_VERSION_1));
    vd_setup_queue(&f->vd, TX, 8);
    assert_false(transmit(f, "early")); // before DRIVER_OK
    assert_int_equal(f->fc.out_bytes, 0);
    vd_driver_ok(&f->vd); // what lies in the ring is taken now
    assert_true(vd_used(&f->vd, TX, &used));
    assert_memory_equal(f->fc.out, "early", 5);
    fake_mmio_write(f->m, f->vd.notify, 2, 0); // receive queue was never enabled
    assert_true(fake_loop_run(&f->m->fl));
    assert_int_equal(status(f), 15);
}

static void line_interrupts(void **state) {
    struct fixture *f = *state;

    assert_true(vd_negotiate(&f->vd, VIRTIO_F_VERSION_1));
    vd_setup_queue(&f->vd, TX, 8);
    vd_driver_ok(&f->vd);
    assert_true(transmit(f, "x"));
    assert_true(f->m->level[GSI]);
    assert_int_equal(f->m->msi_count, 0);
    assert_int_equal(fake_mmio_read(f->m, f->vd.isr, 1), VIRTIO_ISR_QUEUE);
    assert_false(f->m->level[GSI]);
    assert_int_equal(fake_mmio_read(f->m, f->vd.isr, 1), 0);
    vd_set_avail_flags(&f->vd, TX, 1);
    assert_true(transmit(f, "y"));
    assert_false(f->m->level[GSI]);
    vd_set_avail_flags(&f->vd, TX, 0);
    assert_true(transmit(f, "z"));
    assert_true(f->m->level[GSI]);
    vd_enable_msix(&f->vd, 3); // takes the line down
    assert_false(f->m->level[GSI]);
    fake_reset(f->m, &f->console.virtio.device);
    assert_int_equal(fake_mmio_read(f->m, f->vd.isr, 1), 0);
}

static void vectors(void **state) {
    struct fixture *f = *state;

    vd_start(&f->vd, VIRTIO_F_VERSION_1, 2, 8);
    vd_write(&f->vd, VD_QUEUE_SELECT, 2, TX);
    assert_int_equal(vd_read(&f->vd, VD_QUEUE_VECTOR, 2), 2);
    assert_true(transmit(f, "a"));
    assert_int_equal(f->m->msi_count, 1);
    assert_int_equal(f->m->msis[0].data, VD_MSI_BASE + 2);
    vd_write(&f->vd, VD_QUEUE_VECTOR, 2, 0xFFFF);
    assert_true(transmit(f, "b"));
    assert_int_equal(f->m->msi_count, 1);
    assert_false(f->m->level[GSI]);
}

static void needs_reset(void **state) {
    struct fixture *f = *state;

    vd_start(&f->vd, VIRTIO_F_VERSION_1, 2, 8);
    vd_desc(&f->vd, TX, 0, DATA_GPA, 16, VD_F_NEXT, 0);
    vd_submit(&f->vd, TX, 0);
    assert_int_equal(status(f), 15 | VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(f->m->msi_count, 1);
    assert_int_equal(f->m->msis[0].data, VD_MSI_BASE);
    assert_int_equal(fake_mmio_read(f->m, f->vd.isr, 1), VIRTIO_ISR_CONFIG);
    vd_submit(&f->vd, TX, 0); // stays dead, says nothing more
    assert_int_equal(f->m->msi_count, 1);
    vd_start(&f->vd, VIRTIO_F_VERSION_1, 2, 8);
    assert_int_equal(status(f), 15);
    assert_true(transmit(f, "again"));
}

static void bad_rings_need_reset(void **state) {
    struct fixture *f = *state;

    assert_true(vd_negotiate(&f->vd, VIRTIO_F_VERSION_1));
    vd_write(&f->vd, VD_QUEUE_SELECT, 2, 0);
    vd_write(&f->vd, VD_QUEUE_DESC, 8, FAKE_RAM_END); // a hole
    vd_write(&f->vd, VD_QUEUE_ENABLE, 2, 1);
    vd_setup_queue(&f->vd, TX, 8);
    vd_driver_ok(&f->vd);
    assert_int_equal(status(f), 15 | VIRTIO_STATUS_NEEDS_RESET);
    fake_mmio_write(f->m, f->vd.notify, 2, 0);
    assert_true(fake_loop_run(&f->m->fl));
    vd_start(&f->vd, VIRTIO_F_VERSION_1, 2, 8);
    assert_int_equal(status(f), 15);
}

static void no_bus_master_no_access(void **state) {
    struct fixture *f = *state;
    struct vd_used used;

    vd_start(&f->vd, VIRTIO_F_VERSION_1, 2, 8);
    vd_config_write(&f->vd, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_false(transmit(f, "later"));
    vd_config_write(&f->vd, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
    assert_true(fake_loop_run(&f->m->fl));
    assert_true(vd_used(&f->vd, TX, &used));
    assert_memory_equal(f->fc.out, "later", 5);
}

static void aim_window(struct fixture *f, uint8_t bar, uint32_t offset, uint32_t length) {
    vd_config_write(&f->vd, (uint8_t)(f->vd.cfg_cap + 4), 1, bar);
    vd_config_write(&f->vd, (uint8_t)(f->vd.cfg_cap + 8), 4, offset);
    vd_config_write(&f->vd, (uint8_t)(f->vd.cfg_cap + 12), 4, length);
}

static void configuration_window(void **state) {
    struct fixture *f = *state;
    uint8_t data = (uint8_t)(f->vd.cfg_cap + 16);
    struct vd_used used;

    aim_window(f, 0, VD_NUM_QUEUES, 2);
    assert_int_equal(vd_config_read(&f->vd, data, 2), 2);
    aim_window(f, 0, VD_STATUS, 1);
    vd_config_write(&f->vd, data, 1, 1);
    assert_int_equal(status(f), 1);
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

static void load_refuses_nonsense(void **state) {
    struct fixture *f = *state;
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
    struct fixture *f = *state;
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
    assert_int_equal(status(f), 3);
    fake_reset(f->m, device);
}

/// Rings whose place became wrong: the load works, the device says DEVICE_NEEDS_RESET.
static void load_with_bad_rings(void **state) {
    struct fixture *f = *state;
    struct device *device = &f->console.virtio.device;
    size_t size;
    uint8_t *blob;

    vd_start(&f->vd, VIRTIO_F_VERSION_1, 2, 8);
    f->console.state.virtio.queue_used_gpa[1] = UINT64_MAX - 3;
    blob = fake_save(device, &size);
    fake_reset(f->m, device);
    assert_int_equal(fake_load(device, blob, size), 0);
    free(blob);
    assert_int_equal(status(f), 15 | VIRTIO_STATUS_NEEDS_RESET);
    fake_reset(f->m, device);
}

static void init_errors(void **state) {
    struct fixture *f = *state;
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
        cmocka_unit_test_setup_teardown(identity, setup, teardown),
        cmocka_unit_test_setup_teardown(registers_after_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(registers_have_their_width, setup, teardown),
        cmocka_unit_test_setup_teardown(device_configuration, setup, teardown),
        cmocka_unit_test_setup_teardown(features_are_negotiated_once, setup, teardown),
        cmocka_unit_test_setup_teardown(queue_registers_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(kicks_at_the_wrong_time, setup, teardown),
        cmocka_unit_test_setup_teardown(line_interrupts, setup, teardown),
        cmocka_unit_test_setup_teardown(vectors, setup, teardown),
        cmocka_unit_test_setup_teardown(needs_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_rings_need_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(no_bus_master_no_access, setup, teardown),
        cmocka_unit_test_setup_teardown(configuration_window, setup, teardown),
        cmocka_unit_test_setup_teardown(load_refuses_nonsense, setup, teardown),
        cmocka_unit_test_setup_teardown(load_between_features_and_features_ok, setup, teardown),
        cmocka_unit_test_setup_teardown(load_with_bad_rings, setup, teardown),
        cmocka_unit_test_setup_teardown(init_errors, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
