// SPDX-License-Identifier: MIT
//
// Registers that configure VSM, and the partition's read-only ones (TLFS, "Virtual Secure Mode",
// "Virtual Processor Registers").
#include "tools/minihost/vsm/internal.h"

/// VsmCapabilities: VTL2 gets intercepts through its VP assist page.
#define VSM_CAPABILITIES                                                                           \
    (HV_VSM_CAP_DR6_SHARED | HV_VSM_CAP_INTERCEPT_PAGE | HV_VSM_CAP_RETURN_ACTION)

static uint64_t vp_status(const struct vsm_vp *vp) {
    uint64_t enabled = 0;

    for (unsigned vtl = 0; vtl < VSM_VTL_COUNT; vtl++) {
        if (vp->vtl[vtl].enabled) {
            enabled |= UINT64_C(1) << (HV_VP_STATUS_ENABLED_SHIFT + vtl);
        }
    }
    return enabled | vp->active_vtl;
}

uint16_t vsm_config_get(struct vsm_vp *vp, unsigned caller_vtl, unsigned vtl, uint32_t name,
                        uint64_t *low) {
    if (vtl != caller_vtl) {
        return HV_STATUS_ACCESS_DENIED;
    }
    switch (name) {
    case HV_REGISTER_VSM_CODE_PAGE_OFFSETS:
        *low = VSM_CODE_OFFSET_CALL | VSM_CODE_OFFSET_RETURN << HV_CODE_OFFSET_RETURN_SHIFT;
        return HV_STATUS_SUCCESS;
    case HV_REGISTER_VSM_VP_STATUS:
        *low = vp_status(vp);
        return HV_STATUS_SUCCESS;
    case HV_REGISTER_VSM_PARTITION_STATUS: // [15:0] enabled VTLs, [19:16] highest possible
        *low = 5 | VSM_PARAVISOR << 16;
        return HV_STATUS_SUCCESS;
    default:
        break;
    }
    if (caller_vtl != VSM_PARAVISOR) {
        return HV_STATUS_ACCESS_DENIED;
    }
    switch (name) {
    case HV_REGISTER_VSM_CAPABILITIES:
        *low = VSM_CAPABILITIES;
        return HV_STATUS_SUCCESS;
    case HV_REGISTER_VSM_PARTITION_CONFIG:
        *low = vp->partition->partition_config;
        return HV_STATUS_SUCCESS;
    case HV_REGISTER_REG_PAGE:
        *low = vp->reg_page_msr;
        return HV_STATUS_SUCCESS;
    default:
        return HV_STATUS_INVALID_PARAMETER;
    }
}

uint16_t vsm_config_set(struct vsm_vp *vp, unsigned caller_vtl, unsigned vtl, uint32_t name,
                        uint64_t low) {
    const uint64_t known = HV_VSM_CONFIG_PROTECTION |
                           UINT64_C(0xf) << HV_VSM_CONFIG_DEFAULT_MASK_SHIFT |
                           HV_VSM_CONFIG_ZERO_ON_RESET | HV_VSM_CONFIG_INTERCEPT_STARTUP |
                           HV_VSM_CONFIG_INTERCEPT_CPUID | HV_VSM_CONFIG_INTERCEPT_EXCEPTION |
                           HV_VSM_CONFIG_INTERCEPT_PAGE;

    if (vtl != caller_vtl || caller_vtl != VSM_PARAVISOR) {
        return HV_STATUS_ACCESS_DENIED;
    }
    switch (name) {
    case HV_REGISTER_VSM_PARTITION_CONFIG:
        // Protection cannot be given up again, and defaults other than "all" would take memory from
        // a VTL0 that already runs.
        if ((low & ~known) ||
            (low >> HV_VSM_CONFIG_DEFAULT_MASK_SHIFT & 0xf) != HV_MAP_GPA_PERMISSION_MASK ||
            (vp->partition->partition_config & ~low & HV_VSM_CONFIG_PROTECTION)) {
            return HV_STATUS_INVALID_REGISTER_VALUE;
        }
        vp->partition->partition_config = low;
        return HV_STATUS_SUCCESS;
    case HV_REGISTER_REG_PAGE:
        if (vsm_overlay_set(vp, vtl, VSM_OVERLAY_REGISTER_PAGE, low & HV_MSR_PAGE_ENABLE,
                            low & HV_MSR_PAGE_GPA_MASK)) {
            return HV_STATUS_INVALID_REGISTER_VALUE;
        }
        vp->reg_page_msr = low & (HV_MSR_PAGE_GPA_MASK | HV_MSR_PAGE_ENABLE);
        return HV_STATUS_SUCCESS;
    default:
        return HV_STATUS_INVALID_PARAMETER;
    }
}

bool vsm_is_config(uint32_t name) {
    return (name & 0xffff0000u) == 0x000d0000u || name == HV_REGISTER_REG_PAGE;
}

/// 128 bits: what the CPUID leaf of the same meaning says.
bool vsm_cpuid_register_get(struct vsm_vp *vp, unsigned vtl, uint32_t name,
                            struct hv_register_value *value) {
    uint32_t out[4], leaf;

    if (name == HV_REGISTER_HYPERVISOR_VERSION) {
        leaf = HV_CPUID_VERSION;
    } else if (name >= HV_REGISTER_PRIVILEGES_AND_FEATURES && name <= HV_REGISTER_HARDWARE_INFO) {
        leaf = HV_CPUID_FEATURES + (name - HV_REGISTER_PRIVILEGES_AND_FEATURES);
    } else {
        return false;
    }
    vsm_cpuid(vp, vtl, leaf, 0, out);
    value->low = out[0] | (uint64_t)out[1] << 32;
    value->high = out[2] | (uint64_t)out[3] << 32;
    return true;
}
