// SPDX-License-Identifier: MIT
//
// VP 0 between its VTLs (vtl_fixture.h).
#include "tests/support/vtl_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct vsm_vp *vp0;
struct hv_vp_assist_page *assist;

struct svm_vmcb *vmcb(unsigned vtl) {
    return vp0->vtl[vtl].vmcb;
}

int vtl_setup(void **state) {
    struct svm_save *s;

    (void)state;
    fake_partition_new();
    vp0 = &fake->vps[0];
    assist = vp0->vtl[VSM_PARAVISOR].overlay[VSM_OVERLAY_ASSIST].page;
    s = &vmcb(VSM_PARAVISOR)->save;
    s->efer = 0xd01 | SVM_EFER_SVME;
    s->cr0 = 0x80000011;
    s->cs.attributes = 0xa9b;
    s->ss.attributes = 0xc93;
    s->rip = 0x5000;
    s->rsp = 0x9990;
    assert_int_equal(vsm_write_msr(vp0, 2, HV_MSR_GUEST_OS_ID, 1), 0);
    assert_int_equal(vsm_write_msr(vp0, 2, HV_MSR_HYPERCALL, 0x9001), 0);
    fake_partition_enter_vtl0(fake, 0, RIP);
    return 0;
}

int vtl_teardown(void **state) {
    (void)state;
    fake_partition_free(fake);
    return 0;
}

void vtl_return(bool fast) {
    vp0->gpr[VSM_RCX] = HV_CALL_VTL_RETURN;
    vp0->gpr[VSM_RAX] = fast;
    assert_int_equal(fake_partition_exit(fake, 0, SVM_EXIT_VMMCALL, 0, 0), VSM_RUN);
    assert_int_equal(vp0->active_vtl, VSM_GUEST_VTL);
}

const void *vtl_message(uint32_t type, size_t size) {
    assert_int_equal(vp0->active_vtl, VSM_PARAVISOR);
    assert_int_equal(assist->vtl_entry_reason, HV_VTL_ENTRY_INTERCEPT);
    assert_int_equal(assist->intercept_message.header.type, type);
    assert_int_equal(assist->intercept_message.header.payload_size_bytes, size);
    return assist->intercept_message.payload;
}

void vtl_set_register(uint32_t name, uint64_t low, uint64_t high) {
    struct hv_register_value value = {{{low, high}}};

    assert_int_equal(vsm_register_set(vp0, 2, 0, name, &value), HV_STATUS_SUCCESS);
}
