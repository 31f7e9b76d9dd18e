// SPDX-License-Identifier: MIT
//
// Virtual processor registers by name: GetVpRegisters, SetVpRegisters, initial contexts (TLFS,
// "Virtual Processor Registers"; "VTL Private State" and "VTL Shared State" for who owns what).
//
// A VTL may see its own state and that of lower VTLs; registers that configure VSM belong to the
// VTL they are about.
#include "tools/minihost/vsm/internal.h"

#include "tools/minihost/vsm/vtl0_apic.h"

#include <errno.h>
#include <string.h>

#define MSR_APIC_BASE   0x1bu
#define MSR_TSC         0x10u
#define MSR_PAT         0x277u
#define MSR_TSC_AUX     0xc0000103u
#define MSR_MTRR_CAP    0xfeu
#define MSR_MTRR_TYPE   0x2ffu
#define MSR_MTRR_BASE0  0x200u
#define MSR_MTRR_FIX64K 0x250u
#define MSR_MTRR_FIX16K 0x258u
#define MSR_MTRR_FIX4K  0x268u

#define CR8_MAX       15u
#define EFER_LME      (UINT64_C(1) << 8)
#define EFER_LMA      (UINT64_C(1) << 10)
#define CR0_PG        (UINT64_C(1) << 31)
#define RFLAGS_VALID  UINT64_C(0x3f7fd7)
#define RFLAGS_ALWAYS UINT64_C(2)

#define SAVE(field) offsetof(struct svm_save, field)

/// 64-bit registers that are nothing but a field of the save area.
static const struct {
    uint32_t name;
    uint32_t off;
} plain[] = {
    {HV_REGISTER_RIP, SAVE(rip)},
    {HV_REGISTER_CR2, SAVE(cr2)},
    {HV_REGISTER_CR3, SAVE(cr3)},
    {HV_REGISTER_CR4, SAVE(cr4)},
    {HV_REGISTER_DR6, SAVE(dr6)},
    {HV_REGISTER_DR7, SAVE(dr7)},
    {HV_REGISTER_KERNEL_GS_BASE, SAVE(kernel_gs_base)},
    {HV_REGISTER_SYSENTER_CS, SAVE(sysenter_cs)},
    {HV_REGISTER_SYSENTER_EIP, SAVE(sysenter_eip)},
    {HV_REGISTER_SYSENTER_ESP, SAVE(sysenter_esp)},
    {HV_REGISTER_STAR, SAVE(star)},
    {HV_REGISTER_LSTAR, SAVE(lstar)},
    {HV_REGISTER_CSTAR, SAVE(cstar)},
    {HV_REGISTER_SFMASK, SAVE(sfmask)},
};

/// In the order of the names from HV_REGISTER_ES.
static const uint32_t segments[] = {SAVE(es), SAVE(cs), SAVE(ss),   SAVE(ds),
                                    SAVE(fs), SAVE(gs), SAVE(ldtr), SAVE(tr)};

/// Registers that are MSRs of the same VTL; count names and MSRs in a row, stride MSRs apart.
static const struct {
    uint32_t name;
    uint32_t msr;
    uint16_t count;
    uint16_t stride;
} as_msr[] = {
    {HV_REGISTER_TSC, MSR_TSC, 1, 1},
    {HV_REGISTER_PAT, MSR_PAT, 1, 1},
    {HV_REGISTER_TSC_AUX, MSR_TSC_AUX, 1, 1},
    {HV_REGISTER_MTRR_CAP, MSR_MTRR_CAP, 1, 1},
    {HV_REGISTER_MTRR_DEF_TYPE, MSR_MTRR_TYPE, 1, 1},
    {HV_REGISTER_MTRR_BASE0, MSR_MTRR_BASE0, 8, 2},
    {HV_REGISTER_MTRR_MASK0, MSR_MTRR_BASE0 + 1, 8, 2},
    {HV_REGISTER_MTRR_FIX64K, MSR_MTRR_FIX64K, 1, 1},
    {HV_REGISTER_MTRR_FIX16K, MSR_MTRR_FIX16K, 2, 1},
    {HV_REGISTER_MTRR_FIX4K, MSR_MTRR_FIX4K, 8, 1},
    {HV_REGISTER_CRASH_P0, HV_MSR_CRASH_P0, 6, 1},
    {HV_REGISTER_VP_RUNTIME, HV_MSR_VP_RUNTIME, 1, 1},
    {HV_REGISTER_GUEST_OS_ID, HV_MSR_GUEST_OS_ID, 1, 1},
    {HV_REGISTER_HYPERCALL, HV_MSR_HYPERCALL, 1, 1},
    {HV_REGISTER_VP_INDEX, HV_MSR_VP_INDEX, 1, 1},
    {HV_REGISTER_TIME_REF_COUNT, HV_MSR_TIME_REF_COUNT, 1, 1},
    {HV_REGISTER_VP_ASSIST_PAGE, HV_MSR_VP_ASSIST_PAGE, 1, 1},
    {HV_REGISTER_REFERENCE_TSC, HV_MSR_REFERENCE_TSC, 1, 1},
    {HV_REGISTER_SINT0, HV_MSR_SINT0, 16, 1},
    {HV_REGISTER_SCONTROL, HV_MSR_SCONTROL, 5, 1},
    {HV_REGISTER_STIMER0_CONFIG, HV_MSR_STIMER0_CONFIG, 8, 1},
};

void vsm_hv_segment(const struct svm_segment *in, struct hv_segment_register *out) {
    *out = (struct hv_segment_register){
        .base = in->base,
        .limit = in->limit,
        .selector = in->selector,
        .attributes = (uint16_t)((in->attributes & 0xff) | (in->attributes & 0xf00) << 4),
    };
}

void vsm_svm_segment(const struct hv_segment_register *in, struct svm_segment *out) {
    *out = (struct svm_segment){
        .base = in->base,
        .limit = in->limit,
        .selector = in->selector,
        .attributes = (uint16_t)((in->attributes & 0xff) | (in->attributes >> 4 & 0xf00)),
    };
}

static struct svm_segment *segment_of(struct svm_save *save, uint32_t name) {
    return (struct svm_segment *)((uint8_t *)save + segments[name - HV_REGISTER_ES]);
}

static bool find_plain(uint32_t name, uint32_t *off) {
    for (size_t i = 0; i < ARRAY_COUNT(plain); i++) {
        if (plain[i].name == name) {
            *off = plain[i].off;
            return true;
        }
    }
    return false;
}

static bool find_msr(uint32_t name, uint32_t *msr) {
    for (size_t i = 0; i < ARRAY_COUNT(as_msr); i++) {
        if (name >= as_msr[i].name && name - as_msr[i].name < as_msr[i].count) {
            *msr = as_msr[i].msr + (name - as_msr[i].name) * as_msr[i].stride;
            return true;
        }
    }
    return false;
}

static bool is_gpr(uint32_t name) {
    return name >= HV_REGISTER_RAX && name <= HV_REGISTER_R15;
}

// ---- processor state ---------------------------------------------------------------------------

/// HV_STATUS_*, or -ENOENT: none of these.
static int get_processor(struct vsm_vp *vp, unsigned vtl, uint32_t name,
                         struct hv_register_value *value) {
    struct svm_vmcb *vmcb = vp->vtl[vtl].vmcb;
    const struct svm_segment *table;
    uint32_t off;

    if (find_plain(name, &off)) {
        memcpy(&value->low, (const uint8_t *)&vmcb->save + off, sizeof(value->low));
        return HV_STATUS_SUCCESS;
    }
    if (is_gpr(name)) {
        value->low = name == HV_REGISTER_RSP ? vsm_rsp(vp, vtl) : vp->gpr[name - HV_REGISTER_RAX];
        return HV_STATUS_SUCCESS;
    }
    if (name >= HV_REGISTER_ES && name <= HV_REGISTER_TR) {
        vsm_hv_segment(segment_of(&vmcb->save, name), &value->segment);
        return HV_STATUS_SUCCESS;
    }
    switch (name) {
    case HV_REGISTER_RFLAGS:
        value->low = vmcb->save.rflags;
        return HV_STATUS_SUCCESS;
    case HV_REGISTER_CR0:
        value->low = vmcb->save.cr0;
        return HV_STATUS_SUCCESS;
    case HV_REGISTER_CR8:
        value->low = vtl == VSM_GUEST_VTL ? hv_lapic_cr8(&vp->vtl[vtl].lapic) : 0;
        return HV_STATUS_SUCCESS;
    case HV_REGISTER_EFER:
        value->low = vmcb->save.efer & ~(uint64_t)SVM_EFER_SVME;
        return HV_STATUS_SUCCESS;
    case HV_REGISTER_IDTR:
    case HV_REGISTER_GDTR:
        table = name == HV_REGISTER_IDTR ? &vmcb->save.idtr : &vmcb->save.gdtr;
        value->table.base = table->base;
        value->table.limit = (uint16_t)table->limit;
        return HV_STATUS_SUCCESS;
    case HV_REGISTER_XFEM: // shared, and never asked for by minihost itself
        value->low = 1;
        return HV_STATUS_SUCCESS;
    case HV_REGISTER_INITIAL_APIC_ID:
        value->low = vtl == VSM_PARAVISOR ? vp->physical_apic_id : vp->apic_id;
        return HV_STATUS_SUCCESS;
    default:
        return -ENOENT;
    }
}

/// EFER as VTL2 sets it for a VTL that does not run: LMA too, as long mode wants it.
static bool set_efer_register(struct svm_vmcb *vmcb, uint64_t value) {
    const uint64_t known = UINT64_C(0x4d01) | SVM_EFER_SVME;

    if (value & ~known) {
        return false;
    }
    vmcb->save.efer = value | SVM_EFER_SVME;
    return true;
}

static uint16_t set_control_register(struct vsm_vp *vp, unsigned vtl, uint32_t name, uint64_t low) {
    struct svm_vmcb *vmcb = vp->vtl[vtl].vmcb;

    switch (name) {
    case HV_REGISTER_RFLAGS:
        vmcb->save.rflags = (low & RFLAGS_VALID) | RFLAGS_ALWAYS;
        return HV_STATUS_SUCCESS;
    case HV_REGISTER_CR0:
        if (low > UINT32_MAX || ((low & CR0_PG) && !(low & 1))) {
            return HV_STATUS_INVALID_REGISTER_VALUE;
        }
        vmcb->save.cr0 = low | 0x10; // ET
        return HV_STATUS_SUCCESS;
    case HV_REGISTER_CR8:
        if (low > CR8_MAX) {
            return HV_STATUS_INVALID_REGISTER_VALUE;
        }
        if (vtl == VSM_GUEST_VTL) {
            hv_lapic_set_cr8(&vp->vtl[vtl].lapic, (uint8_t)low);
            vmcb->control.int_ctl = (vmcb->control.int_ctl & ~SVM_INT_V_TPR_MASK) | low;
        }
        return HV_STATUS_SUCCESS;
    case HV_REGISTER_EFER:
        return set_efer_register(vmcb, low) ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_REGISTER_VALUE;
    default:
        return HV_STATUS_SUCCESS;
    }
}

static int set_processor(struct vsm_vp *vp, unsigned vtl, uint32_t name,
                         const struct hv_register_value *value) {
    struct svm_vmcb *vmcb = vp->vtl[vtl].vmcb;
    struct svm_segment *table;
    uint32_t off;

    if (find_plain(name, &off)) {
        uint64_t low = value->low;

        if ((name == HV_REGISTER_DR6 || name == HV_REGISTER_DR7) && low > UINT32_MAX) {
            return HV_STATUS_INVALID_REGISTER_VALUE;
        }
        memcpy((uint8_t *)&vmcb->save + off, &low, sizeof(low));
        if (name == HV_REGISTER_RIP) {
            vmcb->control.interrupt_shadow = 0;
        }
        return HV_STATUS_SUCCESS;
    }
    if (is_gpr(name)) {
        // Shared: another VTL's would be the caller's own.
        if (name == HV_REGISTER_RSP) {
            vsm_set_rsp(vp, vtl, value->low);
        } else if (vtl == vp->active_vtl) {
            vp->gpr[name - HV_REGISTER_RAX] = value->low;
        } else {
            return HV_STATUS_INVALID_PARAMETER;
        }
        return HV_STATUS_SUCCESS;
    }
    if (name >= HV_REGISTER_ES && name <= HV_REGISTER_TR) {
        vsm_svm_segment(&value->segment, segment_of(&vmcb->save, name));
        return HV_STATUS_SUCCESS;
    }
    switch (name) {
    case HV_REGISTER_RFLAGS:
    case HV_REGISTER_CR0:
    case HV_REGISTER_CR8:
    case HV_REGISTER_EFER:
    case HV_REGISTER_XFEM:
        return set_control_register(vp, vtl, name, value->low);
    case HV_REGISTER_IDTR:
    case HV_REGISTER_GDTR:
        table = name == HV_REGISTER_IDTR ? &vmcb->save.idtr : &vmcb->save.gdtr;
        table->base = value->table.base;
        table->limit = value->table.limit;
        return HV_STATUS_SUCCESS;
    default:
        return -ENOENT;
    }
}

/// VTL0's APIC starts over from its power-on state, at this APIC_BASE.
static uint16_t set_apic_base(struct vsm_vp *vp, uint64_t low) {
    uint64_t now;

    vsm_apic_reset_vp(vp);
    if (vsm_apic_read_msr(vp, VSM_GUEST_VTL, MSR_APIC_BASE, &now)) {
        return HV_STATUS_INVALID_REGISTER_VALUE;
    }
    // BSP is a fact about the VP.
    low = (low & ~UINT64_C(0x100)) | (now & 0x100);
    if (low != now && vsm_apic_write_msr(vp, VSM_GUEST_VTL, MSR_APIC_BASE, low)) {
        return HV_STATUS_INVALID_REGISTER_VALUE;
    }
    return HV_STATUS_SUCCESS;
}

// ---- the two entries ---------------------------------------------------------------------------

uint16_t vsm_register_get(struct vsm_vp *vp, unsigned caller_vtl, unsigned vtl, uint32_t name,
                          struct hv_register_value *value) {
    uint64_t msr_value;
    uint32_t msr;
    int rc;

    *value = (struct hv_register_value){0};
    if (vtl > caller_vtl) {
        return HV_STATUS_ACCESS_DENIED;
    }
    if (vsm_is_config(name)) {
        uint64_t low = 0;
        uint16_t status = vsm_config_get(vp, caller_vtl, vtl, name, &low);

        value->low = low;
        return status;
    }
    if (vsm_cpuid_register_get(vp, vtl, name, value)) {
        return HV_STATUS_SUCCESS;
    }
    rc = get_processor(vp, vtl, name, value);
    if (rc == -ENOENT && vtl == VSM_GUEST_VTL) {
        rc = vsm_guest_state_get(vp, name, value);
        if (rc == -ENOENT) {
            rc = vsm_apic_register_get(vp, name, value);
        }
    }
    if (rc != -ENOENT) {
        return (uint16_t)rc;
    }
    if (name == HV_REGISTER_APIC_BASE && vtl == VSM_GUEST_VTL) {
        msr = MSR_APIC_BASE;
    } else if (!find_msr(name, &msr)) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    if (vsm_read_msr(vp, vtl, msr, &msr_value)) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    value->low = msr_value;
    return HV_STATUS_SUCCESS;
}

uint16_t vsm_register_set(struct vsm_vp *vp, unsigned caller_vtl, unsigned vtl, uint32_t name,
                          const struct hv_register_value *value) {
    uint32_t msr;
    int rc;

    if (vtl > caller_vtl) {
        return HV_STATUS_ACCESS_DENIED;
    }
    if (vsm_is_config(name)) {
        return vsm_config_set(vp, caller_vtl, vtl, name, value->low);
    }
    // A VTL's own processor state is changed by its instructions, not by hypercalls.
    if (vtl < caller_vtl) {
        rc = set_processor(vp, vtl, name, value);
        if (rc == -ENOENT && vtl == VSM_GUEST_VTL) {
            rc = vsm_guest_state_set(vp, name, value);
            if (rc == -ENOENT) {
                rc = vsm_apic_register_set(vp, name, value);
            }
        }
        if (rc != -ENOENT) {
            return (uint16_t)rc;
        }
        if (name == HV_REGISTER_APIC_BASE && vtl == VSM_GUEST_VTL) {
            return set_apic_base(vp, value->low);
        }
        if (name == HV_REGISTER_HYPERCALL) { // locked until a reset, which is what comes from above
            vp->partition->vps[0].vtl[vtl].hypercall_msr &= ~HV_HYPERCALL_MSR_LOCKED;
        }
    }
    if (!find_msr(name, &msr)) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    return vsm_write_msr(vp, vtl, msr, value->low) ? HV_STATUS_INVALID_REGISTER_VALUE
                                                   : HV_STATUS_SUCCESS;
}

void vsm_set_context(struct vsm_vp *vp, unsigned vtl, const struct hv_initial_vp_context *c) {
    struct svm_vmcb *vmcb = vp->vtl[vtl].vmcb;
    struct svm_save *s = &vmcb->save;

    s->rip = c->rip;
    s->rflags = (c->rflags & RFLAGS_VALID) | RFLAGS_ALWAYS;
    vsm_set_rsp(vp, vtl, c->rsp);
    vsm_svm_segment(&c->cs, &s->cs);
    vsm_svm_segment(&c->ds, &s->ds);
    vsm_svm_segment(&c->es, &s->es);
    vsm_svm_segment(&c->fs, &s->fs);
    vsm_svm_segment(&c->gs, &s->gs);
    vsm_svm_segment(&c->ss, &s->ss);
    vsm_svm_segment(&c->tr, &s->tr);
    vsm_svm_segment(&c->ldtr, &s->ldtr);
    s->idtr.base = c->idtr.base;
    s->idtr.limit = c->idtr.limit;
    s->gdtr.base = c->gdtr.base;
    s->gdtr.limit = c->gdtr.limit;
    s->cr0 = (uint32_t)c->cr0 | 0x10;
    s->cr3 = c->cr3;
    s->cr4 = c->cr4;
    s->efer = (c->efer & UINT64_C(0x4d01)) | SVM_EFER_SVME;
    if ((s->cr0 & CR0_PG) && (s->efer & EFER_LME)) {
        s->efer |= EFER_LMA;
    }
    vp->vtl[vtl].pat = c->pat;
}
