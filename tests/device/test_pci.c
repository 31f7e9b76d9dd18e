// SPDX-License-Identifier: MIT
//
// PCI root and functions: configuration space, BARs, INTx lines, MSI-X, reset register, state.
#include "devices/pci.h"

#include "igvm/base/bytes.h"
#include "tests/support/fake_machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CONFIG_ADDRESS 0xCF8
#define CONFIG_DATA    0xCFC
#define SLOT           5u
#define BAR0           0xC0000000u
#define MSIX_TABLE     0x2000u
#define MSIX_PBA       0x3000u
#define VECTORS        70u

struct fixture {
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

static enum bus_result bar_fn(void *self, struct bus_access *access) {
    struct fixture *x = self;

    x->bar_calls++;
    x->last = *access;
    access->value = 0x5A;
    return BUS_OK;
}

static void reset_requested(void *ctx) {
    ((struct fixture *)ctx)->resets++;
}

static void before_read(void *self, struct pci_function *f, uint8_t off, uint8_t size_bytes) {
    (void)f;
    (void)off;
    (void)size_bytes;
    ((struct fixture *)self)->before_read++;
}

static void after_write(void *self, struct pci_function *f, uint8_t off, uint8_t size_bytes) {
    (void)f;
    (void)off;
    (void)size_bytes;
    ((struct fixture *)self)->after_write++;
}

static int set_up(void **state) {
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
    struct fixture *x = calloc(1, sizeof(*x));
    struct pci_root_config config;
    struct bus_region part = {.size_bytes = 0x100, .fn = bar_fn, .self = x, .name = "part"};

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

static int tear_down(void **state) {
    struct fixture *x = *state;

    fake_machine_free(x->m);
    free(x);
    return 0;
}

static uint32_t cfg_read(struct fixture *x, unsigned slot, unsigned off, uint8_t size) {
    fake_pio_write(x->m, CONFIG_ADDRESS, 4, 0x80000000u | slot << 11 | (off & 0xFC));
    return fake_pio_read(x->m, (uint16_t)(CONFIG_DATA + off % 4), size);
}

static void cfg_write(struct fixture *x, unsigned slot, unsigned off, uint8_t size, uint32_t v) {
    fake_pio_write(x->m, CONFIG_ADDRESS, 4, 0x80000000u | slot << 11 | (off & 0xFC));
    fake_pio_write(x->m, (uint16_t)(CONFIG_DATA + off % 4), size, v);
}

/// Maps the BARs and enables MSI-X.
static void enable(struct fixture *x) {
    cfg_write(x, SLOT, PCI_BAR0, 4, BAR0);
    cfg_write(x, SLOT, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
    cfg_write(x, SLOT, 0x4A, 2, PCI_MSIX_ENABLE);
}

static void set_vector(struct fixture *x, unsigned v, uint64_t address, uint32_t data,
                       uint32_t control) {
    uint64_t entry = BAR0 + MSIX_TABLE + v * 16;

    fake_mmio_write(x->m, entry, 8, address);
    fake_mmio_write(x->m, entry + 8, 4, data);
    fake_mmio_write(x->m, entry + 12, 4, control);
}

static void mechanism_1(void **state) {
    struct fixture *x = *state;

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
    struct fixture *x = *state;

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
    struct fixture *x = *state;
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
    struct fixture *x = *state;
    unsigned off = cfg_read(x, SLOT, PCI_CAPABILITIES, 1);

    assert_int_equal(off, 0x40);
    assert_int_equal(cfg_read(x, SLOT, off, 4), 0x01104809);
    assert_int_equal(cfg_read(x, SLOT, 0x48, 4), 0x00450011); // 70 vectors, end of chain
    assert_int_equal(cfg_read(x, SLOT, 0x4C, 4), MSIX_TABLE);
    assert_int_equal(cfg_read(x, SLOT, 0x50, 4), MSIX_PBA);
}

static void building_is_checked(void **state) {
    static const struct pci_identity identity = {.vendor_id = 1};
    struct fixture *x = *state;
    struct pci_function f;
    struct bus_region part = {.start = 0xF00, .size_bytes = 0x101, .fn = bar_fn, .self = x};
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
    part = (struct bus_region){.start = 0x100, .size_bytes = 0x100, .fn = bar_fn, .self = x};
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
    struct fixture *x = *state;

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
    struct fixture *x = *state;
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
    struct fixture *x = *state;

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
    struct fixture *x = *state;

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

static void msix_sends(void **state) {
    struct fixture *x = *state;

    pci_msix_notify(&x->f, 0); // disabled: nothing
    assert_false(pci_msix_enabled(&x->f));
    enable(x);
    assert_true(pci_msix_enabled(&x->f));
    assert_int_equal(fake_mmio_read(x->m, BAR0 + MSIX_PBA, 8), 0);
    assert_int_equal(fake_mmio_read(x->m, BAR0 + MSIX_TABLE + 12, 4), 1); // masked after reset
    set_vector(x, 69, 0x1FEE01003, 0x4055, 0);
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
    struct fixture *x = *state;

    enable(x);
    set_vector(x, 65, 0xFEE00000, 0x31, 1);
    pci_msix_notify(&x->f, 65);
    pci_msix_notify(&x->f, 65);
    assert_int_equal(x->m->msi_count, 0);
    assert_int_equal(fake_mmio_read(x->m, BAR0 + MSIX_PBA + 8, 8), 2);
    assert_int_equal(fake_mmio_read(x->m, BAR0 + MSIX_PBA + 8, 4), 2);
    fake_mmio_write(x->m, BAR0 + MSIX_PBA + 8, 8, 0); // read-only
    assert_int_equal(fake_mmio_read(x->m, BAR0 + MSIX_PBA + 8, 8), 2);
    set_vector(x, 65, 0xFEE00000, 0x32, 0); // one message, however often it was asked for
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
    struct fixture *x = *state;
    pthread_t thread;

    x->root.msi.send = checking_send;
    enable(x);
    assert_int_equal(pthread_create(&thread, NULL, notifier, &x->f), 0);
    for (unsigned i = 0; i < 3000; i++) {
        set_vector(x, 1, 0xFEE00000 + ((uint64_t)(i & 0xFF) << 12), i & 0xFF, 0);
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

static void msix_table_accesses(void **state) {
    struct fixture *x = *state;
    uint64_t entry = BAR0 + MSIX_TABLE + 16;

    enable(x);
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

static void reset_register(void **state) {
    struct fixture *x = *state;

    fake_pio_write(x->m, 0xCF9, 1, 0x02);
    assert_int_equal(x->resets, 0);
    assert_int_equal(fake_pio_read(x->m, 0xCF9, 1), 0x02);
    fake_pio_write(x->m, 0xCF9, 1, 0x06);
    assert_int_equal(x->resets, 1);
    fake_pio_write(x->m, CONFIG_ADDRESS, 4, 0x80000600); // bits in the middle of a dword: address
    assert_int_equal(x->resets, 1);
}

static void reset_restores_power_on(void **state) {
    struct fixture *x = *state;
    uint8_t fresh[PCI_CONFIG_BYTES];

    for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++) {
        fresh[i] = (uint8_t)cfg_read(x, SLOT, i, 1);
    }
    enable(x);
    set_vector(x, 3, 0xFEE00000, 7, 0);
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
    struct fixture *x = *state;
    size_t size;
    uint8_t *blob;

    enable(x);
    set_vector(x, 3, 0xFEE00000, 7, 1);
    pci_msix_notify(&x->f, 3);
    blob = fake_save(&x->f.device, &size);
    fake_reset(x->m, &x->f.device);
    assert_int_equal(fake_load(&x->f.device, blob, size), 0);
    assert_int_equal(fake_mmio_read(x->m, BAR0, 1), 0x5A);
    assert_int_equal(fake_mmio_read(x->m, BAR0 + MSIX_PBA, 8), 8);
    set_vector(x, 3, 0xFEE00000, 7, 0);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

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
        TEST(msix_sends),
        TEST(msix_masks),
        TEST(msix_table_accesses),
        TEST(msix_retargets_under_fire),
        TEST(reset_register),
        TEST(reset_restores_power_on),
        TEST(state_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
