// SPDX-License-Identifier: MIT
//
// CPUID as each VTL sees it: the processor's answer less what minihost does not virtualise, and
// Hyper-V's own leaves (TLFS, "Feature and Interface Discovery"; AMD APM vol. 3, appendix E).
#include "tools/minihost/vsm/internal.h"

enum { EAX, EBX, ECX, EDX };

#define BIT(n) (1u << (n))

// Leaf 1 ECX.
#define F1_MONITOR           BIT(3)
#define F1_FMA               BIT(12)
#define F1_X2APIC            BIT(21)
#define F1_TSC_DEADLINE      BIT(24)
#define F1_XSAVE             BIT(26)
#define F1_OSXSAVE           BIT(27)
#define F1_AVX               BIT(28)
#define F1_F16C              BIT(29)
#define F1_HYPERVISOR        BIT(31)
#define F1_EBX_APIC_ID_SHIFT 24u
// Leaf 7.
#define F7_EBX_AVX2 BIT(5)
#define F7_EBX_MPX  BIT(14)
#define F7_EBX_AVX512                                                                              \
    (BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31))
#define F7_ECX_PKU  (BIT(3) | BIT(4))
#define F7_ECX_AVX  (BIT(9) | BIT(10))
#define F7_ECX_LA57 BIT(16)
#define F7_ECX_PKS  BIT(31)
// Leaf 0xd: MPX's two components and PKRU.
#define FD_HIDDEN (BIT(3) | BIT(4) | BIT(9))

#define LEAF_TOPOLOGY      0x0000000bu
#define LEAF_XSAVE         0x0000000du
#define LEAF_TOPOLOGY_V2   0x0000001fu
#define LEAF_EXT_FEATURES  0x80000001u
#define LEAF_POWER         0x80000007u
#define LEAF_SVM           0x8000000au
#define LEAF_TOPOLOGY_AMD  0x8000001eu
#define LEAF_ENCRYPTED     0x8000001fu
#define F_8001_ECX_SVM     BIT(2)
#define F_8001_ECX_AVX_AMD (BIT(11) | BIT(16)) ///< XOP, FMA4
#define F_8007_EDX_TSC     BIT(8)
#define CR4_OSXSAVE        (UINT64_C(1) << 18)

/// Hyper-V leaves are answered up to here; above are only features that minihost does not have.
#define HV_HIGHEST_LEAF HV_CPUID_HARDWARE
#define HV_RANGE_LAST   0x400000ffu
#define HV_BUILD        20348u
#define HV_VERSION      (10u << 16) ///< major in [31:16], minor in [15:0]

static void hv_features(unsigned vtl, uint32_t out[4]) {
    const uint32_t common = HV_FEATURE_TIME_REF_COUNT | HV_FEATURE_SYNIC | HV_FEATURE_HYPERCALL |
                            HV_FEATURE_VP_INDEX | HV_FEATURE_FREQUENCY_MSRS |
                            HV_FEATURE_INVARIANT_TSC;

    out[EAX] = common;
    out[EDX] = HV_MISC_FREQUENCY_MSRS | HV_MISC_CRASH_MSRS;
    if (vtl == VSM_PARAVISOR) {
        out[EBX] = HV_PRIVILEGE_ACCESS_VSM | HV_PRIVILEGE_VP_REGISTERS;
    } else {
        out[EAX] |= HV_FEATURE_STIMER | HV_FEATURE_REFERENCE_TSC | HV_FEATURE_APIC_MSRS;
        out[EBX] = HV_PRIVILEGE_POST_MESSAGES | HV_PRIVILEGE_SIGNAL_EVENTS;
        out[EDX] |= HV_MISC_STIMER_DIRECT;
    }
}

static void hv_leaf(struct vsm_vp *vp, unsigned vtl, uint32_t leaf, uint32_t out[4]) {
    out[EAX] = out[EBX] = out[ECX] = out[EDX] = 0;
    switch (leaf) {
    case HV_CPUID_VENDOR:
        out[EAX] = HV_HIGHEST_LEAF;
        out[EBX] = HV_CPUID_VENDOR_EBX;
        out[ECX] = HV_CPUID_VENDOR_ECX;
        out[EDX] = HV_CPUID_VENDOR_EDX;
        break;
    case HV_CPUID_INTERFACE:
        out[EAX] = HV_CPUID_INTERFACE_EAX;
        break;
    case HV_CPUID_VERSION:
        out[EAX] = HV_BUILD;
        out[EBX] = HV_VERSION;
        break;
    case HV_CPUID_FEATURES:
        hv_features(vtl, out);
        break;
    case HV_CPUID_ENLIGHTENMENTS:
        // No auto-EOI: VTL2 has the physical APIC, which knows none.
        out[EAX] = HV_HINT_RELAXED_TIMING | HV_HINT_NO_AUTO_EOI;
        if (vtl == VSM_GUEST_VTL) {
            out[EAX] |= HV_HINT_X2APIC;
        }
        out[EBX] = UINT32_MAX; // never spin into a hypercall
        break;
    case HV_CPUID_LIMITS:
        out[EAX] = vp->partition->vp_count;
        out[EBX] = vp->partition->vp_count;
        break;
    default:
        break;
    }
}

static void hide_for_vtl2(uint32_t leaf, uint32_t out[4]) {
    switch (leaf) {
    case 1:
        // A kernel in VTL mode refuses XSAVE, and the AVX family needs it. For x2APIC mode: msr.c.
        out[ECX] &= ~(F1_XSAVE | F1_OSXSAVE | F1_FMA | F1_AVX | F1_F16C | F1_MONITOR | F1_X2APIC);
        out[ECX] |= F1_HYPERVISOR;
        break;
    case 7:
        out[EBX] &= ~(F7_EBX_AVX2 | F7_EBX_AVX512 | F7_EBX_MPX);
        out[ECX] &= ~(F7_ECX_PKU | F7_ECX_AVX | F7_ECX_PKS);
        break;
    case LEAF_XSAVE:
        out[EAX] = out[EBX] = out[ECX] = out[EDX] = 0;
        break;
    case LEAF_EXT_FEATURES:
        out[ECX] &= ~(F_8001_ECX_SVM | F_8001_ECX_AVX_AMD);
        break;
    default:
        break;
    }
}

/// VTL0's APIC IDs are not the processor's.
static void number_for_vtl0(const struct vsm_vp *vp, uint32_t leaf, uint32_t out[4]) {
    switch (leaf) {
    case 1:
        out[EBX] &= BIT(F1_EBX_APIC_ID_SHIFT) - 1;
        out[EBX] |= vp->apic_id << F1_EBX_APIC_ID_SHIFT;
        break;
    case LEAF_TOPOLOGY:
    case LEAF_TOPOLOGY_V2:
        out[EDX] = vp->apic_id;
        break;
    case LEAF_TOPOLOGY_AMD:
        out[EAX] = vp->apic_id;
        break;
    default:
        break;
    }
}

static void hide_for_vtl0(const struct svm_save *save, uint32_t leaf, uint32_t subleaf,
                          uint32_t out[4]) {
    switch (leaf) {
    case 1:
        out[ECX] &= ~(F1_MONITOR | F1_TSC_DEADLINE | F1_OSXSAVE);
        out[ECX] |= F1_HYPERVISOR | F1_X2APIC;
        if (save->cr4 & CR4_OSXSAVE) {
            out[ECX] |= F1_OSXSAVE; // the processor's answer is about minihost's CR4
        }
        break;
    case 7:
        if (subleaf == 0) {
            out[EBX] &= ~F7_EBX_MPX;
            out[ECX] &= ~(F7_ECX_PKU | F7_ECX_LA57 | F7_ECX_PKS);
        }
        break;
    case LEAF_XSAVE:
        if (subleaf == 0) {
            out[EAX] &= ~FD_HIDDEN;
        } else if (subleaf < 32 && (FD_HIDDEN & BIT(subleaf))) {
            out[EAX] = out[EBX] = out[ECX] = out[EDX] = 0;
        }
        break;
    case LEAF_EXT_FEATURES:
        out[ECX] &= ~F_8001_ECX_SVM;
        break;
    default:
        break;
    }
}

void vsm_cpuid(struct vsm_vp *vp, unsigned vtl, uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
    if (leaf >= HV_CPUID_VENDOR && leaf < 0x50000000u) {
        // Other hypervisors' signatures are looked for in steps of 0x100: nobody else is here.
        hv_leaf(vp, vtl, leaf <= HV_RANGE_LAST ? leaf : 0, out);
        return;
    }
    vp->partition->ops->cpuid(leaf, subleaf, out);
    if (leaf == LEAF_SVM || leaf == LEAF_ENCRYPTED) {
        out[EAX] = out[EBX] = out[ECX] = out[EDX] = 0;
    }
    if (leaf == LEAF_POWER && vp->partition->invariant_tsc[vtl]) {
        out[EDX] |= F_8007_EDX_TSC;
    }
    if (vtl == VSM_PARAVISOR) {
        hide_for_vtl2(leaf, out);
    } else {
        hide_for_vtl0(&vp->vtl[vtl].vmcb->save, leaf, subleaf, out);
        if (vp->apic_id != vp->physical_apic_id) {
            number_for_vtl0(vp, leaf, out);
        }
    }
}
