// SPDX-License-Identifier: MIT
//
// minihost's partition against a hostile guest: exits of VTL0 and VTL2 with registers and memory
// from bytes, hypercalls first of all. What must hold is checked after each: VTL0 never changes
// VTL2's own state, and every state could be entered.
#include "igvm/base/check.h"
#include "tests/support/fake_machine.h"
#include "tests/support/fake_partition.h"
#include "tools/minihost/vsm/internal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT     UINT64_C(0x4000)
#define OUTPUT    UINT64_C(0x6000)
#define MAX_STEPS 64u

static struct fake_partition *f;

static const uint16_t codes[] = {
    HV_CALL_GET_VP_REGISTERS,
    HV_CALL_SET_VP_REGISTERS,
    HV_CALL_MODIFY_VTL_PROTECTION_MASK,
    HV_CALL_CHECK_SPARSE_GPA_PAGE_VTL_ACCESS,
    HV_CALL_TRANSLATE_VIRTUAL_ADDRESS,
    HV_CALL_TRANSLATE_VIRTUAL_ADDRESS_EX,
    HV_CALL_INSTALL_INTERCEPT,
    HV_CALL_ASSERT_VIRTUAL_INTERRUPT,
    HV_CALL_POST_MESSAGE,
    HV_CALL_SIGNAL_EVENT,
    HV_CALL_POST_MESSAGE_DIRECT,
    HV_CALL_SIGNAL_EVENT_DIRECT,
    HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI,
    HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI_EX,
    HV_CALL_FLUSH_VIRTUAL_ADDRESS_SPACE,
    HV_CALL_FLUSH_VIRTUAL_ADDRESS_LIST,
    HV_CALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX,
    HV_CALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX,
    HV_CALL_ENABLE_PARTITION_VTL,
    HV_CALL_ENABLE_VP_VTL,
    HV_CALL_START_VIRTUAL_PROCESSOR,
    HV_CALL_GET_VP_INDEX_FROM_APIC_ID,
    HV_CALL_GET_VP_CPUID_VALUES,
    HV_CALL_ENTER_SLEEP_STATE,
    HV_CALL_VTL_RETURN,
    HV_CALL_VTL_CALL,
    0x1234,
};

static uint64_t value_of(struct fuzz_input *in) {
    uint8_t kind = fuzz_u8(in);

    switch (kind % 6) {
    case 0:
        return kind >> 3;
    case 1:
        return UINT64_MAX - (kind >> 3);
    case 2:
        return (uint64_t)fuzz_u16(in) << 3;
    case 3:
        return fuzz_u32(in);
    case 4:
        return (uint64_t)(kind >> 3) << PAGE_SHIFT_4K | 1; // an enabled page
    default:
        return fuzz_u64(in);
    }
}

static void enable_hypercalls(struct vsm_vp *vp, unsigned vtl) {
    struct svm_save *s = &vp->vtl[vtl].vmcb->save;

    s->efer = 0xd01 | SVM_EFER_SVME;
    s->cr0 = 0x11;
    s->cs.attributes = 0xa9b;
    s->ss.attributes = 0xc93;
    s->rip = 0x1000;
    CHECK(vsm_write_msr(vp, vtl, HV_MSR_GUEST_OS_ID, 1) == 0);
    CHECK(vsm_write_msr(vp, vtl, HV_MSR_HYPERCALL, 0x9001) == 0);
}

/// A header that passes the first checks often, then bytes.
static void fill_input(struct fuzz_input *in) {
    uint64_t partition = HV_PARTITION_ID_SELF;
    uint32_t vp = fuzz_u8(in) & 1 ? HV_VP_INDEX_SELF : fuzz_u8(in) % 3;
    uint8_t shape = fuzz_u8(in), vtl = fuzz_u8(in) % 4 == 0 ? fuzz_u8(in) : shape & 0x10;
    uint32_t name;

    memcpy(f->ram + INPUT, &partition, 8);
    memcpy(f->ram + INPUT + 8, &vp, 4);
    f->ram[INPUT + 12] = vtl;
    for (uint64_t off = 13; off < 80u + (shape & 0x80) * 2; off++) {
        f->ram[INPUT + off] = 0;
    }
    name = (uint32_t)(fuzz_u8(in) % 14) << 16 | fuzz_u8(in); // registers and a page number
    memcpy(f->ram + INPUT + 16, &name, 4);
    for (unsigned i = 0; i < (shape & 7u); i++) {
        uint64_t value = value_of(in);

        memcpy(f->ram + INPUT + 16 + (fuzz_u8(in) % 32) * 8, &value, 8);
    }
}

static void hypercall(struct fuzz_input *in, struct vsm_vp *vp) {
    uint8_t how = fuzz_u8(in);
    uint64_t control = codes[fuzz_u8(in) % ARRAY_COUNT(codes)];

    fill_input(in);
    if (how & 1) {
        control |= (uint64_t)(how & 8 ? fuzz_u16(in) : 1 + (how >> 6))
                   << HV_CONTROL_REP_COUNT_SHIFT;
    }
    if (how & 2) {
        control |= HV_CONTROL_FAST;
    }
    if (how & 4) {
        control |= (uint64_t)fuzz_u8(in) << HV_CONTROL_VARHEAD_SHIFT;
    }
    vp->gpr[VSM_RCX] = control;
    vp->gpr[VSM_RDX] = how & 0x10 ? value_of(in) : INPUT;
    vp->gpr[8] = how & 0x20 ? value_of(in) : OUTPUT;
    (void)fake_partition_exit(f, vp->index, SVM_EXIT_VMMCALL, 0, 0);
}

static void msr(struct fuzz_input *in, struct vsm_vp *vp) {
    static const uint32_t bases[] = {
        0, 0x200, 0x800, HV_MSR_FIRST, HV_MSR_SCONTROL, HV_MSR_CRASH_P0, 0xc0000080, 0xc0010000};
    uint8_t how = fuzz_u8(in);
    uint64_t value = value_of(in);

    vp->gpr[VSM_RCX] = bases[how % 8] + fuzz_u8(in);
    vp->gpr[VSM_RAX] = value & UINT32_MAX;
    vp->gpr[VSM_RDX] = value >> 32;
    (void)fake_partition_exit(f, vp->index, SVM_EXIT_MSR, how >> 7, 0);
}

static void other_exit(struct fuzz_input *in, struct vsm_vp *vp) {
    static const uint32_t exits[] = {SVM_EXIT_INTR,          SVM_EXIT_NMI,  SVM_EXIT_VINTR,
                                     SVM_EXIT_CPUID,         SVM_EXIT_IRET, SVM_EXIT_HLT,
                                     SVM_EXIT_IOIO,          SVM_EXIT_NPF,  SVM_EXIT_VMRUN,
                                     SVM_EXIT_EXCEPTION + 6, SVM_EXIT_STGI, SVM_EXIT_MONITOR};
    uint32_t code = exits[fuzz_u8(in) % ARRAY_COUNT(exits)];
    struct svm_control *c = &vp->vtl[vp->active_vtl].vmcb->control;

    if (vp->active_vtl == VSM_PARAVISOR && code != SVM_EXIT_NMI && code != SVM_EXIT_CPUID &&
        code != SVM_EXIT_VMRUN && code != SVM_EXIT_STGI) {
        return; // not intercepted
    }
    vp->gpr[VSM_RAX] = value_of(in);
    vp->gpr[VSM_RCX] = value_of(in);
    c->exit_code = code;
    c->exit_info_1 = value_of(in);
    c->exit_info_2 = code == SVM_EXIT_NPF && (fuzz_u8(in) & 1) ? 0xfee00000u + fuzz_u16(in) % 0x400
                                                               : value_of(in);
    c->exit_int_info = fuzz_u8(in) & 1 ? SVM_EVENT_VALID | (fuzz_u16(in) & 0x7ff) : 0;
    c->interrupt_shadow = fuzz_u8(in) & 1;
    (void)vsm_handle_exit(vp);
}

/// VTL2 writes what it may: its assist page and register page, and returns.
static void vtl_return(struct fuzz_input *in, struct vsm_vp *vp) {
    struct hv_vp_assist_page *assist = vp->vtl[VSM_PARAVISOR].overlay[VSM_OVERLAY_ASSIST].page;
    struct hv_register_page *page = vp->vtl[VSM_PARAVISOR].overlay[VSM_OVERLAY_REGISTER_PAGE].page;

    if (vp->active_vtl != VSM_PARAVISOR) {
        return;
    }
    page->is_valid = fuzz_u8(in) & 1;
    page->dirty = fuzz_u8(in);
    page->rip = 0x1000 + fuzz_u8(in);
    page->rflags = fuzz_u16(in);
    page->cs = (struct hv_segment_register){.limit = UINT32_MAX, .attributes = fuzz_u16(in)};
    for (unsigned i = 0; i < 3; i++) {
        assist->return_actions[i] = (struct hv_return_action){.type = fuzz_u8(in) % 3,
                                                              .vp_index = fuzz_u8(in) % 3,
                                                              .sint = fuzz_u8(in) % 17,
                                                              .flag_number = fuzz_u16(in)};
    }
    vp->gpr[VSM_RCX] = HV_CALL_VTL_RETURN;
    vp->gpr[VSM_RAX] = fuzz_u8(in) & 1;
    (void)fake_partition_exit(f, vp->index, SVM_EXIT_VMMCALL, 0, 0);
}

static void check_event(uint64_t event) {
    uint64_t vector = event & SVM_EVENT_VECTOR_MASK;

    if (!(event & SVM_EVENT_VALID)) {
        CHECK(event == 0);
        return;
    }
    switch (event & SVM_EVENT_TYPE_MASK) {
    case SVM_EVENT_TYPE_INTR:
        break;
    case SVM_EVENT_TYPE_NMI:
        CHECK(vector == 2);
        break;
    default:
        CHECK((event & SVM_EVENT_TYPE_MASK) == SVM_EVENT_TYPE_EXCEPTION);
        CHECK(vector < 31 && vector != 2);
    }
}

static void check_vp(struct vsm_vp *vp) {
    const uint64_t always = SVM_INTERCEPT_VMRUN | SVM_INTERCEPT_VMMCALL | SVM_INTERCEPT_VMLOAD |
                            SVM_INTERCEPT_VMSAVE | SVM_INTERCEPT_MSR | SVM_INTERCEPT_CPUID |
                            SVM_INTERCEPT_SHUTDOWN | SVM_INTERCEPT_NMI;

    CHECK(vp->active_vtl == VSM_GUEST_VTL || vp->active_vtl == VSM_PARAVISOR);
    for (unsigned vtl = 0; vtl < VSM_VTL_COUNT; vtl += VSM_PARAVISOR) {
        const struct svm_vmcb *vmcb = vp->vtl[vtl].vmcb;

        CHECK(vmcb->save.efer & SVM_EFER_SVME);
        CHECK((vmcb->control.intercept & always) == always);
        CHECK(vmcb->save.cr0 <= UINT32_MAX && vmcb->save.dr7 <= UINT32_MAX);
        check_event(vmcb->control.event_injection);
    }
    CHECK(vp->vtl[0].vmcb->control.intercept & SVM_INTERCEPT_INTR);
    CHECK(vp->vtl[0].vmcb->control.int_ctl & SVM_INT_V_MASKING);
    CHECK(!(vp->vtl[2].vmcb->control.intercept & SVM_INTERCEPT_INTR));
    CHECK(vp->mail_count <= VSM_MAX_MAIL);
    CHECK(f->partition.cpuid_intercept_count <= VSM_MAX_CPUID_INTERCEPTS);
}

/// VTL2's own: what a step of VTL0 must leave as it was.
struct own {
    uint64_t rip, rflags, cr0, cr3, cr4, efer;
    struct svm_segment cs, ss, gdtr, idtr;
};

static struct own own_state(const struct vsm_vp *vp) {
    const struct svm_save *s = &vp->vtl[VSM_PARAVISOR].vmcb->save;

    return (struct own){s->rip,  s->rflags, s->cr0, s->cr3,  s->cr4,
                        s->efer, s->cs,     s->ss,  s->gdtr, s->idtr};
}

static void step(struct fuzz_input *in, struct vsm_vp *vp) {
    struct own before = own_state(vp), after;
    bool by_vtl0 = vp->active_vtl == VSM_GUEST_VTL;
    uint64_t config = f->partition.partition_config;
    uint8_t what = fuzz_u8(in);

    switch (what % 8) {
    case 0:
    case 1:
    case 2:
        hypercall(in, vp);
        break;
    case 3:
        msr(in, vp);
        break;
    case 4:
        other_exit(in, vp);
        break;
    case 5:
        vtl_return(in, vp);
        break;
    case 6:
        f->now_100ns += fuzz_u32(in);
        (void)vsm_woken(vp, what & 0x80);
        break;
    default:
        f->ram[fuzz_u32(in) % FAKE_PARTITION_RAM_BYTES] = fuzz_u8(in);
        break;
    }
    after = own_state(vp);
    CHECK(!by_vtl0 || (memcmp(&before, &after, sizeof(before)) == 0 &&
                       f->partition.partition_config == config));
    (void)vsm_before_entry(vp);
    (void)vsm_deadline(vp);
    check_vp(vp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {.bytes = data, .left = size};
    unsigned steps = 0;

    f = fake_partition_new();
    fake_partition_enter_vtl0(f, 0, 0x1000);
    enable_hypercalls(&f->vps[0], VSM_GUEST_VTL);
    enable_hypercalls(&f->vps[0], VSM_PARAVISOR);
    f->partition.partition_config = 0x163f;
    if (fuzz_u8(&in) & 1) {
        CHECK(vsm_enter_vtl2(&f->vps[0], HV_VTL_ENTRY_INTERRUPT) == VSM_RUN);
    }
    while (in.left && steps++ < MAX_STEPS && f->partition.stop == VSM_STOP_NONE) {
        step(&in, &f->vps[0]);
        f->log[0] = '\0';
    }
    fake_partition_free(f);
    return 0;
}
