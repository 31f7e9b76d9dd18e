// SPDX-License-Identifier: MIT
//
// A local APIC in software: xAPIC registers, x2APIC and Hyper-V's APIC MSRs, timer, priorities,
// INIT and start-up (Intel SDM vol. 3 chapter 11; AMD APM vol. 2 chapter 16; TLFS 10).
//
// Pure: no allocation, no I/O, no clock of its own. One struct hv_lapic per VP. The VP's own thread
// is its owner and alone may call functions that take a struct hv_lapic, but for those marked "any
// thread". Others send through hv_apic_send(), which posts into an inbox of atomics; the owner
// takes it in with hv_lapic_collect() before it asks what to inject. No locks anywhere.
//
// The owner's loop, before it enters the guest:
//   hv_lapic_set_cr8() with what the guest left in CR8; hv_lapic_advance(); hv_lapic_collect() and
//   its INIT/SIPI; hv_lapic_next(); inject, then hv_lapic_acknowledge() or hv_lapic_take_nmi().
#pragma once

#include "igvm/base/types.h"

#define HV_LAPIC_WORDS 8u ///< 256 vectors as 32-bit words
#define HV_LAPIC_BYTES 0x1000u
#define HV_LAPIC_NEVER UINT64_MAX

#define HV_APIC_BASE_MSR    0x1Bu
#define HV_APIC_BASE_BSP    (1ull << 8)
#define HV_APIC_BASE_X2APIC (1ull << 10)
#define HV_APIC_BASE_ENABLE (1ull << 11)
#define HV_APIC_DEFAULT_GPA 0xFEE00000ull
#define HV_TSC_DEADLINE_MSR 0x6E0u
#define HV_X2APIC_FIRST_MSR 0x800u
#define HV_X2APIC_LAST_MSR  0x8FFu

/// One moment: the partition's reference time and the VP's own TSC (its offset applied).
struct hv_clock {
    uint64_t now_100ns;
    uint64_t now_tsc;
};

/// Local vector table, in the order of the registers from 0x320.
enum hv_lvt {
    HV_LVT_TIMER,
    HV_LVT_THERMAL,
    HV_LVT_PERF,
    HV_LVT_LINT0,
    HV_LVT_LINT1,
    HV_LVT_ERROR,
    HV_LVT_COUNT
};

/// Encoding of ICR, LVT and MSI.
enum hv_delivery {
    HV_FIXED,
    HV_LOWEST_PRIORITY,
    HV_SMI,
    HV_REMOTE_READ,
    HV_NMI,
    HV_INIT,
    HV_SIPI,
    HV_EXTINT
};

enum hv_activity {
    HV_VP_RUNNING,
    HV_VP_WAIT_FOR_SIPI, ///< after reset or INIT, but for the BSP
};

/// The volatile, guest-visible state: what save and load move. Plain fixed-width fields, no
/// pointers; times are the partition's reference time, so it is saved beside them.
struct hv_lapic_state {
    uint32_t version; ///< HV_LAPIC_STATE_VERSION
    uint32_t ldr, dfr, tpr, svr;
    uint32_t esr, esr_new; ///< what the register shows, and what its next write makes visible
    uint32_t icr_low, icr_high;
    uint32_t lvt[HV_LVT_COUNT];
    uint32_t irr[HV_LAPIC_WORDS], isr[HV_LAPIC_WORDS], tmr[HV_LAPIC_WORDS];
    uint32_t eoi_report[HV_LAPIC_WORDS]; ///< level-triggered EOIs that nobody took yet
    uint32_t timer_initial, timer_divide;
    uint64_t apic_base;
    uint64_t timer_start;  ///< in ticks of the undivided timer clock since reference time 0
    uint64_t tsc_deadline; ///< 0: not armed
    uint8_t timer_running; ///< 0 or 1: counts down from timer_start
    uint8_t activity;      ///< enum hv_activity
    uint8_t nmi_pending;   ///< 0 or 1
    uint8_t lint_level[2]; ///< LINT0, LINT1: 0 or 1
    uint8_t reserved[3];
};
#define HV_LAPIC_STATE_VERSION 1u

/// Where other threads leave things. Zero-initialised is empty.
struct hv_lapic_inbox {
    _Atomic uint32_t requested[HV_LAPIC_WORDS];
    _Atomic uint32_t level[HV_LAPIC_WORDS]; ///< trigger mode of the vectors requested
    _Atomic uint32_t flags;                 ///< private: NMI, INIT, SIPI and its vector, errors
};

struct hv_apic_bus;

struct hv_lapic_config {
    uint32_t id;    ///< APIC id, 0..254 or, for x2APIC only, any but UINT32_MAX
    uint32_t index; ///< place on the bus
    bool is_bsp;
    uint8_t physical_address_bits; ///< for APIC_BASE; 0 means 52
    uint64_t timer_hz;             ///< undivided timer clock, below 2^40
    uint64_t tsc_hz;               ///< below 2^40; 0: no TSC-deadline mode
};

struct hv_lapic {
    // Fixed configuration.
    struct hv_lapic_config config;
    // Glue.
    struct hv_apic_bus *bus;
    struct hv_lapic_inbox inbox;
    _Atomic uint64_t address; ///< private: what senders match destinations against
    // Volatile state.
    struct hv_lapic_state state;
};

/// All APICs that can send to each other.
struct hv_apic_bus {
    uint32_t count;
    void *ctx;
    /// The APIC at a place in [0, count); any thread.
    struct hv_lapic *(*lapic)(void *ctx, uint32_t index);
    /// Something new lies in this APIC's inbox: make its VP collect it soon. Any thread; also for
    /// the sender's own VP, which then is on its way to collect anyway.
    void (*kick)(void *ctx, uint32_t index);
};

// ---- setting up ---------------------------------------------------------------------------------

/// Power-on state. config and bus are copied and kept; 0 or -EINVAL for a bad config.
int hv_lapic_init(struct hv_lapic *lapic, const struct hv_lapic_config *config,
                  struct hv_apic_bus *bus);
/// Power-on reset; the inbox is emptied.
void hv_lapic_reset(struct hv_lapic *lapic);

/// What has to be saved, with the inbox taken in.
void hv_lapic_save(struct hv_lapic *lapic, struct hv_lapic_state *out);
/// Loads untrusted state: all or nothing; -EINVAL when a field breaks a rule.
int hv_lapic_load(struct hv_lapic *lapic, const struct hv_lapic_state *in);

// ---- the guest's accesses -----------------------------------------------------------------------

/// APIC_BASE, TSC_DEADLINE, x2APIC and Hyper-V's EOI, ICR and TPR MSRs. 0; -ENOENT: not an MSR of
/// the APIC; -EPERM: #GP into the guest, nothing changed.
int hv_lapic_read_msr(struct hv_lapic *lapic, struct hv_clock now, uint32_t index, uint64_t *out);
int hv_lapic_write_msr(struct hv_lapic *lapic, struct hv_clock now, uint32_t index, uint64_t value);

/// Whether the page at gpa is this APIC's registers now (xAPIC mode, at APIC_BASE).
bool hv_lapic_owns_page(const struct hv_lapic *lapic, gpa_t gpa);
/// Accesses of size_bytes 1, 2, 4 or 8 at off in [0, HV_LAPIC_BYTES). What is not an aligned 32-bit
/// access to a register reads as the bytes there (0 outside) and is not written.
uint64_t hv_lapic_mmio_read(struct hv_lapic *lapic, struct hv_clock now, uint32_t off,
                            uint8_t size_bytes);
void hv_lapic_mmio_write(struct hv_lapic *lapic, struct hv_clock now, uint32_t off,
                         uint8_t size_bytes, uint64_t value);

/// CR8 is TPR's upper half (SDM 11.8.6).
void hv_lapic_set_cr8(struct hv_lapic *lapic, uint8_t cr8);
uint8_t hv_lapic_cr8(const struct hv_lapic *lapic);

// ---- time ---------------------------------------------------------------------------------------

/// Applies timer expiries up to now.
void hv_lapic_advance(struct hv_lapic *lapic, struct hv_clock now);
/// When hv_lapic_advance() has something to do next, in 100 ns of reference time; in the past when
/// it is due; HV_LAPIC_NEVER.
uint64_t hv_lapic_deadline(const struct hv_lapic *lapic, struct hv_clock now);

// ---- interrupts in ------------------------------------------------------------------------------

/// An interrupt message: from ICR, MSI, IOAPIC or HvCallAssertVirtualInterrupt.
struct hv_apic_message {
    uint32_t destination;
    bool logical;
    bool wide;        ///< destination has 32 bits (x2APIC): broadcast is UINT32_MAX, not 0xFF
    bool level;       ///< trigger mode: the EOI is reported
    uint8_t delivery; ///< enum hv_delivery: HV_FIXED, HV_LOWEST_PRIORITY, HV_NMI, HV_INIT, HV_SIPI
    uint8_t vector;
};

/// Sends to all APICs that the destination names; any thread. 0, or -ESRCH when nobody accepted it,
/// -EINVAL for a delivery mode that a message cannot have.
int hv_apic_send(struct hv_apic_bus *bus, const struct hv_apic_message *message);
/// An MSI as a device writes it (SDM 11.11): any thread. As hv_apic_send; -EINVAL outside
/// 0xFEExxxxx.
int hv_apic_send_msi(struct hv_apic_bus *bus, uint64_t address, uint32_t data);

/// One vector for this APIC alone, as a local source of the hypervisor's (SINT, synthetic timer):
/// at once. Ignored while the APIC is disabled.
void hv_lapic_raise(struct hv_lapic *lapic, uint8_t vector);
/// The same through the inbox: any thread.
void hv_lapic_request(struct hv_lapic *lapic, uint8_t vector);
/// An NMI past the APIC; any thread.
void hv_lapic_request_nmi(struct hv_lapic *lapic);
/// VTL2 starts or stops a VP past the APIC (HvRegisterInternalActivityState).
void hv_lapic_set_activity(struct hv_lapic *lapic, enum hv_activity activity);
/// Level of the LINT0 (0) or LINT1 (1) pin. ExtINT on LINT0 is how a PIC's output arrives.
void hv_lapic_set_lint(struct hv_lapic *lapic, unsigned pin, bool level);
/// Whether a PIC's interrupt would reach the VP now: APIC disabled, or LINT0 unmasked and ExtINT.
bool hv_lapic_accepts_extint(const struct hv_lapic *lapic);

// ---- interrupts out -----------------------------------------------------------------------------

#define HV_LAPIC_GOT_INIT 1u ///< the VP's registers go to their INIT state
#define HV_LAPIC_GOT_SIPI 2u ///< the VP starts at vector << 12; after GOT_INIT when both come

/// Takes the inbox in. Returns HV_LAPIC_GOT_*; the APIC's own part of INIT and SIPI is done.
/// *sipi_vector is valid with HV_LAPIC_GOT_SIPI.
uint32_t hv_lapic_collect(struct hv_lapic *lapic, uint8_t *sipi_vector);
/// Whether the inbox holds anything; any thread.
bool hv_lapic_has_mail(const struct hv_lapic *lapic);

enum hv_interrupt_kind {
    HV_INTERRUPT_NONE,
    HV_INTERRUPT_NMI,
    HV_INTERRUPT_EXTINT,
    HV_INTERRUPT_FIXED
};

struct hv_interrupt {
    enum hv_interrupt_kind kind;
    uint8_t vector; ///< HV_INTERRUPT_FIXED
};

/// What the VP takes next, if its RFLAGS.IF and shadows let it; changes nothing. nmi_masked: leave
/// out NMIs (one is being handled). A vector that CR8/PPR hold back is not reported.
struct hv_interrupt hv_lapic_next(const struct hv_lapic *lapic, bool nmi_masked);
/// Whether a VP that waits in HLT wakes up: anything but what its IF or priorities hold back.
bool hv_lapic_wakes(const struct hv_lapic *lapic, bool interrupts_enabled, bool nmi_masked);
/// The highest vector that only TPR holds back (lowering CR8 would deliver it), or -1: the caller
/// then asks for an exit when the guest lowers CR8.
int hv_lapic_held_by_tpr(const struct hv_lapic *lapic);

/// The VP took this fixed vector: from IRR to ISR. auto_eoi (a SINT's): it never enters ISR.
void hv_lapic_acknowledge(struct hv_lapic *lapic, uint8_t vector, bool auto_eoi);
/// The VP took the pending NMI.
void hv_lapic_take_nmi(struct hv_lapic *lapic);
/// The next level-triggered vector whose EOI an IOAPIC must hear of, or -1. Ask after each access.
int hv_lapic_take_eoi(struct hv_lapic *lapic);
