// SPDX-License-Identifier: MIT
//
// VTL0's memory by its guest-physical address, for the part that no dax device has
// (loader/memory_plan.c): the trust levels' driver has a window to it.
#pragma once

#include <stdint.h>

/// Opens the window; offset = GPA in mmap(). Gives [0, end_gpa), unless that is empty, struct pages
/// first, which direct I/O wants: without them only transfers of disks there fail, with a warning
/// in the log. The caller closes the descriptor. -errno.
int vsm_low_memory_open(uint64_t end_gpa);
