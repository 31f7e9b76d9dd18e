// SPDX-License-Identifier: MIT
//
// Switching between VTL2 and VTL0: what is shared and what is private, fast return, return actions,
// the register page (TLFS, "VTL Return", "VTL Private State", "VTL Shared State").
#include "tests/guest/vtl2/vtl2.h"

#include <string.h>

CODE(out_only, 64, "out %al, $0x99\n");
CODE(change_all, 64,
     "inc %rax\n inc %rcx\n inc %rdx\n inc %rbx\n inc %rbp\n inc %rsi\n inc %rdi\n inc %r8\n inc "
     "%r9\n"
     "inc %r10\n inc %r11\n inc %r12\n inc %r13\n inc %r14\n inc %r15\n out %al, $0x99\n");

TEST(switch_modes) {
    // One byte of code in each mode comes back from where it stood.
    CODE(stop_16, 16, "out %al, $0x99\n");
    for (enum mode mode = REAL; mode <= LONG; mode++) {
        VTL0_CODE(mode, stop_16);
        EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
        check_header(message(), mode, mode == REAL ? 0 : CODE_GPA, 2, HV_INTERCEPT_WRITE);
    }
}

TEST(switch_general_registers) {
    VTL0_CODE(LONG, change_all);
    for (unsigned i = 0; i < 16; i++) {
        me()->gpr[i] = 0x1000000000u * (i + 1);
    }
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    for (unsigned i = 0; i < 16; i++) {
        if (i != 4) {
            EQUAL(me()->gpr[i], 0x1000000000u * (i + 1) + 1);
        }
    }
    EQUAL(vtl0_get(HV_REGISTER_RSP), STACK_GPA);
}

TEST(switch_fast_return) {
    // RAX and RCX are not taken from the assist page: VTL0 gets what VTL2 had at the instruction.
    VTL0_CODE(LONG, out_only);
    me()->gpr[0] = 0xaaaa;
    me()->gpr[1] = 0xbbbb;
    me()->gpr[2] = 0xcccc;
    EQUAL(vtl0_enter(1), HV_VTL_ENTRY_INTERCEPT);
    EQUAL(me()->gpr[0], 1);
    EQUAL(me()->gpr[1], HV_CALL_VTL_RETURN);
    EQUAL(me()->gpr[2], 0xcccc);
}

TEST(switch_private) {
    uint64_t cr0, cr3, cr4, star = cpu_rdmsr(0xc0000081u), aux = 0x1234;

    __asm__ volatile("mov %%cr0, %0; mov %%cr3, %1; mov %%cr4, %2"
                     : "=r"(cr0), "=r"(cr3), "=r"(cr4));
    cpu_wrmsr(0xc0000102u, 0x2222);
    cpu_wrmsr(0x174, 0x33);
    cpu_wrmsr(0xc0000103u, aux);
    VTL0_CODE(FLAT32, out_only);
    vtl0_set(HV_REGISTER_STAR, 0x5555);
    vtl0_set(HV_REGISTER_KERNEL_GS_BASE, 0x6666);
    vtl0_set(HV_REGISTER_SYSENTER_CS, 0x77);
    vtl0_set(0x0008007bu, 0x88); // TSC_AUX
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    EQUAL(cpu_rdmsr(0xc0000081u), star);
    EQUAL(cpu_rdmsr(0xc0000102u), 0x2222);
    EQUAL(cpu_rdmsr(0x174), 0x33);
    EQUAL(cpu_rdmsr(0xc0000103u), aux);
    EQUAL(vtl0_get(HV_REGISTER_STAR), 0x5555);
    EQUAL(vtl0_get(HV_REGISTER_KERNEL_GS_BASE), 0x6666);
    EQUAL(vtl0_get(HV_REGISTER_SYSENTER_CS), 0x77);
    EQUAL(vtl0_get(0x0008007bu), 0x88);
    __asm__ volatile("" ::: "memory");
    uint64_t now0, now3, now4;
    __asm__ volatile("mov %%cr0, %0; mov %%cr3, %1; mov %%cr4, %2"
                     : "=r"(now0), "=r"(now3), "=r"(now4));
    EQUAL(now0, cr0);
    EQUAL(now3, cr3);
    EQUAL(now4, cr4);
}

static void vtl0_aux(void *argument) {
    uint32_t low, high, aux;

    (void)argument;
    __asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
    guest_me()->word[0] = aux;
    guest_me()->word[1] = cpu_rdmsr(0xc0000103u);
    cpu_wrmsr(0xc0000103u, 0x99);
}

TEST(switch_tsc_aux) {
    cpu_wrmsr(0xc0000103u, 0x1234);
    vtl0_function(vtl0_aux, NULL);
    vtl0_set(0x0008007bu, 0x88);
    vtl0_finish();
    EQUAL(guests[0].word[0], 0x88);
    EQUAL(guests[0].word[1], 0x88);
    EQUAL(cpu_rdmsr(0xc0000103u), 0x1234);
    EQUAL(vtl0_get(0x0008007bu), 0x99);
}

static void vtl0_shared(void *argument) {
    volatile uint64_t *word = guest_me()->word;
    uint64_t value;

    (void)argument;
    __asm__ volatile("mov %%cr2, %0" : "=r"(value));
    word[0] = value;
    __asm__ volatile("mov %%dr0, %0" : "=r"(value));
    word[1] = value;
    __asm__ volatile("movq %%xmm3, %0" : "=r"(value));
    word[2] = value;
    __asm__ volatile("mov %0, %%cr2; mov %1, %%dr1" ::"r"(UINT64_C(0xc2c2)), "r"(UINT64_C(0xd1d1)));
    __asm__ volatile("movq %0, %%xmm7" ::"r"(UINT64_C(0x7777777777)));
}

TEST(switch_shared) {
    uint64_t value, cr4;

    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4" ::"r"(cr4 | 0x600));
    __asm__ volatile("mov %0, %%cr2; mov %1, %%dr0" ::"r"(UINT64_C(0x2c2c)), "r"(UINT64_C(0xd0d0)));
    __asm__ volatile("movq %0, %%xmm3" ::"r"(UINT64_C(0x3333333333)));
    vtl0_call(vtl0_shared, NULL);
    EQUAL(guests[0].word[0], 0x2c2c);
    EQUAL(guests[0].word[1], 0xd0d0);
    EQUAL(guests[0].word[2], UINT64_C(0x3333333333));
    __asm__ volatile("mov %%cr2, %0" : "=r"(value));
    EQUAL(value, 0xc2c2);
    __asm__ volatile("mov %%dr1, %0" : "=r"(value));
    EQUAL(value, 0xd1d1);
    __asm__ volatile("movq %%xmm7, %0" : "=r"(value));
    EQUAL(value, UINT64_C(0x7777777777));
    __asm__ volatile("mov %0, %%cr4" ::"r"(cr4));
}

CODE(spin, 64, "1: incq (%rbx)\njmp 1b\n");

TEST(switch_interrupt) {
    volatile uint64_t *count = at(DATA_GPA);
    uint64_t now;

    // An interrupt of VTL2's ends VTL0's stay; it is taken when VTL2 opens IF, not before. On a
    // busy machine it may be there before VTL0 had a turn.
    *count = 0;
    VTL0_CODE(LONG, spin);
    me()->gpr[3] = DATA_GPA;
    for (unsigned i = 0; i < 10 && *count == 0; i++) {
        take_interrupts();
        watchdog_arm(10000);
        EQUAL(vtl0_enter(0), HV_VTL_ENTRY_INTERRUPT);
    }
    EXPECT(*count > 0);
    EQUAL(me()->taken[WATCHDOG_VECTOR], 0);
    now = *count; // still pending: VTL0 does not run on
    EQUAL(vtl0_enter(0), HV_VTL_ENTRY_INTERRUPT);
    EXPECT(*count - now < 1000);
    take_interrupts();
    EQUAL(me()->taken[WATCHDOG_VECTOR], 1);
}

CODE(mask_and_spin, 64, "cli\n1: jmp 1b\n");

TEST(switch_interrupt_masked_by_vtl0) {
    // VTL0's IF is VTL0's.
    VTL0_CODE(LONG, mask_and_spin);
    watchdog_arm(2000);
    EQUAL(vtl0_enter(0), HV_VTL_ENTRY_INTERRUPT);
    take_interrupts();
}

// ---- return actions -----------------------------------------------------------------------------
static void vtl0_synic(void *argument) {
    cpu_wrmsr(HV_MSR_SIEFP, (uintptr_t)argument | 1);
    cpu_wrmsr(HV_MSR_SINT0 + 5, 0x61);
    cpu_wrmsr(HV_MSR_SCONTROL, 1);
    guest_me()->word[0] = cpu_rdmsr(HV_MSR_SINT0 + 5);
    *(volatile uint32_t *)at(0xfee000f0u) = 0x1ff; // the APIC on
    __asm__ volatile("out %al, $0x99; sti; nop; nop; cli");
    guest_me()->word[1] = ((volatile uint8_t *)argument)[5 * 256 + 9];
}

TEST(switch_return_actions) {
    struct hv_return_action *actions = me()->assist->return_actions;

    vtl0_function(vtl0_synic, at(DATA_GPA));
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    EQUAL(guests[0].word[0], 0x61);
    vtl0_skip();
    actions[0] = (struct hv_return_action){.type = HV_RETURN_ACTION_SIGNAL_EVENT,
                                           .vp_index = HV_VP_INDEX_SELF,
                                           .sint = 5,
                                           .flag_number = 74};
    actions[1].type = 0;
    actions[2].type = HV_RETURN_ACTION_SIGNAL_EVENT; // behind the end: not looked at
    vtl0_finish();
    EQUAL(guests[0].taken[0x61], 1);
    EQUAL(guests[0].word[1], 1u << 2); // flag 74
    EQUAL(actions[0].type, 0);
    EQUAL(actions[2].type, HV_RETURN_ACTION_SIGNAL_EVENT);
    actions[2].type = 0;
}

// ---- the register page --------------------------------------------------------------------------
static void enable_register_page(void) {
    EQUAL(set_register(OWN_VTL, HV_REGISTER_REG_PAGE, (uintptr_t)me()->registers | 1, 0), 0);
}

static void disable_register_page(void) {
    EQUAL(set_register(OWN_VTL, HV_REGISTER_REG_PAGE, 0, 0), 0);
}

TEST(register_page_shows) {
    const volatile struct hv_register_page *page = me()->registers;

    enable_register_page();
    VTL0_CODE(LONG, out_only);
    for (unsigned i = 0; i < 16; i++) {
        me()->gpr[i] = 0x300 + i;
    }
    vtl0_set(HV_REGISTER_CR8, 3);
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    EQUAL(page->version, HV_REGISTER_PAGE_VERSION);
    EQUAL(page->is_valid, 1);
    EQUAL(page->vtl, 0);
    EQUAL(page->dirty, 0);
    for (unsigned i = 0; i < 16; i++) {
        EQUAL(page->gpr[i], i == 4 ? STACK_GPA : 0x300 + i);
    }
    EQUAL(page->rip, CODE_GPA);
    EQUAL(page->rflags, 2);
    EQUAL(page->cs.attributes | 1, 0xa09b);
    EQUAL(page->ss.selector, 0x18);
    EQUAL(page->gs.base, (uintptr_t)&guests[0]);
    EQUAL(page->cr0, vtl0_get(HV_REGISTER_CR0));
    EQUAL(page->cr3, TABLES_GPA);
    EQUAL(page->cr4, 0x620);
    EQUAL(page->cr8, 3);
    EQUAL(page->efer, 0xd00);
    EQUAL(page->dr7, 0x400);
    EQUAL(page->pending_interruption, 0);
    EQUAL(page->interrupt_state, 0);
    vtl0_set(HV_REGISTER_CR8, 0);
    disable_register_page();
}

CODE(two_outs, 64, "out %al, $0x99\nout %al, $0x98\nout %al, $0x97\n");

TEST(register_page_dirty) {
    struct hv_register_page *page = me()->registers;

    enable_register_page();
    VTL0_CODE(LONG, two_outs);
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    page->rip += 2;
    page->rflags = 0x40246;
    page->gpr[4] = 0x7000;
    page->gs.base = 0x9999;
    page->dirty = HV_REGISTER_PAGE_DIRTY_RIP | HV_REGISTER_PAGE_DIRTY_RFLAGS |
                  HV_REGISTER_PAGE_DIRTY_GPR | HV_REGISTER_PAGE_DIRTY_SEGMENTS;
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    EQUAL(((const struct hv_io_port_intercept *)message())->port, 0x98);
    EQUAL(page->dirty, 0);
    EQUAL(page->rflags, 0x40246);
    EQUAL(page->gpr[4], 0x7000);
    EQUAL(vtl0_get(HV_REGISTER_RSP), 0x7000);
    EQUAL(page->gs.base, 0x9999);
    // What is not marked is not taken over.
    page->rip += 2;
    page->rflags = 0;
    page->gpr[4] = 0;
    page->gs.base = 0;
    page->cr3 = 0;
    page->dirty = HV_REGISTER_PAGE_DIRTY_RIP;
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    EQUAL(((const struct hv_io_port_intercept *)message())->port, 0x97);
    EQUAL(page->rflags, 0x40246);
    EQUAL(page->gpr[4], 0x7000);
    EQUAL(page->gs.base, 0x9999);
    EQUAL(page->cr3, TABLES_GPA);
    disable_register_page();
}

TEST(register_page_refused) {
    struct hv_register_value value;

    EQUAL(set_register(OWN_VTL, HV_REGISTER_REG_PAGE, UINT64_C(1) << 52 | 1, 0),
          HV_STATUS_INVALID_REGISTER_VALUE);
    EXPECT(set_register(VTL0, HV_REGISTER_REG_PAGE, DATA_GPA | 1, 0) != 0);
    EQUAL(get_register(OWN_VTL, HV_REGISTER_REG_PAGE, &value), 0);
    EQUAL(value.low, 0);
}
