// SPDX-License-Identifier: MIT
//
// All devices' states as one blob: "PRPTSAVE", u32 version 1, u32 count, then per device u32 name
// bytes, u32 blob bytes, name, blob (devices/state.h); little-endian. VPs and the platform's
// interrupt controllers are not in it.
#pragma once

#include "userspace/machine.h"

/// Owned by the caller (free); NULL when out of memory. The machine is stopped, its devices paused.
uint8_t *machine_state_save(struct machine *machine, size_t *size_bytes);

/// Resets the devices and loads them; the TPM's processor keeps running. -EINVAL with a log line
/// when the blob is not one, names an unknown device or does not fit; devices loaded before the
/// bad one keep what they loaded, so a failed load must be followed by a reset. The machine is
/// stopped, its devices paused.
int machine_state_load(struct machine *machine, const uint8_t *blob, size_t size_bytes);
