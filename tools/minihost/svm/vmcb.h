// SPDX-License-Identifier: MIT
//
// AMD's virtual machine control block (APM vol. 2, appendix B), intercept bits and exit codes
// (appendix C), event injection (15.20). Layouts only; "host" is minihost, "CPU" the processor.
//
// What QEMU's emulation honours of it is less than the APM promises: docs/minihost.md.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// A segment register with its hidden part.
struct svm_segment {
    uint16_t selector;
    uint16_t attributes; ///< SVM_SEGMENT_*: descriptor bits 55:52 and 47:40 without the hole
    uint32_t limit;      ///< in bytes
    uint64_t base;
} __attribute__((packed));
_Static_assert(sizeof(struct svm_segment) == 16, "APM vol. 2, table B-2");

#define SVM_SEGMENT_TYPE_MASK   0x000fu
#define SVM_SEGMENT_NOT_SYSTEM  0x0010u
#define SVM_SEGMENT_DPL_SHIFT   5u ///< of SS: the CPL
#define SVM_SEGMENT_DPL_MASK    0x0060u
#define SVM_SEGMENT_PRESENT     0x0080u
#define SVM_SEGMENT_AVAILABLE   0x0100u
#define SVM_SEGMENT_LONG        0x0200u
#define SVM_SEGMENT_DEFAULT     0x0400u
#define SVM_SEGMENT_GRANULARITY 0x0800u

/// Control area, filled by the host, but for what says "CPU".
struct svm_control {
    uint16_t intercept_cr_read;    ///< 0x000 bit n: CRn
    uint16_t intercept_cr_write;   ///< 0x002
    uint16_t intercept_dr_read;    ///< 0x004
    uint16_t intercept_dr_write;   ///< 0x006
    uint32_t intercept_exceptions; ///< 0x008 bit n: vector n
    uint64_t intercept;            ///< 0x00c SVM_INTERCEPT_*
    uint8_t reserved_14[0x40 - 0x14];
    uint64_t iopm_base_pa;  ///< 0x040 3 pages, a bit per port: 1 exits
    uint64_t msrpm_base_pa; ///< 0x048 2 pages, SVM_MSRPM_*
    uint64_t tsc_offset;    ///< 0x050
    uint32_t asid;          ///< 0x058 not 0
    uint8_t tlb_control;    ///< 0x05c SVM_TLB_*
    uint8_t reserved_5d[3];
    uint64_t int_ctl;          ///< 0x060 SVM_INT_*; bits 31:0 are virtual interrupt state,
                               ///<       63:32 the vector. CPU updates V_IRQ and V_TPR
    uint64_t interrupt_shadow; ///< 0x068 bit 0; by the CPU on exit, QEMU ignores it on entry
    uint64_t exit_code;        ///< 0x070 CPU: SVM_EXIT_*; QEMU gives SVM_EXIT_INVALID in 32 bits
    uint64_t exit_info_1;      ///< 0x078 CPU
    uint64_t exit_info_2;      ///< 0x080 CPU
    uint64_t exit_int_info;    ///< 0x088 CPU: SVM_EVENT_* that was being delivered
    uint64_t nested_control;   ///< 0x090 SVM_NESTED_PAGING
    uint8_t reserved_98[0xa8 - 0x98];
    uint64_t event_injection;      ///< 0x0a8 SVM_EVENT_*; CPU clears it on exit
    uint64_t nested_cr3;           ///< 0x0b0
    uint64_t lbr_control;          ///< 0x0b8
    uint64_t clean;                ///< 0x0c0 0: nothing is cached
    uint64_t next_rip;             ///< 0x0c8 CPU; never with QEMU
    uint8_t instruction_bytes[16]; ///< 0x0d0 CPU: count, then bytes; never with QEMU
    uint8_t reserved_e0[0x400 - 0xe0];
} __attribute__((packed));
_Static_assert(sizeof(struct svm_control) == 0x400, "APM vol. 2, table B-1");
_Static_assert(offsetof(struct svm_control, intercept) == 0x0c, "table B-1");
_Static_assert(offsetof(struct svm_control, tsc_offset) == 0x50, "table B-1");
_Static_assert(offsetof(struct svm_control, int_ctl) == 0x60, "table B-1");
_Static_assert(offsetof(struct svm_control, nested_control) == 0x90, "table B-1");
_Static_assert(offsetof(struct svm_control, event_injection) == 0xa8, "table B-1");
_Static_assert(offsetof(struct svm_control, next_rip) == 0xc8, "table B-1");

/// State save area: loaded by VMRUN (or VMLOAD, where it says so) and written on exit.
struct svm_save {
    struct svm_segment es;   ///< 0x400
    struct svm_segment cs;   ///< 0x410
    struct svm_segment ss;   ///< 0x420 QEMU: its DPL is the CPL
    struct svm_segment ds;   ///< 0x430
    struct svm_segment fs;   ///< 0x440 VMLOAD, VMSAVE
    struct svm_segment gs;   ///< 0x450 VMLOAD, VMSAVE
    struct svm_segment gdtr; ///< 0x460 base and limit
    struct svm_segment ldtr; ///< 0x470 VMLOAD, VMSAVE
    struct svm_segment idtr; ///< 0x480 base and limit
    struct svm_segment tr;   ///< 0x490 VMLOAD, VMSAVE
    uint8_t reserved_4a0[0x4cb - 0x4a0];
    uint8_t cpl; ///< 0x4cb written by the CPU, ignored by QEMU on entry
    uint8_t reserved_4cc[4];
    uint64_t efer; ///< 0x4d0 SVME must be set
    uint8_t reserved_4d8[0x548 - 0x4d8];
    uint64_t cr4;    ///< 0x548
    uint64_t cr3;    ///< 0x550
    uint64_t cr0;    ///< 0x558
    uint64_t dr7;    ///< 0x560
    uint64_t dr6;    ///< 0x568
    uint64_t rflags; ///< 0x570
    uint64_t rip;    ///< 0x578
    uint8_t reserved_580[0x5d8 - 0x580];
    uint64_t rsp; ///< 0x5d8
    uint8_t reserved_5e0[0x5f8 - 0x5e0];
    uint64_t rax;            ///< 0x5f8
    uint64_t star;           ///< 0x600 VMLOAD, VMSAVE up to sysenter_eip
    uint64_t lstar;          ///< 0x608
    uint64_t cstar;          ///< 0x610
    uint64_t sfmask;         ///< 0x618
    uint64_t kernel_gs_base; ///< 0x620
    uint64_t sysenter_cs;    ///< 0x628
    uint64_t sysenter_esp;   ///< 0x630
    uint64_t sysenter_eip;   ///< 0x638
    uint64_t cr2;            ///< 0x640
    uint8_t reserved_648[0x668 - 0x648];
    uint64_t g_pat; ///< 0x668 QEMU ignores it: PAT is switched by hand
    uint8_t reserved_670[0x1000 - 0x670];
} __attribute__((packed));
_Static_assert(sizeof(struct svm_save) == 0xc00, "APM vol. 2, table B-2");
_Static_assert(offsetof(struct svm_save, cpl) == 0x0cb, "table B-2");
_Static_assert(offsetof(struct svm_save, efer) == 0x0d0, "table B-2");
_Static_assert(offsetof(struct svm_save, cr4) == 0x148, "table B-2");
_Static_assert(offsetof(struct svm_save, rip) == 0x178, "table B-2");
_Static_assert(offsetof(struct svm_save, rsp) == 0x1d8, "table B-2");
_Static_assert(offsetof(struct svm_save, rax) == 0x1f8, "table B-2");
_Static_assert(offsetof(struct svm_save, cr2) == 0x240, "table B-2");
_Static_assert(offsetof(struct svm_save, g_pat) == 0x268, "table B-2");

/// One page, page aligned.
struct svm_vmcb {
    struct svm_control control;
    struct svm_save save;
} __attribute__((packed));
_Static_assert(sizeof(struct svm_vmcb) == 4096, "APM vol. 2, appendix B");

// svm_control.intercept_cr_write: a bit per register.
#define SVM_INTERCEPT_CR8 (1u << 8)
// svm_control.intercept: bit = exit code - 0x60.
#define SVM_INTERCEPT_INTR        (1ull << 0)
#define SVM_INTERCEPT_NMI         (1ull << 1)
#define SVM_INTERCEPT_SMI         (1ull << 2)
#define SVM_INTERCEPT_INIT        (1ull << 3)
#define SVM_INTERCEPT_VINTR       (1ull << 4)
#define SVM_INTERCEPT_RDPMC       (1ull << 15)
#define SVM_INTERCEPT_CPUID       (1ull << 18)
#define SVM_INTERCEPT_RSM         (1ull << 19)
#define SVM_INTERCEPT_IRET        (1ull << 20)
#define SVM_INTERCEPT_PAUSE       (1ull << 23)
#define SVM_INTERCEPT_HLT         (1ull << 24)
#define SVM_INTERCEPT_INVLPGA     (1ull << 26)
#define SVM_INTERCEPT_IOIO        (1ull << 27)
#define SVM_INTERCEPT_MSR         (1ull << 28)
#define SVM_INTERCEPT_SHUTDOWN    (1ull << 31)
#define SVM_INTERCEPT_VMRUN       (1ull << 32) ///< required
#define SVM_INTERCEPT_VMMCALL     (1ull << 33)
#define SVM_INTERCEPT_VMLOAD      (1ull << 34)
#define SVM_INTERCEPT_VMSAVE      (1ull << 35)
#define SVM_INTERCEPT_STGI        (1ull << 36)
#define SVM_INTERCEPT_CLGI        (1ull << 37)
#define SVM_INTERCEPT_SKINIT      (1ull << 38)
#define SVM_INTERCEPT_ICEBP       (1ull << 40)
#define SVM_INTERCEPT_WBINVD      (1ull << 41)
#define SVM_INTERCEPT_MONITOR     (1ull << 42)
#define SVM_INTERCEPT_MWAIT       (1ull << 43)
#define SVM_INTERCEPT_MWAIT_ARMED (1ull << 44)
#define SVM_INTERCEPT_XSETBV      (1ull << 45) ///< QEMU ignores it

// svm_control.exit_code.
#define SVM_EXIT_CR0_READ    0x00u
#define SVM_EXIT_CR0_WRITE   0x10u
#define SVM_EXIT_DR0_READ    0x20u
#define SVM_EXIT_DR0_WRITE   0x30u
#define SVM_EXIT_CR8_WRITE   0x018u
#define SVM_EXIT_EXCEPTION   0x40u ///< + vector; info 1 the error code, info 2 of #PF the address
#define SVM_EXIT_INTR        0x60u
#define SVM_EXIT_NMI         0x61u
#define SVM_EXIT_SMI         0x62u
#define SVM_EXIT_INIT        0x63u
#define SVM_EXIT_VINTR       0x64u
#define SVM_EXIT_RDPMC       0x6fu
#define SVM_EXIT_CPUID       0x72u
#define SVM_EXIT_RSM         0x73u
#define SVM_EXIT_IRET        0x74u
#define SVM_EXIT_PAUSE       0x77u
#define SVM_EXIT_HLT         0x78u
#define SVM_EXIT_INVLPGA     0x7au
#define SVM_EXIT_IOIO        0x7bu ///< info 1 SVM_IOIO_*, info 2 the next RIP
#define SVM_EXIT_MSR         0x7cu ///< info 1: 0 read, 1 write
#define SVM_EXIT_SHUTDOWN    0x7fu
#define SVM_EXIT_VMRUN       0x80u
#define SVM_EXIT_VMMCALL     0x81u
#define SVM_EXIT_VMLOAD      0x82u
#define SVM_EXIT_VMSAVE      0x83u
#define SVM_EXIT_STGI        0x84u
#define SVM_EXIT_CLGI        0x85u
#define SVM_EXIT_SKINIT      0x86u
#define SVM_EXIT_ICEBP       0x88u
#define SVM_EXIT_WBINVD      0x89u ///< QEMU: INVD too
#define SVM_EXIT_MONITOR     0x8au
#define SVM_EXIT_MWAIT       0x8bu
#define SVM_EXIT_MWAIT_ARMED 0x8cu
#define SVM_EXIT_XSETBV      0x8du
#define SVM_EXIT_NPF         0x400u      ///< info 1 SVM_NPF_*, info 2 the GPA
#define SVM_EXIT_INVALID     0xffffffffu ///< compare the low 32 bits

// exit_info_1 of IOIO.
#define SVM_IOIO_IN         (1u << 0)
#define SVM_IOIO_STRING     (1u << 2)
#define SVM_IOIO_REP        (1u << 3)
#define SVM_IOIO_SIZE_SHIFT 4u ///< three bits: 1, 2, 4 bytes
#define SVM_IOIO_SIZE_MASK  0x70u
#define SVM_IOIO_PORT_SHIFT 16u

// exit_info_1 of NPF.
#define SVM_NPF_PRESENT  (1ull << 0)
#define SVM_NPF_WRITE    (1ull << 1)
#define SVM_NPF_USER     (1ull << 2) ///< always set
#define SVM_NPF_RESERVED (1ull << 3)
#define SVM_NPF_FETCH    (1ull << 4)
#define SVM_NPF_FINAL    (1ull << 32) ///< the access itself
#define SVM_NPF_WALK     (1ull << 33) ///< the guest's page tables

// event_injection and exit_int_info.
#define SVM_EVENT_VECTOR_MASK    0xffull
#define SVM_EVENT_TYPE_MASK      0x700ull
#define SVM_EVENT_TYPE_INTR      (0ull << 8)
#define SVM_EVENT_TYPE_NMI       (2ull << 8)
#define SVM_EVENT_TYPE_EXCEPTION (3ull << 8)
#define SVM_EVENT_TYPE_SOFT      (4ull << 8)
#define SVM_EVENT_ERROR_VALID    (1ull << 11)
#define SVM_EVENT_VALID          (1ull << 31)
#define SVM_EVENT_ERROR_SHIFT    32u

// int_ctl.
#define SVM_INT_V_TPR_MASK     0xffull
#define SVM_INT_V_IRQ          (1ull << 8)
#define SVM_INT_V_GIF          (1ull << 9)
#define SVM_INT_V_PRIO_SHIFT   16u
#define SVM_INT_V_PRIO_MASK    (0xfull << 16)
#define SVM_INT_V_IGNORE_TPR   (1ull << 20)
#define SVM_INT_V_MASKING      (1ull << 24)
#define SVM_INT_V_VECTOR_SHIFT 32u

#define SVM_TLB_KEEP      0u
#define SVM_TLB_FLUSH_ALL 1u

#define SVM_NESTED_PAGING (1ull << 0)

// MSR permission map: two bits per MSR (read, write), 1 exits. MSRs that it does not cover exit.
#define SVM_MSRPM_BYTES    0x2000u
#define SVM_MSRPM_LOW_OFF  0x0000u ///< MSRs 0 to 0x1fff
#define SVM_MSRPM_C000_OFF 0x0800u ///< 0xc0000000 to 0xc0001fff
#define SVM_MSRPM_C001_OFF 0x1000u ///< 0xc0010000 to 0xc0011fff
#define SVM_IOPM_BYTES     0x3000u

#define SVM_MSR_VM_CR    0xc0010114u ///< SVM_VM_CR_SVMDIS
#define SVM_MSR_HSAVE_PA 0xc0010117u
#define SVM_VM_CR_SVMDIS (1ull << 4)
#define SVM_EFER_SVME    (1ull << 12)

// CPUID.
#define SVM_CPUID_EXT_FEATURES 0x80000001u ///< ECX bit 2: SVM
#define SVM_CPUID_ECX_SVM      (1u << 2)
#define SVM_CPUID_FEATURES     0x8000000au ///< EBX: ASIDs; EDX: SVM_CPUID_EDX_*
#define SVM_CPUID_EDX_NPT      (1u << 0)
