// SPDX-License-Identifier: MIT
//
// Fuzzing a virtio device.
#include "tests/support/fuzz_virtio.h"

#include "igvm/base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOT      1u
#define BAR_BASE  0xC0000000u
#define RING_BASE 0x10000u
#define DATA_BASE 0x80000u
#define MAX_OPS   400u

/// The machine is kept between inputs, making its memory anew costs more than the rest of a run:
/// fresh buses, loop and recorders, zeroed memory.
static struct fake_machine *fresh_machine(void) {
    static struct fake_machine *m;

    if (!m) {
        m = fake_machine_new();
        return m;
    }
    bus_free(m->pio);
    bus_free(m->mmio);
    m->pio = bus_new("pio", 0x10000);
    m->mmio = bus_new("mmio", UINT64_C(1) << 46);
    CHECK(m->pio && m->mmio);
    fake_loop_init(&m->fl, NULL, 0);
    memset(m->level, 0, sizeof(m->level));
    m->msi_count = 0;
    for (uint32_t i = 0; i < m->gm.region_count; i++) {
        memset(m->gm.regions[i].host, 0, gpa_range_bytes(m->gm.regions[i].gpa));
    }
    return m;
}

void fuzz_virtio_init(struct fuzz_virtio *fv) {
    struct pci_root_config root;

    fv->m = fresh_machine();
    fv->pio = fv->m->pio;
    fv->loops[0] = &fv->m->fl.loop;
    root = fake_pci_root_config(fv->m);
    CHECK(pci_root_init(&fv->root, &root) == 0);
}

struct virtio_config fuzz_virtio_config(struct fuzz_virtio *fv, const char *name) {
    return (struct virtio_config){
        .name = name, .gm = &fv->m->gm, .loops = fv->loops, .loop_count = 1};
}

struct virtio_pci_config fuzz_virtio_pci_config(struct fuzz_virtio *fv, const char *name) {
    return (struct virtio_pci_config){.name = name, .root = &fv->root, .slot = SLOT};
}

/// A well-behaved start, so that inputs get to the interesting part; nothing here may assume that
/// it works.
static void start(struct fuzz_virtio *fv, struct fuzz_input *in) {
    struct virtio_driver *vd = &fv->vd;
    uint64_t drop = fuzz_u32(in);
    uint16_t size = (uint16_t)(1u << (fuzz_u8(in) % 8));

    vd_probe(vd, fv->m, SLOT, BAR_BASE, RING_BASE);
    vd_write(vd, VD_STATUS, 1, 0);
    CHECK(fake_loop_run(&fv->m->fl));
    vd_write(vd, VD_STATUS, 1, 3);
    for (unsigned i = 0; i < 2; i++) {
        uint32_t offered;

        vd_write(vd, VD_DEVICE_FEATURE_SELECT, 4, i);
        offered = (uint32_t)vd_read(vd, VD_DEVICE_FEATURE, 4);
        vd_write(vd, VD_DRIVER_FEATURE_SELECT, 4, i);
        vd_write(vd, VD_DRIVER_FEATURE, 4, i ? offered : offered & ~(uint32_t)drop);
    }
    vd_write(vd, VD_STATUS, 1, 11);
    for (unsigned i = 0; i < fv->virtio->queue_count && i < VD_MAX_QUEUES; i++) {
        vd_setup_queue(vd, i, size);
    }
    vd_enable_msix(vd, fv->virtio->queue_count + 1u);
    vd_write(vd, VD_STATUS, 1, 15);
    CHECK(fake_loop_run(&fv->m->fl));
}

/// An address that is worth trying: data, rings, the border, a hole, the far end, anything.
static uint64_t pick_address(struct fuzz_input *in) {
    uint16_t low = fuzz_u16(in);

    switch (fuzz_u8(in) % 8) {
    case 0:
        return RING_BASE + low;
    case 1:
        return FAKE_RAM_BORDER - 256 + low % 512;
    case 2:
        return FAKE_RAM_END - 256 + low % 512;
    case 3:
        return FAKE_HIGH_START + low;
    case 4:
        return UINT64_MAX - low;
    default:
        return DATA_BASE + low;
    }
}

static void write_descriptor(struct fuzz_virtio *fv, struct fuzz_input *in) {
    unsigned q = fuzz_u8(in) % VD_MAX_QUEUES;
    uint16_t at = fuzz_u8(in);
    uint64_t address = pick_address(in);
    uint8_t kind = fuzz_u8(in);
    uint32_t len = kind & 0x80 ? fuzz_u32(in) : fuzz_u16(in);

    if (fv->vd.queues[q].size > 0) {
        vd_desc(&fv->vd, q, (uint16_t)(at % fv->vd.queues[q].size), address, len, kind & 7,
                kind & 0x40 ? fuzz_u16(in) : (uint16_t)(at + 1));
    }
}

/// A chain of a few buffers whose first holds bytes of the input (a header).
static void offer_chain(struct fuzz_virtio *fv, struct fuzz_input *in) {
    unsigned q = fuzz_u8(in) % VD_MAX_QUEUES;
    unsigned count = fuzz_u8(in) % 5 + 1;
    unsigned readable = fuzz_u8(in) % 6;
    struct vd_buffer buffers[6];
    uint8_t header[32];

    if (fv->vd.queues[q].size == 0) {
        return;
    }
    for (unsigned i = 0; i < sizeof(header); i++) {
        header[i] = fuzz_u8(in);
    }
    vd_put(&fv->vd, DATA_BASE, header, sizeof(header));
    buffers[0] = (struct vd_buffer){DATA_BASE, fuzz_u8(in) % 33, readable == 0};
    for (unsigned i = 1; i < count; i++) {
        buffers[i] = (struct vd_buffer){pick_address(in), fuzz_u16(in), i >= readable};
    }
    if (fuzz_u8(in) & 1) {
        vd_offer(&fv->vd, q, vd_chain(&fv->vd, q, buffers, count));
    } else {
        vd_offer(&fv->vd, q, vd_chain_indirect(&fv->vd, q, 0xF0000, buffers, count));
    }
    vd_kick(&fv->vd, q);
}

static void finished(void *ctx) {
    *(bool *)ctx = true;
}

static void pause_save_load(struct fuzz_virtio *fv, bool load) {
    struct device *device = &fv->virtio->device;
    bool done = false;
    size_t size;
    uint8_t *blob;

    pthread_mutex_lock(&device->lock);
    device->ops->pause(device->self, finished, &done);
    pthread_mutex_unlock(&device->lock);
    if (fv->release) {
        fv->release(fv->ctx);
    }
    CHECK(fake_loop_run(&fv->m->fl) && done);
    blob = fake_save(device, &size);
    if (load) {
        int r;

        fake_reset(fv->m, device);
        r = fake_load(device, blob, size);
        CHECK(r == 0); // what was saved can be loaded
    } else {
        pthread_mutex_lock(&device->lock);
        device->ops->resume(device->self);
        pthread_mutex_unlock(&device->lock);
    }
    free(blob);
}

/// Bytes of the input as a saved state.
static void load_garbage(struct fuzz_virtio *fv, struct fuzz_input *in) {
    size_t size = fuzz_u8(in);
    const uint8_t *blob = in->bytes;

    size = size < in->left ? size : in->left;
    in->bytes += size; // first: the device's backend takes from the input, too
    in->left -= size;
    fake_reset(fv->m, &fv->virtio->device);
    (void)fake_load(&fv->virtio->device, blob, size);
    CHECK(fake_loop_run(&fv->m->fl));
    fake_reset(fv->m, &fv->virtio->device);
}

static void step(struct fuzz_virtio *fv, struct fuzz_input *in) {
    static const uint8_t sizes[] = {1, 2, 4, 8};
    struct virtio_driver *vd = &fv->vd;
    uint8_t op = fuzz_u8(in);
    uint8_t size = sizes[op >> 6];
    uint8_t off;

    switch (op % 16) {
    case 0:
        off = fuzz_u8(in);
        vd_write(vd, off % 0x40, size, fuzz_u64(in));
        break;
    case 1:
        vd_read(vd, fuzz_u8(in) % 0x40, size);
        break;
    case 2:
        off = fuzz_u8(in);
        fake_mmio_write(fv->m, BAR_BASE + 0x3000 + off, size, fuzz_u16(in));
        break;
    case 3:
        off = fuzz_u8(in);
        vd_config_write(vd, off & ~3u, size == 8 ? 4 : size, fuzz_u32(in));
        break;
    case 4:
        vd_config_read(vd, fuzz_u8(in) & 0xFCu, size == 8 ? 4 : size);
        break;
    case 5:
        fake_mmio_write(fv->m, BAR_BASE + (fuzz_u16(in) & 0x1FFF8u), size, fuzz_u64(in));
        break;
    case 6:
        write_descriptor(fv, in);
        break;
    case 7:
        if (vd->queues[fuzz_u8(in) % VD_MAX_QUEUES].size > 0) {
            off = fuzz_u8(in);
            vd_put(vd, RING_BASE + fuzz_u8(in) % VD_MAX_QUEUES * 0x10000u + 0x4000 + off,
                   (uint16_t[]){fuzz_u16(in)}, 2);
        }
        break;
    case 8:
        CHECK(fake_loop_run(&fv->m->fl));
        break;
    case 9:
        CHECK(fake_loop_advance(&fv->m->fl, fuzz_u32(in) % 100000000u));
        break;
    case 10:
        fake_reset(fv->m, &fv->virtio->device);
        break;
    case 11:
        pause_save_load(fv, size == 8);
        break;
    case 12:
        start(fv, in);
        break;
    case 13:
        load_garbage(fv, in);
        break;
    case 14:
        offer_chain(fv, in);
        break;
    case 15:
        if (fv->action) {
            fv->action(fv->ctx, in);
        }
        break;
    }
}

void fuzz_virtio_run(struct fuzz_virtio *fv, struct fuzz_input *in) {
    vd_probe(&fv->vd, fv->m, SLOT, BAR_BASE, RING_BASE);
    for (unsigned i = 0; i < MAX_OPS && in->left > 0; i++) {
        step(fv, in);
    }
    fake_reset(fv->m, &fv->virtio->device);
    CHECK(vd_config_read(&fv->vd, PCI_VENDOR_ID, 2) == 0x1AF4);
}
