// SPDX-License-Identifier: MIT
//
// VTL0's registers as a whole: power-on state, what the VMM sets at start and shows in a crash
// report. General-purpose registers, CR2 and FPU are shared between the VTLs and stand in the run
// page; the rest is VTL0's own and the hypervisor's to keep (TLFS, "Virtual Secure Mode", "VTL
// State"). Power-on values: Intel SDM vol. 3, section 9.1.1; AMD APM vol. 2, section 14.1.3.
#include "vtl2/vsm/internal.h"

#include "igvm/base/bytes.h"
#include "igvm/base/log.h"

#include <errno.h>
#include <string.h>

#define FX_FCW_OFF    0u
#define FX_MXCSR_OFF  24u
#define POWER_ON_FCW  0x37fu
#define POWER_ON_MXCR 0x1f80u

#define GPR_RDX          2u
#define POWER_ON_RDX     0x600u ///< "processor signature": anything plausible
#define APIC_BASE        UINT64_C(0xfee00000)
#define APIC_BASE_BSP    UINT64_C(0x100)
#define APIC_BASE_ENABLE UINT64_C(0x800)

// Local APIC registers by their x2APIC numbers, and what firmware leaves in them.
#define REGISTER_APIC(number) (HV_REGISTER_APIC_ID - 2u + (number))
#define APIC_SVR              0x0fu
#define APIC_LVT_LINT0        0x35u
#define APIC_LVT_LINT1        0x36u

struct vp_segment vsm_segment_from_hv(const struct hv_segment_register *in) {
    return (struct vp_segment){
        .base = in->base,
        .limit = in->limit,
        .selector = in->selector,
        .attributes = (uint16_t)((in->attributes & 0xffu) | ((in->attributes >> 4) & 0xf00u)),
    };
}

struct hv_segment_register vsm_segment_to_hv(const struct vp_segment *in) {
    return (struct hv_segment_register){
        .base = in->base,
        .limit = in->limit,
        .selector = in->selector,
        .attributes = (uint16_t)((in->attributes & 0xffu) | ((in->attributes & 0xf00u) << 4)),
    };
}

// ---- power-on state ----

#define DATA_SEGMENT(register_name)                                                                \
    {                                                                                              \
        .name = (register_name), .value.segment = {.limit = 0xffff, .attributes = 0x93 }           \
    }

static const struct hv_register_assoc power_on[] = {
    {.name = HV_REGISTER_RSP},
    {.name = HV_REGISTER_RIP, .value.low = 0xfff0},
    {.name = HV_REGISTER_RFLAGS, .value.low = 2},
    {.name = HV_REGISTER_CS,
     .value
         .segment = {.base = 0xffff0000, .limit = 0xffff, .selector = 0xf000, .attributes = 0x9b}},
    DATA_SEGMENT(HV_REGISTER_ES),
    DATA_SEGMENT(HV_REGISTER_SS),
    DATA_SEGMENT(HV_REGISTER_DS),
    DATA_SEGMENT(HV_REGISTER_FS),
    DATA_SEGMENT(HV_REGISTER_GS),
    {.name = HV_REGISTER_LDTR, .value.segment = {.limit = 0xffff, .attributes = 0x82}},
    {.name = HV_REGISTER_TR, .value.segment = {.limit = 0xffff, .attributes = 0x8b}},
    {.name = HV_REGISTER_IDTR, .value.table = {.limit = 0xffff}},
    {.name = HV_REGISTER_GDTR, .value.table = {.limit = 0xffff}},
    {.name = HV_REGISTER_EFER},
    {.name = HV_REGISTER_CR0, .value.low = 0x60000010},
    {.name = HV_REGISTER_CR3},
    {.name = HV_REGISTER_CR4},
    {.name = HV_REGISTER_CR8},
    {.name = HV_REGISTER_DR7, .value.low = 0x400},
    {.name = HV_REGISTER_PAT, .value.low = UINT64_C(0x0007040600070406)},
    {.name = HV_REGISTER_KERNEL_GS_BASE},
    {.name = HV_REGISTER_SYSENTER_CS},
    {.name = HV_REGISTER_SYSENTER_EIP},
    {.name = HV_REGISTER_SYSENTER_ESP},
    {.name = HV_REGISTER_STAR},
    {.name = HV_REGISTER_LSTAR},
    {.name = HV_REGISTER_CSTAR},
    {.name = HV_REGISTER_SFMASK},
    {.name = HV_REGISTER_PENDING_INTERRUPTION},
    {.name = HV_REGISTER_PENDING_EVENT0},
    {.name = HV_REGISTER_INTERRUPT_STATE},
    {.name = HV_REGISTER_DELIVERABILITY_NOTIFICATIONS},
};

/// What the guest may have set up with the hypervisor: none of it outlives a reset. A hypervisor
/// need not have all of it, but must reset the overlays.
static const struct {
    uint32_t first, last;
    uint64_t value;
} synthetic[] = {
    {HV_REGISTER_STIMER0_CONFIG, HV_REGISTER_STIMER3_COUNT, 0},
    {HV_REGISTER_SCONTROL, HV_REGISTER_SCONTROL, 0},
    {HV_REGISTER_SIEFP, HV_REGISTER_SIMP, 0},
    {HV_REGISTER_SINT0, HV_REGISTER_SINT15, HV_SINT_MASKED},
    {HV_REGISTER_VP_ASSIST_PAGE, HV_REGISTER_VP_ASSIST_PAGE, 0},
    {HV_REGISTER_TSC_AUX, HV_REGISTER_TSC_AUX, 0},
    {HV_REGISTER_DR6, HV_REGISTER_DR6, 0xffff0ff0},
    {HV_REGISTER_XFEM, HV_REGISTER_XFEM, 1},
};

/// What firmware does, in its place: enables the APIC, wires LINT0 to the PICs and LINT1 to NMI.
static const struct hv_register_assoc firmware_apic[] = {
    {.name = REGISTER_APIC(APIC_SVR), .value.low = 0x1ff},
    {.name = REGISTER_APIC(APIC_LVT_LINT0), .value.low = 0x700},
    {.name = REGISTER_APIC(APIC_LVT_LINT1), .value.low = 0x400},
};

/// Of the partition, not of a VP.
static const uint32_t partition_wide[] = {
    HV_REGISTER_REFERENCE_TSC,
    HV_REGISTER_HYPERCALL,
    HV_REGISTER_GUEST_OS_ID,
};

/// A page of the hypervisor's over the guest's memory: what the last start put there would hide
/// what the next one is given, the reset vector included.
static bool is_overlay(uint32_t name) {
    return name == HV_REGISTER_SIEFP || name == HV_REGISTER_SIMP ||
           name == HV_REGISTER_VP_ASSIST_PAGE || name == HV_REGISTER_REFERENCE_TSC ||
           name == HV_REGISTER_HYPERCALL;
}

/// What the hypervisor has refused so far.
struct refusals {
    uint32_t count, first;
    int result; ///< of an overlay, that the VP must not start under
};

static void reset_one(const struct vp *vp, uint32_t name, uint64_t value,
                      struct refusals *refused) {
    int result = vsm_set_u64(vp->partition, name, value);

    if (result < 0) {
        refused->first = refused->count++ == 0 ? name : refused->first;
        refused->result = is_overlay(name) ? result : refused->result;
    }
}

static int reset_synthetic(const struct vp *vp) {
    struct refusals refused = {0};

    for (size_t i = 0; i < ARRAY_COUNT(synthetic); i++) {
        for (uint32_t name = synthetic[i].first; name <= synthetic[i].last; name++) {
            reset_one(vp, name, synthetic[i].value, &refused);
        }
    }
    for (size_t i = 0; !vp->partition->config.has_firmware && i < ARRAY_COUNT(firmware_apic); i++) {
        reset_one(vp, firmware_apic[i].name, firmware_apic[i].value.low, &refused);
    }
    for (size_t i = 0; vp->index == 0 && i < ARRAY_COUNT(partition_wide); i++) {
        reset_one(vp, partition_wide[i], 0, &refused);
    }
    if (refused.count > 0) {
        LOG_LIMITED(refused.result < 0 ? LOG_ERROR : LOG_DEBUG, "vsm",
                    "VP %u: %u registers cannot be reset, the first is %#x", vp->index,
                    refused.count, refused.first);
    }
    return refused.result;
}

/// Disabled and enabled again, an APIC is as after power-on (Intel SDM vol. 3, 11.4.7.2).
static int reset_apic(const struct vp *vp) {
    uint64_t base = APIC_BASE | (vp->index == 0 ? APIC_BASE_BSP : 0);
    int result = vsm_set_u64(vp->partition, HV_REGISTER_APIC_BASE, base);

    return result < 0 ? result
                      : vsm_set_u64(vp->partition, HV_REGISTER_APIC_BASE, base | APIC_BASE_ENABLE);
}

int vsm_vp_reset(struct vp *vp) {
    int result;

    vp->pending = VP_EXIT_NONE;
    vp->page_fresh = false;
    vp->window_requested = false;
    if (vp->registers) {
        vp->registers->dirty = 0;
    }
    memset(vp->run->gpr, 0, sizeof(vp->run->gpr));
    vp->run->gpr[GPR_RDX] = POWER_ON_RDX;
    memset(vp->run->fx_state, 0, sizeof(vp->run->fx_state));
    store_le16(vp->run->fx_state + FX_FCW_OFF, POWER_ON_FCW);
    store_le32(vp->run->fx_state + FX_MXCSR_OFF, POWER_ON_MXCR);
    result = reset_apic(vp);
    if (result == 0) {
        result = reset_synthetic(vp);
    }
    if (result == 0) {
        result = vsm_set(vp->partition, HV_VP_INDEX_SELF, power_on, ARRAY_COUNT(power_on));
    }
    if (result == 0) {
        result = vsm_set_u64(vp->partition, HV_REGISTER_INTERNAL_ACTIVITY_STATE,
                             vp->index == 0 ? 0 : HV_ACTIVITY_STARTUP_SUSPEND);
    }
    if (result < 0) {
        log_write(LOG_ERROR, "vsm", "VP %u: no power-on state: %s", vp->index, strerror(-result));
    }
    return result;
}

// ---- what the VMM sees ----

enum { // index into the tables below
    R_RSP,
    R_RIP,
    R_RFLAGS,
    R_CR0,
    R_CR3,
    R_CR4,
    R_EFER,
    R_ES,
    R_CS,
    R_SS,
    R_DS,
    R_FS,
    R_GS,
    R_LDTR,
    R_TR,
    R_IDTR,
    R_GDTR,
    R_COUNT_SET,
    R_APIC_BASE = R_COUNT_SET, ///< only read
    R_COUNT,
};

static const uint32_t names[R_COUNT] = {
    [R_RSP] = HV_REGISTER_RSP,   [R_RIP] = HV_REGISTER_RIP,   [R_RFLAGS] = HV_REGISTER_RFLAGS,
    [R_CR0] = HV_REGISTER_CR0,   [R_CR3] = HV_REGISTER_CR3,   [R_CR4] = HV_REGISTER_CR4,
    [R_EFER] = HV_REGISTER_EFER, [R_ES] = HV_REGISTER_ES,     [R_CS] = HV_REGISTER_CS,
    [R_SS] = HV_REGISTER_SS,     [R_DS] = HV_REGISTER_DS,     [R_FS] = HV_REGISTER_FS,
    [R_GS] = HV_REGISTER_GS,     [R_LDTR] = HV_REGISTER_LDTR, [R_TR] = HV_REGISTER_TR,
    [R_IDTR] = HV_REGISTER_IDTR, [R_GDTR] = HV_REGISTER_GDTR, [R_APIC_BASE] = HV_REGISTER_APIC_BASE,
};

int vsm_vp_get_registers(struct vp *vp, struct vp_registers *out) {
    struct hv_register_value v[R_COUNT] = {0};
    const uint64_t *gpr = vp->run->gpr;
    int result = vsm_flush_page(vp);

    if (result == 0) {
        result = vsm_get(vp->partition, HV_VP_INDEX_SELF, names, v, R_COUNT);
    }
    if (result < 0) {
        return result;
    }
    *out = (struct vp_registers){
        .rax = gpr[0],
        .rcx = gpr[1],
        .rdx = gpr[2],
        .rbx = gpr[3],
        .rsp = v[R_RSP].low,
        .rbp = gpr[5],
        .rsi = gpr[6],
        .rdi = gpr[7],
        .r8 = gpr[8],
        .r9 = gpr[9],
        .r10 = gpr[10],
        .r11 = gpr[11],
        .r12 = gpr[12],
        .r13 = gpr[13],
        .r14 = gpr[14],
        .r15 = gpr[15],
        .rip = v[R_RIP].low,
        .rflags = v[R_RFLAGS].low,
        .cr0 = v[R_CR0].low,
        .cr2 = gpr[MSHV_GPR_CR2],
        .cr3 = v[R_CR3].low,
        .cr4 = v[R_CR4].low,
        .efer = v[R_EFER].low,
        .apic_base = v[R_APIC_BASE].low,
        .es = vsm_segment_from_hv(&v[R_ES].segment),
        .cs = vsm_segment_from_hv(&v[R_CS].segment),
        .ss = vsm_segment_from_hv(&v[R_SS].segment),
        .ds = vsm_segment_from_hv(&v[R_DS].segment),
        .fs = vsm_segment_from_hv(&v[R_FS].segment),
        .gs = vsm_segment_from_hv(&v[R_GS].segment),
        .ldtr = vsm_segment_from_hv(&v[R_LDTR].segment),
        .tr = vsm_segment_from_hv(&v[R_TR].segment),
        .idt = {.base = v[R_IDTR].table.base, .limit = v[R_IDTR].table.limit},
        .gdt = {.base = v[R_GDTR].table.base, .limit = v[R_GDTR].table.limit},
    };
    return 0;
}

static void set_shared(struct mshv_run *run, const struct vp_registers *in) {
    const uint64_t gpr[16] = {
        in->rax, in->rcx, in->rdx, in->rbx, in->cr2, in->rbp, in->rsi, in->rdi,
        in->r8,  in->r9,  in->r10, in->r11, in->r12, in->r13, in->r14, in->r15,
    };

    _Static_assert(MSHV_GPR_CR2 == 4, "CR2 has RSP's place");
    memcpy(run->gpr, gpr, sizeof(run->gpr));
}

/// The APIC stays where it is: nobody but the guest moves it.
int vsm_vp_set_registers(struct vp *vp, const struct vp_registers *in) {
    struct hv_register_assoc set[R_COUNT_SET] = {0};
    int result = vsm_flush_page(vp);

    if (result < 0) {
        return result;
    }
    for (unsigned i = 0; i < R_COUNT_SET; i++) {
        set[i].name = names[i];
    }
    set[R_RSP].value.low = in->rsp;
    set[R_RIP].value.low = in->rip;
    set[R_RFLAGS].value.low = in->rflags;
    set[R_CR0].value.low = in->cr0;
    set[R_CR3].value.low = in->cr3;
    set[R_CR4].value.low = in->cr4;
    set[R_EFER].value.low = in->efer;
    set[R_ES].value.segment = vsm_segment_to_hv(&in->es);
    set[R_CS].value.segment = vsm_segment_to_hv(&in->cs);
    set[R_SS].value.segment = vsm_segment_to_hv(&in->ss);
    set[R_DS].value.segment = vsm_segment_to_hv(&in->ds);
    set[R_FS].value.segment = vsm_segment_to_hv(&in->fs);
    set[R_GS].value.segment = vsm_segment_to_hv(&in->gs);
    set[R_LDTR].value.segment = vsm_segment_to_hv(&in->ldtr);
    set[R_TR].value.segment = vsm_segment_to_hv(&in->tr);
    set[R_IDTR].value.table.base = in->idt.base;
    set[R_IDTR].value.table.limit = in->idt.limit;
    set[R_GDTR].value.table.base = in->gdt.base;
    set[R_GDTR].value.table.limit = in->gdt.limit;
    set_shared(vp->run, in);
    return vsm_set(vp->partition, HV_VP_INDEX_SELF, set, R_COUNT_SET);
}
