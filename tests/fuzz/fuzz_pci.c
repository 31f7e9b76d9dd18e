// SPDX-License-Identifier: MIT
//
// PCI from bytes: configuration accesses, MSI-X table accesses wherever the guest put it,
// notifications, lines, save, load, reset. Read-only configuration bits never change, no message
// goes out of a masked vector, BARs stand where the configuration says or nowhere.
#include "devices/pci.h"

#include "igvm/base/check.h"
#include "tests/support/fake_machine.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUNCTIONS  3u
#define VECTORS    66u
#define MSIX_TABLE 0x1000u
#define MSIX_PBA   0x1800u

static struct fake_machine *m;
static struct pci_root root;
static struct pci_function f[FUNCTIONS];

static enum bus_result bar_fn(void *self, struct bus_access *access) {
    (void)self;
    CHECK(access->offset + access->size <= 0x100);
    return BUS_OK;
}

static void set_up(void) {
    static const struct pci_identity identity = {
        .vendor_id = 0x1AF4, .device_id = 0x1042, .has_intx = true};
    static const char *const names[FUNCTIONS] = {"a", "b", "c"};
    struct bus_region part = {.size_bytes = 0x100, .fn = bar_fn, .name = "part"};
    struct pci_root_config config = fake_pci_root_config(m);

    CHECK(pci_root_init(&root, &config) == 0);
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        pci_init(&f[i], names[i], &identity, NULL, NULL);
        CHECK(pci_add_bar(&f[i], i, i == 1 ? PCI_BAR_MEM64 : PCI_BAR_MEM32, 0x2000) == 0);
        CHECK(pci_add_bar_part(&f[i], i, &part) == 0);
        CHECK(pci_add_msix(&f[i], VECTORS, i, MSIX_TABLE, MSIX_PBA) > 0);
        CHECK(pci_attach(&root, &f[i], 4 * (i + 1)) == 0); // one shared line
    }
}

static void check_invariants(void) {
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        const struct pci_function *fn = &f[i];
        const struct pci_bar *bar = &fn->bars[i];

        for (unsigned k = 0; k < PCI_CONFIG_BYTES; k++) {
            uint8_t changed = fn->state.config[k] ^ fn->template[k];

            CHECK((changed & ~fn->write_mask[k] & ~(k == PCI_STATUS ? 8 : 0)) == 0);
        }
        CHECK(!bar->mapped || (bar->wanted && bar->mapped_start == bar->wanted_start));
        CHECK(!atomic_load(&fn->msix.open) || atomic_load(&fn->msix.enabled));
    }
}

static void notify(struct pci_function *fn, unsigned vector) {
    unsigned before = m->msi_count;
    bool masked = vector >= VECTORS || !atomic_load(&fn->msix.open) ||
                  (atomic_load(&fn->state.msix_control[vector]) & 1);

    pci_msix_notify(fn, vector);
    CHECK(m->msi_count == before + (masked ? 0 : 1));
}

static void save_and_load(struct pci_function *fn, struct fuzz_input *in) {
    size_t size;
    uint8_t *blob = fake_save(&fn->device, &size);

    CHECK(fake_load(&fn->device, blob, size) == 0);
    if (fuzz_u8(in) & 1) {
        blob[fuzz_u16(in) % size] = fuzz_u8(in);
        (void)fake_load(&fn->device, blob, size);
    }
    free(blob);
}

static void step(struct fuzz_input *in) {
    static const uint8_t sizes[4] = {1, 2, 4, 8};
    uint8_t op = fuzz_u8(in);
    uint8_t size = sizes[op >> 6];
    struct pci_function *fn = &f[fuzz_u8(in) % FUNCTIONS];
    struct pci_bar *bar = &fn->bars[fn - f];
    uint64_t address = bar->mapped_start + fuzz_u16(in) % 0x2100;

    switch (op % 8) {
    case 0: // one configuration write the proper way
        fake_pio_write(m, 0xCF8, 4, 0x80000000u | (uint32_t)fn->slot << 11 | fuzz_u8(in));
        fake_pio_write(m, (uint16_t)(0xCFC + (op >> 3) % 4), size, fuzz_u32(in));
        break;
    case 1: // any port access in the block
        fake_pio_write(m, (uint16_t)(0xCF8 + (op >> 3) % 8), size, fuzz_u32(in));
        (void)fake_pio_read(m, (uint16_t)(0xCF8 + fuzz_u8(in) % 8), size);
        break;
    case 2: // a BAR, likely to collide with the others
        fake_pio_write(m, 0xCF8, 4,
                       0x80000000u | (uint32_t)fn->slot << 11 | (uint32_t)(0x10 + 4 * (fn - f)));
        fake_pio_write(m, 0xCFC, 4, 0xC0000000u + fuzz_u8(in) % 8 * 0x2000u);
        break;
    case 3:
        fake_mmio_write(m, address, size, fuzz_u64(in));
        break;
    case 4:
        (void)fake_mmio_read(m, address, size);
        break;
    case 5:
        notify(fn, fuzz_u8(in));
        break;
    case 6:
        pci_set_intx(fn, op & 8);
        break;
    default:
        if (op & 8) {
            save_and_load(fn, in);
        } else {
            fake_reset(m, &fn->device);
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {.bytes = data, .left = size};

    m = fake_machine_new();
    set_up();
    while (in.left > 0) {
        step(&in);
        check_invariants();
    }
    fake_machine_free(m);
    return 0;
}
