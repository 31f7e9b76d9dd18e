// SPDX-License-Identifier: MIT
//
// Hypercalls from the VMM through /dev/mshv_hvcall: rep calls in page-sized pieces, statuses as
// errno (TLFS, "Hypercall Interface", "Hypercall Status Codes").
#include "vtl2/vsm/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

// All that the platform ever asks of the hypervisor: a VMM that was taken over cannot ask for more.
static const uint16_t allowed_calls[] = {
    HV_CALL_MODIFY_VTL_PROTECTION_MASK, HV_CALL_CHECK_SPARSE_GPA_PAGE_VTL_ACCESS,
    HV_CALL_INSTALL_INTERCEPT,          HV_CALL_GET_VP_REGISTERS,
    HV_CALL_SET_VP_REGISTERS,           HV_CALL_ASSERT_VIRTUAL_INTERRUPT,
};

#define CALL_CODES 0x10000u

int vsm_ioctl(int fd, unsigned long request, void *argument) {
    int result = ioctl(fd, (int)request, argument);

    return result < 0 ? -errno : result;
}

int vsm_hvcall_setup(struct partition *partition) {
    uint8_t bitmap[CALL_CODES / 8] = {0};
    struct mshv_hvcall_setup setup = {
        .bitmap_bytes = sizeof(bitmap),
        .bitmap = (uintptr_t)bitmap,
    };

    for (size_t i = 0; i < ARRAY_COUNT(allowed_calls); i++) {
        bitmap[allowed_calls[i] / 8] |= (uint8_t)(1u << (allowed_calls[i] % 8));
    }
    return vsm_ioctl(partition->hvcall_fd, MSHV_HVCALL_SETUP, &setup);
}

static int status_to_errno(uint64_t status) {
    switch (status & 0xffff) {
    case HV_STATUS_SUCCESS:
        return 0;
    case HV_STATUS_INVALID_HYPERCALL_CODE:
        return -ENOSYS;
    case HV_STATUS_INVALID_HYPERCALL_INPUT:
    case HV_STATUS_INVALID_ALIGNMENT:
    case HV_STATUS_INVALID_PARAMETER:
    case HV_STATUS_INVALID_REGISTER_VALUE:
    case HV_STATUS_INVALID_VP_INDEX:
    case HV_STATUS_INVALID_PARTITION_ID:
        return -EINVAL;
    case HV_STATUS_ACCESS_DENIED:
    case HV_STATUS_OPERATION_DENIED:
        return -EACCES;
    case HV_STATUS_INSUFFICIENT_MEMORY:
    case HV_STATUS_INSUFFICIENT_BUFFERS:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

int vsm_hvcall(const struct partition *partition, uint16_t code, const void *in, size_t in_bytes) {
    struct mshv_hvcall call = {
        .control = code,
        .input_bytes = in_bytes,
        .input = (uintptr_t)in,
    };
    int result = vsm_ioctl(partition->hvcall_fd, MSHV_HVCALL, &call);

    return result < 0 ? result : status_to_errno(call.status);
}

/// Elements that fit a page of input and a page of output.
static uint32_t chunk_size(const struct vsm_rep_call *call) {
    size_t fit = (PAGE_SIZE_4K - call->header_bytes) / call->in_bytes;

    if (call->out_bytes != 0 && fit > PAGE_SIZE_4K / call->out_bytes) {
        fit = PAGE_SIZE_4K / call->out_bytes;
    }
    return fit < HV_CONTROL_REP_MASK ? (uint32_t)fit : HV_CONTROL_REP_MASK;
}

/// One hypercall for elements [first, first + count). *done: how many the hypervisor took.
static int one_chunk(const struct partition *partition, const struct vsm_rep_call *rep,
                     uint32_t first, uint32_t count, uint32_t *done) {
    uint8_t input[PAGE_SIZE_4K];
    size_t in_bytes = count * rep->in_bytes;
    struct mshv_hvcall call = {
        .control = rep->code | (uint64_t)count << HV_CONTROL_REP_COUNT_SHIFT,
        .input_bytes = rep->header_bytes + in_bytes,
        .input = (uintptr_t)input,
        .output_bytes = rep->out ? count * rep->out_bytes : 0,
        .output = rep->out ? (uintptr_t)rep->out + first * rep->out_bytes : 0,
    };
    int result;

    memcpy(input, rep->header, rep->header_bytes);
    memcpy(input + rep->header_bytes, (const uint8_t *)rep->in + first * rep->in_bytes, in_bytes);
    result = vsm_ioctl(partition->hvcall_fd, MSHV_HVCALL, &call);
    if (result < 0) {
        return result;
    }
    *done = (uint32_t)(call.status >> HV_RESULT_REPS_SHIFT) & HV_CONTROL_REP_MASK;
    return status_to_errno(call.status);
}

int vsm_rep_hvcall(const struct partition *partition, const struct vsm_rep_call *call) {
    uint32_t limit = chunk_size(call);
    uint32_t first = 0;

    while (first < call->count) {
        uint32_t count = call->count - first;
        uint32_t done = 0;
        int result;

        count = count < limit ? count : limit;
        result = one_chunk(partition, call, first, count, &done);
        if (result < 0) {
            return result;
        }
        if (done == 0 || done > count) {
            return -EIO; // success without progress: no loop without an end
        }
        first += done;
    }
    return 0;
}

int vsm_get(const struct partition *partition, uint32_t vp_index, const uint32_t *names,
            struct hv_register_value *values, uint32_t count) {
    const struct hv_vp_registers_input header = {
        .partition_id = HV_PARTITION_ID_SELF,
        .vp_index = vp_index,
        .target_vtl = VSM_TARGET_VTL0,
    };
    const struct vsm_rep_call call = {
        .code = HV_CALL_GET_VP_REGISTERS,
        .header = &header,
        .header_bytes = sizeof(header),
        .in = names,
        .in_bytes = sizeof(names[0]),
        .out = values,
        .out_bytes = sizeof(values[0]),
        .count = count,
    };

    return vsm_rep_hvcall(partition, &call);
}

int vsm_set(const struct partition *partition, uint32_t vp_index,
            const struct hv_register_assoc *registers, uint32_t count) {
    const struct hv_vp_registers_input header = {
        .partition_id = HV_PARTITION_ID_SELF,
        .vp_index = vp_index,
        .target_vtl = VSM_TARGET_VTL0,
    };
    const struct vsm_rep_call call = {
        .code = HV_CALL_SET_VP_REGISTERS,
        .header = &header,
        .header_bytes = sizeof(header),
        .in = registers,
        .in_bytes = sizeof(registers[0]),
        .count = count,
    };

    return vsm_rep_hvcall(partition, &call);
}

int vsm_set_u64(const struct partition *partition, uint32_t name, uint64_t value) {
    // The driver's own request: no pages to allocate, no bitmap to look at.
    struct hv_register_assoc assoc = {.name = name, .value.low = value};
    struct mshv_vp_registers arguments = {.count = 1, .registers = (uintptr_t)&assoc};

    return vsm_ioctl(partition->vtl_fd, MSHV_SET_VP_REGISTERS, &arguments);
}

int vsm_get_own_u64(const struct partition *partition, uint32_t name, uint64_t *out) {
    const struct hv_vp_registers_input header = {
        .partition_id = HV_PARTITION_ID_SELF,
        .vp_index = HV_VP_INDEX_SELF,
    };
    struct hv_register_value value = {0};
    const struct vsm_rep_call call = {
        .code = HV_CALL_GET_VP_REGISTERS,
        .header = &header,
        .header_bytes = sizeof(header),
        .in = &name,
        .in_bytes = sizeof(name),
        .out = &value,
        .out_bytes = sizeof(value),
        .count = 1,
    };
    int result = vsm_rep_hvcall(partition, &call);

    *out = value.low;
    return result;
}
