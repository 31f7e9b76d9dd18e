// SPDX-License-Identifier: MIT
//
// Hyper-V's virtual processor registers: names, the 16-byte value, and the values that have
// structure (TLFS, "Virtual Processor Registers" and "Virtual Secure Mode").
#pragma once

#include "igvm/base/types.h"

struct hv_segment_register {
    uint64_t base;
    uint32_t limit;
    uint16_t selector;
    uint16_t attributes; ///< [3:0] type, [4] S, [6:5] DPL, [7] P, [12] AVL, [13] L, [14] D, [15] G
} __attribute__((packed));
_Static_assert(sizeof(struct hv_segment_register) == 16, "TLFS: HV_X64_SEGMENT_REGISTER");

struct hv_table_register {
    uint16_t reserved[3];
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_table_register) == 16, "TLFS: HV_X64_TABLE_REGISTER");

/// HV_REGISTER_VALUE. Its low 64 bits are `low` for every register of up to 64 bits.
struct hv_register_value {
    union {
        struct {
            uint64_t low;
            uint64_t high;
        };
        struct hv_segment_register segment;
        struct hv_table_register table;
    };
} __attribute__((packed));
_Static_assert(sizeof(struct hv_register_value) == 16, "TLFS: HV_REGISTER_VALUE");

/// One element of SetVpRegisters, and of mshv_vtl's register ioctls.
struct hv_register_assoc {
    uint32_t name; ///< HV_REGISTER_*
    uint32_t reserved0;
    uint64_t reserved1;
    struct hv_register_value value;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_register_assoc) == 32, "TLFS: HV_REGISTER_ASSOC");

/// HV_INITIAL_VP_CONTEXT: where a VTL of a VP starts.
struct hv_initial_vp_context {
    uint64_t rip, rsp, rflags;
    struct hv_segment_register cs, ds, es, fs, gs, ss, tr, ldtr;
    struct hv_table_register idtr, gdtr;
    uint64_t efer, cr0, cr3, cr4, pat;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_initial_vp_context) == 224, "TLFS: HV_INITIAL_VP_CONTEXT");

/// Input of EnableVpVtl and StartVirtualProcessor.
struct hv_start_vp_input {
    uint64_t partition_id;
    uint32_t vp_index;
    uint8_t target_vtl; ///< a plain VTL number
    uint8_t reserved[3];
    struct hv_initial_vp_context context;
} __attribute__((packed));
_Static_assert(sizeof(struct hv_start_vp_input) == 240, "TLFS: HvCallStartVirtualProcessor");

// ---- names -------------------------------------------------------------------------------------
#define HV_REGISTER_EXPLICIT_SUSPEND        0x00000000u
#define HV_REGISTER_INTERCEPT_SUSPEND       0x00000001u
#define HV_REGISTER_INTERNAL_ACTIVITY_STATE 0x00000004u
#define HV_REGISTER_HYPERVISOR_VERSION      0x00000100u
#define HV_REGISTER_PRIVILEGES_AND_FEATURES 0x00000200u
#define HV_REGISTER_FEATURES_INFO           0x00000201u
#define HV_REGISTER_LIMITS_INFO             0x00000202u
#define HV_REGISTER_HARDWARE_INFO           0x00000203u
#define HV_REGISTER_CRASH_P0                0x00000210u
#define HV_REGISTER_CRASH_CTL               0x00000215u

#define HV_REGISTER_PENDING_INTERRUPTION         0x00010002u
#define HV_REGISTER_INTERRUPT_STATE              0x00010003u
#define HV_REGISTER_PENDING_EVENT0               0x00010004u
#define HV_REGISTER_PENDING_EVENT1               0x00010005u
#define HV_REGISTER_DELIVERABILITY_NOTIFICATIONS 0x00010006u

#define HV_REGISTER_RAX    0x00020000u ///< then RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8..R15
#define HV_REGISTER_RCX    0x00020001u
#define HV_REGISTER_RSP    0x00020004u
#define HV_REGISTER_R15    0x0002000fu
#define HV_REGISTER_RIP    0x00020010u
#define HV_REGISTER_RFLAGS 0x00020011u

#define HV_REGISTER_CR0  0x00040000u
#define HV_REGISTER_CR2  0x00040001u
#define HV_REGISTER_CR3  0x00040002u
#define HV_REGISTER_CR4  0x00040003u
#define HV_REGISTER_CR8  0x00040004u
#define HV_REGISTER_XFEM 0x00040005u
#define HV_REGISTER_DR0  0x00050000u
#define HV_REGISTER_DR3  0x00050003u
#define HV_REGISTER_DR6  0x00050004u
#define HV_REGISTER_DR7  0x00050005u
#define HV_REGISTER_ES   0x00060000u ///< then CS, SS, DS, FS, GS
#define HV_REGISTER_CS   0x00060001u
#define HV_REGISTER_SS   0x00060002u
#define HV_REGISTER_DS   0x00060003u
#define HV_REGISTER_FS   0x00060004u
#define HV_REGISTER_GS   0x00060005u
#define HV_REGISTER_LDTR 0x00060006u
#define HV_REGISTER_TR   0x00060007u
#define HV_REGISTER_IDTR 0x00070000u
#define HV_REGISTER_GDTR 0x00070001u

#define HV_REGISTER_TSC             0x00080000u
#define HV_REGISTER_EFER            0x00080001u
#define HV_REGISTER_KERNEL_GS_BASE  0x00080002u
#define HV_REGISTER_APIC_BASE       0x00080003u
#define HV_REGISTER_PAT             0x00080004u
#define HV_REGISTER_SYSENTER_CS     0x00080005u
#define HV_REGISTER_SYSENTER_EIP    0x00080006u
#define HV_REGISTER_SYSENTER_ESP    0x00080007u
#define HV_REGISTER_STAR            0x00080008u
#define HV_REGISTER_LSTAR           0x00080009u
#define HV_REGISTER_CSTAR           0x0008000au
#define HV_REGISTER_SFMASK          0x0008000bu
#define HV_REGISTER_INITIAL_APIC_ID 0x0008000cu
#define HV_REGISTER_MTRR_CAP        0x0008000du
#define HV_REGISTER_MTRR_DEF_TYPE   0x0008000eu
#define HV_REGISTER_MTRR_BASE0      0x00080010u ///< 16 names
#define HV_REGISTER_MTRR_MASK0      0x00080040u ///< 16 names
#define HV_REGISTER_MTRR_FIX64K     0x00080070u
#define HV_REGISTER_MTRR_FIX16K     0x00080071u ///< 2 names
#define HV_REGISTER_MTRR_FIX4K      0x00080073u ///< 8 names
#define HV_REGISTER_TSC_AUX         0x0008007bu
#define HV_REGISTER_XSS             0x0008008bu
#define HV_REGISTER_APIC_FIRST      0x00084800u ///< + x2APIC register number
#define HV_REGISTER_APIC_LAST       0x0008483fu
#define HV_REGISTER_APIC_ID         0x00084802u ///< 0x84800 + x2APIC register number

#define HV_REGISTER_VP_RUNTIME     0x00090000u
#define HV_REGISTER_HYPERCALL      0x00090001u
#define HV_REGISTER_GUEST_OS_ID    0x00090002u
#define HV_REGISTER_VP_INDEX       0x00090003u
#define HV_REGISTER_TIME_REF_COUNT 0x00090004u
#define HV_REGISTER_VP_ASSIST_PAGE 0x00090013u
#define HV_REGISTER_REFERENCE_TSC  0x00090017u
#define HV_REGISTER_REG_PAGE       0x0009001cu

#define HV_REGISTER_SINT0          0x000a0000u
#define HV_REGISTER_SINT15         0x000a000fu
#define HV_REGISTER_SCONTROL       0x000a0010u
#define HV_REGISTER_SVERSION       0x000a0011u
#define HV_REGISTER_SIEFP          0x000a0012u
#define HV_REGISTER_SIMP           0x000a0013u
#define HV_REGISTER_EOM            0x000a0014u
#define HV_REGISTER_STIMER0_CONFIG 0x000b0000u
#define HV_REGISTER_STIMER3_COUNT  0x000b0007u

#define HV_REGISTER_VSM_CODE_PAGE_OFFSETS      0x000d0002u
#define HV_REGISTER_VSM_VP_STATUS              0x000d0003u
#define HV_REGISTER_VSM_PARTITION_STATUS       0x000d0004u
#define HV_REGISTER_VSM_VINA                   0x000d0005u
#define HV_REGISTER_VSM_CAPABILITIES           0x000d0006u
#define HV_REGISTER_VSM_PARTITION_CONFIG       0x000d0007u
#define HV_REGISTER_GUEST_VSM_PARTITION_CONFIG 0x000d0008u
#define HV_REGISTER_VSM_VP_SECURE_CONFIG_VTL0  0x000d0010u
#define HV_REGISTER_VSM_VP_WAIT_FOR_TLB_LOCK   0x000d0020u

// ---- values ------------------------------------------------------------------------------------

// HV_REGISTER_INTERNAL_ACTIVITY_STATE.
#define HV_ACTIVITY_STARTUP_SUSPEND UINT64_C(1)
#define HV_ACTIVITY_HALT_SUSPEND    UINT64_C(2)
#define HV_ACTIVITY_IDLE_SUSPEND    UINT64_C(4)

// HV_REGISTER_PENDING_INTERRUPTION.
#define HV_PENDING_INTERRUPTION      UINT64_C(1)
#define HV_PENDING_TYPE_SHIFT        1u ///< 3 bits: HV_PENDING_TYPE_*
#define HV_PENDING_ERROR_CODE        (UINT64_C(1) << 4)
#define HV_PENDING_LENGTH_SHIFT      5u ///< 4 bits
#define HV_PENDING_VECTOR_SHIFT      16u
#define HV_PENDING_ERROR_CODE_SHIFT  32u
#define HV_PENDING_TYPE_EXTINT       0u
#define HV_PENDING_TYPE_NMI          2u
#define HV_PENDING_TYPE_EXCEPTION    3u
#define HV_PENDING_TYPE_SOFT_INT     4u
#define HV_PENDING_TYPE_PRIV_SOFT_EX 5u
#define HV_PENDING_TYPE_SOFT_EX      6u

// HV_REGISTER_PENDING_EVENT0: 128 bits.
#define HV_EVENT_PENDING          UINT64_C(1)
#define HV_EVENT_KIND_SHIFT       1u ///< 3 bits
#define HV_EVENT_KIND_EXCEPTION   0u ///< [8] error code, [31:16] vector, [63:32] error; high: CR2
#define HV_EVENT_KIND_EXTINT      5u ///< [15:8] vector
#define HV_EVENT_EXC_ERROR_VALID  (UINT64_C(1) << 8)
#define HV_EVENT_EXC_VECTOR_SHIFT 16u
#define HV_EVENT_EXC_ERROR_SHIFT  32u
#define HV_EVENT_EXTINT_SHIFT     8u

// HV_REGISTER_INTERRUPT_STATE.
#define HV_INTERRUPT_STATE_SHADOW     UINT64_C(1)
#define HV_INTERRUPT_STATE_NMI_MASKED UINT64_C(2)

// HV_REGISTER_DELIVERABILITY_NOTIFICATIONS.
#define HV_DELIVERABILITY_NMI            UINT64_C(1)
#define HV_DELIVERABILITY_INTERRUPT      UINT64_C(2)
#define HV_DELIVERABILITY_PRIORITY_SHIFT 2u  ///< 4 bits
#define HV_DELIVERABILITY_SINTS_SHIFT    48u ///< one bit per SINT

// HV_REGISTER_VSM_CODE_PAGE_OFFSETS: [11:0] of the VTL call code, [23:12] of the VTL return code.
#define HV_CODE_OFFSET_RETURN_SHIFT 12u
// HV_REGISTER_VSM_VP_STATUS.
#define HV_VP_STATUS_ENABLED_SHIFT 16u ///< bit per VTL; [3:0] the active one
// HV_REGISTER_VSM_CAPABILITIES.
#define HV_VSM_CAP_DR6_SHARED         (UINT64_C(1) << 0)
#define HV_VSM_CAP_DENY_LOWER_STARTUP (UINT64_C(1) << 17)
#define HV_VSM_CAP_INTERCEPT_PAGE     (UINT64_C(1) << 27)
#define HV_VSM_CAP_RETURN_ACTION      (UINT64_C(1) << 28)
// HV_REGISTER_VSM_PARTITION_CONFIG.
#define HV_VSM_CONFIG_PROTECTION          (UINT64_C(1) << 0)
#define HV_VSM_CONFIG_DEFAULT_MASK_SHIFT  1u ///< 4 bits: HV_MAP_GPA_*
#define HV_VSM_CONFIG_ZERO_ON_RESET       (UINT64_C(1) << 5)
#define HV_VSM_CONFIG_DENY_LOWER_STARTUP  (UINT64_C(1) << 6)
#define HV_VSM_CONFIG_INTERCEPT_STARTUP   (UINT64_C(1) << 9)
#define HV_VSM_CONFIG_INTERCEPT_CPUID     (UINT64_C(1) << 10)
#define HV_VSM_CONFIG_INTERCEPT_EXCEPTION (UINT64_C(1) << 11) ///< unrecoverable exceptions
#define HV_VSM_CONFIG_INTERCEPT_PAGE      (UINT64_C(1) << 12)
