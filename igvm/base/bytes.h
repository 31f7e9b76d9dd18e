// SPDX-License-Identifier: MIT
//
// A bounded cursor over bytes that somebody else wrote, and little-endian loads and stores.
//
// Every parser of outside bytes (IGVM, device tree, ACPI, bzImage, TPM, SMBIOS, state blobs) reads
// through a cursor. An operation that does not fit returns false and leaves the cursor and the
// output unchanged, so a caller may try, fail and report the offset it stood at.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// [base, base + size) with a position; invariant: off <= size.
struct cursor {
    const uint8_t *base;
    size_t size;
    size_t off;
};

static inline uint16_t load_le16(const void *bytes) {
    const uint8_t *p = bytes;
    return (uint16_t)(p[0] | (uint16_t)(p[1] << 8));
}

static inline uint32_t load_le32(const void *bytes) {
    const uint8_t *p = bytes;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t load_le64(const void *bytes) {
    const uint8_t *p = bytes;
    return (uint64_t)load_le32(p) | (uint64_t)load_le32(p + 4) << 32;
}

static inline void store_le16(void *bytes, uint16_t value) {
    uint8_t *p = bytes;
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static inline void store_le32(void *bytes, uint32_t value) {
    uint8_t *p = bytes;
    store_le16(p, (uint16_t)value);
    store_le16(p + 2, (uint16_t)(value >> 16));
}

static inline void store_le64(void *bytes, uint64_t value) {
    uint8_t *p = bytes;
    store_le32(p, (uint32_t)value);
    store_le32(p + 4, (uint32_t)(value >> 32));
}

static inline uint32_t load_be32(const void *bytes) {
    return __builtin_bswap32(load_le32(bytes));
}

static inline uint64_t load_be64(const void *bytes) {
    return __builtin_bswap64(load_le64(bytes));
}

static inline struct cursor cursor_init(const void *base, size_t size_bytes) {
    return (struct cursor){.base = base, .size = size_bytes, .off = 0};
}

static inline size_t cursor_left(const struct cursor *c) {
    return c->size - c->off;
}

/// Moves on by count bytes without looking at them.
static inline bool cursor_skip(struct cursor *c, size_t count) {
    if (count > cursor_left(c)) {
        return false;
    }
    c->off += count;
    return true;
}

/// Goes to an absolute offset; off == size (the end) is allowed.
static inline bool cursor_seek(struct cursor *c, size_t off) {
    if (off > c->size) {
        return false;
    }
    c->off = off;
    return true;
}

/// Hands out a pointer to the next count bytes and moves on. The bytes stay owned by the buffer:
/// where its writer may still be running, copy with cursor_copy() instead.
static inline bool cursor_take(struct cursor *c, size_t count, const uint8_t **out) {
    if (count > cursor_left(c)) {
        return false;
    }
    *out = c->base + c->off;
    c->off += count;
    return true;
}

static inline bool cursor_copy(struct cursor *c, void *out, size_t count) {
    const uint8_t *from;

    if (!cursor_take(c, count, &from)) {
        return false;
    }
    __builtin_memcpy(out, from, count);
    return true;
}

/// A cursor of its own over the next count bytes; c moves past them.
static inline bool cursor_sub(struct cursor *c, size_t count, struct cursor *out) {
    const uint8_t *from;

    if (!cursor_take(c, count, &from)) {
        return false;
    }
    *out = cursor_init(from, count);
    return true;
}

static inline bool cursor_u8(struct cursor *c, uint8_t *out) {
    const uint8_t *p;

    if (!cursor_take(c, 1, &p)) {
        return false;
    }
    *out = p[0];
    return true;
}

static inline bool cursor_le16(struct cursor *c, uint16_t *out) {
    const uint8_t *p;

    if (!cursor_take(c, 2, &p)) {
        return false;
    }
    *out = load_le16(p);
    return true;
}

static inline bool cursor_le32(struct cursor *c, uint32_t *out) {
    const uint8_t *p;

    if (!cursor_take(c, 4, &p)) {
        return false;
    }
    *out = load_le32(p);
    return true;
}

static inline bool cursor_le64(struct cursor *c, uint64_t *out) {
    const uint8_t *p;

    if (!cursor_take(c, 8, &p)) {
        return false;
    }
    *out = load_le64(p);
    return true;
}

/// Moves to the next multiple of align (a power of two) from the buffer's start.
static inline bool cursor_align(struct cursor *c, size_t align) {
    size_t rest = c->off & (align - 1);

    return rest == 0 || cursor_skip(c, align - rest);
}
