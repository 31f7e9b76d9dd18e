// SPDX-License-Identifier: MIT
//
// VARIABLE_POLICY_ENTRY as it comes in a message (EDK II, MdeModulePkg): 44 bytes, for
// lock-on-var-state 18 more and the state variable's name, then the name. Pure: bytes in, result
// out.

#include "userspace/uefi/policy.h"

#include "igvm/base/bytes.h"
#include "userspace/uefi/store.h"

#define ENTRY_VERSION 0x10000u

/// On the wire, little-endian, packed; the guest fills it.
struct wire_entry {
    uint8_t version[4];
    uint8_t size[2];           ///< of everything, names included
    uint8_t offset_to_name[2]; ///< == size: no name, the whole namespace
    uint8_t guid[16];
    uint8_t min_size[4], max_size[4];
    uint8_t must_have[4], cant_have[4];
    uint8_t lock_type; ///< enum uefi_policy_lock
    uint8_t padding[3];
};
_Static_assert(sizeof(struct wire_entry) == 44, "wire layout");

/// Follows wire_entry for lock-on-var-state; then CHAR16 name[] up to offset_to_name.
struct wire_state {
    uint8_t guid[16];
    uint8_t value;
    uint8_t padding;
};
_Static_assert(sizeof(struct wire_state) == 18, "wire layout");

/// A name that fills [bytes, bytes + size) with its NUL, and has no other NUL.
static bool take_name(const uint8_t *bytes, size_t size_bytes, struct uefi_bytes *out) {
    if (size_bytes < 4 || size_bytes % 2 != 0 || size_bytes - 2 > UEFI_STORE_NAME_MAX_BYTES) {
        return false;
    }
    for (size_t i = 0; i < size_bytes; i += 2) {
        bool is_nul = bytes[i] == 0 && bytes[i + 1] == 0;

        if (is_nul != (i == size_bytes - 2)) {
            return false;
        }
    }
    *out = (struct uefi_bytes){.at = bytes, .size_bytes = size_bytes - 2};
    return true;
}

enum uefi_status uefi_policy_parse(const uint8_t *bytes, size_t size_bytes,
                                   struct uefi_policy_entry *out) {
    struct cursor c = cursor_init(bytes, size_bytes);
    struct uefi_policy_entry e = {.state_value = 0};
    struct wire_entry w;
    struct wire_state state;
    size_t size, name_off;

    if (!cursor_copy(&c, &w, sizeof(w))) {
        return UEFI_BAD_BUFFER_SIZE;
    }
    size = load_le16(w.size);
    name_off = load_le16(w.offset_to_name);
    if (size > size_bytes) {
        return UEFI_BAD_BUFFER_SIZE;
    }
    if (load_le32(w.version) != ENTRY_VERSION || w.lock_type >= UEFI_POLICY_LOCK_COUNT ||
        name_off < sizeof(w) || name_off > size) {
        return UEFI_INVALID_PARAMETER;
    }
    if (w.lock_type == UEFI_POLICY_LOCK_ON_VAR_STATE) {
        if (name_off < sizeof(w) + sizeof(state) || !cursor_copy(&c, &state, sizeof(state)) ||
            !take_name(bytes + c.off, name_off - c.off, &e.state_name)) {
            return UEFI_INVALID_PARAMETER;
        }
        memcpy(&e.state_guid, state.guid, sizeof(e.state_guid));
        e.state_value = state.value;
    } else if (name_off != sizeof(w)) {
        return UEFI_INVALID_PARAMETER;
    }
    if (name_off != size && !take_name(bytes + name_off, size - name_off, &e.name)) {
        return UEFI_INVALID_PARAMETER;
    }
    memcpy(&e.guid, w.guid, sizeof(e.guid));
    e.min_bytes = load_le32(w.min_size);
    e.max_bytes = load_le32(w.max_size);
    e.must_have = load_le32(w.must_have);
    e.cant_have = load_le32(w.cant_have);
    e.lock = w.lock_type;
    *out = e;
    return UEFI_SUCCESS;
}
