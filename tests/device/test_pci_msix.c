// SPDX-License-Identifier: MIT
//
// MSI-X of PCI functions: messages, masks, the table, and a vector that moves while messages go
// out.
#include "tests/support/pci_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void msix_sends(void **state) {
    struct pci_fixture *x = *state;

    pci_msix_notify(&x->f, 0); // disabled: nothing
    assert_false(pci_msix_enabled(&x->f));
    cfg_enable(x);
    assert_true(pci_msix_enabled(&x->f));
    assert_int_equal(fake_mmio_read(x->m, BAR0 + MSIX_PBA, 8), 0);
    assert_int_equal(fake_mmio_read(x->m, BAR0 + MSIX_TABLE + 12, 4), 1); // masked after reset
    msix_set_vector(x, 69, 0x1FEE01003, 0x4055, 0);
    pci_msix_notify(&x->f, 69);
    pci_msix_notify(&x->f, 69);
    assert_int_equal(x->m->msi_count, 2);
    assert_true(x->m->msis[0].address == 0x1FEE01000); // low bits are not writable
    assert_int_equal(x->m->msis[0].data, 0x4055);
    pci_msix_notify(&x->f, VECTORS); // no such vector
    pci_msix_notify(&x->f, UINT32_MAX);
    assert_int_equal(x->m->msi_count, 2);
}

static void msix_masks(void **state) {
    struct pci_fixture *x = *state;

    cfg_enable(x);
    msix_set_vector(x, 65, 0xFEE00000, 0x31, 1);
    pci_msix_notify(&x->f, 65);
    pci_msix_notify(&x->f, 65);
    assert_int_equal(x->m->msi_count, 0);
    assert_int_equal(fake_mmio_read(x->m, BAR0 + MSIX_PBA + 8, 8), 2);
    assert_int_equal(fake_mmio_read(x->m, BAR0 + MSIX_PBA + 8, 4), 2);
    fake_mmio_write(x->m, BAR0 + MSIX_PBA + 8, 8, 0); // read-only
    assert_int_equal(fake_mmio_read(x->m, BAR0 + MSIX_PBA + 8, 8), 2);
    msix_set_vector(x, 65, 0xFEE00000, 0x32, 0); // one message, however often it was asked for
    assert_int_equal(x->m->msi_count, 1);
    assert_int_equal(x->m->msis[0].data, 0x32);
    assert_int_equal(fake_mmio_read(x->m, BAR0 + MSIX_PBA + 8, 8), 0);
    // Function mask.
    cfg_write(x, SLOT, 0x4A, 2, PCI_MSIX_ENABLE | PCI_MSIX_MASK_ALL);
    pci_msix_notify(&x->f, 65);
    assert_int_equal(x->m->msi_count, 1);
    cfg_write(x, SLOT, 0x4A, 2, PCI_MSIX_ENABLE);
    assert_int_equal(x->m->msi_count, 2);
    // Without bus mastering no message may go out.
    cfg_write(x, SLOT, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_false(pci_bus_master(&x->f));
    pci_msix_notify(&x->f, 65);
    assert_int_equal(x->m->msi_count, 2);
    cfg_write(x, SLOT, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
    assert_int_equal(x->m->msi_count, 3);
    // Disabling forgets what is pending.
    cfg_write(x, SLOT, 0x4A, 2, PCI_MSIX_ENABLE | PCI_MSIX_MASK_ALL);
    pci_msix_notify(&x->f, 65);
    cfg_write(x, SLOT, 0x4A, 2, 0);
    cfg_write(x, SLOT, 0x4A, 2, PCI_MSIX_ENABLE);
    assert_int_equal(x->m->msi_count, 3);
}

static void msix_table_accesses(void **state) {
    struct pci_fixture *x = *state;
    uint64_t entry = BAR0 + MSIX_TABLE + 16;

    cfg_enable(x);
    fake_mmio_write(x->m, entry, 4, 0xFFFFFFFF);
    fake_mmio_write(x->m, entry + 4, 4, 0x11223344);
    fake_mmio_write(x->m, entry + 8, 8, 0xFFFFFFFF55667788);
    assert_true(fake_mmio_read(x->m, entry, 8) == 0x11223344FFFFFFFC);
    assert_true(fake_mmio_read(x->m, entry + 8, 8) == 0x0000000155667788);
    assert_int_equal(fake_mmio_read(x->m, entry + 4, 4), 0x11223344);
    // Bytes, words and odd addresses are nobody's.
    assert_int_equal(fake_mmio_read(x->m, entry, 1), 0xFF);
    assert_int_equal(fake_mmio_read(x->m, entry, 2), 0xFFFF);
    assert_int_equal(fake_mmio_read(x->m, entry + 2, 4), 0xFFFFFFFF);
    assert_true(fake_mmio_read(x->m, entry + 4, 8) == UINT64_MAX);
    fake_mmio_write(x->m, entry + 8, 1, 0);
    assert_int_equal(fake_mmio_read(x->m, entry + 8, 4), 0x55667788);
    // The part ends with the last vector.
    assert_int_equal(fake_mmio_read(x->m, BAR0 + MSIX_TABLE + VECTORS * 16, 4), 0xFFFFFFFF);
}

/// A device thread sends while a VP retargets the vector as an OS does: mask, write, unmask. No
/// message may mix two targets, and none may be lost.
static _Atomic unsigned long sent;
static _Atomic unsigned long torn;
static _Atomic bool stop;
static int checking_send(void *ctx, uint64_t address, uint32_t data) {
    (void)ctx;
    torn += (address >> 12 & 0xFF) != data ? 1 : 0;
    sent++;
    return 0;
}

static void *notifier(void *arg) {
    while (!stop) {
        pci_msix_notify(arg, 1);
    }
    return NULL;
}

static void msix_retargets_under_fire(void **state) {
    struct pci_fixture *x = *state;
    pthread_t thread;

    x->root.msi.send = checking_send;
    cfg_enable(x);
    assert_int_equal(pthread_create(&thread, NULL, notifier, &x->f), 0);
    for (unsigned i = 0; i < 3000; i++) {
        msix_set_vector(x, 1, 0xFEE00000 + ((uint64_t)(i & 0xFF) << 12), i & 0xFF, 0);
        fake_mmio_write(x->m, BAR0 + MSIX_TABLE + 16 + 12, 4, 1);
    }
    stop = true;
    pthread_join(thread, NULL);
    assert_int_equal(torn, 0);
    // The last one found the vector masked: it is still owed.
    pci_msix_notify(&x->f, 1);
    sent = 0;
    fake_mmio_write(x->m, BAR0 + MSIX_TABLE + 16 + 12, 4, 0);
    assert_int_equal(sent, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pci_fixture_setup, pci_fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(msix_sends),
        TEST(msix_masks),
        TEST(msix_table_accesses),
        TEST(msix_retargets_under_fire),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
