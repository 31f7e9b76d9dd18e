// SPDX-License-Identifier: MIT
//
// minihost's own declarations. Stage 0 is no hypervisor: it loads an IGVM file as the platform
// NATIVE, and leaves the machine to it. Later stages join here: one file per platform beside
// native.c, chosen by main.c.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "igvm/base/types.h"
#include "tools/minihost/machine.h"

#define MINIHOST_START_GPA 0x00100000u  ///< minihost.lds
#define MINIHOST_LIMIT_GPA 0x00200000u  ///< where images begin (LAYOUT_SHIM_GPA)
#define MINIHOST_MAP_END   (4ull << 30) ///< pvh.S maps [0, this)

/// Everything that main.c found out before it looks into the IGVM file.
struct minihost {
    struct machine machine;
    struct gpa_range module;  ///< the IGVM file
    const char *command_line; ///< never NULL
    uint64_t rsdp_gpa;
    uint32_t vp_count;
    uint32_t tsc_khz;
    const char *config; ///< host's JSON; NULL: none
    uint32_t config_bytes;
};

/// First C function, called by pvh.S. Never returns.
_Noreturn void minihost_main(uint64_t start_info_gpa);

/// End of minihost's image with bss, page aligned.
uint64_t minihost_end_gpa(void);

/// Loads the file as the platform NATIVE and enters its BSP. Stops with a line of text on errors.
_Noreturn void native_run(struct minihost *host);
