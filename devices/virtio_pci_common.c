// SPDX-License-Identifier: MIT
//
// The common configuration area of virtio over PCI (VIRTIO 1.2, section 4.1.4.3). Everything here
// runs with virtio.device.lock held.
#include "devices/virtio_pci.h"

#include "igvm/base/log.h"

// Offsets.
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

enum bus_result virtio_pci_common_access(void *self, struct bus_access *access) {
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
