// SPDX-License-Identifier: MIT
//
// The variables in memory (store.h): one list in the order of creation, which is the order that
// GetNextVariableName shows, and a running account per class.

#include "userspace/uefi/store.h"

#include "igvm/base/check.h"
#include "userspace/uefi/auth.h"

#include <stdlib.h>

static const size_t class_max_bytes[UEFI_CLASS_COUNT] = {
    [UEFI_CLASS_NV] = UEFI_STORE_NV_MAX_BYTES,
    [UEFI_CLASS_KEY] = UEFI_STORE_KEY_MAX_BYTES,
    [UEFI_CLASS_VOLATILE] = UEFI_STORE_VOLATILE_MAX_BYTES,
};

struct uefi_variable *uefi_variable_new(const struct uefi_guid *guid, struct uefi_bytes name,
                                        uint32_t attributes, struct uefi_bytes value,
                                        const uint8_t *time, const uint8_t *digest) {
    struct uefi_variable *v = malloc(sizeof(*v) + name.size_bytes + value.size_bytes);

    if (v == NULL) {
        return NULL;
    }
    *v = (struct uefi_variable){
        .guid = *guid,
        .attributes = attributes & UEFI_ATTR_STORED_MASK,
        .name = {.at = v->bytes, .size_bytes = name.size_bytes},
        .value = {.at = v->bytes + name.size_bytes, .size_bytes = value.size_bytes},
    };
    memcpy(v->bytes, name.at, name.size_bytes);
    if (value.size_bytes != 0) {
        memcpy(v->bytes + name.size_bytes, value.at, value.size_bytes);
    }
    if (time != NULL) {
        memcpy(v->time, time, sizeof(v->time));
    }
    if (digest != NULL) {
        memcpy(v->digest, digest, sizeof(v->digest));
    }
    return v;
}

void uefi_variable_free(struct uefi_variable *variable) {
    free(variable);
}

void uefi_store_clear(struct uefi_store *store) {
    struct uefi_variable *v = store->first;

    while (v != NULL) {
        struct uefi_variable *next = v->next;

        uefi_variable_free(v);
        v = next;
    }
    *store = (struct uefi_store){0};
}

enum uefi_class uefi_class_of(const struct uefi_guid *guid, struct uefi_bytes name,
                              uint32_t attributes) {
    if (!(attributes & UEFI_ATTR_NON_VOLATILE)) {
        return UEFI_CLASS_VOLATILE;
    }
    return uefi_auth_rule(guid, name) == UEFI_AUTH_KEY ? UEFI_CLASS_KEY : UEFI_CLASS_NV;
}

size_t uefi_variable_cost(size_t name_bytes, size_t value_bytes) {
    return UEFI_STORE_OVERHEAD_BYTES + name_bytes + value_bytes;
}

static size_t cost_of(const struct uefi_variable *v) {
    return uefi_variable_cost(v->name.size_bytes, v->value.size_bytes);
}

bool uefi_name_equal(struct uefi_bytes a, struct uefi_bytes b) {
    return a.size_bytes == b.size_bytes && memcmp(a.at, b.at, a.size_bytes) == 0;
}

const char *uefi_store_refuses(const struct uefi_guid *guid, struct uefi_bytes name,
                               uint32_t attributes) {
    const uint32_t needed = UEFI_ATTR_NON_VOLATILE | UEFI_ATTR_BOOTSERVICE;

    if ((attributes & ~UEFI_ATTR_STORED_MASK) != 0 || (attributes & needed) != needed) {
        return "a variable's attributes cannot be";
    }
    // Nobody had to sign it; and an update that is signed as it should be would be refused for
    // ever.
    if (uefi_auth_rule(guid, name) == UEFI_AUTH_KEY && attributes != UEFI_ATTR_KEY) {
        return "a key does not have a key's attributes";
    }
    return NULL;
}

struct uefi_variable *uefi_store_find(const struct uefi_store *store, const struct uefi_guid *guid,
                                      struct uefi_bytes name) {
    for (struct uefi_variable *v = store->first; v != NULL; v = v->next) {
        if (uefi_guid_equal(&v->guid, guid) && uefi_name_equal(v->name, name)) {
            return v;
        }
    }
    return NULL;
}

void uefi_store_replace(struct uefi_store *store, struct uefi_variable *old,
                        struct uefi_variable *variable) {
    struct uefi_variable **link = &store->first;

    while (*link != NULL && *link != old) {
        link = &(*link)->next;
    }
    CHECK(*link == old); // NULL: the end
    if (old != NULL) {
        enum uefi_class class = uefi_class_of(&old->guid, old->name, old->attributes);

        store->count[class]--;
        store->used_bytes[class] -= cost_of(old);
        *link = old->next;
        old->next = NULL;
    }
    if (variable != NULL) {
        enum uefi_class class =
            uefi_class_of(&variable->guid, variable->name, variable->attributes);

        store->count[class]++;
        store->used_bytes[class] += cost_of(variable);
        variable->next = *link;
        *link = variable;
    }
}

size_t uefi_store_room(const struct uefi_store *store, enum uefi_class class, bool runtime) {
    size_t max = class_max_bytes[class];

    if (runtime && class == UEFI_CLASS_NV) {
        max -= UEFI_STORE_BOOT_RESERVE_BYTES;
    }
    return store->used_bytes[class] < max ? max - store->used_bytes[class] : 0;
}

bool uefi_store_has_room(const struct uefi_store *store, enum uefi_class class, bool runtime,
                         const struct uefi_variable *old, size_t new_cost) {
    size_t old_cost = old == NULL ? 0 : cost_of(old);
    size_t reserve = runtime && class == UEFI_CLASS_NV ? UEFI_STORE_BOOT_RESERVE_COUNT : 0;

    if (old == NULL && store->count[class] >= UEFI_STORE_COUNT_MAX - reserve) {
        return false;
    }
    // What shrinks is always allowed, even in a store that another quota filled.
    return new_cost <= old_cost || new_cost - old_cost <= uefi_store_room(store, class, runtime);
}
