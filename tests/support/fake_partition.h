// SPDX-License-Identifier: MIT
//
// minihost's partition without a processor: VPs whose VMCBs, RAM and overlay pages are memory of
// the test; kicks, vectors for VTL2 and log lines are recorded.
#pragma once

#include "tools/minihost/vsm/vsm.h"

#define FAKE_PARTITION_VPS        2u
#define FAKE_PARTITION_RAM_BYTES  0x40000u ///< GPA [0, this), for both VTLs
#define FAKE_PARTITION_LOG_BYTES  4096u
#define FAKE_PARTITION_ASSIST_GPA 0x3E000u ///< VTL2's VP assist pages, one per VP

struct fake_partition {
    struct vsm_partition partition;
    struct vsm_vp vps[FAKE_PARTITION_VPS];
    uint8_t *ram;
    uint64_t now_100ns;
    uint64_t msr[16]; ///< the processor's, hashed by index: enough to see what was written
    bool cpuid_ones;  ///< the processor's CPUID leaves are all ones
    uint32_t protections[FAKE_PARTITION_RAM_BYTES / PAGE_SIZE_4K];
    void *overlays[VSM_VTL_COUNT][FAKE_PARTITION_RAM_BYTES / PAGE_SIZE_4K];
    unsigned kicks[FAKE_PARTITION_VPS];
    unsigned raised[FAKE_PARTITION_VPS][256];
    char log[FAKE_PARTITION_LOG_BYTES];
};

extern struct fake_partition *fake; ///< the one there is, or NULL: ops have no context

/// All VPs are in VTL2 after vsm_init(); VP 0's VTL2 runs.
struct fake_partition *fake_partition_new(void);
void fake_partition_free(struct fake_partition *f);

/// The VP is in VTL0 and runs there, in flat 32-bit code without paging at rip; its VTL2 has a VP
/// assist page.
void fake_partition_enter_vtl0(struct fake_partition *f, unsigned vp, uint64_t rip);

/// Puts code at rip and makes it the next instruction of the VP's VTL0.
void fake_partition_code(struct fake_partition *f, unsigned vp, uint64_t rip, const void *code,
                         size_t size_bytes);

/// What the processor would say on an exit, and vsm's answer: vsm_handle_exit().
enum vsm_next fake_partition_exit(struct fake_partition *f, unsigned vp, uint64_t code,
                                  uint64_t info_1, uint64_t info_2);
