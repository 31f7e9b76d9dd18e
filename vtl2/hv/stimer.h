// SPDX-License-Identifier: MIT
//
// The four synthetic timers of one VTL of one VP (TLFS chapter 12): one-shot and periodic, lazy,
// auto-enable; expiry as a SynIC message or, in direct mode, as an APIC vector.
//
// Pure: time comes in as the partition's reference time (100 ns units). The VP's own thread owns
// the struct.
#pragma once

#include "igvm/base/types.h"
#include "vtl2/hv/tlfs.h"

#define HV_STIMER_NEVER UINT64_MAX

/// The volatile, guest-visible state of one timer.
struct hv_stimer_state {
    uint64_t config, count;        ///< the two MSRs as the guest sees them
    uint64_t expiry_100ns;         ///< absolute; valid while armed
    uint64_t message_expiry_100ns; ///< the expiry that the pending message reports
    uint8_t armed;                 ///< 0 or 1
    uint8_t message_pending;       ///< 0 or 1: expired, its slot was taken
    uint8_t reserved[6];
};

struct hv_stimers_state {
    uint32_t version; ///< HV_STIMERS_STATE_VERSION
    uint32_t reserved;
    struct hv_stimer_state timer[HV_STIMER_COUNT];
};
#define HV_STIMERS_STATE_VERSION 1u

/// Called by the owner's thread from within the functions below.
struct hv_stimer_ops {
    /// Direct mode: raise a vector on the VTL's local APIC.
    void (*interrupt)(void *ctx, uint8_t vector);
    /// Message mode, HV_MESSAGE_TIMER_EXPIRED: 0, or -EAGAIN and hv_stimers_retry() when the SINT
    /// is ready again.
    int (*post)(void *ctx, unsigned sint, const struct hv_timer_message *payload);
};

struct hv_stimers {
    const struct hv_stimer_ops *ops;
    void *ctx;
    struct hv_stimers_state state;
};

/// Power-on state: all disabled. ops and ctx stay the caller's.
void hv_stimers_init(struct hv_stimers *timers, const struct hv_stimer_ops *ops, void *ctx);
void hv_stimers_reset(struct hv_stimers *timers);

void hv_stimers_save(const struct hv_stimers *timers, struct hv_stimers_state *out);
/// Loads untrusted state, all or nothing. -EINVAL.
int hv_stimers_load(struct hv_stimers *timers, const struct hv_stimers_state *in);

/// MSRs 0x400000B0..0x400000B7. 0; -ENOENT: not a synthetic timer's; -EPERM: #GP.
int hv_stimers_read_msr(const struct hv_stimers *timers, uint32_t index, uint64_t *out);
int hv_stimers_write_msr(struct hv_stimers *timers, uint64_t now_100ns, uint32_t index,
                         uint64_t value);

/// Delivers what is due at now.
void hv_stimers_advance(struct hv_stimers *timers, uint64_t now_100ns);
/// Tries pending messages of these SINTs (a bit mask) again: from hv_synic_ops.ready.
void hv_stimers_retry(struct hv_stimers *timers, uint64_t now_100ns, uint32_t sints);
/// When hv_stimers_advance() has something to do next, reference time; HV_STIMER_NEVER.
uint64_t hv_stimers_deadline(const struct hv_stimers *timers);
