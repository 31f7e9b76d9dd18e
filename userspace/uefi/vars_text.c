// SPDX-License-Identifier: MIT
//
// Variables to JSON, GUIDs and names to text: see vars_json.h.
#include "userspace/uefi/vars_json.h"

#include "igvm/base/bytes.h"

#include <stdio.h>
#include <stdlib.h>

void uefi_guid_format(const struct uefi_guid *guid, char text[UEFI_GUID_TEXT_BYTES]) {
    const uint8_t *b = guid->bytes;

    snprintf(text, UEFI_GUID_TEXT_BYTES, "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             (unsigned)load_le32(b), (unsigned)load_le16(b + 4), (unsigned)load_le16(b + 6), b[8],
             b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

/// The next character of UTF-16LE; *off moves on. What is half of a pair stays what it is.
static uint32_t utf16_next(struct uefi_bytes name, size_t *off) {
    uint32_t c = load_le16(name.at + *off);

    *off += 2;
    if (c >= 0xD800 && c < 0xDC00 && *off + 2 <= name.size_bytes) {
        const uint32_t low = load_le16(name.at + *off);

        if (low >= 0xDC00 && low < 0xE000) {
            *off += 2;
            c = 0x10000u + ((c - 0xD800u) << 10) + (low - 0xDC00u);
        }
    }
    return c;
}

bool uefi_name_to_utf8(struct uefi_bytes name, char *text, size_t room_bytes) {
    size_t at = 0;

    for (size_t off = 0; off + 2 <= name.size_bytes;) {
        uint32_t c = utf16_next(name, &off);

        if (room_bytes - at < 5) {
            return false;
        }
        if (c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0xD800 && c < 0xE000)) {
            c = '?';
        }
        if (c < 0x80) {
            text[at++] = (char)c;
        } else if (c < 0x800) {
            text[at++] = (char)(0xC0u | c >> 6);
            text[at++] = (char)(0x80u | (c & 0x3Fu));
        } else if (c < 0x10000) {
            text[at++] = (char)(0xE0u | c >> 12);
            text[at++] = (char)(0x80u | (c >> 6 & 0x3Fu));
            text[at++] = (char)(0x80u | (c & 0x3Fu));
        } else {
            text[at++] = (char)(0xF0u | c >> 18);
            text[at++] = (char)(0x80u | (c >> 12 & 0x3Fu));
            text[at++] = (char)(0x80u | (c >> 6 & 0x3Fu));
            text[at++] = (char)(0x80u | (c & 0x3Fu));
        }
    }
    if (at == room_bytes) {
        return false;
    }
    text[at] = '\0';
    return true;
}

static void write_hex(FILE *out, const char *key, const uint8_t *bytes, size_t size_bytes) {
    static const char digits[] = "0123456789abcdef";

    fprintf(out, ",\n            \"%s\": \"", key);
    for (size_t i = 0; i < size_bytes; i++) {
        fputc(digits[bytes[i] >> 4], out);
        fputc(digits[bytes[i] & 15], out);
    }
    fputc('"', out);
}

static bool is_zero(const uint8_t *bytes, size_t size_bytes) {
    for (size_t i = 0; i < size_bytes; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

/// The name escaped where JSON or this format's other readers ask for it.
static void write_name(FILE *out, struct uefi_bytes name) {
    for (size_t off = 0; off + 2 <= name.size_bytes; off += 2) {
        const unsigned c = load_le16(name.at + off);

        if (c < 0x20 || c >= 0x7F || c == '"' || c == '\\') {
            fprintf(out, "\\u%04x", c);
        } else {
            fputc((int)c, out);
        }
    }
}

static void write_variable(FILE *out, const struct uefi_variable *variable) {
    char guid[UEFI_GUID_TEXT_BYTES];

    uefi_guid_format(&variable->guid, guid);
    fputs("        {\n            \"name\": \"", out);
    write_name(out, variable->name);
    fprintf(out, "\",\n            \"guid\": \"%s\",\n            \"attr\": %u", guid,
            (unsigned)variable->attributes);
    write_hex(out, "data", variable->value.at, variable->value.size_bytes);
    if (variable->attributes & UEFI_ATTR_TIME_AUTH) {
        write_hex(out, "time", variable->time, sizeof(variable->time));
    }
    if (!is_zero(variable->digest, sizeof(variable->digest))) {
        write_hex(out, "digest", variable->digest, sizeof(variable->digest));
    }
    fputs("\n        }", out);
}

char *uefi_json_write(const struct uefi_store *store, size_t *size_bytes) {
    const char *separator = "\n";
    char *text = NULL;
    FILE *out = open_memstream(&text, size_bytes);
    int failed;

    if (out == NULL) {
        return NULL;
    }
    fputs("{\n    \"version\": 2,\n    \"variables\": [", out);
    for (const struct uefi_variable *v = store->first; v != NULL; v = v->next) {
        if (v->attributes & UEFI_ATTR_NON_VOLATILE) {
            fputs(separator, out);
            write_variable(out, v);
            separator = ",\n";
        }
    }
    fputs(separator[0] == '\n' ? "]\n}\n" : "\n    ]\n}\n", out);
    failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}
