// SPDX-License-Identifier: MIT
//
// uefikeys: files that hold certificates (PEM, DER) or signature lists.
#include "tools/uefikeys/tool.h"

#include "userspace/uefi/auth_crypto.h"
#include "userspace/uefi/der.h"
#include "userspace/uefi/siglist.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----"
#define PEM_END   "-----END CERTIFICATE-----"

void uefikeys_say(const char *format, ...) {
    va_list list;

    va_start(list, format);
    fputs("uefikeys: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
}

uint8_t *uefikeys_read(const char *path, size_t *size_bytes) {
    FILE *in = fopen(path, "rb");
    uint8_t *bytes = malloc(UEFIKEYS_FILE_MAX_BYTES + 1);

    if (in == NULL || bytes == NULL) {
        uefikeys_say("%s: cannot open", path);
        goto fail;
    }
    *size_bytes = fread(bytes, 1, UEFIKEYS_FILE_MAX_BYTES + 1, in);
    if (ferror(in) || *size_bytes > UEFIKEYS_FILE_MAX_BYTES) {
        uefikeys_say("%s: cannot read, or larger than 32 MiB", path);
        goto fail;
    }
    bytes[*size_bytes] = 0; // a text ends here
    fclose(in);
    return bytes;
fail:
    if (in != NULL) {
        fclose(in);
    }
    free(bytes);
    return NULL;
}

static int base64_digit(uint8_t c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != 0 ? strchr(digits, c) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

/// Decodes [text, end) into out, which is large enough; white space and '=' are skipped. The size,
/// or 0.
static size_t base64(const uint8_t *text, const uint8_t *end, uint8_t *out) {
    uint32_t bits = 0;
    unsigned count = 0;
    size_t size = 0;

    for (; text < end; text++) {
        const int digit = base64_digit(*text);

        if (digit < 0) {
            if (strchr(" \t\r\n=", *text) == NULL) {
                return 0;
            }
            continue;
        }
        bits = bits << 6 | (uint32_t)digit;
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[size++] = (uint8_t)(bits >> count);
        }
    }
    return size;
}

/// Appends a list with one certificate.
static size_t add_certificate(uint8_t *out, const struct uefi_guid *owner, const uint8_t *der,
                              size_t der_bytes) {
    const uint32_t size = uefi_siglist_header(out, UEFI_SIG_X509, (uint32_t)der_bytes, 1);

    memcpy(out + UEFI_SIGLIST_HEADER_BYTES, owner, sizeof(*owner));
    memcpy(out + UEFI_SIGLIST_HEADER_BYTES + sizeof(*owner), der, der_bytes);
    return size;
}

/// All certificates of a PEM text. The size, 0 when one is broken or there is none.
static size_t from_pem(const char *text, const struct uefi_guid *owner, uint8_t *out,
                       uint8_t *der) {
    size_t size = 0;

    while ((text = strstr(text, PEM_BEGIN)) != NULL) {
        const char *end = strstr(text, PEM_END);
        size_t der_bytes;

        text += sizeof(PEM_BEGIN) - 1;
        if (end == NULL) {
            return 0;
        }
        der_bytes = base64((const uint8_t *)text, (const uint8_t *)end, der);
        if (der_bytes == 0) {
            return 0;
        }
        size += add_certificate(out + size, owner, der, der_bytes);
        text = end;
    }
    return size;
}

uint8_t *uefikeys_value(const char *path, const struct uefi_guid *owner, size_t *size_bytes) {
    size_t in_bytes, count;
    uint8_t *in = uefikeys_read(path, &in_bytes);
    // A certificate's list is at most 44 bytes larger than its DER, and PEM a third more than that.
    uint8_t *out = in != NULL ? calloc(3, in_bytes + 64) : NULL;
    struct cursor c = cursor_init(in, in != NULL ? in_bytes : 0);
    struct cursor contents;

    *size_bytes = 0;
    if (out != NULL && strstr((const char *)in, PEM_BEGIN) != NULL) {
        *size_bytes = from_pem((const char *)in, owner, out, out + 2 * (in_bytes + 64));
    } else if (out != NULL && der_take(&c, DER_SEQUENCE, &contents, NULL) && cursor_left(&c) == 0) {
        *size_bytes = add_certificate(out, owner, in, in_bytes);
    } else if (out != NULL &&
               uefi_siglist_check((struct uefi_bytes){in, in_bytes}, &count) == NULL) {
        memcpy(out, in, in_bytes);
        *size_bytes = in_bytes;
    }
    free(in);
    if (in != NULL && *size_bytes == 0) {
        uefikeys_say("%s: neither certificates (PEM, DER) nor signature lists", path);
    }
    if (*size_bytes == 0) {
        free(out);
        return NULL;
    }
    return out;
}
