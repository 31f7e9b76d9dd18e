// SPDX-License-Identifier: MIT
//
// Writing DER (der.h).
#include "userspace/der.h"

#include <string.h>

void der_raw(struct der *d, const void *bytes, size_t size_bytes) {
    if (d->full || size_bytes > d->room_bytes - d->used_bytes) {
        d->full = true;
        return;
    }
    d->used_bytes += size_bytes;
    memcpy(d->base + d->room_bytes - d->used_bytes, bytes, size_bytes);
}

void der_wrap(struct der *d, uint8_t tag, size_t mark) {
    size_t length = d->used_bytes - mark;
    uint8_t header[6] = {tag};
    unsigned size = 2;

    if (length < 0x80) {
        header[1] = (uint8_t)length;
    } else if (length < 0x100) {
        header[1] = 0x81;
        header[2] = (uint8_t)length;
        size = 3;
    } else if (length < 0x10000) {
        header[1] = 0x82;
        header[2] = (uint8_t)(length >> 8);
        header[3] = (uint8_t)length;
        size = 4;
    } else {
        d->full = true; // nothing here is that long
        return;
    }
    der_raw(d, header, size);
}

void der_value(struct der *d, uint8_t tag, const void *bytes, size_t size_bytes) {
    size_t mark = d->used_bytes;

    der_raw(d, bytes, size_bytes);
    der_wrap(d, tag, mark);
}

void der_integer(struct der *d, const uint8_t *bytes, size_t size_bytes) {
    static const uint8_t zero = 0;
    size_t mark = d->used_bytes;

    while (size_bytes > 1 && bytes[0] == 0) {
        bytes++;
        size_bytes--;
    }
    der_raw(d, bytes, size_bytes);
    if (size_bytes == 0 || (bytes[0] & 0x80)) {
        der_raw(d, &zero, 1); // the sign
    }
    der_wrap(d, DER_INTEGER, mark);
}

void der_small_integer(struct der *d, uint32_t value) {
    const uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                              (uint8_t)value};

    der_integer(d, bytes, sizeof(bytes));
}
