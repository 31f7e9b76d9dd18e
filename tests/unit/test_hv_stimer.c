// SPDX-License-Identifier: MIT
//
// Synthetic timers: MSR rules, one-shot, periodic, auto-enable, direct and message mode, saved
// state; and message mode through a real SynIC.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vtl2/hv/stimer.h"
#include "vtl2/hv/synic.h"

#define CONFIG(n) (HV_MSR_STIMER0_CONFIG + 2 * (n))
#define COUNT(n)  (CONFIG(n) + 1)
#define SINT(n)   ((uint64_t)(n) << HV_STIMER_SINT_SHIFT)
#define DIRECT(v) (HV_STIMER_DIRECT | (uint64_t)(v) << HV_STIMER_VECTOR_SHIFT)
#define START     UINT64_C(1000000)

static struct hv_stimers timers;
static struct hv_synic synic;
static struct hv_message_page simp __attribute__((aligned(4096)));
static uint64_t now;
static unsigned interrupts[256];
static bool slot_taken;
static unsigned posts;
static unsigned last_sint;
static struct hv_timer_message last;

static void interrupt(void *ctx, uint8_t vector) {
    (void)ctx;
    interrupts[vector]++;
}

static int fake_post(void *ctx, unsigned sint, const struct hv_timer_message *payload) {
    assert_ptr_equal(ctx, &timers);
    if (slot_taken) {
        return -EAGAIN;
    }
    posts++;
    last_sint = sint;
    last = *payload;
    return 0;
}

static const struct hv_stimer_ops ops = {.interrupt = interrupt, .post = fake_post};

static int setup(void **state) {
    (void)state;
    memset(interrupts, 0, sizeof(interrupts));
    memset(&last, 0, sizeof(last));
    memset(&simp, 0, sizeof(simp));
    now = START;
    slot_taken = false;
    posts = last_sint = 0;
    hv_stimers_init(&timers, &ops, &timers);
    return 0;
}

static uint64_t rdmsr(uint32_t index) {
    uint64_t value = 0;

    assert_int_equal(hv_stimers_read_msr(&timers, index, &value), 0);
    return value;
}

static void wrmsr(uint32_t index, uint64_t value) {
    assert_int_equal(hv_stimers_write_msr(&timers, now, index, value), 0);
}

static void advance_to(uint64_t time) {
    now = time;
    hv_stimers_advance(&timers, now);
}

static uint64_t deadline(void) {
    return hv_stimers_deadline(&timers);
}

static void test_msrs(void **state) {
    uint64_t value;

    (void)state;
    assert_int_equal(hv_stimers_read_msr(&timers, 0x400000AF, &value), -ENOENT);
    assert_int_equal(hv_stimers_read_msr(&timers, 0x400000B8, &value), -ENOENT);
    assert_int_equal(hv_stimers_write_msr(&timers, now, 0x400000B8, 0), -ENOENT);
    assert_int_equal(hv_stimers_write_msr(&timers, now, CONFIG(0), 1ull << 13), -EPERM);
    assert_int_equal(hv_stimers_write_msr(&timers, now, CONFIG(3), 1ull << 20), -EPERM);
    wrmsr(COUNT(3), 77);
    assert_int_equal(rdmsr(COUNT(3)), 77);
    wrmsr(CONFIG(1), HV_STIMER_ENABLE); // SINT 0: quietly not enabled
    assert_int_equal(rdmsr(CONFIG(1)), 0);
    wrmsr(CONFIG(1), HV_STIMER_ENABLE | DIRECT(15));
    assert_int_equal(rdmsr(CONFIG(1)), DIRECT(15));
    wrmsr(CONFIG(1), HV_STIMER_ENABLE | DIRECT(16));
    assert_int_equal(rdmsr(CONFIG(1)), HV_STIMER_ENABLE | DIRECT(16));
    assert_true(deadline() == HV_STIMER_NEVER); // count is 0
    wrmsr(CONFIG(0), HV_STIMER_AUTO_ENABLE);
    wrmsr(COUNT(0), START + 1); // SINT 0: not by auto-enable either
    assert_int_equal(rdmsr(CONFIG(0)), HV_STIMER_AUTO_ENABLE);
    assert_true(deadline() == HV_STIMER_NEVER);
}

static void test_one_shot_direct(void **state) {
    (void)state;
    // As Linux programs its clock event device.
    wrmsr(CONFIG(0), DIRECT(0xED) | HV_STIMER_AUTO_ENABLE);
    wrmsr(COUNT(0), START + 500);
    assert_int_equal(rdmsr(CONFIG(0)), DIRECT(0xED) | HV_STIMER_AUTO_ENABLE | HV_STIMER_ENABLE);
    assert_true(deadline() == START + 500);
    advance_to(START + 499);
    assert_int_equal(interrupts[0xED], 0);
    advance_to(START + 500);
    assert_int_equal(interrupts[0xED], 1);
    assert_int_equal(rdmsr(CONFIG(0)), DIRECT(0xED) | HV_STIMER_AUTO_ENABLE);
    assert_true(deadline() == HV_STIMER_NEVER);
    advance_to(START + 5000);
    assert_int_equal(interrupts[0xED], 1);
    wrmsr(COUNT(0), START); // in the past: at once
    assert_true(deadline() == START);
    advance_to(now);
    assert_int_equal(interrupts[0xED], 2);
    wrmsr(COUNT(0), now + 100);
    wrmsr(COUNT(0), 0); // off, although auto-enable is on
    assert_int_equal(rdmsr(CONFIG(0)) & HV_STIMER_ENABLE, 0);
    advance_to(now + 1000);
    assert_int_equal(interrupts[0xED], 2);
    wrmsr(COUNT(0), now + 100);
    wrmsr(CONFIG(0), 0);
    assert_true(deadline() == HV_STIMER_NEVER);
}

static void test_periodic(void **state) {
    (void)state;
    wrmsr(COUNT(1), 10000);
    wrmsr(CONFIG(1), DIRECT(0x40) | HV_STIMER_PERIODIC | HV_STIMER_ENABLE);
    for (unsigned i = 1; i <= 3; i++) {
        assert_true(deadline() == START + i * 10000);
        advance_to(START + i * 10000);
        assert_int_equal(interrupts[0x40], i);
    }
    advance_to(START + 75000); // four were missed: one interrupt
    assert_int_equal(interrupts[0x40], 4);
    assert_true(deadline() == START + 80000);
    assert_int_equal(rdmsr(CONFIG(1)) & HV_STIMER_ENABLE, HV_STIMER_ENABLE);
    wrmsr(COUNT(1), 1); // a period nobody can keep
    assert_true(deadline() == now + 2000);
    wrmsr(COUNT(1), UINT64_MAX);
    assert_true(deadline() == UINT64_MAX);
    advance_to(now + 1000000);
    assert_int_equal(interrupts[0x40], 4);
}

static void test_message_mode(void **state) {
    (void)state;
    wrmsr(CONFIG(2), SINT(3) | HV_STIMER_ENABLE);
    wrmsr(COUNT(2), START + 100);
    advance_to(START + 150);
    assert_int_equal(posts, 1);
    assert_int_equal(last_sint, 3);
    assert_int_equal(last.timer_index, 2);
    assert_true(last.expiration_time_100ns == START + 100);
    assert_true(last.delivery_time_100ns == START + 150);
    // The slot is taken: kept, and tried again when the SINT is ready.
    slot_taken = true;
    wrmsr(CONFIG(2), SINT(3) | HV_STIMER_ENABLE);
    wrmsr(COUNT(2), START + 200);
    advance_to(START + 200);
    assert_int_equal(posts, 1);
    assert_true(deadline() == HV_STIMER_NEVER); // waits for the guest, not for time
    slot_taken = false;
    hv_stimers_retry(&timers, START + 300, 1u << 4); // another SINT
    assert_int_equal(posts, 1);
    hv_stimers_retry(&timers, START + 300, 1u << 3);
    assert_int_equal(posts, 2);
    assert_true(last.expiration_time_100ns == START + 200);
    assert_true(last.delivery_time_100ns == START + 300);
    hv_stimers_retry(&timers, START + 300, 1u << 3);
    assert_int_equal(posts, 2);
    // Programming the timer anew drops what waits.
    slot_taken = true;
    wrmsr(CONFIG(2), SINT(3) | HV_STIMER_ENABLE | HV_STIMER_PERIODIC);
    wrmsr(COUNT(2), 10000);
    advance_to(now + 10000);
    advance_to(now + 10000);
    wrmsr(CONFIG(2), SINT(3));
    slot_taken = false;
    hv_stimers_retry(&timers, now, 1u << 3);
    assert_int_equal(posts, 2);
    slot_taken = true;
    wrmsr(CONFIG(2), SINT(3) | HV_STIMER_ENABLE);
    wrmsr(COUNT(2), now);
    advance_to(now);
    wrmsr(COUNT(2), now + 100);
    slot_taken = false;
    hv_stimers_retry(&timers, now, 1u << 3);
    assert_int_equal(posts, 2);
}

// ---- through a SynIC ----------------------------------------------------------------------------

static void *synic_page(void *ctx, enum hv_synic_page which) {
    (void)ctx;
    return which == HV_SYNIC_SIMP ? &simp : NULL;
}

static bool synic_set_page(void *ctx, enum hv_synic_page which, bool enabled, gpa_t gpa) {
    (void)ctx, (void)which, (void)enabled, (void)gpa;
    return true;
}

static void synic_ready(void *ctx, uint32_t sints) {
    (void)ctx;
    hv_stimers_retry(&timers, now, sints);
}

static int synic_post(void *ctx, unsigned sint, const struct hv_timer_message *payload) {
    (void)ctx;
    return hv_synic_post(&synic, sint, HV_MESSAGE_TIMER_EXPIRED, 0, payload, sizeof(*payload));
}

static void test_two_timers_one_sint(void **state) {
    static const struct hv_synic_ops synic_ops = {.page = synic_page,
                                                  .set_page = synic_set_page,
                                                  .interrupt = interrupt,
                                                  .ready = synic_ready};
    static const struct hv_stimer_ops real = {.interrupt = interrupt, .post = synic_post};
    struct hv_timer_message message;

    (void)state;
    hv_stimers_init(&timers, &real, &timers);
    hv_synic_init(&synic, &synic_ops, NULL);
    assert_int_equal(hv_synic_write_msr(&synic, HV_MSR_SCONTROL, 1), 0);
    assert_int_equal(hv_synic_write_msr(&synic, HV_MSR_SIMP, 0x1001), 0);
    assert_int_equal(hv_synic_write_msr(&synic, HV_MSR_SINT0 + 2, 0x33), 0);
    for (unsigned i = 0; i < 3; i++) {
        wrmsr(CONFIG(i), SINT(2) | HV_STIMER_ENABLE);
        wrmsr(COUNT(i), START + 1);
    }
    advance_to(START + 1);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(interrupts[0x33], i + 1);
        assert_int_equal(simp.slot[2].header.type, HV_MESSAGE_TIMER_EXPIRED);
        assert_int_equal(simp.slot[2].header.payload_size_bytes, 24);
        assert_int_equal(simp.slot[2].header.flags, i < 2 ? HV_MESSAGE_FLAG_PENDING : 0);
        memcpy(&message, simp.slot[2].payload, sizeof(message));
        assert_int_equal(message.timer_index, i);
        simp.slot[2].header.type = HV_MESSAGE_NONE;
        assert_int_equal(hv_synic_write_msr(&synic, HV_MSR_EOM, 0), 0);
    }
    assert_int_equal(simp.slot[2].header.type, HV_MESSAGE_NONE);
}

static void test_state(void **state) {
    struct hv_stimers_state saved, bad;

    (void)state;
    wrmsr(CONFIG(0), DIRECT(0xED) | HV_STIMER_AUTO_ENABLE);
    wrmsr(COUNT(0), START + 500);
    slot_taken = true;
    wrmsr(CONFIG(1), SINT(1) | HV_STIMER_ENABLE);
    wrmsr(COUNT(1), START);
    advance_to(START);
    hv_stimers_save(&timers, &saved);
    hv_stimers_reset(&timers);
    assert_true(deadline() == HV_STIMER_NEVER);
    assert_int_equal(rdmsr(CONFIG(0)), 0);
    assert_int_equal(hv_stimers_load(&timers, &saved), 0);
    assert_memory_equal(&timers.state, &saved, sizeof(saved));
    assert_true(deadline() == START + 500);
    slot_taken = false;
    hv_stimers_retry(&timers, now, 1u << 1);
    assert_int_equal(posts, 1);
#define REFUSED(field, value)                                                                      \
    do {                                                                                           \
        bad = saved;                                                                               \
        bad.field = (value);                                                                       \
        assert_int_equal(hv_stimers_load(&timers, &bad), -EINVAL);                                 \
    } while (0)
    REFUSED(version, 9);
    REFUSED(reserved, 1);
    REFUSED(timer[3].reserved[5], 1);
    REFUSED(timer[3].config, 1ull << 63);
    REFUSED(timer[3].config, HV_STIMER_ENABLE);
    REFUSED(timer[2].armed, 1);
    REFUSED(timer[2].message_pending, 2);
    REFUSED(timer[0].count, 0);
#undef REFUSED
    // The clock of where it was saved was ahead: the waiting message expired at its delivery.
    assert_int_equal(hv_stimers_load(&timers, &saved), 0);
    hv_stimers_retry(&timers, START - 400, 1u << 1);
    assert_int_equal(posts, 2);
    assert_true(last.expiration_time_100ns == START - 400);
    assert_true(last.delivery_time_100ns == START - 400);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_msrs, setup),
        cmocka_unit_test_setup(test_one_shot_direct, setup),
        cmocka_unit_test_setup(test_periodic, setup),
        cmocka_unit_test_setup(test_message_mode, setup),
        cmocka_unit_test_setup(test_two_timers_one_sint, setup),
        cmocka_unit_test_setup(test_state, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
