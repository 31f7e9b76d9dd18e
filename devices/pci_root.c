// SPDX-License-Identifier: MIT
//
// The PCI root: configuration mechanism #1 (PCI 3.0, 3.2.2.3.2), the host bridge (Intel 82441FX,
// the machine that OvmfPkg's i440fx personality expects), interrupt lines and the reset control
// register that lives at port 0xCF9, inside CONFIG_ADDRESS's dword (82371SB, 4.1.18).
#include "devices/pci.h"

#include <errno.h>
#include <string.h>

#define PORT_CONFIG_ADDRESS 0xCF8u
#define PORTS_BYTES         8u ///< CONFIG_ADDRESS and CONFIG_DATA

#define CONFIG_ENABLE   (1u << 31)
#define CONFIG_WRITABLE 0x80FFFFFCu
#define RESET_OFFSET    1u ///< port 0xCF9
#define DATA_OFFSET     4u ///< port 0xCFC

#define RESET_SYSTEM   (1u << 1) ///< SRST: a hard reset is meant
#define RESET_CPU      (1u << 2) ///< RCPU: do it
#define RESET_WRITABLE RESET_SYSTEM

// 82441FX: registers that firmware writes to open shadow RAM; all of it is RAM here.
#define PAM0_OFF  0x59u
#define PAM_COUNT 7u
#define SMRAM_OFF 0x72u

static const struct state_field fields[] = {
    STATE_SCALAR(1, struct pci_root_state, config_address, U32, PUBLIC, 0, 0),
    STATE_SCALAR(2, struct pci_root_state, reset_control, U8, PUBLIC, 0, RESET_WRITABLE),
};

static const struct state_table table = {
    .name = "pci-root",
    .version = 1,
    .field_count = ARRAY_COUNT(fields),
    .struct_bytes = sizeof(struct pci_root_state),
    .fields = fields,
};

/// The function that CONFIG_ADDRESS selects, bus 0 only; NULL when nobody is there.
static struct pci_function *selected(const struct pci_root *root) {
    uint32_t address = root->state.config_address;

    if (!(address & CONFIG_ENABLE) || (address >> 16 & 0xFF) != 0) {
        return NULL;
    }
    return root->functions[address >> 8 & 0xFF];
}

static enum bus_result data_access(struct pci_root *root, struct bus_access *access) {
    struct pci_function *f = selected(root);

    if (!f) {
        return BUS_NOT_MINE; // all-ones: how software finds empty slots (6.1)
    }
    // At most 252 + 3: the bus has refused what does not end in CONFIG_DATA's dword.
    access->offset = (root->state.config_address & 0xFC) + (access->offset - DATA_OFFSET);
    pthread_mutex_lock(&f->device.lock);
    pci_config_access(f, access);
    pthread_mutex_unlock(&f->device.lock);
    return BUS_OK;
}

static enum bus_result reset_access(struct pci_root *root, struct bus_access *access) {
    if (!access->is_write) {
        access->value = root->state.reset_control;
        return BUS_OK;
    }
    root->state.reset_control = (uint8_t)(access->value & RESET_WRITABLE);
    if ((access->value & RESET_CPU) && root->reset_requested) {
        root->reset_requested(root->reset_ctx);
    }
    return BUS_OK;
}

static enum bus_result ports_access(void *self, struct bus_access *access) {
    struct pci_root *root = self;

    if (access->offset >= DATA_OFFSET) {
        return data_access(root, access);
    }
    if (access->offset == RESET_OFFSET && access->size == 1) {
        return reset_access(root, access);
    }
    if (access->offset != 0 || access->size != 4) { // only dwords reach CONFIG_ADDRESS
        return BUS_NOT_MINE;
    }
    if (access->is_write) {
        root->state.config_address = (uint32_t)access->value & CONFIG_WRITABLE;
    } else {
        access->value = root->state.config_address;
    }
    return BUS_OK;
}

void pci_intx_sync(struct pci_function *f) {
    struct pci_root *root = f->root;
    unsigned pin = f->slot % PCI_INTX_COUNT;
    uint32_t bit = UINT32_C(1) << f->slot;

    if (f->intx_level && !f->intx_disabled) {
        root->intx_asserted[pin] |= bit;
    } else {
        root->intx_asserted[pin] &= ~bit;
    }
    irq_set(&root->intx[pin], root->intx_asserted[pin] != 0); // wired-or
}

void pci_set_intx(struct pci_function *f, bool level) {
    if (!f->root) {
        return;
    }
    pthread_mutex_lock(&f->root->intx_lock);
    f->intx_level = level;
    pci_intx_sync(f);
    pthread_mutex_unlock(&f->root->intx_lock);
}

static int attach(struct pci_root *root, struct pci_function *f, unsigned slot, unsigned index) {
    struct pci_function **place = &root->functions[slot * PCI_FUNCTION_COUNT + index];

    if (*place) {
        return -EEXIST;
    }
    f->root = root;
    f->slot = (uint8_t)slot;
    f->index = (uint8_t)index;
    *place = f;
    return 0;
}

int pci_attach(struct pci_root *root, struct pci_function *f, unsigned slot) {
    return slot >= PCI_SLOT_COUNT || f->root ? -EINVAL : attach(root, f, slot, 0);
}

int pci_attach_function(struct pci_root *root, struct pci_function *f, unsigned slot,
                        unsigned index) {
    struct pci_function *first;

    if (slot >= PCI_SLOT_COUNT || index == 0 || index >= PCI_FUNCTION_COUNT || f->root ||
        f->template[PCI_INTERRUPT_PIN] != 0) {
        return -EINVAL;
    }
    first = root->functions[slot * PCI_FUNCTION_COUNT];
    if (first == NULL) {
        return -EINVAL;
    }
    first->template[PCI_HEADER_TYPE] |= PCI_HEADER_MULTI;
    first->state.config[PCI_HEADER_TYPE] |= PCI_HEADER_MULTI;
    return attach(root, f, slot, index);
}

static void reset(void *self, device_reset_done_fn done, void *ctx) {
    struct pci_root *root = self;

    state_reset(&table, &root->state);
    done(ctx);
}

static int after_load(void *self) {
    struct pci_root *root = self;

    root->state.config_address &= CONFIG_WRITABLE;
    root->state.reset_control &= RESET_WRITABLE;
    return 0;
}

static const struct device_ops ops = {.state = &table, .reset = reset, .after_load = after_load};

int pci_root_init(struct pci_root *root, const struct pci_root_config *config) {
    static const struct pci_identity host_bridge = {
        .vendor_id = 0x8086, .device_id = 0x1237, .revision_id = 2, .class_code = 0x060000};
    struct bus_region ports = {.start = PORT_CONFIG_ADDRESS,
                               .size_bytes = PORTS_BYTES,
                               .fn = ports_access,
                               .self = root,
                               .lock = &root->device.lock,
                               .name = "pci"};

    memset(root, 0, sizeof(*root));
    root->mmio = config->mmio;
    root->msi = config->msi;
    root->reset_requested = config->reset_requested;
    root->reset_ctx = config->reset_ctx;
    for (uint32_t i = 0; i < PCI_INTX_COUNT; i++) {
        root->intx[i] = (struct irq_line){.set = config->set_line,
                                          .ctx = config->set_line_ctx,
                                          .line = config->intx_first_gsi + i};
    }
    pthread_mutex_init(&root->map_lock, NULL);
    pthread_mutex_init(&root->intx_lock, NULL);
    device_init(&root->device, "pci", &ops, root, &root->state);

    pci_init(&root->host_bridge, "pci-host", &host_bridge, NULL, NULL);
    memset(root->host_bridge.write_mask + PAM0_OFF, 0xFF, PAM_COUNT);
    root->host_bridge.write_mask[SMRAM_OFF] = 0xFF;
    (void)pci_attach(root, &root->host_bridge, 0); // slot 0 of an empty root is free
    return bus_add(config->pio, &ports);
}
