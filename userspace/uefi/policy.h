// SPDX-License-Identifier: MIT
//
// Variable policy: EDK II's rules about sizes, attributes and locks of variables, registered by
// firmware at each start (EDK II, MdeModulePkg, VARIABLE_POLICY_ENTRY). They serve the firmware's
// own order; what keeps Secure Boot's keys safe is authentication and does not depend on them.
#pragma once

#include "userspace/uefi/defs.h"

#define UEFI_POLICY_COUNT_MAX 512u
#define UEFI_POLICY_BYTES_MAX 0x20000u ///< names of all rules

enum uefi_policy_lock {
    UEFI_POLICY_LOCK_NONE,
    UEFI_POLICY_LOCK_NOW,
    UEFI_POLICY_LOCK_ON_CREATE,
    UEFI_POLICY_LOCK_ON_VAR_STATE,
    UEFI_POLICY_LOCK_COUNT,
};

/// A checked VARIABLE_POLICY_ENTRY; the names point into the parsed bytes.
struct uefi_policy_entry {
    struct uefi_guid guid;
    struct uefi_bytes name; ///< '#' stands for a hexadecimal digit; size 0: the whole namespace
    uint32_t min_bytes, max_bytes;
    uint32_t must_have, cant_have; ///< attributes
    enum uefi_policy_lock lock;
    // lock-on-var-state: locked while this variable is one byte of this value
    struct uefi_guid state_guid;
    struct uefi_bytes state_name;
    uint8_t state_value;
};

/// Checks an entry of size_bytes or less (it has a size of its own). UEFI_INVALID_PARAMETER,
/// UEFI_BAD_BUFFER_SIZE when it does not fit; *out is only written on success.
enum uefi_status uefi_policy_parse(const uint8_t *bytes, size_t size_bytes,
                                   struct uefi_policy_entry *out);

/// A registered entry with names of its own.
struct uefi_policy_rule {
    struct uefi_policy_rule *next;
    struct uefi_policy_entry entry;
    uint8_t bytes[];
};

/// All zero: no rules, not locked.
struct uefi_policy {
    struct uefi_policy_rule *first;
    size_t count;
    size_t used_bytes;
    bool locked; ///< no more rules until the next reset
};

void uefi_policy_clear(struct uefi_policy *policy);

/// Adds a rule (copied). UEFI_ALREADY_STARTED: there is one for this name; UEFI_WRITE_PROTECTED:
/// locked; UEFI_OUT_OF_RESOURCES.
enum uefi_status uefi_policy_register(struct uefi_policy *policy,
                                      const struct uefi_policy_entry *entry);

/// The rule that holds for a variable: the exact name, else the fewest wildcards, else the whole
/// namespace; NULL when none does.
const struct uefi_policy_entry *uefi_policy_match(const struct uefi_policy *policy,
                                                  const struct uefi_guid *guid,
                                                  struct uefi_bytes name);

struct uefi_store;

/// May the variable be changed or deleted at all? UEFI_WRITE_PROTECTED when it is locked. entry may
/// be NULL: no rule.
enum uefi_status uefi_policy_check_lock(const struct uefi_policy_entry *entry,
                                        const struct uefi_store *store, bool exists);

/// May it have this value (not for deletes)? UEFI_INVALID_PARAMETER.
enum uefi_status uefi_policy_check_value(const struct uefi_policy_entry *entry, uint32_t attributes,
                                         size_t value_bytes);
