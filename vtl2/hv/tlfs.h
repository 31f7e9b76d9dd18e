// SPDX-License-Identifier: MIT
//
// Hyper-V's interface as the Top-Level Functional Specification (TLFS) lays it down: hypercalls,
// synthetic MSRs, CPUID leaves and the pages that hypervisor and guest share. Layouts and constants
// only, for both sides of the interface: the host (tools/minihost/vsm) and the paravisor
// (vtl2/vsm). Register names and messages have headers of their own, included at the end.
//
// Sections are cited by name: their numbers differ between the specification's editions.
#pragma once

#include "igvm/base/types.h"

// ---- hypercalls: "Hypercall Interface" ---------------------------------------------------------

// Call codes ("Hypercall Reference").
#define HV_CALL_FLUSH_VIRTUAL_ADDRESS_SPACE      0x0002u
#define HV_CALL_FLUSH_VIRTUAL_ADDRESS_LIST       0x0003u
#define HV_CALL_NOTIFY_LONG_SPIN_WAIT            0x0008u
#define HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI       0x000bu
#define HV_CALL_MODIFY_VTL_PROTECTION_MASK       0x000cu
#define HV_CALL_ENABLE_PARTITION_VTL             0x000du
#define HV_CALL_DISABLE_PARTITION_VTL            0x000eu
#define HV_CALL_ENABLE_VP_VTL                    0x000fu
#define HV_CALL_DISABLE_VP_VTL                   0x0010u
#define HV_CALL_VTL_CALL                         0x0011u
#define HV_CALL_VTL_RETURN                       0x0012u
#define HV_CALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX   0x0013u
#define HV_CALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX    0x0014u
#define HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI_EX    0x0015u
#define HV_CALL_GET_PARTITION_ID                 0x0046u
#define HV_CALL_INSTALL_INTERCEPT                0x004du
#define HV_CALL_GET_VP_REGISTERS                 0x0050u
#define HV_CALL_SET_VP_REGISTERS                 0x0051u
#define HV_CALL_TRANSLATE_VIRTUAL_ADDRESS        0x0052u
#define HV_CALL_POST_MESSAGE                     0x005cu
#define HV_CALL_SIGNAL_EVENT                     0x005du
#define HV_CALL_RETARGET_DEVICE_INTERRUPT        0x007eu
#define HV_CALL_ENTER_SLEEP_STATE                0x0084u
#define HV_CALL_REGISTER_INTERCEPT_RESULT        0x0091u
#define HV_CALL_ASSERT_VIRTUAL_INTERRUPT         0x0094u
#define HV_CALL_START_VIRTUAL_PROCESSOR          0x0099u
#define HV_CALL_GET_VP_INDEX_FROM_APIC_ID        0x009au
#define HV_CALL_TRANSLATE_VIRTUAL_ADDRESS_EX     0x00acu
#define HV_CALL_SIGNAL_EVENT_DIRECT              0x00c0u
#define HV_CALL_POST_MESSAGE_DIRECT              0x00c1u
#define HV_CALL_CHECK_SPARSE_GPA_PAGE_VTL_ACCESS 0x00d4u
#define HV_CALL_GET_VP_CPUID_VALUES              0x00f4u
#define HV_CALL_EXT_QUERY_CAPABILITIES           0x8001u

// Statuses ("Hypercall Status Codes").
#define HV_STATUS_SUCCESS                 0x0000u
#define HV_STATUS_INVALID_HYPERCALL_CODE  0x0002u
#define HV_STATUS_INVALID_HYPERCALL_INPUT 0x0003u
#define HV_STATUS_INVALID_ALIGNMENT       0x0004u
#define HV_STATUS_INVALID_PARAMETER       0x0005u
#define HV_STATUS_ACCESS_DENIED           0x0006u
#define HV_STATUS_INVALID_PARTITION_STATE 0x0007u
#define HV_STATUS_OPERATION_DENIED        0x0008u
#define HV_STATUS_INSUFFICIENT_MEMORY     0x000bu
#define HV_STATUS_INVALID_PARTITION_ID    0x000du
#define HV_STATUS_INVALID_VP_INDEX        0x000eu
#define HV_STATUS_INVALID_PORT_ID         0x0011u
#define HV_STATUS_INVALID_CONNECTION_ID   0x0012u
#define HV_STATUS_INSUFFICIENT_BUFFERS    0x0013u
#define HV_STATUS_INVALID_VP_STATE        0x0015u
#define HV_STATUS_INVALID_REGISTER_VALUE  0x0050u
#define HV_STATUS_INVALID_VTL_STATE       0x0051u
#define HV_STATUS_OPERATION_FAILED        0x0071u
#define HV_STATUS_TIMEOUT                 0x0078u
#define HV_STATUS_VTL_ALREADY_ENABLED     0x0086u

// Input value (RCX).
#define HV_CONTROL_CODE_MASK       UINT64_C(0xffff)
#define HV_CONTROL_FAST            (UINT64_C(1) << 16)
#define HV_CONTROL_VARHEAD_SHIFT   17u ///< variable header, in 8-byte units
#define HV_CONTROL_VARHEAD_MASK    0x3ffu
#define HV_CONTROL_REP_COUNT_SHIFT 32u
#define HV_CONTROL_REP_START_SHIFT 48u
#define HV_CONTROL_REP_MASK        0xfffu
#define HV_CONTROL_RESERVED_MASK   UINT64_C(0xf000f000f8000000)
// Result value (RAX): status in [15:0].
#define HV_RESULT_REPS_SHIFT 32u

#define HV_PARTITION_ID_SELF UINT64_MAX
#define HV_VP_INDEX_SELF     0xfffffffeu
#define HV_VP_INDEX_ANY      0xffffffffu

// A VTL in an input header: [3:0] the VTL, [4] use it; 0 means the caller's own.
#define HV_INPUT_VTL_MASK       0x0fu
#define HV_INPUT_VTL_USE_TARGET 0x10u
#define HV_INPUT_VTL_RESERVED   0xe0u

/// Fixed part of GetVpRegisters and SetVpRegisters; names (u32) or assocs follow.
struct hv_vp_registers_input {
    uint64_t partition_id;
    uint32_t vp_index;
    uint8_t target_vtl; ///< HV_INPUT_VTL_*
    uint8_t reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct hv_vp_registers_input) == 16, "TLFS: HvCallGetVpRegisters");

struct hv_modify_vtl_protection_input {
    uint64_t partition_id;
    uint32_t map_flags; ///< HV_MAP_GPA_*: what lower VTLs may do
    uint8_t target_vtl;
    uint8_t reserved[3];
    // uint64_t gpa_page[]: page numbers
} __attribute__((packed));
_Static_assert(sizeof(struct hv_modify_vtl_protection_input) == 16, "TLFS: ModifyVtlProtection");

#define HV_MAP_GPA_READABLE        0x1u
#define HV_MAP_GPA_WRITABLE        0x2u
#define HV_MAP_GPA_KERNEL_EXECUTE  0x4u
#define HV_MAP_GPA_USER_EXECUTE    0x8u
#define HV_MAP_GPA_PERMISSION_MASK 0xfu

struct hv_enable_partition_vtl_input {
    uint64_t partition_id;
    uint8_t target_vtl;
    uint8_t flags; ///< [0] mode-based execute control
    uint8_t reserved[6];
} __attribute__((packed));
_Static_assert(sizeof(struct hv_enable_partition_vtl_input) == 16, "TLFS: EnablePartitionVtl");

struct hv_vp_index_from_apic_id_input {
    uint64_t partition_id;
    uint8_t target_vtl;
    uint8_t reserved[7];
    // uint32_t apic_id[]; the output is uint32_t vp_index[]
} __attribute__((packed));
_Static_assert(sizeof(struct hv_vp_index_from_apic_id_input) == 16, "TLFS: VpIndexFromApicId");

struct hv_translate_input {
    uint64_t partition_id;
    uint32_t vp_index;
    uint32_t padding;
    uint64_t control_flags; ///< HV_TRANSLATE_*, [63:56] input VTL in the Ex form
    uint64_t gva_page;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_translate_input) == 32, "TLFS: TranslateVirtualAddress");

#define HV_TRANSLATE_VALIDATE_READ       (UINT64_C(1) << 0)
#define HV_TRANSLATE_VALIDATE_WRITE      (UINT64_C(1) << 1)
#define HV_TRANSLATE_VALIDATE_EXECUTE    (UINT64_C(1) << 2)
#define HV_TRANSLATE_PRIVILEGE_EXEMPT    (UINT64_C(1) << 3)
#define HV_TRANSLATE_SET_PAGE_TABLE_BITS (UINT64_C(1) << 4)
#define HV_TRANSLATE_TLB_FLUSH_INHIBIT   (UINT64_C(1) << 5)
#define HV_TRANSLATE_SUPERVISOR_ACCESS   (UINT64_C(1) << 6)
#define HV_TRANSLATE_USER_ACCESS         (UINT64_C(1) << 7)
#define HV_TRANSLATE_ENFORCE_SMAP        (UINT64_C(1) << 8)
#define HV_TRANSLATE_OVERRIDE_SMAP       (UINT64_C(1) << 9)
#define HV_TRANSLATE_INPUT_VTL_SHIFT     56u

enum hv_translate_code {
    HV_TRANSLATE_SUCCESS = 0,
    HV_TRANSLATE_PAGE_NOT_PRESENT = 1,
    HV_TRANSLATE_PRIVILEGE_VIOLATION = 2,
    HV_TRANSLATE_INVALID_PAGE_TABLE_FLAGS = 3,
    HV_TRANSLATE_GPA_UNMAPPED = 4,
    HV_TRANSLATE_GPA_NO_READ_ACCESS = 5,
    HV_TRANSLATE_GPA_NO_WRITE_ACCESS = 6,
    HV_TRANSLATE_GPA_ILLEGAL_OVERLAY_ACCESS = 7,
    HV_TRANSLATE_INTERCEPT = 8,
};

struct hv_translate_output {
    uint32_t result_code;  ///< enum hv_translate_code
    uint32_t result_flags; ///< [7:0] cache type, [8] overlay page
    uint64_t gpa_page;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_translate_output) == 16, "TLFS: TranslateVirtualAddress");

/// The Ex form's output: the same with the event to inject, which is unused here (zero).
struct hv_translate_output_ex {
    uint32_t result_code;
    uint32_t result_flags;
    uint64_t gpa_page;
    uint64_t event[6];
} __attribute__((packed));
_Static_assert(sizeof(struct hv_translate_output_ex) == 64, "TLFS: TranslateVirtualAddressEx");

struct hv_install_intercept_input {
    uint64_t partition_id;
    uint32_t access_type_mask; ///< HV_INTERCEPT_ACCESS_MASK_*
    uint32_t intercept_type;   ///< enum hv_intercept_type
    uint64_t parameter;        ///< port, exception vector, CPUID leaf, …
} __attribute__((packed));
_Static_assert(sizeof(struct hv_install_intercept_input) == 24, "TLFS: InstallIntercept");

#define HV_INTERCEPT_ACCESS_MASK_NONE    0u
#define HV_INTERCEPT_ACCESS_MASK_READ    1u
#define HV_INTERCEPT_ACCESS_MASK_WRITE   2u
#define HV_INTERCEPT_ACCESS_MASK_EXECUTE 4u

enum hv_intercept_type {
    HV_INTERCEPT_IO_PORT = 0,
    HV_INTERCEPT_MSR = 1,
    HV_INTERCEPT_CPUID = 2,
    HV_INTERCEPT_EXCEPTION = 3,
    HV_INTERCEPT_HYPERCALL = 8,
    HV_INTERCEPT_APIC_INIT_SIPI = 9,
    HV_INTERCEPT_APIC_WRITE = 0xb,
    HV_INTERCEPT_MSR_INDEX = 0xc,
    HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION = 0xd,
    HV_INTERCEPT_APIC_EOI = 0xe,
    HV_INTERCEPT_RETARGET_UNKNOWN_DEVICE = 0x10,
    HV_INTERCEPT_IO_PORT_RANGE = 0x11, ///< parameter: [15:0] first, [31:16] last port
};

struct hv_assert_interrupt_input {
    uint64_t partition_id;
    uint64_t control;     ///< HV_ASSERT_*
    uint64_t destination; ///< APIC id or logical destination
    uint32_t vector;
    uint8_t target_vtl;
    uint8_t reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct hv_assert_interrupt_input) == 32, "TLFS: AssertVirtualInterrupt");

#define HV_ASSERT_TYPE_MASK       UINT64_C(0xffffffff) ///< an APIC delivery mode
#define HV_ASSERT_LEVEL_TRIGGERED (UINT64_C(1) << 32)
#define HV_ASSERT_LOGICAL         (UINT64_C(1) << 33)

#define HV_INTERRUPT_TYPE_FIXED           0u
#define HV_INTERRUPT_TYPE_LOWEST_PRIORITY 1u
#define HV_INTERRUPT_TYPE_NMI             4u
#define HV_INTERRUPT_TYPE_INIT            5u
#define HV_INTERRUPT_TYPE_SIPI            6u
#define HV_INTERRUPT_TYPE_EXTINT          7u

#define HV_MESSAGE_PAYLOAD_BYTES 240u

struct hv_post_message_input {
    uint32_t connection_id;
    uint32_t reserved;
    uint32_t message_type;
    uint32_t payload_size_bytes;
    uint8_t payload[HV_MESSAGE_PAYLOAD_BYTES];
} __attribute__((packed));
_Static_assert(sizeof(struct hv_post_message_input) == 256, "TLFS: HvCallPostMessage");

struct hv_signal_event_input {
    uint32_t connection_id;
    uint16_t flag_number;
    uint16_t reserved;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_signal_event_input) == 8, "TLFS: HvCallSignalEvent");

struct hv_signal_event_direct_input {
    uint64_t partition_id;
    uint32_t vp_index;
    uint8_t target_vtl;
    uint8_t sint;
    uint16_t flag_number;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_signal_event_direct_input) == 16, "TLFS: SignalEventDirect");

struct hv_signal_event_direct_output {
    uint8_t newly_signaled;
    uint8_t reserved[7];
} __attribute__((packed));
_Static_assert(sizeof(struct hv_signal_event_direct_output) == 8, "TLFS: SignalEventDirect");

struct hv_post_message_direct_input {
    uint64_t partition_id;
    uint32_t vp_index;
    uint8_t target_vtl;
    uint8_t reserved0[3];
    uint32_t sint;
    uint8_t message[256]; ///< struct hv_message
    uint32_t reserved1;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_post_message_direct_input) == 280, "TLFS: PostMessageDirect");

struct hv_check_sparse_input {
    uint64_t partition_id;
    uint8_t target_vtl;
    uint8_t reserved0[3];
    uint32_t desired_access; ///< HV_MAP_GPA_*
    // uint64_t gpa_page[]; the output is uint64_t per page
} __attribute__((packed));
_Static_assert(sizeof(struct hv_check_sparse_input) == 16, "TLFS: CheckSparseGpaPageVtlAccess");

/// Output element of CheckSparseGpaPageVtlAccess: [7:0] result, [11:8] denied access,
/// [15:12] intercepting VTL.
enum hv_check_sparse_result {
    HV_CHECK_SPARSE_SUCCESS = 0,
    HV_CHECK_SPARSE_MEMORY_INTERCEPT = 1,
};

struct hv_send_ipi_input {
    uint32_t vector;
    uint8_t target_vtl;
    uint8_t reserved[3];
    uint64_t processor_mask; ///< VP indices 0..63
} __attribute__((packed));
_Static_assert(sizeof(struct hv_send_ipi_input) == 16, "TLFS: SendSyntheticClusterIpi");

/// "Virtual Processor Sets": the banks of a sparse set are the variable header.
struct hv_vp_set {
    uint64_t format; ///< HV_VP_SET_*
    uint64_t valid_bank_mask;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_vp_set) == 16, "TLFS: HV_VP_SET");

#define HV_VP_SET_SPARSE_4K 0u
#define HV_VP_SET_ALL       1u

struct hv_send_ipi_ex_input {
    uint32_t vector;
    uint8_t target_vtl;
    uint8_t reserved[3];
    struct hv_vp_set vp_set;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_send_ipi_ex_input) == 24, "TLFS: SendSyntheticClusterIpiEx");

struct hv_flush_va_input {
    uint64_t address_space; ///< CR3
    uint64_t flags;         ///< HV_FLUSH_*
    uint64_t processor_mask;
    // uint64_t gva_range[] in the list form
} __attribute__((packed));
_Static_assert(sizeof(struct hv_flush_va_input) == 24, "TLFS: FlushVirtualAddressSpace");

struct hv_flush_va_ex_input {
    uint64_t address_space;
    uint64_t flags;
    struct hv_vp_set vp_set;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_flush_va_ex_input) == 32, "TLFS: FlushVirtualAddressSpaceEx");

#define HV_FLUSH_ALL_PROCESSORS     (UINT64_C(1) << 0)
#define HV_FLUSH_ALL_ADDRESS_SPACES (UINT64_C(1) << 1)
#define HV_FLUSH_NON_GLOBAL_ONLY    (UINT64_C(1) << 2)
#define HV_FLUSH_EXTENDED_RANGE     (UINT64_C(1) << 3)

struct hv_cpuid_values_input {
    uint64_t partition_id;
    uint32_t vp_index;
    uint32_t reserved;
    // struct { uint32_t eax, ecx; } leaf[]; the output is uint32_t eax, ebx, ecx, edx each
} __attribute__((packed));
_Static_assert(sizeof(struct hv_cpuid_values_input) == 16, "TLFS: GetVpCpuidValues");

// ---- synthetic MSRs: "Synthetic MSR reference" --------------------------------------------------
#define HV_MSR_GUEST_OS_ID           0x40000000u
#define HV_MSR_HYPERCALL             0x40000001u
#define HV_MSR_VP_INDEX              0x40000002u
#define HV_MSR_RESET                 0x40000003u
#define HV_MSR_VP_RUNTIME            0x40000010u
#define HV_MSR_TIME_REF_COUNT        0x40000020u
#define HV_MSR_REFERENCE_TSC         0x40000021u
#define HV_MSR_TSC_FREQUENCY         0x40000022u
#define HV_MSR_APIC_FREQUENCY        0x40000023u
#define HV_MSR_EOI                   0x40000070u
#define HV_MSR_ICR                   0x40000071u
#define HV_MSR_TPR                   0x40000072u
#define HV_MSR_VP_ASSIST_PAGE        0x40000073u
#define HV_MSR_SCONTROL              0x40000080u
#define HV_MSR_SVERSION              0x40000081u
#define HV_MSR_SIEFP                 0x40000082u
#define HV_MSR_SIMP                  0x40000083u
#define HV_MSR_EOM                   0x40000084u
#define HV_MSR_SINT0                 0x40000090u
#define HV_MSR_SINT15                0x4000009fu
#define HV_MSR_STIMER0_CONFIG        0x400000b0u ///< config, count alternate for four timers
#define HV_MSR_STIMER3_COUNT         0x400000b7u
#define HV_MSR_GUEST_IDLE            0x400000f0u
#define HV_MSR_CRASH_P0              0x40000100u
#define HV_MSR_CRASH_P4              0x40000104u
#define HV_MSR_CRASH_CTL             0x40000105u
#define HV_MSR_TSC_INVARIANT_CONTROL 0x40000118u
#define HV_MSR_FIRST                 0x40000000u
#define HV_MSR_LAST                  0x40000fffu

#define HV_MSR_PAGE_ENABLE      UINT64_C(1) ///< hypercall, assist, SIMP, SIEFP, reference TSC
#define HV_HYPERCALL_MSR_LOCKED UINT64_C(2)
#define HV_MSR_PAGE_GPA_MASK    (~UINT64_C(0xfff))

#define HV_CRASH_CTL_NO_CRASH_DUMP (UINT64_C(1) << 61)
#define HV_CRASH_CTL_MESSAGE       (UINT64_C(1) << 62) ///< P3 is the GPA, P4 the size of a text
#define HV_CRASH_CTL_NOTIFY        (UINT64_C(1) << 63)

#define HV_TSC_INVARIANT_EXPOSE UINT64_C(1)

// ---- CPUID: "Feature and Interface Discovery" ---------------------------------------------------
#define HV_CPUID_VENDOR           0x40000000u ///< EAX highest leaf, "Microsoft Hv"
#define HV_CPUID_INTERFACE        0x40000001u ///< EAX "Hv#1"
#define HV_CPUID_VERSION          0x40000002u
#define HV_CPUID_FEATURES         0x40000003u
#define HV_CPUID_ENLIGHTENMENTS   0x40000004u
#define HV_CPUID_LIMITS           0x40000005u
#define HV_CPUID_HARDWARE         0x40000006u
#define HV_CPUID_ISOLATION        0x4000000cu
#define HV_CPUID_STACK_PROPERTIES 0x40000082u

#define HV_CPUID_VENDOR_EBX    0x7263694du ///< "Micr"
#define HV_CPUID_VENDOR_ECX    0x666f736fu ///< "osof"
#define HV_CPUID_VENDOR_EDX    0x76482074u ///< "t Hv"
#define HV_CPUID_INTERFACE_EAX 0x31237648u ///< "Hv#1"

// HV_CPUID_FEATURES.EAX and .EBX: partition privilege mask.
#define HV_FEATURE_VP_RUNTIME      (1u << 0)
#define HV_FEATURE_TIME_REF_COUNT  (1u << 1)
#define HV_FEATURE_SYNIC           (1u << 2)
#define HV_FEATURE_STIMER          (1u << 3)
#define HV_FEATURE_APIC_MSRS       (1u << 4)
#define HV_FEATURE_HYPERCALL       (1u << 5)
#define HV_FEATURE_VP_INDEX        (1u << 6)
#define HV_FEATURE_RESET           (1u << 7)
#define HV_FEATURE_REFERENCE_TSC   (1u << 9)
#define HV_FEATURE_GUEST_IDLE      (1u << 10)
#define HV_FEATURE_FREQUENCY_MSRS  (1u << 11)
#define HV_FEATURE_INVARIANT_TSC   (1u << 15)
#define HV_PRIVILEGE_POST_MESSAGES (1u << 4)
#define HV_PRIVILEGE_SIGNAL_EVENTS (1u << 5)
#define HV_PRIVILEGE_ACCESS_VSM    (1u << 16)
#define HV_PRIVILEGE_VP_REGISTERS  (1u << 17)
#define HV_PRIVILEGE_START_VP      (1u << 21)
// HV_CPUID_FEATURES.EDX.
#define HV_MISC_FREQUENCY_MSRS (1u << 8)
#define HV_MISC_CRASH_MSRS     (1u << 10)
#define HV_MISC_STIMER_DIRECT  (1u << 19)
// HV_CPUID_ENLIGHTENMENTS.EAX.
#define HV_HINT_RELAXED_TIMING (1u << 5)
#define HV_HINT_X2APIC         (1u << 8)
#define HV_HINT_NO_AUTO_EOI    (1u << 9)

// ---- pages that both sides see -----------------------------------------------------------------

/// "Partition Reference Time Enlightenment": time in 100 ns = ((tsc * scale) >> 64) + offset.
struct hv_reference_tsc_page {
    uint32_t sequence; ///< 0: not valid, use the MSR
    uint32_t reserved;
    uint64_t scale;
    int64_t offset;
    uint64_t padding[509];
} __attribute__((packed));
_Static_assert(sizeof(struct hv_reference_tsc_page) == PAGE_SIZE_4K, "TLFS: reference TSC page");

#define HV_SINT_COUNT       16u
#define HV_STIMER_COUNT     4u
#define HV_EVENT_FLAG_COUNT 2048u ///< per SINT

// SINTx.
#define HV_SINT_VECTOR_MASK  UINT64_C(0xff)
#define HV_SINT_MASKED       (UINT64_C(1) << 16)
#define HV_SINT_AUTO_EOI     (UINT64_C(1) << 17)
#define HV_SINT_POLLING      (UINT64_C(1) << 18)
#define HV_SINT_AS_INTERCEPT (UINT64_C(1) << 19)
#define HV_SINT_PROXY        (UINT64_C(1) << 20)
#define HV_SINT_INTERCEPTION 0u ///< SINT of intercept messages

// STIMERx_CONFIG.
#define HV_STIMER_ENABLE       (UINT64_C(1) << 0)
#define HV_STIMER_PERIODIC     (UINT64_C(1) << 1)
#define HV_STIMER_LAZY         (UINT64_C(1) << 2)
#define HV_STIMER_AUTO_ENABLE  (UINT64_C(1) << 3)
#define HV_STIMER_VECTOR_SHIFT 4u ///< 8 bits: APIC vector in direct mode
#define HV_STIMER_DIRECT       (UINT64_C(1) << 12)
#define HV_STIMER_SINT_SHIFT   16u ///< 4 bits

/// "SynIC Event Flags Page": 256 bytes of flags for each SINT.
struct hv_event_flags_page {
    uint8_t flags[HV_SINT_COUNT][HV_EVENT_FLAG_COUNT / 8];
} __attribute__((packed));
_Static_assert(sizeof(struct hv_event_flags_page) == PAGE_SIZE_4K, "TLFS: SIEFP");

#include "vtl2/hv/tlfs_messages.h"  // IWYU pragma: export
#include "vtl2/hv/tlfs_registers.h" // IWYU pragma: export
