// SPDX-License-Identifier: MIT
//
// VTL0's memory by address, length and copy.
//
// All functions resolve a range piece by piece through next_piece(); whoever must be all-or-nothing
// asks guest_memory_is_ram() first. The region table does not change while the machine runs.
#include "devices/guest_memory.h"

#include <errno.h>
#include <string.h>

int guest_memory_add(struct guest_memory *gm, struct gpa_range range, uint8_t *host) {
    uint32_t at = 0;

    // Ring indices are loaded atomically: the host side must be aligned as the guest side is.
    if (range.end <= range.start || !is_aligned(range.start, PAGE_SIZE_4K) ||
        !is_aligned(range.end, PAGE_SIZE_4K) || !is_aligned((uintptr_t)host, sizeof(uint64_t))) {
        return -EINVAL;
    }
    if (gm->region_count == GUEST_MEMORY_MAX_REGIONS) {
        return -ENOSPC;
    }
    for (uint32_t i = 0; i < gm->region_count; i++) {
        if (gpa_ranges_overlap(gm->regions[i].gpa, range)) {
            return -EEXIST;
        }
        if (gm->regions[i].gpa.start < range.start) {
            at = i + 1;
        }
    }
    memmove(&gm->regions[at + 1], &gm->regions[at],
            (gm->region_count - at) * sizeof(gm->regions[0]));
    gm->regions[at] = (struct guest_region){.gpa = range, .host = host};
    gm->region_count++;
    return 0;
}

/// The host bytes at `start` and how many of the wanted ones are contiguous there. False when start
/// is not RAM.
static bool next_piece(const struct guest_memory *gm, uint64_t start, uint64_t wanted_bytes,
                       uint8_t **host, uint64_t *piece_bytes) {
    for (uint32_t i = 0; i < gm->region_count; i++) {
        const struct guest_region *region = &gm->regions[i];

        if (start >= region->gpa.start && start < region->gpa.end) {
            uint64_t left = region->gpa.end - start;

            *host = region->host + (start - region->gpa.start);
            *piece_bytes = wanted_bytes < left ? wanted_bytes : left;
            return true;
        }
    }
    return false;
}

uint64_t guest_memory_low_end(const struct guest_memory *gm) {
    uint64_t end = 0;

    for (uint32_t i = 0; i < gm->region_count && gm->regions[i].gpa.start == end; i++) {
        end = gm->regions[i].gpa.end;
    }
    return end;
}

bool guest_memory_is_ram(const struct guest_memory *gm, gpa_t start, uint64_t size_bytes) {
    uint64_t at = start.value;
    uint64_t end;
    uint64_t piece;
    uint8_t *host;

    if (__builtin_add_overflow(start.value, size_bytes, &end)) {
        return false;
    }
    while (at < end) { // at most one step per region
        if (!next_piece(gm, at, end - at, &host, &piece)) {
            return false;
        }
        at += piece;
    }
    return true;
}

int guest_read(const struct guest_memory *gm, gpa_t from, void *to, size_t size_bytes) {
    uint8_t *out = to;
    uint64_t piece;
    uint8_t *host;

    if (!guest_memory_is_ram(gm, from, size_bytes)) {
        return -EFAULT;
    }
    while (size_bytes > 0 && next_piece(gm, from.value, size_bytes, &host, &piece)) {
        memcpy(out, host, piece);
        out += piece;
        from.value += piece;
        size_bytes -= piece;
    }
    return 0;
}

int guest_write(const struct guest_memory *gm, gpa_t to, const void *from, size_t size_bytes) {
    const uint8_t *in = from;
    uint64_t piece;
    uint8_t *host;

    if (!guest_memory_is_ram(gm, to, size_bytes)) {
        return -EFAULT;
    }
    while (size_bytes > 0 && next_piece(gm, to.value, size_bytes, &host, &piece)) {
        memcpy(host, in, piece);
        in += piece;
        to.value += piece;
        size_bytes -= piece;
    }
    return 0;
}

int guest_zero(const struct guest_memory *gm, gpa_t to, size_t size_bytes) {
    uint64_t piece;
    uint8_t *host;

    if (!guest_memory_is_ram(gm, to, size_bytes)) {
        return -EFAULT;
    }
    while (size_bytes > 0 && next_piece(gm, to.value, size_bytes, &host, &piece)) {
        memset(host, 0, piece);
        to.value += piece;
        size_bytes -= piece;
    }
    return 0;
}

/// Resolves a 16-bit cell. Regions are page-aligned, so an aligned cell lies in one of them.
static int locate_le16(const struct guest_memory *gm, gpa_t at, uint16_t **out) {
    uint64_t piece;
    uint8_t *host;

    if (!is_aligned(at.value, sizeof(uint16_t))) {
        return -EINVAL;
    }
    if (!next_piece(gm, at.value, sizeof(uint16_t), &host, &piece)) {
        return -EFAULT;
    }
    *out = __builtin_assume_aligned(host, sizeof(uint16_t));
    return 0;
}

static uint16_t swap_le16(uint16_t value) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap16(value);
#else
    return value;
#endif
}

int guest_load_le16(const struct guest_memory *gm, gpa_t from, uint16_t *out) {
    uint16_t *cell;
    int r = locate_le16(gm, from, &cell);

    if (r == 0) {
        *out = swap_le16(__atomic_load_n(cell, __ATOMIC_ACQUIRE));
    }
    return r;
}

int guest_store_le16(const struct guest_memory *gm, gpa_t to, uint16_t value) {
    uint16_t *cell;
    int r = locate_le16(gm, to, &cell);

    if (r == 0) {
        __atomic_store_n(cell, swap_le16(value), __ATOMIC_RELEASE);
    }
    return r;
}

int guest_spans(const struct guest_memory *gm, gpa_t start, uint64_t size_bytes, struct iovec *out,
                unsigned capacity) {
    unsigned count = 0;
    uint64_t piece;
    uint8_t *host;

    if (!guest_memory_is_ram(gm, start, size_bytes)) {
        return -EFAULT;
    }
    while (size_bytes > 0 && next_piece(gm, start.value, size_bytes, &host, &piece)) {
        if (count == capacity) {
            return -ENOSPC;
        }
        out[count++] = (struct iovec){.iov_base = host, .iov_len = piece};
        start.value += piece;
        size_bytes -= piece;
    }
    return (int)count;
}
