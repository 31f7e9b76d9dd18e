// SPDX-License-Identifier: MIT
//
// The I/O bus: a sorted table of regions under a sequence lock.
//
// Lookup is a binary search that takes no lock and writes nothing: a reader that saw the table
// change underneath (a PCI BAR moved) searches again. All table words are relaxed atomics, ordered
// by the sequence's fences, so that a torn read is seen and thrown away, never used. Writers (start
// of the machine, BAR moves) take the bus's mutex. A handler may still be entered just after its
// region went away; devices live as long as the machine.
#include "devices/bus.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

/// 32 PCI functions with a dozen BAR parts each, and the fixed devices.
#define BUS_MAX_REGIONS 512u

/// A bus_region whose words may be read while a writer moves it.
struct slot {
    _Atomic(uint64_t) start;
    _Atomic(uint64_t) size_bytes;
    _Atomic(bus_fn) fn;
    _Atomic(void *) self;
    _Atomic(pthread_mutex_t *) lock;
    _Atomic(const char *) name;
};

struct bus {
    const char *name;
    uint64_t limit;
    pthread_mutex_t write_lock;
    _Atomic uint32_t sequence; ///< odd while a writer is at work
    _Atomic uint32_t count;
    _Atomic uint64_t unclaimed_count;
    struct slot slots[BUS_MAX_REGIONS]; ///< [0, count) sorted by start, disjoint
};

#define RELAXED memory_order_relaxed

static void slot_load(const struct slot *slot, struct bus_region *out) {
    *out = (struct bus_region){
        .start = atomic_load_explicit(&slot->start, RELAXED),
        .size_bytes = atomic_load_explicit(&slot->size_bytes, RELAXED),
        .fn = atomic_load_explicit(&slot->fn, RELAXED),
        .self = atomic_load_explicit(&slot->self, RELAXED),
        .lock = atomic_load_explicit(&slot->lock, RELAXED),
        .name = atomic_load_explicit(&slot->name, RELAXED),
    };
}

static void slot_store(struct slot *slot, const struct bus_region *region) {
    atomic_store_explicit(&slot->start, region->start, RELAXED);
    atomic_store_explicit(&slot->size_bytes, region->size_bytes, RELAXED);
    atomic_store_explicit(&slot->fn, region->fn, RELAXED);
    atomic_store_explicit(&slot->self, region->self, RELAXED);
    atomic_store_explicit(&slot->lock, region->lock, RELAXED);
    atomic_store_explicit(&slot->name, region->name, RELAXED);
}

static void slot_copy(struct slot *to, const struct slot *from) {
    struct bus_region region;

    slot_load(from, &region);
    slot_store(to, &region);
}

struct bus *bus_new(const char *name, uint64_t limit) {
    struct bus *bus = calloc(1, sizeof(*bus));

    if (bus) {
        bus->name = name;
        bus->limit = limit;
        pthread_mutex_init(&bus->write_lock, NULL);
    }
    return bus;
}

void bus_free(struct bus *bus) {
    if (bus) {
        pthread_mutex_destroy(&bus->write_lock);
        free(bus);
    }
}

/// How many regions start at or below this address; the last of them is the only candidate.
static uint32_t count_up_to(const struct bus *bus, uint64_t address) {
    uint32_t low = 0;
    uint32_t high = atomic_load_explicit(&bus->count, RELAXED);

    while (low < high) { // halves: at most ten steps, whatever a writer does meanwhile
        uint32_t middle = low + (high - low) / 2;

        if (atomic_load_explicit(&bus->slots[middle].start, RELAXED) <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void write_begin(struct bus *bus) {
    atomic_fetch_add_explicit(&bus->sequence, 1, RELAXED);
    atomic_thread_fence(memory_order_release);
}

static void write_end(struct bus *bus) {
    atomic_fetch_add_explicit(&bus->sequence, 1, memory_order_release);
}

/// The position for a new region, or the reason why it cannot be added. Under write_lock.
static int find_gap(const struct bus *bus, const struct bus_region *region, uint32_t *at) {
    uint32_t count = atomic_load_explicit(&bus->count, RELAXED);
    struct bus_region other;
    uint64_t end;

    if (region->size_bytes == 0 || !region->fn ||
        __builtin_add_overflow(region->start, region->size_bytes, &end) || end > bus->limit) {
        return -EINVAL;
    }
    *at = count_up_to(bus, region->start);
    if (*at > 0) {
        slot_load(&bus->slots[*at - 1], &other);
        if (region->start - other.start < other.size_bytes) {
            return -EEXIST;
        }
    }
    if (*at < count) {
        slot_load(&bus->slots[*at], &other);
        if (other.start < end) {
            return -EEXIST;
        }
    }
    return count == BUS_MAX_REGIONS ? -ENOSPC : 0;
}

int bus_add(struct bus *bus, const struct bus_region *region) {
    uint32_t at = 0;
    int r;

    pthread_mutex_lock(&bus->write_lock);
    r = find_gap(bus, region, &at);
    if (r == 0) {
        uint32_t count = atomic_load_explicit(&bus->count, RELAXED);

        write_begin(bus);
        for (uint32_t i = count; i > at; i--) {
            slot_copy(&bus->slots[i], &bus->slots[i - 1]);
        }
        slot_store(&bus->slots[at], region);
        atomic_store_explicit(&bus->count, count + 1, RELAXED);
        write_end(bus);
    }
    pthread_mutex_unlock(&bus->write_lock);
    return r;
}

int bus_remove(struct bus *bus, uint64_t start) {
    int r = -ENOENT;
    uint32_t at;

    pthread_mutex_lock(&bus->write_lock);
    at = count_up_to(bus, start);
    if (at > 0 && atomic_load_explicit(&bus->slots[at - 1].start, RELAXED) == start) {
        uint32_t count = atomic_load_explicit(&bus->count, RELAXED);

        write_begin(bus);
        for (uint32_t i = at; i < count; i++) {
            slot_copy(&bus->slots[i - 1], &bus->slots[i]);
        }
        atomic_store_explicit(&bus->count, count - 1, RELAXED);
        write_end(bus);
        r = 0;
    }
    pthread_mutex_unlock(&bus->write_lock);
    return r;
}

/// Finds the region that holds all of [address, address + size_bytes).
static bool find_region(const struct bus *bus, uint64_t address, uint8_t size_bytes,
                        struct bus_region *out) {
    for (;;) { // a repeat needs another BAR move by the guest; writers never wait for readers
        uint32_t before = atomic_load_explicit(&bus->sequence, memory_order_acquire);
        uint32_t at = count_up_to(bus, address);
        bool found = at > 0;

        if (found) {
            slot_load(&bus->slots[at - 1], out);
        }
        atomic_thread_fence(memory_order_acquire);
        if ((before & 1) == 0 && atomic_load_explicit(&bus->sequence, RELAXED) == before) {
            return found && address - out->start < out->size_bytes &&
                   size_bytes <= out->size_bytes - (address - out->start);
        }
    }
}

static uint64_t size_mask(uint8_t size_bytes) {
    return size_bytes >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * size_bytes)) - 1;
}

static bool size_is_valid(uint8_t size_bytes) {
    return size_bytes == 1 || size_bytes == 2 || size_bytes == 4 || size_bytes == 8;
}

bool bus_dispatch(struct bus *bus, struct bus_access *access) {
    struct bus_region region;
    enum bus_result result = BUS_NOT_MINE;

    if (size_is_valid(access->size) && find_region(bus, access->offset, access->size, &region)) {
        access->offset -= region.start;
        // Handlers may rely on clean upper bytes of a write and on a read that starts at 0.
        access->value = access->is_write ? access->value & size_mask(access->size) : 0;
        if (region.lock) {
            pthread_mutex_lock(region.lock);
        }
        result = region.fn(region.self, access);
        if (region.lock) {
            pthread_mutex_unlock(region.lock);
        }
    }
    if (result != BUS_OK) {
        atomic_fetch_add_explicit(&bus->unclaimed_count, 1, RELAXED);
        if (!access->is_write) {
            access->value = UINT64_MAX;
        }
    }
    if (!access->is_write) {
        access->value &= size_mask(access->size);
    }
    return result == BUS_OK;
}

uint64_t bus_unclaimed_count(const struct bus *bus) {
    return atomic_load_explicit(&bus->unclaimed_count, RELAXED);
}

void bus_for_each(const struct bus *bus, void (*fn)(void *ctx, const struct bus_region *region),
                  void *ctx) {
    struct bus *mutable_bus = (struct bus *)(uintptr_t)bus; // for the lock only
    struct bus_region region;

    pthread_mutex_lock(&mutable_bus->write_lock);
    for (uint32_t i = 0; i < atomic_load_explicit(&bus->count, RELAXED); i++) {
        slot_load(&bus->slots[i], &region);
        fn(ctx, &region);
    }
    pthread_mutex_unlock(&mutable_bus->write_lock);
}
