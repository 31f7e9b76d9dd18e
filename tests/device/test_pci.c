// SPDX-License-Identifier: MIT
//
// PCI root and functions: configuration space, BARs, INTx lines, reset register, state.
#include "tests/support/pci_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void mechanism_1(void **state) {
    struct pci_fixture *x = *state;

    fake_pio_write(x->m, CONFIG_ADDRESS, 4, 0xFFFFFFFF);
    assert_int_equal(fake_pio_read(x->m, CONFIG_ADDRESS, 4), 0x80FFFFFC);
    // Only dwords reach CONFIG_ADDRESS.
    fake_pio_write(x->m, CONFIG_ADDRESS, 1, 0);
    fake_pio_write(x->m, CONFIG_ADDRESS, 2, 0);
    assert_int_equal(fake_pio_read(x->m, CONFIG_ADDRESS, 4), 0x80FFFFFC);
    assert_int_equal(fake_pio_read(x->m, CONFIG_ADDRESS, 2), 0xFFFF);
    // The host bridge, by every size at every offset.
    assert_int_equal(cfg_read(x, 0, 0, 4), 0x12378086);
    assert_int_equal(cfg_read(x, 0, 2, 2), 0x1237);
    assert_int_equal(cfg_read(x, 0, 3, 1), 0x12);
    assert_int_equal(cfg_read(x, 0, 1, 2), 0x3780);
    assert_int_equal(cfg_read(x, 0, 8, 4), 0x06000002);
    // Across the end of CONFIG_DATA; disabled; absent slot, function and bus.
    assert_int_equal(cfg_read(x, 0, 3, 2), 0xFFFF);
    fake_pio_write(x->m, CONFIG_ADDRESS, 4, 0);
    assert_int_equal(fake_pio_read(x->m, CONFIG_DATA, 4), 0xFFFFFFFF);
    assert_int_equal(cfg_read(x, 1, 0, 4), 0xFFFFFFFF);
    fake_pio_write(x->m, CONFIG_ADDRESS, 4, 0x80000100);
    assert_int_equal(fake_pio_read(x->m, CONFIG_DATA, 4), 0xFFFFFFFF);
    fake_pio_write(x->m, CONFIG_ADDRESS, 4, 0x80010000);
    assert_int_equal(fake_pio_read(x->m, CONFIG_DATA, 4), 0xFFFFFFFF);
    fake_pio_write(x->m, CONFIG_DATA, 4, 0); // swallowed
}

static void header(void **state) {
    struct pci_fixture *x = *state;

    assert_int_equal(cfg_read(x, SLOT, PCI_VENDOR_ID, 4), 0x10421AF4);
    assert_int_equal(cfg_read(x, SLOT, PCI_REVISION_ID, 4), 0x01020301);
    assert_int_equal(cfg_read(x, SLOT, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x11001AF4);
    assert_int_equal(cfg_read(x, SLOT, PCI_INTERRUPT_PIN, 1), 1);
    assert_int_equal(cfg_read(x, SLOT, PCI_HEADER_TYPE, 1), 0);
    assert_int_equal(cfg_read(x, SLOT, PCI_STATUS, 2), PCI_STATUS_CAPABILITIES);
    assert_int_equal(cfg_read(x, 0, PCI_STATUS, 2), 0);
    assert_true(x->before_read > 0);
}

/// Every bit of configuration space: writable exactly where the specification says.
static void write_masks(void **state) {
    struct pci_fixture *x = *state;
    uint32_t expected[PCI_CONFIG_BYTES / 4] = {0};

    expected[PCI_COMMAND / 4] = 0x0546; // no I/O space; INTX_DISABLE, SERR, parity, master, memory
    expected[PCI_CACHE_LINE_SIZE / 4] = 0xFF;
    expected[PCI_BAR0 / 4] = 0xFFFFC000;
    expected[PCI_INTERRUPT_LINE / 4] = 0xFF;
    expected[0x40 / 4] = 0xF0000000; // the vendor capability's mask
    expected[0x48 / 4] = 0xC0000000; // MSI-X enable and mask-all
    for (unsigned off = 0; off < PCI_CONFIG_BYTES; off += 4) {
        uint32_t zeros;
        uint32_t ones;

        cfg_write(x, SLOT, off, 4, 0xFFFFFFFF);
        ones = cfg_read(x, SLOT, off, 4);
        cfg_write(x, SLOT, off, 4, 0);
        zeros = cfg_read(x, SLOT, off, 4);
        assert_int_equal(ones ^ zeros, expected[off / 4]);
    }
    assert_int_equal(x->after_write, 2 * PCI_CONFIG_BYTES / 4);
}

static void capability_chain(void **state) {
    struct pci_fixture *x = *state;
    unsigned off = cfg_read(x, SLOT, PCI_CAPABILITIES, 1);

    assert_int_equal(off, 0x40);
    assert_int_equal(cfg_read(x, SLOT, off, 4), 0x01104809);
    assert_int_equal(cfg_read(x, SLOT, 0x48, 4), 0x00450011); // 70 vectors, end of chain
    assert_int_equal(cfg_read(x, SLOT, 0x4C, 4), MSIX_TABLE);
    assert_int_equal(cfg_read(x, SLOT, 0x50, 4), MSIX_PBA);
}

static void building_is_checked(void **state) {
    static const struct pci_identity identity = {.vendor_id = 1};
    struct pci_fixture *x = *state;
    struct pci_function f;
    struct bus_region part = {
        .start = 0xF00, .size_bytes = 0x101, .fn = pci_fixture_bar, .self = x};
    uint8_t body[180] = {0};

    pci_init(&f, "t", &identity, NULL, NULL);
    assert_int_equal(pci_add_bar(&f, 6, PCI_BAR_MEM32, 0x1000), -EINVAL);
    assert_int_equal(pci_add_bar(&f, 5, PCI_BAR_MEM64, 0x1000), -EINVAL);
    assert_int_equal(pci_add_bar(&f, 0, PCI_BAR_MEM32, 0x800), -EINVAL);
    assert_int_equal(pci_add_bar(&f, 0, PCI_BAR_MEM32, 0x1800), -EINVAL);
    assert_int_equal(pci_add_bar(&f, 0, PCI_BAR_MEM32, UINT64_C(1) << 32), -EINVAL);
    assert_int_equal(pci_add_bar(&f, 0, PCI_BAR_NONE, 0x1000), -EINVAL);
    assert_int_equal(pci_add_bar(&f, 0, PCI_BAR_MEM64, 0x1000), 0);
    assert_int_equal(pci_add_bar(&f, 0, PCI_BAR_MEM32, 0x1000), -EEXIST);
    assert_int_equal(pci_add_bar(&f, 1, PCI_BAR_MEM32, 0x1000), -EEXIST);
    assert_int_equal(pci_add_bar_part(&f, 0, &part), -EINVAL);
    part.start = UINT64_MAX;
    assert_int_equal(pci_add_bar_part(&f, 0, &part), -EINVAL);
    part =
        (struct bus_region){.start = 0x100, .size_bytes = 0x100, .fn = pci_fixture_bar, .self = x};
    assert_int_equal(pci_add_bar_part(&f, 1, &part), -EINVAL);
    assert_int_equal(pci_add_bar_part(&f, 6, &part), -EINVAL);
    assert_int_equal(pci_add_bar_part(&f, 0, &part), 0);
    part.start = 0x1FF;
    assert_int_equal(pci_add_bar_part(&f, 0, &part), -EEXIST);
    assert_int_equal(pci_add_msix(&f, 0, 0, 0x800, 0xC00), -EINVAL);
    assert_int_equal(pci_add_msix(&f, PCI_MSIX_MAX_VECTORS + 1, 0, 0x800, 0xC00), -EINVAL);
    assert_int_equal(pci_add_msix(&f, 1, 0, 0x804, 0xC00), -EINVAL);
    assert_int_equal(pci_add_msix(&f, 1, 0, 0x100, 0xC00), -EEXIST);
    assert_int_equal(pci_add_capability(&f, 9, body, 180, NULL), 0x40);
    assert_int_equal(pci_add_capability(&f, 9, body, 7, NULL), -ENOSPC);
    assert_int_equal(pci_add_capability(&f, 9, body, 6, NULL), 0xF8);
    assert_int_equal(pci_attach(&x->root, &f, 32), -EINVAL);
    assert_int_equal(pci_attach(&x->root, &f, SLOT), -EEXIST);
    assert_int_equal(pci_attach(&x->root, &x->f, 20), -EINVAL);
    pci_set_intx(&f, true); // not attached: nothing happens
}

static void bar_moves(void **state) {
    struct pci_fixture *x = *state;

    cfg_write(x, SLOT, PCI_BAR0, 4, BAR0);
    assert_int_equal(fake_mmio_read(x->m, BAR0, 1), 0xFF); // not decoded yet
    cfg_write(x, SLOT, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_int_equal(fake_mmio_read(x->m, BAR0 + 0x10, 1), 0x5A);
    assert_int_equal(x->last.offset, 0x10);
    assert_int_equal(fake_mmio_read(x->m, BAR0 + 0x100, 1), 0xFF); // between the parts
    // Sizing with decode on.
    cfg_write(x, SLOT, PCI_BAR0, 4, 0xFFFFFFFF);
    assert_int_equal(cfg_read(x, SLOT, PCI_BAR0, 4), 0xFFFFC000);
    assert_int_equal(fake_mmio_read(x->m, BAR0, 1), 0xFF);
    cfg_write(x, SLOT, PCI_BAR0, 4, BAR0 + 0x4000);
    assert_int_equal(fake_mmio_read(x->m, BAR0, 1), 0xFF);
    assert_int_equal(fake_mmio_read(x->m, BAR0 + 0x4000, 1), 0x5A);
    assert_int_equal(x->last.offset, 0);
    cfg_write(x, SLOT, PCI_BAR0, 4, 0); // unassigned
    assert_int_equal(fake_mmio_read(x->m, 0, 1), 0xFF);
    cfg_write(x, SLOT, PCI_BAR0, 4, BAR0);
    assert_int_equal(fake_mmio_read(x->m, BAR0, 1), 0x5A);
    cfg_write(x, SLOT, PCI_COMMAND, 2, 0);
    assert_int_equal(fake_mmio_read(x->m, BAR0, 1), 0xFF);
}

static void bar_64(void **state) {
    struct pci_fixture *x = *state;
    unsigned slot = SLOT + 4;

    assert_int_equal(cfg_read(x, slot, PCI_BAR0 + 8, 4), 4);
    cfg_write(x, slot, PCI_BAR0 + 8, 4, 0xFFFFFFFF);
    cfg_write(x, slot, PCI_BAR0 + 12, 4, 0xFFFFFFFF);
    cfg_write(x, slot, PCI_COMMAND, 2, PCI_COMMAND_MEMORY); // beyond the bus: not mapped
    assert_int_equal(cfg_read(x, slot, PCI_BAR0 + 8, 4), 0xFFFFF004);
    assert_int_equal(cfg_read(x, slot, PCI_BAR0 + 12, 4), 0xFFFFFFFF);
    cfg_write(x, slot, PCI_BAR0 + 12, 4, 0x10);
    cfg_write(x, slot, PCI_BAR0 + 8, 4, 0x2000);
    assert_int_equal(fake_mmio_read(x->m, 0x1000002FF8, 8), 0x5A);
    assert_int_equal(x->last.offset, 0xFF8);
}

/// Two BARs at one address: the first stays, the second appears when the first goes.
static void bars_collide(void **state) {
    struct pci_fixture *x = *state;

    cfg_write(x, SLOT, PCI_BAR0, 4, BAR0);
    cfg_write(x, SLOT, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    cfg_write(x, SLOT + 4, PCI_BAR0 + 8, 4, BAR0);
    cfg_write(x, SLOT + 4, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_int_equal(fake_mmio_read(x->m, BAR0 + 0x80, 1), 0x5A);
    assert_int_equal(fake_mmio_read(x->m, BAR0 + 0x200, 1), 0xFF);
    cfg_write(x, SLOT, PCI_BAR0, 4, BAR0 + 0x10000);
    assert_int_equal(fake_mmio_read(x->m, BAR0 + 0x200, 1), 0x5A);
    assert_int_equal(fake_mmio_read(x->m, BAR0 + 0x10080, 1), 0x5A);
    cfg_write(x, SLOT + 4, PCI_BAR0 + 8, 4, BAR0 + 0x10000); // onto a part: all or nothing
    assert_int_equal(fake_mmio_read(x->m, BAR0 + 0x10080, 1), 0x5A);
    assert_int_equal(fake_mmio_read(x->m, BAR0 + 0x10200, 1), 0xFF);
}

static void intx(void **state) {
    struct pci_fixture *x = *state;

    pci_set_intx(&x->f, true);
    assert_true(x->m->level[17]); // slot 5: GSI 16 + 1
    assert_int_equal(cfg_read(x, SLOT, PCI_STATUS, 2), PCI_STATUS_CAPABILITIES | 8);
    cfg_write(x, SLOT, PCI_STATUS, 2, 0xFFFF); // read-only
    assert_int_equal(cfg_read(x, SLOT, PCI_STATUS, 2), PCI_STATUS_CAPABILITIES | 8);
    pci_set_intx(&x->g, true); // the shared line stays up until both let go
    pci_set_intx(&x->f, false);
    assert_true(x->m->level[17]);
    assert_int_equal(cfg_read(x, SLOT, PCI_STATUS, 2), PCI_STATUS_CAPABILITIES);
    pci_set_intx(&x->g, false);
    assert_false(x->m->level[17]);
    // INTX_DISABLE holds the line, not the status bit.
    pci_set_intx(&x->f, true);
    cfg_write(x, SLOT, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
    assert_false(x->m->level[17]);
    assert_int_equal(cfg_read(x, SLOT, PCI_STATUS, 2), PCI_STATUS_CAPABILITIES | 8);
    cfg_write(x, SLOT, PCI_COMMAND, 2, 0);
    assert_true(x->m->level[17]);
}

static void reset_register(void **state) {
    struct pci_fixture *x = *state;

    fake_pio_write(x->m, 0xCF9, 1, 0x02);
    assert_int_equal(x->resets, 0);
    assert_int_equal(fake_pio_read(x->m, 0xCF9, 1), 0x02);
    fake_pio_write(x->m, 0xCF9, 1, 0x06);
    assert_int_equal(x->resets, 1);
    fake_pio_write(x->m, CONFIG_ADDRESS, 4, 0x80000600); // bits in the middle of a dword: address
    assert_int_equal(x->resets, 1);
}

static void reset_restores_power_on(void **state) {
    struct pci_fixture *x = *state;
    uint8_t fresh[PCI_CONFIG_BYTES];

    for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++) {
        fresh[i] = (uint8_t)cfg_read(x, SLOT, i, 1);
    }
    cfg_enable(x);
    msix_set_vector(x, 3, 0xFEE00000, 7, 0);
    fake_reset(x->m, &x->f.device);
    fake_reset(x->m, &x->root.device);
    assert_false(pci_msix_enabled(&x->f));
    assert_false(pci_bus_master(&x->f));
    assert_int_equal(fake_pio_read(x->m, CONFIG_ADDRESS, 4), 0);
    assert_int_equal(fake_mmio_read(x->m, BAR0, 1), 0xFF);
    for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++) {
        assert_int_equal(cfg_read(x, SLOT, i, 1), fresh[i]);
    }
    pci_msix_notify(&x->f, 3);
    assert_int_equal(x->m->msi_count, 0);
}

static void state_round_trip(void **state) {
    struct pci_fixture *x = *state;
    size_t size;
    uint8_t *blob;

    cfg_enable(x);
    msix_set_vector(x, 3, 0xFEE00000, 7, 1);
    pci_msix_notify(&x->f, 3);
    blob = fake_save(&x->f.device, &size);
    fake_reset(x->m, &x->f.device);
    assert_int_equal(fake_load(&x->f.device, blob, size), 0);
    assert_int_equal(fake_mmio_read(x->m, BAR0, 1), 0x5A);
    assert_int_equal(fake_mmio_read(x->m, BAR0 + MSIX_PBA, 8), 8);
    msix_set_vector(x, 3, 0xFEE00000, 7, 0);
    assert_int_equal(x->m->msi_count, 1);
    // A hostile blob cannot change what the guest could not: flip every byte of the space.
    for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++) {
        blob[12 + i] ^= 0xFF;
    }
    assert_int_equal(fake_load(&x->f.device, blob, size), 0);
    assert_int_equal(cfg_read(x, SLOT, PCI_VENDOR_ID, 4), 0x10421AF4);
    assert_int_equal(cfg_read(x, SLOT, PCI_CAPABILITIES, 1), 0x40);
    assert_int_equal(cfg_read(x, SLOT, 0x4C, 4), MSIX_TABLE);
    free(blob);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pci_fixture_setup, pci_fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(mechanism_1),
        TEST(header),
        TEST(write_masks),
        TEST(capability_chain),
        TEST(building_is_checked),
        TEST(bar_moves),
        TEST(bar_64),
        TEST(bars_collide),
        TEST(intx),
        TEST(reset_register),
        TEST(reset_restores_power_on),
        TEST(state_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
