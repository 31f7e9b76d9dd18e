// SPDX-License-Identifier: MIT
//
// A PCI root with two functions on a fake machine, and a driver's accesses to them. cmocka's: what
// must hold is asserted.
#pragma once

#include "devices/pci.h"
#include "tests/support/fake_machine.h"

#define CONFIG_ADDRESS 0xCF8
#define CONFIG_DATA    0xCFC
#define SLOT           5u
#define BAR0           0xC0000000u
#define MSIX_TABLE     0x2000u
#define MSIX_PBA       0x3000u
#define VECTORS        70u

struct pci_fixture {
    struct fake_machine *m;
    struct pci_root root;
    struct pci_function f;
    struct pci_function g; ///< a second function, slot 9: shares SLOT's interrupt line
    unsigned resets;
    unsigned bar_calls;
    struct bus_access last;
    unsigned before_read;
    unsigned after_write;
};

/// cmocka's set-up and tear-down: *state is the fixture.
int pci_fixture_setup(void **state);
int pci_fixture_teardown(void **state);

/// What is behind the BARs: counts, keeps the access, answers 0x5A.
enum bus_result pci_fixture_bar(void *self, struct bus_access *access);

/// Configuration space by mechanism 1.
uint32_t cfg_read(struct pci_fixture *x, unsigned slot, unsigned off, uint8_t size);
void cfg_write(struct pci_fixture *x, unsigned slot, unsigned off, uint8_t size, uint32_t v);

/// Maps the BARs and enables MSI-X.
void cfg_enable(struct pci_fixture *x);
/// Writes an entry of the MSI-X table.
void msix_set_vector(struct pci_fixture *x, unsigned v, uint64_t address, uint32_t data,
                     uint32_t control);
