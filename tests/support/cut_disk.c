// SPDX-License-Identifier: MIT
//
// A disk with a volatile write cache whose power can be cut.

#include "tests/support/cut_disk.h"

#include <errno.h>
#include <string.h>

uint64_t cut_disk_random(struct cut_disk *disk) {
    uint64_t z = disk->seed += 0x9e3779b97f4a7c15ull; // splitmix64

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static bool is_inside(const struct cut_disk *disk, uint64_t off, size_t size_bytes) {
    const uint64_t end = (uint64_t)disk->block_count * VMGS_BLOCK_BYTES;

    return off % disk->sector_bytes == 0 && size_bytes % disk->sector_bytes == 0 && off <= end &&
           size_bytes <= end - off;
}

static int on_read(void *context, uint64_t off, void *out, size_t size_bytes) {
    struct cut_disk *disk = context;

    if (disk->dead || !is_inside(disk, off, size_bytes)) {
        return -EIO;
    }
    memcpy(out, disk->cache + off, size_bytes);
    return 0;
}

/// Whether the power goes at this step.
static bool step(struct cut_disk *disk) {
    disk->dead = disk->dead || disk->steps == disk->cut_at;
    disk->steps++;
    return disk->dead;
}

static int on_write(void *context, uint64_t off, const void *bytes, size_t size_bytes) {
    struct cut_disk *disk = context;
    const uint8_t *from = bytes;

    if (disk->dead || !is_inside(disk, off, size_bytes)) {
        return -EIO;
    }
    // Pieces of 512 bytes also on a disk with larger sectors: that much more is torn.
    for (size_t done = 0; done < size_bytes; done += 512) {
        const uint32_t idx = disk->pending_count;

        if (idx == CUT_DISK_MAX_PENDING) {
            return -EIO;
        }
        memcpy(disk->pool + (size_t)idx * 512, from + done, 512);
        disk->pending_off[idx] = off + done;
        disk->pending_count++;
    }
    memcpy(disk->cache + off, bytes, size_bytes);
    return step(disk) ? -EIO : 0;
}

static int on_flush(void *context) {
    struct cut_disk *disk = context;

    if (step(disk)) {
        return -EIO;
    }
    if (!disk->lies) {
        memcpy(disk->medium, disk->cache, (size_t)disk->block_count * VMGS_BLOCK_BYTES);
        disk->pending_count = 0;
    }
    return 0;
}

static int on_random(void *context, void *out, size_t size_bytes) {
    struct cut_disk *disk = context;
    uint8_t *to = out;

    for (size_t i = 0; i < size_bytes; i++) {
        to[i] = (uint8_t)cut_disk_random(disk);
    }
    return 0;
}

void cut_disk_init(struct cut_disk *disk, uint32_t block_count, uint32_t sector_bytes,
                   uint64_t seed) {
    memset(disk->medium, 0, sizeof(disk->medium));
    memset(disk->cache, 0, sizeof(disk->cache));
    disk->pending_count = 0;
    disk->steps = 0;
    disk->dead = false;
    disk->lies = false;
    disk->block_count = block_count;
    disk->sector_bytes = sector_bytes;
    disk->seed = seed;
    disk->cut_at = CUT_DISK_NEVER;
}

struct vmgs_disk cut_disk_ops(struct cut_disk *disk) {
    return (struct vmgs_disk){
        .context = disk,
        .read = on_read,
        .write = on_write,
        .flush = on_flush,
        .random = on_random,
        .size_bytes = (uint64_t)disk->block_count * VMGS_BLOCK_BYTES,
        .sector_bytes = disk->sector_bytes,
    };
}

void cut_disk_restart(struct cut_disk *disk) {
    // A random order; each one with a chance of a half, an eighth of those torn.
    for (uint32_t left = disk->pending_count; left > 0; left--) {
        const uint32_t pick = (uint32_t)(cut_disk_random(disk) % left);
        const uint64_t luck = cut_disk_random(disk);
        const size_t size = (luck & 0x10) != 0 || (luck & 0xe) != 0 ? 512 : luck >> 32 & 511;
        uint8_t *sector = disk->pool + (size_t)pick * 512;

        if ((luck & 1) != 0) {
            memcpy(disk->medium + disk->pending_off[pick], sector, size);
        }
        memcpy(sector, disk->pool + (size_t)(left - 1) * 512, 512);
        disk->pending_off[pick] = disk->pending_off[left - 1];
    }
    memcpy(disk->cache, disk->medium, (size_t)disk->block_count * VMGS_BLOCK_BYTES);
    disk->pending_count = 0;
    disk->cut_at = CUT_DISK_NEVER;
    disk->dead = false;
}

void cut_disk_copy(struct cut_disk *to, const struct cut_disk *from, uint64_t seed) {
    const size_t used = (size_t)from->block_count * VMGS_BLOCK_BYTES;

    memcpy(to->medium, from->medium, used);
    memcpy(to->cache, from->cache, used);
    memcpy(to->pool, from->pool, (size_t)from->pending_count * 512);
    memcpy(to->pending_off, from->pending_off, from->pending_count * sizeof(to->pending_off[0]));
    to->pending_count = from->pending_count;
    to->block_count = from->block_count;
    to->sector_bytes = from->sector_bytes;
    to->seed = seed;
    to->steps = from->steps;
    to->cut_at = from->cut_at;
    to->dead = from->dead;
    to->lies = from->lies;
}
