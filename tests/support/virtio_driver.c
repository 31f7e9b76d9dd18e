// SPDX-License-Identifier: MIT
//
// A guest's virtio driver in miniature (VIRTIO 1.2, sections 3.1, 2.7 and 4.1).
#include "tests/support/virtio_driver.h"

#include "igvm/base/bytes.h"
#include "igvm/base/check.h"

#define CAP_COMMON 1u
#define CAP_NOTIFY 2u
#define CAP_ISR    3u
#define CAP_DEVICE 4u
#define CAP_PCI    5u

#define RING_BYTES   0x10000u
#define AVAIL_OFF    0x4000u
#define USED_OFF     0x8000u
#define MSI_ADDRESS  0xFEE00000u
#define STEP1_STATUS (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER)

void vd_put(struct virtio_driver *vd, uint64_t to, const void *bytes, size_t size_bytes) {
    CHECK(guest_write(&vd->m->gm, gpa(to), bytes, size_bytes) == 0);
}

void vd_get(struct virtio_driver *vd, uint64_t from, void *bytes, size_t size_bytes) {
    CHECK(guest_read(&vd->m->gm, gpa(from), bytes, size_bytes) == 0);
}

static void put16(struct virtio_driver *vd, uint64_t to, uint16_t value) {
    CHECK(guest_store_le16(&vd->m->gm, gpa(to), value) == 0);
}

static uint16_t get16(struct virtio_driver *vd, uint64_t from) {
    uint16_t value;

    CHECK(guest_load_le16(&vd->m->gm, gpa(from), &value) == 0);
    return value;
}

static void select_register(struct virtio_driver *vd, uint8_t off) {
    fake_pio_write(vd->m, 0xCF8, 4, 0x80000000u | vd->slot << 11 | (off & 0xFCu));
}

uint32_t vd_config_read(struct virtio_driver *vd, uint8_t off, uint8_t size_bytes) {
    select_register(vd, off);
    return fake_pio_read(vd->m, (uint16_t)(0xCFC + (off & 3u)), size_bytes);
}

void vd_config_write(struct virtio_driver *vd, uint8_t off, uint8_t size_bytes, uint32_t value) {
    select_register(vd, off);
    fake_pio_write(vd->m, (uint16_t)(0xCFC + (off & 3u)), size_bytes, value);
}

static void found_area(struct virtio_driver *vd, uint8_t cap, const uint64_t bars[2]) {
    uint64_t at = bars[vd_config_read(vd, (uint8_t)(cap + 4), 1) & 1] +
                  vd_config_read(vd, (uint8_t)(cap + 8), 4);

    switch (vd_config_read(vd, (uint8_t)(cap + 3), 1)) {
    case CAP_COMMON:
        vd->common = at;
        break;
    case CAP_NOTIFY:
        vd->notify = at;
        vd->notify_step = vd_config_read(vd, (uint8_t)(cap + 16), 4);
        break;
    case CAP_ISR:
        vd->isr = at;
        break;
    case CAP_DEVICE:
        vd->device = at;
        break;
    case CAP_PCI:
        vd->cfg_cap = cap;
        break;
    }
}

void vd_probe(struct virtio_driver *vd, struct fake_machine *m, unsigned slot, uint64_t bar_base,
              uint64_t ring_base) {
    uint64_t bars[2] = {bar_base, bar_base + 0x10000};
    uint8_t cap;

    *vd = (struct virtio_driver){.m = m, .slot = slot, .ring_base = ring_base};
    CHECK(vd_config_read(vd, PCI_VENDOR_ID, 2) == 0x1AF4);
    vd_config_write(vd, PCI_BAR0, 4, (uint32_t)bars[0]);
    vd_config_write(vd, PCI_BAR0 + 4, 4, (uint32_t)bars[1]);
    vd_config_write(vd, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
    cap = (uint8_t)vd_config_read(vd, PCI_CAPABILITIES, 1);
    for (unsigned i = 0; cap != 0 && i < 48; i++) {
        uint8_t id = (uint8_t)vd_config_read(vd, cap, 1);

        if (id == PCI_CAP_MSIX) {
            vd->msix_cap = cap;
            vd->msix_table = bars[1] + (vd_config_read(vd, (uint8_t)(cap + 4), 4) & ~7u);
        } else if (id == PCI_CAP_VENDOR) {
            found_area(vd, cap, bars);
        }
        cap = (uint8_t)vd_config_read(vd, (uint8_t)(cap + 1), 1);
    }
    CHECK(vd->common && vd->notify && vd->isr && vd->msix_cap && vd->cfg_cap);
}

uint64_t vd_read(struct virtio_driver *vd, uint32_t off, uint8_t size_bytes) {
    return fake_mmio_read(vd->m, vd->common + off, size_bytes);
}

void vd_write(struct virtio_driver *vd, uint32_t off, uint8_t size_bytes, uint64_t value) {
    fake_mmio_write(vd->m, vd->common + off, size_bytes, value);
}

void vd_enable_msix(struct virtio_driver *vd, unsigned vector_count) {
    for (unsigned i = 0; i < vector_count; i++) {
        uint64_t entry = vd->msix_table + i * 16u;

        fake_mmio_write(vd->m, entry, 4, MSI_ADDRESS);
        fake_mmio_write(vd->m, entry + 4, 4, 0);
        fake_mmio_write(vd->m, entry + 8, 4, VD_MSI_BASE + i);
        fake_mmio_write(vd->m, entry + 12, 4, 0);
    }
    vd_config_write(vd, (uint8_t)(vd->msix_cap + 2), 2, PCI_MSIX_ENABLE);
    vd_write(vd, VD_CONFIG_VECTOR, 2, 0);
    for (unsigned i = 0; i + 1 < vector_count; i++) {
        vd_write(vd, VD_QUEUE_SELECT, 2, i);
        vd_write(vd, VD_QUEUE_VECTOR, 2, i + 1);
    }
}

bool vd_negotiate(struct virtio_driver *vd, uint64_t features) {
    uint64_t offered;

    vd_write(vd, VD_STATUS, 1, 0);
    CHECK(fake_loop_run(&vd->m->fl));
    CHECK(vd_read(vd, VD_STATUS, 1) == 0);
    vd_write(vd, VD_STATUS, 1, VIRTIO_STATUS_ACKNOWLEDGE);
    vd_write(vd, VD_STATUS, 1, STEP1_STATUS);
    vd_write(vd, VD_DEVICE_FEATURE_SELECT, 4, 0);
    offered = vd_read(vd, VD_DEVICE_FEATURE, 4);
    vd_write(vd, VD_DEVICE_FEATURE_SELECT, 4, 1);
    offered |= vd_read(vd, VD_DEVICE_FEATURE, 4) << 32;
    vd->features = offered & features;
    vd_write(vd, VD_DRIVER_FEATURE_SELECT, 4, 0);
    vd_write(vd, VD_DRIVER_FEATURE, 4, (uint32_t)vd->features);
    vd_write(vd, VD_DRIVER_FEATURE_SELECT, 4, 1);
    vd_write(vd, VD_DRIVER_FEATURE, 4, (uint32_t)(vd->features >> 32));
    vd_write(vd, VD_STATUS, 1, STEP1_STATUS | VIRTIO_STATUS_FEATURES_OK);
    return (vd_read(vd, VD_STATUS, 1) & VIRTIO_STATUS_FEATURES_OK) != 0;
}

void vd_setup_queue(struct virtio_driver *vd, unsigned index, uint16_t size) {
    struct vd_queue *q = &vd->queues[index];
    uint64_t base = vd->ring_base + (uint64_t)index * RING_BYTES;

    CHECK(index < VD_MAX_QUEUES && size <= 1024);
    CHECK(guest_zero(&vd->m->gm, gpa(base), RING_BYTES) == 0);
    *q = (struct vd_queue){
        .size = size, .desc = base, .avail = base + AVAIL_OFF, .used = base + USED_OFF};
    vd_write(vd, VD_QUEUE_SELECT, 2, index);
    vd_write(vd, VD_QUEUE_SIZE, 2, size);
    vd_write(vd, VD_QUEUE_DESC, 4, (uint32_t)q->desc);
    vd_write(vd, VD_QUEUE_DESC + 4, 4, q->desc >> 32);
    vd_write(vd, VD_QUEUE_DRIVER, 4, (uint32_t)q->avail);
    vd_write(vd, VD_QUEUE_DRIVER + 4, 4, q->avail >> 32);
    vd_write(vd, VD_QUEUE_DEVICE, 8, q->used);
    q->notify = vd->notify + vd_read(vd, VD_QUEUE_NOTIFY_OFF, 2) * vd->notify_step;
    vd_write(vd, VD_QUEUE_ENABLE, 2, 1);
}

void vd_driver_ok(struct virtio_driver *vd) {
    vd_write(vd, VD_STATUS, 1, STEP1_STATUS | VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);
    CHECK(fake_loop_run(&vd->m->fl));
}

void vd_start(struct virtio_driver *vd, uint64_t features, unsigned queue_count, uint16_t size) {
    CHECK(vd_negotiate(vd, features));
    for (unsigned i = 0; i < queue_count; i++) {
        vd_setup_queue(vd, i, size);
    }
    vd_enable_msix(vd, queue_count + 1);
    vd_driver_ok(vd);
}

static void store_desc(struct virtio_driver *vd, uint64_t at, uint64_t address, uint32_t size_bytes,
                       uint16_t flags, uint16_t next) {
    uint8_t bytes[16];

    store_le64(bytes, address);
    store_le32(bytes + 8, size_bytes);
    store_le16(bytes + 12, flags);
    store_le16(bytes + 14, next);
    vd_put(vd, at, bytes, sizeof(bytes));
}

void vd_desc(struct virtio_driver *vd, unsigned index, uint16_t at, uint64_t address,
             uint32_t size_bytes, uint16_t flags, uint16_t next) {
    store_desc(vd, vd->queues[index].desc + at * 16u, address, size_bytes, flags, next);
}

uint16_t vd_chain(struct virtio_driver *vd, unsigned index, const struct vd_buffer *buffers,
                  unsigned count) {
    struct vd_queue *q = &vd->queues[index];
    uint16_t head = q->next_desc;

    for (unsigned i = 0; i < count; i++) {
        uint16_t at = q->next_desc;
        uint16_t next = (uint16_t)((at + 1) % q->size);
        uint16_t flags =
            (uint16_t)((buffers[i].writable ? VD_F_WRITE : 0) | (i + 1 < count ? VD_F_NEXT : 0));

        vd_desc(vd, index, at, buffers[i].gpa, buffers[i].size_bytes, flags, next);
        q->next_desc = next;
    }
    return head;
}

uint16_t vd_chain_indirect(struct virtio_driver *vd, unsigned index, uint64_t table_gpa,
                           const struct vd_buffer *buffers, unsigned count) {
    struct vd_queue *q = &vd->queues[index];
    uint16_t head = q->next_desc;

    for (unsigned i = 0; i < count; i++) {
        uint16_t flags =
            (uint16_t)((buffers[i].writable ? VD_F_WRITE : 0) | (i + 1 < count ? VD_F_NEXT : 0));

        store_desc(vd, table_gpa + i * 16u, buffers[i].gpa, buffers[i].size_bytes, flags,
                   (uint16_t)(i + 1));
    }
    vd_desc(vd, index, head, table_gpa, count * 16u, VD_F_INDIRECT, 0);
    q->next_desc = (uint16_t)((head + 1) % q->size);
    return head;
}

void vd_offer(struct virtio_driver *vd, unsigned index, uint16_t head) {
    struct vd_queue *q = &vd->queues[index];

    put16(vd, q->avail + 4 + (q->avail_idx % q->size) * 2u, head);
    q->avail_idx++;
    put16(vd, q->avail + 2, q->avail_idx);
}

void vd_kick(struct virtio_driver *vd, unsigned index) {
    fake_mmio_write(vd->m, vd->queues[index].notify, 2, index);
}

void vd_submit(struct virtio_driver *vd, unsigned index, uint16_t head) {
    vd_offer(vd, index, head);
    vd_kick(vd, index);
    CHECK(fake_loop_run(&vd->m->fl));
}

bool vd_used(struct virtio_driver *vd, unsigned index, struct vd_used *out) {
    struct vd_queue *q = &vd->queues[index];

    if (get16(vd, q->used + 2) == q->used_seen) {
        return false;
    }
    vd_get(vd, q->used + 4 + (q->used_seen % q->size) * 8u, out, sizeof(*out));
    q->used_seen++;
    return true;
}

void vd_set_used_event(struct virtio_driver *vd, unsigned index, uint16_t value) {
    put16(vd, vd->queues[index].avail + 4 + vd->queues[index].size * 2u, value);
}

uint16_t vd_avail_event(struct virtio_driver *vd, unsigned index) {
    return get16(vd, vd->queues[index].used + 4 + vd->queues[index].size * 8u);
}

void vd_set_avail_flags(struct virtio_driver *vd, unsigned index, uint16_t flags) {
    put16(vd, vd->queues[index].avail, flags);
}

uint16_t vd_used_flags(struct virtio_driver *vd, unsigned index) {
    return get16(vd, vd->queues[index].used);
}
