// SPDX-License-Identifier: MIT
//
// The store as a file (store.h): the format of OpenHCL's BIOS_NVRAM file, a row of records
//
//     u32 type (0), u32 length with header, u32 attributes, EFI_TIME, GUID, u16 name bytes with
//     NUL, u16 value bytes, name, value
//
// and, as the first of ours, a record of a variable "ParapetStore" that only has NON_VOLATILE, so
// that no guest ever sees it under OpenHCL either. Its value: u32 version, u32 records that follow,
// u32 CRC-32 of the whole image with this field as zero, then for each variable that is pinned to a
// signer u32 index and its digest. OpenHCL reads such a file as far as its own limits allow (32 KiB
// a value, 128 KiB in all).

#include "igvm/base/bytes.h"
#include "igvm/igvm.h"
#include "userspace/uefi/store.h"

#include <errno.h>

#define IMAGE_VERSION 1u

/// On disk, little-endian, packed; uefi_store_save() fills it.
struct wire_record {
    uint8_t type[4];   ///< 0: a variable; there is no other
    uint8_t length[4]; ///< record with name and value
    uint8_t attributes[4];
    uint8_t time[16];
    uint8_t guid[16];
    uint8_t name_bytes[2]; ///< with NUL
    uint8_t value_bytes[2];
};
_Static_assert(sizeof(struct wire_record) == 48, "on-disk layout");
_Static_assert(sizeof(struct wire_record) + 2 <= UEFI_STORE_OVERHEAD_BYTES, "quotas cover it");
_Static_assert(UEFI_STORE_VALUE_MAX_BYTES <= UINT16_MAX && UEFI_STORE_NAME_MAX_BYTES < UINT16_MAX,
               "sizes fit the format");

#define OUR_HEAD_BYTES   12u ///< version, count, checksum
#define OUR_CRC_OFF      8u
#define OUR_DIGEST_BYTES (4u + UEFI_DIGEST_BYTES)
_Static_assert(sizeof(struct wire_record) + OUR_DIGEST_BYTES <= UEFI_STORE_OVERHEAD_BYTES,
               "quotas cover the digests");
_Static_assert(OUR_HEAD_BYTES + OUR_DIGEST_BYTES * UEFI_STORE_COUNT_MAX <= UINT16_MAX,
               "our record fits the format");

static const struct uefi_guid our_guid =
    UEFI_GUID(0x1b957b08, 0x681c, 0x419e, 0xa9, 0xfc, 0x61, 0xc5, 0x33, 0x1d, 0x6b, 0x08);
static const uint8_t our_name_bytes[] = {'P', 0, 'a', 0, 'r', 0, 'a', 0, 'p', 0, 'e', 0,
                                         't', 0, 'S', 0, 't', 0, 'o', 0, 'r', 0, 'e', 0};
static const struct uefi_bytes our_name = {.at = our_name_bytes,
                                           .size_bytes = sizeof(our_name_bytes)};
/// Where our record's value stands.
#define OUR_VALUE_OFF (sizeof(struct wire_record) + sizeof(our_name_bytes) + 2)

static bool is_pinned(const struct uefi_variable *v) {
    static const uint8_t none[UEFI_DIGEST_BYTES];

    return memcmp(v->digest, none, sizeof(none)) != 0;
}

static bool is_saved(const struct uefi_variable *v) {
    return v->attributes & UEFI_ATTR_NON_VOLATILE;
}

// ---- save ----

struct writer {
    uint8_t *out;
    size_t room_bytes, off;
    bool full;
};

/// Room for size bytes; NULL when there is none.
static uint8_t *reserve(struct writer *w, size_t size_bytes) {
    uint8_t *at = w->out + w->off;

    if (w->full || size_bytes > w->room_bytes - w->off) {
        w->full = true;
        return NULL;
    }
    w->off += size_bytes;
    return at;
}

/// One record; returns where its value stands (not filled when value.at is NULL).
static uint8_t *write_record(struct writer *w, const struct uefi_guid *guid, uint32_t attributes,
                             const uint8_t *time, struct uefi_bytes name, struct uefi_bytes value) {
    size_t name_bytes = name.size_bytes + 2;
    size_t length = sizeof(struct wire_record) + name_bytes + value.size_bytes;
    struct wire_record r = {.type = {0}};
    uint8_t *at = reserve(w, length);

    if (at == NULL) {
        return NULL;
    }
    store_le32(r.length, (uint32_t)length);
    store_le32(r.attributes, attributes);
    memcpy(r.time, time, sizeof(r.time));
    memcpy(r.guid, guid, sizeof(r.guid));
    store_le16(r.name_bytes, (uint16_t)name_bytes);
    store_le16(r.value_bytes, (uint16_t)value.size_bytes);
    memcpy(at, &r, sizeof(r));
    at += sizeof(r);
    memcpy(at, name.at, name.size_bytes);
    memset(at + name.size_bytes, 0, 2);
    at += name_bytes;
    if (value.at != NULL) {
        memcpy(at, value.at, value.size_bytes);
    }
    return at;
}

int uefi_store_save(const struct uefi_store *store, uint8_t *out, size_t room_bytes,
                    size_t *size_bytes) {
    static const uint8_t no_time[UEFI_TIME_BYTES];
    struct writer w = {.out = out, .room_bytes = room_bytes};
    uint32_t count = 0, pinned = 0, index = 0;
    struct uefi_bytes head = {.at = NULL};
    uint8_t *ours;

    for (const struct uefi_variable *v = store->first; v != NULL; v = v->next) {
        if (is_saved(v)) {
            count++;
            pinned += is_pinned(v) ? 1 : 0;
        }
    }
    // Our value is filled in below.
    head.size_bytes = OUR_HEAD_BYTES + (size_t)pinned * OUR_DIGEST_BYTES;
    ours = write_record(&w, &our_guid, UEFI_ATTR_NON_VOLATILE, no_time, our_name, head);
    if (ours == NULL || pinned > UEFI_STORE_COUNT_MAX) {
        return -ENOSPC;
    }
    store_le32(ours, IMAGE_VERSION);
    store_le32(ours + 4, count);
    store_le32(ours + OUR_CRC_OFF, 0);
    ours += OUR_HEAD_BYTES;
    for (const struct uefi_variable *v = store->first; v != NULL; v = v->next) {
        if (!is_saved(v)) {
            continue;
        }
        write_record(&w, &v->guid, v->attributes, v->time, v->name, v->value);
        if (is_pinned(v)) {
            store_le32(ours, index);
            memcpy(ours + 4, v->digest, UEFI_DIGEST_BYTES);
            ours += OUR_DIGEST_BYTES;
        }
        index++;
    }
    if (w.full) {
        return -ENOSPC;
    }
    store_le32(out + OUR_VALUE_OFF + OUR_CRC_OFF, igvm_crc32(0, out, w.off));
    *size_bytes = w.off;
    return 0;
}

// ---- load ----

/// A record whose sizes are right; everything points into the image.
struct record {
    struct uefi_guid guid;
    uint32_t attributes;
    const uint8_t *time;
    struct uefi_bytes name, value;
};

/// What is wrong with the next record's shape; NULL when nothing is.
static const char *take_record(struct cursor *c, struct record *out) {
    struct wire_record w;
    struct uefi_bytes name;
    const uint8_t *start = c->base + c->off;
    size_t value_bytes;

    if (!cursor_copy(c, &w, sizeof(w))) {
        return "it ends inside a record";
    }
    name.size_bytes = load_le16(w.name_bytes);
    value_bytes = load_le16(w.value_bytes);
    if (load_le32(w.type) != 0) {
        return "a record is of an unknown type";
    }
    if (load_le32(w.length) != sizeof(w) + name.size_bytes + value_bytes) {
        return "a record's sizes contradict each other";
    }
    if (!cursor_take(c, name.size_bytes, &name.at) ||
        !cursor_take(c, value_bytes, &out->value.at)) {
        return "it ends inside a record";
    }
    if (name.size_bytes < 4 || name.size_bytes % 2 != 0 ||
        name.size_bytes - 2 > UEFI_STORE_NAME_MAX_BYTES) {
        return "a name has an impossible size";
    }
    for (size_t i = 0; i < name.size_bytes; i += 2) {
        if ((name.at[i] == 0 && name.at[i + 1] == 0) != (i == name.size_bytes - 2)) {
            return "a name does not end with its only NUL";
        }
    }
    memcpy(&out->guid, w.guid, sizeof(out->guid));
    out->attributes = load_le32(w.attributes);
    out->time = start + offsetof(struct wire_record, time);
    out->name = (struct uefi_bytes){.at = name.at, .size_bytes = name.size_bytes - 2};
    out->value.size_bytes = value_bytes;
    return NULL;
}

/// What is wrong with a variable for us; NULL when nothing is.
static const char *check_variable(const struct uefi_store *store, const struct record *r) {
    const char *why = uefi_store_refuses(&r->guid, r->name, r->attributes);

    if (why != NULL) {
        return why;
    }
    if (r->value.size_bytes == 0 || r->value.size_bytes > UEFI_STORE_VALUE_MAX_BYTES) {
        return "a value has an impossible size";
    }
    if (store->count[UEFI_CLASS_NV] + store->count[UEFI_CLASS_KEY] >= 2 * UEFI_STORE_COUNT_MAX) {
        return "there are too many variables";
    }
    if (uefi_store_find(store, &r->guid, r->name) != NULL) {
        return "a variable is there twice";
    }
    return NULL;
}

/// Our record, if the first one is it. One changed bit must not make it look like another's.
static bool looks_ours(const struct record *r) {
    return uefi_guid_equal(&r->guid, &our_guid) || uefi_name_equal(r->name, our_name) ||
           r->attributes == UEFI_ATTR_NON_VOLATILE;
}

static const char *check_ours(const struct record *r, const uint8_t *image, size_t size_bytes) {
    static const uint8_t zero[4];
    size_t crc_off = OUR_VALUE_OFF + OUR_CRC_OFF;
    uint32_t crc;

    if (!uefi_guid_equal(&r->guid, &our_guid) || !uefi_name_equal(r->name, our_name) ||
        r->attributes != UEFI_ATTR_NON_VOLATILE || r->value.size_bytes < OUR_HEAD_BYTES ||
        (r->value.size_bytes - OUR_HEAD_BYTES) % OUR_DIGEST_BYTES != 0) {
        return "its first record is damaged";
    }
    crc = igvm_crc32(0, image, crc_off);
    crc = igvm_crc32(crc, zero, sizeof(zero));
    crc = igvm_crc32(crc, image + crc_off + 4, size_bytes - crc_off - 4);
    if (crc != load_le32(r->value.at + OUR_CRC_OFF)) {
        return "its checksum does not match";
    }
    return load_le32(r->value.at) == IMAGE_VERSION ? NULL : "it is of a newer version";
}

/// The digest of variable number index, or NULL; *next is the place in our record.
static const uint8_t *digest_of(const struct record *ours, size_t *next, uint32_t index) {
    const uint8_t *at = ours->value.at + *next;

    if (*next >= ours->value.size_bytes || load_le32(at) != index) {
        return NULL;
    }
    *next += OUR_DIGEST_BYTES;
    return at + 4;
}

/// All the variables behind the first record, if that is ours, else all.
static const char *load_variables(struct uefi_store *store, struct cursor *c,
                                  const struct record *ours, bool *no_memory) {
    size_t digest_off = OUR_HEAD_BYTES;
    uint32_t index = 0;

    for (; cursor_left(c) != 0; index++) {
        struct record r;
        struct uefi_variable *v;
        const char *why = take_record(c, &r);

        why = why == NULL ? check_variable(store, &r) : why;
        if (why != NULL) {
            return why;
        }
        v = uefi_variable_new(&r.guid, r.name, r.attributes, r.value, r.time,
                              ours == NULL ? NULL : digest_of(ours, &digest_off, index));
        if (v == NULL) {
            *no_memory = true;
            return "there is no memory for it";
        }
        uefi_store_replace(store, NULL, v);
    }
    if (ours != NULL &&
        (load_le32(ours->value.at + 4) != index || digest_off != ours->value.size_bytes)) {
        return "variables are missing";
    }
    return NULL;
}

int uefi_store_load(struct uefi_store *store, const uint8_t *image, size_t size_bytes,
                    struct uefi_store_report *report) {
    struct cursor c = cursor_init(image, size_bytes);
    struct record first;
    bool no_memory = false;

    *report = (struct uefi_store_report){0};
    report->why = size_bytes > UEFI_STORE_IMAGE_MAX_BYTES ? "it is too large" : NULL;
    if (report->why == NULL) {
        report->why = take_record(&c, &first);
    }
    if (report->why == NULL && looks_ours(&first)) {
        report->why = check_ours(&first, image, size_bytes);
    } else if (report->why == NULL) {
        report->foreign = true;
        c.off = 0;
    }
    if (report->why == NULL) {
        report->why = load_variables(store, &c, report->foreign ? NULL : &first, &no_memory);
    }
    report->off = c.off;
    if (report->why != NULL) {
        uefi_store_clear(store);
        return no_memory ? -ENOMEM : -EBADMSG;
    }
    return 0;
}
