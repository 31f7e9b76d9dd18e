// SPDX-License-Identifier: MIT
// cbmc-sources: tools/minihost/vsm/hypercall_check.c
// cbmc-flags: --unwind 2 --function main
//
// Proof: whatever a guest writes into RCX, RDX and R8, vsm_call_check() accepts only areas that
// stay within one page, and repetitions that are there.

#include <stdint.h>

#include "tests/proofs/proof.h"
#include "tools/minihost/vsm/hypercall.h"

/// Stays in its page, wherever it begins.
static _Bool in_one_page(uint64_t gpa, uint32_t size_bytes) {
    return size_bytes == 0 || (gpa & 4095) + size_bytes <= PAGE_SIZE_4K;
}

int main(void) {
    struct vsm_call_shape shape = {
        .header_bytes = nondet_u16(),
        .element_bytes = nondet_u16(),
        .output_bytes = nondet_u16(),
        .is_rep = nondet_bool(),
        .has_variable_header = nondet_bool(),
    };
    uint64_t control = nondet_u64(), input = nondet_u64(), output = nondet_u64();
    struct vsm_call_layout l;

    // What the table of calls has: no more than a page each.
    __CPROVER_assume(shape.header_bytes <= PAGE_SIZE_4K && shape.element_bytes <= PAGE_SIZE_4K &&
                     shape.output_bytes <= PAGE_SIZE_4K);
    if (vsm_call_check(&shape, control, input, output, &l) != HV_STATUS_SUCCESS) {
        return 0;
    }
    __CPROVER_assert(l.rep_start < l.rep_count, "there is something to do");
    __CPROVER_assert(l.input_bytes <= PAGE_SIZE_4K && l.output_bytes <= PAGE_SIZE_4K,
                     "both fit the buffers");
    __CPROVER_assert(l.list_off >= shape.header_bytes && l.list_off <= l.input_bytes,
                     "the header is there");
    __CPROVER_assert(!shape.is_rep ||
                         l.list_off + l.rep_count * shape.element_bytes == l.input_bytes,
                     "all elements are there");
    __CPROVER_assert(l.output_bytes == l.rep_count * shape.output_bytes, "so is their output");
    if (l.is_fast) {
        __CPROVER_assert(l.input_bytes <= VSM_FAST_BYTES && l.output_bytes == 0, "registers only");
    } else {
        __CPROVER_assert(in_one_page(input, l.input_bytes), "input leaves no page");
        __CPROVER_assert(in_one_page(output, l.output_bytes), "output leaves no page");
    }
    return 0;
}
