// SPDX-License-Identifier: MIT
//
// minihost's memory while it hosts VTLs: whole pages, taken once and never given back. Pure.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "igvm/base/types.h"

/// A range of memory that is mapped at its own physical address; [next, end) is free.
struct heap {
    uint8_t *next; ///< page aligned
    uint8_t *end;
};

/// Takes zeroed pages. NULL when there are not that many left. Not thread-safe: callers lock.
static inline void *heap_pages(struct heap *heap, size_t page_count) {
    size_t left = (size_t)(heap->end - heap->next) / PAGE_SIZE_4K;
    uint64_t *words = (uint64_t *)(void *)heap->next;

    if (page_count > left) {
        return NULL;
    }
    for (size_t i = 0; i < page_count * (PAGE_SIZE_4K / sizeof(*words)); i++) {
        words[i] = 0;
    }
    heap->next += page_count * PAGE_SIZE_4K;
    return words;
}

/// Pages that hold size_bytes.
static inline size_t heap_page_count(size_t size_bytes) {
    return (size_bytes + PAGE_SIZE_4K - 1) / PAGE_SIZE_4K;
}
