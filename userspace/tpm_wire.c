// SPDX-License-Identifier: MIT
//
// TPM 2.0 commands and responses as bytes (tpm_wire.h).
#include "userspace/tpm_wire.h"

#include <string.h>

#define HEADER_SIZE_OFF 2u

void tpm_wire_put_bytes(struct tpm_wire *w, const void *bytes, size_t size_bytes) {
    if (w->full || size_bytes > sizeof(w->bytes) - w->size_bytes) {
        w->full = true;
        return;
    }
    if (size_bytes != 0) {
        memcpy(w->bytes + w->size_bytes, bytes, size_bytes);
    }
    w->size_bytes += size_bytes;
}

void tpm_wire_put(struct tpm_wire *w, uint64_t value, unsigned size_bytes) {
    for (unsigned i = size_bytes; i-- > 0;) {
        uint8_t byte = (uint8_t)(value >> (8 * i));

        tpm_wire_put_bytes(w, &byte, 1);
    }
}

void tpm_wire_begin(struct tpm_wire *w, uint16_t tag, uint32_t code) {
    w->size_bytes = 0;
    w->full = false;
    tpm_wire_put(w, tag, 2);
    tpm_wire_put(w, 0, 4);
    tpm_wire_put(w, code, 4);
}

void tpm_wire_put_2b(struct tpm_wire *w, const void *bytes, uint16_t size_bytes) {
    tpm_wire_put(w, size_bytes, 2);
    tpm_wire_put_bytes(w, bytes, size_bytes);
}

void tpm_wire_put_password(struct tpm_wire *w, unsigned count) {
    tpm_wire_put(w, 9u * count, 4);
    for (unsigned i = 0; i < count; i++) {
        tpm_wire_put(w, TPM_RS_PW, 4);
        tpm_wire_put(w, 0, 2); // no nonce
        tpm_wire_put(w, 0, 1); // attributes
        tpm_wire_put(w, 0, 2); // the empty password
    }
}

size_t tpm_wire_open_2b(struct tpm_wire *w) {
    tpm_wire_put(w, 0, 2);
    return w->size_bytes;
}

void tpm_wire_close_2b(struct tpm_wire *w, size_t mark) {
    size_t size = w->size_bytes - mark;

    if (!w->full) {
        w->bytes[mark - 2] = (uint8_t)(size >> 8);
        w->bytes[mark - 1] = (uint8_t)size;
    }
}

bool tpm_wire_end(struct tpm_wire *w) {
    for (unsigned i = 0; i < 4; i++) {
        w->bytes[HEADER_SIZE_OFF + i] = (uint8_t)(w->size_bytes >> (8 * (3 - i)));
    }
    return !w->full;
}

bool tpm_wire_get(struct cursor *c, unsigned size_bytes, uint64_t *value) {
    uint8_t bytes[8];

    if (size_bytes > sizeof(bytes) || !cursor_copy(c, bytes, size_bytes)) {
        return false;
    }
    *value = 0;
    for (unsigned i = 0; i < size_bytes; i++) {
        *value = *value << 8 | bytes[i];
    }
    return true;
}

bool tpm_wire_get_2b(struct cursor *c, const uint8_t **bytes, size_t *size_bytes) {
    struct cursor at = *c;
    uint64_t size;

    if (!tpm_wire_get(&at, 2, &size) || !cursor_skip(&at, (size_t)size)) {
        return false;
    }
    *bytes = at.base + at.off - size;
    *size_bytes = (size_t)size;
    *c = at;
    return true;
}
