// SPDX-License-Identifier: MIT
//
// Loading an IGVM file onto the machine: the same for all platforms, but for the BSP's registers.
#pragma once

#include "igvm/igvm_load.h"
#include "tools/minihost/minihost.h"

struct load_platform {
    enum igvm_platform_type type;
    const char *name; ///< as the specification has it
    /// Takes the context of VP 0, in the platform's format. NULL, or why not: a constant text.
    const char *(*set_registers)(const struct igvm_vp *vp);
};

/// Loads host->module. Stops minihost with a line of text on every error.
void load_image(struct minihost *host, const struct load_platform *platform);
