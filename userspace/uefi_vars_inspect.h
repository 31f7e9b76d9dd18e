// SPDX-License-Identifier: MIT
//
// What may be shown of the variables: names, attributes and sizes, never a value.
#pragma once

#include "userspace/uefi/uefi.h"

/// Writes lines of text (no NUL) to out: the service's state, then "guid attributes size name" of
/// each variable, as many as fit in room_bytes. engine NULL: there is no good store. Returns the
/// bytes written.
size_t uefi_vars_inspect(const struct uefi_engine *engine, char *out, size_t room_bytes);
