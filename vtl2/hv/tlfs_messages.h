// SPDX-License-Identifier: MIT
//
// What Hyper-V tells a VTL about another: the SynIC message page, intercept messages with all their
// payloads, the VP assist page and the register page (TLFS, "Intercept messages", "Messages",
// "Virtual Secure Mode", "VP Assist Page").
#pragma once

#include "igvm/base/types.h"
#include "vtl2/hv/tlfs_registers.h"

struct hv_message_header {
    uint32_t type; ///< HV_MESSAGE_*, 0: the slot is empty
    uint8_t payload_size_bytes;
    uint8_t flags; ///< HV_MESSAGE_FLAG_PENDING
    uint8_t reserved[2];
    uint64_t sender; ///< partition id or port id
} __attribute__((packed));
_Static_assert(sizeof(struct hv_message_header) == 16, "TLFS: HV_MESSAGE_HEADER");

#define HV_MESSAGE_FLAG_PENDING 1u ///< another message waits for the slot: write EOM

struct hv_message {
    struct hv_message_header header;
    uint8_t payload[240];
} __attribute__((packed));
_Static_assert(sizeof(struct hv_message) == 256, "TLFS: HV_MESSAGE");

struct hv_message_page {
    struct hv_message slot[16]; ///< one per SINT
} __attribute__((packed));
_Static_assert(sizeof(struct hv_message_page) == PAGE_SIZE_4K, "TLFS: SIMP");

#define HV_MESSAGE_NONE                     0u
#define HV_MESSAGE_UNMAPPED_GPA             0x80000000u
#define HV_MESSAGE_GPA_INTERCEPT            0x80000001u
#define HV_MESSAGE_TIMER_EXPIRED            0x80000010u
#define HV_MESSAGE_UNRECOVERABLE_EXCEPTION  0x80000021u
#define HV_MESSAGE_HYPERCALL_INTERCEPT      0x80000050u
#define HV_MESSAGE_SYNIC_SINT_DELIVERABLE   0x80000062u
#define HV_MESSAGE_IO_PORT_INTERCEPT        0x80010000u
#define HV_MESSAGE_MSR_INTERCEPT            0x80010001u
#define HV_MESSAGE_CPUID_INTERCEPT          0x80010002u
#define HV_MESSAGE_EXCEPTION_INTERCEPT      0x80010003u
#define HV_MESSAGE_APIC_EOI                 0x80010004u
#define HV_MESSAGE_HALT                     0x80010007u
#define HV_MESSAGE_INTERRUPTION_DELIVERABLE 0x80010008u
#define HV_MESSAGE_SIPI_INTERCEPT           0x80010009u

/// Payload of HV_MESSAGE_TIMER_EXPIRED.
struct hv_timer_message {
    uint32_t timer_index;
    uint32_t reserved;
    uint64_t expiration_time_100ns;
    uint64_t delivery_time_100ns;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_timer_message) == 24, "TLFS: timer message");

/// What every intercept message but the APIC's begins with.
struct hv_intercept_header {
    uint32_t vp_index;
    uint8_t length_and_cr8; ///< [3:0] instruction length (0: not known), [7:4] CR8
    uint8_t access;         ///< enum hv_intercept_access
    uint16_t state;         ///< HV_STATE_*
    struct hv_segment_register cs;
    uint64_t rip; ///< of the intercepted instruction
    uint64_t rflags;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_intercept_header) == 40, "TLFS: HV_X64_INTERCEPT_MESSAGE_HEADER");

enum hv_intercept_access {
    HV_INTERCEPT_READ = 0,
    HV_INTERCEPT_WRITE = 1,
    HV_INTERCEPT_EXECUTE = 2,
};

// hv_intercept_header.state.
#define HV_STATE_CPL_MASK             0x3u
#define HV_STATE_CR0_PE               (1u << 2)
#define HV_STATE_CR0_AM               (1u << 3)
#define HV_STATE_EFER_LMA             (1u << 4)
#define HV_STATE_DEBUG_ACTIVE         (1u << 5)
#define HV_STATE_INTERRUPTION_PENDING (1u << 6)
#define HV_STATE_VTL_SHIFT            7u
#define HV_STATE_INTERRUPT_SHADOW     (1u << 12)

/// HV_MESSAGE_UNMAPPED_GPA and HV_MESSAGE_GPA_INTERCEPT.
struct hv_memory_intercept {
    struct hv_intercept_header header;
    uint32_t cache_type;
    uint8_t instruction_byte_count;
    uint8_t access_info; ///< HV_MEMORY_ACCESS_*
    uint8_t tpr_priority;
    uint8_t reserved;
    uint64_t gva;
    uint64_t gpa;
    uint8_t instruction_bytes[16];
} __attribute__((packed));
_Static_assert(sizeof(struct hv_memory_intercept) == 80, "TLFS: memory intercept");

#define HV_MEMORY_ACCESS_GVA_VALID     1u
#define HV_MEMORY_ACCESS_GVA_GPA_VALID 2u

struct hv_io_port_intercept {
    struct hv_intercept_header header;
    uint16_t port;
    uint8_t access_info; ///< HV_IO_ACCESS_*
    uint8_t instruction_byte_count;
    uint32_t reserved;
    uint64_t rax;
    uint8_t instruction_bytes[16];
    struct hv_segment_register ds;
    struct hv_segment_register es;
    uint64_t rcx, rsi, rdi;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_io_port_intercept) == 128, "TLFS: I/O port intercept");

#define HV_IO_ACCESS_SIZE_MASK 0x7u ///< bytes: 1, 2, 4
#define HV_IO_ACCESS_STRING    0x8u
#define HV_IO_ACCESS_REP       0x10u

struct hv_msr_intercept {
    struct hv_intercept_header header;
    uint32_t msr;
    uint32_t reserved;
    uint64_t rdx, rax;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_msr_intercept) == 64, "TLFS: MSR intercept");

struct hv_cpuid_intercept {
    struct hv_intercept_header header;
    uint64_t rax, rcx, rdx, rbx;
    uint64_t default_rax, default_rcx, default_rdx, default_rbx; ///< what the host would say
} __attribute__((packed));
_Static_assert(sizeof(struct hv_cpuid_intercept) == 104, "TLFS: CPUID intercept");

struct hv_exception_intercept {
    struct hv_intercept_header header;
    uint16_t vector;
    uint8_t exception_info; ///< [0] error code valid, [1] software exception
    uint8_t instruction_byte_count;
    uint32_t error_code;
    uint64_t parameter; ///< CR2, DR6
    uint64_t reserved;
    uint8_t instruction_bytes[16];
    struct hv_segment_register ds;
    struct hv_segment_register ss;
    uint64_t gpr[16]; ///< in the encoding's order
} __attribute__((packed));
_Static_assert(sizeof(struct hv_exception_intercept) == 240, "TLFS: exception intercept");

struct hv_hypercall_intercept {
    struct hv_intercept_header header;
    uint64_t rax, rbx, rcx, rdx, r8, rsi, rdi;
    uint64_t xmm[6][2];
    uint32_t flags; ///< [0] isolated guest's
    uint32_t reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct hv_hypercall_intercept) == 208, "TLFS: hypercall intercept");

/// HV_MESSAGE_APIC_EOI: no header.
struct hv_apic_eoi_message {
    uint32_t vp_index;
    uint32_t vector;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_apic_eoi_message) == 8, "TLFS: APIC EOI message");

struct hv_interruption_deliverable {
    struct hv_intercept_header header;
    uint8_t type; ///< HV_PENDING_TYPE_EXTINT or _NMI
    uint8_t reserved[7];
} __attribute__((packed));
_Static_assert(sizeof(struct hv_interruption_deliverable) == 48, "TLFS: deliverable message");

struct hv_sint_deliverable {
    struct hv_intercept_header header;
    uint16_t sints;
    uint16_t reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct hv_sint_deliverable) == 48, "TLFS: SINT deliverable message");

struct hv_sipi_intercept {
    struct hv_intercept_header header;
    uint32_t target_vp;
    uint32_t vector;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_sipi_intercept) == 48, "TLFS: SIPI intercept");

// ---- the VP assist page ------------------------------------------------------------------------
enum hv_vtl_entry_reason {
    HV_VTL_ENTRY_VTL_CALL = 1,
    HV_VTL_ENTRY_INTERRUPT = 2,
    HV_VTL_ENTRY_INTERCEPT = 3,
};

/// One entry of hv_vp_assist_page.return_actions; type 0 ends the list.
struct hv_return_action {
    uint64_t type; ///< HV_RETURN_ACTION_SIGNAL_EVENT
    uint32_t vp_index;
    uint8_t vtl;
    uint8_t sint;
    uint16_t flag_number;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_return_action) == 16, "TLFS: VTL return action");

#define HV_RETURN_ACTION_NONE         0u
#define HV_RETURN_ACTION_SIGNAL_EVENT 1u
#define HV_RETURN_ACTION_COUNT        16u

struct hv_vp_assist_page {
    uint32_t apic_assist; ///< [0] no EOI required
    uint32_t reserved0;
    uint32_t vtl_entry_reason; ///< enum hv_vtl_entry_reason, the hypervisor's
    uint8_t vina_status;
    uint8_t reserved1[3];
    uint64_t vtl_return_rax; ///< the lower VTL's, read at VTL return
    uint64_t vtl_return_rcx;
    uint8_t nested[32];
    uint8_t virtualization_fault[40];
    uint8_t reserved2[8];
    struct hv_message intercept_message; ///< the hypervisor's
    struct hv_return_action return_actions[HV_RETURN_ACTION_COUNT];
    uint8_t reserved3[3472];
} __attribute__((packed));
_Static_assert(sizeof(struct hv_vp_assist_page) == PAGE_SIZE_4K, "TLFS: VP assist page");
_Static_assert(offsetof(struct hv_vp_assist_page, intercept_message) == 112, "TLFS: assist page");
_Static_assert(offsetof(struct hv_vp_assist_page, return_actions) == 368, "TLFS: assist page");

// ---- the register page -------------------------------------------------------------------------
struct hv_register_page {
    uint16_t version; ///< HV_REGISTER_PAGE_VERSION
    uint8_t is_valid; ///< the hypervisor's: what follows is the lower VTL's state
    uint8_t vtl;
    uint32_t dirty; ///< HV_REGISTER_PAGE_DIRTY_*: applied at VTL return
    uint64_t gpr[16];
    uint64_t rip;
    uint64_t rflags;
    uint64_t reserved0;
    uint64_t xmm[6][2];
    struct hv_segment_register es, cs, ss, ds, fs, gs;
    uint64_t cr0, cr3, cr4, cr8, efer, dr7; ///< read-only
    uint64_t pending_interruption;
    uint64_t interrupt_state;
    uint64_t emulation_hints;
    uint64_t xfem;
    uint8_t reserved1[3664];
} __attribute__((packed));
_Static_assert(sizeof(struct hv_register_page) == PAGE_SIZE_4K, "TLFS: register page");
_Static_assert(offsetof(struct hv_register_page, es) == 256, "TLFS: register page");
_Static_assert(offsetof(struct hv_register_page, xfem) == 424, "TLFS: register page");

#define HV_REGISTER_PAGE_VERSION        1u
#define HV_REGISTER_PAGE_DIRTY_GPR      (1u << 0)
#define HV_REGISTER_PAGE_DIRTY_RIP      (1u << 1)
#define HV_REGISTER_PAGE_DIRTY_XMM      (1u << 2)
#define HV_REGISTER_PAGE_DIRTY_SEGMENTS (1u << 3)
#define HV_REGISTER_PAGE_DIRTY_RFLAGS   (1u << 4)
