// SPDX-License-Identifier: MIT
//
// MSRs that exit: Hyper-V's synthetic ones for both VTLs (TLFS, "Synthetic MSRs") and what VTL0 may
// see of the processor's (AMD APM vol. 2, appendix A).
//
// The memory type MSRs are shared between VTLs on purpose (TLFS, "VTL Shared State").
#include "tools/minihost/vsm/internal.h"

#include "tools/minihost/vsm/vtl0_apic.h"

#include <errno.h>
#include <string.h>

#define MSR_TSC         0x10u
#define MSR_PLATFORM_ID 0x17u
#define MSR_FEATURES    0x3au
#define MSR_TSC_ADJUST  0x3bu
#define MSR_SPEC_CTRL   0x48u
#define MSR_PRED_CMD    0x49u
#define MSR_MICROCODE   0x8bu
#define MSR_MTRR_CAP    0xfeu
#define MSR_SYSENTER_CS 0x174u
#define MSR_MCG_CAP     0x179u
#define MSR_MCG_STATUS  0x17au
#define MSR_MISC_ENABLE 0x1a0u
#define MSR_DEBUG_CTL   0x1d9u
#define MSR_MTRR_BASE0  0x200u ///< to 0x20f: base and mask pairs
#define MSR_MTRR_FIX64K 0x250u
#define MSR_MTRR_FIX16K 0x258u ///< 2
#define MSR_MTRR_FIX4K  0x268u ///< 8
#define MSR_PAT         0x277u
#define MSR_MTRR_TYPE   0x2ffu
#define MSR_XSS         0xda0u
#define MSR_EFER        0xc0000080u
#define MSR_TSC_AUX     0xc0000103u
#define MSR_SYSCFG      0xc0010010u
#define MSR_HWCR        0xc0010015u
#define MSR_NB_CFG      0xc001001fu
#define MSR_INT_PENDING 0xc0010055u
#define MSR_VM_CR       0xc0010114u
#define MSR_DE_CFG      0xc0011029u

#define EFER_SCE      (UINT64_C(1) << 0)
#define EFER_LME      (UINT64_C(1) << 8)
#define EFER_LMA      (UINT64_C(1) << 10)
#define EFER_NXE      (UINT64_C(1) << 11)
#define EFER_FFXSR    (UINT64_C(1) << 14)
#define EFER_SETTABLE (EFER_SCE | EFER_LME | EFER_NXE | EFER_FFXSR)
#define CR0_PG        (UINT64_C(1) << 31)

#define HWCR_TSC_FREQ_SEL (UINT64_C(1) << 24)

__extension__ typedef unsigned __int128 u128;

// ---- EFER, PAT
// -----------------------------------------------------------------------------------

bool vsm_set_efer(struct svm_vmcb *vmcb, uint64_t value) {
    uint64_t old = vmcb->save.efer;

    // SVME is hidden: a write of what was read must work, a write of the bit itself changes
    // nothing.
    value &= ~(uint64_t)SVM_EFER_SVME;
    if (value & ~(EFER_SETTABLE | EFER_LMA)) {
        return false;
    }
    if ((vmcb->save.cr0 & CR0_PG) && ((old ^ value) & EFER_LME)) {
        return false;
    }
    vmcb->save.efer = (value & EFER_SETTABLE) | (old & EFER_LMA) | SVM_EFER_SVME;
    return true;
}

/// Eight memory types: 0, 1, 4, 5, 6, 7.
static bool is_pat_valid(uint64_t value) {
    for (unsigned i = 0; i < 8; i++) {
        unsigned type = value >> (8 * i) & 0xff;

        if (type > 7 || type == 2 || type == 3) {
            return false;
        }
    }
    return true;
}

static bool is_mtrr(uint32_t index) {
    return index == MSR_MTRR_CAP || index == MSR_MTRR_TYPE || index == MSR_MTRR_FIX64K ||
           (index >= MSR_MTRR_BASE0 && index <= MSR_MTRR_BASE0 + 15) ||
           (index >= MSR_MTRR_FIX16K && index <= MSR_MTRR_FIX16K + 1) ||
           (index >= MSR_MTRR_FIX4K && index <= MSR_MTRR_FIX4K + 7);
}

/// The register in the VMCB that an MSR is, or NULL.
static void *vmcb_register(struct svm_save *save, uint32_t index) {
    switch (index) {
    case MSR_SYSENTER_CS:
        return (uint8_t *)save + offsetof(struct svm_save, sysenter_cs);
    case MSR_SYSENTER_CS + 1:
        return (uint8_t *)save + offsetof(struct svm_save, sysenter_esp);
    case MSR_SYSENTER_CS + 2:
        return (uint8_t *)save + offsetof(struct svm_save, sysenter_eip);
    case 0xc0000081u:
        return (uint8_t *)save + offsetof(struct svm_save, star);
    case 0xc0000082u:
        return (uint8_t *)save + offsetof(struct svm_save, lstar);
    case 0xc0000083u:
        return (uint8_t *)save + offsetof(struct svm_save, cstar);
    case 0xc0000084u:
        return (uint8_t *)save + offsetof(struct svm_save, sfmask);
    case 0xc0000100u:
        return (uint8_t *)save + offsetof(struct svm_save, fs) + offsetof(struct svm_segment, base);
    case 0xc0000101u:
        return (uint8_t *)save + offsetof(struct svm_save, gs) + offsetof(struct svm_segment, base);
    case 0xc0000102u:
        return (uint8_t *)save + offsetof(struct svm_save, kernel_gs_base);
    default:
        return NULL;
    }
}

// ---- the hypercall page, reference time
// ----------------------------------------------------------

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

static uint64_t read_tsc(const struct vsm_vp *vp, unsigned vtl) {
    return vp->partition->ops->read_tsc() + vp->vtl[vtl].vmcb->control.tsc_offset;
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
            uint64_t tsc = read_tsc(vp, vtl);

            page->scale = scale;
            page->offset =
                (int64_t)(partition->ops->now_100ns() - (uint64_t)(((u128)tsc * scale) >> 64));
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

// ---- crash
// ---------------------------------------------------------------------------------------

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

// ---- synthetic MSRs
// ------------------------------------------------------------------------------

static int synthetic_read(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t *value) {
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

static int synthetic_write(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t value) {
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

// ---- architectural MSRs of VTL0
// ------------------------------------------------------------------

/// What exists, reads as 0 and takes nothing: kernels look at these without asking CPUID.
static bool reads_as_zero(uint32_t index) {
    switch (index) {
    case MSR_PLATFORM_ID:
    case MSR_FEATURES:
    case MSR_TSC_ADJUST:
    case MSR_SPEC_CTRL:
    case MSR_PRED_CMD:
    case MSR_MCG_CAP:
    case MSR_MCG_STATUS:
    case MSR_MISC_ENABLE:
    case MSR_DEBUG_CTL:
    case MSR_XSS:
    case MSR_SYSCFG:
    case MSR_NB_CFG:
    case MSR_INT_PENDING:
    case MSR_DE_CFG:
        return true;
    default:
        return false;
    }
}

static int vtl0_read(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t *value) {
    struct svm_vmcb *vmcb = vp->vtl[vtl].vmcb;
    const void *saved = vmcb_register(&vmcb->save, index);

    if (saved) {
        memcpy(value, saved, sizeof(*value));
        return 0;
    }
    switch (index) {
    case MSR_TSC:
        *value = read_tsc(vp, vtl);
        return 0;
    case MSR_PAT:
        *value = vp->vtl[vtl].pat;
        return 0;
    case MSR_TSC_AUX:
        *value = vtl == vp->active_vtl ? vp->partition->ops->read_msr(MSR_TSC_AUX)
                                       : vp->vtl[vtl].tsc_aux;
        return 0;
    case MSR_MICROCODE:
        *value = 0x01000065;
        return 0;
    case MSR_HWCR:
        *value = HWCR_TSC_FREQ_SEL; // the TSC counts at P0's frequency
        return 0;
    case MSR_VM_CR:
        *value = SVM_VM_CR_SVMDIS;
        return 0;
    default:
        if (is_mtrr(index)) {
            *value = vp->partition->ops->read_msr(index);
            return 0;
        }
        *value = 0;
        return reads_as_zero(index) ? 0 : -ENOENT;
    }
}

static int vtl0_write(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t value) {
    struct svm_vmcb *vmcb = vp->vtl[vtl].vmcb;
    void *saved = vmcb_register(&vmcb->save, index);

    if (saved) {
        memcpy(saved, &value, sizeof(value));
        return 0;
    }
    switch (index) {
    case MSR_TSC:
        vmcb->control.tsc_offset = value - vp->partition->ops->read_tsc();
        return 0;
    case MSR_PAT:
        if (!is_pat_valid(value)) {
            return -EPERM;
        }
        vp->vtl[vtl].pat = value;
        return 0;
    case MSR_TSC_AUX:
        if (value > UINT32_MAX) {
            return -EPERM;
        }
        vp->vtl[vtl].tsc_aux = value;
        if (vtl == vp->active_vtl) {
            vp->partition->ops->write_msr(MSR_TSC_AUX, value);
        }
        return 0;
    case MSR_MICROCODE:
    case MSR_HWCR:
        return 0;
    case MSR_MTRR_CAP:
        return -EPERM;
    default:
        if (is_mtrr(index)) {
            vp->partition->ops->write_msr(index, value);
            return 0;
        }
        return reads_as_zero(index) ? 0 : -ENOENT;
    }
}

// ---- both
// ----------------------------------------------------------------------------------------

int vsm_read_msr(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t *value) {
    int rc;

    *value = 0;
    if (index == MSR_EFER) {
        *value = vp->vtl[vtl].vmcb->save.efer & ~(uint64_t)SVM_EFER_SVME;
        return 0;
    }
    rc = vsm_apic_read_msr(vp, vtl, index, value);
    if (rc != -ENOENT) {
        return rc;
    }
    if (index >= HV_MSR_FIRST && index <= HV_MSR_LAST) {
        return synthetic_read(vp, vtl, index, value);
    }
    if (vtl == VSM_GUEST_VTL) {
        return vtl0_read(vp, vtl, index, value);
    }
    switch (index) {
    case MSR_VM_CR:
        *value = SVM_VM_CR_SVMDIS;
        return 0;
    case MSR_PAT: // only by hypercall: VTL2's instructions reach the processor's
        *value = vp->vtl[vtl].pat;
        return 0;
    default:
        return -ENOENT;
    }
}

int vsm_write_msr(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t value) {
    int rc;

    if (index == MSR_EFER) {
        return vsm_set_efer(vp->vtl[vtl].vmcb, value) ? 0 : -EPERM;
    }
    rc = vsm_apic_write_msr(vp, vtl, index, value);
    if (rc != -ENOENT) {
        return rc;
    }
    if (index >= HV_MSR_FIRST && index <= HV_MSR_LAST) {
        return synthetic_write(vp, vtl, index, value);
    }
    if (vtl == VSM_GUEST_VTL) {
        return vtl0_write(vp, vtl, index, value);
    }
    if (index == MSR_PAT && is_pat_valid(value)) {
        vp->vtl[vtl].pat = value;
        return 0;
    }
    return -ENOENT;
}
