// SPDX-License-Identifier: MIT
//
// Variables as JSON, in the format that virt-firmware, python-uefivars and QEMU's uefi-vars device
// share:
//
//     {"version": 2, "variables": [{"name": "db", "guid": "d719b2cb-…", "attr": 39,
//       "data": "hex", "time": "hex of an EFI_TIME", "digest": "hex of a signer's digest"}, …]}
//
// time and digest may be missing. Only non-volatile variables. Pure, but for malloc.
#pragma once

#include "userspace/uefi/store.h"

#define UEFI_JSON_MAX_BYTES 0x200000u // text; four times what a store can hold

/// What is wrong with a text.
struct uefi_json_error {
    const char *why; ///< static text; NULL: nothing
    int variable;    ///< which one, from 0; -1: none of them
};

/// Reads text into an empty store. -EBADMSG with *error (no JSON, a field missing or of another
/// form, a variable that a store does not hold, a variable twice), -ENOMEM. The store is empty
/// then. Volatile variables are left out.
int uefi_json_read(struct uefi_store *store, const char *text, size_t size_bytes,
                   struct uefi_json_error *error);

/// The store's non-volatile variables as a text with a newline at its end, for free(). NULL:
/// -ENOMEM.
char *uefi_json_write(const struct uefi_store *store, size_t *size_bytes);

/// "8be4df61-93ca-11d2-aa0d-00e098032b8c", either case. False: something else.
bool uefi_guid_parse(const char *text, struct uefi_guid *guid);
#define UEFI_GUID_TEXT_BYTES 37u // with NUL
void uefi_guid_format(const struct uefi_guid *guid, char text[UEFI_GUID_TEXT_BYTES]);

/// UTF-16LE without NUL to UTF-8 with NUL; what is no character becomes '?'. False: no room.
bool uefi_name_to_utf8(struct uefi_bytes name, char *text, size_t room_bytes);
