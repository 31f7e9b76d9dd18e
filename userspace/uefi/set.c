// SPDX-License-Identifier: MIT
//
// SetVariable: UEFI specification 2.10, section 8.2.3. Every check stands before the first change;
// then the change is made in memory, saved, and undone when it could not be saved.

#include "igvm/base/log.h"
#include "userspace/uefi/engine.h"

/// One call under examination.
struct call {
    struct uefi_engine *e;
    struct uefi_mm_access a;
    enum uefi_auth_rule rule;
    struct uefi_variable *stored;           ///< NULL: there is none
    const struct uefi_policy_entry *policy; ///< NULL: there is none
};

/// What is to be stored.
struct outcome {
    bool remove, nothing; ///< nothing: success without a change
    struct uefi_bytes value;
    const uint8_t *time, *digest; ///< NULL: none
};

#define ACCESS (UEFI_ATTR_BOOTSERVICE | UEFI_ATTR_RUNTIME)

/// Whether the call asks for a delete, were the variable not authenticated.
static bool is_delete(const struct uefi_mm_access *a) {
    return (a->attributes & ACCESS) == 0 ||
           (a->data_bytes == 0 && !(a->attributes & UEFI_ATTR_APPEND));
}

static bool is_hex_digit(uint8_t c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

/// HwErrRec#### of the specification's namespace (section 8.2.4.2).
static bool is_hardware_error_record(const struct uefi_mm_access *a) {
    static const struct uefi_guid guid = UEFI_GUID_HARDWARE_ERROR;
    struct uefi_bytes head = {.at = a->name.at, .size_bytes = 16};

    if (!uefi_guid_equal(&a->guid, &guid) || a->name.size_bytes != 24 ||
        !uefi_name_is(head, "HwErrRec")) {
        return false;
    }
    for (size_t i = 16; i < 24; i += 2) {
        if (!is_hex_digit(a->name.at[i]) || a->name.at[i + 1] != 0) {
            return false;
        }
    }
    return true;
}

/// What a combination of attributes says by itself.
static enum uefi_status check_attributes(const struct uefi_mm_access *a) {
    const uint32_t hardware_error = UEFI_ATTR_NON_VOLATILE | UEFI_ATTR_HARDWARE_ERROR |
                                    UEFI_ATTR_BOOTSERVICE | UEFI_ATTR_RUNTIME;
    const uint32_t known =
        UEFI_ATTR_STORED_MASK | UEFI_ATTR_APPEND | UEFI_ATTR_COUNT_AUTH | UEFI_ATTR_ENHANCED_AUTH;

    if (a->attributes & ~known) {
        return UEFI_INVALID_PARAMETER;
    }
    if ((a->attributes & UEFI_ATTR_COUNT_AUTH) && (a->attributes & UEFI_ATTR_TIME_AUTH)) {
        return UEFI_INVALID_PARAMETER;
    }
    if (a->attributes & (UEFI_ATTR_COUNT_AUTH | UEFI_ATTR_ENHANCED_AUTH)) {
        return UEFI_UNSUPPORTED;
    }
    if ((a->attributes & ACCESS) == UEFI_ATTR_RUNTIME) {
        return UEFI_INVALID_PARAMETER;
    }
    if ((a->attributes & UEFI_ATTR_HARDWARE_ERROR) &&
        ((a->attributes & ~(UEFI_ATTR_APPEND | UEFI_ATTR_TIME_AUTH)) != hardware_error ||
         !is_hardware_error_record(a))) {
        return UEFI_INVALID_PARAMETER;
    }
    return UEFI_SUCCESS;
}

/// After ExitBootServices only what is both non-volatile and of runtime access can be written.
static enum uefi_status check_runtime(const struct call *c) {
    const uint32_t needed = UEFI_ATTR_NON_VOLATILE | UEFI_ATTR_RUNTIME;

    if (!c->e->exit_boot_services) {
        return UEFI_SUCCESS;
    }
    if (c->stored != NULL) {
        if (!(c->stored->attributes & UEFI_ATTR_NON_VOLATILE)) {
            return UEFI_WRITE_PROTECTED;
        }
        return (c->stored->attributes & needed) == needed ? UEFI_SUCCESS : UEFI_INVALID_PARAMETER;
    }
    if (is_delete(&c->a)) {
        return UEFI_NOT_FOUND;
    }
    return (c->a.attributes & needed) == needed ? UEFI_SUCCESS : UEFI_INVALID_PARAMETER;
}

/// Authentication decides: everything about the new value comes from there.
static enum uefi_status decide_authenticated(const struct call *c, struct uefi_auth_result *result,
                                             struct outcome *out) {
    const struct uefi_engine *e = c->e;
    uefi_auth_check_fn check = e->config.auth_check ? e->config.auth_check : uefi_auth_check;
    struct uefi_auth_stored stored;
    struct uefi_auth_request request = {
        .guid = c->a.guid,
        .name = c->a.name,
        .attributes = c->a.attributes,
        .payload = {.at = c->a.data, .size_bytes = c->a.data_bytes},
        .pk = uefi_state_key(e, "PK"),
        .kek = uefi_state_key(e, "KEK"),
        .db = uefi_state_key(e, "db"),
        .room = e->scratch,
        .room_bytes = UEFI_STORE_VALUE_MAX_BYTES,
    };
    enum uefi_status status;

    // No access attribute, an ordinary delete, is none here; and attributes never change. A key has
    // a key's, or it could not be loaded again.
    if ((c->a.attributes & ACCESS) == 0) {
        return c->stored == NULL ? UEFI_NOT_FOUND : UEFI_SECURITY_VIOLATION;
    }
    if ((c->stored != NULL && (c->a.attributes & ~UEFI_ATTR_APPEND) != c->stored->attributes) ||
        (c->rule == UEFI_AUTH_KEY && (c->a.attributes & ~UEFI_ATTR_APPEND) != UEFI_ATTR_KEY)) {
        return UEFI_INVALID_PARAMETER;
    }
    if (c->stored != NULL) {
        stored = (struct uefi_auth_stored){.attributes = c->stored->attributes,
                                           .value = c->stored->value};
        memcpy(stored.time, c->stored->time, sizeof(stored.time));
        memcpy(stored.digest, c->stored->digest, sizeof(stored.digest));
        request.stored = &stored;
    }
    status = check(&request, result);
    if (status != UEFI_SUCCESS) {
        LOG_LIMITED(LOG_WARN, UEFI_AREA, "a write of an authenticated variable is refused: %s",
                    result->reason ? result->reason : "no reason given");
        return status;
    }
    *out = (struct outcome){.remove = result->remove,
                            .value = result->value,
                            .time = result->time,
                            .digest = result->digest};
    // An append of nothing to nothing; a delete of nothing.
    if (c->stored == NULL && (result->remove || result->value.size_bytes == 0)) {
        return UEFI_NOT_FOUND;
    }
    return UEFI_SUCCESS;
}

/// The ordinary rules of section 8.2.3.
static enum uefi_status decide_ordinary(const struct call *c, struct outcome *out) {
    const struct uefi_mm_access *a = &c->a;
    bool append = a->attributes & UEFI_ATTR_APPEND;
    struct uefi_bytes old;

    *out = (struct outcome){.remove = is_delete(a),
                            .value = {.at = a->data, .size_bytes = a->data_bytes}};
    if (c->stored == NULL) {
        return out->remove || a->data_bytes == 0 ? UEFI_NOT_FOUND : UEFI_SUCCESS;
    }
    if ((a->attributes & ACCESS) != 0 &&
        (a->attributes & ~UEFI_ATTR_APPEND) != c->stored->attributes) {
        return UEFI_INVALID_PARAMETER;
    }
    if (out->remove || !append) {
        return UEFI_SUCCESS;
    }
    old = c->stored->value;
    if (a->data_bytes == 0) {
        out->nothing = true;
        return UEFI_SUCCESS;
    }
    if (a->data_bytes > UEFI_STORE_VALUE_MAX_BYTES ||
        old.size_bytes > UEFI_STORE_VALUE_MAX_BYTES - a->data_bytes) {
        return UEFI_OUT_OF_RESOURCES;
    }
    memcpy(c->e->scratch, old.at, old.size_bytes);
    memcpy(c->e->scratch + old.size_bytes, a->data, a->data_bytes);
    out->value =
        (struct uefi_bytes){.at = c->e->scratch, .size_bytes = old.size_bytes + a->data_bytes};
    return UEFI_SUCCESS;
}

/// Whether no half of a surrogate pair stands alone. Such a name has no form in JSON: one variable
/// of it would keep all of an exported store from being read again.
static bool is_utf16(struct uefi_bytes name) {
    for (size_t i = 0; i + 1 < name.size_bytes; i += 2) {
        uint8_t high = name.at[i + 1] & 0xFC;

        if (high == 0xDC) {
            return false;
        }
        if (high == 0xD8) {
            i += 2;
            if (i + 1 >= name.size_bytes || (name.at[i + 1] & 0xFC) != 0xDC) {
                return false;
            }
        }
    }
    return true;
}

/// What the new value has to keep to, whoever allowed it.
static enum uefi_status check_value(const struct call *c, const struct outcome *out) {
    bool runtime = c->e->exit_boot_services;
    enum uefi_class class = uefi_class_of(&c->a.guid, c->a.name, c->a.attributes);
    enum uefi_status status;

    if (c->a.name.size_bytes > UEFI_STORE_NAME_MAX_BYTES ||
        out->value.size_bytes > UEFI_STORE_VALUE_MAX_BYTES || out->value.size_bytes == 0 ||
        (c->stored == NULL && !is_utf16(c->a.name))) {
        return UEFI_INVALID_PARAMETER;
    }
    if (c->e->end_of_dxe) {
        status = uefi_policy_check_value(c->policy, c->a.attributes, out->value.size_bytes);
        if (status != UEFI_SUCCESS) {
            return status;
        }
    }
    return uefi_store_has_room(&c->e->store, class, runtime, c->stored,
                               uefi_variable_cost(c->a.name.size_bytes, out->value.size_bytes))
               ? UEFI_SUCCESS
               : UEFI_OUT_OF_RESOURCES;
}

static bool is_same(const struct uefi_variable *a, const struct uefi_variable *b) {
    return a->attributes == b->attributes && a->value.size_bytes == b->value.size_bytes &&
           memcmp(a->time, b->time, sizeof(a->time)) == 0 &&
           memcmp(a->digest, b->digest, sizeof(a->digest)) == 0 &&
           memcmp(a->value.at, b->value.at, a->value.size_bytes) == 0;
}

/// Makes the change, saves it, and undoes it when that fails. Takes v over (NULL: a delete).
static enum uefi_status commit(const struct call *c, struct uefi_variable *v) {
    struct uefi_engine *e = c->e;
    bool lasts = (v != NULL ? v : c->stored)->attributes & UEFI_ATTR_NON_VOLATILE;
    bool follows = uefi_state_follows(&c->a.guid, c->a.name);
    enum uefi_status status = UEFI_SUCCESS;

    uefi_store_replace(&e->store, c->stored, v);
    if (follows && uefi_state_apply(e, false) != 0) {
        status = UEFI_OUT_OF_RESOURCES;
    } else if (lasts && uefi_engine_save(e) != 0) {
        status = UEFI_DEVICE_ERROR;
    }
    if (status == UEFI_SUCCESS) {
        uefi_variable_free(c->stored);
        return status;
    }
    // A variable whose delete failed comes back at the end of the list.
    uefi_store_replace(&e->store, v, c->stored);
    uefi_variable_free(v);
    if (follows && uefi_state_apply(e, false) != 0) {
        LOG_LIMITED(LOG_ERROR, UEFI_AREA, "no memory to undo a change of the platform key");
    }
    return status;
}

static enum uefi_status carry_out(const struct call *c, const struct outcome *out) {
    struct uefi_variable *v;

    if (out->nothing) {
        return UEFI_SUCCESS;
    }
    if (out->remove) {
        return commit(c, NULL);
    }
    v = uefi_variable_new(&c->a.guid, c->a.name, c->a.attributes, out->value, out->time,
                          out->digest);
    if (v == NULL) {
        return UEFI_OUT_OF_RESOURCES;
    }
    if (c->stored != NULL && is_same(c->stored, v)) {
        uefi_variable_free(v); // nothing to write: flash would not be worn either
        return UEFI_SUCCESS;
    }
    return commit(c, v);
}

static enum uefi_status set(struct call *c) {
    struct uefi_auth_result result = {.reason = NULL};
    struct outcome out;
    enum uefi_status status = check_attributes(&c->a);

    if (status != UEFI_SUCCESS) {
        return status;
    }
    c->rule = uefi_auth_rule(&c->a.guid, c->a.name);
    if (c->rule == UEFI_AUTH_READ_ONLY) {
        return UEFI_WRITE_PROTECTED;
    }
    c->stored = uefi_store_find(&c->e->store, &c->a.guid, c->a.name);
    status = check_runtime(c);
    if (status != UEFI_SUCCESS) {
        return status;
    }
    c->policy = uefi_policy_match(&c->e->policy, &c->a.guid, c->a.name);
    if (c->e->end_of_dxe) {
        status = uefi_policy_check_lock(c->policy, &c->e->store, c->stored != NULL);
        if (status != UEFI_SUCCESS) {
            return status;
        }
    }
    // The stored attributes count as well as the call's: a delete without authentication is none.
    if (c->rule == UEFI_AUTH_KEY || (c->a.attributes & UEFI_ATTR_TIME_AUTH) ||
        (c->stored != NULL && (c->stored->attributes & UEFI_ATTR_TIME_AUTH))) {
        status = decide_authenticated(c, &result, &out);
    } else {
        status = decide_ordinary(c, &out);
    }
    if (status == UEFI_SUCCESS && !out.remove && !out.nothing) {
        status = check_value(c, &out);
    }
    return status == UEFI_SUCCESS ? carry_out(c, &out) : status;
}

enum uefi_status uefi_call_set(struct uefi_engine *e, uint8_t *bytes, size_t size_bytes) {
    struct call c = {.e = e};
    enum uefi_status status = uefi_mm_access_parse(bytes, size_bytes, &c.a);

    e->counters.sets++;
    if (status == UEFI_SUCCESS) {
        status = set(&c);
    }
    e->counters.refused_sets += status != UEFI_SUCCESS;
    return status;
}
