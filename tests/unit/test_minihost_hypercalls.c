// SPDX-License-Identifier: MIT
//
// minihost's hypercalls: the rules for control values and areas, repetitions and their
// continuation, who may call what, and each call's effect (TLFS, "Hypercall Interface").

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/fake_partition.h"
#include "tools/minihost/vsm/hypercall.h"

#define INPUT    UINT64_C(0x4000)
#define OUTPUT   UINT64_C(0x6000)
#define HC_PAGE  UINT64_C(0x9000)
#define REPS(n)  ((uint64_t)(n) << HV_CONTROL_REP_COUNT_SHIFT)
#define START(n) ((uint64_t)(n) << HV_CONTROL_REP_START_SHIFT)
#define VAR(n)   ((uint64_t)(n) << HV_CONTROL_VARHEAD_SHIFT)
#define RIP      UINT64_C(0x1000)
#define VTL0     HV_INPUT_VTL_USE_TARGET

static struct fake_partition *f;

/// 64-bit kernel mode, hypercalls enabled.
static void enable(unsigned vp, unsigned vtl) {
    struct svm_save *s = &f->vps[vp].vtl[vtl].vmcb->save;

    s->efer = 0xd01 | SVM_EFER_SVME;
    s->cr0 = 0x80000011;
    s->cs.attributes = 0xa9b;
    s->ss.attributes = 0xc93;
    s->rip = RIP;
    assert_int_equal(vsm_write_msr(&f->vps[vp], vtl, HV_MSR_GUEST_OS_ID, UINT64_C(0x8100) << 48),
                     0);
    assert_int_equal(vsm_write_msr(&f->vps[vp], vtl, HV_MSR_HYPERCALL, HC_PAGE | 1), 0);
}

static int setup(void **state) {
    (void)state;
    f = fake_partition_new();
    enable(0, VSM_PARAVISOR);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    fake_partition_free(f);
    return 0;
}

static struct svm_vmcb *active(unsigned vp) {
    return f->vps[vp].vtl[f->vps[vp].active_vtl].vmcb;
}

/// One VMMCALL; RAX. RIP must have moved on.
static uint64_t call_with(unsigned vp, uint64_t control, uint64_t input, uint64_t output) {
    uint64_t rip = active(vp)->save.rip;

    f->vps[vp].gpr[VSM_RCX] = control;
    f->vps[vp].gpr[VSM_RDX] = input;
    f->vps[vp].gpr[8] = output;
    f->vps[vp].gpr[VSM_RAX] = 0xdead;
    assert_int_equal(fake_partition_exit(f, vp, SVM_EXIT_VMMCALL, 0, 0), VSM_RUN);
    assert_true(active(vp)->save.rip == rip + 3);
    return f->vps[vp].gpr[VSM_RAX];
}

static uint64_t call(uint64_t control) {
    return call_with(0, control, INPUT, OUTPUT);
}

static void put(uint64_t off, const void *bytes, size_t size) {
    memcpy(f->ram + INPUT + off, bytes, size);
}

static uint64_t get64(uint64_t off) {
    uint64_t value;

    memcpy(&value, f->ram + OUTPUT + off, sizeof(value));
    return value;
}

static void put_header(uint8_t vtl) {
    struct hv_vp_registers_input in = {
        .partition_id = HV_PARTITION_ID_SELF, .vp_index = HV_VP_INDEX_SELF, .target_vtl = vtl};

    put(0, &in, sizeof(in));
}

static void goes_to_vtl0(void) {
    fake_partition_enter_vtl0(f, 0, RIP);
    enable(0, VSM_GUEST_VTL);
}

static uint64_t set_register(uint8_t vtl, uint32_t name, uint64_t low, uint64_t high) {
    struct hv_register_assoc assoc = {.name = name, .value = {{{low, high}}}};

    put_header(vtl);
    put(16, &assoc, sizeof(assoc));
    return call(HV_CALL_SET_VP_REGISTERS | REPS(1));
}

static uint64_t get_register(uint8_t vtl, uint32_t name, uint64_t *low) {
    uint64_t result;

    put_header(vtl);
    put(16, &name, sizeof(name));
    result = call(HV_CALL_GET_VP_REGISTERS | REPS(1));
    *low = get64(0);
    return result;
}

// ---- the rules ---------------------------------------------------------------------------------

static void test_shape_rules(void **state) {
    const struct vsm_call_shape simple = {.header_bytes = 24}, rep = {16, 8, 16, true, false},
                                sparse = {24, 0, 0, false, true};
    struct vsm_call_layout l;

    (void)state;
    assert_int_equal(vsm_call_check(&simple, 2, 0x1000, 0, &l), HV_STATUS_SUCCESS);
    assert_int_equal(l.input_bytes, 24);
    assert_int_equal(vsm_call_check(&simple, 2, 0x1004, 0, &l), HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(vsm_call_check(&simple, 2, 0x1fe8, 0, &l), HV_STATUS_SUCCESS);
    assert_int_equal(vsm_call_check(&simple, 2, 0x1ff0, 0, &l), HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(vsm_call_check(&simple, 2, UINT64_C(1) << 48, 0, &l),
                     HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(vsm_call_check(&simple, 2 | REPS(1), 0x1000, 0, &l),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(vsm_call_check(&simple, 2 | START(1), 0x1000, 0, &l),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(vsm_call_check(&simple, 2 | VAR(1), 0x1000, 0, &l),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(vsm_call_check(&simple, 2 | HV_CONTROL_FAST, 0x1000, 0, &l),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
    for (unsigned bit = 27; bit < 64; bit = bit == 31 ? 44 : bit == 47 ? 60 : bit + 1) {
        assert_int_equal(vsm_call_check(&simple, 2 | UINT64_C(1) << bit, 0x1000, 0, &l),
                         HV_STATUS_INVALID_HYPERCALL_INPUT);
    }
    assert_int_equal(vsm_call_check(&rep, REPS(255), 0x1000, 0x2000, &l), HV_STATUS_SUCCESS);
    assert_int_equal(l.input_bytes, 16 + 255 * 8);
    assert_int_equal(l.output_bytes, 255 * 16);
    assert_int_equal(vsm_call_check(&rep, REPS(257), 0x1000, 0x2000, &l),
                     HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(vsm_call_check(&rep, REPS(4095), 0x1000, 0x2000, &l),
                     HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(vsm_call_check(&rep, 0, 0x1000, 0x2000, &l),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(vsm_call_check(&rep, REPS(2) | START(2), 0x1000, 0x2000, &l),
                     HV_STATUS_INVALID_HYPERCALL_INPUT);
    assert_int_equal(vsm_call_check(&rep, REPS(2), 0x1000, 0x2ff8, &l),
                     HV_STATUS_INVALID_ALIGNMENT);
    assert_int_equal(vsm_call_check(&sparse, VAR(2), 0x1000, 0, &l), HV_STATUS_SUCCESS);
    assert_int_equal(l.list_off, 40);
}

static void test_who_may_call(void **state) {
    (void)state;
    assert_true(call(0x7777) == HV_STATUS_INVALID_HYPERCALL_CODE);
    assert_true(call_with(0, HV_CALL_GET_VP_REGISTERS | REPS(1), UINT64_C(1) << 40, OUTPUT) ==
                HV_STATUS_INVALID_HYPERCALL_INPUT);
    goes_to_vtl0();
    assert_true(call(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(1)) == HV_STATUS_ACCESS_DENIED);
    assert_true(call(HV_CALL_ENTER_SLEEP_STATE) == HV_STATUS_ACCESS_DENIED);
    // User mode, and the VTL switches that VTL0 has no use for: #UD.
    active(0)->save.ss.attributes |= 0x60;
    f->vps[0].gpr[VSM_RCX] = HV_CALL_SIGNAL_EVENT;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_VMMCALL, 0, 0), VSM_RUN);
    assert_true((f->vps[0].pending_event & SVM_EVENT_VECTOR_MASK) == 6);
    assert_true(active(0)->save.rip == RIP + 6);
    active(0)->save.ss.attributes &= ~0x60u;
    f->vps[0].pending_event = 0;
    f->vps[0].gpr[VSM_RCX] = HV_CALL_VTL_CALL;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_VMMCALL, 0, 0), VSM_RUN);
    assert_true((f->vps[0].pending_event & SVM_EVENT_VECTOR_MASK) == 6);
}

static void test_32_bit_registers(void **state) {
    (void)state;
    goes_to_vtl0();
    active(0)->save.efer = SVM_EFER_SVME;
    active(0)->save.cs.attributes = 0xc9b;
    put_header(0);
    f->vps[0].gpr[VSM_RAX] = HV_CALL_GET_VP_REGISTERS;
    f->vps[0].gpr[VSM_RDX] = 1; // one repetition
    f->vps[0].gpr[VSM_RBX] = 0;
    f->vps[0].gpr[VSM_RCX] = INPUT;
    f->vps[0].gpr[VSM_RDI] = 0;
    f->vps[0].gpr[VSM_RSI] = OUTPUT;
    f->ram[INPUT + 16] = 0x03; // HV_REGISTER_VP_INDEX
    f->ram[INPUT + 18] = 0x09;
    memset(f->ram + OUTPUT, 0xff, 16);
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_VMMCALL, 0, 0), VSM_RUN);
    assert_true(f->vps[0].gpr[VSM_RAX] == HV_STATUS_SUCCESS);
    assert_true(f->vps[0].gpr[VSM_RDX] == 1);
    assert_true(get64(0) == 0 && get64(8) == 0);
}

// ---- registers ---------------------------------------------------------------------------------

static void test_registers(void **state) {
    uint64_t low;

    (void)state;
    assert_true(get_register(0, HV_REGISTER_VSM_VP_STATUS, &low) == REPS(1));
    assert_true(low == 0x50002);
    assert_true(get_register(0, HV_REGISTER_VSM_CODE_PAGE_OFFSETS, &low) == REPS(1));
    assert_true(low == 0x2600f);
    assert_true(set_register(0, HV_REGISTER_VSM_PARTITION_CONFIG, 0x163f, 0) == REPS(1));
    assert_true(get_register(0, HV_REGISTER_VSM_PARTITION_CONFIG, &low) == REPS(1));
    assert_true(low == 0x163f);
    assert_true(set_register(0, HV_REGISTER_VSM_PARTITION_CONFIG, 0x163e, 0) ==
                HV_STATUS_INVALID_REGISTER_VALUE);
    assert_true(get_register(VTL0, HV_REGISTER_VSM_CAPABILITIES, &low) == HV_STATUS_ACCESS_DENIED);
    assert_true(set_register(VTL0, HV_REGISTER_RIP, 0x1234, 0) == REPS(1));
    assert_true(f->vps[0].vtl[0].vmcb->save.rip == 0x1234);
    assert_true(set_register(VTL0, HV_REGISTER_RAX, 1, 0) == HV_STATUS_INVALID_PARAMETER);
    assert_true(set_register(VTL0, HV_REGISTER_EFER, 0x500, 0) == REPS(1));
    assert_true(f->vps[0].vtl[0].vmcb->save.efer == (0x500 | SVM_EFER_SVME));
    assert_true(get_register(VTL0, HV_REGISTER_EFER, &low) == REPS(1));
    assert_true(low == 0x500);
    assert_true(set_register(VTL0, HV_REGISTER_EFER, 2, 0) == HV_STATUS_INVALID_REGISTER_VALUE);
    // Segment attributes: L in bit 13 there, in bit 9 here.
    assert_true(set_register(VTL0, HV_REGISTER_CS, 0x1000, UINT64_C(0xa09b0010ffffffff)) ==
                REPS(1));
    assert_int_equal(f->vps[0].vtl[0].vmcb->save.cs.attributes, 0xa9b);
    assert_int_equal(f->vps[0].vtl[0].vmcb->save.cs.selector, 0x10);
    // VTL2's own state is not for hypercalls; forged VTLs and unknown names are refused.
    assert_true(set_register(0, HV_REGISTER_RIP, 0, 0) == HV_STATUS_INVALID_PARAMETER);
    assert_true(get_register(0x11, HV_REGISTER_RIP, &low) == HV_STATUS_INVALID_PARAMETER);
    assert_true(get_register(0x13, HV_REGISTER_RIP, &low) == HV_STATUS_ACCESS_DENIED);
    assert_true(get_register(0x02, HV_REGISTER_RIP, &low) == HV_STATUS_INVALID_PARAMETER);
    assert_true(get_register(VTL0, 0x123456, &low) == HV_STATUS_INVALID_PARAMETER);
}

static void test_registers_from_vtl0(void **state) {
    uint64_t low;

    (void)state;
    goes_to_vtl0();
    assert_true(get_register(0x12, HV_REGISTER_RIP, &low) == HV_STATUS_ACCESS_DENIED);
    assert_true(get_register(0, HV_REGISTER_VSM_CAPABILITIES, &low) == HV_STATUS_ACCESS_DENIED);
    assert_true(set_register(0, HV_REGISTER_VSM_PARTITION_CONFIG, 0, 0) == HV_STATUS_ACCESS_DENIED);
    assert_true(set_register(0, HV_REGISTER_RIP, 0, 0) == HV_STATUS_INVALID_PARAMETER);
    assert_true(get_register(0, HV_REGISTER_VP_INDEX, &low) == REPS(1));
}

static void test_repetitions_stop_at_an_error(void **state) {
    uint32_t names[4] = {HV_REGISTER_VP_INDEX, HV_REGISTER_TIME_REF_COUNT, 0x123456,
                         HV_REGISTER_VP_INDEX};

    (void)state;
    memset(f->ram + OUTPUT, 0xff, 64);
    put_header(0);
    put(16, names, sizeof(names));
    assert_true(call(HV_CALL_GET_VP_REGISTERS | REPS(4)) ==
                (HV_STATUS_INVALID_PARAMETER | REPS(2)));
    assert_true(get64(0) == 0 && get64(16) == f->now_100ns);
    assert_true(get64(32) == UINT64_MAX);
    // Started in the middle, the first output is left alone.
    memset(f->ram + OUTPUT, 0xff, 64);
    assert_true(call(HV_CALL_GET_VP_REGISTERS | REPS(2) | START(1)) == REPS(2));
    assert_true(get64(0) == UINT64_MAX && get64(16) == f->now_100ns);
}

// ---- memory ------------------------------------------------------------------------------------

static void put_protection(uint32_t flags, uint32_t pages) {
    struct hv_modify_vtl_protection_input in = {.partition_id = HV_PARTITION_ID_SELF,
                                                .map_flags = flags};

    put(0, &in, sizeof(in));
    for (uint64_t i = 0; i < pages; i++) {
        uint64_t page = i % 16;

        put(16 + i * 8, &page, sizeof(page));
    }
}

static void test_protection(void **state) {
    struct hv_check_sparse_input check = {.partition_id = HV_PARTITION_ID_SELF,
                                          .target_vtl = VTL0,
                                          .desired_access = HV_MAP_GPA_READABLE};
    uint64_t page = 5;

    (void)state;
    put_protection(0, 1);
    assert_true(call(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(1)) == HV_STATUS_ACCESS_DENIED);
    (void)set_register(0, HV_REGISTER_VSM_PARTITION_CONFIG, 0x163f, 0);
    put_protection(0, 16);
    assert_true(call(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(16)) == REPS(16));
    assert_int_equal(f->protections[5], 0);
    put(0, &check, sizeof(check));
    put(16, &page, sizeof(page));
    assert_true(call(HV_CALL_CHECK_SPARSE_GPA_PAGE_VTL_ACCESS | REPS(1)) == REPS(1));
    assert_true(get64(0) == 0x2101);
    put_protection(HV_MAP_GPA_WRITABLE, 1);
    assert_true(call(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(1)) == HV_STATUS_INVALID_PARAMETER);
    put_protection(0x13, 1);
    assert_true(call(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(1)) == HV_STATUS_INVALID_PARAMETER);
    put_protection(0xf, 2);
    page = UINT64_MAX;
    put(24, &page, sizeof(page));
    assert_true(call(HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(2)) ==
                (HV_STATUS_INVALID_PARAMETER | REPS(1)));
}

/// 200 pages: three continuations of the same instruction, then the result.
static void test_long_lists_are_continued(void **state) {
    uint64_t rip = active(0)->save.rip;
    unsigned exits = 0;

    (void)state;
    (void)set_register(0, HV_REGISTER_VSM_PARTITION_CONFIG, 0x163f, 0);
    rip = active(0)->save.rip;
    put_protection(0, 200);
    f->vps[0].gpr[VSM_RCX] = HV_CALL_MODIFY_VTL_PROTECTION_MASK | REPS(200);
    f->vps[0].gpr[VSM_RDX] = INPUT;
    while (active(0)->save.rip == rip && exits < 10) {
        assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_VMMCALL, 0, 0), VSM_RUN);
        exits++;
    }
    assert_int_equal(exits, 4);
    assert_true(f->vps[0].gpr[VSM_RAX] == REPS(200));
    assert_true(active(0)->save.rip == rip + 3);
}

static void test_translate(void **state) {
    struct hv_translate_input in = {.partition_id = HV_PARTITION_ID_SELF,
                                    .vp_index = HV_VP_INDEX_SELF,
                                    .control_flags = UINT64_C(0x10) << 56 | 1,
                                    .gva_page = 0x345};
    struct svm_save *s = &f->vps[0].vtl[0].vmcb->save;
    // Four levels at 0x10000: 0x345000 is page 7.
    const uint64_t tables[4] = {0x11003, 0x12003, 0x13003, 0x7003};
    const unsigned index[4] = {0, 0, 1, 0x145};

    (void)state;
    put(0, &in, sizeof(in));
    assert_true(call(HV_CALL_TRANSLATE_VIRTUAL_ADDRESS) == 0);
    assert_true(get64(0) == UINT64_C(6) << 32 && get64(8) == 0x345); // no paging
    s->cr0 = 0x80000011;
    s->cr4 = 0x20;
    s->efer = 0x500 | SVM_EFER_SVME;
    s->cs.attributes = 0xa9b;
    s->cr3 = 0x10000;
    assert_true(call(HV_CALL_TRANSLATE_VIRTUAL_ADDRESS_EX) == 0);
    assert_int_equal((uint32_t)get64(0), HV_TRANSLATE_PAGE_NOT_PRESENT);
    for (unsigned i = 0; i < 4; i++) {
        memcpy(f->ram + 0x10000 + i * 0x1000 + index[i] * 8, &tables[i], 8);
    }
    assert_true(call(HV_CALL_TRANSLATE_VIRTUAL_ADDRESS) == 0);
    assert_true(get64(0) == UINT64_C(6) << 32 && get64(8) == 7);
    assert_int_equal(f->ram[0x10000], 0x03); // accessed is set only when asked for
    in.control_flags |= HV_TRANSLATE_USER_ACCESS;
    put(0, &in, sizeof(in));
    assert_true(call(HV_CALL_TRANSLATE_VIRTUAL_ADDRESS) == 0);
    assert_int_equal((uint32_t)get64(0), HV_TRANSLATE_PRIVILEGE_VIOLATION);
}

// ---- starting, interrupts ----------------------------------------------------------------------

static void test_start_of_another_vp(void **state) {
    struct hv_vp_index_from_apic_id_input id = {.partition_id = HV_PARTITION_ID_SELF};
    struct hv_start_vp_input in = {.partition_id = HV_PARTITION_ID_SELF,
                                   .vp_index = 1,
                                   .target_vtl = VSM_PARAVISOR,
                                   .context = {.rip = 0x5000,
                                               .rsp = 0x7000,
                                               .rflags = 2,
                                               .efer = 0xd01,
                                               .cr0 = 0x80000011,
                                               .cr3 = 0x2000,
                                               .cr4 = 0x20}};
    uint32_t apic_id = 2; // VTL2's: the physical APIC's

    (void)state;
    put(0, &id, sizeof(id));
    put(16, &apic_id, sizeof(apic_id));
    assert_true(call(HV_CALL_GET_VP_INDEX_FROM_APIC_ID | REPS(1)) == REPS(1));
    assert_true((uint32_t)get64(0) == 1);
    assert_int_equal(vsm_before_entry(&f->vps[1]), VSM_IDLE);
    put(0, &in, sizeof(in));
    assert_true(call(HV_CALL_START_VIRTUAL_PROCESSOR) == HV_STATUS_INVALID_VP_STATE);
    assert_true(call(HV_CALL_ENABLE_VP_VTL) == 0);
    assert_true(call(HV_CALL_ENABLE_VP_VTL) == HV_STATUS_VTL_ALREADY_ENABLED);
    assert_int_equal(vsm_before_entry(&f->vps[1]), VSM_IDLE);
    memset(f->kicks, 0, sizeof(f->kicks));
    assert_true(call(HV_CALL_START_VIRTUAL_PROCESSOR) == 0);
    assert_int_equal(f->kicks[1], 1);
    assert_int_equal(vsm_woken(&f->vps[1], false), VSM_RUN);
    assert_true(f->vps[1].vtl[2].vmcb->save.rip == 0x5000);
    assert_true(f->vps[1].gpr[VSM_RSP] == 0x7000);
    assert_true(call(HV_CALL_START_VIRTUAL_PROCESSOR) == HV_STATUS_INVALID_VP_STATE);
    in.vp_index = FAKE_PARTITION_VPS;
    put(0, &in, sizeof(in));
    assert_true(call(HV_CALL_START_VIRTUAL_PROCESSOR) == HV_STATUS_INVALID_VP_INDEX);
    in.partition_id = 7;
    put(0, &in, sizeof(in));
    assert_true(call(HV_CALL_START_VIRTUAL_PROCESSOR) == HV_STATUS_INVALID_PARTITION_ID);
}

static void test_connections(void **state) {
    struct hv_install_intercept_input install = {
        .partition_id = HV_PARTITION_ID_SELF,
        .access_type_mask = HV_INTERCEPT_ACCESS_MASK_EXECUTE,
        .intercept_type = HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION};
    const struct hv_vp_assist_page *assist =
        f->vps[0].vtl[VSM_PARAVISOR].overlay[VSM_OVERLAY_ASSIST].page;

    (void)state;
    assert_true(call_with(0, HV_CALL_SIGNAL_EVENT | HV_CONTROL_FAST, 4, 0) ==
                HV_STATUS_INVALID_CONNECTION_ID);
    put(0, &install, sizeof(install));
    assert_true(call(HV_CALL_INSTALL_INTERCEPT) == 0);
    goes_to_vtl0();
    f->vps[0].gpr[VSM_RCX] = HV_CALL_SIGNAL_EVENT | HV_CONTROL_FAST;
    f->vps[0].gpr[VSM_RDX] = 4;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_VMMCALL, 0, 0), VSM_RUN);
    assert_int_equal(f->vps[0].active_vtl, VSM_PARAVISOR);
    assert_int_equal(assist->intercept_message.header.type, HV_MESSAGE_HYPERCALL_INTERCEPT);
    assert_int_equal(f->vps[0].vtl[0].vmcb->save.rip, RIP);
}

static void test_ipis(void **state) {
    struct hv_send_ipi_ex_input ex = {
        .vector = 0x41,
        .target_vtl = VTL0,
        .vp_set = {.format = HV_VP_SET_SPARSE_4K, .valid_bank_mask = 1}};
    uint64_t bank = 2;

    (void)state;
    // Fast: vector and VTL in RDX, mask in R8.
    assert_true(call_with(0, HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI | HV_CONTROL_FAST, 0x40, 3) == 0);
    assert_int_equal(f->raised[0][0x40], 1);
    assert_int_equal(f->raised[1][0x40], 1);
    assert_true(call_with(0, HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI | HV_CONTROL_FAST, 0x0f, 3) ==
                HV_STATUS_INVALID_PARAMETER);
    put(0, &ex, sizeof(ex));
    put(24, &bank, sizeof(bank));
    assert_true(call(HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI_EX | VAR(1)) == 0);
    assert_true(call(HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI_EX) == HV_STATUS_INVALID_PARAMETER);
    assert_true(call(HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI_EX | VAR(2)) ==
                HV_STATUS_INVALID_PARAMETER);
}

static void test_sleep_and_reset(void **state) {
    const uint32_t s3 = 3, s5 = 5;

    (void)state;
    put(0, &s3, sizeof(s3));
    assert_true(call(HV_CALL_ENTER_SLEEP_STATE) == HV_STATUS_INVALID_PARAMETER);
    put(0, &s5, sizeof(s5));
    f->vps[0].gpr[VSM_RCX] = HV_CALL_ENTER_SLEEP_STATE;
    f->vps[0].gpr[VSM_RDX] = INPUT;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_VMMCALL, 0, 0), VSM_STOP);
    assert_int_equal(f->partition.stop, VSM_STOP_POWER);
    f->partition.stop = VSM_STOP_NONE;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_SHUTDOWN, 0, 0), VSM_STOP);
    assert_int_equal(f->partition.stop, VSM_STOP_RESET);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape_rules),
        cmocka_unit_test_setup_teardown(test_who_may_call, setup, teardown),
        cmocka_unit_test_setup_teardown(test_32_bit_registers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_registers_from_vtl0, setup, teardown),
        cmocka_unit_test_setup_teardown(test_repetitions_stop_at_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_protection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_lists_are_continued, setup, teardown),
        cmocka_unit_test_setup_teardown(test_translate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_start_of_another_vp, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ipis, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sleep_and_reset, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
