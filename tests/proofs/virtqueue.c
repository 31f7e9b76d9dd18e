// SPDX-License-Identifier: MIT
// cbmc-flags: --unwind 4 --slice-formula
//
// Proof: whatever the driver puts into ring and tables, and however it changes them between two
// fetches (each fetch gives any value), the walker stays in the ring areas, in the indirect copy
// and in the caller's spans, ends, and counts what it hands out.

#include "tests/proofs/proof.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define VIRTQUEUE_MAX_INDIRECT 2u
#define PROOF_MAX_SIZE         2u // queue size: the unwinding bound follows from both
#define PROOF_SPANS            4u

#define PROOF_LOAD(p)                                                                              \
    (__CPROVER_assert(__CPROVER_r_ok((p), sizeof(*(p))), "load in bounds"),                        \
     (__typeof__(*(p) + 0))nondet_u64())
#define PROOF_STORE(p)                    __CPROVER_assert(__CPROVER_w_ok((p), sizeof(*(p))), "store in bounds")
#define __atomic_load_n(p, order)         PROOF_LOAD(p)
#define __atomic_store_n(p, value, order) ((void)(value), PROOF_STORE(p))
#define __atomic_thread_fence(order)      ((void)0)

#pragma CPROVER check push
#pragma CPROVER check disable "conversion" // ring indices wrap on purpose
#include "devices/virtqueue.c"
#pragma CPROVER check pop

static _Bool building; ///< ring areas are being acquired
static uint64_t handed_out_bytes;

int guest_spans(const struct guest_memory *gm, gpa_t start, uint64_t size_bytes, struct iovec *out,
                unsigned capacity) {
    unsigned count = nondet_u32();

    (void)gm;
    (void)start;
    if (nondet_bool()) {
        return -EFAULT;
    }
    if (building) { // exactly as large as asked for, so that every overrun shows
        out[0].iov_base = malloc(size_bytes);
        out[0].iov_len = size_bytes;
        return 1;
    }
    __CPROVER_assert(size_bytes > 0, "a buffer has bytes");
    __CPROVER_assume(count == 1 || count == 2); // one border crossed at most
    if (count > capacity) {
        return -ENOSPC;
    }
    __CPROVER_assert(__CPROVER_w_ok(out, count * sizeof(*out)), "spans in bounds");
    handed_out_bytes += size_bytes;
    return (int)count;
}

int guest_read(const struct guest_memory *gm, gpa_t from, void *to, size_t size_bytes) {
    (void)gm;
    (void)from;
    __CPROVER_assert(__CPROVER_w_ok(to, size_bytes), "indirect copy in bounds");
    if (nondet_bool()) {
        return -EFAULT;
    }
    __CPROVER_havoc_slice(to, size_bytes);
    return 0;
}

int main(void) {
    struct virtqueue_config config = {
        .size = nondet_u16(),
        .desc_gpa = {nondet_u64()},
        .avail_gpa = {nondet_u64()},
        .used_gpa = {nondet_u64()},
        .indirect = nondet_bool(),
        .event_idx = nondet_bool(),
    };
    struct iovec spans[PROOF_SPANS];
    struct virtqueue_chain chain = {.spans = spans, .capacity = PROOF_SPANS};
    struct virtqueue vq;
    int got;

    __CPROVER_assume(config.size <= PROOF_MAX_SIZE || config.size > VIRTQUEUE_MAX_SIZE);
    building = 1;
    if (virtqueue_init(&vq, NULL, &config, nondet_u16(), nondet_u16())) {
        __CPROVER_assert(vq.fault != NULL, "a refusal names its rule");
        return 0;
    }
    building = 0;
    if (nondet_bool()) {
        virtqueue_disable_kicks(&vq);
    }
    got = virtqueue_pop(&vq, &chain);
    __CPROVER_assert((got == -EINVAL) == (vq.fault != NULL), "an error names its rule");
    if (got == 1) {
        __CPROVER_assert(chain.readable_count + chain.writable_count <= PROOF_SPANS, "capacity");
        __CPROVER_assert(chain.readable_count + chain.writable_count > 0, "not empty");
        __CPROVER_assert((uint64_t)chain.readable_bytes + chain.writable_bytes == handed_out_bytes,
                         "bytes are counted");
        if (nondet_bool()) {
            virtqueue_unpop(&vq);
        } else {
            virtqueue_push(&vq, chain.head, nondet_u32());
            virtqueue_push(&vq, nondet_u16(), nondet_u32());
        }
    }
    (void)virtqueue_publish(&vq);
    (void)virtqueue_enable_kicks(&vq);
    return 0;
}
