// SPDX-License-Identifier: MIT
//
// What the parts of the variable service share; its interface is uefi.h.
#pragma once

#include "userspace/uefi/mm.h"
#include "userspace/uefi/uefi.h"

#define UEFI_AREA "uefi-vars"

/// Whether a variable is there for the caller: boot services end the sight of most.
static inline bool uefi_is_visible(const struct uefi_engine *e, const struct uefi_variable *v) {
    return v->attributes & (e->exit_boot_services ? UEFI_ATTR_RUNTIME : UEFI_ATTR_BOOTSERVICE);
}

/// Puts Secure Boot's state variables to what follows from the store. -ENOMEM.
int uefi_state_apply(struct uefi_engine *e, bool at_reset);
/// Whether a variable is one that the state follows from.
bool uefi_state_follows(const struct uefi_guid *guid, struct uefi_bytes name);
/// A key's value, size 0 when it is absent.
struct uefi_bytes uefi_state_key(const struct uefi_engine *e, const char *name);

/// The functions of the variable service. bytes: the function's data, behind function and status.
enum uefi_status uefi_call_get(struct uefi_engine *e, uint8_t *bytes, size_t size_bytes);
enum uefi_status uefi_call_get_next(struct uefi_engine *e, uint8_t *bytes, size_t size_bytes);
enum uefi_status uefi_call_query_info(struct uefi_engine *e, uint8_t *bytes, size_t size_bytes);
enum uefi_status uefi_call_set(struct uefi_engine *e, uint8_t *bytes, size_t size_bytes);
