// SPDX-License-Identifier: MIT
//
// The keys that a new variable store begins with: a text in the format of vars_json.h with PK, KEK,
// db and the like, made at build time (tools/uefikeys). Pure.
#pragma once

#include "userspace/uefi/uefi.h"
#include "userspace/uefi/vars_json.h"

#define UEFI_KEYS_MAX_BYTES 0x80000u ///< of such a text

/// Puts the keys into an engine whose store is new, and puts Secure Boot's state right as a
/// power-on does; uefi_engine_save() is the caller's. -EBADMSG with *error: not such a text,
/// something else than keys in it, a value that is no list of signatures, no PK (Secure Boot would
/// be off, which only no text at all may mean). -ENOSPC, -ENOMEM.
int uefi_keys_provision(struct uefi_engine *engine, const char *text, size_t size_bytes,
                        struct uefi_json_error *error);

/// Whether a variable may stand among keys: NULL, or why not (static text).
const char *uefi_keys_check(const struct uefi_variable *variable);
