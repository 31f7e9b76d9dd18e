// SPDX-License-Identifier: MIT
//
// DER (ITU-T X.690) as PKCS#7 needs it: one element after the other from a bounded cursor. Strict:
// definite lengths in their shortest form, tags of one byte. Pure, no recursion.
#pragma once

#include "igvm/base/bytes.h"
#include "userspace/uefi/defs.h"

#define DER_INTEGER      0x02u
#define DER_BIT_STRING   0x03u
#define DER_OCTET_STRING 0x04u
#define DER_NULL         0x05u
#define DER_OID          0x06u
#define DER_SEQUENCE     0x30u
#define DER_SET          0x31u
#define DER_CONTEXT(n_)  (0xA0u | (n_)) // [n], constructed

/// Whether the next element has this tag. False at the end.
static inline bool der_is_next(const struct cursor *c, uint8_t tag) {
    return cursor_left(c) > 0 && c->base[c->off] == tag;
}

/// Takes the next element, which must have this tag. contents becomes a cursor over its contents,
/// whole (may be NULL) the element with its tag and length. False, nothing taken: not there, or not
/// DER.
bool der_take(struct cursor *c, uint8_t tag, struct cursor *contents, struct uefi_bytes *whole);

/// der_take() for an element whose contents are just bytes.
bool der_bytes(struct cursor *c, uint8_t tag, struct uefi_bytes *contents);

/// Takes an element that must be exactly these bytes, tag and length included.
bool der_exactly(struct cursor *c, const uint8_t *bytes, size_t size_bytes);
