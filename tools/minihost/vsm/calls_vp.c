// SPDX-License-Identifier: MIT
//
// Hypercalls about virtual processors: registers, VTLs, start, indices, CPUID (TLFS, "Virtual
// Processor Management" and "Virtual Secure Mode").
#include "tools/minihost/vsm/hypercall.h"

#include <string.h>

/// Header of Get- and SetVpRegisters. Another VP's registers belong to its CPU.
static uint16_t check_header(const struct vsm_call *call, unsigned *vtl) {
    struct hv_vp_registers_input in;
    struct vsm_vp *vp;
    uint16_t status;

    memcpy(&in, call->input, sizeof(in));
    status = vsm_target_vp(call, in.partition_id, in.vp_index, &vp);
    if (status == HV_STATUS_SUCCESS) {
        status = vsm_target_vtl(call, in.target_vtl, vtl);
    }
    if (status == HV_STATUS_SUCCESS && vp != call->vp) {
        status = HV_STATUS_INVALID_VP_STATE;
    }
    return status;
}

uint16_t vsm_call_get_registers(struct vsm_call *call) {
    unsigned vtl;
    uint16_t status = check_header(call, &vtl);

    while (status == HV_STATUS_SUCCESS && call->rep < call->rep_end) {
        struct hv_register_value value;
        uint32_t name;

        memcpy(&name, call->list + call->rep * sizeof(name), sizeof(name));
        status = vsm_register_get(call->vp, call->vtl, vtl, name, &value);
        if (status == HV_STATUS_SUCCESS) {
            memcpy(call->output + call->rep * sizeof(value), &value, sizeof(value));
            call->rep++;
        }
    }
    return status;
}

uint16_t vsm_call_set_registers(struct vsm_call *call) {
    unsigned vtl;
    uint16_t status = check_header(call, &vtl);

    while (status == HV_STATUS_SUCCESS && call->rep < call->rep_end) {
        struct hv_register_assoc assoc;

        memcpy(&assoc, call->list + call->rep * sizeof(assoc), sizeof(assoc));
        status = vsm_register_set(call->vp, call->vtl, vtl, assoc.name, &assoc.value);
        if (status == HV_STATUS_SUCCESS) {
            call->rep++;
        }
    }
    return status;
}

uint16_t vsm_call_enable_partition_vtl(struct vsm_call *call) {
    struct hv_enable_partition_vtl_input in;

    memcpy(&in, call->input, sizeof(in));
    if (in.partition_id != HV_PARTITION_ID_SELF) {
        return HV_STATUS_INVALID_PARTITION_ID;
    }
    // VTL2 is enabled from the start, VTL1 is not offered.
    return in.target_vtl == VSM_PARAVISOR ? HV_STATUS_VTL_ALREADY_ENABLED
                                          : HV_STATUS_INVALID_PARAMETER;
}

/// Context values that VMRUN would refuse.
static bool is_context_valid(const struct hv_initial_vp_context *c) {
    return c->cr0 <= UINT32_MAX && !(c->efer & ~UINT64_C(0x4d01)) && !(c->cr3 >> 52) &&
           (c->cr0 & 1 || !(c->cr0 >> 31));
}

/// Input of EnableVpVtl and StartVirtualProcessor: checked copy, the VP it is about.
static uint16_t read_start(struct vsm_call *call, struct hv_start_vp_input *in,
                           struct vsm_vp **vp) {
    uint16_t status;

    memcpy(in, call->input, sizeof(*in));
    status = vsm_target_vp(call, in->partition_id, in->vp_index, vp);
    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    if (in->target_vtl != VSM_GUEST_VTL && in->target_vtl != VSM_PARAVISOR) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    return is_context_valid(&in->context) ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_REGISTER_VALUE;
}

uint16_t vsm_call_enable_vp_vtl(struct vsm_call *call) {
    struct hv_start_vp_input in;
    struct vsm_vp *vp;
    uint16_t status = read_start(call, &in, &vp);

    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    spin_lock(&vp->lock);
    if (vp->vtl[in.target_vtl].enabled) {
        status = HV_STATUS_VTL_ALREADY_ENABLED;
    } else {
        vsm_set_context(vp, in.target_vtl, &in.context);
        vp->vtl[in.target_vtl].enabled = true;
    }
    spin_unlock(&vp->lock);
    return status;
}

uint16_t vsm_call_start_vp(struct vsm_call *call) {
    struct hv_start_vp_input in;
    struct vsm_vtl *vtl;
    struct vsm_vp *vp;
    uint16_t status = read_start(call, &in, &vp);

    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    vtl = &vp->vtl[in.target_vtl];
    spin_lock(&vp->lock);
    // A VTL that runs, and VTL0 of a VP that VTL2 is active on, belong to their CPU.
    if (!vtl->enabled || vtl->running || vp->active_vtl != in.target_vtl) {
        status = HV_STATUS_INVALID_VP_STATE;
    } else {
        vsm_set_context(vp, in.target_vtl, &in.context);
        __atomic_store_n(&vtl->running, true, __ATOMIC_RELEASE);
    }
    spin_unlock(&vp->lock);
    if (status == HV_STATUS_SUCCESS) {
        vp->partition->ops->kick(vp);
    }
    return status;
}

static uint32_t apic_id_of(const struct vsm_vp *vp, unsigned vtl) {
    return vtl == VSM_PARAVISOR ? vp->physical_apic_id : vp->apic_id;
}

uint16_t vsm_call_index_from_apic_id(struct vsm_call *call) {
    const struct vsm_partition *partition = call->vp->partition;
    struct hv_vp_index_from_apic_id_input in;
    uint16_t status;
    unsigned vtl;

    memcpy(&in, call->input, sizeof(in));
    if (in.partition_id != HV_PARTITION_ID_SELF) {
        return HV_STATUS_INVALID_PARTITION_ID;
    }
    status = vsm_target_vtl(call, in.target_vtl, &vtl);
    while (status == HV_STATUS_SUCCESS && call->rep < call->rep_end) {
        uint32_t id, index = 0;

        memcpy(&id, call->list + call->rep * sizeof(id), sizeof(id));
        while (index < partition->vp_count && apic_id_of(&partition->vps[index], vtl) != id) {
            index++;
        }
        if (index == partition->vp_count) {
            return HV_STATUS_INVALID_PARAMETER;
        }
        memcpy(call->output + call->rep * sizeof(index), &index, sizeof(index));
        call->rep++;
    }
    return status;
}

uint16_t vsm_call_cpuid_values(struct vsm_call *call) {
    struct hv_cpuid_values_input in;
    struct vsm_vp *vp;
    uint16_t status;

    memcpy(&in, call->input, sizeof(in));
    status = vsm_target_vp(call, in.partition_id, in.vp_index, &vp);
    // The processor's own answer is that of the CPU which asks.
    if (status == HV_STATUS_SUCCESS && vp != call->vp) {
        status = HV_STATUS_INVALID_VP_STATE;
    }
    while (status == HV_STATUS_SUCCESS && call->rep < call->rep_end) {
        uint32_t leaf[2], out[4];

        memcpy(leaf, call->list + call->rep * sizeof(leaf), sizeof(leaf));
        vsm_cpuid(vp, VSM_GUEST_VTL, leaf[0], leaf[1], out);
        memcpy(call->output + call->rep * sizeof(out), out, sizeof(out));
        call->rep++;
    }
    return status;
}

/// Power-off: Hyper-V takes this from its root partition, minihost from the VTL2 of its only one.
uint16_t vsm_call_enter_sleep(struct vsm_call *call) {
    uint32_t state;

    memcpy(&state, call->input, sizeof(state));
    if (state != 5) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    call->vp->partition->stop = VSM_STOP_POWER;
    return HV_STATUS_SUCCESS;
}
