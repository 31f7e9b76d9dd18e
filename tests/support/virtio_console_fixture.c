// SPDX-License-Identifier: MIT
//
// A virtio console and its driver for tests (virtio_console_fixture.h).
#include "tests/support/virtio_console_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BAR_BASE 0xC0000000u

struct console_fixture *console_build(uint16_t columns, uint16_t rows) {
    struct console_fixture *f = calloc(1, sizeof(*f));
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
        .columns = columns,
        .rows = rows,
    };
    assert_int_equal(virtio_console_init(&f->console, &config), 0);
    vd_probe(&f->vd, f->m, SLOT, BAR_BASE, RING_BASE);
    return f;
}

void console_free(struct console_fixture *f) {
    fake_machine_free(f->m);
    free(f);
}

int console_setup(void **state) {
    *state = console_build(80, 25);
    return 0;
}

int console_teardown(void **state) {
    console_free(*state);
    return 0;
}

uint8_t console_status(struct console_fixture *f) {
    return (uint8_t)vd_read(&f->vd, VD_STATUS, 1);
}

bool console_transmit(struct console_fixture *f, const char *text) {
    struct vd_buffer buffer = {DATA_GPA, (uint32_t)strlen(text), false};
    struct vd_used used;

    vd_put(&f->vd, DATA_GPA, text, strlen(text));
    vd_submit(&f->vd, TX, vd_chain(&f->vd, TX, &buffer, 1));
    return vd_used(&f->vd, TX, &used);
}
