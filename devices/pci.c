// SPDX-License-Identifier: MIT
//
// A PCI function: its description, its configuration space and its BARs (PCI 3.0, chapter 6).
//
// Configuration space is a byte array with a write mask; everything else (where BARs stand on the
// bus, whether messages may go out, the line's level) is derived from it after each write by one
// function, sync(), and again after a reset or a load.
#include "devices/pci.h"

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"
#include "igvm/base/log.h"

#include <errno.h>
#include <string.h>

#define AREA "pci"

#define BAR_TYPE_64      0x4u
#define BAR_MEM_MASK     0xFFFFFFF0u
#define BAR_MAX_BYTES_32 (UINT64_C(1) << 31)
#define BAR_MAX_BYTES_64 (UINT64_C(1) << 40)

// COMMAND bits the guest may set. No function has an I/O BAR, so bit 0 stays 0 (6.2.2).
#define COMMAND_PARITY 0x0040u
#define COMMAND_SERR   0x0100u
#define COMMAND_WRITABLE                                                                           \
    (PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER | COMMAND_PARITY | COMMAND_SERR |                 \
     PCI_COMMAND_INTX_DISABLE)

static const struct state_field fields[] = {
    STATE_BYTE_ARRAY(1, struct pci_state, config, PCI_CONFIG_BYTES, GUEST),
    STATE_ARRAY(2, struct pci_state, msix_address, U64, PCI_MSIX_MAX_VECTORS, GUEST, 0, 0),
    STATE_ARRAY(3, struct pci_state, msix_data, U32, PCI_MSIX_MAX_VECTORS, GUEST, 0, 0),
    STATE_ARRAY(4, struct pci_state, msix_control, U32, PCI_MSIX_MAX_VECTORS, PUBLIC,
                PCI_MSIX_VECTOR_MASKED, 0),
    STATE_ARRAY(5, struct pci_state, msix_pending, U64, PCI_MSIX_MAX_VECTORS / 64, PUBLIC, 0, 0),
};

static const struct state_table table = {
    .name = "pci-function",
    .version = 1,
    .field_count = ARRAY_COUNT(fields),
    .struct_bytes = sizeof(struct pci_state),
    .fields = fields,
};

_Static_assert(sizeof(_Atomic uint64_t) == 8 && sizeof(_Atomic uint32_t) == 4,
               "the state table sees atomics as plain words");

// ---- registers
// -----------------------------------------------------------------------------------

static uint32_t get_bytes(const uint8_t *bytes, uint8_t off, uint8_t size_bytes) {
    CHECK((unsigned)off + size_bytes <= PCI_CONFIG_BYTES);
    switch (size_bytes) {
    case 1:
        return bytes[off];
    case 2:
        return load_le16(bytes + off);
    default:
        CHECK(size_bytes == 4);
        return load_le32(bytes + off);
    }
}

static void set_bytes(uint8_t *bytes, uint8_t off, uint8_t size_bytes, uint32_t value) {
    CHECK((unsigned)off + size_bytes <= PCI_CONFIG_BYTES);
    for (unsigned i = 0; i < size_bytes; i++) {
        bytes[off + i] = (uint8_t)(value >> (8 * i));
    }
}

uint32_t pci_config_get(const struct pci_function *f, uint8_t off, uint8_t size_bytes) {
    return get_bytes(f->state.config, off, size_bytes);
}

void pci_config_set(struct pci_function *f, uint8_t off, uint8_t size_bytes, uint32_t value) {
    set_bytes(f->state.config, off, size_bytes, value);
}

bool pci_bus_master(const struct pci_function *f) {
    return atomic_load_explicit(&f->bus_master, memory_order_relaxed);
}

// ---- BARs
// ----------------------------------------------------------------------------------------

/// Where the guest wants the BAR; false when it is not decoded. Address 0 counts as unassigned.
static bool bar_wanted(const struct pci_function *f, unsigned index, uint64_t *start) {
    const struct pci_bar *bar = &f->bars[index];
    uint8_t off = (uint8_t)(PCI_BAR0 + 4 * index);
    uint64_t address = pci_config_get(f, off, 4) & BAR_MEM_MASK;

    if (bar->kind == PCI_BAR_NONE) {
        return false;
    }
    if (bar->kind == PCI_BAR_MEM64) {
        address |= (uint64_t)pci_config_get(f, (uint8_t)(off + 4), 4) << 32;
    }
    *start = address;
    return address != 0 && (pci_config_get(f, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY);
}

static void bar_unmap(struct bus *mmio, struct pci_bar *bar) {
    for (uint32_t i = 0; i < bar->part_count; i++) {
        CHECK(bus_remove(mmio, bar->mapped_start + bar->parts[i].start) == 0);
    }
    bar->mapped = false;
}

/// Puts all parts on the bus or none.
static void bar_map(struct bus *mmio, struct pci_bar *bar) {
    uint32_t i;
    int r = 0;

    for (i = 0; i < bar->part_count; i++) {
        struct bus_region region = bar->parts[i];

        // The end of a 64-bit BAR may wrap; the bus refuses what does not lie below its limit.
        if (__builtin_add_overflow(region.start, bar->wanted_start, &region.start)) {
            r = -EINVAL;
            break;
        }
        r = bus_add(mmio, &region);
        if (r) {
            break;
        }
    }
    if (r == 0) {
        bar->mapped = true;
        bar->mapped_start = bar->wanted_start;
        return;
    }
    while (i-- > 0) {
        CHECK(bus_remove(mmio, bar->wanted_start + bar->parts[i].start) == 0);
    }
    if (r == -EEXIST) {
        LOG_LIMITED(LOG_DEBUG, AREA, "BAR at 0x%llx collides with another; not decoded",
                    (unsigned long long)bar->wanted_start);
    }
}

/// Moves the function's BARs to where the guest wants them, and retries every BAR of the machine
/// that could not be mapped because another stood there. Bounded: 256 functions of 6.
static void sync_bars(struct pci_function *f) {
    struct pci_root *root = f->root;

    pthread_mutex_lock(&root->map_lock);
    for (unsigned i = 0; i < PCI_BAR_COUNT; i++) {
        struct pci_bar *bar = &f->bars[i];
        uint64_t start = 0;

        bar->wanted = bar_wanted(f, i, &start);
        bar->wanted_start = start;
        if (bar->mapped && (!bar->wanted || bar->mapped_start != start)) {
            bar_unmap(root->mmio, bar);
        }
    }
    for (unsigned n = 0; n < ARRAY_COUNT(root->functions); n++) {
        struct pci_function *other = root->functions[n];

        for (unsigned i = 0; other && i < PCI_BAR_COUNT; i++) {
            if (other->bars[i].wanted && !other->bars[i].mapped) {
                bar_map(root->mmio, &other->bars[i]);
            }
        }
    }
    pthread_mutex_unlock(&root->map_lock);
}

// ---- everything derived from configuration space
// -------------------------------------------------

static void sync(struct pci_function *f, bool send_pending) {
    uint32_t command = pci_config_get(f, PCI_COMMAND, 2);

    atomic_store_explicit(&f->bus_master, command & PCI_COMMAND_BUS_MASTER, memory_order_relaxed);
    pci_msix_sync(f, send_pending);
    if (!f->root) {
        return;
    }
    sync_bars(f);
    pthread_mutex_lock(&f->root->intx_lock);
    f->intx_disabled = command & PCI_COMMAND_INTX_DISABLE;
    pci_intx_sync(f);
    pthread_mutex_unlock(&f->root->intx_lock);
}

static void config_read(struct pci_function *f, uint8_t off, struct bus_access *access) {
    uint8_t status = 0;

    if (f->hooks.before_read) {
        f->hooks.before_read(f->hooks_self, f, off, access->size);
    }
    // STATUS.INTERRUPT shows the model's level whether or not INTX_DISABLE holds it back (6.2.3).
    pthread_mutex_lock(&f->root->intx_lock);
    status = f->intx_level ? PCI_STATUS_INTERRUPT : 0;
    pthread_mutex_unlock(&f->root->intx_lock);
    f->state.config[PCI_STATUS] =
        (uint8_t)((f->template[PCI_STATUS] & ~PCI_STATUS_INTERRUPT) | status);
    access->value = pci_config_get(f, off, access->size);
}

void pci_config_access(struct pci_function *f, struct bus_access *access) {
    uint8_t off = (uint8_t)access->offset;

    if (!access->is_write) {
        config_read(f, off, access);
        return;
    }
    for (unsigned i = 0; i < access->size; i++) {
        uint8_t *byte = &f->state.config[off + i];
        uint8_t mask = f->write_mask[off + i];

        *byte = (uint8_t)((*byte & ~mask) | ((access->value >> (8 * i)) & mask));
    }
    sync(f, true);
    if (f->hooks.after_write) {
        f->hooks.after_write(f->hooks_self, f, off, access->size);
    }
}

static void reset(void *self, device_reset_done_fn done, void *ctx) {
    struct pci_function *f = self;

    state_reset(&table, &f->state);
    memcpy(f->state.config, f->template, PCI_CONFIG_BYTES);
    sync(f, false);
    done(ctx);
}

/// A blob cannot change what the guest could not: read-only bits come from the description.
static int after_load(void *self) {
    struct pci_function *f = self;

    for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++) {
        f->state.config[i] = (uint8_t)((f->state.config[i] & f->write_mask[i]) |
                                       (f->template[i] & ~f->write_mask[i]));
    }
    for (unsigned i = 0; i < PCI_MSIX_MAX_VECTORS; i++) {
        uint32_t control = atomic_load(&f->state.msix_control[i]);

        atomic_store(&f->state.msix_control[i], control & PCI_MSIX_VECTOR_MASKED);
    }
    sync(f, false); // interrupts wait until the machine runs
    return 0;
}

static const struct device_ops ops = {.state = &table, .reset = reset, .after_load = after_load};

// ---- description
// ---------------------------------------------------------------------------------

void pci_init(struct pci_function *f, const char *name, const struct pci_identity *identity,
              const struct pci_hooks *hooks, void *hooks_self) {
    memset(f, 0, sizeof(*f));
    f->hooks = hooks ? *hooks : (struct pci_hooks){0};
    f->hooks_self = hooks_self;
    f->next_cap_off = PCI_FIRST_CAPABILITY;
    pthread_mutex_init(&f->msix.lock, NULL);
    device_init(&f->device, name, &ops, f, &f->state);

    store_le16(f->template + PCI_VENDOR_ID, identity->vendor_id);
    store_le16(f->template + PCI_DEVICE_ID, identity->device_id);
    f->template[PCI_REVISION_ID] = identity->revision_id;
    f->template[PCI_CLASS_CODE] = (uint8_t)identity->class_code;
    store_le16(f->template + PCI_CLASS_CODE + 1, (uint16_t)(identity->class_code >> 8));
    store_le16(f->template + PCI_SUBSYSTEM_VENDOR_ID, identity->subsystem_vendor_id);
    store_le16(f->template + PCI_SUBSYSTEM_ID, identity->subsystem_id);
    f->template[PCI_INTERRUPT_PIN] = identity->has_intx ? 1 : 0;
    store_le16(f->write_mask + PCI_COMMAND, COMMAND_WRITABLE);
    f->write_mask[PCI_CACHE_LINE_SIZE] = 0xFF;
    f->write_mask[PCI_INTERRUPT_LINE] = 0xFF;
    memcpy(f->state.config, f->template, PCI_CONFIG_BYTES);
}

int pci_add_bar(struct pci_function *f, unsigned index, enum pci_bar_kind kind,
                uint64_t size_bytes) {
    unsigned count = kind == PCI_BAR_MEM64 ? 2 : 1;
    uint64_t max_bytes = kind == PCI_BAR_MEM64 ? BAR_MAX_BYTES_64 : BAR_MAX_BYTES_32;
    uint64_t mask = ~(size_bytes - 1);
    uint8_t off = (uint8_t)(PCI_BAR0 + 4 * index);

    if (f->root || kind == PCI_BAR_NONE || index > PCI_BAR_COUNT - count ||
        size_bytes < PAGE_SIZE_4K || size_bytes > max_bytes || (size_bytes & ~mask) != 0) {
        return -EINVAL;
    }
    // A taken BAR has write mask bits, and so has the upper half of a 64-bit one.
    for (unsigned i = 0; i < 4 * count; i++) {
        if (f->write_mask[off + i]) {
            return -EEXIST;
        }
    }
    f->bars[index] = (struct pci_bar){.kind = kind, .size_bytes = size_bytes};
    store_le32(f->write_mask + off, (uint32_t)mask & BAR_MEM_MASK);
    if (kind == PCI_BAR_MEM64) {
        f->template[off] = BAR_TYPE_64;
        store_le32(f->write_mask + off + 4, (uint32_t)(mask >> 32));
    }
    memcpy(f->state.config, f->template, PCI_CONFIG_BYTES);
    return 0;
}

int pci_add_bar_part(struct pci_function *f, unsigned index, const struct bus_region *part) {
    struct gpa_range range = {part->start, part->start + part->size_bytes};
    struct pci_bar *bar;

    if (index >= PCI_BAR_COUNT || f->root || part->size_bytes == 0 || !part->fn ||
        !gpa_range_contains((struct gpa_range){0, f->bars[index].size_bytes}, part->start,
                            part->size_bytes)) {
        return -EINVAL;
    }
    bar = &f->bars[index];
    if (bar->part_count == PCI_BAR_MAX_PARTS) {
        return -ENOSPC;
    }
    for (uint32_t i = 0; i < bar->part_count; i++) {
        const struct bus_region *other = &bar->parts[i];

        if (gpa_ranges_overlap(
                range, (struct gpa_range){other->start, other->start + other->size_bytes})) {
            return -EEXIST;
        }
    }
    bar->parts[bar->part_count++] = *part;
    return 0;
}

int pci_add_capability(struct pci_function *f, uint8_t id, const void *body, uint8_t body_bytes,
                       const uint8_t *write_mask) {
    unsigned off = f->next_cap_off;
    uint64_t end = (off + 2u + body_bytes + 3u) & ~3u; // capabilities start on dwords (6.7)

    if (f->root || end > PCI_CONFIG_BYTES) {
        return -ENOSPC;
    }
    f->template[off] = id;
    memcpy(f->template + off + 2, body, body_bytes);
    if (write_mask) {
        memcpy(f->write_mask + off + 2, write_mask, body_bytes);
    }
    f->template[f->last_cap_off ? f->last_cap_off + 1u : PCI_CAPABILITIES] = (uint8_t)off;
    f->template[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    f->last_cap_off = (uint8_t)off;
    f->next_cap_off = (uint16_t)end;
    memcpy(f->state.config, f->template, PCI_CONFIG_BYTES);
    return (int)off;
}
