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
#define MSR_APIC_BASE   0x1bu
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

#define APIC_BASE_BSP (UINT64_C(1) << 8)

#define EFER_SCE      (UINT64_C(1) << 0)
#define EFER_LME      (UINT64_C(1) << 8)
#define EFER_LMA      (UINT64_C(1) << 10)
#define EFER_NXE      (UINT64_C(1) << 11)
#define EFER_FFXSR    (UINT64_C(1) << 14)
#define EFER_SETTABLE (EFER_SCE | EFER_LME | EFER_NXE | EFER_FFXSR)
#define CR0_PG        (UINT64_C(1) << 31)

#define HWCR_TSC_FREQ_SEL (UINT64_C(1) << 24)

// ---- EFER, PAT ---------------------------------------------------------------------------------

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

uint64_t vsm_read_tsc(const struct vsm_vp *vp, unsigned vtl) {
    return vp->partition->ops->read_tsc() + vp->vtl[vtl].vmcb->control.tsc_offset;
}

// ---- architectural MSRs of VTL0 ----------------------------------------------------------------

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
        *value = vsm_read_tsc(vp, vtl);
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

// ---- VTL2 --------------------------------------------------------------------------------------

/// The physical APIC is VTL2's, but not its mode and place: minihost sends IPIs by its memory. VP 0
/// is the bootstrap processor, on whatever CPU it lives.
static uint64_t physical_apic_base(const struct vsm_vp *vp) {
    uint64_t value = vp->partition->ops->read_msr(MSR_APIC_BASE) & ~APIC_BASE_BSP;

    return value | (vp->index == 0 ? APIC_BASE_BSP : 0);
}

static int vtl2_read(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t *value) {
    switch (index) {
    case MSR_APIC_BASE:
        *value = physical_apic_base(vp);
        return 0;
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

static int vtl2_write(struct vsm_vp *vp, unsigned vtl, uint32_t index, uint64_t value) {
    switch (index) {
    case MSR_APIC_BASE:
        return value == physical_apic_base(vp) ? 0 : -EPERM;
    case MSR_PAT:
        if (!is_pat_valid(value)) {
            return -ENOENT;
        }
        vp->vtl[vtl].pat = value;
        return 0;
    default:
        return -ENOENT;
    }
}

// ---- both --------------------------------------------------------------------------------------

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
        return vsm_synthetic_read(vp, vtl, index, value);
    }
    return vtl == VSM_GUEST_VTL ? vtl0_read(vp, vtl, index, value)
                                : vtl2_read(vp, vtl, index, value);
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
        return vsm_synthetic_write(vp, vtl, index, value);
    }
    return vtl == VSM_GUEST_VTL ? vtl0_write(vp, vtl, index, value)
                                : vtl2_write(vp, vtl, index, value);
}
