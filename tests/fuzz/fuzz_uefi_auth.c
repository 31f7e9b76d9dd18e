// SPDX-License-Identifier: MIT
//
// Fuzz target: hostile authenticated writes. The first byte says against what (setup mode, PK and
// KEK, a stored value) and which name; the rest is the payload, header and PKCS#7 and value.
// Nothing made up here is signed by the platform's keys, so that a success without setup mode is a
// finding, unless the payload is a vector as it was (the corpus has them).
#include "tests/support/uefi_vectors.h"

#include "userspace/uefi/pkcs7.h"
#include "userspace/uefi/siglist.h"

#include <stdlib.h>

#define SETUP_MODE 0x80u
#define APPEND     0x40u
#define STORED     0x20u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

/// What a signed payload may be: one of these, whole.
static bool is_vector(const uint8_t *payload, size_t size) {
    static const char *const files[] = {
        "pk-self.auth",       "pk-next.auth",     "pk-delete.auth",
        "kek-pk.auth",        "db-kek.auth",      "db-pk.auth",
        "db-later.auth",      "db-delete.auth",   "dbt.auth",
        "dbx1.auth",          "dbx-append.auth",  "dbx-append-later.auth",
        "db-attributes.auth", "db-smimecap.auth", "db-contentinfo.auth",
        "db-sha384.auth",     "db-sha512.auth",   "pad-good.auth",
        "sbvarsign.auth",     "efitools.auth",    "efitools-append.auth",
    };

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        const struct uefi_bytes good = vector(files[i]);

        if (good.size_bytes == size && memcmp(good.at, payload, size) == 0) {
            return true;
        }
    }
    return false;
}

static void parse_alone(const uint8_t *bytes, size_t size) {
    struct uefi_pkcs7 message;

    if (uefi_pkcs7_parse((struct uefi_bytes){bytes, size}, &message) == NULL) {
        require(message.certificate_count > 0 && message.signature.at >= bytes &&
                message.signature.at + message.signature.size_bytes <= bytes + size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"db", "PK", "KEK", "dbx", "dbt", "Mine", "db", "db"};
    struct uefi_auth_stored stored = {.attributes = VECTOR_KEY_ATTRIBUTES};
    struct vector_setting setting = {.pk = "pk.esl", .kek = "kek.esl"};
    struct uefi_auth_result result;
    const char *name;
    enum uefi_status status;
    size_t count;

    if (size < 1 || size > 0x10000) {
        return 0;
    }
    name = names[data[0] & 7];
    if (data[0] & SETUP_MODE) {
        setting.pk = NULL;
    }
    if (data[0] & STORED) {
        stored.value = vector("dbx1.esl");
        setting.stored = &stored;
    }
    status = vector_set(&setting, name, data[0] & APPEND ? VECTOR_APPEND : VECTOR_KEY_ATTRIBUTES,
                        (struct uefi_bytes){data + 1, size - 1}, &result);
    require((status == UEFI_SUCCESS) == (result.reason == NULL));
    if (status == UEFI_SUCCESS && strcmp(name, "Mine") != 0) {
        require(setting.pk == NULL || is_vector(data + 1, size - 1));
        require(uefi_siglist_check(result.value, &count) == NULL);
    }
    parse_alone(data + 1, size - 1);
    return 0;
}
