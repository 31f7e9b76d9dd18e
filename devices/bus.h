// SPDX-License-Identifier: MIT
//
// The I/O bus: port I/O and memory-mapped I/O regions and their handlers.
//
// A handler gets an access whose offset is already relative to its region, whose size is 1, 2, 4 or
// 8 bytes and which lies wholly inside the region; the bus guarantees that. What no region claims
// reads as all-ones and swallows writes, as on a PC. An access that straddles a region's end is
// nobody's.
//
// Threads: any VP may dispatch at any time. Lookup takes no lock: the region table stands under a
// sequence lock, which a PCI BAR's move takes as often as the guest likes. A region with a lock is
// dispatched under it.
#pragma once

#include "igvm/base/types.h"

#include <pthread.h>

struct bus_access {
    uint64_t offset; ///< from the start of the region, bytes
    uint8_t size;    ///< 1, 2, 4 or 8 bytes
    bool is_write;
    uint8_t vp_index; ///< the VP that performs the access
    uint64_t value;   ///< write: data, upper bytes zero. read: the handler fills it
};

enum bus_result {
    BUS_OK,       ///< done
    BUS_NOT_MINE, ///< no register there: reads as all-ones, writes are dropped, counted
};

typedef enum bus_result (*bus_fn)(void *self, struct bus_access *access);

struct bus_region {
    uint64_t start;      ///< first address
    uint64_t size_bytes; ///< never 0
    bus_fn fn;
    void *self;
    pthread_mutex_t *lock; ///< held around fn; NULL when the handler is safe without
    const char *name;      ///< for logs and inspect
};

struct bus;

/// Makes an empty bus of addresses [0, limit). NULL when out of memory. Owner frees with bus_free.
struct bus *bus_new(const char *name, uint64_t limit);
void bus_free(struct bus *bus);

/// Adds a region (copied). -EEXIST when it overlaps another, -EINVAL when outside the bus or empty,
/// -ENOSPC when the table is full.
int bus_add(struct bus *bus, const struct bus_region *region);

/// Removes the region that starts at this address. -ENOENT when there is none.
int bus_remove(struct bus *bus, uint64_t start);

/// Performs one access at an absolute address: access->offset is the address on entry and is
/// rewritten. Reads nobody answers give all-ones. Returns whether a device answered.
bool bus_dispatch(struct bus *bus, struct bus_access *access);

/// How many accesses nobody answered.
uint64_t bus_unclaimed_count(const struct bus *bus);

/// Calls fn for every region, in address order; fn must not change the bus.
void bus_for_each(const struct bus *bus, void (*fn)(void *ctx, const struct bus_region *region),
                  void *ctx);
