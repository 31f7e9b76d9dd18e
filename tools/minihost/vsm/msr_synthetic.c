// SPDX-License-Identifier: MIT
//
// Hyper-V's synthetic MSRs of both VTLs: hypercall page, reference time, VP assist page, crash
// reports (TLFS, "Synthetic MSRs"). SynIC and timers are vtl0_apic.c's.
#include "tools/minihost/vsm/internal.h"

#include <errno.h>
#include <string.h>

__extension__ typedef __int128 s128;

// ---- the hypercall page, reference time --------------------------------------------------------

/// HvRegisterVsmCodePageOffsets promises these places.
static void fill_hypercall_page(uint8_t *page) {
    static const uint8_t call[] = {0x0f, 0x01, 0xd9, 0xc3}; // vmmcall; ret
    // mov rax, rcx; mov ecx, code; vmmcall; ret
    static const uint8_t vtl[] = {0x48, 0x89, 0xc8, 0xb9, 0, 0, 0, 0, 0x0f, 0x01, 0xd9, 0xc3};

    memset(page, 0xcc, PAGE_SIZE_4K);
    memcpy(page, call, sizeof(call));
    memcpy(page + VSM_CODE_OFFSET_CALL, vtl, sizeof(vtl));
    page[VSM_CODE_OFFSET_CALL + 4] = HV_CALL_VTL_CALL;
    memcpy(page + VSM_CODE_OFFSET_RETURN, vtl, sizeof(vtl));
    page[VSM_CODE_OFFSET_RETURN + 4] = HV_CALL_VTL_RETURN;
}

static int write_hypercall(struct vsm_vp *vp, unsigned vtl, uint64_t value) {
    struct vsm_vtl *state = &vp->partition->vps[0].vtl[vtl];
    bool enabled = value & HV_MSR_PAGE_ENABLE;

    if (state->hypercall_msr & HV_HYPERCALL_MSR_LOCKED) {
        return -EPERM;
    }
    if (enabled && state->guest_os_id == 0) {
        enabled = false;
        value &= ~HV_MSR_PAGE_ENABLE;
    }
    if (enabled) {
        fill_hypercall_page(state->overlay[VSM_OVERLAY_HYPERCALL].page);
    }
    if (vsm_overlay_set(vp, vtl, VSM_OVERLAY_HYPERCALL, enabled, value & HV_MSR_PAGE_GPA_MASK)) {
        return -EPERM;
    }
    state->hypercall_msr =
        value & (HV_MSR_PAGE_GPA_MASK | HV_MSR_PAGE_ENABLE | HV_HYPERCALL_MSR_LOCKED);
    return 0;
}

static int write_guest_os_id(struct vsm_vp *vp, unsigned vtl, uint64_t value) {
    struct vsm_vtl *state = &vp->partition->vps[0].vtl[vtl];

    state->guest_os_id = value;
    if (value == 0 && (state->hypercall_msr & HV_MSR_PAGE_ENABLE)) {
        (void)vsm_overlay_set(vp, vtl, VSM_OVERLAY_HYPERCALL, false, 0);
        state->hypercall_msr &= ~HV_MSR_PAGE_ENABLE;
    }
    return 0;
}

/// floor(10^7 * 2^64 / hz): 100 ns units per tick, as a fraction of 2^64. hz above 10^7.
static uint64_t tsc_scale(uint64_t hz) {
    uint64_t rest = 10000000, scale = 0;

    for (unsigned i = 0; i < 64; i++) {
        scale <<= 1;
        rest <<= 1;
        if (rest >= hz) {
            rest -= hz;
            scale |= 1;
        }
    }
    return scale;
}

static int write_reference_tsc(struct vsm_vp *vp, unsigned vtl, uint64_t value) {
    const struct vsm_partition *partition = vp->partition;
    struct vsm_vtl *state = &vp->partition->vps[0].vtl[vtl];
    struct hv_reference_tsc_page *page = state->overlay[VSM_OVERLAY_REFERENCE_TSC].page;
    bool enabled = value & HV_MSR_PAGE_ENABLE;

    if (enabled) {
        memset(page, 0, sizeof(*page));
        if (partition->tsc_hz > 10000000) {
            uint64_t scale = tsc_scale(partition->tsc_hz);
            // Exactly the MSR's clock: two readings now would be some microseconds apart.
            int64_t zero = (int64_t)(partition->tsc_zero + vp->vtl[vtl].vmcb->control.tsc_offset);

            page->scale = scale;
            page->offset = -(int64_t)(((s128)zero * (s128)scale) >> 64);
            page->sequence = 1;
        }
    }
    if (vsm_overlay_set(vp, vtl, VSM_OVERLAY_REFERENCE_TSC, enabled,
                        value & HV_MSR_PAGE_GPA_MASK)) {
        return -EPERM;
    }
    state->reference_tsc_msr = value & (HV_MSR_PAGE_GPA_MASK | HV_MSR_PAGE_ENABLE);
    return 0;
}

static int write_assist_page(struct vsm_vp *vp, unsigned vtl, uint64_t value) {
    struct vsm_vtl *state = &vp->vtl[vtl];
    bool enabled = value & HV_MSR_PAGE_ENABLE;

    if (enabled && !(state->assist_msr & HV_MSR_PAGE_ENABLE)) {
        memset(state->overlay[VSM_OVERLAY_ASSIST].page, 0, PAGE_SIZE_4K);
    }
    if (vsm_overlay_set(vp, vtl, VSM_OVERLAY_ASSIST, enabled, value & HV_MSR_PAGE_GPA_MASK)) {
        return -EPERM;
    }
    state->assist_msr = value & (HV_MSR_PAGE_GPA_MASK | HV_MSR_PAGE_ENABLE);
    return 0;
}

// ---- crash -------------------------------------------------------------------------------------

static void print_crash_text(struct vsm_vp *vp, unsigned vtl, uint64_t gpa, uint64_t size_bytes) {
    char text[129];
    size_t left = size_bytes < 4096 ? size_bytes : 4096;

    while (left) {
        size_t part = left < sizeof(text) - 1 ? left : sizeof(text) - 1;

        if (vsm_copy_in(vp, vtl, gpa, text, part)) {
            return;
        }
        text[part] = '\0';
        for (size_t i = 0; i < part; i++) {
            if (text[i] < ' ' || text[i] > '~') {
                text[i] = '.';
            }
        }
        vp->partition->ops->log("%s", text);
        gpa += part;
        left -= part;
    }
}

static int write_crash_control(struct vsm_vp *vp, unsigned vtl, uint64_t value) {
    const struct vsm_vtl *state = &vp->vtl[vtl];

    if (!(value & HV_CRASH_CTL_NOTIFY)) {
        return 0;
    }
    // A guest may crash, or say so, as often as it likes: the first time is news.
    if (vtl == VSM_GUEST_VTL &&
        __atomic_fetch_add(&vp->partition->guest_crashes, 1, __ATOMIC_RELAXED) > 0) {
        return 0;
    }
    vp->partition->ops->log(
        "minihost: VTL%u reports a crash: %llx %llx %llx %llx %llx", vtl,
        (unsigned long long)state->crash[0], (unsigned long long)state->crash[1],
        (unsigned long long)state->crash[2], (unsigned long long)state->crash[3],
        (unsigned long long)state->crash[4]);
    if (vtl == VSM_GUEST_VTL) {
        return 0; // its text is on its own console
    }
    vsm_print_state(vp, vtl);
    if (value & HV_CRASH_CTL_MESSAGE) {
        print_crash_text(vp, vtl, state->crash[3], state->crash[4]);
    }
    return 0;
}

// ---- synthetic MSRs ----------------------------------------------------------------------------

int vsm_synthetic_read(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t *value) {
    const struct vsm_partition *partition = vp->partition;
    const struct vsm_vtl *state = &vp->vtl[vtl], *shared = &partition->vps[0].vtl[vtl];

    switch (index) {
    case HV_MSR_GUEST_OS_ID:
        *value = shared->guest_os_id;
        return 0;
    case HV_MSR_HYPERCALL:
        *value = shared->hypercall_msr;
        return 0;
    case HV_MSR_VP_INDEX:
        *value = vp->index;
        return 0;
    case HV_MSR_RESET:
        *value = 0;
        return 0;
    case HV_MSR_VP_RUNTIME:
    case HV_MSR_TIME_REF_COUNT:
        *value = partition->ops->now_100ns();
        return 0;
    case HV_MSR_REFERENCE_TSC:
        *value = shared->reference_tsc_msr;
        return 0;
    case HV_MSR_TSC_FREQUENCY:
        *value = partition->tsc_hz;
        return 0;
    case HV_MSR_APIC_FREQUENCY:
        *value = partition->apic_hz;
        return 0;
    case HV_MSR_VP_ASSIST_PAGE:
        *value = state->assist_msr;
        return 0;
    case HV_MSR_CRASH_CTL:
        *value = HV_CRASH_CTL_NOTIFY | HV_CRASH_CTL_MESSAGE;
        return 0;
    case HV_MSR_TSC_INVARIANT_CONTROL:
        *value = partition->invariant_tsc[vtl] ? HV_TSC_INVARIANT_EXPOSE : 0;
        return 0;
    default:
        if (index >= HV_MSR_CRASH_P0 && index <= HV_MSR_CRASH_P4) {
            *value = state->crash[index - HV_MSR_CRASH_P0];
            return 0;
        }
        return -ENOENT;
    }
}

int vsm_synthetic_write(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t value) {
    switch (index) {
    case HV_MSR_GUEST_OS_ID:
        return write_guest_os_id(vp, vtl, value);
    case HV_MSR_HYPERCALL:
        return write_hypercall(vp, vtl, value);
    case HV_MSR_RESET:
        if (vtl != VSM_PARAVISOR) {
            return -EPERM; // not offered to VTL0
        }
        if (value & 1) {
            vp->partition->stop = VSM_STOP_RESET;
        }
        return 0;
    case HV_MSR_REFERENCE_TSC:
        return write_reference_tsc(vp, vtl, value);
    case HV_MSR_VP_ASSIST_PAGE:
        return write_assist_page(vp, vtl, value);
    case HV_MSR_CRASH_CTL:
        return write_crash_control(vp, vtl, value);
    case HV_MSR_TSC_INVARIANT_CONTROL:
        if (value & ~HV_TSC_INVARIANT_EXPOSE) {
            return -EPERM;
        }
        vp->partition->invariant_tsc[vtl] |= value & HV_TSC_INVARIANT_EXPOSE;
        return 0;
    default:
        if (index >= HV_MSR_CRASH_P0 && index <= HV_MSR_CRASH_P4) {
            vp->vtl[vtl].crash[index - HV_MSR_CRASH_P0] = value;
            return 0;
        }
        return -ENOENT; // also the read-only ones: the caller makes #GP of it
    }
}
