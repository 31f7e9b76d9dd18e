// SPDX-License-Identifier: MIT
//
// One readable screen about a VP that cannot go on.
#pragma once

#include "vtl2/vtl2.h"

/// Logs what, four numbers of detail (may be NULL) and the VP's registers. On the VP's thread.
void crash_report(const struct vtl2_ops *ops, struct vp *vp, uint32_t vp_index, const char *what,
                  const uint64_t *detail);
