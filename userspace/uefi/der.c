// SPDX-License-Identifier: MIT
//
// DER: see der.h. X.690 sections 8.1.2 (identifier), 8.1.3 and 10.1 (length).
#include "userspace/uefi/der.h"

#define LENGTH_LONG      0x80u // the low bits count the bytes that follow
#define LENGTH_BYTES_MAX 3u    // 16 MiB: far more than a message can hold

/// The length octets. Longer than needed, or indefinite: false.
static bool take_length(struct cursor *c, size_t *length) {
    uint8_t first;
    size_t value = 0;

    if (!cursor_u8(c, &first)) {
        return false;
    }
    if (first < LENGTH_LONG) {
        *length = first;
        return true;
    }
    if (first == LENGTH_LONG || first > LENGTH_LONG + LENGTH_BYTES_MAX) {
        return false;
    }
    for (unsigned left = first - LENGTH_LONG; left > 0; left--) {
        uint8_t next;

        if (!cursor_u8(c, &next)) {
            return false;
        }
        value = value << 8 | next;
    }
    // Shortest form: one byte only from 128 on, n bytes only when n - 1 do not suffice.
    if (value < LENGTH_LONG || value >> (8 * (first - LENGTH_LONG - 1)) == 0) {
        return false;
    }
    *length = value;
    return true;
}

bool der_take(struct cursor *c, uint8_t tag, struct cursor *contents, struct uefi_bytes *whole) {
    struct cursor at = *c;
    uint8_t found;
    size_t length;

    if (!cursor_u8(&at, &found) || found != tag || !take_length(&at, &length) ||
        !cursor_sub(&at, length, contents)) {
        return false;
    }
    if (whole != NULL) {
        *whole = (struct uefi_bytes){c->base + c->off, at.off - c->off};
    }
    *c = at;
    return true;
}

bool der_bytes(struct cursor *c, uint8_t tag, struct uefi_bytes *contents) {
    struct cursor in;

    if (!der_take(c, tag, &in, NULL)) {
        return false;
    }
    *contents = (struct uefi_bytes){in.base, in.size};
    return true;
}

bool der_exactly(struct cursor *c, const uint8_t *bytes, size_t size_bytes) {
    if (cursor_left(c) < size_bytes || memcmp(c->base + c->off, bytes, size_bytes) != 0) {
        return false;
    }
    return cursor_skip(c, size_bytes);
}
