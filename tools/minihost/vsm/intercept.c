// SPDX-License-Identifier: MIT
//
// Intercept messages: an exit of VTL0 told to VTL2 in its VP assist page (TLFS, "Intercepts" and
// "Intercept message formats"). RIP stays at the instruction; VTL2 moves it.
#include "tools/minihost/vsm/internal.h"

#include <string.h>

#define CR0_PE       UINT64_C(1)
#define CR0_AM       (UINT64_C(1) << 18)
#define EFER_LMA     (UINT64_C(1) << 10)
#define DR7_ACTIVE   UINT64_C(0xff) ///< any breakpoint enabled
#define LENGTH_CPUID 2u
#define LENGTH_MSR   2u
#define LENGTH_CALL  3u
#define VECTOR_PF    14u

static void fill_header(struct vsm_vp *vp, struct hv_intercept_header *out, unsigned length,
                        enum hv_intercept_access access) {
    const struct vsm_vtl *vtl0 = &vp->vtl[VSM_GUEST_VTL];
    const struct svm_save *s = &vtl0->vmcb->save;
    uint16_t state = (uint16_t)vsm_cpl(vtl0->vmcb);

    state |= s->cr0 & CR0_PE ? HV_STATE_CR0_PE : 0;
    state |= s->cr0 & CR0_AM ? HV_STATE_CR0_AM : 0;
    state |= s->efer & EFER_LMA ? HV_STATE_EFER_LMA : 0;
    state |= s->dr7 & DR7_ACTIVE ? HV_STATE_DEBUG_ACTIVE : 0;
    state |= vp->reinject ? HV_STATE_INTERRUPTION_PENDING : 0;
    state |= VSM_GUEST_VTL << HV_STATE_VTL_SHIFT;
    state |= vtl0->vmcb->control.interrupt_shadow & 1 ? HV_STATE_INTERRUPT_SHADOW : 0;
    *out = (struct hv_intercept_header){
        .vp_index = vp->index,
        .length_and_cr8 = (uint8_t)((length & 0xf) | hv_lapic_cr8(&vtl0->lapic) << 4),
        .access = (uint8_t)access,
        .state = state,
        .rip = s->rip,
        .rflags = s->rflags,
    };
    vsm_hv_segment(&s->cs, &out->cs);
}

static enum vsm_next send(struct vsm_vp *vp, uint32_t type, const void *payload,
                          size_t size_bytes) {
    struct hv_vp_assist_page *assist = vsm_overlay_page(vp, VSM_PARAVISOR, VSM_OVERLAY_ASSIST);

    if (assist) {
        struct hv_message *message = &assist->intercept_message;

        message->header =
            (struct hv_message_header){.type = type, .payload_size_bytes = (uint8_t)size_bytes};
        memcpy(message->payload, payload, size_bytes);
    }
    return vsm_enter_vtl2(vp, HV_VTL_ENTRY_INTERCEPT);
}

enum vsm_next vsm_intercept_io(struct vsm_vp *vp) {
    const struct svm_vmcb *vmcb = vp->vtl[VSM_GUEST_VTL].vmcb;
    uint64_t info = vmcb->control.exit_info_1;
    unsigned length = (unsigned)(vmcb->control.exit_info_2 - vmcb->save.rip) & 0xf;
    struct hv_io_port_intercept m = {
        .port = (uint16_t)(info >> SVM_IOIO_PORT_SHIFT),
        .access_info = (uint8_t)((info & SVM_IOIO_SIZE_MASK) >> SVM_IOIO_SIZE_SHIFT),
        .rax = vp->gpr[VSM_RAX],
        .rcx = vp->gpr[VSM_RCX],
        .rsi = vp->gpr[VSM_RSI],
        .rdi = vp->gpr[VSM_RDI],
    };

    fill_header(vp, &m.header, length, info & SVM_IOIO_IN ? HV_INTERCEPT_READ : HV_INTERCEPT_WRITE);
    vsm_hv_segment(&vmcb->save.ds, &m.ds);
    vsm_hv_segment(&vmcb->save.es, &m.es);
    if (info & SVM_IOIO_REP) {
        m.access_info |= HV_IO_ACCESS_REP;
    }
    if (info & SVM_IOIO_STRING) {
        m.access_info |= HV_IO_ACCESS_STRING;
        m.instruction_byte_count =
            (uint8_t)vsm_fetch_instruction(vp, VSM_GUEST_VTL, m.instruction_bytes);
    }
    return send(vp, HV_MESSAGE_IO_PORT_INTERCEPT, &m, sizeof(m));
}

enum vsm_next vsm_intercept_msr(struct vsm_vp *vp, uint32_t index, bool is_write, uint64_t value) {
    struct hv_msr_intercept m = {.msr = index, .rdx = value >> 32, .rax = value & UINT32_MAX};

    fill_header(vp, &m.header, LENGTH_MSR, is_write ? HV_INTERCEPT_WRITE : HV_INTERCEPT_READ);
    return send(vp, HV_MESSAGE_MSR_INTERCEPT, &m, sizeof(m));
}

enum vsm_next vsm_intercept_cpuid(struct vsm_vp *vp, const uint32_t in[4], const uint32_t out[4]) {
    // in and out: EAX, EBX, ECX, EDX.
    struct hv_cpuid_intercept m = {
        .rax = in[0],
        .rcx = in[2],
        .rdx = in[3],
        .rbx = in[1],
        .default_rax = out[0],
        .default_rcx = out[2],
        .default_rdx = out[3],
        .default_rbx = out[1],
    };

    fill_header(vp, &m.header, LENGTH_CPUID, HV_INTERCEPT_EXECUTE);
    return send(vp, HV_MESSAGE_CPUID_INTERCEPT, &m, sizeof(m));
}

enum vsm_next vsm_intercept_memory(struct vsm_vp *vp) {
    const struct svm_control *control = &vp->vtl[VSM_GUEST_VTL].vmcb->control;
    uint64_t info = control->exit_info_1, gpa = control->exit_info_2;
    enum hv_intercept_access access = info & SVM_NPF_FETCH   ? HV_INTERCEPT_EXECUTE
                                      : info & SVM_NPF_WRITE ? HV_INTERCEPT_WRITE
                                                             : HV_INTERCEPT_READ;
    // Memory that VTL2 has and VTL0 lacks is protected; all else is not mapped.
    bool is_protected =
        vp->partition->ops->memory(vp->partition, VSM_PARAVISOR, gpa, 1, false) != NULL;
    struct hv_memory_intercept m = {
        .cache_type = 6, // write-back
        .tpr_priority = hv_lapic_cr8(&vp->vtl[VSM_GUEST_VTL].lapic),
        .gpa = gpa,
    };

    fill_header(vp, &m.header, 0, access);
    if (access != HV_INTERCEPT_EXECUTE) {
        m.instruction_byte_count =
            (uint8_t)vsm_fetch_instruction(vp, VSM_GUEST_VTL, m.instruction_bytes);
    }
    return send(vp, is_protected ? HV_MESSAGE_GPA_INTERCEPT : HV_MESSAGE_UNMAPPED_GPA, &m,
                sizeof(m));
}

enum vsm_next vsm_intercept_exception(struct vsm_vp *vp, uint8_t vector) {
    const uint32_t with_error_code = 0x00027d00u; // 8, 10-14, 17
    const struct svm_vmcb *vmcb = vp->vtl[VSM_GUEST_VTL].vmcb;
    struct hv_exception_intercept m = {
        .vector = vector,
        .exception_info = with_error_code >> vector & 1,
        .error_code = (uint32_t)vmcb->control.exit_info_1,
        .parameter = vector == VECTOR_PF ? vmcb->control.exit_info_2 : vmcb->save.dr6,
    };

    fill_header(vp, &m.header, 0, HV_INTERCEPT_EXECUTE);
    vsm_hv_segment(&vmcb->save.ds, &m.ds);
    vsm_hv_segment(&vmcb->save.ss, &m.ss);
    memcpy(m.gpr, vp->gpr, sizeof(m.gpr));
    m.instruction_byte_count =
        (uint8_t)vsm_fetch_instruction(vp, VSM_GUEST_VTL, m.instruction_bytes);
    return send(vp, HV_MESSAGE_EXCEPTION_INTERCEPT, &m, sizeof(m));
}

enum vsm_next vsm_intercept_hypercall(struct vsm_vp *vp) {
    struct hv_hypercall_intercept m = {
        .rax = vp->gpr[VSM_RAX],
        .rbx = vp->gpr[VSM_RBX],
        .rcx = vp->gpr[VSM_RCX],
        .rdx = vp->gpr[VSM_RDX],
        .r8 = vp->gpr[8],
        .rsi = vp->gpr[VSM_RSI],
        .rdi = vp->gpr[VSM_RDI],
    };

    fill_header(vp, &m.header, LENGTH_CALL, HV_INTERCEPT_EXECUTE);
    return send(vp, HV_MESSAGE_HYPERCALL_INTERCEPT, &m, sizeof(m));
}

enum vsm_next vsm_intercept_shutdown(struct vsm_vp *vp) {
    struct hv_intercept_header m;

    fill_header(vp, &m, 0, HV_INTERCEPT_READ);
    return send(vp, HV_MESSAGE_UNRECOVERABLE_EXCEPTION, &m, sizeof(m));
}

enum vsm_next vsm_intercept_deliverable(struct vsm_vp *vp, uint8_t type) {
    struct hv_interruption_deliverable m = {.type = type};

    fill_header(vp, &m.header, 0, HV_INTERCEPT_READ);
    return send(vp, HV_MESSAGE_INTERRUPTION_DELIVERABLE, &m, sizeof(m));
}

enum vsm_next vsm_intercept_eoi(struct vsm_vp *vp, uint8_t vector) {
    struct hv_apic_eoi_message m = {.vp_index = vp->index, .vector = vector};

    return send(vp, HV_MESSAGE_APIC_EOI, &m, sizeof(m));
}

enum vsm_next vsm_intercept_sipi(struct vsm_vp *vp, uint32_t target_vp, uint8_t vector) {
    struct hv_sipi_intercept m = {.target_vp = target_vp, .vector = vector};

    fill_header(vp, &m.header, 0, HV_INTERCEPT_READ);
    return send(vp, HV_MESSAGE_SIPI_INTERCEPT, &m, sizeof(m));
}
