// SPDX-License-Identifier: MIT
//
// A disk with a volatile write cache whose power can be cut.
//
// What was written since the last flush may or may not have reached the medium: any subset of its
// sectors, in any order, each of them whole or torn at any byte. Power goes at a chosen write or
// flush. Everything follows from a seed.
#pragma once

#include "userspace/vmgs/vmgs.h"

#define CUT_DISK_MAX_BLOCKS  32u
#define CUT_DISK_MAX_PENDING 1024u
#define CUT_DISK_NEVER       UINT32_MAX

struct cut_disk {
    uint8_t medium[CUT_DISK_MAX_BLOCKS * VMGS_BLOCK_BYTES]; // survives
    uint8_t cache[CUT_DISK_MAX_BLOCKS * VMGS_BLOCK_BYTES];  // what reads see
    uint8_t pool[CUT_DISK_MAX_PENDING * 512u];              // contents of pending sectors
    uint64_t pending_off[CUT_DISK_MAX_PENDING];             // their places on the disk
    uint32_t pending_count;
    uint32_t block_count;
    uint32_t sector_bytes;
    uint64_t seed;
    uint32_t steps;  // writes and flushes so far
    uint32_t cut_at; // the step at which the power goes; CUT_DISK_NEVER
    bool dead;       // it has gone: nothing works
    bool lies;       // flush does nothing and says that it did
};

void cut_disk_init(struct cut_disk *disk, uint32_t block_count, uint32_t sector_bytes,
                   uint64_t seed);

/// The callbacks for vmgs_open() and vmgs_create().
struct vmgs_disk cut_disk_ops(struct cut_disk *disk);

/// The power comes back: some of what was pending is on the medium, the rest is lost.
void cut_disk_restart(struct cut_disk *disk);

/// The same medium from another draw: cut_disk_restart() on a copy in *to.
void cut_disk_copy(struct cut_disk *to, const struct cut_disk *from, uint64_t seed);

/// The next pseudo-random number.
uint64_t cut_disk_random(struct cut_disk *disk);
