// SPDX-License-Identifier: MIT
//
// The hypervisor's pages over guest memory: VP assist page, hypercall page, SynIC pages, reference
// TSC, register page; where they come and go, for whom, and what is under them (TLFS, "GPA Overlay
// Pages").
#include "tests/guest/vtl2/vtl2.h"

#include <string.h>

static uint64_t spare[2][PAGE_SIZE_4K / 8] __attribute__((aligned(4096)));

static void move_assist(void *page) {
    EQUAL(try_wrmsr(HV_MSR_VP_ASSIST_PAGE, (uintptr_t)page | HV_MSR_PAGE_ENABLE), 0);
}

TEST(overlay_covers_and_uncovers) {
    volatile uint64_t *first = spare[0], *second = spare[1];

    first[7] = 0x7777;
    second[7] = 0x8888;
    move_assist(spare[0]);
    EXPECT(first[7] != 0x7777);
    first[100] = 0x1234; // into the hypervisor's page
    move_assist(spare[1]);
    EQUAL(first[7], 0x7777);
    EXPECT(first[100] != 0x1234);
    EQUAL(second[100], 0x1234);
    EQUAL(try_wrmsr(HV_MSR_VP_ASSIST_PAGE, 0), 0);
    EQUAL(second[7], 0x8888);
    move_assist(me()->assist);
}

TEST(overlay_begins_with_zeroes) {
    uint64_t sum = 0;

    EQUAL(try_wrmsr(HV_MSR_VP_ASSIST_PAGE, 0), 0);
    move_assist(me()->assist);
    for (unsigned i = 0; i < 512; i++) {
        sum |= ((volatile uint64_t *)me()->assist)[i];
    }
    EQUAL(sum, 0);
}

TEST(overlay_on_overlay) {
    volatile uint64_t *page = spare[0];

    // Which of two shows is the hypervisor's choice; the other is there when it is gone.
    page[9] = 0x9999;
    move_assist(spare[0]);
    page[9] = 0x1111;
    EQUAL(try_wrmsr(HV_MSR_SIMP, (uintptr_t)spare[0] | 1), 0);
    EQUAL(cpu_rdmsr(HV_MSR_SIMP), (uintptr_t)spare[0] | 1);
    EQUAL(try_wrmsr(HV_MSR_SIMP, 0), 0);
    EQUAL(page[9], 0x1111);
    EQUAL(try_wrmsr(HV_MSR_SIMP, (uintptr_t)spare[0] | 1), 0);
    move_assist(me()->assist);
    EXPECT(page[9] != 0x1111 && page[9] != 0x9999); // the message page
    EQUAL(try_wrmsr(HV_MSR_SIMP, 0), 0);
    EQUAL(page[9], 0x9999);
}

TEST(overlay_without_memory) {
    volatile uint64_t *hole = at(HOLE_GPA);
    uint64_t value = 0;

    EQUAL(try_wrmsr(HV_MSR_SIEFP, HOLE_GPA | 1), 0);
    hole[3] = 0x3333;
    EQUAL(hole[3], 0x3333);
    EQUAL(try_wrmsr(HV_MSR_SIEFP, 0), 0);
    EQUAL(try_read(HOLE_GPA + 24, &value), 0);
    EXPECT(value != 0x3333);
    EQUAL(try_wrmsr(HV_MSR_SIEFP, UINT64_C(1) << 52 | 1), FAULT_GP);
}

static void vtl0_reads(void *argument) {
    guest_me()->word[0] = *(volatile uint64_t *)argument;
}

TEST(overlay_of_vtl2_only) {
    volatile uint64_t *page = spare[0];
    struct hv_vp_assist_page *kept = me()->assist;

    // VTL0 sees what is under VTL2's page.
    page[0] = 0x4444;
    move_assist(spare[0]);
    me()->assist = (void *)spare[0];
    page[0] = 0;
    vtl0_call(vtl0_reads, spare[0]);
    EQUAL(guests[0].word[0], 0x4444);
    EQUAL(try_wrmsr(HV_MSR_VP_ASSIST_PAGE, 0), 0);
    EQUAL(page[0], 0x4444);
    me()->assist = kept;
    move_assist(kept);
}

static void vtl0_pages(void *argument) {
    volatile uint64_t *word = guest_me()->word, *page = argument;

    page[5] = 0x5555;
    cpu_wrmsr(HV_MSR_VP_ASSIST_PAGE, (uintptr_t)argument | 1);
    word[0] = page[5];
    page[5] = 0x6666;
    cpu_wrmsr(HV_MSR_VP_ASSIST_PAGE, 0);
    word[1] = page[5];
    cpu_wrmsr(HV_MSR_VP_ASSIST_PAGE, (uintptr_t)argument | 1);
}

TEST(overlay_of_vtl0_only) {
    volatile uint64_t *page = at(DATA_GPA);

    vtl0_call(vtl0_pages, at(DATA_GPA));
    EQUAL(guests[0].word[0], 0);
    EQUAL(guests[0].word[1], 0x5555);
    EQUAL(page[5], 0x5555); // VTL2 sees the memory
    EQUAL(vtl0_get(HV_REGISTER_VP_ASSIST_PAGE), DATA_GPA | 1);
    vtl0_set(HV_REGISTER_VP_ASSIST_PAGE, 0);
}

TEST(overlay_under_protection) {
    // Protecting a page that is covered is about what is under it.
    vtl0_call(vtl0_pages, at(TARGET_GPA));
    EQUAL(protect(TARGET_GPA, 1, 0), REPS(1));
    vtl0_call(vtl0_reads, at(TARGET_GPA + 40));
    vtl0_set(HV_REGISTER_VP_ASSIST_PAGE, 0);
    vtl0_function(vtl0_reads, at(TARGET_GPA + 40));
    EQUAL(vtl0_run(), HV_MESSAGE_GPA_INTERCEPT);
}

static void vtl0_lock(void *argument) {
    volatile uint64_t *word = guest_me()->word;

    cpu_wrmsr(HV_MSR_GUEST_OS_ID, 1);
    cpu_wrmsr(HV_MSR_HYPERCALL, (uintptr_t)argument | 3);
    word[0] = cpu_rdmsr(HV_MSR_HYPERCALL);
    word[1] = try_wrmsr(HV_MSR_HYPERCALL, 0);
}

TEST(hypercall_page_locked) {
    vtl0_call(vtl0_lock, at(DATA_GPA));
    EQUAL(guests[0].word[0], DATA_GPA | 3);
    EQUAL(guests[0].word[1], FAULT_GP);
    // VTL2 must be able to reset its guest.
    vtl0_set(HV_REGISTER_HYPERCALL, 0);
    vtl0_set(HV_REGISTER_GUEST_OS_ID, 0);
    EQUAL(vtl0_get(HV_REGISTER_HYPERCALL), 0);
}

static void vtl0_reference_tsc(void *argument) {
    volatile uint64_t *word = guest_me()->word;
    volatile struct hv_reference_tsc_page *page = argument;
    uint64_t worst = 0;

    cpu_wrmsr(HV_MSR_REFERENCE_TSC, (uintptr_t)argument | 1);
    word[0] = page->sequence;
    for (unsigned i = 0; i < 50; i++) {
        uint64_t before = cpu_rdmsr(HV_MSR_TIME_REF_COUNT), tsc = cpu_rdtsc(), high, low, now;

        __asm__("mulq %3" : "=d"(high), "=a"(low) : "a"(tsc), "r"(page->scale));
        now = high + (uint64_t)page->offset;
        uint64_t after = cpu_rdmsr(HV_MSR_TIME_REF_COUNT);

        if (now + 2 < before || now > after + 2) {
            worst++;
        }
    }
    word[1] = worst;
    cpu_wrmsr(HV_MSR_REFERENCE_TSC, 0);
}

TEST(reference_tsc) {
    vtl0_call(vtl0_reference_tsc, at(DATA_GPA));
    EXPECT(guests[0].word[0] != 0);
    EQUAL(guests[0].word[1], 0); // always between two readings of the MSR
}

static uint64_t stamps[3];

static void vtl0_time(void *argument) {
    (void)argument;
    stamps[0] = cpu_rdmsr(HV_MSR_TIME_REF_COUNT);
    stamps[1] = cpu_rdtsc();
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t now = cpu_rdmsr(HV_MSR_TIME_REF_COUNT);

        if (now < stamps[0]) {
            guest_me()->word[0]++;
        }
        stamps[0] = now;
    }
}

TEST(reference_time) {
    uint64_t from = cpu_rdmsr(HV_MSR_TIME_REF_COUNT);
    bool right = false;

    vtl0_call(vtl0_time, NULL);
    EQUAL(guests[0].word[0], 0); // never back
    EXPECT(stamps[0] > from);    // one clock for both VTLs
    // As fast as the TSC; a busy machine may spoil an attempt.
    for (unsigned i = 0; i < 5 && !right; i++) {
        uint64_t start = cpu_rdmsr(HV_MSR_TIME_REF_COUNT), tsc = cpu_rdtsc(), us, wanted_us;

        delay_us(10000);
        us = (cpu_rdmsr(HV_MSR_TIME_REF_COUNT) - start) / 10;
        wanted_us = (cpu_rdtsc() - tsc) / (tsc_hz / 1000000);
        right = us + 200 > wanted_us && us < wanted_us + 200;
    }
    EXPECT(right);
}
