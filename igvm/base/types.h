// SPDX-License-Identifier: MIT
//
// Address types and page arithmetic shared by every part of Parapet.
//
// A guest-physical address and a host pointer are different types on purpose: mixing them up is a
// compile error, and a conversion has a name that a reviewer can search for.
//
// igvm/base/ is the leaf of the tree: freestanding, no I/O, no allocation; every room may use it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT_4K 12u
#define PAGE_SIZE_4K  4096u
#define PAGE_SIZE_2M  0x200000u

/// A guest-physical address (of the VM that the sentence is about: VTL0's in devices/ and vtl2/,
/// the whole machine's in loader/, igvm/ and minihost).
typedef struct {
    uint64_t value;
} gpa_t;

static inline gpa_t gpa(uint64_t value) {
    return (gpa_t){value};
}

/// A half-open range [start, end) of guest-physical addresses, in bytes.
struct gpa_range {
    uint64_t start;
    uint64_t end;
};

static inline uint64_t gpa_range_bytes(struct gpa_range r) {
    return r.end > r.start ? r.end - r.start : 0;
}

static inline bool gpa_ranges_overlap(struct gpa_range a, struct gpa_range b) {
    return a.start < b.end && b.start < a.end;
}

/// Whether [start, start + size_bytes) lies inside r; false when the sum wraps.
static inline bool gpa_range_contains(struct gpa_range r, uint64_t start, uint64_t size_bytes) {
    uint64_t end;

    if (__builtin_add_overflow(start, size_bytes, &end)) {
        return false;
    }
    return start >= r.start && end <= r.end;
}

static inline uint64_t align_down(uint64_t value, uint64_t power_of_two) {
    return value & ~(power_of_two - 1);
}

/// Rounds up; *out is unchanged and false comes back when the result does not fit 64 bits.
static inline bool align_up(uint64_t value, uint64_t power_of_two, uint64_t *out) {
    uint64_t sum;

    if (__builtin_add_overflow(value, power_of_two - 1, &sum)) {
        return false;
    }
    *out = sum & ~(power_of_two - 1);
    return true;
}

static inline bool is_aligned(uint64_t value, uint64_t power_of_two) {
    return (value & (power_of_two - 1)) == 0;
}

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))
