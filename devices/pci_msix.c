// SPDX-License-Identifier: MIT
//
// MSI-X: table, pending bits and delivery (PCI 3.0, section 6.8.2 and 6.8.3).
//
// The guest changes an entry rarely and a device sends its message often, from any VP's thread. So
// a sender reads address, data and mask under a sequence lock: it takes no lock and writes nothing
// shared; when a writer is at work, or the vector is masked, it takes msix.lock and looks again.
// No message is lost between the two: whoever unmasks does so under msix.lock and afterwards looks
// at the pending bits that a masked sender set under the same lock.
#include "devices/pci.h"

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"

#include <errno.h>

#define RELAXED memory_order_relaxed

#define ENTRY_BYTES 16u
// Dwords of a table entry.
#define ENTRY_ADDRESS_LOW  0u
#define ENTRY_ADDRESS_HIGH 1u
#define ENTRY_DATA         2u
#define ENTRY_CONTROL      3u

static void write_begin(struct pci_msix *msix) {
    atomic_fetch_add_explicit(&msix->sequence, 1, RELAXED);
    atomic_thread_fence(memory_order_release);
}

static void write_end(struct pci_msix *msix) {
    atomic_fetch_add_explicit(&msix->sequence, 1, memory_order_release);
}

static void send(const struct pci_function *f, uint64_t address, uint32_t data) {
    const struct msi_sink *msi = &f->root->msi;

    // An address the platform refuses is the guest's mistake: on a PC such a write is lost too.
    (void)msi->send(msi->ctx, address, data);
}

static bool is_masked(const struct pci_function *f, unsigned vector) {
    return !atomic_load_explicit(&f->msix.open, RELAXED) ||
           (atomic_load_explicit(&f->state.msix_control[vector], RELAXED) & PCI_MSIX_VECTOR_MASKED);
}

/// Sends the vector's message when it is pending and may go out. With msix.lock held.
static void send_if_pending(struct pci_function *f, unsigned vector) {
    _Atomic uint64_t *word = &f->state.msix_pending[vector / 64];
    uint64_t bit = UINT64_C(1) << (vector % 64);

    if ((atomic_load_explicit(word, RELAXED) & bit) && !is_masked(f, vector)) {
        atomic_fetch_and_explicit(word, ~bit, RELAXED);
        send(f, atomic_load_explicit(&f->state.msix_address[vector], RELAXED),
             atomic_load_explicit(&f->state.msix_data[vector], RELAXED));
    }
}

/// The way without a lock; false when the vector is masked or a writer is at work.
static bool notify_unmasked(struct pci_function *f, unsigned vector) {
    uint32_t before = atomic_load_explicit(&f->msix.sequence, memory_order_acquire);
    uint64_t address = atomic_load_explicit(&f->state.msix_address[vector], RELAXED);
    uint32_t data = atomic_load_explicit(&f->state.msix_data[vector], RELAXED);
    bool masked = is_masked(f, vector);

    atomic_thread_fence(memory_order_acquire);
    if (masked || (before & 1) || atomic_load_explicit(&f->msix.sequence, RELAXED) != before) {
        return false;
    }
    send(f, address, data);
    return true;
}

void pci_msix_notify(struct pci_function *f, unsigned vector) {
    if (vector >= f->msix.vector_count || !pci_msix_enabled(f) || notify_unmasked(f, vector)) {
        return;
    }
    pthread_mutex_lock(&f->msix.lock);
    if (pci_msix_enabled(f)) {
        atomic_fetch_or_explicit(&f->state.msix_pending[vector / 64], UINT64_C(1) << (vector % 64),
                                 RELAXED);
        send_if_pending(f, vector);
    }
    pthread_mutex_unlock(&f->msix.lock);
}

bool pci_msix_enabled(const struct pci_function *f) {
    return atomic_load_explicit(&f->msix.enabled, RELAXED);
}

void pci_msix_sync(struct pci_function *f, bool send_pending) {
    struct pci_msix *msix = &f->msix;
    uint32_t control;
    bool enabled;

    if (msix->vector_count == 0) {
        return;
    }
    control = pci_config_get(f, (uint8_t)(msix->cap_off + 2), 2);
    enabled = control & PCI_MSIX_ENABLE;
    pthread_mutex_lock(&msix->lock);
    write_begin(msix);
    atomic_store_explicit(&msix->enabled, enabled, RELAXED);
    atomic_store_explicit(&msix->open,
                          enabled && !(control & PCI_MSIX_MASK_ALL) && pci_bus_master(f), RELAXED);
    write_end(msix);
    for (unsigned i = 0; !enabled && i < ARRAY_COUNT(f->state.msix_pending); i++) {
        atomic_store_explicit(&f->state.msix_pending[i], 0, RELAXED);
    }
    for (unsigned vector = 0; send_pending && vector < msix->vector_count; vector++) {
        send_if_pending(f, vector);
    }
    pthread_mutex_unlock(&msix->lock);
}

static uint32_t entry_read(const struct pci_function *f, unsigned vector, unsigned dword) {
    uint64_t address = atomic_load_explicit(&f->state.msix_address[vector], RELAXED);

    switch (dword) {
    case ENTRY_ADDRESS_LOW:
        return (uint32_t)address;
    case ENTRY_ADDRESS_HIGH:
        return (uint32_t)(address >> 32);
    case ENTRY_DATA:
        return atomic_load_explicit(&f->state.msix_data[vector], RELAXED);
    default:
        return atomic_load_explicit(&f->state.msix_control[vector], RELAXED);
    }
}

static void entry_write(struct pci_function *f, unsigned vector, unsigned dword, uint32_t value) {
    uint64_t address = atomic_load_explicit(&f->state.msix_address[vector], RELAXED);

    switch (dword) {
    case ENTRY_ADDRESS_LOW: // bits 1:0 are always 0 (6.8.2.6)
        address = (address & ~UINT64_C(0xFFFFFFFF)) | (value & ~3u);
        atomic_store_explicit(&f->state.msix_address[vector], address, RELAXED);
        break;
    case ENTRY_ADDRESS_HIGH:
        address = (address & 0xFFFFFFFF) | (uint64_t)value << 32;
        atomic_store_explicit(&f->state.msix_address[vector], address, RELAXED);
        break;
    case ENTRY_DATA:
        atomic_store_explicit(&f->state.msix_data[vector], value, RELAXED);
        break;
    default: // bits 31:1 are reserved
        atomic_store_explicit(&f->state.msix_control[vector], value & PCI_MSIX_VECTOR_MASKED,
                              RELAXED);
        break;
    }
}

/// Dwords and aligned qwords, as the specification asks software to use; others are nobody's.
static bool access_is_valid(const struct bus_access *access) {
    return (access->size == 4 || access->size == 8) && access->offset % access->size == 0;
}

/// The table's handler; the bus holds msix.lock.
static enum bus_result table_access(void *self, struct bus_access *access) {
    struct pci_function *f = self;
    unsigned vector = (unsigned)(access->offset / ENTRY_BYTES);
    unsigned dword = (unsigned)(access->offset % ENTRY_BYTES / 4);
    unsigned count = access->size / 4;

    if (!access_is_valid(access)) {
        return BUS_NOT_MINE;
    }
    CHECK(vector < f->msix.vector_count); // the part is exactly as long as the table
    if (!access->is_write) {
        for (unsigned i = 0; i < count; i++) {
            access->value |= (uint64_t)entry_read(f, vector, dword + i) << (32 * i);
        }
        return BUS_OK;
    }
    write_begin(&f->msix);
    for (unsigned i = 0; i < count; i++) {
        entry_write(f, vector, dword + i, (uint32_t)(access->value >> (32 * i)));
    }
    write_end(&f->msix);
    send_if_pending(f, vector);
    return BUS_OK;
}

/// The pending bit array's handler: read-only.
static enum bus_result pba_access(void *self, struct bus_access *access) {
    struct pci_function *f = self;

    if (!access_is_valid(access)) {
        return BUS_NOT_MINE;
    }
    if (!access->is_write) {
        access->value = atomic_load_explicit(&f->state.msix_pending[access->offset / 8], RELAXED) >>
                        (8 * (access->offset % 8));
    }
    return BUS_OK;
}

int pci_add_msix(struct pci_function *f, unsigned vector_count, unsigned bar, uint32_t table_off,
                 uint32_t pba_off) {
    static const uint8_t write_mask[10] = {0, 0xC0}; // message control: ENABLE, MASK_ALL
    struct bus_region table = {.start = table_off,
                               .size_bytes = (uint64_t)vector_count * ENTRY_BYTES,
                               .fn = table_access,
                               .self = f,
                               .lock = &f->msix.lock,
                               .name = "msix-table"};
    struct bus_region pba = {.start = pba_off,
                             .size_bytes = (uint64_t)(vector_count + 63) / 64 * 8,
                             .fn = pba_access,
                             .self = f,
                             .name = "msix-pba"};
    uint8_t body[10];
    int r;

    if (vector_count == 0 || vector_count > PCI_MSIX_MAX_VECTORS || f->msix.vector_count != 0 ||
        table_off % 8 != 0 || pba_off % 8 != 0) {
        return -EINVAL;
    }
    r = pci_add_bar_part(f, bar, &table);
    if (r == 0) {
        r = pci_add_bar_part(f, bar, &pba);
    }
    if (r) {
        return r;
    }
    store_le16(body, (uint16_t)(vector_count - 1));
    store_le32(body + 2, table_off | bar); // BIR in bits 2:0
    store_le32(body + 6, pba_off | bar);
    r = pci_add_capability(f, PCI_CAP_MSIX, body, sizeof(body), write_mask);
    if (r > 0) {
        f->msix.vector_count = (uint16_t)vector_count;
        f->msix.cap_off = (uint8_t)r;
    }
    return r;
}
