// SPDX-License-Identifier: MIT
//
// minihost's own declarations. main.c finds out what the machine has and which platform it shall
// offer: native.c loads the IGVM file and leaves the machine to it, svm/ and vsm/ stay behind it as
// its hypervisor.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "igvm/base/types.h"
#include "tools/minihost/machine.h"

#define MINIHOST_START_GPA 0x00100000u  ///< minihost.lds
#define MINIHOST_LIMIT_GPA 0x00200000u  ///< where images begin (LAYOUT_SHIM_GPA)
#define MINIHOST_MAP_END   (4ull << 30) ///< pvh.S maps [0, this)
#define MINIHOST_ROM_BYTES (2u << 20)   ///< memory of VTL0 that ends at 4 GiB, for its firmware

enum minihost_platform { MINIHOST_NATIVE, MINIHOST_VSM };

/// Everything that main.c found out before it looks into the IGVM file.
struct minihost {
    enum minihost_platform platform;
    struct machine machine;
    struct gpa_range self;    ///< minihost's image and memory: nothing is loaded there
    struct gpa_range module;  ///< the IGVM file
    struct gpa_range rom;     ///< on vsm: what VTL2 may give VTL0 as its ROM; else empty
    const char *command_line; ///< never NULL
    uint64_t rsdp_gpa;
    uint32_t cpu_count;
    uint32_t vp_count;  ///< CPUs for the image: not the first of several on vsm (svm/svm.h)
    uint64_t entry_tsc; ///< when minihost began
    uint32_t tsc_khz;
    const char *config; ///< host's JSON; NULL: none
    uint32_t config_bytes;
};

/// First C function, called by pvh.S. Never returns.
_Noreturn void minihost_main(uint64_t start_info_gpa);

/// Where minihost's image stands now, and its end with bss; page aligned.
uint64_t minihost_start_gpa(void);
uint64_t minihost_end_gpa(void);

/// Loads the file as the platform NATIVE and enters its BSP. Stops with a line of text on errors.
_Noreturn void native_run(struct minihost *host);

/// Loads the file as VSM_ISOLATION into VTL2 and is its hypervisor from then on.
_Noreturn void vsm_run(struct minihost *host);

/// Memory that vsm_run() wants behind the image: [minihost_end_gpa(), host->self.end).
uint64_t vsm_memory_bytes(const struct minihost *host);

/// Copies the image to to_gpa and begins anew there, with minihost_main(). The memory behind the
/// copy is not touched. pvh.S's page tables stay those of the old place.
_Noreturn void minihost_move(uint64_t to_gpa, uint64_t start_info_gpa);
