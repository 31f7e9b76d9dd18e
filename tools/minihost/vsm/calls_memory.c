// SPDX-License-Identifier: MIT
//
// Hypercalls about memory: what VTL0 may do with a page, translation, TLB flushes (TLFS, "Memory
// Access Protections", "Virtual MMU and Caching").
#include "tools/minihost/vsm/hypercall.h"

#include <errno.h>
#include <string.h>

#define MAX_GPA_PAGE (UINT64_C(1) << 36) ///< 48 address bits

static uint64_t page_at(const struct vsm_call *call, uint32_t rep) {
    uint64_t page;

    memcpy(&page, call->list + rep * sizeof(page), sizeof(page));
    return page;
}

/// Write or execute without read is no protection that exists.
static bool is_access_valid(uint32_t access) {
    return !(access & ~HV_MAP_GPA_PERMISSION_MASK) &&
           (access == 0 || (access & HV_MAP_GPA_READABLE));
}

uint16_t vsm_call_modify_protection(struct vsm_call *call) {
    struct vsm_partition *partition = call->vp->partition;
    struct hv_modify_vtl_protection_input in;
    uint32_t first = call->rep;
    uint16_t status;
    unsigned vtl;

    memcpy(&in, call->input, sizeof(in));
    if (in.partition_id != HV_PARTITION_ID_SELF) {
        return HV_STATUS_INVALID_PARTITION_ID;
    }
    status = vsm_target_vtl(call, in.target_vtl, &vtl);
    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    // The target protects its memory from the VTLs below: VTL0 has none.
    if (vtl != VSM_PARAVISOR || !is_access_valid(in.map_flags)) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    if (!(partition->partition_config & HV_VSM_CONFIG_PROTECTION)) {
        return HV_STATUS_ACCESS_DENIED;
    }
    spin_lock(&partition->lock);
    while (call->rep < call->rep_end && status == HV_STATUS_SUCCESS) {
        uint64_t page = page_at(call, call->rep);
        int rc = partition->ops->protect(partition, page, in.map_flags);

        if (rc) {
            status = rc == -ENOMEM ? HV_STATUS_INSUFFICIENT_MEMORY : HV_STATUS_INVALID_PARAMETER;
        } else {
            call->rep++;
        }
    }
    spin_unlock(&partition->lock);
    if (call->rep != first) {
        call->vp->partition->ops->flush(call->vp, VSM_GUEST_VTL);
    }
    return status;
}

uint16_t vsm_call_check_access(struct vsm_call *call) {
    struct vsm_partition *partition = call->vp->partition;
    struct hv_check_sparse_input in;
    uint16_t status;
    unsigned vtl;

    memcpy(&in, call->input, sizeof(in));
    if (in.partition_id != HV_PARTITION_ID_SELF) {
        return HV_STATUS_INVALID_PARTITION_ID;
    }
    status = vsm_target_vtl(call, in.target_vtl, &vtl);
    if (status == HV_STATUS_SUCCESS && !is_access_valid(in.desired_access)) {
        status = HV_STATUS_INVALID_PARAMETER;
    }
    while (status == HV_STATUS_SUCCESS && call->rep < call->rep_end) {
        uint64_t page = page_at(call, call->rep), result = HV_CHECK_SPARSE_SUCCESS;
        uint32_t denied = 0;

        if (page >= MAX_GPA_PAGE) {
            return HV_STATUS_INVALID_PARAMETER;
        }
        if (vtl == VSM_GUEST_VTL) {
            denied = in.desired_access & ~partition->ops->protection(partition, page);
        }
        if (denied) {
            result = HV_CHECK_SPARSE_MEMORY_INTERCEPT | denied << 8 | VSM_PARAVISOR << 12;
        }
        memcpy(call->output + call->rep * sizeof(result), &result, sizeof(result));
        call->rep++;
    }
    return status;
}

/// Both forms: the longer one's output begins like the shorter one's.
uint16_t vsm_call_translate(struct vsm_call *call) {
    struct hv_translate_output out = {0};
    struct hv_translate_input in;
    struct vsm_vp *vp;
    uint16_t status;
    uint64_t gpa = 0;
    unsigned vtl;

    memcpy(&in, call->input, sizeof(in));
    status = vsm_target_vp(call, in.partition_id, in.vp_index, &vp);
    if (status == HV_STATUS_SUCCESS) {
        status =
            vsm_target_vtl(call, (uint8_t)(in.control_flags >> HV_TRANSLATE_INPUT_VTL_SHIFT), &vtl);
    }
    if (status == HV_STATUS_SUCCESS && vp != call->vp) {
        status = HV_STATUS_INVALID_VP_STATE;
    }
    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    out.result_code = vsm_translate(vp, vtl, in.gva_page << PAGE_SHIFT_4K, in.control_flags, &gpa);
    if (out.result_code == HV_TRANSLATE_SUCCESS) {
        out.gpa_page = gpa >> PAGE_SHIFT_4K;
        out.result_flags = 6; // write-back
    }
    memcpy(call->output, &out, sizeof(out));
    return HV_STATUS_SUCCESS;
}

// ---- flushes: every entry into a VTL flushes its CPU's TLB -------------------------------------

uint16_t vsm_call_flush(struct vsm_call *call) {
    call->vp->partition->ops->flush(call->vp, call->vtl);
    return HV_STATUS_SUCCESS;
}

uint16_t vsm_call_flush_list(struct vsm_call *call) {
    call->rep = call->layout.rep_count;
    return vsm_call_flush(call);
}

uint16_t vsm_call_flush_ex(struct vsm_call *call) {
    struct hv_flush_va_ex_input in;
    uint16_t status;
    uint64_t vps;

    memcpy(&in, call->input, sizeof(in));
    status = vsm_sparse_set(call, &in.vp_set, &vps);
    return status ? status : vsm_call_flush_list(call);
}
