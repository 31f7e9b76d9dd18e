// SPDX-License-Identifier: MIT
//
// A virtio console on a fake machine, before a byte stream of the test's, and a driver for it: also
// the example of a virtio device. cmocka's: what must hold is asserted.
#pragma once

#include "devices/virtio_console.h"
#include "tests/support/virtio_driver.h"

#define RING_BASE 0x10000u
#define DATA_GPA  0x80000u
#define SLOT      5u
#define RX        0u
#define TX        1u

struct console_fixture {
    struct fake_machine *m;
    struct loop *loops[1];
    struct pci_root root;
    struct fake_chardev fc;
    struct virtio_console console;
    struct virtio_driver vd;
};

/// A device of this size (0: none is told), found but not started. Free it with console_free.
struct console_fixture *console_build(uint16_t columns, uint16_t rows);
void console_free(struct console_fixture *f);

/// cmocka's set-up and tear-down: *state is a fixture of 80 columns and 25 rows.
int console_setup(void **state);
int console_teardown(void **state);

/// The device's status register.
uint8_t console_status(struct console_fixture *f);

/// Sends text through the transmit queue. Returns whether the device used it.
bool console_transmit(struct console_fixture *f, const char *text);
