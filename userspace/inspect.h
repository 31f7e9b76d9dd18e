// SPDX-License-Identifier: MIT
//
// The inspect tree: counters, devices' states and the last log lines as one JSON text; and the
// devices' states as one binary blob.
#pragma once

#include "userspace/machine.h"

/// JSON, NUL-terminated, owned by the caller (free); NULL when out of memory. Fields up to this
/// sensitivity. While the guest runs, numbers are a snapshot field by field.
char *inspect_json(struct machine *machine, enum state_sensitivity up_to, size_t *size_bytes);

/// All devices' states: "PRPTSAVE", u32 version 1, u32 count, then per device u32 name bytes, u32
/// blob bytes, name, blob (devices/state.h); little-endian. Owned by the caller; NULL when out of
/// memory. The machine is stopped and its devices are paused.
uint8_t *inspect_save(struct machine *machine, size_t *size_bytes);
