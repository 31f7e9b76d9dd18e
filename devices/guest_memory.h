// SPDX-License-Identifier: MIT
//
// VTL0's memory as devices see it: never a raw pointer, always an address, a length and a copy.
//
// A device copies a descriptor in once, checks its copy and uses its copy. Where data must move
// without a copy (disk I/O), a span is acquired: range-checked once, valid while the machine lives
// (VTL0's RAM is mapped once and never unmapped under a running device). The bytes behind a span
// change under the device at any time; it may only hand them on, never interpret them twice.
#pragma once

#include "igvm/base/types.h"

#include <sys/uio.h>

#define GUEST_MEMORY_MAX_REGIONS 8

/// A part of VTL0's RAM: guest [gpa.start, gpa.end) stands at host.
struct guest_region {
    struct gpa_range gpa;
    uint8_t *host;
};

struct guest_memory {
    uint32_t region_count;
    struct guest_region regions[GUEST_MEMORY_MAX_REGIONS]; ///< sorted, disjoint
};

/// Adds a region; keeps the order. -EINVAL: empty, unaligned to 4 KiB or wrapping; -EEXIST:
/// overlap; -ENOSPC: table full. Only before the machine runs.
int guest_memory_add(struct guest_memory *gm, struct gpa_range range, uint8_t *host);

/// Whether all of [start, start + size) is RAM (it may cross adjacent regions).
bool guest_memory_is_ram(const struct guest_memory *gm, gpa_t start, uint64_t size_bytes);

/// End of the RAM that starts at 0, at most 4 GiB (where it goes on behind the PCI hole).
uint64_t guest_memory_low_end(const struct guest_memory *gm);

/// Copy out of and into guest memory; all or nothing. -EFAULT when any byte is not RAM.
int guest_read(const struct guest_memory *gm, gpa_t from, void *to, size_t size_bytes);
int guest_write(const struct guest_memory *gm, gpa_t to, const void *from, size_t size_bytes);
int guest_zero(const struct guest_memory *gm, gpa_t to, size_t size_bytes);

/// Single-copy atomic accesses for ring indices; the address must be naturally aligned (-EINVAL).
int guest_load_le16(const struct guest_memory *gm, gpa_t from, uint16_t *out); ///< acquire
int guest_store_le16(const struct guest_memory *gm, gpa_t to, uint16_t value); ///< release

/// Turns [start, start + size) into iovecs without copying; a range that crosses k region borders
/// gives k + 1. Returns how many were written, -EFAULT when a byte is not RAM, -ENOSPC when more
/// than capacity are needed. Size 0 gives 0.
int guest_spans(const struct guest_memory *gm, gpa_t start, uint64_t size_bytes, struct iovec *out,
                unsigned capacity);
