// SPDX-License-Identifier: MIT
//
// The inspect tree: counters, devices' states and the last log lines as one JSON text.
#pragma once

#include "userspace/machine.h"

/// JSON, NUL-terminated, owned by the caller (free); NULL when out of memory. Fields up to this
/// sensitivity. While the guest runs, numbers are a snapshot field by field.
char *inspect_json(struct machine *machine, enum state_sensitivity up_to, size_t *size_bytes);
