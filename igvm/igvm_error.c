// SPDX-License-Identifier: MIT
//
// IGVM: errors, their text, and the checksum. No C library: this is linked into bare-metal
// programs.

#include "igvm/igvm.h"

#include "igvm/igvm_desc.h"

#include <errno.h>

static const char *const rule_texts[IGVM_RULE_COUNT] = {
#define IGVM_RULE_TEXT(name, text) [IGVM_RULE_##name] = (text),
    IGVM_RULES(IGVM_RULE_TEXT)
#undef IGVM_RULE_TEXT
};

const char *igvm_rule_text(enum igvm_rule rule) {
    return (unsigned)rule < IGVM_RULE_COUNT ? rule_texts[rule] : rule_texts[IGVM_RULE_NONE];
}

int igvm_fail(struct igvm_error *error, enum igvm_rule rule, uint32_t header_type,
              uint64_t offset) {
    *error = (struct igvm_error){
        .code = rule,
        .header_type = header_type,
        .offset = offset,
        .rule = igvm_rule_text(rule),
    };
    return -EINVAL;
}

/// Bounded text under construction: what does not fit is dropped, room for the terminator is kept.
struct text {
    char *out;
    size_t size;
    size_t used;
};

static void text_char(struct text *text, char c) {
    if (text->used + 1 < text->size) {
        text->out[text->used++] = c;
    }
}

static void text_string(struct text *text, const char *string) {
    for (; *string != '\0'; string++) {
        text_char(text, *string);
    }
}

static void text_hex(struct text *text, uint64_t value) {
    unsigned shift = 60;

    while (shift > 0 && value >> shift == 0) {
        shift -= 4;
    }
    text_string(text, "0x");
    for (;; shift -= 4) {
        text_char(text, "0123456789abcdef"[value >> shift & 0xf]);
        if (shift == 0) {
            return;
        }
    }
}

size_t igvm_error_format(const struct igvm_error *error, char *out, size_t size_bytes) {
    const struct igvm_header_desc *desc = igvm_desc_of_type(error->header_type);
    struct text text = {.out = out, .size = size_bytes, .used = 0};

    if (size_bytes == 0) {
        return 0;
    }
    if (desc != NULL) {
        text_string(&text, desc->name);
    } else if (error->header_type == IGVM_VHT_INVALID) {
        text_string(&text, "fixed header");
    } else {
        text_string(&text, "header of type ");
        text_hex(&text, error->header_type);
    }
    text_string(&text, " at file offset ");
    text_hex(&text, error->offset);
    text_string(&text, ": rule broken: ");
    text_string(&text, igvm_rule_text(error->code));
    out[text.used] = '\0';
    return text.used;
}

uint32_t igvm_crc32(uint32_t crc, const void *bytes, size_t size_bytes) {
    // Remainders of one nibble for the reflected polynomial 0xedb88320: 64 bytes instead of 1 KiB.
    static const uint32_t nibble[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    const uint8_t *p = bytes;

    crc = ~crc;
    for (size_t i = 0; i < size_bytes; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ nibble[crc & 0xf];
        crc = crc >> 4 ^ nibble[crc & 0xf];
    }
    return ~crc;
}
