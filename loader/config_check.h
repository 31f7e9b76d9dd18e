// SPDX-License-Identifier: MIT
//
// Checks the measured configuration (struct shim_config) against the layout. Pure.
//
// The page is measured, so a wrong one is a wrong image, not an attack; it is still checked in
// full, because what follows copies, hashes and jumps by it.
#pragma once

#include <stdint.h>

#include "igvm/base/types.h"
#include "loader/bzimage.h"
#include "loader/layout.h"

/// What the shim works with after the check: the payloads by kind, NULL if absent.
struct config_payloads {
    const struct shim_payload *kernel; ///< never NULL after a successful check
    const struct shim_payload *initrd;
    const struct shim_payload *vtl0_kernel;
    const struct shim_payload *vtl0_initrd;
    const struct shim_payload *vtl0_firmware;
};

/// Checks a private copy of the page, whose GPAs are those of loader/layout.h, and adds delta (how
/// far above them the image stands) to them. Returns 0, or -EINVAL with *why (constant text) and
/// *bad_idx (payload index, or UINT32_MAX when the fault is not in a payload). *out points into
/// config.
int shim_config_check(struct shim_config *config, uint64_t delta, struct config_payloads *out,
                      const char **why, uint32_t *bad_idx);

/// Checks that the kernel, which stands where payloads->kernel says, can unpack itself without
/// overwriting the shim, the initrd or leaving VTL2's RAM. Returns 0, or -ERANGE with *why;
/// *run is where it will run.
int config_check_kernel_room(const struct shim_config *config, uint64_t delta,
                             const struct config_payloads *payloads,
                             const struct bzimage_info *image, struct gpa_range *run,
                             const char **why);
