// SPDX-License-Identifier: MIT
//
// VTL0's timers: the local APIC's and the synthetic ones, direct and by message. Times are compared
// with the reference time: never early; late by no more than a busy machine explains.
#include "tests/guest/vtl2/vtl2.h"

#define MS             UINT64_C(10000) // in 100 ns
#define LATE           (UINT64_C(200) * MS)
#define EXPIRIES       20u
#define TIMER_VECTOR   0xb0u
#define MESSAGE_VECTOR 0xb1u
#define SINT           4u

static struct guest *const guest = &guests[0];

static uint64_t now(void) {
    return cpu_rdmsr(HV_MSR_TIME_REF_COUNT);
}

/// VTL0 waits in HLT until a vector has come count times.
static void wait_for(uint32_t vector, uint32_t count) {
    while (guest_me()->taken[vector] < count) {
        __asm__ volatile("sti; hlt; cli" ::: "memory");
    }
}

static void check_times(uint64_t wanted_100ns) {
    uint64_t took = guest->word[1] - guest->word[0];

    EXPECT(took >= wanted_100ns);
    EXPECT(took <= wanted_100ns + LATE);
    note("%lu us instead of %lu", (unsigned long)(took / 10), (unsigned long)(wanted_100ns / 10));
}

static void vtl0_direct_once(void *argument) {
    (void)argument;
    apic_set(APIC_SVR, 0x1ff);
    guest_me()->word[0] = now();
    cpu_wrmsr(HV_MSR_STIMER0_CONFIG,
              HV_STIMER_DIRECT | HV_STIMER_AUTO_ENABLE | TIMER_VECTOR << HV_STIMER_VECTOR_SHIFT);
    cpu_wrmsr(HV_MSR_STIMER0_CONFIG + 1, guest_me()->word[0] + 3 * MS);
    wait_for(TIMER_VECTOR, 1);
    guest_me()->word[1] = now();
    guest_me()->word[2] = cpu_rdmsr(HV_MSR_STIMER0_CONFIG);
}

TEST(stimer_direct_once) {
    vtl0_call(vtl0_direct_once, NULL);
    check_times(3 * MS);
    EQUAL(guest->taken[TIMER_VECTOR], 1);
    EQUAL(guest->word[2] & HV_STIMER_ENABLE, 0); // once
}

static void vtl0_direct_periodic(void *argument) {
    uint64_t last;

    (void)argument;
    apic_set(APIC_SVR, 0x1ff);
    guest_me()->word[0] = last = now();
    cpu_wrmsr(HV_MSR_STIMER0_CONFIG + 3, MS); // timer 1's count: a period
    cpu_wrmsr(HV_MSR_STIMER0_CONFIG + 2, HV_STIMER_ENABLE | HV_STIMER_PERIODIC | HV_STIMER_DIRECT |
                                             TIMER_VECTOR << HV_STIMER_VECTOR_SHIFT);
    for (uint32_t i = 1; i <= EXPIRIES; i++) {
        wait_for(TIMER_VECTOR, i);
        guest_me()->word[3] += now() < last;
        last = now();
    }
    guest_me()->word[1] = last;
    cpu_wrmsr(HV_MSR_STIMER0_CONFIG + 2, 0);
    open_interrupts(); // one may have been on its way
    guest_me()->word[2] = guest_me()->taken[TIMER_VECTOR];
    while (now() < last + 3 * MS) {
        open_interrupts();
    }
}

TEST(stimer_direct_periodic) {
    vtl0_call(vtl0_direct_periodic, NULL);
    // A late expiry does not move the next ones, so that the sum is right but for the last.
    EXPECT(guest->word[1] - guest->word[0] + MS >= EXPIRIES * MS);
    EXPECT(guest->word[1] - guest->word[0] <= EXPIRIES * MS + LATE);
    note("%lu us for %u periods of 1 ms", (unsigned long)((guest->word[1] - guest->word[0]) / 10),
         EXPIRIES);
    EQUAL(guest->word[3], 0);
    EQUAL(guest->taken[TIMER_VECTOR], guest->word[2]); // off is off
}

static void vtl0_message_once(void *argument) {
    volatile struct hv_message_page *page = argument;
    volatile struct hv_timer_message *payload = (void *)page->slot[SINT].payload;
    volatile uint64_t *word = guest_me()->word;

    apic_set(APIC_SVR, 0x1ff);
    cpu_wrmsr(HV_MSR_SIMP, (uintptr_t)argument | 1);
    cpu_wrmsr(HV_MSR_SINT0 + SINT, MESSAGE_VECTOR);
    cpu_wrmsr(HV_MSR_SCONTROL, 1);
    word[0] = now();
    cpu_wrmsr(HV_MSR_STIMER0_CONFIG + 4, HV_STIMER_AUTO_ENABLE | SINT << HV_STIMER_SINT_SHIFT);
    word[5] = word[0] + 2 * MS;
    cpu_wrmsr(HV_MSR_STIMER0_CONFIG + 5, word[5]);
    wait_for(MESSAGE_VECTOR, 1);
    word[1] = now();
    word[2] = page->slot[SINT].header.type;
    word[3] = payload->timer_index;
    word[4] = payload->expiration_time_100ns;
    word[6] = payload->delivery_time_100ns;
    word[7] = page->slot[SINT].header.payload_size_bytes;
}

TEST(stimer_message) {
    vtl0_call(vtl0_message_once, at(DATA_GPA));
    check_times(2 * MS);
    EQUAL(guest->word[2], HV_MESSAGE_TIMER_EXPIRED);
    EQUAL(guest->word[3], 2);
    EQUAL(guest->word[4], guest->word[5]);
    EXPECT(guest->word[6] >= guest->word[4] && guest->word[6] <= guest->word[1]);
    EQUAL(guest->word[7], sizeof(struct hv_timer_message));
}

static void vtl0_past(void *argument) {
    (void)argument;
    apic_set(APIC_SVR, 0x1ff);
    guest_me()->word[0] = now();
    cpu_wrmsr(HV_MSR_STIMER0_CONFIG,
              HV_STIMER_DIRECT | HV_STIMER_AUTO_ENABLE | TIMER_VECTOR << HV_STIMER_VECTOR_SHIFT);
    cpu_wrmsr(HV_MSR_STIMER0_CONFIG + 1, 1); // long ago: at once
    wait_for(TIMER_VECTOR, 1);
    guest_me()->word[1] = now();
}

TEST(stimer_in_the_past) {
    vtl0_call(vtl0_past, NULL);
    check_times(0);
}

static void vtl0_refused(void *argument) {
    (void)argument;
    // A message to SINT 0 is none that a timer may send: it is not enabled.
    cpu_wrmsr(HV_MSR_STIMER0_CONFIG, HV_STIMER_ENABLE);
    guest_me()->word[0] = cpu_rdmsr(HV_MSR_STIMER0_CONFIG) & HV_STIMER_ENABLE;
}

TEST(stimer_sint_0) {
    vtl0_call(vtl0_refused, NULL);
    EQUAL(guest->word[0], 0);
}

static void vtl0_apic_once(void *argument) {
    (void)argument;
    apic_set(APIC_SVR, 0x1ff);
    apic_set(APIC_DIV, 0x3); // by 16
    apic_set(APIC_TIMER, TIMER_VECTOR);
    guest_me()->word[0] = now();
    apic_set(APIC_INIT, 250000); // 4 ms at 1 GHz
    guest_me()->word[2] = apic_get(APIC_COUNT);
    wait_for(TIMER_VECTOR, 1);
    guest_me()->word[1] = now();
    guest_me()->word[3] = apic_get(APIC_COUNT);
}

TEST(apic_timer_once) {
    vtl0_call(vtl0_apic_once, NULL);
    check_times(4 * MS);
    EXPECT(guest->word[2] <= 250000);
    EQUAL(guest->word[3], 0);
    EQUAL(guest->taken[TIMER_VECTOR], 1);
}

static void vtl0_apic_periodic(void *argument) {
    (void)argument;
    apic_set(APIC_SVR, 0x1ff);
    apic_set(APIC_DIV, 0xb); // by 1
    apic_set(APIC_TIMER, 0x20000u | TIMER_VECTOR);
    guest_me()->word[0] = now();
    apic_set(APIC_INIT, 2000000); // 2 ms
    for (uint32_t i = 1; i <= EXPIRIES; i++) {
        wait_for(TIMER_VECTOR, i);
    }
    guest_me()->word[1] = now();
    apic_set(APIC_INIT, 0);
}

TEST(apic_timer_periodic) {
    vtl0_call(vtl0_apic_periodic, NULL);
    EXPECT(guest->word[1] - guest->word[0] + 2 * MS >= EXPIRIES * 2 * MS);
    EXPECT(guest->word[1] - guest->word[0] <= EXPIRIES * 2 * MS + LATE);
    note("%lu us for %u periods of 2 ms", (unsigned long)((guest->word[1] - guest->word[0]) / 10),
         EXPIRIES);
}

static void vtl0_spins(void *argument) {
    (void)argument;
    apic_set(APIC_SVR, 0x1ff);
    guest_me()->word[0] = now();
    cpu_wrmsr(HV_MSR_STIMER0_CONFIG,
              HV_STIMER_DIRECT | HV_STIMER_AUTO_ENABLE | TIMER_VECTOR << HV_STIMER_VECTOR_SHIFT);
    cpu_wrmsr(HV_MSR_STIMER0_CONFIG + 1, guest_me()->word[0] + 5 * MS);
    __asm__ volatile("sti");
    while (!guest_me()->taken[TIMER_VECTOR]) { // no exits of its own
        __builtin_ia32_pause();
    }
    __asm__ volatile("cli");
    guest_me()->word[1] = now();
}

TEST(stimer_interrupts_running_code) {
    vtl0_call(vtl0_spins, NULL);
    check_times(5 * MS);
}

static void vtl0_due_in_vtl2(void *argument) {
    (void)argument;
    apic_set(APIC_SVR, 0x1ff);
    cpu_wrmsr(HV_MSR_STIMER0_CONFIG,
              HV_STIMER_DIRECT | HV_STIMER_AUTO_ENABLE | TIMER_VECTOR << HV_STIMER_VECTOR_SHIFT);
    cpu_wrmsr(HV_MSR_STIMER0_CONFIG + 1, now() + MS);
    stop(0);
    open_interrupts();
    guest_me()->word[0] = guest_me()->taken[TIMER_VECTOR];
}

TEST(stimer_due_while_vtl2_runs) {
    vtl0_function(vtl0_due_in_vtl2, NULL);
    vtl0_to_stop(0);
    delay_us(3000);
    vtl0_finish();
    EQUAL(guest->word[0], 1);
}
