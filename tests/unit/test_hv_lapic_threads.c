// SPDX-License-Identifier: MIT
//
// Interrupts for one local APIC from several threads: none is lost, none comes twice, its trigger
// mode is its sender's.

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/fake_apics.h"

#define SENDERS 3u
#define ROUNDS  3000u

static struct fake_apics a;
static _Atomic unsigned taken[256];
static _Atomic unsigned senders_left;

/// Even vectors are edges, odd ones levels. A vector is sent again when the last one was taken.
static void *send(void *arg) {
    uint8_t vector = (uint8_t)(uintptr_t)arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        (void)hv_apic_send(
            &a.bus,
            &(struct hv_apic_message){.delivery = HV_FIXED, .level = vector & 1, .vector = vector});
        while (atomic_load(&taken[vector]) != i + 1) {
            sched_yield();
        }
    }
    atomic_fetch_sub(&senders_left, 1);
    return NULL;
}

static void kick(void *ctx, uint32_t index) {
    (void)ctx, (void)index;
}

static void test_senders(void **state) {
    pthread_t thread[SENDERS];

    (void)state;
    fake_apics_init(&a);
    fake_apics_enable(&a);
    a.bus.kick = kick;
    atomic_store(&senders_left, SENDERS);
    for (uintptr_t i = 0; i < SENDERS; i++) { // all in one word of the inbox
        assert_int_equal(pthread_create(&thread[i], NULL, send, (void *)(0x41 + i)), 0);
    }
    while (atomic_load(&senders_left) != 0) {
        int vector = fake_apic_take(&a, 0);

        if (vector < 0) {
            sched_yield();
            continue;
        }
        assert_int_equal(a.lapic[0].state.tmr[vector / 32] >> vector % 32 & 1, vector & 1);
        fake_apic_write(&a, 0, 0xB0, 0);
        assert_int_equal(hv_lapic_take_eoi(&a.lapic[0]), vector & 1 ? vector : -1);
        atomic_fetch_add(&taken[vector], 1);
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(atomic_load(&taken[0x41 + i]), ROUNDS);
    }
    assert_int_equal(fake_apic_take(&a, 0), FAKE_APIC_NOTHING);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_senders)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
