// SPDX-License-Identifier: MIT
//
// minihost as a Hyper-V host with virtual secure mode: one partition, VTL0 and VTL2 on every VP
// (Hypervisor Top-Level Functional Specification, "TLFS", chapters 3, 7, 9-12, 14, 15).
//
// What stands where:
//   svm/   the processor vendor's part: VMCB layout, entering a VTL, nested page tables, starting
//          CPUs, the host's timer and its NMIs. Knows exits by number, not what they mean.
//   vsm/   the partition: what an exit means to Hyper-V's interface. Looks at a VP through its
//          VMCBs, which are plain memory, and reaches hardware through struct vsm_ops only, so that
//          all of it also runs in unit tests and under a fuzzer.
//
// Threads: a VP belongs to its CPU. The partition's lock guards what VPs share, a VP's lock what
// others leave for it. Order: partition lock before a VP's lock. APICs have inboxes of their own.
#pragma once

#include "igvm/base/types.h"
#include "tools/minihost/spinlock.h"
#include "tools/minihost/svm/vmcb.h"
#include "vtl2/hv/lapic.h"
#include "vtl2/hv/stimer.h"
#include "vtl2/hv/synic.h"
#include "vtl2/hv/tlfs.h"

#define VSM_MAX_VPS              64u
#define VSM_VTL_COUNT            3u ///< VTL1 is never enabled; the index is the VTL
#define VSM_GUEST_VTL            0u
#define VSM_PARAVISOR            2u
#define VSM_MAX_CPUID_INTERCEPTS 16u

/// Index into vsm_vp.gpr: the encoding's order. RAX and RSP live in the VMCB while the VTL runs;
/// svm/ copies them in on exit and out on entry for the active VTL.
enum vsm_gpr { VSM_RAX, VSM_RCX, VSM_RDX, VSM_RBX, VSM_RSP, VSM_RBP, VSM_RSI, VSM_RDI };

/// What a CPU does after its exit was handled.
enum vsm_next {
    VSM_RUN,  ///< enter vsm_vp.active_vtl
    VSM_IDLE, ///< wait until an interrupt, an NMI or vsm_deadline(), then call vsm_woken()
    VSM_STOP, ///< the partition ends: vsm_partition.stop says how
};

enum vsm_stop_kind {
    VSM_STOP_NONE,
    VSM_STOP_RESET,  ///< VTL2 reset itself (triple fault, reset MSR)
    VSM_STOP_POWER,  ///< VTL2 asked for power-off
    VSM_STOP_FAILED, ///< minihost cannot go on; a report was printed
};

/// Pages that the hypervisor lays over guest memory (TLFS 5.2.1): hypercall page, message and
/// event pages, VP assist page, reference TSC.
enum vsm_overlay_kind {
    VSM_OVERLAY_HYPERCALL,
    VSM_OVERLAY_REFERENCE_TSC,
    VSM_OVERLAY_ASSIST,
    VSM_OVERLAY_SIMP,
    VSM_OVERLAY_SIEFP,
    VSM_OVERLAY_REGISTER_PAGE,
    VSM_OVERLAY_KINDS,
};

struct vsm_overlay {
    bool enabled;
    uint64_t gpa; ///< page aligned, as the guest wrote it
    void *page;   ///< the hypervisor's page (4 KiB), allocated at start, never NULL for VTL 0 and 2
};

/// One VTL of one VP: everything that is private to it (TLFS 15.11).
struct vsm_vtl {
    bool enabled; ///< EnableVpVtl was done; VTL0 always
    bool running; ///< has been started: has a context to run
    struct svm_vmcb *vmcb;
    uint64_t guest_os_id;
    uint64_t hypercall_msr, reference_tsc_msr, assist_msr;
    struct vsm_overlay overlay[VSM_OVERLAY_KINDS]; ///< partition-wide kinds live in VP 0's
    struct hv_lapic lapic;                         ///< VTL0 only: VTL2 owns the physical one

    struct hv_synic synic;
    struct hv_stimers stimers;
    uint64_t tsc_aux, pat;
    uint64_t crash[5]; ///< crash parameters
};

struct vsm_partition;

#define VSM_MAX_MAIL 8u

/// A SynIC message or event flag for VTL0 from another VP: only the VP's own CPU touches its SynIC.
struct vsm_mail {
    uint8_t sint;
    bool is_message;
    uint16_t flag;             ///< event flag
    struct hv_message message; ///< or the message
};

struct vsm_vp {
    struct vsm_partition *partition;
    uint32_t index;
    uint32_t apic_id;          ///< VTL0's
    uint32_t physical_apic_id; ///< VTL2's
    unsigned active_vtl;
    uint64_t gpr[16]; ///< shared between VTLs; enum vsm_gpr
    uint64_t dr[4];   ///< DR0-3, shared: kept in the processor
    struct vsm_vtl vtl[VSM_VTL_COUNT];
    struct svm_cpu *cpu;  ///< svm/'s own
    struct spinlock lock; ///< guards mail, and a VTL's context until it runs
    struct vsm_mail mail[VSM_MAX_MAIL];
    uint32_t mail_count;
    // VTL0's state between the VMCB's and the APIC's, see vsm/inject.c.
    bool halted;       ///< waits in HLT
    bool nmi_masked;   ///< an NMI was injected, its IRET is intercepted
    bool nmi_unmasks;  ///< that IRET was seen: masking ends once it was executed
    uint64_t iret_rip; ///< where it stands, and RSP before it
    uint64_t iret_rsp;
    uint64_t deliverability; ///< HvRegisterDeliverabilityNotifications
    uint64_t pending_event;  ///< HvRegisterPendingEvent0 as event injection, 0: none
    uint64_t event_cr2;      ///< CR2 that goes with pending_event
    uint64_t reinject;       ///< what an exit interrupted, as event injection, 0: none
    uint64_t reg_page_msr;   ///< HvRegisterRegPage of VTL2
    bool refused;            ///< the processor did not take the VP's state at the last entry
    bool lost;               ///< the last exit did not bring back the VTL's state
    // Calls by other CPUs and timers that come so often that VTL0 gets nowhere, see dispatch.c.
    uint64_t disturbed_100ns;
    uint32_t disturbances;
    uint64_t quiet_until_100ns; ///< atomic: others need not call before, it will look then
    bool looks;                 ///< atomic: its CPU is in minihost and will look for mail
    uint64_t switches;          ///< VTL switches, for the benchmark
    // A hypercall's input, copied once, and its output; 8-byte aligned.
    uint64_t input[PAGE_SIZE_4K / 8];
    uint64_t output[PAGE_SIZE_4K / 8];
};

/// What vsm/ asks of the hardware. Unit tests bring their own.
struct vsm_ops {
    /// Time in 100 ns units since start, monotonic, the same on all CPUs.
    uint64_t (*now_100ns)(void);
    /// Makes a CPU leave whatever it runs, soon; from any CPU. It then calls vsm_before_entry().
    void (*kick)(struct vsm_vp *vp);
    /// Returns when no other CPU runs vtl with what it knew of VTLs' memory before the call.
    void (*flush)(struct vsm_vp *vp, unsigned vtl);
    /// Raises a vector on the physical local APIC of the VP, which VTL2 owns.
    void (*raise_vtl2)(struct vsm_vp *vp, uint8_t vector);
    /// Bytes of system memory that a VTL may touch, or NULL: [gpa, gpa+size) within one page.
    /// GPA = system-physical, but for overlays and what svm/ aliases.
    void *(*memory)(struct vsm_partition *partition, unsigned vtl, uint64_t gpa, size_t size_bytes,
                    bool is_write);
    /// What VTL0's nested page tables allow for a page (its number): TLFS bits R 1, W 2, KX 4,
    /// UX 8. -ENOENT where VTL0 has no RAM, -ENOMEM when no table is left. The change takes effect
    /// on this CPU at its next entry; the caller flushes the others.
    int (*protect)(struct vsm_partition *partition, uint64_t gpa_page, uint32_t access);
    uint32_t (*protection)(struct vsm_partition *partition, uint64_t gpa_page);
    /// Lays page over gpa in one VTL's view, or takes it away (page NULL).
    int (*overlay)(struct vsm_partition *partition, unsigned vtl, uint64_t gpa, void *page);
    /// The processor's own answer.
    void (*cpuid)(uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
    /// The time stamp counter (QEMU has no MSR for it).
    uint64_t (*read_tsc)(void);
    uint64_t (*read_msr)(uint32_t index);
    void (*write_msr)(uint32_t index, uint64_t value);
    void (*log)(const char *format, ...) __attribute__((format(printf, 1, 2)));
};

struct vsm_partition {
    const struct vsm_ops *ops;
    uint32_t vp_count;
    struct vsm_vp *vps;
    struct spinlock lock;        ///< overlays, protections, intercepts
    struct hv_apic_bus apic_bus; ///< VTL0's local APICs
    uint64_t tsc_hz, apic_hz;
    uint64_t tsc_zero;         ///< the TSC at reference time 0
    uint64_t partition_config; ///< HvRegisterVsmPartitionConfig of VTL2
    uint32_t intercepts;       ///< bit per enum hv_intercept_type that VTL2 installed
    uint32_t cpuid_intercept[VSM_MAX_CPUID_INTERCEPTS]; ///< leaves that go to VTL2
    uint32_t cpuid_intercept_count;
    bool invariant_tsc[VSM_VTL_COUNT]; ///< HV_MSR_TSC_INVARIANT_CONTROL was set
    uint32_t guest_crashes;            ///< crash reports of VTL0
    enum vsm_stop_kind stop;
};

/// Sets up partition and VPs: every VMCB in power-on state, VTL2 of VP 0 enabled, intercepts as
/// vsm/ wants them. svm/ has filled ops, vp_count, vps[].vmcb, overlay pages, frequencies.
void vsm_init(struct vsm_partition *partition);

/// Takes one register of VTL2's initial VP context from the IGVM file (vsm_registers.c names).
/// 0 or -EINVAL.
int vsm_set_initial_register(struct vsm_vp *vp, uint32_t name,
                             const struct hv_register_value *value);

/// The dispatcher: after every exit of vp->active_vtl. The VMCB holds exit code and information,
/// vp->gpr the registers. May change vp->active_vtl.
enum vsm_next vsm_handle_exit(struct vsm_vp *vp);

/// Right before every entry, with interrupts of the CPU held (GIF clear): takes work from other
/// VPs, applies timers that are due, decides about injection into VTL0. May change what runs.
enum vsm_next vsm_before_entry(struct vsm_vp *vp);

/// After VSM_IDLE, for what ever reason the CPU woke up. physical_pending: an external interrupt
/// waits for VTL2.
enum vsm_next vsm_woken(struct vsm_vp *vp, bool physical_pending);

/// When this VP wants to be woken or kicked next, in 100 ns units; UINT64_MAX: never.
uint64_t vsm_deadline(const struct vsm_vp *vp);
