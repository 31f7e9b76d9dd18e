// SPDX-License-Identifier: MIT
//
// The rules for a hypercall's control value and for where its input and output lie (TLFS,
// "Hypercall Inputs", "Hypercall Input and Output Rules"). Pure: numbers in, numbers out.
#include "tools/minihost/vsm/hypercall.h"

#define AREA_ALIGNMENT 8u
#define GPA_SPACE_END  (UINT64_C(1) << 48)

/// An area of size bytes at gpa: aligned, within one page and the GPA space. Empty areas are not
/// looked at.
static uint16_t check_area(uint64_t gpa, uint32_t size_bytes) {
    if (size_bytes == 0) {
        return HV_STATUS_SUCCESS;
    }
    if (gpa % AREA_ALIGNMENT || size_bytes > PAGE_SIZE_4K - gpa % PAGE_SIZE_4K ||
        gpa >= GPA_SPACE_END) {
        return HV_STATUS_INVALID_ALIGNMENT;
    }
    return HV_STATUS_SUCCESS;
}

uint16_t vsm_call_check(const struct vsm_call_shape *shape, uint64_t control, uint64_t input_gpa,
                        uint64_t output_gpa, struct vsm_call_layout *out) {
    uint32_t variable_bytes =
        (uint32_t)(control >> HV_CONTROL_VARHEAD_SHIFT & HV_CONTROL_VARHEAD_MASK) * 8;
    uint32_t count = (uint32_t)(control >> HV_CONTROL_REP_COUNT_SHIFT & HV_CONTROL_REP_MASK);
    uint32_t start = (uint32_t)(control >> HV_CONTROL_REP_START_SHIFT & HV_CONTROL_REP_MASK);
    uint16_t status;

    if ((control & HV_CONTROL_RESERVED_MASK) || (variable_bytes && !shape->has_variable_header)) {
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    }
    // A simple call has neither count nor start; a repeated one must have something to do.
    if (shape->is_rep ? start >= count : (count || start)) {
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    }
    *out = (struct vsm_call_layout){
        .list_off = shape->header_bytes + variable_bytes,
        .rep_count = shape->is_rep ? count : 1,
        .rep_start = start,
        .is_fast = control & HV_CONTROL_FAST,
    };
    out->input_bytes = out->list_off + (shape->is_rep ? count * shape->element_bytes : 0);
    out->output_bytes = out->rep_count * shape->output_bytes;
    if (out->is_fast) {
        return out->input_bytes <= VSM_FAST_BYTES && out->output_bytes == 0
                   ? HV_STATUS_SUCCESS
                   : HV_STATUS_INVALID_HYPERCALL_INPUT;
    }
    status = check_area(input_gpa, out->input_bytes);
    return status ? status : check_area(output_gpa, out->output_bytes);
}
