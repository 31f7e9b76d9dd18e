// SPDX-License-Identifier: MIT
//
// Hypercalls of VP 0 (hypercall_fixture.h).
#include "tests/support/hypercall_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define HC_PAGE UINT64_C(0x9000)

/// 64-bit kernel mode, hypercalls enabled.
static void hypercalls_enable(unsigned vp, unsigned vtl) {
    struct svm_save *s = &fake->vps[vp].vtl[vtl].vmcb->save;

    s->efer = 0xd01 | SVM_EFER_SVME;
    s->cr0 = 0x80000011;
    s->cs.attributes = 0xa9b;
    s->ss.attributes = 0xc93;
    s->rip = RIP;
    assert_int_equal(vsm_write_msr(&fake->vps[vp], vtl, HV_MSR_GUEST_OS_ID, UINT64_C(0x8100) << 48),
                     0);
    assert_int_equal(vsm_write_msr(&fake->vps[vp], vtl, HV_MSR_HYPERCALL, HC_PAGE | 1), 0);
}

int hypercall_setup(void **state) {
    (void)state;
    fake_partition_new();
    hypercalls_enable(0, VSM_PARAVISOR);
    return 0;
}

int hypercall_teardown(void **state) {
    (void)state;
    fake_partition_free(fake);
    return 0;
}

struct svm_vmcb *active(unsigned vp) {
    return fake->vps[vp].vtl[fake->vps[vp].active_vtl].vmcb;
}

uint64_t hypercall_with(unsigned vp, uint64_t control, uint64_t input, uint64_t output) {
    uint64_t rip = active(vp)->save.rip;

    fake->vps[vp].gpr[VSM_RCX] = control;
    fake->vps[vp].gpr[VSM_RDX] = input;
    fake->vps[vp].gpr[8] = output;
    fake->vps[vp].gpr[VSM_RAX] = 0xdead;
    assert_int_equal(fake_partition_exit(fake, vp, SVM_EXIT_VMMCALL, 0, 0), VSM_RUN);
    assert_true(active(vp)->save.rip == rip + 3);
    return fake->vps[vp].gpr[VSM_RAX];
}

uint64_t hypercall(uint64_t control) {
    return hypercall_with(0, control, INPUT, OUTPUT);
}

void put_input(uint64_t off, const void *bytes, size_t size) {
    memcpy(fake->ram + INPUT + off, bytes, size);
}

uint64_t get_output(uint64_t off) {
    uint64_t value;

    memcpy(&value, fake->ram + OUTPUT + off, sizeof(value));
    return value;
}

void put_header(uint8_t vtl) {
    struct hv_vp_registers_input in = {
        .partition_id = HV_PARTITION_ID_SELF, .vp_index = HV_VP_INDEX_SELF, .target_vtl = vtl};

    put_input(0, &in, sizeof(in));
}

void goes_to_vtl0(void) {
    fake_partition_enter_vtl0(fake, 0, RIP);
    hypercalls_enable(0, VSM_GUEST_VTL);
}

uint64_t set_register(uint8_t vtl, uint32_t name, uint64_t low, uint64_t high) {
    struct hv_register_assoc assoc = {.name = name, .value = {{{low, high}}}};

    put_header(vtl);
    put_input(16, &assoc, sizeof(assoc));
    return hypercall(HV_CALL_SET_VP_REGISTERS | REPS(1));
}

uint64_t get_register(uint8_t vtl, uint32_t name, uint64_t *low) {
    uint64_t result;

    put_header(vtl);
    put_input(16, &name, sizeof(name));
    result = hypercall(HV_CALL_GET_VP_REGISTERS | REPS(1));
    *low = get_output(0);
    return result;
}

void put_protection(uint32_t flags, uint32_t pages) {
    struct hv_modify_vtl_protection_input in = {.partition_id = HV_PARTITION_ID_SELF,
                                                .map_flags = flags};

    put_input(0, &in, sizeof(in));
    for (uint64_t i = 0; i < pages; i++) {
        uint64_t page = i % 16;

        put_input(16 + i * 8, &page, sizeof(page));
    }
}
