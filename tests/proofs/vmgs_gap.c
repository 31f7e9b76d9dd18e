// SPDX-License-Identifier: MIT
// cbmc-sources: userspace/vmgs/vmgs_table.c
// cbmc-flags: --unwind 20 --function main -D VMGS_FILE_COUNT=2u
//
// Proof: room that vmgs_find_gap() finds for a new file lies behind the headers, on the disk, and
// overlaps none of three arbitrary files; and when it finds none, no place of that size is free.

#include "tests/proofs/proof.h"
#include "userspace/vmgs/vmgs_internal.h"

#define EXTENTS 3u

static _Bool is_free(const struct vmgs_extent *taken, uint32_t start, uint32_t count) {
    for (uint32_t i = 0; i < EXTENTS; i++) {
        if (taken[i].block_count != 0 && start < taken[i].block + taken[i].block_count &&
            taken[i].block < start + count) {
            return 0;
        }
    }
    return 1;
}

int main(void) {
    const uint32_t block_count = nondet_u32();
    const uint32_t need = nondet_u32();
    const uint32_t any = nondet_u32();
    struct vmgs_extent taken[EXTENTS];
    uint32_t found;

    for (uint32_t i = 0; i < EXTENTS; i++) {
        taken[i] = (struct vmgs_extent){nondet_u32(), nondet_u32()};
        // As the table's check leaves them: on the disk, or nothing.
        __CPROVER_assume(taken[i].block_count == 0
                             ? taken[i].block == 0
                             : taken[i].block >= VMGS_FIRST_BLOCK && taken[i].block < block_count &&
                                   taken[i].block_count <= block_count - taken[i].block);
    }
    __CPROVER_assume(block_count >= 6 && need != 0);
    found = vmgs_find_gap(taken, EXTENTS, block_count, need);
    if (found != 0) {
        __CPROVER_assert(found >= VMGS_FIRST_BLOCK && found < block_count &&
                             need <= block_count - found,
                         "what is found is on the disk");
        __CPROVER_assert(is_free(taken, found, need), "and free");
    } else {
        __CPROVER_assume(any >= VMGS_FIRST_BLOCK && any < block_count && need <= block_count - any);
        __CPROVER_assert(!is_free(taken, any, need), "none is said only when there is none");
    }
    return 0;
}
