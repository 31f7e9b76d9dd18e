// SPDX-License-Identifier: MIT
//
// VTL0's local APIC, which the host plays: as memory-mapped registers, as x2APIC MSRs, as Hyper-V's
// MSRs; interrupts that VTL2 asserts (TLFS, "Virtual Interrupt Control"; SDM vol. 3, chapter 11).
#include "tests/guest/vtl2/vtl2.h"

#define X2APIC_ID       0x802u
#define X2APIC_TPR      0x808u
#define X2APIC_SVR      0x80fu
#define X2APIC_ICR      0x830u
#define X2APIC_SELF_IPI 0x83fu

static struct guest *const guest = &guests[0];

static void vtl0_apic_on(void *argument) {
    (void)argument;
    apic_set(APIC_SVR, 0x1ff);
    stop(0);
    open_interrupts();
    stop(1);
    open_interrupts();
}

TEST(assert_fixed) {
    vtl0_function(vtl0_apic_on, NULL);
    vtl0_to_stop(0);
    EQUAL(assert_interrupt(0, 0, 0x41), 0);
    vtl0_to_stop(1);
    EQUAL(guest->taken[0x41], 1);
    vtl0_finish();
    EQUAL(guest->taken[0x41], 1);
}

TEST(assert_by_priority) {
    vtl0_function(vtl0_apic_on, NULL);
    vtl0_to_stop(0);
    EQUAL(assert_interrupt(0, 0, 0x41), 0);
    EQUAL(assert_interrupt(0, 0, 0x91), 0);
    EQUAL(assert_interrupt(0, 0, 0x93), 0);
    EQUAL(assert_interrupt(0, 0, 0x41), 0); // is one with the first
    vtl0_to_stop(1);
    vtl0_finish();
    EQUAL(guest->order_count, 3);
    EQUAL(guest->order[0], 0x93);
    EQUAL(guest->order[1], 0x91);
    EQUAL(guest->order[2], 0x41);
}

TEST(assert_destinations) {
    vtl0_function(vtl0_apic_on, NULL);
    vtl0_to_stop(0);
    EQUAL(assert_interrupt(0, 77, 0x42), 0); // nobody there: lost
    EQUAL(assert_interrupt(0, 0xff, 0x43), 0);
    EQUAL(assert_interrupt(HV_INTERRUPT_TYPE_LOWEST_PRIORITY, 0, 0x44), 0);
    vtl0_to_stop(1);
    vtl0_finish();
    EQUAL(guest->taken[0x42], 0);
    EQUAL(guest->taken[0x43], 1);
    EQUAL(guest->taken[0x44], 1);
}

TEST(assert_while_disabled) {
    vtl0_function(vtl0_apic_on, NULL);
    EQUAL(assert_interrupt(0, 0, 0x45), 0); // its APIC is off
    vtl0_to_stop(0);
    vtl0_to_stop(1);
    vtl0_finish();
    EQUAL(guest->taken[0x45], 0);
}

TEST(assert_refused) {
    struct hv_assert_interrupt_input *in = (void *)me()->input;

    EQUAL(assert_interrupt(0, 0, 0x100), HV_STATUS_INVALID_PARAMETER);
    EQUAL(assert_interrupt(8, 0, 0x40), HV_STATUS_INVALID_PARAMETER);
    EQUAL(assert_interrupt(0, UINT64_C(1) << 32, 0x40), HV_STATUS_INVALID_PARAMETER);
    EQUAL(assert_interrupt(0, 0, 0x40), 0);
    in->target_vtl = 0; // VTL2 has the processor's
    EQUAL(call(HV_CALL_ASSERT_VIRTUAL_INTERRUPT), HV_STATUS_INVALID_PARAMETER);
    in->target_vtl = VTL0;
    in->partition_id = 4;
    EQUAL(call(HV_CALL_ASSERT_VIRTUAL_INTERRUPT), HV_STATUS_INVALID_PARTITION_ID);
}

static void vtl0_cr8(void *argument) {
    (void)argument;
    apic_set(APIC_SVR, 0x1ff);
    __asm__ volatile("mov %0, %%cr8" ::"r"(UINT64_C(9)));
    stop(0);
    __asm__ volatile("sti; nop");
    guest_me()->word[0] = guest_me()->taken[0x91];
    guest_me()->word[1] = guest_me()->taken[0xa1];
    guest_me()->word[2] = apic_get(APIC_TPR);
    __asm__ volatile("mov %0, %%cr8; nop; nop" ::"r"(UINT64_C(8)));
    guest_me()->word[3] = guest_me()->taken[0x91];
    apic_set(APIC_TPR, 0x30);
    __asm__ volatile("mov %%cr8, %0" : "=r"(guest_me()->word[4]));
    __asm__ volatile("cli");
}

TEST(task_priority) {
    vtl0_function(vtl0_cr8, NULL);
    vtl0_to_stop(0);
    EQUAL(vtl0_get(HV_REGISTER_CR8), 9);
    EQUAL(assert_interrupt(0, 0, 0x91), 0);
    EQUAL(assert_interrupt(0, 0, 0xa1), 0);
    vtl0_finish();
    EQUAL(guest->word[0], 0); // class 9 is held back
    EQUAL(guest->word[1], 1);
    EQUAL(guest->word[2], 0x90);
    EQUAL(guest->word[3], 1); // as soon as CR8 is lower
    EQUAL(guest->word[4], 3);
    EQUAL(vtl0_get(HV_REGISTER_CR8), 3);
}

TEST(level_triggered_eoi) {
    const struct hv_apic_eoi_message *m = message();

    EQUAL(install_intercept(HV_INTERCEPT_APIC_EOI, HV_INTERCEPT_ACCESS_MASK_WRITE, 0), 0);
    vtl0_function(vtl0_apic_on, NULL);
    vtl0_to_stop(0);
    EQUAL(assert_interrupt(HV_ASSERT_LEVEL_TRIGGERED, 0, 0x46), 0);
    EQUAL(vtl0_run(), HV_MESSAGE_APIC_EOI);
    EQUAL(m->vp_index, 0);
    EQUAL(m->vector, 0x46);
    EQUAL(guest->taken[0x46], 1);
    EQUAL(assert_interrupt(0, 0, 0x47), 0); // edge: nobody is told
    vtl0_to_stop(1);
    EQUAL(guest->taken[0x47], 1);
    EQUAL(install_intercept(HV_INTERCEPT_APIC_EOI, 0, 0), 0);
    EQUAL(assert_interrupt(HV_ASSERT_LEVEL_TRIGGERED, 0, 0x46), 0);
    vtl0_finish();
    EQUAL(guest->taken[0x46], 2);
}

// ---- registers ----------------------------------------------------------------------------------
static void vtl0_xapic(void *argument) {
    volatile uint64_t *word = guest_me()->word;
    uint32_t exchanged = 0;
    uint64_t value = 0;

    (void)argument;
    word[0] = apic_get(APIC_ID) >> 24;
    word[1] = apic_get(0x30); // version
    word[2] = apic_get(APIC_SVR);
    apic_set(APIC_SVR, 0x1ff);
    apic_set(0xd0, 0x5a000000u); // logical destination
    word[3] = apic_get(0xd0);
    apic_set(APIC_TPR, 0x55);
    word[4] = apic_get(APIC_TPR);
    apic_set(APIC_TPR, 0);
    apic_set(APIC_ICR, 0x40000u | 0x61); // to itself
    open_interrupts();
    apic_set(APIC_ICR2, apic_get(APIC_ID));
    apic_set(APIC_ICR, 0x62); // by its id
    open_interrupts();
    word[5] = try_rdmsr(X2APIC_ID, &value);
    __asm__ volatile("movl $0, %0; orl $0x70, %0; xchgl %1, %0"
                     : "+m"(*(volatile uint32_t *)at(0xfee00080u)), "+r"(exchanged));
    word[6] = exchanged;
    word[7] = *(volatile uint8_t *)at(0xfee00030u); // not how one reads it; no harm
}

TEST(xapic) {
    vtl0_call(vtl0_xapic, NULL);
    EQUAL(guest->word[0], 0);
    EXPECT((guest->word[1] & 0xff) >= 0x10 && (guest->word[1] & 0xff) <= 0x15);
    EQUAL(guest->word[2], 0xff);
    EQUAL(guest->word[3], 0x5a000000u);
    EQUAL(guest->word[4], 0x55);
    EQUAL(guest->taken[0x61], 1);
    EQUAL(guest->taken[0x62], 1);
    EQUAL(guest->word[5], FAULT_GP); // not in this mode
    EQUAL(guest->word[6], 0x70);
}

static void vtl0_x2apic(void *argument) {
    volatile uint64_t *word = guest_me()->word;
    uint64_t base = cpu_rdmsr(0x1b), value = 0;

    (void)argument;
    word[0] = base;
    guest_me()->eoi = EOI_X2APIC;
    cpu_wrmsr(0x1b, base | 0x400);
    word[1] = cpu_rdmsr(0x1b);
    word[2] = cpu_rdmsr(X2APIC_ID);
    cpu_wrmsr(X2APIC_SVR, 0x1ff);
    word[3] = cpu_rdmsr(X2APIC_SVR);
    cpu_wrmsr(X2APIC_SELF_IPI, 0x71);
    open_interrupts();
    cpu_wrmsr(X2APIC_ICR, (uint64_t)word[2] << 32 | 0x72);
    open_interrupts();
    word[4] = try_wrmsr(X2APIC_ID, 1);
    word[5] = try_wrmsr(X2APIC_TPR, 0x100);
    word[6] = try_rdmsr(0x80b, &value);        // EOI is write-only
    word[7] = try_wrmsr(0x1b, base & ~0x400u); // back to xAPIC needs a detour
    stop(0);
    open_interrupts();
    word[8] = try_wrmsr(0x1b, base & ~0xc00u);
    word[9] = try_wrmsr(0x1b, base);
}

TEST(x2apic) {
    vtl0_function(vtl0_x2apic, NULL);
    vtl0_to_stop(0);
    EQUAL(vtl0_get(HV_REGISTER_APIC_BASE), 0xfee00d00u);
    EQUAL(assert_interrupt(0, 0, 0x73), 0);
    vtl0_finish();
    EQUAL(guest->word[0], 0xfee00900u);
    EQUAL(guest->word[1], 0xfee00d00u);
    EQUAL(guest->word[2], 0);
    EQUAL(guest->word[3], 0x1ff);
    EQUAL(guest->taken[0x71], 1);
    EQUAL(guest->taken[0x72], 1);
    EQUAL(guest->taken[0x73], 1);
    for (unsigned i = 4; i < 8; i++) {
        EQUAL(guest->word[i], FAULT_GP);
    }
    EQUAL(guest->word[8], 0);
    EQUAL(guest->word[9], 0);
}

static void vtl0_synthetic_apic(void *argument) {
    volatile uint64_t *word = guest_me()->word;

    (void)argument;
    apic_set(APIC_SVR, 0x1ff);
    guest_me()->eoi = EOI_SYNTHETIC;
    cpu_wrmsr(HV_MSR_TPR, 0x20);
    word[0] = apic_get(APIC_TPR);
    word[1] = cpu_rdmsr(HV_MSR_TPR);
    cpu_wrmsr(HV_MSR_TPR, 0);
    cpu_wrmsr(HV_MSR_ICR, 0x40081);
    open_interrupts();
    cpu_wrmsr(HV_MSR_ICR, 0x40081);
    open_interrupts();
}

TEST(synthetic_apic_msrs) {
    vtl0_call(vtl0_synthetic_apic, NULL);
    EQUAL(guest->word[0], 0x20);
    EQUAL(guest->word[1], 0x20);
    EQUAL(guest->taken[0x81], 2); // the first one's EOI was one
}

static void vtl0_moved(void *argument) {
    (void)argument;
    cpu_wrmsr(0x1b, 0xfed00900u);
    *(volatile uint32_t *)at(0xfed000f0u) = 0x1ff;
    guest_me()->word[0] = *(volatile uint32_t *)at(0xfed000f0u);
    guest_me()->word[1] = apic_get(APIC_SVR); // nobody's here now: VTL2 is asked
}

TEST(apic_page_moves) {
    vtl0_function(vtl0_moved, NULL);
    EQUAL(vtl0_run(), HV_MESSAGE_UNMAPPED_GPA);
    EQUAL(((const struct hv_memory_intercept *)message())->gpa, 0xfee000f0u);
    EQUAL(guest->word[0], 0x1ff);
}

TEST(apic_reset_by_vtl2) {
    vtl0_function(vtl0_apic_on, NULL);
    vtl0_to_stop(0);
    EQUAL(assert_interrupt(0, 0, 0x48), 0);
    vtl0_apic_reset(); // what was pending goes
    vtl0_to_stop(1);
    EQUAL(guest->taken[0x48], 0);
    vtl0_finish();
}

// ---- SynIC by direct calls ----------------------------------------------------------------------
static void vtl0_synic(void *argument) {
    volatile struct hv_message_page *page = argument;

    apic_set(APIC_SVR, 0x1ff);
    cpu_wrmsr(HV_MSR_SIMP, (uintptr_t)argument | 1);
    cpu_wrmsr(HV_MSR_SINT0 + 3, 0x63);
    cpu_wrmsr(HV_MSR_SCONTROL, 1);
    stop(0);
    open_interrupts();
    guest_me()->word[0] = page->slot[3].header.type;
    guest_me()->word[1] = page->slot[3].payload[1];
    guest_me()->word[2] = page->slot[3].header.flags;
    page->slot[3].header.type = 0;
    cpu_wrmsr(HV_MSR_EOM, 0);
    open_interrupts();
    guest_me()->word[3] = page->slot[3].header.type;
}

TEST(post_message_direct) {
    struct hv_post_message_direct_input *in = (void *)me()->input;
    struct hv_message *m = (void *)in->message;

    vtl0_function(vtl0_synic, at(DATA_GPA));
    vtl0_to_stop(0);
    *in = (struct hv_post_message_direct_input){
        .partition_id = HV_PARTITION_ID_SELF, .target_vtl = VTL0, .sint = 3};
    m->header.type = 0x1234;
    m->header.payload_size_bytes = 2;
    m->payload[1] = 0x99;
    EQUAL(call(HV_CALL_POST_MESSAGE_DIRECT), 0);
    m->header.type = 0x1235;
    EQUAL(call(HV_CALL_POST_MESSAGE_DIRECT), 0); // waits for its slot
    in->sint = 16;
    EQUAL(call(HV_CALL_POST_MESSAGE_DIRECT), HV_STATUS_INVALID_PARAMETER);
    in->sint = 3;
    in->vp_index = vp_count;
    EQUAL(call(HV_CALL_POST_MESSAGE_DIRECT), HV_STATUS_INVALID_VP_INDEX);
    vtl0_finish();
    EQUAL(guest->word[0], 0x1234);
    EQUAL(guest->word[1], 0x99);
    EQUAL(guest->word[2], HV_MESSAGE_FLAG_PENDING);
    EQUAL(guest->word[3], 0x1235);
    EQUAL(guest->taken[0x63], 2);
}
