// SPDX-License-Identifier: MIT
//
// Decoding intercept messages. See message.h.
#include "vtl2/vsm/message.h"

#include <errno.h>
#include <string.h>

#define HV_SEGMENT_LONG (1u << 13)

/// The payload as a structure: false when the message is too short for it.
static bool payload(const struct hv_message *message, void *out, size_t size_bytes) {
    uint8_t size = message->header.payload_size_bytes;

    if (size > sizeof(message->payload) || size < size_bytes) {
        return false;
    }
    memcpy(out, message->payload, size_bytes);
    return true;
}

static void take_header(const struct hv_intercept_header *header, struct vsm_event *out) {
    out->rip = header->rip;
    out->rflags = header->rflags;
    out->length = header->length_and_cr8 & 0xf;
    out->cpl = header->state & HV_STATE_CPL_MASK;
    out->is_long = (header->state & HV_STATE_EFER_LMA) && (header->cs.attributes & HV_SEGMENT_LONG);
    out->interrupt_shadow = (header->state & HV_STATE_INTERRUPT_SHADOW) != 0;
}

static void take_insn(const uint8_t bytes[16], uint8_t count, struct vsm_event *out) {
    out->emulate.insn_bytes =
        count < sizeof(out->emulate.insn) ? count : (uint8_t)sizeof(out->emulate.insn);
    memcpy(out->emulate.insn, bytes, out->emulate.insn_bytes);
}

static int decode_memory(const struct hv_message *message, struct vsm_event *out) {
    struct hv_memory_intercept m;

    if (!payload(message, &m, sizeof(m)) || m.header.access > HV_INTERCEPT_EXECUTE) {
        return -EPROTO;
    }
    take_header(&m.header, out);
    out->kind = VSM_EVENT_EMULATE;
    out->emulate.is_memory = true;
    out->emulate.access = m.header.access;
    out->emulate.gpa = m.gpa;
    take_insn(m.instruction_bytes, m.instruction_byte_count, out);
    return 0;
}

static int decode_io_port(const struct hv_message *message, struct vsm_event *out) {
    struct hv_io_port_intercept m;
    uint8_t size;

    if (!payload(message, &m, sizeof(m)) || m.header.access > HV_INTERCEPT_WRITE) {
        return -EPROTO;
    }
    size = m.access_info & HV_IO_ACCESS_SIZE_MASK;
    if (size != 1 && size != 2 && size != 4) {
        return -EPROTO;
    }
    take_header(&m.header, out);
    if ((m.access_info & (HV_IO_ACCESS_STRING | HV_IO_ACCESS_REP)) || out->length == 0) {
        out->kind = VSM_EVENT_EMULATE;
        out->emulate.is_memory = false;
        out->emulate.access = m.header.access;
        out->emulate.gpa = 0;
        take_insn(m.instruction_bytes, m.instruction_byte_count, out);
        return 0;
    }
    out->kind = VSM_EVENT_PIO;
    out->pio.port = m.port;
    out->pio.size = size;
    out->pio.is_write = m.header.access == HV_INTERCEPT_WRITE;
    return 0;
}

static int decode_msr(const struct hv_message *message, struct vsm_event *out) {
    struct hv_msr_intercept m;

    if (!payload(message, &m, sizeof(m)) || m.header.access > HV_INTERCEPT_WRITE) {
        return -EPROTO;
    }
    take_header(&m.header, out);
    out->kind = VSM_EVENT_MSR;
    out->msr.index = m.msr;
    out->msr.is_write = m.header.access == HV_INTERCEPT_WRITE;
    return 0;
}

static int decode_cpuid(const struct hv_message *message, struct vsm_event *out) {
    struct hv_cpuid_intercept m;

    if (!payload(message, &m, sizeof(m))) {
        return -EPROTO;
    }
    take_header(&m.header, out);
    out->kind = VSM_EVENT_CPUID;
    out->cpuid.leaf = (uint32_t)(m.rax & UINT32_MAX);
    out->cpuid.subleaf = (uint32_t)(m.rcx & UINT32_MAX);
    out->cpuid.eax = (uint32_t)(m.default_rax & UINT32_MAX);
    out->cpuid.ebx = (uint32_t)(m.default_rbx & UINT32_MAX);
    out->cpuid.ecx = (uint32_t)(m.default_rcx & UINT32_MAX);
    out->cpuid.edx = (uint32_t)(m.default_rdx & UINT32_MAX);
    return 0;
}

static int decode_hypercall(const struct hv_message *message, struct vsm_event *out) {
    struct hv_hypercall_intercept m;

    if (!payload(message, &m, sizeof(m))) {
        return -EPROTO;
    }
    take_header(&m.header, out);
    out->kind = VSM_EVENT_HYPERCALL;
    // The input value is in RCX in 64-bit code, in EDX:EAX elsewhere; only its low part is asked.
    out->hypercall.code = (uint16_t)((out->is_long ? m.rcx : m.rax) & UINT16_MAX);
    return 0;
}

static int decode_exception(const struct hv_message *message, struct vsm_event *out) {
    struct hv_exception_intercept m;

    if (!payload(message, &m, sizeof(m)) || m.vector > 31) {
        return -EPROTO;
    }
    take_header(&m.header, out);
    out->kind = VSM_EVENT_EXCEPTION;
    out->exception.vector = (uint8_t)m.vector;
    out->exception.has_error_code = m.exception_info & 1;
    out->exception.error_code = m.error_code;
    out->exception.parameter = m.parameter;
    return 0;
}

static int decode_eoi(const struct hv_message *message, struct vsm_event *out) {
    struct hv_apic_eoi_message m;

    if (!payload(message, &m, sizeof(m)) || m.vector > 255) {
        return -EPROTO;
    }
    out->kind = VSM_EVENT_EOI;
    out->eoi.vector = (uint8_t)m.vector;
    return 0;
}

static int decode_sipi(const struct hv_message *message, struct vsm_event *out) {
    struct hv_sipi_intercept m;

    if (!payload(message, &m, sizeof(m)) || m.vector > 255) {
        return -EPROTO;
    }
    take_header(&m.header, out);
    out->kind = VSM_EVENT_SIPI;
    out->sipi.vp = m.target_vp;
    out->sipi.vector = (uint8_t)m.vector;
    return 0;
}

/// Messages of which only the header counts.
static int decode_plain(const struct hv_message *message, enum vsm_event_kind kind,
                        struct vsm_event *out) {
    struct hv_intercept_header header;

    if (!payload(message, &header, sizeof(header))) {
        return -EPROTO;
    }
    take_header(&header, out);
    out->kind = kind;
    return 0;
}

int vsm_message_decode(const struct hv_message *message, struct vsm_event *out) {
    memset(out, 0, sizeof(*out));
    switch (message->header.type) {
    case HV_MESSAGE_IO_PORT_INTERCEPT:
        return decode_io_port(message, out);
    case HV_MESSAGE_UNMAPPED_GPA:
    case HV_MESSAGE_GPA_INTERCEPT:
        return decode_memory(message, out);
    case HV_MESSAGE_MSR_INTERCEPT:
        return decode_msr(message, out);
    case HV_MESSAGE_CPUID_INTERCEPT:
        return decode_cpuid(message, out);
    case HV_MESSAGE_HYPERCALL_INTERCEPT:
        return decode_hypercall(message, out);
    case HV_MESSAGE_EXCEPTION_INTERCEPT:
        return decode_exception(message, out);
    case HV_MESSAGE_APIC_EOI:
        return decode_eoi(message, out);
    case HV_MESSAGE_SIPI_INTERCEPT:
        return decode_sipi(message, out);
    case HV_MESSAGE_HALT:
        return decode_plain(message, VSM_EVENT_HALT, out);
    case HV_MESSAGE_INTERRUPTION_DELIVERABLE:
        return decode_plain(message, VSM_EVENT_DELIVERABLE, out);
    case HV_MESSAGE_UNRECOVERABLE_EXCEPTION:
        return decode_plain(message, VSM_EVENT_SHUTDOWN, out);
    case HV_MESSAGE_SYNIC_SINT_DELIVERABLE: // nobody asked for it
        out->kind = VSM_EVENT_IGNORE;
        return 0;
    default:
        return -EPROTO;
    }
}
