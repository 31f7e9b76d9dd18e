// SPDX-License-Identifier: MIT
//
// The table of variable policies and what they say about a change (policy.h).

#include "userspace/uefi/policy.h"

#include "userspace/uefi/store.h"

#include <stdlib.h>

void uefi_policy_clear(struct uefi_policy *policy) {
    struct uefi_policy_rule *rule = policy->first;

    while (rule != NULL) {
        struct uefi_policy_rule *next = rule->next;

        free(rule);
        rule = next;
    }
    *policy = (struct uefi_policy){0};
}

static bool bytes_equal(struct uefi_bytes a, struct uefi_bytes b) {
    return a.size_bytes == b.size_bytes &&
           (a.size_bytes == 0 || memcmp(a.at, b.at, a.size_bytes) == 0);
}

/// Moves a name into the rule's own bytes.
static struct uefi_bytes keep(struct uefi_policy_rule *rule, size_t *off, struct uefi_bytes name) {
    struct uefi_bytes kept = {.at = rule->bytes + *off, .size_bytes = name.size_bytes};

    if (name.size_bytes != 0) {
        memcpy(rule->bytes + *off, name.at, name.size_bytes);
    }
    *off += name.size_bytes;
    return kept;
}

enum uefi_status uefi_policy_register(struct uefi_policy *policy,
                                      const struct uefi_policy_entry *entry) {
    size_t size_bytes = entry->name.size_bytes + entry->state_name.size_bytes;
    struct uefi_policy_rule **end = &policy->first;
    struct uefi_policy_rule *rule;
    size_t off = 0;

    if (policy->locked) {
        return UEFI_WRITE_PROTECTED;
    }
    for (; *end != NULL; end = &(*end)->next) {
        if (uefi_guid_equal(&(*end)->entry.guid, &entry->guid) &&
            bytes_equal((*end)->entry.name, entry->name)) {
            return UEFI_ALREADY_STARTED;
        }
    }
    if (policy->count >= UEFI_POLICY_COUNT_MAX ||
        size_bytes > UEFI_POLICY_BYTES_MAX - policy->used_bytes) {
        return UEFI_OUT_OF_RESOURCES;
    }
    rule = malloc(sizeof(*rule) + size_bytes);
    if (rule == NULL) {
        return UEFI_OUT_OF_RESOURCES;
    }
    rule->next = NULL;
    rule->entry = *entry;
    rule->entry.name = keep(rule, &off, entry->name);
    rule->entry.state_name = keep(rule, &off, entry->state_name);
    *end = rule;
    policy->count++;
    policy->used_bytes += size_bytes;
    return UEFI_SUCCESS;
}

static bool is_hex_digit(uint16_t c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

#define NO_MATCH  UINT32_MAX
#define NAMESPACE (UINT32_MAX - 1)

/// How far a rule is from a variable: 0 for the very name, then the number of wildcards.
static uint32_t distance(const struct uefi_policy_entry *e, const struct uefi_guid *guid,
                         struct uefi_bytes name) {
    uint32_t wildcards = 0;

    if (!uefi_guid_equal(&e->guid, guid)) {
        return NO_MATCH;
    }
    if (e->name.size_bytes == 0) {
        return NAMESPACE;
    }
    if (e->name.size_bytes != name.size_bytes) {
        return NO_MATCH;
    }
    for (size_t i = 0; i < name.size_bytes; i += 2) {
        uint16_t want = (uint16_t)(e->name.at[i] | e->name.at[i + 1] << 8);
        uint16_t got = (uint16_t)(name.at[i] | name.at[i + 1] << 8);

        if (want == '#' && is_hex_digit(got)) {
            wildcards++;
        } else if (want != got) {
            return NO_MATCH;
        }
    }
    return wildcards;
}

const struct uefi_policy_entry *uefi_policy_match(const struct uefi_policy *policy,
                                                  const struct uefi_guid *guid,
                                                  struct uefi_bytes name) {
    const struct uefi_policy_entry *best = NULL;
    uint32_t best_distance = NO_MATCH;

    for (const struct uefi_policy_rule *r = policy->first; r != NULL; r = r->next) {
        uint32_t d = distance(&r->entry, guid, name);

        if (d < best_distance) {
            best = &r->entry;
            best_distance = d;
        }
    }
    return best;
}

enum uefi_status uefi_policy_check_lock(const struct uefi_policy_entry *entry,
                                        const struct uefi_store *store, bool exists) {
    const struct uefi_variable *state;

    if (entry == NULL) {
        return UEFI_SUCCESS;
    }
    switch (entry->lock) {
    case UEFI_POLICY_LOCK_NOW:
        return UEFI_WRITE_PROTECTED;
    case UEFI_POLICY_LOCK_ON_CREATE:
        return exists ? UEFI_WRITE_PROTECTED : UEFI_SUCCESS;
    case UEFI_POLICY_LOCK_ON_VAR_STATE:
        state = uefi_store_find(store, &entry->state_guid, entry->state_name);
        return state != NULL && state->value.size_bytes == 1 &&
                       state->value.at[0] == entry->state_value
                   ? UEFI_WRITE_PROTECTED
                   : UEFI_SUCCESS;
    default:
        return UEFI_SUCCESS;
    }
}

enum uefi_status uefi_policy_check_value(const struct uefi_policy_entry *entry, uint32_t attributes,
                                         size_t value_bytes) {
    if (entry == NULL) {
        return UEFI_SUCCESS;
    }
    // A maximum of 0 is none: no value has 0 bytes.
    if (value_bytes < entry->min_bytes ||
        (entry->max_bytes != 0 && value_bytes > entry->max_bytes) ||
        (attributes & entry->must_have) != entry->must_have ||
        (attributes & entry->cant_have) != 0) {
        return UEFI_INVALID_PARAMETER;
    }
    return UEFI_SUCCESS;
}
