// SPDX-License-Identifier: MIT
//
// Hypercalls about interrupts, messages and intercepts (TLFS, "Virtual Interrupt Control",
// "Inter-Partition Communication", "Intercepts").
//
// There is no other partition: no connection id is known here. VTL2 may take VTL0's for itself by
// an intercept.
#include "tools/minihost/vsm/hypercall.h"

#include "tools/minihost/vsm/vtl0_apic.h"

#include <errno.h>
#include <string.h>

#define FIRST_VECTOR 16u

static uint16_t intercept_exception(struct vsm_partition *partition, uint64_t vector,
                                    bool is_wanted) {
    if (vector >= 32) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    // Other CPUs see it at their next entry.
    for (uint32_t i = 0; i < partition->vp_count; i++) {
        uint32_t bit = 1u << vector;
        struct svm_control *control = &partition->vps[i].vtl[VSM_GUEST_VTL].vmcb->control;

        if (is_wanted) {
            control->intercept_exceptions |= bit;
        } else {
            control->intercept_exceptions &= ~bit;
        }
    }
    return HV_STATUS_SUCCESS;
}

static uint16_t intercept_cpuid(struct vsm_partition *partition, uint64_t leaf, bool is_wanted) {
    uint32_t i = 0;

    while (i < partition->cpuid_intercept_count && partition->cpuid_intercept[i] != leaf) {
        i++;
    }
    if (is_wanted && i == partition->cpuid_intercept_count) {
        if (leaf > UINT32_MAX) {
            return HV_STATUS_INVALID_PARAMETER;
        }
        if (i == VSM_MAX_CPUID_INTERCEPTS) {
            return HV_STATUS_INSUFFICIENT_MEMORY;
        }
        partition->cpuid_intercept[i] = (uint32_t)leaf;
        partition->cpuid_intercept_count++;
    } else if (!is_wanted && i < partition->cpuid_intercept_count) {
        partition->cpuid_intercept[i] =
            partition->cpuid_intercept[--partition->cpuid_intercept_count];
    }
    return HV_STATUS_SUCCESS;
}

uint16_t vsm_call_install_intercept(struct vsm_call *call) {
    struct vsm_partition *partition = call->vp->partition;
    struct hv_install_intercept_input in;
    uint16_t status = HV_STATUS_SUCCESS;
    bool is_wanted;

    memcpy(&in, call->input, sizeof(in));
    if (in.partition_id != HV_PARTITION_ID_SELF) {
        return HV_STATUS_INVALID_PARTITION_ID;
    }
    if (in.access_type_mask > 7 || in.intercept_type > HV_INTERCEPT_IO_PORT_RANGE) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    is_wanted = in.access_type_mask != HV_INTERCEPT_ACCESS_MASK_NONE;
    spin_lock(&partition->lock);
    switch (in.intercept_type) {
    case HV_INTERCEPT_EXCEPTION:
        status = intercept_exception(partition, in.parameter, is_wanted);
        break;
    case HV_INTERCEPT_CPUID:
        status = intercept_cpuid(partition, in.parameter, is_wanted);
        break;
    default: // ports always go to VTL2; the others are looked at where they matter
        if (is_wanted) {
            partition->intercepts |= 1u << in.intercept_type;
        } else {
            partition->intercepts &= ~(1u << in.intercept_type);
        }
        break;
    }
    spin_unlock(&partition->lock);
    return status;
}

uint16_t vsm_call_assert_interrupt(struct vsm_call *call) {
    struct hv_assert_interrupt_input in;
    struct hv_apic_message message;
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
    if (vtl != VSM_GUEST_VTL || in.vector > 0xff || in.destination > UINT32_MAX ||
        (in.control & HV_ASSERT_TYPE_MASK) > HV_INTERRUPT_TYPE_EXTINT) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    message = (struct hv_apic_message){
        .destination = (uint32_t)in.destination,
        .logical = in.control & HV_ASSERT_LOGICAL,
        .wide = in.destination > 0xff,
        .level = in.control & HV_ASSERT_LEVEL_TRIGGERED,
        .delivery = (uint8_t)(in.control & HV_ASSERT_TYPE_MASK),
        .vector = (uint8_t)in.vector,
    };
    // Nobody there to take it: lost, as on a bus.
    return vsm_apic_assert(call->vp->partition, &message) == -EINVAL ? HV_STATUS_INVALID_PARAMETER
                                                                     : HV_STATUS_SUCCESS;
}

static uint16_t unknown_connection(struct vsm_call *call) {
    if (call->vtl == VSM_GUEST_VTL &&
        (call->vp->partition->intercepts & (1u << HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION))) {
        call->intercept = true;
    }
    return HV_STATUS_INVALID_CONNECTION_ID;
}

uint16_t vsm_call_post_message(struct vsm_call *call) {
    struct hv_post_message_input in;

    memcpy(&in, call->input, sizeof(in));
    if (in.payload_size_bytes > HV_MESSAGE_PAYLOAD_BYTES || (in.message_type & 0x80000000u)) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    return unknown_connection(call);
}

uint16_t vsm_call_signal_event(struct vsm_call *call) {
    return unknown_connection(call);
}

/// Target of the direct calls: a SINT of VTL0.
static uint16_t check_direct(const struct vsm_call *call, uint64_t partition_id, uint32_t vp_index,
                             uint8_t target_vtl, uint32_t sint, struct vsm_vp **vp) {
    uint16_t status = vsm_target_vp(call, partition_id, vp_index, vp);
    unsigned vtl;

    if (status == HV_STATUS_SUCCESS) {
        status = vsm_target_vtl(call, target_vtl, &vtl);
    }
    if (status == HV_STATUS_SUCCESS && (vtl != VSM_GUEST_VTL || sint >= HV_SINT_COUNT)) {
        status = HV_STATUS_INVALID_PARAMETER;
    }
    return status;
}

uint16_t vsm_call_post_direct(struct vsm_call *call) {
    struct hv_post_message_direct_input in;
    struct vsm_mail mail;
    struct vsm_vp *vp;
    uint16_t status;

    memcpy(&in, call->input, sizeof(in));
    status = check_direct(call, in.partition_id, in.vp_index, in.target_vtl, in.sint, &vp);
    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    mail = (struct vsm_mail){.sint = (uint8_t)in.sint, .is_message = true};
    memcpy(&mail.message, in.message, sizeof(mail.message));
    if (mail.message.header.payload_size_bytes > HV_MESSAGE_PAYLOAD_BYTES) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    return vsm_send_mail(vp, &mail) ? HV_STATUS_INSUFFICIENT_BUFFERS : HV_STATUS_SUCCESS;
}

uint16_t vsm_call_signal_direct(struct vsm_call *call) {
    struct hv_signal_event_direct_output out = {.newly_signaled = 1};
    struct hv_signal_event_direct_input in;
    struct vsm_mail mail;
    struct vsm_vp *vp;
    uint16_t status;

    memcpy(&in, call->input, sizeof(in));
    status = check_direct(call, in.partition_id, in.vp_index, in.target_vtl, in.sint, &vp);
    if (status == HV_STATUS_SUCCESS && in.flag_number >= HV_EVENT_FLAG_COUNT) {
        status = HV_STATUS_INVALID_PARAMETER;
    }
    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    mail = (struct vsm_mail){.sint = in.sint, .flag = in.flag_number};
    if (vsm_send_mail(vp, &mail)) {
        return HV_STATUS_INSUFFICIENT_BUFFERS;
    }
    memcpy(call->output, &out, sizeof(out));
    return HV_STATUS_SUCCESS;
}

static uint16_t send_ipi(struct vsm_call *call, uint32_t vector, uint8_t target_vtl, uint64_t vps) {
    struct vsm_partition *partition = call->vp->partition;
    unsigned vtl;
    uint16_t status = vsm_target_vtl(call, target_vtl, &vtl);

    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    if (vector < FIRST_VECTOR || vector > 0xff) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    for (uint32_t i = 0; i < partition->vp_count; i++) {
        struct vsm_vp *vp = &partition->vps[i];

        if (!(vps >> i & 1)) {
            continue;
        }
        if (vtl == VSM_PARAVISOR) {
            partition->ops->raise_vtl2(vp, (uint8_t)vector);
        } else {
            hv_lapic_request(&vp->vtl[VSM_GUEST_VTL].lapic, (uint8_t)vector);
        }
    }
    return HV_STATUS_SUCCESS;
}

uint16_t vsm_call_send_ipi(struct vsm_call *call) {
    struct hv_send_ipi_input in;

    memcpy(&in, call->input, sizeof(in));
    return send_ipi(call, in.vector, in.target_vtl, in.processor_mask);
}

uint16_t vsm_call_send_ipi_ex(struct vsm_call *call) {
    struct hv_send_ipi_ex_input in;
    uint16_t status;
    uint64_t vps;

    memcpy(&in, call->input, sizeof(in));
    status = vsm_sparse_set(call, &in.vp_set, &vps);
    return status ? status : send_ipi(call, in.vector, in.target_vtl, vps);
}
