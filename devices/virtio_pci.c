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
#define COMMON_BYTES    0x38u // up to queue_device: neither queue reset nor notify data
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

// 4.1.4.3 common configuration structure.
#define COMMON_DEVICE_FEATURE_SELECT 0x00u
#define COMMON_DEVICE_FEATURE        0x04u
#define COMMON_DRIVER_FEATURE_SELECT 0x08u
#define COMMON_DRIVER_FEATURE        0x0Cu
#define COMMON_CONFIG_MSIX_VECTOR    0x10u
#define COMMON_NUM_QUEUES            0x12u
#define COMMON_DEVICE_STATUS         0x14u
#define COMMON_CONFIG_GENERATION     0x15u
#define COMMON_QUEUE_SELECT          0x16u
#define COMMON_QUEUE_SIZE            0x18u
#define COMMON_QUEUE_MSIX_VECTOR     0x1Au
#define COMMON_QUEUE_ENABLE          0x1Cu
#define COMMON_QUEUE_NOTIFY_OFF      0x1Eu
#define COMMON_QUEUE_DESC            0x20u
#define COMMON_QUEUE_DRIVER          0x28u
#define COMMON_QUEUE_DEVICE          0x30u

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

// ---- common configuration (virtio.device.lock held) ---------------------------------------------

/// The selected queue, or NULL when there is no such queue (its registers read 0, 4.1.4.3.1).
static uint64_t *selected_address(struct virtio *virtio, uint64_t off) {
    struct virtio_state *s = virtio->state;
    uint16_t i = s->queue_select;

    if (i >= virtio->queue_count) {
        return NULL;
    }
    if (off < COMMON_QUEUE_DRIVER) {
        return &s->queue_desc_gpa[i];
    }
    return off < COMMON_QUEUE_DEVICE ? &s->queue_avail_gpa[i] : &s->queue_used_gpa[i];
}

static uint32_t read_queue_field(const struct virtio *virtio, uint64_t off) {
    const struct virtio_state *s = virtio->state;
    uint16_t i = s->queue_select;

    if (i >= virtio->queue_count) {
        return off == COMMON_QUEUE_MSIX_VECTOR ? VIRTIO_NO_VECTOR : 0;
    }
    switch (off) {
    case COMMON_QUEUE_SIZE:
        return s->queue_size[i] ? s->queue_size[i] : virtio->queue_max_size;
    case COMMON_QUEUE_MSIX_VECTOR:
        return s->queue_vector[i];
    case COMMON_QUEUE_ENABLE:
        return s->queue_enabled[i];
    default: // COMMON_QUEUE_NOTIFY_OFF
        return i;
    }
}

/// Width of the field at this offset, 0 when there is none. The 64-bit fields take halves as well.
static uint8_t field_bytes(uint64_t off) {
    switch (off) {
    case COMMON_DEVICE_FEATURE_SELECT:
    case COMMON_DEVICE_FEATURE:
    case COMMON_DRIVER_FEATURE_SELECT:
    case COMMON_DRIVER_FEATURE:
        return 4;
    case COMMON_DEVICE_STATUS:
    case COMMON_CONFIG_GENERATION:
        return 1;
    default:
        return off >= COMMON_CONFIG_MSIX_VECTOR && off < COMMON_QUEUE_DESC && off % 2 == 0 ? 2 : 0;
    }
}

static bool is_address(const struct bus_access *access) {
    return access->offset >= COMMON_QUEUE_DESC && ((access->size == 8 && access->offset % 8 == 0) ||
                                                   (access->size == 4 && access->offset % 4 == 0));
}

static uint32_t read_common(const struct virtio *virtio, uint64_t off) {
    const struct virtio_state *s = virtio->state;

    switch (off) {
    case COMMON_DEVICE_FEATURE_SELECT:
        return s->device_feature_select;
    case COMMON_DEVICE_FEATURE:
        return s->device_feature_select > 1
                   ? 0
                   : (uint32_t)(virtio->features >> (s->device_feature_select * 32));
    case COMMON_DRIVER_FEATURE_SELECT:
        return s->driver_feature_select;
    case COMMON_DRIVER_FEATURE:
        return s->driver_feature_select > 1
                   ? 0
                   : (uint32_t)(s->driver_features >> (s->driver_feature_select * 32));
    case COMMON_CONFIG_MSIX_VECTOR:
        return s->config_vector;
    case COMMON_NUM_QUEUES:
        return virtio->queue_count;
    case COMMON_DEVICE_STATUS:
        return s->status; // stays as it was until a reset has finished (4.1.4.3.2)
    case COMMON_CONFIG_GENERATION:
        return s->config_generation;
    case COMMON_QUEUE_SELECT:
        return s->queue_select;
    default:
        return read_queue_field(virtio, off);
    }
}

/// 4.1.5.1.2.1: a vector that does not exist reads back as none.
static uint16_t checked_vector(const struct virtio_pci *pci, uint32_t vector) {
    return vector < pci->function.msix.vector_count ? (uint16_t)vector : VIRTIO_NO_VECTOR;
}

static void write_queue_field(struct virtio_pci *pci, uint64_t off, uint32_t value) {
    struct virtio *virtio = pci->virtio;
    struct virtio_state *s = virtio->state;
    uint16_t i = s->queue_select;

    if (i >= virtio->queue_count) {
        return;
    }
    if (off == COMMON_QUEUE_MSIX_VECTOR) {
        // The home loop reads it without the lock.
        __atomic_store_n(&s->queue_vector[i], checked_vector(pci, value), __ATOMIC_RELAXED);
    } else if (s->queue_enabled[i]) {
        LOG_LIMITED(LOG_WARN, virtio->device.name, "queue %u changed while enabled", i);
    } else if (off == COMMON_QUEUE_SIZE) {
        if (value > virtio->queue_max_size || (value & (value - 1)) != 0) {
            LOG_LIMITED(LOG_WARN, virtio->device.name, "queue %u: bad size %u", i, value);
        } else {
            s->queue_size[i] = (uint16_t)value;
        }
    } else if (off == COMMON_QUEUE_ENABLE && value == 1) {
        // 3.1.1: queues are set up between FEATURES_OK and DRIVER_OK.
        if (s->status & VIRTIO_STATUS_DRIVER_OK) {
            LOG_LIMITED(LOG_WARN, virtio->device.name, "queue %u enabled after DRIVER_OK", i);
        } else {
            s->queue_enabled[i] = 1;
        }
    }
}

static void write_common(struct virtio_pci *pci, uint64_t off, uint32_t value) {
    struct virtio *virtio = pci->virtio;
    struct virtio_state *s = virtio->state;

    if (virtio_resetting(virtio)) {
        return;
    }
    switch (off) {
    case COMMON_DEVICE_FEATURE_SELECT:
        s->device_feature_select = value;
        break;
    case COMMON_DRIVER_FEATURE_SELECT:
        s->driver_feature_select = value;
        break;
    case COMMON_DRIVER_FEATURE:
        virtio_set_driver_features(virtio, s->driver_feature_select, value);
        break;
    case COMMON_CONFIG_MSIX_VECTOR:
        s->config_vector = checked_vector(pci, value);
        break;
    case COMMON_DEVICE_STATUS:
        virtio_set_status(virtio, (uint8_t)value);
        break;
    case COMMON_QUEUE_SELECT:
        s->queue_select = (uint16_t)value;
        break;
    default:
        write_queue_field(pci, off, value);
        break;
    }
}

/// A ring address, whole or by halves.
static void access_address(struct virtio *virtio, struct bus_access *access) {
    uint64_t *address = selected_address(virtio, access->offset);
    unsigned shift = access->offset % 8 == 0 ? 0 : 32;
    uint64_t mask = access->size == 8 ? UINT64_MAX : 0xFFFFFFFFull << shift;

    if (!address) {
        access->value = 0;
    } else if (!access->is_write) {
        access->value = (*address & mask) >> shift;
    } else if (!virtio_resetting(virtio) &&
               !virtio->state->queue_enabled[virtio->state->queue_select]) {
        *address = (*address & ~mask) | (access->value << shift & mask);
    }
}

static enum bus_result common_access(void *self, struct bus_access *access) {
    struct virtio_pci *pci = self;

    if (is_address(access)) {
        access_address(pci->virtio, access);
    } else if (access->size != field_bytes(access->offset)) {
        return BUS_NOT_MINE; // 4.1.3.1: drivers use each field's own width
    } else if (access->is_write) {
        write_common(pci, access->offset, (uint32_t)access->value);
    } else {
        access->value = read_common(pci->virtio, access->offset);
    }
    return BUS_OK;
}

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
    int err = add_part(pci, COMMON_OFF, COMMON_BYTES, common_access, lock, "virtio-common");

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
    int off = add_capability(pci, CAP_COMMON, COMMON_OFF, COMMON_BYTES, 0, 0, NULL);

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
