// SPDX-License-Identifier: MIT
//
// Secure Boot's state variables in the store: what auth.h computes from the keys that are enrolled
// is put there past all checks, at each start and whenever a key changes it.

#include "userspace/uefi/engine.h"

#include <errno.h>

static const struct uefi_guid global = UEFI_GUID_GLOBAL;
static const struct uefi_guid image_security = UEFI_GUID_IMAGE_SECURITY;
static const struct uefi_guid secure_boot_enable = UEFI_GUID_SECURE_BOOT_ENABLE;

#define NAME_MAX_CHARS 32u

/// ASCII to a name in room.
static struct uefi_bytes name_of(const char *text, uint8_t room[2 * NAME_MAX_CHARS]) {
    size_t length = strlen(text);

    length = length < NAME_MAX_CHARS ? length : NAME_MAX_CHARS;
    for (size_t i = 0; i < length; i++) {
        room[2 * i] = (uint8_t)text[i];
        room[2 * i + 1] = 0;
    }
    return (struct uefi_bytes){.at = room, .size_bytes = 2 * length};
}

static struct uefi_variable *find(const struct uefi_engine *e, const struct uefi_guid *guid,
                                  const char *name) {
    uint8_t room[2 * NAME_MAX_CHARS];

    return uefi_store_find(&e->store, guid, name_of(name, room));
}

struct uefi_bytes uefi_state_key(const struct uefi_engine *e, const char *name) {
    bool is_global = strcmp(name, "PK") == 0 || strcmp(name, "KEK") == 0;
    const struct uefi_variable *v = find(e, is_global ? &global : &image_security, name);

    struct uefi_bytes none = {.size_bytes = 0};

    return v == NULL ? none : v->value;
}

bool uefi_state_follows(const struct uefi_guid *guid, struct uefi_bytes name) {
    return (uefi_guid_equal(guid, &global) && uefi_name_is(name, "PK")) ||
           (uefi_guid_equal(guid, &secure_boot_enable) && uefi_name_is(name, "SecureBootEnable"));
}

/// One state variable into the store. Nothing is allocated when its size stays.
static int put(struct uefi_engine *e, const struct uefi_auth_state_variable *s) {
    uint8_t room[2 * NAME_MAX_CHARS];
    struct uefi_bytes name = name_of(s->name, room);
    struct uefi_variable *old = uefi_store_find(&e->store, &s->guid, name);
    struct uefi_variable *v = NULL;

    if (s->value_bytes != 0 && old != NULL && old->attributes == s->attributes &&
        old->value.size_bytes == s->value_bytes) {
        memcpy(old->bytes + old->name.size_bytes, s->value, s->value_bytes);
        return 0;
    }
    if (s->value_bytes != 0) {
        v = uefi_variable_new(&s->guid, name, s->attributes,
                              (struct uefi_bytes){.at = s->value, .size_bytes = s->value_bytes},
                              NULL, NULL);
        if (v == NULL) {
            return -ENOMEM;
        }
    }
    if (old != NULL || v != NULL) {
        uefi_store_replace(&e->store, old, v);
        uefi_variable_free(old);
    }
    return 0;
}

int uefi_state_apply(struct uefi_engine *e, bool at_reset) {
    struct uefi_auth_state_variable variables[UEFI_AUTH_STATE_MAX];
    const struct uefi_variable *enable = find(e, &secure_boot_enable, "SecureBootEnable");
    const struct uefi_auth_state_input input = {
        .pk_present = uefi_state_key(e, "PK").size_bytes != 0,
        .at_reset = at_reset,
        .secure_boot_enable = enable == NULL ? -1 : enable->value.at[0] != 0,
        .secure_boot_wanted = e->config.secure_boot_wanted,
    };
    size_t count = uefi_auth_state(&input, variables);
    int r = 0;

    for (size_t i = 0; i < count && i < UEFI_AUTH_STATE_MAX && r == 0; i++) {
        r = put(e, &variables[i]);
    }
    return r;
}
