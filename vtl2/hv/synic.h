// SPDX-License-Identifier: MIT
//
// The synthetic interrupt controller of one VTL of one VP (TLFS chapter 11): 16 interrupt sources
// (SINTs), message slots (SIM page) and event flags (SIEF page).
//
// Pure: no allocation, no I/O. Messages are not queued here: hv_synic_post() says -EAGAIN while a
// slot is taken and ops.ready() tells when to try again; whoever has a message keeps it. The VP's
// own thread owns the struct. Both pages belong to the guest: every access is one atomic load or
// store, and nothing that was read is trusted.
#pragma once

#include "igvm/base/types.h"
#include "vtl2/hv/tlfs.h"

enum hv_synic_page { HV_SYNIC_SIMP, HV_SYNIC_SIEFP };

/// The volatile, guest-visible state.
struct hv_synic_state {
    uint32_t version;       ///< HV_SYNIC_STATE_VERSION
    uint32_t waiting_sints; ///< SINTs on which a post failed: told by ops.ready()
    uint64_t scontrol, siefp, simp;
    uint64_t sint[HV_SINT_COUNT];
};
#define HV_SYNIC_STATE_VERSION 1u

/// Called by the owner's thread from within the functions below.
struct hv_synic_ops {
    /// The 4 KiB behind an enabled page, 8-byte aligned, or NULL when there is none.
    void *(*page)(void *ctx, enum hv_synic_page which);
    /// The guest enabled, moved or disabled a page; gpa is page aligned. False: #GP.
    bool (*set_page)(void *ctx, enum hv_synic_page which, bool enabled, gpa_t gpa);
    /// Raise a vector on the VTL's local APIC.
    void (*interrupt)(void *ctx, uint8_t vector);
    /// These SINTs may take a message again.
    void (*ready)(void *ctx, uint32_t sints);
};

struct hv_synic {
    const struct hv_synic_ops *ops;
    void *ctx;
    struct hv_synic_state state;
};

/// Power-on state: all SINTs masked, pages disabled. ops and ctx stay the caller's.
void hv_synic_init(struct hv_synic *synic, const struct hv_synic_ops *ops, void *ctx);
/// Back to power-on state; pages that were enabled are taken away through ops.set_page.
void hv_synic_reset(struct hv_synic *synic);

void hv_synic_save(const struct hv_synic *synic, struct hv_synic_state *out);
/// Loads untrusted state, all or nothing; pages are placed through ops.set_page. -EINVAL.
int hv_synic_load(struct hv_synic *synic, const struct hv_synic_state *in);

/// MSRs 0x40000080..0x4000009F. 0; -ENOENT: not the SynIC's; -EPERM: #GP.
int hv_synic_read_msr(const struct hv_synic *synic, uint32_t index, uint64_t *out);
int hv_synic_write_msr(struct hv_synic *synic, uint32_t index, uint64_t value);

/// Puts a message into a SINT's slot and raises its interrupt. size_bytes 0..240.
/// 0; -EAGAIN: not now (slot taken, SynIC or page disabled, SINT masked), ops.ready() will tell;
/// -EINVAL for a bad SINT or size.
int hv_synic_post(struct hv_synic *synic, unsigned sint, uint32_t type, uint64_t sender,
                  const void *payload, size_t size_bytes);
/// Sets an event flag and raises the SINT's interrupt if it was clear. 0; -EAGAIN: the SynIC, the
/// page or the SINT is off (the signal is lost, TLFS 11.10); -EINVAL for a bad SINT or flag.
int hv_synic_signal(struct hv_synic *synic, unsigned sint, unsigned flag);

/// Whether delivering this vector must not set ISR: an unmasked SINT with auto-EOI has it.
bool hv_synic_is_auto_eoi(const struct hv_synic *synic, uint8_t vector);
/// The guest gave an EOI to its APIC: the same as EOM for slots of SINTs (TLFS 11.8.5).
void hv_synic_eoi(struct hv_synic *synic);
