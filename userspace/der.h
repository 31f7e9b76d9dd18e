// SPDX-License-Identifier: MIT
//
// Writing DER (ITU-T X.690), from the end to the front: a value's length is known when its header
// is written, so nothing is measured twice or moved. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DER_INTEGER          0x02u
#define DER_BIT_STRING       0x03u
#define DER_OCTET_STRING     0x04u
#define DER_OID              0x06u
#define DER_UTF8_STRING      0x0Cu
#define DER_UTC_TIME         0x17u
#define DER_GENERALIZED_TIME 0x18u
#define DER_SEQUENCE         0x30u
#define DER_SET              0x31u
#define DER_CONTEXT(n)       (0x80u | (n)) ///< primitive
#define DER_EXPLICIT(n)      (0xA0u | (n)) ///< constructed

/// The last used_bytes of base[0, room_bytes) are written. full: something did not fit.
struct der {
    uint8_t *base;
    size_t room_bytes;
    size_t used_bytes;
    bool full;
};

static inline const uint8_t *der_bytes(const struct der *d) {
    return d->base + d->room_bytes - d->used_bytes;
}

/// Puts bytes in front of what is there.
void der_raw(struct der *d, const void *bytes, size_t size_bytes);
/// Makes everything written since used_bytes was mark the content of a value.
void der_wrap(struct der *d, uint8_t tag, size_t mark);
/// A whole primitive value.
void der_value(struct der *d, uint8_t tag, const void *bytes, size_t size_bytes);
/// An unsigned big-endian number of any length.
void der_integer(struct der *d, const uint8_t *bytes, size_t size_bytes);
void der_small_integer(struct der *d, uint32_t value);
