// SPDX-License-Identifier: MIT
//
// minihost's use of the interrupt controllers: VTL0's APIC by MSRs and by emulated instructions,
// start-up of another VP, timers and their messages, what is injected and when a VP idles.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/fake_partition.h"
#include "tools/minihost/vsm/internal.h"
#include "tools/minihost/vsm/vtl0_apic.h"

#define APIC        0xFEE00000u
#define CODE        0x1000u
#define NPF_WRITE   (SVM_NPF_FINAL | SVM_NPF_USER | SVM_NPF_WRITE)
#define NPF_READ    (SVM_NPF_FINAL | SVM_NPF_USER)
#define INJECTED(v) (SVM_EVENT_VALID | SVM_EVENT_TYPE_INTR | (v))

static struct fake_partition *f;

static int setup(void **state) {
    (void)state;
    f = fake_partition_new();
    fake_partition_enter_vtl0(f, 0, CODE);
    memset(f->kicks, 0, sizeof(f->kicks));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    fake_partition_free(f);
    return 0;
}

static struct svm_vmcb *vtl0(unsigned vp) {
    return f->vps[vp].vtl[VSM_GUEST_VTL].vmcb;
}

/// mov [APIC + off], eax: 5 bytes.
static void mmio_write(unsigned vp, uint32_t off, uint32_t value) {
    uint32_t address = APIC + off;
    uint8_t code[5] = {0xA3};
    uint64_t rip = vtl0(vp)->save.rip;

    memcpy(code + 1, &address, 4);
    fake_partition_code(f, vp, rip, code, sizeof(code));
    f->vps[vp].gpr[VSM_RAX] = value;
    assert_int_equal(fake_partition_exit(f, vp, SVM_EXIT_NPF, NPF_WRITE, address), VSM_RUN);
    assert_true(vtl0(vp)->save.rip == rip + 5);
}

/// mov eax, [APIC + off]
static uint32_t mmio_read(unsigned vp, uint32_t off) {
    uint32_t address = APIC + off;
    uint8_t code[5] = {0xA1};

    memcpy(code + 1, &address, 4);
    fake_partition_code(f, vp, vtl0(vp)->save.rip, code, sizeof(code));
    assert_int_equal(fake_partition_exit(f, vp, SVM_EXIT_NPF, NPF_READ, address), VSM_RUN);
    return (uint32_t)f->vps[vp].gpr[VSM_RAX];
}

static void wrmsr(unsigned vp, uint32_t index, uint64_t value) {
    uint64_t rip = vtl0(vp)->save.rip;

    f->vps[vp].gpr[VSM_RCX] = index;
    f->vps[vp].gpr[VSM_RAX] = (uint32_t)value;
    f->vps[vp].gpr[VSM_RDX] = value >> 32;
    assert_int_equal(fake_partition_exit(f, vp, SVM_EXIT_MSR, 1, 0), VSM_RUN);
    assert_true(vtl0(vp)->save.rip == rip + 2);
}

static enum vsm_next before_entry(unsigned vp) {
    return vsm_before_entry(&f->vps[vp]);
}

static void test_mmio(void **state) {
    // and dword [APIC + 0xF0], ~0xFF; or; mov [edi], esi through a register; 8 bytes by push
    static const uint8_t or_svr[] = {0x81, 0x0D, 0xF0, 0x00, 0xE0, 0xFE, 0x00, 0x01, 0x00, 0x00};
    static const uint8_t fxsave[] = {0x0F, 0xAE, 0x05, 0x00, 0x00, 0xE0, 0xFE};

    (void)state;
    assert_int_equal(mmio_read(0, 0x30), 0x50014);
    assert_int_equal(mmio_read(0, 0xF0), 0xFF);
    fake_partition_code(f, 0, CODE, or_svr, sizeof(or_svr));
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_NPF, NPF_READ, APIC + 0xF0), VSM_RUN);
    assert_true(vtl0(0)->save.rip == CODE + sizeof(or_svr));
    assert_int_equal(mmio_read(0, 0xF0), 0x1FF);
    mmio_write(0, 0x80, 0x42);
    assert_int_equal(mmio_read(0, 0x80), 0x42);
    assert_int_equal(before_entry(0), VSM_RUN);
    assert_int_equal(vtl0(0)->control.int_ctl & SVM_INT_V_TPR_MASK, 4); // CR8
    // What the emulator does not do goes to VTL2 as an intercept.
    fake_partition_code(f, 0, CODE, fxsave, sizeof(fxsave));
    assert_int_equal(vsm_apic_mmio(&f->vps[0]), VSM_APIC_MMIO_UNHANDLED);
    assert_true(vtl0(0)->save.rip == CODE);
    // A fault of the instruction is VTL0's: a read-only page as its code segment.
    vtl0(0)->save.ds.attributes = 0xC90;
    fake_partition_code(f, 0, CODE, (const uint8_t[]){0xA3, 0xF0, 0, 0xE0, 0xFE}, 5);
    assert_int_equal(vsm_apic_mmio(&f->vps[0]), VSM_APIC_MMIO_FAULT);
    assert_int_equal(f->vps[0].pending_event & SVM_EVENT_VECTOR_MASK, 13);
    assert_true(vtl0(0)->save.rip == CODE);
}

/// A write of CR8 by these bytes, flat 32-bit code: where RIP and CR8 are then.
static void write_cr8(const void *code, size_t size_bytes, uint64_t rip, uint8_t cr8) {
    fake_partition_code(f, 0, CODE, code, size_bytes);
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_CR8_WRITE, 0, 0), VSM_RUN);
    assert_true(vtl0(0)->save.rip == CODE + rip);
    assert_int_equal(hv_lapic_cr8(&f->vps[0].vtl[VSM_GUEST_VTL].lapic), cr8);
}

static void test_cr8(void **state) {
    (void)state;
    mmio_write(0, 0xF0, 0x1FF);
    assert_int_equal(before_entry(0), VSM_RUN);
    assert_false(vtl0(0)->control.intercept_cr_write & SVM_INTERCEPT_CR8);
    vtl0(0)->save.rflags = 0x2;
    mmio_write(0, 0x300, 0x44051); // waits for a window: never together with CR8's own
    assert_int_equal(before_entry(0), VSM_RUN);
    assert_true(vtl0(0)->control.intercept_cr_write & SVM_INTERCEPT_CR8);
    f->vps[0].gpr[VSM_RBX] = 7;
    write_cr8("\xF0\x0F\x22\xC3", 4, 4, 7); // lock mov cr0, ebx
    vtl0(0)->control.int_ctl = SVM_INT_V_MASKING | 7;
    f->vps[0].gpr[VSM_RBX] = 16;
    write_cr8("\xF0\x0F\x22\xC3", 4, 0, 7); // #GP
    assert_int_equal(f->vps[0].pending_event & SVM_EVENT_VECTOR_MASK, 13);
    vtl0(0)->control.int_ctl = SVM_INT_V_MASKING | 7;
    write_cr8("\x0F\x22\xC3", 3, 0, 7); // mov cr0, ebx: changed meanwhile
    assert_int_equal(f->vps[0].pending_event & SVM_EVENT_VECTOR_MASK, 6);
    vtl0(0)->save.efer = 0x400 | SVM_EFER_SVME;
    vtl0(0)->save.cs.attributes |= SVM_SEGMENT_LONG;
    f->vps[0].gpr[9] = 2;
    write_cr8("\x45\x0F\x22\xC1", 4, 4, 2); // mov cr8, r9
    assert_int_equal(before_entry(0), VSM_RUN);
    assert_int_equal(vtl0(0)->control.int_ctl & SVM_INT_V_TPR_MASK, 2);
}

static void test_inject_and_eoi(void **state) {
    struct vsm_vp *vp = &f->vps[0];

    (void)state;
    mmio_write(0, 0xF0, 0x1FF);
    vtl0(0)->save.rflags = 0x2; // IF clear: a window is asked for
    mmio_write(0, 0x300, 0x44051);
    assert_int_equal(before_entry(0), VSM_RUN);
    assert_int_equal(vtl0(0)->control.event_injection, 0);
    assert_true(vtl0(0)->control.int_ctl & SVM_INT_V_IRQ);
    vtl0(0)->save.rflags = 0x202;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_VINTR, 0, 0), VSM_RUN);
    assert_int_equal(before_entry(0), VSM_RUN);
    assert_true(vtl0(0)->control.event_injection == INJECTED(0x51));
    assert_false(vtl0(0)->control.int_ctl & SVM_INT_V_IRQ);
    assert_int_equal(mmio_read(0, 0x120), 0x20000); // in service
    mmio_write(0, 0xB0, 0);
    assert_int_equal(mmio_read(0, 0x120), 0);
    assert_int_equal(vsm_apic_take_eoi(vp), -1);
    // A level-triggered one is reported to VTL2 if it asked for that.
    assert_int_equal(
        vsm_apic_assert(&f->partition, &(struct hv_apic_message){.vector = 0x61, .level = true}),
        0);
    assert_int_equal(f->kicks[0], 0); // its CPU looks before it enters
    assert_int_equal(before_entry(0), VSM_RUN);
    assert_true(vtl0(0)->control.event_injection == INJECTED(0x61));
    f->partition.intercepts = 1u << HV_INTERCEPT_APIC_EOI;
    mmio_write(0, 0xB0, 0);
    assert_int_equal(before_entry(0), VSM_RUN);
    assert_int_equal(vp->active_vtl, VSM_PARAVISOR);
}

static void test_start_up(void **state) {
    struct vsm_vp *ap = &f->vps[1];

    (void)state;
    ap->active_vtl = VSM_GUEST_VTL; // its VTL2 returned to a VTL0 that was never started
    assert_int_equal(before_entry(1), VSM_IDLE);
    assert_true(vsm_deadline(ap) == UINT64_MAX);
    mmio_write(0, 0xF0, 0x1FF);
    mmio_write(0, 0x310, 1u << 24);
    mmio_write(0, 0x300, 0xC500);
    assert_int_equal(f->kicks[1], 1);
    assert_int_equal(vsm_woken(ap, false), VSM_IDLE);
    mmio_write(0, 0x300, 0x4609);
    assert_int_equal(vsm_woken(ap, false), VSM_RUN);
    assert_int_equal(vtl0(1)->save.cs.selector, 0x900);
    assert_true(vtl0(1)->save.cs.base == 0x9000);
    assert_true(vtl0(1)->save.rip == 0);
    assert_true(ap->vtl[VSM_GUEST_VTL].running);
    // A later start-up message means nothing to a VP that runs.
    vtl0(1)->save.rip = 0x55;
    mmio_write(0, 0x300, 0x4633);
    assert_int_equal(before_entry(1), VSM_RUN);
    assert_true(vtl0(1)->save.rip == 0x55);
}

static void test_halt_and_timer(void **state) {
    struct vsm_vp *vp = &f->vps[0];
    uint64_t start = f->now_100ns;

    (void)state;
    mmio_write(0, 0xF0, 0x1FF);
    mmio_write(0, 0x3E0, 0xB);
    mmio_write(0, 0x320, 0x200EC);  // periodic
    mmio_write(0, 0x380, 10000000); // 10 ms
    assert_true(vsm_deadline(vp) == start + 100000);
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_HLT, 0, 0), VSM_RUN);
    assert_int_equal(before_entry(0), VSM_IDLE);
    f->now_100ns = start + 99999;
    assert_int_equal(vsm_woken(vp, false), VSM_IDLE);
    f->now_100ns = start + 100000;
    assert_int_equal(vsm_woken(vp, false), VSM_RUN);
    assert_true(vtl0(0)->control.event_injection == INJECTED(0xEC));
    // Asked again before the entry, as a CPU that slept is: the decision stands.
    assert_int_equal(before_entry(0), VSM_RUN);
    assert_true(vtl0(0)->control.event_injection == INJECTED(0xEC));
    assert_false(vp->halted);
    assert_true(vsm_deadline(vp) == start + 200000);
    // With interrupts off, HLT sleeps through it; while VTL2 runs nobody is woken for it.
    vtl0(0)->save.rflags = 2;
    assert_int_equal(fake_partition_exit(f, 0, SVM_EXIT_HLT, 0, 0), VSM_RUN);
    f->now_100ns = start + 300000;
    assert_int_equal(before_entry(0), VSM_IDLE);
    assert_int_equal(vsm_woken(vp, true), VSM_RUN);
    assert_int_equal(vp->active_vtl, VSM_PARAVISOR);
    assert_true(vsm_deadline(vp) == UINT64_MAX);
}

static void test_x2apic_and_stimers(void **state) {
    struct vsm_vp *vp = &f->vps[0];
    uint64_t start = f->now_100ns, value = 0;
    const struct hv_message_page *simp;

    (void)state;
    wrmsr(0, 0x1B, APIC | 0xD00);
    assert_false(vsm_apic_owns_page(vp, APIC));
    wrmsr(0, 0x80F, 0x1FF);
    wrmsr(0, HV_MSR_STIMER0_CONFIG, HV_STIMER_DIRECT | 0xEDu << 4 | HV_STIMER_AUTO_ENABLE);
    wrmsr(0, HV_MSR_STIMER0_CONFIG + 1, start + 5000);
    assert_true(vsm_deadline(vp) == start + 5000);
    f->now_100ns = start + 5000;
    assert_int_equal(before_entry(0), VSM_RUN);
    assert_true(vtl0(0)->control.event_injection == INJECTED(0xED));
    wrmsr(0, 0x80B, 0);
    // A message into the overlay page.
    wrmsr(0, HV_MSR_SIMP, 0x3001);
    wrmsr(0, HV_MSR_SCONTROL, 1);
    wrmsr(0, HV_MSR_SINT0 + 2, 0xF3 | HV_SINT_AUTO_EOI);
    wrmsr(0, HV_MSR_STIMER0_CONFIG + 2, HV_STIMER_ENABLE | 2u << HV_STIMER_SINT_SHIFT);
    wrmsr(0, HV_MSR_STIMER0_CONFIG + 3, start + 6000);
    f->now_100ns = start + 6000;
    assert_int_equal(before_entry(0), VSM_RUN);
    assert_true(vtl0(0)->control.event_injection == INJECTED(0xF3));
    simp = f->overlays[VSM_GUEST_VTL][3];
    assert_non_null(simp);
    assert_int_equal(simp->slot[2].header.type, HV_MESSAGE_TIMER_EXPIRED);
    assert_int_equal(vsm_apic_read_msr(vp, 0, 0x817, &value), 0);
    assert_int_equal(value, 0); // auto-EOI: not in service
    // Reset takes the page away.
    vsm_apic_reset_vp(vp);
    assert_null(f->overlays[VSM_GUEST_VTL][3]);
    assert_true(vsm_apic_owns_page(vp, APIC));
}

static void test_synic_of_vtl2(void **state) {
    struct vsm_vp *vp = &f->vps[0];
    uint64_t value;

    (void)state;
    assert_int_equal(vsm_apic_write_msr(vp, 2, HV_MSR_SINT0 + 2, 0xF3), 0);
    assert_int_equal(vsm_apic_write_msr(vp, 2, HV_MSR_SCONTROL, 1), 0);
    assert_int_equal(vsm_apic_write_msr(vp, 2, HV_MSR_SIEFP, 0x5001), 0);
    assert_int_equal(hv_synic_signal(&vp->vtl[2].synic, 2, 1), 0);
    assert_int_equal(f->raised[0][0xF3], 1);
    assert_int_equal(vsm_apic_read_msr(vp, 2, 0x1B, &value), -ENOENT);
    assert_int_equal(vsm_apic_write_msr(vp, 2, HV_MSR_STIMER0_CONFIG, 0), -ENOENT);
    assert_int_equal(vsm_apic_read_msr(vp, 2, 0x802, &value), -ENOENT);
    assert_int_equal(vsm_apic_write_msr(vp, 2, HV_MSR_SIMP, 0xFFFFF000001), -EPERM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mmio, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cr8, setup, teardown),
        cmocka_unit_test_setup_teardown(test_inject_and_eoi, setup, teardown),
        cmocka_unit_test_setup_teardown(test_start_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_halt_and_timer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_x2apic_and_stimers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_synic_of_vtl2, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
