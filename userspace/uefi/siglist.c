// SPDX-License-Identifier: MIT
//
// Signature lists: see siglist.h. The walk is proved in tests/proofs/uefi_siglist.c.
#include "userspace/uefi/siglist.h"

#define ANY_SIZE 0u

static const struct {
    struct uefi_guid guid;
    const char *name;
    uint32_t data_bytes; // of every signature of this type; ANY_SIZE: one per list, of any size
} types[UEFI_SIG_TYPE_COUNT] = {
    [UEFI_SIG_X509] = {UEFI_GUID(0xa5c059a1, 0x94e4, 0x4aa7, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b,
                                 0xf0, 0x72),
                       "X.509", ANY_SIZE},
    [UEFI_SIG_SHA256] = {UEFI_GUID(0xc1c41626, 0x504c, 0x4092, 0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93,
                                   0x43, 0x28),
                         "SHA-256", 32},
    [UEFI_SIG_SHA1] = {UEFI_GUID(0x826ca512, 0xcf10, 0x4ac9, 0xb1, 0x87, 0xbe, 0x01, 0x49, 0x66,
                                 0x31, 0xbd),
                       "SHA-1", 20},
    [UEFI_SIG_SHA224] = {UEFI_GUID(0x0b6e5233, 0xa65c, 0x44c9, 0x94, 0x07, 0xd9, 0xab, 0x83, 0xbf,
                                   0xc8, 0xbd),
                         "SHA-224", 28},
    [UEFI_SIG_SHA384] = {UEFI_GUID(0xff3e5307, 0x9fd0, 0x48c9, 0x85, 0xf1, 0x8a, 0xd5, 0x6c, 0x70,
                                   0x1e, 0x01),
                         "SHA-384", 48},
    [UEFI_SIG_SHA512] = {UEFI_GUID(0x093e0fae, 0xa6c4, 0x4f50, 0x9f, 0x1b, 0xd4, 0x1e, 0x2b, 0x89,
                                   0xc1, 0x9a),
                         "SHA-512", 64},
    [UEFI_SIG_RSA2048] = {UEFI_GUID(0x3c5766e8, 0x269c, 0x4e34, 0xaa, 0x14, 0xed, 0x77, 0x6e, 0x85,
                                    0xb3, 0xb6),
                          "RSA-2048", 256},
    [UEFI_SIG_RSA2048_SHA1] = {UEFI_GUID(0x67f8444f, 0x8743, 0x48f1, 0xa3, 0x28, 0x1e, 0xaa, 0xb8,
                                         0x73, 0x60, 0x80),
                               "RSA-2048/SHA-1", 256},
    [UEFI_SIG_RSA2048_SHA256] = {UEFI_GUID(0xe2b36190, 0x879b, 0x4a3d, 0xad, 0x8d, 0xf2, 0xe7, 0xbb,
                                           0xa3, 0x27, 0x84),
                                 "RSA-2048/SHA-256", 256},
    [UEFI_SIG_X509_SHA256] = {UEFI_GUID(0x3bd2a492, 0x96c0, 0x4079, 0xb4, 0x20, 0xfc, 0xf9, 0x8e,
                                        0xf1, 0x03, 0xed),
                              "X.509 SHA-256", 48},
    [UEFI_SIG_X509_SHA384] = {UEFI_GUID(0x7076876e, 0x80c2, 0x4ee6, 0xaa, 0xd2, 0x28, 0xb3, 0x49,
                                        0xa6, 0x86, 0x5b),
                              "X.509 SHA-384", 64},
    [UEFI_SIG_X509_SHA512] = {UEFI_GUID(0x446dbf63, 0x2502, 0x4cda, 0xbc, 0xfa, 0x24, 0x65, 0xd2,
                                        0xb0, 0xfe, 0x9d),
                              "X.509 SHA-512", 80},
};

const struct uefi_guid *uefi_sig_guid(enum uefi_sig_type type) {
    return &types[type].guid;
}

const char *uefi_sig_name(enum uefi_sig_type type) {
    return types[type].name;
}

static bool type_of(const struct uefi_guid *guid, enum uefi_sig_type *type) {
    for (unsigned i = 0; i < UEFI_SIG_TYPE_COUNT; i++) {
        if (uefi_guid_equal(guid, &types[i].guid)) {
            *type = (enum uefi_sig_type)i;
            return true;
        }
    }
    return false;
}

void uefi_siglist_begin(struct uefi_siglist_walk *walk, struct uefi_bytes value) {
    *walk = (struct uefi_siglist_walk){.lists = cursor_init(value.at, value.size_bytes)};
}

/// Steps into the next list. NULL, or what is wrong with it; every list has a signature.
static const char *next_list(struct uefi_siglist_walk *walk) {
    struct cursor c = walk->lists;
    const uint8_t *guid;
    uint32_t list_bytes, header_bytes, entry_bytes, data_bytes;

    if (!cursor_take(&c, sizeof(struct uefi_guid), &guid) || !cursor_le32(&c, &list_bytes) ||
        !cursor_le32(&c, &header_bytes) || !cursor_le32(&c, &entry_bytes)) {
        return "signature list: cut off in its header";
    }
    if (!type_of((const struct uefi_guid *)guid, &walk->type)) {
        return "signature list: unknown type";
    }
    if (header_bytes != 0) {
        return "signature list: header size is not 0";
    }
    if (list_bytes < UEFI_SIGLIST_HEADER_BYTES ||
        !cursor_sub(&c, list_bytes - UEFI_SIGLIST_HEADER_BYTES, &walk->entries)) {
        return "signature list: size";
    }
    data_bytes = types[walk->type].data_bytes;
    if (data_bytes == ANY_SIZE ? entry_bytes <= UEFI_SIGLIST_OWNER_BYTES
                               : entry_bytes != UEFI_SIGLIST_OWNER_BYTES + data_bytes) {
        return "signature list: signature size is not its type's";
    }
    if (list_bytes == UEFI_SIGLIST_HEADER_BYTES ||
        (list_bytes - UEFI_SIGLIST_HEADER_BYTES) % entry_bytes != 0) {
        return "signature list: no whole number of signatures";
    }
    walk->entry_bytes = entry_bytes;
    walk->lists = c;
    return NULL;
}

bool uefi_siglist_next(struct uefi_siglist_walk *walk, struct uefi_signature *out) {
    if (walk->wrong != NULL) {
        return false;
    }
    if (cursor_left(&walk->entries) == 0) {
        if (cursor_left(&walk->lists) == 0) {
            return false;
        }
        walk->wrong = next_list(walk);
        if (walk->wrong != NULL) {
            return false;
        }
    }
    // Cannot fail: next_list() saw that the list is a multiple of entry_bytes.
    if (!cursor_take(&walk->entries, walk->entry_bytes, &out->whole.at)) {
        walk->wrong = "signature list: cut off";
        return false;
    }
    out->type = walk->type;
    out->whole.size_bytes = walk->entry_bytes;
    out->owner = (struct uefi_bytes){out->whole.at, UEFI_SIGLIST_OWNER_BYTES};
    out->data = (struct uefi_bytes){out->whole.at + UEFI_SIGLIST_OWNER_BYTES,
                                    walk->entry_bytes - UEFI_SIGLIST_OWNER_BYTES};
    return true;
}

const char *uefi_siglist_check(struct uefi_bytes value, size_t *count) {
    struct uefi_siglist_walk walk;
    struct uefi_signature signature;

    *count = 0;
    uefi_siglist_begin(&walk, value);
    while (uefi_siglist_next(&walk, &signature)) {
        ++*count;
    }
    return walk.wrong;
}

/// Whether value has this signature before the place end (which may lie outside of value).
static bool has(struct uefi_bytes value, const struct uefi_signature *wanted, const uint8_t *end) {
    struct uefi_siglist_walk walk;
    struct uefi_signature found;

    uefi_siglist_begin(&walk, value);
    while (uefi_siglist_next(&walk, &found)) {
        if (found.whole.at == end) {
            return false;
        }
        if (found.type == wanted->type && found.whole.size_bytes == wanted->whole.size_bytes &&
            memcmp(found.whole.at, wanted->whole.at, found.whole.size_bytes) == 0) {
            return true;
        }
    }
    return false;
}

bool uefi_siglist_append(struct uefi_bytes old, struct uefi_bytes added, uint8_t *room,
                         size_t room_bytes, struct uefi_bytes *out, size_t *added_count) {
    struct uefi_siglist_walk walk;
    struct uefi_signature signature;
    size_t end = old.size_bytes;
    size_t list_off = end;              // of the list being written
    const uint8_t *list_of_last = NULL; // which list of added that is: where it ends

    *added_count = 0;
    if (old.size_bytes > room_bytes) {
        return false;
    }
    if (old.size_bytes > 0) {
        memcpy(room, old.at, old.size_bytes);
    }
    uefi_siglist_begin(&walk, added);
    while (uefi_siglist_next(&walk, &signature)) {
        const uint8_t *list_of_this = walk.lists.base + walk.lists.off;
        const bool begins = list_of_this != list_of_last;
        const size_t needed = signature.whole.size_bytes + (begins ? UEFI_SIGLIST_HEADER_BYTES : 0);

        if (has(old, &signature, NULL) || has(added, &signature, signature.whole.at)) {
            continue;
        }
        if (room_bytes - end < needed) {
            return false;
        }
        if (begins) {
            list_off = end;
            list_of_last = list_of_this;
            (void)uefi_siglist_header(room + end, signature.type,
                                      (uint32_t)signature.data.size_bytes, 0);
            end += UEFI_SIGLIST_HEADER_BYTES;
        }
        memcpy(room + end, signature.whole.at, signature.whole.size_bytes);
        end += signature.whole.size_bytes;
        store_le32(room + list_off + 16, (uint32_t)(end - list_off));
        ++*added_count;
    }
    *out = (struct uefi_bytes){room, end};
    return walk.wrong == NULL;
}

uint32_t uefi_siglist_header(uint8_t header[UEFI_SIGLIST_HEADER_BYTES], enum uefi_sig_type type,
                             uint32_t data_bytes, uint32_t count) {
    uint32_t entry_bytes, entries_bytes, list_bytes;

    if (__builtin_add_overflow(data_bytes, UEFI_SIGLIST_OWNER_BYTES, &entry_bytes) ||
        __builtin_mul_overflow(entry_bytes, count, &entries_bytes) ||
        __builtin_add_overflow(entries_bytes, UEFI_SIGLIST_HEADER_BYTES, &list_bytes)) {
        return 0;
    }
    memcpy(header, types[type].guid.bytes, sizeof(types[type].guid));
    store_le32(header + 16, list_bytes);
    store_le32(header + 20, 0);
    store_le32(header + 24, entry_bytes);
    return list_bytes;
}
