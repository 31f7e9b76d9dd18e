// SPDX-License-Identifier: MIT
//
// uefikeys: what its parts share.
#pragma once

#include "userspace/uefi/auth.h"
#include "userspace/uefi/store.h"

#define UEFIKEYS_FILE_MAX_BYTES 0x2000000u // of an input

/// Prints "uefikeys: …" on stderr.
void uefikeys_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/// A whole file for free(). NULL, with the reason printed.
uint8_t *uefikeys_read(const char *path, size_t *size_bytes);

/// PK, KEK, db, dbx and the like out of EDK II's variable store (MdeModulePkg's
/// VariableFormat.h) in a firmware image: authenticated format, the newest of each. 0 or -EINVAL
/// with the reason printed.
int uefikeys_edk2(struct uefi_store *store, const uint8_t *bytes, size_t size_bytes,
                  const char *path);

/// What a file holds for a key variable: PEM or DER certificates become signature lists of owner;
/// signature lists stay. A malloc'd value. NULL, with the reason printed.
uint8_t *uefikeys_value(const char *path, const struct uefi_guid *owner, size_t *size_bytes);
