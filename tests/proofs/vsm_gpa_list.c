// SPDX-License-Identifier: MIT
// cbmc-flags: --unwind 6 --function main
//
// Proof: the calls that take a list of page numbers read their input and write their output within
// what the dispatcher checked, do each repetition of their batch at most once, and end.

#include <stdint.h>
#include <stdlib.h>

#include "tests/proofs/proof.h"
#include "tools/minihost/vsm/calls_memory.c"

#define PROOF_REPS 4u

static uint32_t protect_calls;

static int protect(struct vsm_partition *partition, uint64_t gpa_page, uint32_t access) {
    (void)partition;
    (void)gpa_page;
    (void)access;
    protect_calls++;
    return nondet_int();
}

static uint32_t protection(struct vsm_partition *partition, uint64_t gpa_page) {
    (void)partition;
    (void)gpa_page;
    return nondet_u32();
}

uint16_t vsm_target_vtl(const struct vsm_call *call, uint8_t byte, unsigned *vtl) {
    (void)call;
    (void)byte;
    *vtl = nondet_bool() ? VSM_GUEST_VTL : VSM_PARAVISOR;
    return nondet_bool() ? HV_STATUS_SUCCESS : HV_STATUS_ACCESS_DENIED;
}

uint16_t vsm_target_vp(const struct vsm_call *call, uint64_t partition_id, uint32_t vp_index,
                       struct vsm_vp **vp) {
    (void)partition_id;
    (void)vp_index;
    *vp = call->vp;
    return HV_STATUS_SUCCESS;
}

uint16_t vsm_sparse_set(const struct vsm_call *call, const struct hv_vp_set *set, uint64_t *vps) {
    (void)call;
    (void)set;
    *vps = 0;
    return HV_STATUS_SUCCESS;
}

uint32_t vsm_translate(struct vsm_vp *vp, unsigned vtl, uint64_t linear, uint64_t flags,
                       uint64_t *gpa) {
    (void)vp;
    (void)vtl;
    (void)linear;
    (void)flags;
    *gpa = 0;
    return nondet_u32();
}

static void flush(struct vsm_vp *vp, unsigned vtl) {
    (void)vp;
    (void)vtl;
}

int main(void) {
    static struct vsm_partition partition;
    static struct vsm_vp vp;
    const struct vsm_ops ops = {.protect = protect, .protection = protection, .flush = flush};
    uint32_t count = nondet_u32(), start = nondet_u32(), end = nondet_u32();
    uint8_t *input, *output;
    struct vsm_call call = {.vp = &vp, .vtl = VSM_PARAVISOR};

    __CPROVER_assume(count <= PROOF_REPS && start < count && end > start && end <= count);
    partition.ops = &ops;
    partition.partition_config = nondet_u32();
    vp.partition = &partition;
    // Exactly as large as vsm_call_check() makes sure of: contents are arbitrary.
    input = malloc(16 + count * 8);
    output = malloc(count * 8);
    __CPROVER_assume(input && output);
    call.input = input;
    call.list = input + 16;
    call.output = output;
    call.layout.rep_count = count;
    call.rep = start;
    call.rep_end = end;
    if (nondet_bool()) {
        (void)vsm_call_modify_protection(&call);
        __CPROVER_assert(protect_calls <= end - start, "each page once");
        __CPROVER_assert(!partition.lock.taken, "the lock is given back");
    } else {
        (void)vsm_call_check_access(&call);
    }
    __CPROVER_assert(call.rep >= start && call.rep <= end, "no more than the batch");
    return 0;
}
