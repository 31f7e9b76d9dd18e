// SPDX-License-Identifier: MIT
//
// From an event (message.h) to a struct vp_exit, and from the handled exit back into VTL0's
// registers. What needs no policy is answered here and ends as VP_EXIT_NONE.
#include "vtl2/vsm/internal.h"

#include "igvm/base/bytes.h"
#include "igvm/base/log.h"

#include <errno.h>
#include <string.h>

#define GPR_RAX 0u
#define GPR_RCX 1u
#define GPR_RDX 2u
#define GPR_RBX 3u

#define RFLAGS_TF  UINT64_C(0x100)
#define VECTOR_GP  13u
#define CPUID_SIZE 2u
#define MSR_SIZE   2u
#define CALL_SIZE  3u
#define HALT_SIZE  1u

#define SIPI_CS_ATTRIBUTES 0x9bu ///< present, code, readable, accessed

/// The values that go to the hypervisor are the guest's, or made of them (RIP behind an
/// instruction, a start-up message): when it takes them for invalid, that is the guest's crash. All
/// other errors are the host's or ours.
void vsm_vp_fail(struct vp_exit *exit, const char *what, int error, const uint64_t detail[3]) {
    exit->kind = VP_EXIT_FAILED;
    exit->failed = (struct vp_exit_failed){
        .what = what,
        .detail = {(uint64_t)-error, detail[0], detail[1], detail[2]},
        .by_guest = error == -EINVAL,
    };
}

/// Past the event's instruction, which has length bytes when the message does not say.
static int advance(struct vp *vp, uint8_t length) {
    const struct vsm_event *event = &vp->event;

    return vsm_complete(vp, event->rip + (event->length ? event->length : length),
                        event->rflags & RFLAGS_TF);
}

// ---- exits for the VMM ----

static void start_pio(struct vp *vp, struct vp_exit *exit) {
    const struct vsm_event *event = &vp->event;

    exit->kind = VP_EXIT_PIO;
    exit->pio.port = event->pio.port;
    exit->pio.size = event->pio.size;
    exit->pio.is_write = event->pio.is_write;
    exit->pio.count = 1;
    exit->pio.data = vp->pio_data;
    store_le32(vp->pio_data, event->pio.is_write ? (uint32_t)vp->run->gpr[GPR_RAX] : 0);
}

static int finish_pio(struct vp *vp) {
    uint64_t *rax = &vp->run->gpr[GPR_RAX];
    uint32_t value = load_le32(vp->pio_data);

    if (!vp->event.pio.is_write) {
        if (vp->event.pio.size == 1) {
            *rax = (*rax & ~UINT64_C(0xff)) | (value & 0xff);
        } else if (vp->event.pio.size == 2) {
            *rax = (*rax & ~UINT64_C(0xffff)) | (value & 0xffff);
        } else {
            *rax = value;
        }
    }
    return advance(vp, 0);
}

static int answer_msr(struct vp *vp, uint64_t value) {
    if (!vp->event.msr.is_write) {
        vp->run->gpr[GPR_RAX] = (uint32_t)value;
        vp->run->gpr[GPR_RDX] = value >> 32;
    }
    return advance(vp, MSR_SIZE);
}

/// Known MSRs are answered here, the others are the VMM's decision.
static int start_msr(struct vp *vp, struct vp_exit *exit) {
    const struct vsm_event *event = &vp->event;
    uint64_t value = (uint32_t)vp->run->gpr[GPR_RAX] | vp->run->gpr[GPR_RDX] << 32;

    if (event->msr.is_write ? vsm_msr_write(event->msr.index, value)
                            : vsm_msr_read(event->msr.index, &value)) {
        return answer_msr(vp, value);
    }
    LOG_LIMITED(LOG_DEBUG, "vsm", "VP %u: %s of unknown MSR %#x", vp->index,
                event->msr.is_write ? "write" : "read", event->msr.index);
    exit->kind = VP_EXIT_MSR;
    exit->msr.index = event->msr.index;
    exit->msr.is_write = event->msr.is_write;
    exit->msr.value = event->msr.is_write ? value : 0;
    exit->msr.fault = false;
    return 0;
}

static int finish_msr(struct vp *vp, const struct vp_exit_msr *msr) {
    return msr->fault ? vsm_inject(vp, VECTOR_GP, true, 0, 0) : answer_msr(vp, msr->value);
}

int vsm_finish(struct vp *vp, const struct vp_exit *exit) {
    enum vp_exit_kind pending = vp->pending;

    vp->pending = VP_EXIT_NONE;
    if (pending == VP_EXIT_PIO) {
        return finish_pio(vp);
    }
    if (pending == VP_EXIT_MSR) {
        return finish_msr(vp, &exit->msr);
    }
    return 0;
}

// ---- answered here ----

static int answer_cpuid(struct vp *vp) {
    const struct vsm_event *event = &vp->event;

    vp->run->gpr[GPR_RAX] = event->cpuid.eax;
    vp->run->gpr[GPR_RBX] = event->cpuid.ebx;
    vp->run->gpr[GPR_RCX] = event->cpuid.ecx;
    vp->run->gpr[GPR_RDX] = event->cpuid.edx;
    return advance(vp, CPUID_SIZE);
}

/// There is no VMBus and nobody to call: what the hypervisor does not serve, nobody does.
static int answer_hypercall(struct vp *vp) {
    uint16_t code = vp->event.hypercall.code;
    bool to_connection = code == HV_CALL_POST_MESSAGE || code == HV_CALL_SIGNAL_EVENT;

    vp->run->gpr[GPR_RAX] =
        to_connection ? HV_STATUS_INVALID_CONNECTION_ID : HV_STATUS_INVALID_HYPERCALL_CODE;
    if (!vp->event.is_long) {
        vp->run->gpr[GPR_RDX] = 0; // the result is EDX:EAX there
    }
    return advance(vp, CALL_SIZE);
}

/// The hypervisor owns VTL0's interrupts: it is the one that can wait for them.
static int answer_halt(struct vp *vp) {
    int result = advance(vp, HALT_SIZE);

    return result < 0 ? result
                      : vsm_set_u64(vp->partition, HV_REGISTER_INTERNAL_ACTIVITY_STATE,
                                    HV_ACTIVITY_HALT_SUSPEND);
}

/// Real mode at vector << 12, as after SIPI (Intel SDM vol. 3, 8.4.3). The guest can name any VP.
static int answer_sipi(struct vp *vp) {
    const struct vsm_event *event = &vp->event;
    const struct hv_register_assoc registers[] = {
        {.name = HV_REGISTER_CS,
         .value.segment = {.base = (uint64_t)event->sipi.vector << 12,
                           .limit = 0xffff,
                           .selector = (uint16_t)(event->sipi.vector << 8),
                           .attributes = SIPI_CS_ATTRIBUTES}},
        {.name = HV_REGISTER_RIP},
        {.name = HV_REGISTER_INTERNAL_ACTIVITY_STATE},
    };
    int result;

    if (event->sipi.vp >= vp->partition->config.vp_count) {
        return 0;
    }
    // A VP that is not in a state for it: the guest sent the message too early, or twice.
    result = vsm_set(vp->partition, event->sipi.vp, registers, ARRAY_COUNT(registers));
    return result == -EIO ? -EINVAL : result;
}

static int carry_out(struct vp *vp, struct vp_exit *exit) {
    const struct vsm_event *event = &vp->event;

    switch (event->kind) {
    case VSM_EVENT_PIO:
        start_pio(vp, exit);
        return 0;
    case VSM_EVENT_EMULATE:
        return vsm_emulate(vp);
    case VSM_EVENT_MSR:
        return start_msr(vp, exit);
    case VSM_EVENT_CPUID:
        return answer_cpuid(vp);
    case VSM_EVENT_HYPERCALL:
        return answer_hypercall(vp);
    case VSM_EVENT_HALT:
        return answer_halt(vp);
    case VSM_EVENT_EOI:
        exit->kind = VP_EXIT_EOI;
        exit->eoi.vector = event->eoi.vector;
        return 0;
    case VSM_EVENT_DELIVERABLE:
        vp->window_requested = false;
        exit->kind = vp->extint_level ? VP_EXIT_EXTINT : VP_EXIT_NONE;
        return 0;
    case VSM_EVENT_SIPI:
        return answer_sipi(vp);
    case VSM_EVENT_SHUTDOWN:
        exit->kind = VP_EXIT_SHUTDOWN;
        return 0;
    case VSM_EVENT_EXCEPTION:
        return vsm_inject(vp, event->exception.vector, event->exception.has_error_code,
                          event->exception.error_code, event->exception.parameter);
    case VSM_EVENT_IGNORE:
        return 0;
    }
    return -EPROTO;
}

void vsm_handle(struct vp *vp, struct vp_exit *exit) {
    const struct hv_message *message = &vp->run->message;
    int result = vsm_message_decode(message, &vp->event);

    exit->kind = VP_EXIT_NONE;
    if (result < 0) {
        exit->kind = VP_EXIT_FAILED;
        exit->failed = (struct vp_exit_failed){
            .what = "the hypervisor sent a message that is not understood",
            .detail = {message->header.type, message->header.payload_size_bytes,
                       load_le64(message->payload), load_le64(message->payload + 24)},
        };
        return;
    }
    result = carry_out(vp, exit);
    vp->pending = exit->kind;
    if (result < 0) {
        vsm_vp_fail(exit, "an intercept could not be carried out", result,
                    (const uint64_t[3]){message->header.type, vp->event.rip});
    }
}
