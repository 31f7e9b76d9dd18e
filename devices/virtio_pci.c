// SPDX-License-Identifier: MIT
//
// Virtio over PCI, modern devices only (VIRTIO 1.2, section 4.1).
#include "devices/virtio_pci.h"

#include "igvm/base/bytes.h"
#include "igvm/base/log.h"

#include <errno.h>
#include <string.h>

#define VIRTIO_VENDOR_ID      0x1AF4u
#define VIRTIO_DEVICE_ID_BASE 0x1040u // 4.1.2.1

// BAR 0.
#define BAR_AREAS       0u
#define BAR_AREAS_BYTES 0x4000u
#define COMMON_OFF      0x0000u
#define ISR_OFF         0x1000u
#define ISR_BYTES       1u
#define DEVICE_OFF      0x2000u
#define NOTIFY_OFF      0x3000u
#define NOTIFY_STEP     4u // notify_off_multiplier
// BAR 1.
#define BAR_MSIX       1u
#define BAR_MSIX_BYTES 0x1000u
#define MSIX_PBA_OFF   0x800u

// 4.1.4 capability types.
#define CAP_COMMON 1u
#define CAP_NOTIFY 2u
#define CAP_ISR    3u
#define CAP_DEVICE 4u
#define CAP_PCI    5u

/// struct virtio_pci_cap behind its id and next bytes; notify and PCI capabilities append 4 bytes.
struct cap_body {
    uint8_t cap_len;
    uint8_t cfg_type;
    uint8_t bar;
    uint8_t id;
    uint8_t padding[2];
    uint8_t offset[4];
    uint8_t length[4];
    uint8_t extra[4]; ///< notify_off_multiplier or pci_cfg_data
} __attribute__((packed));
_Static_assert(sizeof(struct cap_body) == 18, "virtio_pci_cap without id and next, plus 4");

// Offsets from the start of the PCI capability in configuration space.
#define CFG_CAP_BAR    4u
#define CFG_CAP_OFFSET 8u
#define CFG_CAP_LENGTH 12u
#define CFG_CAP_DATA   16u

// ---- interrupts ---------------------------------------------------------------------------------

/// The one place that decides INTA's level. virtio.device.lock held.
static void sync_intx(void *self) {
    struct virtio_pci *pci = self;

    pci_set_intx(&pci->function, pci->virtio->state->isr != 0 && !pci_msix_enabled(&pci->function));
}

/// 4.1.5.3; on the queue's home loop, no lock held.
static void queue_interrupt(void *self, uint16_t queue_index) {
    struct virtio_pci *pci = self;
    struct virtio *virtio = pci->virtio;

    if (pci_msix_enabled(&pci->function)) {
        uint16_t vector =
            __atomic_load_n(&virtio->state->queue_vector[queue_index], __ATOMIC_RELAXED);

        if (vector != VIRTIO_NO_VECTOR) {
            pci_msix_notify(&pci->function, vector);
        }
        return;
    }
    pthread_mutex_lock(&virtio->device.lock);
    virtio->state->isr |= VIRTIO_ISR_QUEUE;
    sync_intx(pci);
    pthread_mutex_unlock(&virtio->device.lock);
}

/// 4.1.5.4; virtio.device.lock held.
static void config_interrupt(void *self) {
    struct virtio_pci *pci = self;
    struct virtio_state *s = pci->virtio->state;

    s->isr |= VIRTIO_ISR_CONFIG;
    if (!pci_msix_enabled(&pci->function)) {
        sync_intx(pci);
    } else if (s->config_vector != VIRTIO_NO_VECTOR) {
        pci_msix_notify(&pci->function, s->config_vector);
    }
}

static bool may_access_memory(void *self) {
    struct virtio_pci *pci = self;

    return pci_bus_master(&pci->function);
}

static enum bus_result isr_access(void *self, struct bus_access *access) {
    struct virtio_pci *pci = self;

    if (!access->is_write) {
        access->value = pci->virtio->state->isr; // reading clears it (4.1.4.5.1)
        pci->virtio->state->isr = 0;
        sync_intx(pci);
    }
    return BUS_OK;
}

// ---- device configuration and notify areas ------------------------------------------------------

static enum bus_result device_access(void *self, struct bus_access *access) {
    struct virtio_pci *pci = self;
    uint8_t bytes[8] = {0};

    if (access->is_write) {
        return BUS_OK; // no device here has writable configuration
    }
    for (unsigned i = 0; i < access->size; i++) {
        uint64_t at = access->offset + i;

        bytes[i] = at < pci->virtio->config_bytes ? pci->virtio->config[at] : 0;
    }
    access->value = load_le64(bytes);
    return BUS_OK;
}

/// 4.1.4.4. No lock: only fixed configuration and atomics are read before the home loop's part.
static enum bus_result notify_access(void *self, struct bus_access *access) {
    struct virtio_pci *pci = self;
    struct virtio *virtio = pci->virtio;
    struct virtio_queue *queue;

    if (!access->is_write || access->offset / NOTIFY_STEP >= virtio->queue_count) {
        access->value = 0;
        return BUS_OK;
    }
    queue = &virtio->queues[access->offset / NOTIFY_STEP];
    if (queue->loop->vp_index == access->vp_index) {
        queue->kick_count++;
        virtio_queue_run(queue);
    } else {
        virtio_queue_kick(queue);
    }
    return BUS_OK;
}

// ---- access through configuration space (4.1.4.9) -----------------------------------------------

/// Reads or writes BAR 0 for the window. function.device.lock held.
static bool window_access(struct virtio_pci *pci, struct bus_access *access) {
    struct virtio *virtio = pci->virtio;
    const struct pci_bar *bar = &pci->function.bars[BAR_AREAS];

    for (uint32_t i = 0; i < bar->part_count; i++) {
        const struct bus_region *part = &bar->parts[i];
        enum bus_result result;

        if (access->offset < part->start ||
            access->offset + access->size > part->start + part->size_bytes) {
            continue;
        }
        access->offset -= part->start;
        if (!part->lock) { // the notify area: never processed under function.device.lock
            if (access->is_write && access->offset / NOTIFY_STEP < virtio->queue_count) {
                virtio_queue_kick(&virtio->queues[access->offset / NOTIFY_STEP]);
            }
            return true;
        }
        pthread_mutex_lock(part->lock);
        result = part->fn(part->self, access);
        pthread_mutex_unlock(part->lock);
        return result == BUS_OK;
    }
    return false;
}

/// The access that the window describes now; false when it is not a legal one.
static bool window(struct virtio_pci *pci, struct bus_access *access) {
    const struct pci_function *f = &pci->function;
    uint32_t bar = pci_config_get(f, (uint8_t)(pci->cfg_cap_off + CFG_CAP_BAR), 1);
    uint32_t offset = pci_config_get(f, (uint8_t)(pci->cfg_cap_off + CFG_CAP_OFFSET), 4);
    uint32_t length = pci_config_get(f, (uint8_t)(pci->cfg_cap_off + CFG_CAP_LENGTH), 4);

    *access = (struct bus_access){.offset = offset, .size = (uint8_t)length};
    return bar == BAR_AREAS && (length == 1 || length == 2 || length == 4) && offset % length == 0;
}

static bool touches_data(const struct virtio_pci *pci, uint8_t off, uint8_t size_bytes) {
    unsigned data = pci->cfg_cap_off + CFG_CAP_DATA;

    return pci->cfg_cap_off != 0 && off < data + 4 && off + size_bytes > data;
}

static void before_read(void *self, struct pci_function *f, uint8_t off, uint8_t size_bytes) {
    struct virtio_pci *pci = self;
    struct bus_access access;

    if (touches_data(pci, off, size_bytes) && window(pci, &access)) {
        if (!window_access(pci, &access)) {
            access.value = UINT32_MAX;
        }
        pci_config_set(f, (uint8_t)(pci->cfg_cap_off + CFG_CAP_DATA), access.size,
                       (uint32_t)access.value);
    }
}

static void after_write(void *self, struct pci_function *f, uint8_t off, uint8_t size_bytes) {
    struct virtio_pci *pci = self;
    struct virtio *virtio = pci->virtio;
    struct bus_access access;

    if (touches_data(pci, off, size_bytes) && window(pci, &access)) {
        access.is_write = true;
        access.value = pci_config_get(f, (uint8_t)(pci->cfg_cap_off + CFG_CAP_DATA), access.size);
        window_access(pci, &access);
    }
    // MSI-X or bus mastering may have changed.
    pthread_mutex_lock(&virtio->device.lock);
    sync_intx(pci);
    pthread_mutex_unlock(&virtio->device.lock);
    if (off <= PCI_COMMAND && off + size_bytes > PCI_COMMAND && pci_bus_master(f)) {
        for (uint16_t i = 0; i < virtio->queue_count; i++) {
            virtio_queue_kick(&virtio->queues[i]);
        }
    }
}

// ---- construction -------------------------------------------------------------------------------

static int add_part(struct virtio_pci *pci, uint64_t start, uint64_t size_bytes, bus_fn fn,
                    pthread_mutex_t *lock, const char *name) {
    struct bus_region part = {
        .start = start,
        .size_bytes = size_bytes,
        .fn = fn,
        .self = pci,
        .lock = lock,
        .name = name,
    };

    return pci_add_bar_part(&pci->function, BAR_AREAS, &part);
}

/// Adds one area's capability; extra_bytes of `extra` follow the common part.
static int add_capability(struct virtio_pci *pci, uint8_t type, uint32_t offset, uint32_t length,
                          uint8_t extra_bytes, uint32_t extra, const struct cap_body *write_mask) {
    uint8_t body_bytes = (uint8_t)(sizeof(struct cap_body) - 4 + extra_bytes);
    struct cap_body body = {
        .cap_len = (uint8_t)(body_bytes + 2), .cfg_type = type, .bar = BAR_AREAS};

    store_le32(body.offset, offset);
    store_le32(body.length, length);
    store_le32(body.extra, extra);
    return pci_add_capability(&pci->function, PCI_CAP_VENDOR, &body, body_bytes,
                              (const uint8_t *)write_mask);
}

static int add_areas(struct virtio_pci *pci) {
    struct virtio *virtio = pci->virtio;
    pthread_mutex_t *lock = &virtio->device.lock;
    uint32_t notify_bytes = virtio->queue_count * NOTIFY_STEP;
    int err = add_part(pci, COMMON_OFF, VIRTIO_PCI_COMMON_BYTES, virtio_pci_common_access, lock,
                       "virtio-common");

    err = err ? err : add_part(pci, ISR_OFF, ISR_BYTES, isr_access, lock, "virtio-isr");
    err = err ? err : add_part(pci, NOTIFY_OFF, notify_bytes, notify_access, NULL, "virtio-notify");
    if (!err && virtio->config_bytes > 0) {
        err = add_part(pci, DEVICE_OFF, virtio->config_bytes, device_access, lock, "virtio-device");
    }
    return err;
}

static int add_capabilities(struct virtio_pci *pci) {
    static const struct cap_body window_mask = {
        .bar = 0xFF,
        .offset = {0xFF, 0xFF, 0xFF, 0xFF},
        .length = {0xFF, 0xFF, 0xFF, 0xFF},
        .extra = {0xFF, 0xFF, 0xFF, 0xFF},
    };
    const struct virtio *virtio = pci->virtio;
    int off = add_capability(pci, CAP_COMMON, COMMON_OFF, VIRTIO_PCI_COMMON_BYTES, 0, 0, NULL);

    if (off > 0) {
        off = add_capability(pci, CAP_ISR, ISR_OFF, ISR_BYTES, 0, 0, NULL);
    }
    if (off > 0) {
        off = add_capability(pci, CAP_NOTIFY, NOTIFY_OFF, virtio->queue_count * NOTIFY_STEP, 4,
                             NOTIFY_STEP, NULL);
    }
    if (off > 0 && virtio->config_bytes > 0) {
        off = add_capability(pci, CAP_DEVICE, DEVICE_OFF, virtio->config_bytes, 0, 0, NULL);
    }
    if (off > 0) {
        off = add_capability(pci, CAP_PCI, 0, 0, 4, 0, &window_mask);
        pci->cfg_cap_off = off > 0 ? (uint8_t)off : 0;
    }
    return off < 0 ? off : 0;
}

int virtio_pci_init(struct virtio_pci *pci, struct virtio *virtio,
                    const struct virtio_pci_config *config) {
    static const struct pci_hooks hooks = {.before_read = before_read, .after_write = after_write};
    uint16_t device_id = (uint16_t)(VIRTIO_DEVICE_ID_BASE + virtio->class->device_id);
    struct pci_identity identity = {
        .vendor_id = VIRTIO_VENDOR_ID,
        .device_id = device_id,
        .subsystem_vendor_id = VIRTIO_VENDOR_ID,
        .subsystem_id = device_id,
        .class_code = virtio->class->pci_class_code,
        .revision_id = 1, // 4.1.2.1: not a transitional device
        .has_intx = true,
    };
    int err;

    pci->virtio = virtio;
    pci->cfg_cap_off = 0;
    virtio->transport = (struct virtio_transport){
        .queue_interrupt = queue_interrupt,
        .config_interrupt = config_interrupt,
        .sync = sync_intx,
        .may_access_memory = may_access_memory,
        .self = pci,
    };
    pci_init(&pci->function, config->name, &identity, &hooks, pci);
    err = pci_add_bar(&pci->function, BAR_AREAS, PCI_BAR_MEM32, BAR_AREAS_BYTES);
    err = err ? err : pci_add_bar(&pci->function, BAR_MSIX, PCI_BAR_MEM32, BAR_MSIX_BYTES);
    err = err ? err : add_areas(pci);
    err = err ? err : add_capabilities(pci);
    if (!err) { // one vector per queue and one for configuration changes
        int off = pci_add_msix(&pci->function, virtio->queue_count + 1u, BAR_MSIX, 0, MSIX_PBA_OFF);

        err = off < 0 ? off : pci_attach(config->root, &pci->function, config->slot);
    }
    return err;
}
