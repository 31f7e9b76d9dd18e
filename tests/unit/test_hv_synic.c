// SPDX-License-Identifier: MIT
//
// The SynIC: MSRs, messages and their slots, event flags, interrupts of SINTs, saved state.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vtl2/hv/synic.h"

#define MESSAGE 0x80000010u
#define ENABLE  1u

static struct hv_synic synic;
static struct hv_message_page simp __attribute__((aligned(4096)));
static struct hv_event_flags_page siefp __attribute__((aligned(4096)));
static uint64_t page_gpa[2]; // + 1; 0: disabled
static bool refuse_page;
static unsigned interrupts[256];
static uint32_t told;
static unsigned told_count;

static void *page(void *ctx, enum hv_synic_page which) {
    assert_ptr_equal(ctx, &synic);
    if (page_gpa[which] == 0) {
        return NULL;
    }
    return which == HV_SYNIC_SIMP ? (void *)&simp : (void *)&siefp;
}

static bool set_page(void *ctx, enum hv_synic_page which, bool enabled, gpa_t gpa) {
    assert_ptr_equal(ctx, &synic);
    assert_true(is_aligned(gpa.value, PAGE_SIZE_4K));
    if (refuse_page && enabled) {
        return false;
    }
    page_gpa[which] = enabled ? gpa.value + 1 : 0;
    return true;
}

static void interrupt(void *ctx, uint8_t vector) {
    assert_ptr_equal(ctx, &synic);
    interrupts[vector]++;
}

static void ready(void *ctx, uint32_t sints) {
    assert_ptr_equal(ctx, &synic);
    told = sints;
    told_count++;
}

static const struct hv_synic_ops ops = {
    .page = page, .set_page = set_page, .interrupt = interrupt, .ready = ready};

static int setup(void **state) {
    (void)state;
    memset(&simp, 0, sizeof(simp));
    memset(&siefp, 0, sizeof(siefp));
    memset(interrupts, 0, sizeof(interrupts));
    memset(page_gpa, 0, sizeof(page_gpa));
    refuse_page = false;
    told = told_count = 0;
    hv_synic_init(&synic, &ops, &synic);
    return 0;
}

static uint64_t rdmsr(uint32_t index) {
    uint64_t value = 0;

    assert_int_equal(hv_synic_read_msr(&synic, index, &value), 0);
    return value;
}

static void wrmsr(uint32_t index, uint64_t value) {
    assert_int_equal(hv_synic_write_msr(&synic, index, value), 0);
}

/// As Linux does it: pages, SINT 2 with vector 0x60, SCONTROL.
static void enable(void) {
    wrmsr(HV_MSR_SIMP, 0x5000 | ENABLE);
    wrmsr(HV_MSR_SIEFP, 0x6000 | ENABLE);
    wrmsr(HV_MSR_SINT0 + 2, 0x60);
    wrmsr(HV_MSR_SCONTROL, ENABLE);
}

static int post(unsigned sint, uint8_t byte) {
    return hv_synic_post(&synic, sint, MESSAGE, 7, &byte, 1);
}

static void test_msrs(void **state) {
    uint64_t value;

    (void)state;
    assert_int_equal(rdmsr(HV_MSR_SVERSION), 1);
    assert_int_equal(rdmsr(HV_MSR_EOM), 0);
    for (uint32_t i = 0; i < 16; i++) {
        assert_int_equal(rdmsr(HV_MSR_SINT0 + i), HV_SINT_MASKED);
    }
    assert_int_equal(hv_synic_write_msr(&synic, HV_MSR_SVERSION, 2), -EPERM);
    assert_int_equal(hv_synic_read_msr(&synic, 0x40000085, &value), -ENOENT);
    assert_int_equal(hv_synic_write_msr(&synic, 0x400000A0, 0), -ENOENT);
    assert_int_equal(hv_synic_write_msr(&synic, HV_MSR_SINT0 + 3, 15), -EPERM);
    assert_int_equal(rdmsr(HV_MSR_SINT0 + 3), HV_SINT_MASKED);
    wrmsr(HV_MSR_SINT0 + 3, 15 | HV_SINT_MASKED);
    wrmsr(HV_MSR_SINT0 + 3, 15 | HV_SINT_POLLING);
    wrmsr(HV_MSR_SINT15, 16 | HV_SINT_AUTO_EOI);
    assert_true(hv_synic_is_auto_eoi(&synic, 16));
    assert_false(hv_synic_is_auto_eoi(&synic, 15));
    wrmsr(HV_MSR_SINT15, 16 | HV_SINT_AUTO_EOI | HV_SINT_MASKED);
    assert_false(hv_synic_is_auto_eoi(&synic, 16));
    wrmsr(HV_MSR_SIMP, 0x5FFF);
    assert_int_equal(rdmsr(HV_MSR_SIMP), 0x5001);
    assert_int_equal(page_gpa[HV_SYNIC_SIMP], 0x5001);
    wrmsr(HV_MSR_SIMP, 0x7000);
    assert_int_equal(page_gpa[HV_SYNIC_SIMP], 0);
    refuse_page = true;
    assert_int_equal(hv_synic_write_msr(&synic, HV_MSR_SIEFP, 0x6001), -EPERM);
    assert_int_equal(rdmsr(HV_MSR_SIEFP), 0);
}

static void test_message(void **state) {
    static const uint8_t payload[240] = {1, 2, 3};

    (void)state;
    enable();
    memset(&simp.slot[2].payload, 0xEE, sizeof(simp.slot[2].payload));
    assert_int_equal(hv_synic_post(&synic, 2, MESSAGE, 0x1122334455667788, payload, 3), 0);
    assert_int_equal(simp.slot[2].header.type, MESSAGE);
    assert_int_equal(simp.slot[2].header.payload_size_bytes, 3);
    assert_int_equal(simp.slot[2].header.flags, 0);
    assert_true(simp.slot[2].header.sender == 0x1122334455667788);
    assert_memory_equal(simp.slot[2].payload, payload, 3);
    assert_int_equal(simp.slot[2].payload[3], 0xEE);
    assert_int_equal(interrupts[0x60], 1);
    assert_int_equal(hv_synic_post(&synic, 16, MESSAGE, 0, payload, 1), -EINVAL);
    assert_int_equal(hv_synic_post(&synic, 2, MESSAGE, 0, payload, 241), -EINVAL);
    assert_int_equal(hv_synic_post(&synic, 2, 0, 0, payload, 1), -EINVAL);
}

static void test_slot_taken(void **state) {
    (void)state;
    enable();
    assert_int_equal(post(2, 1), 0);
    assert_int_equal(post(2, 2), -EAGAIN);
    assert_int_equal(simp.slot[2].header.flags, HV_MESSAGE_FLAG_PENDING);
    assert_int_equal(simp.slot[2].payload[0], 1);
    assert_int_equal(told_count, 0);
    simp.slot[2].header.type = HV_MESSAGE_NONE;
    wrmsr(HV_MSR_EOM, 0);
    assert_int_equal(told, 1u << 2);
    assert_int_equal(post(2, 2), 0);
    assert_int_equal(simp.slot[2].header.flags, 0);
    assert_int_equal(interrupts[0x60], 2);
    wrmsr(HV_MSR_EOM, 0); // nobody waits
    assert_int_equal(told_count, 1);
    assert_int_equal(post(2, 3), -EAGAIN);
    hv_synic_eoi(&synic); // an EOI of the APIC does as well
    assert_int_equal(told_count, 2);
}

/// What is off makes senders wait, and each thing that comes on tells them.
static void test_disabled(void **state) {
    (void)state;
    assert_int_equal(post(2, 1), -EAGAIN);
    wrmsr(HV_MSR_SINT0 + 2, 0x60);
    assert_int_equal(told_count, 1);
    assert_int_equal(post(2, 1), -EAGAIN);
    wrmsr(HV_MSR_SCONTROL, ENABLE);
    assert_int_equal(told_count, 2);
    assert_int_equal(post(2, 1), -EAGAIN);
    wrmsr(HV_MSR_SIMP, 0x5001);
    assert_int_equal(told_count, 3);
    assert_int_equal(post(2, 1), 0);
    wrmsr(HV_MSR_SINT0 + 4, 0x61 | HV_SINT_MASKED);
    assert_int_equal(post(4, 1), -EAGAIN);
    assert_int_equal(simp.slot[4].header.type, 0);
    wrmsr(HV_MSR_SINT0 + 3, 0x62);
    assert_int_equal(told_count, 3); // another SINT
    wrmsr(HV_MSR_SINT0 + 4, 0x61 | HV_SINT_POLLING);
    assert_int_equal(told_count, 4);
    assert_int_equal(post(4, 1), 0);
    assert_int_equal(interrupts[0x61], 0); // the guest polls
}

static void test_event_flags(void **state) {
    (void)state;
    assert_int_equal(hv_synic_signal(&synic, 2, 9), -EAGAIN);
    enable();
    assert_int_equal(hv_synic_signal(&synic, 2, 9), 0);
    assert_int_equal(siefp.flags[2][1], 2);
    assert_int_equal(interrupts[0x60], 1);
    assert_int_equal(hv_synic_signal(&synic, 2, 9), 0); // still set: no interrupt
    assert_int_equal(interrupts[0x60], 1);
    assert_int_equal(hv_synic_signal(&synic, 2, 2047), 0);
    assert_int_equal(siefp.flags[2][255], 0x80);
    assert_int_equal(interrupts[0x60], 2);
    assert_int_equal(hv_synic_signal(&synic, 2, 2048), -EINVAL);
    assert_int_equal(hv_synic_signal(&synic, 16, 0), -EINVAL);
    assert_int_equal(hv_synic_signal(&synic, 3, 0), -EAGAIN); // masked
}

static void test_state(void **state) {
    struct hv_synic_state saved, bad;

    (void)state;
    enable();
    assert_int_equal(post(2, 1), 0);
    assert_int_equal(post(2, 1), -EAGAIN);
    hv_synic_save(&synic, &saved);
    hv_synic_reset(&synic);
    assert_int_equal(page_gpa[0] | page_gpa[1], 0);
    assert_int_equal(rdmsr(HV_MSR_SINT0 + 2), HV_SINT_MASKED);
    assert_int_equal(hv_synic_load(&synic, &saved), 0);
    assert_memory_equal(&synic.state, &saved, sizeof(saved));
    assert_int_equal(page_gpa[HV_SYNIC_SIMP], 0x5001);
    assert_int_equal(page_gpa[HV_SYNIC_SIEFP], 0x6001);
    wrmsr(HV_MSR_EOM, 0);
    assert_int_equal(told, 1u << 2);
#define REFUSED(field, value)                                                                      \
    do {                                                                                           \
        bad = saved;                                                                               \
        bad.field = (value);                                                                       \
        assert_int_equal(hv_synic_load(&synic, &bad), -EINVAL);                                    \
    } while (0)
    REFUSED(version, 0);
    REFUSED(waiting_sints, 0x10000);
    REFUSED(scontrol, 2);
    REFUSED(simp, 3);
    REFUSED(siefp, 2);
    REFUSED(sint[15], 3);
    REFUSED(sint[0], 1ull << 32);
#undef REFUSED
    assert_int_equal(page_gpa[HV_SYNIC_SIMP], 0x5001); // nothing changed
    refuse_page = true;
    assert_int_equal(hv_synic_load(&synic, &saved), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_msrs, setup),
        cmocka_unit_test_setup(test_message, setup),
        cmocka_unit_test_setup(test_slot_taken, setup),
        cmocka_unit_test_setup(test_disabled, setup),
        cmocka_unit_test_setup(test_event_flags, setup),
        cmocka_unit_test_setup(test_state, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
