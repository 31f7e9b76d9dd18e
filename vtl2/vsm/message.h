// SPDX-License-Identifier: MIT
//
// Intercept messages (TLFS, "Intercept messages"; struct hv_message) into what the platform does
// with them. Pure: bytes in, result out. What a message says comes from the hypervisor, but most
// of its numbers are the guest's: sizes are checked here, once, and everything is copied out.
#pragma once

#include "vtl2/hv/tlfs.h"

enum vsm_event_kind {
    VSM_EVENT_PIO,         ///< one port access of known size and instruction length
    VSM_EVENT_EMULATE,     ///< an instruction for the emulator: memory access or string I/O
    VSM_EVENT_MSR,         ///< RDMSR, WRMSR
    VSM_EVENT_CPUID,       ///< CPUID, with the host's own answer
    VSM_EVENT_HYPERCALL,   ///< a hypercall that the host does not handle
    VSM_EVENT_HALT,        ///< HLT
    VSM_EVENT_EOI,         ///< a level-triggered vector was acknowledged
    VSM_EVENT_DELIVERABLE, ///< an interrupt window has opened
    VSM_EVENT_SIPI,        ///< another VP is to start
    VSM_EVENT_SHUTDOWN,    ///< triple fault
    VSM_EVENT_EXCEPTION,   ///< an exception that the host gives back to be injected
    VSM_EVENT_IGNORE,      ///< nothing to do
};

struct vsm_event {
    enum vsm_event_kind kind;
    // From the common header; zero for EOI.
    uint64_t rip;
    uint64_t rflags;
    uint8_t length; ///< of the instruction in bytes; 0: not known
    uint8_t cpl;
    bool is_long; ///< 64-bit code
    bool interrupt_shadow;
    union {
        struct {
            uint16_t port;
            uint8_t size; ///< 1, 2 or 4
            bool is_write;
        } pio;
        struct {
            bool is_memory; ///< false: string I/O
            uint8_t access; ///< enum hv_intercept_access
            uint64_t gpa;   ///< is_memory: what was accessed, for the log
            uint8_t insn[15];
            uint8_t insn_bytes; ///< 0: none came with the message
        } emulate;
        struct {
            uint32_t index;
            bool is_write;
        } msr;
        struct {
            uint32_t leaf, subleaf;
            uint32_t eax, ebx, ecx, edx; ///< the host's answer
        } cpuid;
        struct {
            uint16_t code;
        } hypercall;
        struct {
            uint8_t vector;
        } eoi;
        struct {
            uint32_t vp;
            uint8_t vector;
        } sipi;
        struct {
            uint8_t vector;
            bool has_error_code;
            uint32_t error_code;
            uint64_t parameter;
        } exception;
    };
};

/// Decodes one message. 0; -EPROTO when it is none that the platform knows, or breaks a rule of its
/// format: *out is then unspecified.
int vsm_message_decode(const struct hv_message *message, struct vsm_event *out);
