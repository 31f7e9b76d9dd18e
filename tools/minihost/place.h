// SPDX-License-Identifier: MIT
//
// Where an IGVM file wants its contents, and where the file itself may stand meanwhile. Pure.
#pragma once

#include <stdint.h>

#include "igvm/base/types.h"
#include "tools/minihost/machine.h"

/// Distinct ranges of a file; neighbours in file order are merged, so images need few.
#define PLACE_MAX_TARGETS 256u

struct place {
    uint32_t count;
    struct gpa_range targets[PLACE_MAX_TARGETS];
};

/// Adds a range. Returns 0, -EEXIST if it overlaps one that is there, -E2BIG if the table is full.
int place_add(struct place *place, struct gpa_range range);

/// Whether range overlaps any target.
bool place_overlaps(const struct place *place, struct gpa_range range);

/// Finds the highest page-aligned home below limit_gpa for size_bytes, in RAM, away from all
/// targets and from keep_out. Returns 0 and *start, or -ENOMEM.
int place_find(const struct place *place, const struct machine *machine, struct gpa_range keep_out,
               uint64_t size_bytes, uint64_t limit_gpa, uint64_t *start);
