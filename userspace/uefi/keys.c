// SPDX-License-Identifier: MIT
//
// Keys for a new store: see keys.h.
#include "userspace/uefi/keys.h"

#include <errno.h>

/// All or nothing for the caller: it throws the engine away when this fails half-way.
static int put_all(struct uefi_engine *engine, const struct uefi_store *keys,
                   struct uefi_json_error *error) {
    bool has_pk = false;

    for (const struct uefi_variable *v = keys->first; v != NULL; v = v->next) {
        int r;

        error->variable++;
        error->why = uefi_keys_check(v);
        if (error->why != NULL) {
            return -EBADMSG;
        }
        has_pk = has_pk || uefi_name_is(v->name, "PK");
        r = uefi_engine_preset(engine, &v->guid, v->name, v->attributes, v->value, v->time);
        if (r != 0) {
            error->why = "no room for it";
            return r;
        }
    }
    error->variable = -1;
    error->why = has_pk ? NULL : "no PK among the keys";
    return has_pk ? 0 : -EBADMSG;
}

int uefi_keys_provision(struct uefi_engine *engine, const char *text, size_t size_bytes,
                        struct uefi_json_error *error) {
    struct uefi_store keys = {.first = NULL};
    int r = uefi_json_read(&keys, text, size_bytes, error);

    if (r == 0) {
        r = put_all(engine, &keys, error);
    }
    uefi_store_clear(&keys);
    return r == 0 ? uefi_engine_reset(engine) : r;
}
