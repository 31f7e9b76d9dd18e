// SPDX-License-Identifier: MIT
//
// The states of all devices of a machine as one blob, little-endian: "PRPTSAVE", u32 version 1, u32
// count, then per device u32 name bytes, u32 blob bytes, name, blob (devices/state.h). VPs and the
// platform's interrupt controllers are not in it.
#pragma once

#include "devices/device.h"

#include <stddef.h>
#include <stdint.h>

/// devices: the first of a list joined by device.next, all paused, no VP running. Owned by the
/// caller (free); NULL when out of memory.
uint8_t *device_states_save(struct device *devices, size_t *size_bytes);

/// Whether this is a blob for these devices, as far as that can be said without loading it. -EINVAL
/// with a log line when it is cut, has bytes left over, or a record names no device of the list,
/// one without state, or one a second time.
int device_states_check(struct device *devices, const uint8_t *blob, size_t size_bytes);

/// Loads a blob onto devices that were just reset, paused as above. A device that the blob does not
/// name keeps its reset state. -EINVAL with a log line: nothing is changed when
/// device_states_check() refuses it. A device that refuses its record is left with reset values,
/// those before it with what they loaded: the guest cannot go on with them and must be restarted.
int device_states_load(struct device *devices, const uint8_t *blob, size_t size_bytes);
