// SPDX-License-Identifier: MIT
//
// What may stand among keys: see keys.h.
#include "userspace/uefi/keys.h"

#include "userspace/uefi/auth_crypto.h"
#include "userspace/uefi/siglist.h"

#define KEY_ATTRIBUTES                                                                             \
    (UEFI_ATTR_NON_VOLATILE | UEFI_ATTR_BOOTSERVICE | UEFI_ATTR_RUNTIME | UEFI_ATTR_TIME_AUTH)

const char *uefi_keys_check(const struct uefi_variable *variable) {
    const bool verifies = uefi_name_is(variable->name, "PK") || uefi_name_is(variable->name, "KEK");
    struct uefi_siglist_walk walk;
    struct uefi_signature signature;
    const char *wrong = NULL;

    if (uefi_auth_rule(&variable->guid, variable->name) != UEFI_AUTH_KEY) {
        return "none of PK, KEK, db, dbx, dbt, dbr";
    }
    if (variable->attributes != KEY_ATTRIBUTES) {
        return "attr: not a key's, 39";
    }
    uefi_siglist_begin(&walk, variable->value);
    while (wrong == NULL && uefi_siglist_next(&walk, &signature)) {
        if (verifies) {
            wrong = signature.type == UEFI_SIG_X509 ? uefi_crypto_check_certificate(signature.data)
                                                    : "PK and KEK hold certificates only";
        }
    }
    return wrong != NULL ? wrong : walk.wrong;
}
