// SPDX-License-Identifier: MIT
//
// VTL0's RAM: where it comes from and where the guest sees it.
//
// In VTL2 it is what no Linux allocates: /dev/dax* devices over soft-reserved memory. On a plain
// host it is anonymous memory. The guest sees one run of RAM, cut by the PCI hole:
//
//     guest [0, min(size, 3 GiB))          the first bytes of the chunks, in system-physical order
//     guest [4 GiB, 4 GiB + rest)          the rest
//
// Where the guest's addresses are the machine's own (vsm), each chunk stands where it is.
#pragma once

#include "devices/guest_memory.h"
#include "userspace/host_info.h"

#define GUEST_RAM_MAX_CHUNKS  8u
#define GUEST_RAM_LOW_END_GPA 0xC0000000ull
#define GUEST_RAM_HIGH_GPA    0x100000000ull

struct guest_ram_chunk {
    struct gpa_range physical; ///< system-physical; zero on a plain host
    uint64_t size_bytes;
    uint8_t *host;
    char name[32]; ///< "dax0.0", "anonymous"
};

struct guest_ram {
    uint32_t chunk_count;
    struct guest_ram_chunk chunks[GUEST_RAM_MAX_CHUNKS];
};

/// Maps all dax devices that lie in VTL0's ranges of info. -ENODEV when there are none; -EPERM when
/// a device reaches outside the ranges (it would be VTL2's memory); errors of open and mmap.
int guest_ram_from_dax(struct guest_ram *ram, const struct host_info *info);

/// Anonymous memory with huge pages where the host has them.
int guest_ram_anonymous(struct guest_ram *ram, uint64_t size_bytes);

/// Maps the last size_bytes of the memory that the host has set aside for the guest's firmware, for
/// writing. Stays mapped. NULL with a log line when there is none, or too little.
uint8_t *guest_ram_rom(const struct host_info *info, size_t size_bytes);

uint64_t guest_ram_bytes(const struct guest_ram *ram);

/// Lays at most limit_bytes (0: all) out for the guest. in_place: at its own addresses. -ENOSPC
/// when there are too many pieces.
int guest_ram_layout(const struct guest_ram *ram, uint64_t limit_bytes, bool in_place,
                     struct guest_memory *gm);

/// The mapped bytes of a system-physical range, or NULL when it is not wholly in one chunk.
const uint8_t *guest_ram_at(const struct guest_ram *ram, uint64_t start, uint64_t size_bytes);

void guest_ram_free(struct guest_ram *ram);
