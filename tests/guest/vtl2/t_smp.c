// SPDX-License-Identifier: MIT
//
// Two VPs: VTL2 on both by EnableVpVtl and StartVirtualProcessor (vp.c does it before the tests),
// interrupts between VTL2s and between VTL0s, VTL0's own start of its AP, protections that hold on
// the other VP at once (TLFS, "Virtual Processor Management", "Virtual Secure Mode").
#include "tests/guest/vtl2/vtl2.h"

#include <string.h>

static volatile uint64_t answer[8];

// ---- VTL2's second VP ---------------------------------------------------------------------------
static void second_looks(void) {
    struct hv_register_value value;

    answer[0] = cpu_rdmsr(HV_MSR_VP_INDEX);
    answer[1] = get_register(OWN_VTL, HV_REGISTER_VSM_VP_STATUS, &value);
    answer[2] = value.low;
    answer[3] = cpu_rdmsr(HV_MSR_HYPERCALL);
    answer[4] = cpu_cpuid(1, 0).ebx >> 24;
    answer[5] = get_register(OWN_VTL, HV_REGISTER_INTERNAL_ACTIVITY_STATE | 0, &value);
    get_register(VTL0, HV_REGISTER_INTERNAL_ACTIVITY_STATE, &value);
    answer[6] = value.low;
}

TEST_VPS(second_vp, 2) {
    on_second(second_looks);
    EQUAL(answer[0], 1);
    EQUAL(answer[1], 0);
    EQUAL(answer[2], 0x50002);
    EQUAL(answer[3], cpu_rdmsr(HV_MSR_HYPERCALL)); // the partition's
    EQUAL(answer[4], apic_id(1));
    EQUAL(answer[6], HV_ACTIVITY_STARTUP_SUSPEND); // an AP waits for its start
}

TEST_VPS(second_vp_start_refused, 2) {
    struct hv_start_vp_input *in = (void *)me()->input;

    memset(in, 0, sizeof(*in));
    in->partition_id = HV_PARTITION_ID_SELF;
    in->vp_index = 1;
    in->target_vtl = 2;
    EQUAL(call(HV_CALL_START_VIRTUAL_PROCESSOR), HV_STATUS_INVALID_VP_STATE); // it runs
    EQUAL(call(HV_CALL_ENABLE_VP_VTL), HV_STATUS_VTL_ALREADY_ENABLED);
    in->target_vtl = 1;
    EQUAL(call(HV_CALL_ENABLE_VP_VTL), HV_STATUS_INVALID_PARAMETER); // there is no VTL1
    in->target_vtl = 2;
    in->vp_index = 2;
    EQUAL(call(HV_CALL_ENABLE_VP_VTL), HV_STATUS_INVALID_VP_INDEX);
    in->vp_index = 1;
    in->context.cr0 = 0x80000010u; // PG without PE
    EQUAL(call(HV_CALL_START_VIRTUAL_PROCESSOR), HV_STATUS_INVALID_REGISTER_VALUE);
    in->partition_id = 6;
    EQUAL(call(HV_CALL_START_VIRTUAL_PROCESSOR), HV_STATUS_INVALID_PARTITION_ID);
}

TEST_VPS(other_vps_registers, 2) {
    struct hv_vp_registers_input *in = (void *)me()->input;

    // They belong to their CPU (docs/minihost.md).
    *in = (struct hv_vp_registers_input){
        .partition_id = HV_PARTITION_ID_SELF, .vp_index = 1, .target_vtl = VTL0};
    *(uint32_t *)(in + 1) = HV_REGISTER_RIP;
    EQUAL(call(HV_CALL_GET_VP_REGISTERS | REPS(1)), HV_STATUS_INVALID_VP_STATE);
}

static void second_ipi(void) {
    apic_send(0, 0x33);
}

TEST_VPS(ipi_between_vtl2, 2) {
    uint32_t before = me()->taken[0x33];

    on_second(second_ipi);
    for (unsigned i = 0; i < 1000 && me()->taken[0x33] == before; i++) {
        take_interrupts();
        delay_us(100);
    }
    EQUAL(me()->taken[0x33], before + 1);
    // Its own VTL0 does not see it, and the hypercall does the same.
    before = vps[1].taken[0x34];
    EQUAL(call_fast(HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI, 0x34, 2), 0);
    for (unsigned i = 0; i < 1000 && vps[1].taken[0x34] == before; i++) {
        delay_us(100);
    }
    EQUAL(vps[1].taken[0x34], before + 1);
}

// ---- VTL0 on both -------------------------------------------------------------------------------
static void wait_for(volatile uint64_t *word) {
    for (unsigned i = 0; i < 400000000 && !*word; i++) {
        __builtin_ia32_pause();
    }
}

static void vtl0_sends(void *argument) {
    volatile uint64_t *word = guest_me()->word;

    (void)argument;
    apic_set(APIC_SVR, 0x1ff);
    wait_for(&guests[1].word[0]); // the other one is ready
    apic_set(APIC_ICR2, 1u << 24);
    apic_set(APIC_ICR, 0x64);
    wait_for(&guests[1].word[1]);
    apic_set(APIC_ICR, 0xc0000u | 0x65); // all but itself
    wait_for(&guests[1].word[2]);
    word[0] = 1;
}

static void vtl0_receives(void *argument) {
    struct guest *guest = guest_me();

    (void)argument;
    apic_set(APIC_SVR, 0x1ff);
    guest->word[0] = 1;
    while (!guest->taken[0x64]) {
        __asm__ volatile("sti; hlt; cli" ::: "memory"); // idle
    }
    guest->word[1] = 1;
    __asm__ volatile("sti");
    while (!guest->taken[0x65]) { // busy
        __builtin_ia32_pause();
    }
    __asm__ volatile("cli");
    guest->word[2] = 1;
}

static void second_receives(void) {
    vtl0_apic_reset();
    vtl0_call(vtl0_receives, NULL);
}

TEST_VPS(ipi_between_vtl0, 2) {
    memset(&guests[1], 0, sizeof(guests[1]));
    on_second_start(second_receives);
    vtl0_call(vtl0_sends, NULL);
    on_second_wait();
    EQUAL(guests[1].taken[0x64], 1);
    EQUAL(guests[1].taken[0x65], 1);
    EQUAL(guests[0].taken[0x65], 0);
}

static void second_idles(void) {
    vtl0_apic_reset();
    vtl0_call(vtl0_receives, NULL);
}

TEST_VPS(assert_to_the_other_vp, 2) {
    memset(&guests[1], 0, sizeof(guests[1]));
    on_second_start(second_idles);
    wait_for(&guests[1].word[0]);
    EQUAL(assert_interrupt(0, 1, 0x64), 0); // it idles
    wait_for(&guests[1].word[1]);
    EQUAL(assert_interrupt(0, 1, 0x65), 0); // it runs
    on_second_wait();
    EQUAL(guests[1].taken[0x64], 1);
    EQUAL(guests[1].taken[0x65], 1);
    EQUAL(guests[0].taken[0x64], 0);
}

// ---- VTL0's own start of its second VP ----------------------------------------------------------
#define AP_VECTOR 0x50u // GPA 0x50000
CODE(ap_real, 16,
     "mov %cs, %ax\nmov %ax, %ds\nmov %ax, %es\nmov $0x77, %al\nmov %al, 0x200\n"
     "outb %al, $0x91\n1: hlt\njmp 1b\n");

static void vtl0_starts_other(void *argument) {
    (void)argument;
    apic_set(APIC_SVR, 0x1ff);
    apic_set(APIC_ICR2, 1u << 24);
    apic_set(APIC_ICR, 0x4500); // INIT
    apic_set(APIC_ICR, 0x4600 | AP_VECTOR);
    apic_set(APIC_ICR, 0x4600 | AP_VECTOR); // the second is ignored
}

static void second_waits_for_sipi(void) {
    const struct hv_io_port_intercept *io = message();

    vtl0_apic_reset();
    vtl0_set(HV_REGISTER_INTERNAL_ACTIVITY_STATE, HV_ACTIVITY_STARTUP_SUSPEND);
    answer[0] = 1;
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    EQUAL(io->port, 0x91);
    EQUAL(io->header.vp_index, 1);
    EQUAL(io->header.cs.selector, AP_VECTOR << 8);
    EQUAL(io->header.cs.base, AP_VECTOR << 12);
    EQUAL(io->header.state, 0); // real mode
    EQUAL(io->header.rflags & ~UINT64_C(0x8d5), 2);
    EQUAL(vtl0_get(HV_REGISTER_CR0), 0x60000010u);
    EQUAL(vtl0_get(HV_REGISTER_INTERNAL_ACTIVITY_STATE), 0);
}

TEST_VPS(vtl0_starts_its_ap, 2) {
    volatile uint8_t *home = at(AP_VECTOR << 12);

    memcpy(at(AP_VECTOR << 12), ap_real, (size_t)(ap_real_end - ap_real));
    home[0x200] = 0;
    answer[0] = 0;
    on_second_start(second_waits_for_sipi);
    wait_for(&answer[0]);
    vtl0_call(vtl0_starts_other, NULL);
    on_second_wait();
    EQUAL(home[0x200], 0x77);
}

static void second_sees_sipi(void) {
    const struct hv_sipi_intercept *m = message();

    vtl0_apic_reset();
    vtl0_set(HV_REGISTER_INTERNAL_ACTIVITY_STATE, HV_ACTIVITY_STARTUP_SUSPEND);
    answer[0] = 1;
    EQUAL(vtl0_run(), HV_MESSAGE_SIPI_INTERCEPT);
    EQUAL(m->target_vp, 1);
    EQUAL(m->vector, AP_VECTOR);
    EQUAL(vtl0_get(HV_REGISTER_INTERNAL_ACTIVITY_STATE), HV_ACTIVITY_STARTUP_SUSPEND);
}

TEST_VPS(sipi_intercept, 2) {
    // VTL2 may decide itself; it is told on the VP that is to start.
    memcpy(at(AP_VECTOR << 12), ap_real, (size_t)(ap_real_end - ap_real));
    EQUAL(install_intercept(HV_INTERCEPT_APIC_INIT_SIPI, HV_INTERCEPT_ACCESS_MASK_WRITE, 0), 0);
    answer[0] = 0;
    on_second_start(second_sees_sipi);
    wait_for(&answer[0]);
    vtl0_call(vtl0_starts_other, NULL);
    on_second_wait();
    EQUAL(install_intercept(HV_INTERCEPT_APIC_INIT_SIPI, 0, 0), 0);
}

// ---- memory -------------------------------------------------------------------------------------
static void vtl0_writes_until_stopped(void *argument) {
    volatile uint64_t *target = argument;

    for (;;) { // no exits of its own
        *target = *target + 1;
        guest_me()->word[0] = 1;
    }
}

static void second_writes(void) {
    const struct hv_memory_intercept *m = message();

    vtl0_function(vtl0_writes_until_stopped, at(TARGET_GPA + 0x40));
    EQUAL(vtl0_run(), HV_MESSAGE_GPA_INTERCEPT);
    EQUAL(m->header.vp_index, 1);
    EQUAL(m->gpa, TARGET_GPA + 0x40);
}

TEST_VPS(protection_on_the_other_vp, 2) {
    volatile uint64_t *target = at(TARGET_GPA + 0x40);
    uint64_t then;

    memset(&guests[1], 0, sizeof(guests[1]));
    on_second_start(second_writes);
    wait_for(&guests[1].word[0]);
    EQUAL(protect(TARGET_GPA, 1, HV_MAP_GPA_READABLE), REPS(1));
    then = *target; // when the call has returned, nobody writes any more
    delay_us(2000);
    EQUAL(*target, then);
    on_second_wait();
}

static void second_protects(void) {
    answer[0] = protect(TARGET_GPA, 1, 0);
    answer[1] = 1;
}

TEST_VPS(protection_while_both_change, 2) {
    // Both VPs change protections of neighbours at the same time.
    for (unsigned round = 0; round < 20; round++) {
        answer[0] = 0;
        on_second_start(second_protects);
        EQUAL(protect(TARGET_GPA + 0x1000, 8, round & 1 ? 0 : HV_MAP_GPA_PERMISSION_MASK), REPS(8));
        on_second_wait();
        EQUAL(answer[0], REPS(1));
        EQUAL(protect(TARGET_GPA, 1, HV_MAP_GPA_PERMISSION_MASK), REPS(1));
    }
}

static void second_reads_time(void) {
    answer[0] = cpu_rdmsr(HV_MSR_TIME_REF_COUNT);
}

TEST_VPS(time_on_both, 2) {
    uint64_t before = cpu_rdmsr(HV_MSR_TIME_REF_COUNT);

    for (unsigned i = 0; i < 20; i++) {
        on_second(second_reads_time);
        EXPECT(answer[0] >= before);
        before = cpu_rdmsr(HV_MSR_TIME_REF_COUNT);
        EXPECT(before >= answer[0]);
    }
}

// ---- both together ------------------------------------------------------------------------------
#define ROUNDS 300u

/// Waits for a vector's nth interrupt in HLT: one that is lost would be waited for for ever.
static void sleep_until(uint32_t vector, uint32_t count) {
    while (guest_me()->taken[vector] < count) {
        __asm__ volatile("sti; hlt; cli" ::: "memory");
    }
}

static void vtl0_serves(void *argument) {
    (void)argument;
    apic_set(APIC_SVR, 0x1ff);
    apic_set(APIC_ICR2, 1u << 24);
    while (!guests[1].word[0]) {
        __builtin_ia32_pause();
    }
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        apic_set(APIC_ICR, 0x67);
        sleep_until(0x68, i);
    }
}

static void vtl0_returns(void *argument) {
    (void)argument;
    apic_set(APIC_SVR, 0x1ff);
    // A timer besides, so that interrupts meet.
    cpu_wrmsr(HV_MSR_STIMER0_CONFIG + 1, 20000);
    cpu_wrmsr(HV_MSR_STIMER0_CONFIG, HV_STIMER_ENABLE | HV_STIMER_PERIODIC | HV_STIMER_DIRECT |
                                         0x69u << HV_STIMER_VECTOR_SHIFT);
    apic_set(APIC_ICR2, 0);
    guest_me()->word[0] = 1;
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        sleep_until(0x67, i);
        apic_set(APIC_ICR, 0x68);
    }
    cpu_wrmsr(HV_MSR_STIMER0_CONFIG, 0);
}

static void second_returns(void) {
    vtl0_apic_reset();
    vtl0_call(vtl0_returns, NULL);
}

TEST_VPS(ipi_ping_pong, 2) {
    uint64_t from = cpu_rdmsr(HV_MSR_TIME_REF_COUNT);

    memset(&guests[1], 0, sizeof(guests[1]));
    on_second_start(second_returns);
    vtl0_call(vtl0_serves, NULL);
    on_second_wait();
    EQUAL(guests[0].taken[0x68], ROUNDS);
    EQUAL(guests[1].taken[0x67], ROUNDS);
    note("%lu us a round, %u timer interrupts",
         (unsigned long)((cpu_rdmsr(HV_MSR_TIME_REF_COUNT) - from) / 10 / ROUNDS),
         guests[1].taken[0x69]);
}

/// VTL0's calls: its own hypercall page at DATA_GPA, input behind it.
static uint64_t vtl0_hypercall(uint64_t control) {
    return hypercall_at(control, DATA_GPA + 0x1000, DATA_GPA + 0x2000, at(DATA_GPA));
}

static void vtl0_calls_ipis(void *argument) {
    volatile uint64_t *word = guest_me()->word;
    struct hv_send_ipi_ex_input *ex = at(DATA_GPA + 0x1000);
    struct hv_flush_va_ex_input *flush = at(DATA_GPA + 0x1000);

    (void)argument;
    apic_set(APIC_SVR, 0x1ff);
    cpu_wrmsr(HV_MSR_GUEST_OS_ID, UINT64_C(0x8100) << 48);
    cpu_wrmsr(HV_MSR_HYPERCALL, DATA_GPA | 1);
    wait_for(&guests[1].word[0]);
    word[0] =
        hypercall_at(HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI | HV_CONTROL_FAST, 0x64, 2, at(DATA_GPA));
    wait_for(&guests[1].word[1]);
    *ex = (struct hv_send_ipi_ex_input){.vector = 0x65, .vp_set = {HV_VP_SET_SPARSE_4K, 1}};
    *(uint64_t *)(ex + 1) = 2;                                       // bank 0
    word[1] = vtl0_hypercall(HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI_EX); // no bank given
    word[2] =
        vtl0_hypercall(HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI_EX | 1u << HV_CONTROL_VARHEAD_SHIFT);
    wait_for(&guests[1].word[2]);
    ex->vector = 15;
    word[3] =
        vtl0_hypercall(HV_CALL_SEND_SYNTHETIC_CLUSTER_IPI_EX | 1u << HV_CONTROL_VARHEAD_SHIFT);
    *flush = (struct hv_flush_va_ex_input){.flags = HV_FLUSH_ALL_PROCESSORS,
                                           .vp_set = {HV_VP_SET_ALL, 0}};
    word[4] = vtl0_hypercall(HV_CALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX);
    *(uint64_t *)(flush + 1) = 0x1000;
    word[5] = vtl0_hypercall(HV_CALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX | REPS(1));
    word[6] = vtl0_hypercall(HV_CALL_FLUSH_VIRTUAL_ADDRESS_SPACE | REPS(1));
    cpu_wrmsr(HV_MSR_GUEST_OS_ID, 0);
}

TEST_VPS(hypercalls_of_vtl0, 2) {
    volatile uint64_t *word = guests[0].word;

    memset(&guests[1], 0, sizeof(guests[1]));
    on_second_start(second_idles);
    vtl0_call(vtl0_calls_ipis, NULL);
    on_second_wait();
    EQUAL(word[0], 0);
    EQUAL(word[1], HV_STATUS_INVALID_PARAMETER);
    EQUAL(word[2], 0);
    EQUAL(guests[1].taken[0x64], 1);
    EQUAL(guests[1].taken[0x65], 1);
    EQUAL(word[3], HV_STATUS_INVALID_PARAMETER);
    EQUAL(word[4], 0);
    EQUAL(word[5], REPS(1));
    EQUAL(word[6], HV_STATUS_INVALID_HYPERCALL_INPUT);
}

// VTL0 changes its tables and asks for a flush: the other VP sees the new page when the call is
// done.
static void vtl0_reads_window(void *argument) {
    volatile uint64_t *window = argument;

    guest_me()->word[0] = 1;
    while (*window != 2) {
        guest_me()->word[1] = 1;
    }
}

static void second_reads_window(void) {
    vtl0_call(vtl0_reads_window, at(WINDOW + 0x4000));
}

static void vtl0_remaps(void *argument) {
    struct hv_flush_va_input *flush = at(DATA_GPA + 0x1000);

    (void)argument;
    cpu_wrmsr(HV_MSR_GUEST_OS_ID, UINT64_C(0x8100) << 48);
    cpu_wrmsr(HV_MSR_HYPERCALL, DATA_GPA | 1);
    wait_for(&guests[1].word[1]);
    *(volatile uint64_t *)at(PT_GPA + 4 * 8) = (TARGET_GPA + 0x5000) | 7;
    *flush = (struct hv_flush_va_input){.flags = HV_FLUSH_ALL_ADDRESS_SPACES, .processor_mask = 3};
    guest_me()->word[0] = vtl0_hypercall(HV_CALL_FLUSH_VIRTUAL_ADDRESS_SPACE);
    cpu_wrmsr(HV_MSR_GUEST_OS_ID, 0);
}

TEST_VPS(flush_of_vtl0, 2) {
    memset(&guests[1], 0, sizeof(guests[1]));
    *(volatile uint64_t *)at(TARGET_GPA + 0x4000) = 1;
    *(volatile uint64_t *)at(TARGET_GPA + 0x5000) = 2;
    on_second_start(second_reads_window);
    vtl0_call(vtl0_remaps, NULL);
    EQUAL(guests[0].word[0], 0);
    on_second_wait(); // it has seen the other page
}
