// SPDX-License-Identifier: MIT
//
// uefikeys: keys out of EDK II's flash variables. A firmware volume whose file system GUID says
// "variables" holds one store: a header, then variables, each 4-byte aligned, until something that
// does not begin with 0x55AA. A state byte says which of them count.
#include "tools/uefikeys/tool.h"

#include "igvm/base/bytes.h"

#include <errno.h>

#define VOLUME_LENGTH_OFF 48u // u16 in the firmware volume's header
#define STORE_BYTES       28u // GUID, u32 size, format, state, reserved
#define STORE_FORMATTED   0x5Au
#define STORE_HEALTHY     0xFEu
#define VARIABLE_START    0x55AAu
#define VARIABLE_ADDED    0x3Fu // neither deleted nor about to be
#define VARIABLE_BYTES    60u

static const struct uefi_guid volume_guid =
    UEFI_GUID(0xfff12b8d, 0x7696, 0x4c8b, 0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50);
static const struct uefi_guid store_guid =
    UEFI_GUID(0xaaf32c78, 0x947b, 0x439a, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92);

static bool take_guid(struct cursor *c, const struct uefi_guid *wanted) {
    const uint8_t *at;

    return cursor_take(c, sizeof(*wanted), &at) && memcmp(at, wanted, sizeof(*wanted)) == 0;
}

/// A cursor over the store's variables.
static bool find_store(struct cursor *c, struct cursor *variables) {
    uint32_t size;
    uint16_t header_bytes;
    uint8_t format, state;

    return cursor_skip(c, 16) && take_guid(c, &volume_guid) && cursor_seek(c, VOLUME_LENGTH_OFF) &&
           cursor_le16(c, &header_bytes) && cursor_seek(c, header_bytes) &&
           take_guid(c, &store_guid) && cursor_le32(c, &size) && cursor_u8(c, &format) &&
           cursor_u8(c, &state) && format == STORE_FORMATTED && state == STORE_HEALTHY &&
           cursor_skip(c, 6) && size >= STORE_BYTES && cursor_sub(c, size - STORE_BYTES, variables);
}

/// One variable at the cursor. 1: taken, 0: the end, negative: broken.
static int take_variable(struct cursor *c, struct uefi_store *store) {
    const uint8_t *head, *name, *value;
    struct uefi_guid guid;
    struct uefi_variable *made, *old;
    uint32_t name_bytes, value_bytes;

    if (!cursor_align(c, 4) || cursor_left(c) < VARIABLE_BYTES ||
        load_le16(c->base + c->off) != VARIABLE_START) {
        return 0;
    }
    (void)cursor_take(c, VARIABLE_BYTES, &head);
    name_bytes = load_le32(head + 36);
    value_bytes = load_le32(head + 40);
    memcpy(&guid, head + 44, sizeof(guid));
    if (!cursor_take(c, name_bytes, &name) || !cursor_take(c, value_bytes, &value) ||
        name_bytes < 4 || name_bytes % 2 != 0) {
        return -EINVAL;
    }
    const struct uefi_bytes text = {name, name_bytes - 2};
    if (head[2] != VARIABLE_ADDED || uefi_auth_rule(&guid, text) != UEFI_AUTH_KEY) {
        return 1;
    }
    made = uefi_variable_new(&guid, text, load_le32(head + 4),
                             (struct uefi_bytes){value, value_bytes}, head + 16, NULL);
    if (made == NULL) {
        return -ENOMEM;
    }
    old = uefi_store_find(store, &guid, text);
    uefi_store_replace(store, old, made);
    uefi_variable_free(old);
    return 1;
}

int uefikeys_edk2(struct uefi_store *store, const uint8_t *bytes, size_t size_bytes,
                  const char *path) {
    struct cursor c = cursor_init(bytes, size_bytes);
    struct cursor variables;
    int r;

    if (!find_store(&c, &variables)) {
        uefikeys_say("%s: no EDK II variable store at its start", path);
        return -EINVAL;
    }
    do {
        r = take_variable(&variables, store);
    } while (r > 0);
    if (r < 0) {
        uefikeys_say("%s: a broken variable at byte 0x%zx of the store", path, variables.off);
    }
    return r;
}
