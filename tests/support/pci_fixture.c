// SPDX-License-Identifier: MIT
//
// A PCI root with two functions for tests (pci_fixture.h).
#include "tests/support/pci_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum bus_result pci_fixture_bar(void *self, struct bus_access *access) {
    struct pci_fixture *x = self;

    x->bar_calls++;
    x->last = *access;
    access->value = 0x5A;
    return BUS_OK;
}

static void reset_requested(void *ctx) {
    ((struct pci_fixture *)ctx)->resets++;
}

static void before_read(void *self, struct pci_function *f, uint8_t off, uint8_t size_bytes) {
    (void)f;
    (void)off;
    (void)size_bytes;
    ((struct pci_fixture *)self)->before_read++;
}

static void after_write(void *self, struct pci_function *f, uint8_t off, uint8_t size_bytes) {
    (void)f;
    (void)off;
    (void)size_bytes;
    ((struct pci_fixture *)self)->after_write++;
}

int pci_fixture_setup(void **state) {
    static const struct pci_identity identity = {.vendor_id = 0x1AF4,
                                                 .device_id = 0x1042,
                                                 .subsystem_vendor_id = 0x1AF4,
                                                 .subsystem_id = 0x1100,
                                                 .class_code = 0x010203,
                                                 .revision_id = 1,
                                                 .has_intx = true};
    static const struct pci_hooks hooks = {.before_read = before_read, .after_write = after_write};
    static const uint8_t body[4] = {0x10, 1, 2, 3};
    static const uint8_t mask[4] = {0, 0xF0, 0, 0};
    struct pci_fixture *x = calloc(1, sizeof(*x));
    struct pci_root_config config;
    struct bus_region part = {
        .size_bytes = 0x100, .fn = pci_fixture_bar, .self = x, .name = "part"};

    x->m = fake_machine_new();
    config = fake_pci_root_config(x->m);
    config.reset_requested = reset_requested;
    config.reset_ctx = x;
    assert_int_equal(pci_root_init(&x->root, &config), 0);
    pci_init(&x->f, "pci-test", &identity, &hooks, x);
    assert_int_equal(pci_add_bar(&x->f, 0, PCI_BAR_MEM32, 0x4000), 0);
    assert_int_equal(pci_add_bar_part(&x->f, 0, &part), 0);
    assert_int_equal(pci_add_capability(&x->f, PCI_CAP_VENDOR, body, 4, mask), 0x40);
    assert_int_equal(pci_add_msix(&x->f, VECTORS, 0, MSIX_TABLE, MSIX_PBA), 0x48);
    assert_int_equal(pci_attach(&x->root, &x->f, SLOT), 0);
    pci_init(&x->g, "pci-other", &identity, NULL, NULL);
    assert_int_equal(pci_add_bar(&x->g, 2, PCI_BAR_MEM64, 0x1000), 0);
    part.size_bytes = 0x1000;
    assert_int_equal(pci_add_bar_part(&x->g, 2, &part), 0);
    assert_int_equal(pci_attach(&x->root, &x->g, SLOT + 4), 0);
    *state = x;
    return 0;
}

int pci_fixture_teardown(void **state) {
    struct pci_fixture *x = *state;

    fake_machine_free(x->m);
    free(x);
    return 0;
}

uint32_t cfg_read(struct pci_fixture *x, unsigned slot, unsigned off, uint8_t size) {
    fake_pio_write(x->m, CONFIG_ADDRESS, 4, 0x80000000u | slot << 11 | (off & 0xFC));
    return fake_pio_read(x->m, (uint16_t)(CONFIG_DATA + off % 4), size);
}

void cfg_write(struct pci_fixture *x, unsigned slot, unsigned off, uint8_t size, uint32_t v) {
    fake_pio_write(x->m, CONFIG_ADDRESS, 4, 0x80000000u | slot << 11 | (off & 0xFC));
    fake_pio_write(x->m, (uint16_t)(CONFIG_DATA + off % 4), size, v);
}

void cfg_enable(struct pci_fixture *x) {
    cfg_write(x, SLOT, PCI_BAR0, 4, BAR0);
    cfg_write(x, SLOT, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
    cfg_write(x, SLOT, 0x4A, 2, PCI_MSIX_ENABLE);
}

void msix_set_vector(struct pci_fixture *x, unsigned v, uint64_t address, uint32_t data,
                     uint32_t control) {
    uint64_t entry = BAR0 + MSIX_TABLE + v * 16;

    fake_mmio_write(x->m, entry, 8, address);
    fake_mmio_write(x->m, entry + 8, 4, data);
    fake_mmio_write(x->m, entry + 12, 4, control);
}
