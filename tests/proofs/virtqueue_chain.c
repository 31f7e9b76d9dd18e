// SPDX-License-Identifier: MIT
// cbmc-flags: --unwind 5
//
// Proof: reading, skipping, writing and cutting a chain whose spans have any small sizes never
// leaves the spans and keeps the byte counts true. Copies are replaced by their bounds check.

#include "tests/proofs/proof.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *proof_memcpy(void *to, const void *from, size_t size_bytes);

void *proof_memcpy(void *to, const void *from, size_t size_bytes) {
    __CPROVER_assert(size_bytes > 0, "no empty copies");
    __CPROVER_assert(__CPROVER_w_ok(to, size_bytes), "copy to in bounds");
    __CPROVER_assert(__CPROVER_r_ok(from, size_bytes), "copy from in bounds");
    return to;
}
#define memcpy proof_memcpy

#pragma CPROVER check push
#pragma CPROVER check disable "conversion" // ring indices wrap on purpose
#include "devices/virtqueue.c"
#pragma CPROVER check pop

#define PROOF_SPANS 3u
#define PROOF_BYTES 4u

int guest_spans(const struct guest_memory *gm, gpa_t start, uint64_t size_bytes, struct iovec *out,
                unsigned capacity) {
    (void)gm;
    (void)start;
    (void)size_bytes;
    (void)out;
    (void)capacity;
    return -EFAULT;
}

int guest_read(const struct guest_memory *gm, gpa_t from, void *to, size_t size_bytes) {
    (void)gm;
    (void)from;
    (void)to;
    (void)size_bytes;
    return -EFAULT;
}

/// Spans of 1 to PROOF_BYTES bytes, each an object of exactly that size.
static uint32_t make(struct iovec *spans, uint32_t count) {
    uint32_t total = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t size = nondet_u32();

        __CPROVER_assume(size > 0 && size <= PROOF_BYTES);
        spans[i].iov_base = malloc(size);
        spans[i].iov_len = size;
        total += size;
    }
    return total;
}

static uint32_t sum(const struct iovec *spans, uint32_t count) {
    uint32_t total = 0;

    for (uint32_t i = 0; i < count; i++) {
        total += (uint32_t)spans[i].iov_len;
    }
    return total;
}

int main(void) {
    static uint8_t buffer[PROOF_SPANS * PROOF_BYTES];
    struct iovec spans[PROOF_SPANS];
    struct virtqueue_chain chain = {.spans = spans, .capacity = PROOF_SPANS};
    uint32_t count = nondet_u32();
    uint32_t size = nondet_u32();
    uint8_t *last;

    __CPROVER_assume(count <= PROOF_SPANS);
    __CPROVER_assume(size <= sizeof(buffer));
    if (nondet_bool()) {
        chain.readable = spans;
        chain.readable_count = count;
        chain.readable_bytes = make(spans, count);
        (void)virtqueue_chain_skip(&chain, nondet_u32());
        (void)virtqueue_chain_read(&chain, buffer, size);
        __CPROVER_assert(sum(chain.readable, chain.readable_count) == chain.readable_bytes,
                         "readable bytes stay true");
        return 0;
    }
    chain.writable = spans;
    chain.writable_count = count;
    chain.writable_bytes = make(spans, count);
    last = virtqueue_chain_take_last(&chain);
    __CPROVER_assert((last != NULL) == (count > 0), "there is a last byte when there is a span");
    __CPROVER_assert(!last || __CPROVER_w_ok(last, 1), "the last byte can be written");
    (void)virtqueue_chain_write(&chain, buffer, size);
    __CPROVER_assert(sum(chain.writable, chain.writable_count) == chain.writable_bytes,
                     "writable bytes stay true");
    return 0;
}
