// SPDX-License-Identifier: MIT
//
// The hypercall dispatcher: who may call what, input copied once, repetitions, result (TLFS,
// "Hypercall Interface"). VTL call and VTL return leave by switch.c.
//
// A call with many repetitions is done in batches: between them RIP stays at the instruction and
// the rep start index in RCX says how far it came, so that interrupts get in.
#include "tools/minihost/vsm/hypercall.h"

#include <string.h>

#define VECTOR_UD      6u
#define LENGTH_VMMCALL 3u
#define REPS_PER_BATCH 64u
#define EFER_LMA       (UINT64_C(1) << 10)

#define BY_VTL0 1u
#define BY_VTL2 4u

struct call_entry {
    uint16_t code;
    uint8_t callers; ///< BY_*
    struct vsm_call_shape shape;
    uint16_t (*run)(struct vsm_call *call);
};

// clang-format off
static const struct call_entry calls[] = {
    // code                                    callers            header elem out  rep    variable
    {HV_CALL_FLUSH_VIRTUAL_ADDRESS_SPACE,      BY_VTL0 | BY_VTL2, {24,  0,  0, false, false}, vsm_call_flush},
    {HV_CALL_FLUSH_VIRTUAL_ADDRESS_LIST,       BY_VTL0 | BY_VTL2, {24,  8,  0, true,  false}, vsm_call_flush_list},
    {HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI,       BY_VTL0 | BY_VTL2, {16,  0,  0, false, false}, vsm_call_send_ipi},
    {HV_CALL_MODIFY_VTL_PROTECTION_MASK,       BY_VTL2,           {16,  8,  0, true,  false}, vsm_call_modify_protection},
    {HV_CALL_ENABLE_PARTITION_VTL,             BY_VTL2,           {16,  0,  0, false, false}, vsm_call_enable_partition_vtl},
    {HV_CALL_ENABLE_VP_VTL,                    BY_VTL2,           {240, 0,  0, false, false}, vsm_call_enable_vp_vtl},
    {HV_CALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX,   BY_VTL0 | BY_VTL2, {32,  0,  0, false, true},  vsm_call_flush_ex},
    {HV_CALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX,    BY_VTL0 | BY_VTL2, {32,  8,  0, true,  true},  vsm_call_flush_ex},
    {HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI_EX,    BY_VTL0 | BY_VTL2, {24,  0,  0, false, true},  vsm_call_send_ipi_ex},
    {HV_CALL_INSTALL_INTERCEPT,                BY_VTL2,           {24,  0,  0, false, false}, vsm_call_install_intercept},
    {HV_CALL_GET_VP_REGISTERS,                 BY_VTL0 | BY_VTL2, {16,  4, 16, true,  false}, vsm_call_get_registers},
    {HV_CALL_SET_VP_REGISTERS,                 BY_VTL0 | BY_VTL2, {16, 32,  0, true,  false}, vsm_call_set_registers},
    {HV_CALL_TRANSLATE_VIRTUAL_ADDRESS,        BY_VTL2,           {32,  0, 16, false, false}, vsm_call_translate},
    {HV_CALL_POST_MESSAGE,                     BY_VTL0 | BY_VTL2, {256, 0,  0, false, false}, vsm_call_post_message},
    {HV_CALL_SIGNAL_EVENT,                     BY_VTL0 | BY_VTL2, {8,   0,  0, false, false}, vsm_call_signal_event},
    {HV_CALL_ENTER_SLEEP_STATE,                BY_VTL2,           {4,   0,  0, false, false}, vsm_call_enter_sleep},
    {HV_CALL_ASSERT_VIRTUAL_INTERRUPT,         BY_VTL2,           {32,  0,  0, false, false}, vsm_call_assert_interrupt},
    {HV_CALL_START_VIRTUAL_PROCESSOR,          BY_VTL2,           {240, 0,  0, false, false}, vsm_call_start_vp},
    {HV_CALL_GET_VP_INDEX_FROM_APIC_ID,        BY_VTL0 | BY_VTL2, {16,  4,  4, true,  false}, vsm_call_index_from_apic_id},
    {HV_CALL_TRANSLATE_VIRTUAL_ADDRESS_EX,     BY_VTL2,           {32,  0, 64, false, false}, vsm_call_translate},
    {HV_CALL_SIGNAL_EVENT_DIRECT,              BY_VTL2,           {16,  0,  8, false, false}, vsm_call_signal_direct},
    {HV_CALL_POST_MESSAGE_DIRECT,              BY_VTL2,           {280, 0,  0, false, false}, vsm_call_post_direct},
    {HV_CALL_CHECK_SPARSE_GPA_PAGE_VTL_ACCESS, BY_VTL2,           {16,  8,  8, true,  false}, vsm_call_check_access},
    {HV_CALL_GET_VP_CPUID_VALUES,              BY_VTL2,           {16,  8, 16, true,  false}, vsm_call_cpuid_values},
};
// clang-format on

static const struct call_entry *find_call(uint16_t code) {
    for (size_t i = 0; i < ARRAY_COUNT(calls); i++) {
        if (calls[i].code == code) {
            return &calls[i];
        }
    }
    return NULL;
}

uint16_t vsm_target_vtl(const struct vsm_call *call, uint8_t byte, unsigned *vtl) {
    unsigned target = byte & HV_INPUT_VTL_USE_TARGET ? byte & HV_INPUT_VTL_MASK : call->vtl;

    if ((byte & HV_INPUT_VTL_RESERVED) ||
        (!(byte & HV_INPUT_VTL_USE_TARGET) && (byte & HV_INPUT_VTL_MASK))) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    if (target > call->vtl) {
        return HV_STATUS_ACCESS_DENIED;
    }
    if (target != VSM_GUEST_VTL && target != VSM_PARAVISOR) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    *vtl = target;
    return HV_STATUS_SUCCESS;
}

uint16_t vsm_target_vp(const struct vsm_call *call, uint64_t partition_id, uint32_t vp_index,
                       struct vsm_vp **vp) {
    if (partition_id != HV_PARTITION_ID_SELF) {
        return HV_STATUS_INVALID_PARTITION_ID;
    }
    if (vp_index == HV_VP_INDEX_SELF) {
        *vp = call->vp;
        return HV_STATUS_SUCCESS;
    }
    if (vp_index >= call->vp->partition->vp_count) {
        return HV_STATUS_INVALID_VP_INDEX;
    }
    *vp = &call->vp->partition->vps[vp_index];
    return HV_STATUS_SUCCESS;
}

uint16_t vsm_sparse_set(const struct vsm_call *call, const struct hv_vp_set *set, uint64_t *vps) {
    uint32_t banks = 0;

    for (uint64_t mask = set->valid_bank_mask; mask; mask &= mask - 1) {
        banks++;
    }
    if (set->format == HV_VP_SET_ALL) {
        *vps = UINT64_MAX;
        return HV_STATUS_SUCCESS;
    }
    if (set->format != HV_VP_SET_SPARSE_4K || banks * 8 != call->variable_bytes) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    // Bank 0 is VPs 0 to 63; there are no others.
    *vps = 0;
    if (set->valid_bank_mask & 1) {
        memcpy(vps, call->variable, sizeof(*vps));
    }
    return HV_STATUS_SUCCESS;
}

// ---- registers of the call ---------------------------------------------------------------------

struct call_registers {
    bool is_long;
    uint64_t control, input, output;
};

static struct call_registers read_registers(const struct vsm_vp *vp) {
    const struct svm_save *s = &vp->vtl[vp->active_vtl].vmcb->save;
    const uint64_t *g = vp->gpr;

    if ((s->efer & EFER_LMA) && (s->cs.attributes & SVM_SEGMENT_LONG)) {
        return (struct call_registers){
            .is_long = true, .control = g[VSM_RCX], .input = g[VSM_RDX], .output = g[8]};
    }
    return (struct call_registers){
        .control = (uint32_t)g[VSM_RAX] | g[VSM_RDX] << 32,
        .input = (uint32_t)g[VSM_RCX] | g[VSM_RBX] << 32,
        .output = (uint32_t)g[VSM_RSI] | g[VSM_RDI] << 32,
    };
}

static enum vsm_next finish(struct vsm_vp *vp, bool is_long, uint16_t status, uint32_t reps_done) {
    uint64_t result = status | (uint64_t)reps_done << HV_RESULT_REPS_SHIFT;

    if (is_long) {
        vp->gpr[VSM_RAX] = result;
    } else {
        vp->gpr[VSM_RAX] = (uint32_t)result;
        vp->gpr[VSM_RDX] = result >> 32;
    }
    vsm_skip(vp, LENGTH_VMMCALL);
    return VSM_RUN;
}

/// Not done yet: the same instruction again, from the next repetition on.
static enum vsm_next go_on_later(struct vsm_vp *vp, bool is_long, uint32_t rep) {
    const uint64_t mask = (uint64_t)HV_CONTROL_REP_MASK << HV_CONTROL_REP_START_SHIFT;
    uint64_t start = (uint64_t)rep << HV_CONTROL_REP_START_SHIFT;

    if (is_long) {
        vp->gpr[VSM_RCX] = (vp->gpr[VSM_RCX] & ~mask) | start;
    } else {
        vp->gpr[VSM_RDX] = (vp->gpr[VSM_RDX] & ~(mask >> 32)) | start >> 32;
    }
    return VSM_RUN;
}

// ---- dispatch ----------------------------------------------------------------------------------

static uint16_t load_input(struct vsm_call *call, const struct vsm_call_shape *shape,
                           const struct call_registers *r) {
    struct vsm_vp *vp = call->vp;
    const uint64_t fast[2] = {r->input, r->output};

    if (call->layout.is_fast) {
        memcpy(vp->input, fast, sizeof(fast));
    } else if (vsm_copy_in(vp, call->vtl, r->input, vp->input, call->layout.input_bytes)) {
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    }
    call->input = (const uint8_t *)vp->input;
    call->variable = call->input + shape->header_bytes;
    call->variable_bytes = call->layout.list_off - shape->header_bytes;
    call->list = call->input + call->layout.list_off;
    call->output = (uint8_t *)vp->output;
    memset(vp->output, 0, call->layout.output_bytes);
    call->rep = call->layout.rep_start;
    call->rep_end = call->layout.rep_count - call->rep > REPS_PER_BATCH ? call->rep + REPS_PER_BATCH
                                                                        : call->layout.rep_count;
    return HV_STATUS_SUCCESS;
}

/// Writes the output of the repetitions that were done; of a simple call, all if it succeeded.
static uint16_t store_output(const struct vsm_call *call, const struct vsm_call_shape *shape,
                             uint64_t output_gpa, uint16_t status) {
    uint32_t first = shape->is_rep ? call->layout.rep_start : 0;
    uint32_t end = shape->is_rep ? call->rep : status == HV_STATUS_SUCCESS;
    uint32_t off = first * shape->output_bytes;

    if (shape->output_bytes == 0 || end <= first) {
        return status;
    }
    return vsm_copy_out(call->vp, call->vtl, output_gpa + off, call->output + off,
                        (end - first) * shape->output_bytes)
               ? HV_STATUS_INVALID_HYPERCALL_INPUT
               : status;
}

static enum vsm_next run_call(struct vsm_vp *vp, const struct call_entry *entry,
                              const struct call_registers *r) {
    struct vsm_call call = {.vp = vp, .vtl = vp->active_vtl};
    uint16_t status;

    if (!(entry->callers & (1u << call.vtl))) {
        return finish(vp, r->is_long, HV_STATUS_ACCESS_DENIED, 0);
    }
    status = vsm_call_check(&entry->shape, r->control, r->input, r->output, &call.layout);
    if (status == HV_STATUS_SUCCESS) {
        status = load_input(&call, &entry->shape, r);
    }
    if (status != HV_STATUS_SUCCESS) {
        return finish(vp, r->is_long, status, 0);
    }
    status = entry->run(&call);
    if (call.intercept) {
        return vsm_intercept_hypercall(vp);
    }
    if (vp->partition->stop != VSM_STOP_NONE) {
        return VSM_STOP;
    }
    status = store_output(&call, &entry->shape, r->output, status);
    if (status == HV_STATUS_SUCCESS && entry->shape.is_rep && call.rep < call.layout.rep_count) {
        return go_on_later(vp, r->is_long, call.rep);
    }
    return finish(vp, r->is_long, status, entry->shape.is_rep ? call.rep : 0);
}

enum vsm_next vsm_hypercall(struct vsm_vp *vp) {
    const struct vsm_vtl *shared = &vp->partition->vps[0].vtl[vp->active_vtl];
    const struct svm_vmcb *vmcb = vp->vtl[vp->active_vtl].vmcb;
    struct call_registers r = read_registers(vp);
    uint16_t code = (uint16_t)(r.control & HV_CONTROL_CODE_MASK);
    const struct call_entry *entry = find_call(code);

    if (vsm_cpl(vmcb) != 0 || !(vmcb->save.cr0 & 1) ||
        !(shared->hypercall_msr & HV_MSR_PAGE_ENABLE)) {
        vsm_inject_exception(vp, VECTOR_UD, false, 0, 0);
        return VSM_RUN;
    }
    if (code == HV_CALL_VTL_RETURN && vp->active_vtl == VSM_PARAVISOR && r.is_long) {
        return vsm_vtl_return(vp);
    }
    if (code == HV_CALL_VTL_CALL || code == HV_CALL_VTL_RETURN) {
        vsm_inject_exception(vp, VECTOR_UD, false, 0, 0);
        return VSM_RUN;
    }
    if (entry) {
        return run_call(vp, entry, &r);
    }
    if (vp->active_vtl == VSM_GUEST_VTL &&
        (vp->partition->intercepts & (1u << HV_INTERCEPT_HYPERCALL))) {
        return vsm_intercept_hypercall(vp);
    }
    return finish(vp, r.is_long, HV_STATUS_INVALID_HYPERCALL_CODE, 0);
}
