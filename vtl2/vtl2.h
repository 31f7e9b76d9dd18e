// SPDX-License-Identifier: MIT
//
// Running a lower VTL: the one interface behind which the VMM does not know on which platform it
// runs. One file (or folder) per platform: kvm (native), vsm, and later snp, tdx. No policy here:
// the platform turns its own exit into a neutral struct vp_exit, userspace/ decides.
//
// What differs between the platforms and how this interface takes it:
//   - interrupt controllers: native lets KVM emulate APIC, IOAPIC, PIC and PIT; elsewhere the VMM
//     brings what features() lacks and injects by send_msi() and extint_inject().
//   - MMIO: native delivers decoded accesses; elsewhere the emulator in vtl2/ carries out the
//     intercepted instruction and hands its accesses to vtl2_config.access.
//   - memory: native maps host memory at a GPA; elsewhere VTL0's memory is there, its GPA is the
//     system-physical address, and the call only checks that and notes where the VMM sees it.
//
// Threads: partition calls are made before VPs run or are thread-safe where said; a VP's calls
// belong to the one thread that runs it, except vp_kick().
#pragma once

#include "igvm/base/types.h"

struct partition;
struct vp;

enum vp_exit_kind {
    VP_EXIT_NONE,      ///< nothing for the VMM: just run again
    VP_EXIT_WAKE,      ///< kicked, or work is waiting on this thread's event loop
    VP_EXIT_PIO,       ///< port access
    VP_EXIT_MMIO,      ///< access outside RAM, decoded
    VP_EXIT_MSR,       ///< MSR access the platform does not handle
    VP_EXIT_HYPERCALL, ///< hypercall the platform does not handle
    VP_EXIT_HALT,      ///< halted and the platform does not wait itself
    VP_EXIT_SHUTDOWN,  ///< triple fault
    VP_EXIT_EOI,       ///< a level-triggered interrupt was acknowledged: for the VMM's IOAPIC
    VP_EXIT_EXTINT,    ///< the VP takes an interrupt of the PICs now: see extint_inject
    VP_EXIT_FAILED,    ///< the platform cannot run the guest: see failed
};

/// Port accesses come one at a time or as a run of string I/O: count elements of size bytes at
/// data, in order. Reads: the handler fills data. The buffer belongs to the platform.
struct vp_exit_pio {
    uint16_t port;
    uint8_t size; ///< 1, 2 or 4
    bool is_write;
    uint32_t count;
    uint8_t *data;
};

struct vp_exit_mmio {
    gpa_t gpa;
    uint8_t size; ///< 1, 2, 4 or 8
    bool is_write;
    uint64_t value; ///< write: data; read: the handler fills it
};

struct vp_exit_msr {
    uint32_t index;
    bool is_write;
    uint64_t value;
    bool fault; ///< the handler sets it: #GP
};

struct vp_exit_hypercall {
    uint64_t number;
    uint64_t args[5];
    uint64_t result; ///< the handler fills it
};

struct vp_exit_eoi {
    uint8_t vector;
};

struct vp_exit_failed {
    const char *what; ///< constant text
    uint64_t detail[4];
    bool by_guest; ///< the guest can bring this about: its crash, no failure of ours
};

struct vp_exit {
    enum vp_exit_kind kind;
    union {
        struct vp_exit_pio pio;
        struct vp_exit_mmio mmio;
        struct vp_exit_msr msr;
        struct vp_exit_hypercall hypercall;
        struct vp_exit_eoi eoi;
        struct vp_exit_failed failed;
    };
};

struct vp_segment {
    uint64_t base;
    uint32_t limit;
    uint16_t selector;
    uint16_t attributes; ///< as in a VMCB: type, S, DPL, P | AVL, L, D/B, G << 8
};

struct vp_table {
    uint64_t base;
    uint16_t limit;
};

/// The registers that the VMM sets at start and shows in a crash report.
struct vp_registers {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rip, rflags;
    uint64_t cr0, cr2, cr3, cr4, efer, apic_base;
    struct vp_segment cs, ds, es, fs, gs, ss, tr, ldtr;
    struct vp_table gdt, idt;
};

#define VTL2_HAS_LOCAL_APIC (1u << 0) ///< the platform emulates local APICs (and SIPI)
#define VTL2_HAS_IOAPIC     (1u << 1) ///< ... and the IOAPIC and PICs, driven by vtl2_set_line
#define VTL2_HAS_PIT        (1u << 2)

struct vtl2_config {
    uint32_t vp_count; ///< 1..64
    bool halt_exits;   ///< false: HLT waits inside the guest, where the platform can do that
    bool own_chips;    ///< the VMM brings IOAPIC, PICs and PIT even where the platform has them
    bool has_firmware; ///< the guest starts at the reset vector: nothing is set up in its place
    /// One access (VP_EXIT_PIO or VP_EXIT_MMIO) of an instruction that the platform emulates: an
    /// instruction may make several. Called on the VP's thread from vp_run; fills what is read.
    /// Platforms that always return such exits from vp_run never call it.
    void (*access)(void *ctx, uint32_t vp_index, struct vp_exit *exit);
    void *access_ctx;
    /// VTL2's own memory, page aligned: the guest is kept out of it before its first instruction.
    /// Borrowed during partition_new. Unused where the guest sees only what map() gave it.
    const struct gpa_range *own_memory;
    uint32_t own_memory_count;
};

struct vtl2_ops {
    const char *name;     ///< "native", "vsm", "snp", "tdx"
    bool gpa_is_physical; ///< the guest's addresses are the machine's own: memory is where it is

    /// 0 when this platform is the one we run on; -ENODEV or another reason when not.
    int (*probe)(void);

    /// Makes the partition. Owner frees with partition_free after all VPs are freed.
    int (*partition_new)(const struct vtl2_config *config, struct partition **out);
    void (*partition_free)(struct partition *partition);
    uint32_t (*features)(const struct partition *partition);

    /// Gives [gpa.start, gpa.end) to the guest, backed by host (4 KiB aligned, stays mapped until
    /// partition_free). Before VPs run. -EINVAL unaligned, -ENOSPC too many ranges.
    int (*map)(struct partition *partition, struct gpa_range range, void *host, bool read_only);

    /// Level of a global system interrupt; thread-safe. Only with VTL2_HAS_IOAPIC.
    int (*set_line)(struct partition *partition, uint32_t gsi, bool level);
    /// Delivers a message-signalled interrupt, or the IOAPIC's message of the same format (data bit
    /// 15: level-triggered, VP_EXIT_EOI follows); thread-safe.
    int (*send_msi)(struct partition *partition, uint64_t address, uint32_t data);
    /// Puts interrupt controllers and timers that the platform emulates to power-on state. No VP
    /// runs.
    int (*reset)(struct partition *partition);

    /// Makes VP index (also its APIC id) for the calling thread, which alone may use it.
    int (*vp_new)(struct partition *partition, uint32_t index, struct vp **out);
    void (*vp_free)(struct vp *vp);
    /// Power-on state: VP 0 runnable at its registers, the others wait for SIPI.
    int (*vp_reset)(struct vp *vp);

    /// Finishes the exit that the last call gave (its result stands in exit), enters the guest and
    /// returns with the next exit. 0, or -errno when the VP can no longer be used. Allocates
    /// nothing. Returns VP_EXIT_WAKE soon after vp_kick() or when a signal or io_uring completion
    /// is pending for the thread.
    int (*vp_run)(struct vp *vp, struct vp_exit *exit);
    /// Finishes a pending exit without entering the guest (before save, reset, register access).
    int (*vp_settle)(struct vp *vp, struct vp_exit *exit);
    /// Makes a concurrent or the next vp_run return VP_EXIT_WAKE; any thread.
    void (*vp_kick)(struct vp *vp);
    /// A byte, constant for the VP's life, that whoever runs on the VP's own thread (also the
    /// kernel on its behalf: an io_uring read into it) sets to make the next vp_run return
    /// VP_EXIT_WAKE without entering the guest. The caller clears it, before it looks for work:
    /// vp_run must not, a wake-up may have arrived on its way out of the kernel.
    volatile uint8_t *(*vp_wake_flag)(struct vp *vp);

    /// Without VTL2_HAS_IOAPIC, on the VP's thread: the PICs' INTR line to this VP. While it is
    /// high, vp_run returns VP_EXIT_EXTINT as soon as the VP can take an interrupt. The VMM answers
    /// it by acknowledging the PICs and giving the vector to extint_inject before the next vp_run,
    /// or by nothing when the line went low. NULL where VTL2_HAS_IOAPIC.
    int (*extint_line)(struct vp *vp, bool level);
    int (*extint_inject)(struct vp *vp, uint8_t vector);
    /// The message that a pin of the VMM's IOAPIC sends from now on, masked or not: where its
    /// vector is level-triggered, VP_EXIT_EOI must come. Thread-safe. NULL where that exit comes
    /// for every level-triggered message anyway.
    int (*ioapic_route)(struct partition *partition, uint32_t pin, uint64_t address, uint32_t data);

    int (*vp_get_registers)(struct vp *vp, struct vp_registers *out);
    int (*vp_set_registers)(struct vp *vp, const struct vp_registers *in);
};

/// KVM in our own kernel (or on any Linux host): the native platform.
extern const struct vtl2_ops vtl2_kvm;
/// Hyper-V's virtual trust levels through Linux's mshv_vtl driver.
extern const struct vtl2_ops vtl2_vsm;

/// The first platform whose probe succeeds; NULL with *reason set to a readable text when none
/// does.
const struct vtl2_ops *vtl2_probe(const char **reason);
