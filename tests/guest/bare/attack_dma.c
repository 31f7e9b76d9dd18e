// SPDX-License-Identifier: MIT
//
// Memory that a device is told to access: buffers, tables and rings outside the guest's RAM. The
// device must neither bring VTL2's memory into the guest (the disk is its scratch pad) nor write
// there; it says DEVICE_NEEDS_RESET or an error, and works again after its reset.

#include "tests/guest/bare/attack.h"
#include "tests/guest/bare/virtio.h"

#define SECTOR  512u
#define BLK_IN  0u
#define BLK_OUT 1u
#define BLK_OK  0u
#define UNTAKEN 0xeeu
#define PATTERN 0x5a5a5a5a5a5a5a5aull
#define WAIT_US 20000u ///< for an answer that may never come
#define GOOD_US 500000u

static struct rings rings __attribute__((aligned(4096)));
static struct {
    uint32_t type, reserved;
    uint64_t sector;
} request __attribute__((aligned(16)));
static uint8_t data[SECTOR * 2] __attribute__((aligned(4096)));
static volatile uint8_t blk_status;

static uint64_t gpa_of(const volatile void *p) {
    return (uint64_t)(uintptr_t)p; // one to one
}

static void clear_rings(void) {
    uint8_t *bytes = (uint8_t *)&rings;
    for (size_t i = 0; i < sizeof(rings); i++) {
        bytes[i] = 0;
    }
    blk_status = UNTAKEN;
}

static void set(unsigned i, uint64_t gpa, uint32_t bytes, uint16_t flags) {
    rings.desc[i] = (struct descriptor){gpa, bytes, flags, (uint16_t)(i + 1)};
}

/// Offers chain 0. Waits until it is used or the device gives up. Whether it was used.
static int offer(const struct virtio_device *device, uint32_t limit_us) {
    volatile uint16_t *used = &rings.used.idx;
    rings.avail.ring[0] = 0;
    __atomic_store_n(&rings.avail.idx, 1, __ATOMIC_SEQ_CST);
    virtio_kick(device);
    for (uint32_t us = 0; us < limit_us && *used == 0; us += 200) {
        if (virtio_status(device) & STATUS_NEEDS_RESET) {
            break;
        }
        wait_us(200);
    }
    return *used != 0;
}

static void start_good(const struct virtio_device *device) {
    clear_rings();
    virtio_start(device, gpa_of(rings.desc), gpa_of(&rings.avail), gpa_of(&rings.used));
}

static int disk_request(const struct virtio_device *device, uint32_t type, uint64_t gpa,
                        uint32_t bytes, uint32_t limit_us) {
    start_good(device);
    request.type = type;
    request.sector = 8;
    set(0, gpa_of(&request), 16, DESC_NEXT);
    set(1, gpa, bytes, DESC_NEXT | (type == BLK_IN ? DESC_WRITE : 0));
    set(2, gpa_of(&blk_status), 1, DESC_WRITE);
    return offer(device, limit_us);
}

/// What attacks aim at, beside the targets: registers, the ends of memory, wrapping addresses.
static unsigned all_targets(uint64_t out[32]) {
    static const uint64_t others[] = {
        0xfee00000u,           // local APIC
        0xfec00000u,           // IOAPIC
        0xfed40000u,           // TPM
        0xc0000000u,           // a device's own BAR
        0xfffbd000u,           // where KVM keeps a task state
        0x100000000ull,        // 4 GiB: no RAM there in a small machine
        0x0000fffffffff000ull, // the end of what is addressed
        0x8000000000000000ull, 0xfffffffffffff000ull,
    };
    unsigned count = 0;
    for (; count < target_count; count++) {
        out[count] = targets[count];
    }
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        out[count++] = others[i];
    }
    return count;
}

/// Whether the disk reads and writes as it should.
static int disk_works(const struct virtio_device *device) {
    for (unsigned i = 0; i < SECTOR; i++) {
        data[i] = (uint8_t)(i * 7 + 1);
    }
    if (!disk_request(device, BLK_OUT, gpa_of(data), SECTOR, GOOD_US) || blk_status != BLK_OK) {
        return 0;
    }
    for (unsigned i = 0; i < SECTOR; i++) {
        data[i] = 0;
    }
    if (!disk_request(device, BLK_IN, gpa_of(data), SECTOR, GOOD_US) || blk_status != BLK_OK) {
        return 0;
    }
    for (unsigned i = 0; i < SECTOR; i++) {
        if (data[i] != (uint8_t)(i * 7 + 1)) {
            return 0;
        }
    }
    return 1;
}

/// Foreign memory to the disk and back: what would be a leak. And the disk's into foreign memory.
ATTACK(dma_disk, ATTACK_ANY) {
    struct virtio_device disk;
    uint64_t at[32], taken = 0, tried = 0, where = 0;
    unsigned count = all_targets(at);
    if (!virtio_find(&disk, VIRTIO_BLK)) {
        VERDICT(0, "dma_disk no disk, #", 0);
        return;
    }
    int before = disk_works(&disk);
    for (unsigned i = 0; i < count; i++) {
        for (uint32_t type = BLK_IN; type <= BLK_OUT; type++) {
            // From the page's start; across its start; more than there is.
            const uint64_t starts[] = {at[i], at[i] - SECTOR, at[i]};
            const uint32_t sizes[] = {SECTOR, 2 * SECTOR, 0xfffffe00u};
            for (unsigned k = 0; k < 3; k++) {
                int used = disk_request(&disk, type, starts[k], sizes[k], WAIT_US);
                tried++;
                if (used && blk_status == BLK_OK) {
                    taken++;
                    where = starts[k] | type;
                }
            }
        }
    }
    int after = disk_works(&disk);
    VERDICT(before && after && taken == 0,
            "dma_disk # requests, # accepted, last $, disk works # before, # after", tried, taken,
            where, (uint64_t)before, (uint64_t)after);
}

/// The request's header and status outside RAM.
ATTACK(dma_disk_header, ATTACK_ANY) {
    struct virtio_device disk;
    uint64_t at[32], taken = 0;
    unsigned count = all_targets(at);
    if (!virtio_find(&disk, VIRTIO_BLK)) {
        VERDICT(0, "dma_disk_header no disk, #", 0);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        for (unsigned which = 0; which < 2; which++) {
            start_good(&disk);
            request.type = BLK_IN;
            request.sector = 0;
            set(0, which == 0 ? at[i] : gpa_of(&request), 16, DESC_NEXT);
            set(1, gpa_of(data), SECTOR, DESC_NEXT | DESC_WRITE);
            set(2, which == 1 ? at[i] : gpa_of(&blk_status), 1, DESC_WRITE);
            taken += offer(&disk, WAIT_US) && (which == 1 || blk_status == BLK_OK);
        }
    }
    int works = disk_works(&disk);
    VERDICT(works && taken == 0, "dma_disk_header # accepted, disk works #", taken,
            (uint64_t)works);
}

/// The entropy device fills a buffer: a chain, an indirect table, or a ring area elsewhere.
static int rng_round(const struct virtio_device *rng, unsigned kind, uint64_t at) {
    static uint64_t bytes[8];
    uint64_t areas[3] = {gpa_of(rings.desc), gpa_of(&rings.avail), gpa_of(&rings.used)};
    clear_rings();
    if (kind < 3) {
        areas[kind] = at;
    }
    virtio_start(rng, areas[0], areas[1], areas[2]);
    set(0, gpa_of(bytes), sizeof(bytes), DESC_WRITE);
    if (kind == 3) {
        set(0, at, sizeof(bytes), DESC_WRITE);
    } else if (kind == 4) {
        set(0, at, 3 * sizeof(struct descriptor), DESC_INDIRECT);
    } else if (kind == 5) {
        rings.indirect[0] = (struct descriptor){at, sizeof(bytes), DESC_WRITE, 0};
        set(0, gpa_of(rings.indirect), sizeof(struct descriptor), DESC_INDIRECT);
    }
    return offer(rng, WAIT_US);
}

ATTACK(dma_rings, ATTACK_ANY) {
    struct virtio_device rng;
    uint64_t at[32], taken = 0, tried = 0, where = 0;
    unsigned count = all_targets(at);
    if (!virtio_find(&rng, VIRTIO_RNG)) {
        VERDICT(0, "dma_rings no entropy device, #", 0);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        for (unsigned kind = 0; kind < 6; kind++) {
            // At the address and across its start (rings are aligned to 16 bytes).
            for (unsigned across = 0; across < 2; across++) {
                tried++;
                if (rng_round(&rng, kind, at[i] - 16 * across)) {
                    taken++;
                    where = at[i] | kind | across << 4;
                }
            }
        }
    }
    int works = rng_round(&rng, 6, 0);
    VERDICT(works && taken == 0, "dma_rings # rounds, # accepted, last $, works after #", tried,
            taken, where, (uint64_t)works);
}

/// Chains that have no end, point outside their tables, or are of the wrong kind.
ATTACK(dma_chains, ATTACK_ANY) {
    struct virtio_device rng;
    uint64_t taken = 0;
    if (!virtio_find(&rng, VIRTIO_RNG)) {
        VERDICT(0, "dma_chains no entropy device, #", 0);
        return;
    }
    for (unsigned kind = 0; kind < 9; kind++) {
        start_good(&rng);
        set(0, gpa_of(data), 16, DESC_WRITE | DESC_NEXT);
        rings.desc[0].next = kind == 0 ? 0 : kind == 1 ? RING_SIZE : 0xffff;
        if (kind == 3) {
            set(0, gpa_of(rings.indirect), 0x7fffffff, DESC_INDIRECT);
        } else if (kind == 4) { // a table in a table
            rings.indirect[0] = (struct descriptor){gpa_of(rings.indirect), 16, DESC_INDIRECT, 0};
            set(0, gpa_of(rings.indirect), 16, DESC_INDIRECT);
        } else if (kind == 5) { // a loop in a table
            rings.indirect[0] = (struct descriptor){gpa_of(data), 16, DESC_WRITE | DESC_NEXT, 0};
            set(0, gpa_of(rings.indirect), 16, DESC_INDIRECT);
        } else if (kind == 6) { // the ring of used buffers as a buffer
            set(0, gpa_of(&rings.used), 0xffffffff, DESC_WRITE);
        } else if (kind == 7) { // nothing at all
            set(0, gpa_of(data), 0, DESC_WRITE);
        } else if (kind == 8) { // more chains than there are entries
            set(0, gpa_of(data), 16, DESC_WRITE);
            rings.avail.idx = 0x7fff;
            virtio_kick(&rng);
        }
        taken += offer(&rng, WAIT_US) && kind != 8;
    }
    int works = rng_round(&rng, 6, 0);
    VERDICT(works && taken == 0, "dma_chains # accepted, works after #", taken, (uint64_t)works);
}

// ---- changing what the device reads ------------------------------------------------------------

/// VP 1: between good and bad, as fast as it can.
static void flip(void *argument) {
    (void)argument;
    volatile struct rings *r = &rings;
    uint64_t bad = targets[target_count / 2], good = gpa_of(data);
    while (!other_stop) {
        for (unsigned i = 0; i < 3; i++) {
            r->desc[i].gpa = bad;
            r->desc[i].bytes = 0xfffff000;
            r->indirect[i].gpa = bad;
            r->desc[i].flags ^= DESC_INDIRECT;
            r->desc[i].next ^= 0x8000;
            r->avail.ring[i] ^= 0x4000;
            r->desc[i].gpa = good;
            r->desc[i].bytes = SECTOR;
            r->indirect[i].gpa = good;
            r->desc[i].flags ^= DESC_INDIRECT;
            r->desc[i].next ^= 0x8000;
            r->avail.ring[i] ^= 0x4000;
        }
        r->avail.idx++;
        r->used.idx = 0x5555;
    }
}

static void race(const struct virtio_device *device, int is_disk) {
    start_good(device);
    set(0, is_disk ? gpa_of(&request) : gpa_of(data), 16, is_disk ? DESC_NEXT : DESC_WRITE);
    set(1, gpa_of(data), SECTOR, DESC_NEXT | DESC_WRITE);
    set(2, gpa_of(&blk_status), 1, DESC_WRITE);
    for (unsigned i = 0; i < RING_SIZE; i++) {
        rings.indirect[i] =
            (struct descriptor){gpa_of(data), 16, DESC_WRITE | DESC_NEXT, (uint16_t)(i + 1)};
    }
    for (unsigned i = 0; i < 12; i++) {
        rings.avail.idx++;
        virtio_kick(device);
    }
}

ATTACK(dma_race, ATTACK_OTHER) {
    struct virtio_device rng, disk;
    uint64_t rounds = 0;
    int found = virtio_find(&disk, VIRTIO_BLK) && virtio_find(&rng, VIRTIO_RNG);
    if (!found || !other_start(flip, NULL)) {
        VERDICT(0, "dma_race devices #, no second VP", (uint64_t)found);
        return;
    }
    for (; rounds < 60; rounds++) {
        race(&disk, 1);
        race(&rng, 0);
    }
    other_stop = 1;
    int ended = other_wait();
    virtio_reset(&disk);
    virtio_reset(&rng);
    int works = disk_works(&disk) && rng_round(&rng, 6, 0);
    VERDICT(works && ended, "dma_race # rounds against a VP that changes all rings, works after #",
            rounds, (uint64_t)works);
}

/// A device that is reset, moved and switched off while its queue is served.
static void toggle(void *argument) {
    const struct virtio_device *device = argument;
    while (!other_stop) {
        virtio_kick(device);
        *(volatile uint8_t *)(uintptr_t)(device->common + 0x14) = 0;
        virtio_kick(device);
    }
}

ATTACK(dma_reset_race, ATTACK_OTHER) {
    struct virtio_device disk;
    if (!virtio_find(&disk, VIRTIO_BLK) || !other_start(toggle, &disk)) {
        VERDICT(0, "dma_reset_race no disk or no second VP, #", 0);
        return;
    }
    for (unsigned i = 0; i < 60; i++) {
        race(&disk, 1);
        pci_write(disk.function, 4, i & 1 ? 6 : 2); // bus mastering off and on
        uint32_t bar = pci_read(disk.function, 0x10);
        pci_write(disk.function, 0x10, i & 1 ? 0xfee00000u : (uint32_t)targets[0]);
        pci_write(disk.function, 0x10, bar);
    }
    other_stop = 1;
    int ended = other_wait();
    pci_write(disk.function, 4, 6);
    int works = disk_works(&disk);
    VERDICT(works && ended, "dma_reset_race disk works after #", (uint64_t)works);
}
