// SPDX-License-Identifier: MIT
//
// The boot shim's own declarations: where it puts what it makes, and its few internal interfaces.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "loader/layout.h"

// The scratch area, LAYOUT_SCRATCH_GPA on. VTL2's Linux copies or reserves what it still needs.
#define SCRATCH_BOOT_PARAMS_GPA    (LAYOUT_SCRATCH_GPA + 0x00000u) ///< struct linux_boot_params
#define SCRATCH_COMMAND_LINE_GPA   (LAYOUT_SCRATCH_GPA + 0x01000u)
#define SCRATCH_COMMAND_LINE_BYTES 0x1000u
#define SCRATCH_OUT_TREE_GPA       (LAYOUT_SCRATCH_GPA + 0x02000u) ///< linux_setup_data, then DTB
#define SCRATCH_OUT_TREE_BYTES     0x3e000u
#define SCRATCH_HOST_TREE_GPA      (LAYOUT_SCRATCH_GPA + 0x40000u) ///< private copies of what the
#define SCRATCH_HOST_LINE_GPA      (LAYOUT_SCRATCH_GPA + 0x60000u) ///< host deposited
#define SCRATCH_USED_BYTES         0x61000u
_Static_assert(SCRATCH_OUT_TREE_GPA + SCRATCH_OUT_TREE_BYTES == SCRATCH_HOST_TREE_GPA,
               "no overlap");
_Static_assert(SCRATCH_HOST_TREE_GPA + LAYOUT_DEVICE_TREE_BYTES == SCRATCH_HOST_LINE_GPA,
               "no overlap");
_Static_assert(SCRATCH_USED_BYTES <= LAYOUT_SCRATCH_BYTES, "scratch area is large enough");

/// What entry.S writes at the lowest address of the stack; must still be there at the end.
#define SHIM_STACK_COOKIE 0x7061726170657421ull

/// First C function, called by entry.S with what was in EDI, the TSC at entry, and how far above
/// its GPAs in loader/layout.h the image was loaded. Never returns.
_Noreturn void shim_main(uint32_t platform, uint64_t entry_tsc, uint64_t delta);

/// entry.S: leaves for the kernel (boot.rst, "64-bit Boot Protocol").
_Noreturn void shim_enter_kernel(uint64_t entry_gpa, uint64_t boot_params_gpa);

/// entry.S: the lowest quadword of the stack.
extern const uint64_t shim_stack_floor;

/// Everything printed so far, for /parapet/shim-log.
const char *shim_log(uint32_t *size_bytes);

/// Compares a payload with its measured digest; stops, saying what is wrong, if it differs.
void shim_verify_payload(const char *name, const struct shim_payload *payload);
