// SPDX-License-Identifier: MIT
//
// VTL0 in other paging modes than the tests' own, where the host must walk its tables for
// instruction bytes, APIC accesses and translations; and in states that a processor refuses.
#include "tests/guest/vtl2/vtl2.h"

#include <string.h>

#define LEGACY_ROOT 0x110000u // one directory of 4 MiB pages, and a table for the first of WINDOW
#define LEGACY_PT   0x111000u
#define PAE_ROOT    0x112000u // four pointers, then one directory of 2 MiB pages for each
#define CR4_PSE     0x10u

CODE(apic_svr, 32,
     "movl $0x1ff, 0xfee000f0\nmovl 0xfee000f0, %eax\norl $0x200, 0xfee000f0\n"
     "movl 0xfee000f0, %ebx\nout %eax, $0xe0\n");
CODE(write_window, 32, "movl %eax, 0x40003040\n");

/// 32-bit tables without PAE: all of 4 GiB one to one but WINDOW's first 4 MiB, which show
/// TARGET_GPA.
static void legacy_paging(void) {
    uint32_t *root = at(LEGACY_ROOT), *table = at(LEGACY_PT);

    for (uint32_t i = 0; i < 1024; i++) {
        root[i] = i << 22 | 0x83;
        table[i] = (TARGET_GPA + i * 0x1000) | 3;
    }
    root[WINDOW >> 22] = LEGACY_PT | 3;
    vtl0_set(HV_REGISTER_CR3, LEGACY_ROOT);
    vtl0_set(HV_REGISTER_CR4, CR4_PSE);
    vtl0_set(HV_REGISTER_CR0, 0x80010011u);
}

static void pae_paging(void) {
    uint64_t *root = at(PAE_ROOT);

    memset(root, 0, PAGE_SIZE_4K);
    for (uint64_t i = 0; i < 4; i++) {
        uint64_t *directory = at(PAE_ROOT + 0x1000 * (i + 1));

        root[i] = (PAE_ROOT + 0x1000 * (i + 1)) | 1;
        for (uint64_t j = 0; j < 512; j++) {
            directory[j] = (i << 30 | j << 21) | 0x83;
        }
    }
    ((uint64_t *)at(PAE_ROOT + 0x2000))[0] = PT_GPA | 7; // WINDOW, as in 64-bit mode
    vtl0_set(HV_REGISTER_CR3, PAE_ROOT);
    vtl0_set(HV_REGISTER_CR4, 0x20);
    vtl0_set(HV_REGISTER_CR0, 0x80010011u);
}

static void apic_and_memory(void (*paging)(void)) {
    const struct hv_memory_intercept *m = message();

    VTL0_CODE(FLAT32, apic_svr);
    paging();
    vtl0_finish();
    EQUAL((uint32_t)me()->gpr[0], 0x1ff);
    EQUAL((uint32_t)me()->gpr[3], 0x3ff);
    EQUAL(protect(TARGET_GPA + 0x3000, 1, 0), REPS(1));
    VTL0_CODE(FLAT32, write_window);
    paging();
    EQUAL(vtl0_run(), HV_MESSAGE_GPA_INTERCEPT);
    EQUAL(m->gpa, TARGET_GPA + 0x3040);
    EXPECT(m->instruction_byte_count >= 5);
    EQUAL(memcmp(m->instruction_bytes, write_window, 5), 0);
}

TEST(paging_32_bit) {
    apic_and_memory(legacy_paging);
}

TEST(translate_other_modes) {
    struct hv_translate_input *in = (void *)me()->input;
    void (*const modes[])(void) = {legacy_paging, pae_paging};

    for (unsigned i = 0; i < ARRAY_COUNT(modes); i++) {
        VTL0_CODE(FLAT32, apic_svr);
        modes[i]();
        *in = (struct hv_translate_input){.partition_id = HV_PARTITION_ID_SELF,
                                          .vp_index = HV_VP_INDEX_SELF,
                                          .control_flags = HV_TRANSLATE_VALIDATE_READ |
                                                           (uint64_t)VTL0
                                                               << HV_TRANSLATE_INPUT_VTL_SHIFT,
                                          .gva_page = (WINDOW + 0x5000) >> PAGE_SHIFT_4K};
        // Both forms of the call; the longer one's output begins alike.
        for (unsigned form = 0; form < 2; form++) {
            const struct hv_translate_output *out = (const void *)me()->output;

            memset(me()->output, 0xee, 64);
            EQUAL(call(form ? HV_CALL_TRANSLATE_VIRTUAL_ADDRESS_EX
                            : HV_CALL_TRANSLATE_VIRTUAL_ADDRESS),
                  0);
            EQUAL(out->result_code, HV_TRANSLATE_SUCCESS);
            EQUAL(out->gpa_page, (TARGET_GPA + 0x5000) >> PAGE_SHIFT_4K);
        }
        EQUAL(me()->output[63], 0);
    }
}

// ---- segments -----------------------------------------------------------------------------------
CODE(based_out, 16, "movb %al, %ds:0x10\nrep outsb\n");

TEST(real_mode_segments) {
    // Instruction bytes are fetched at CS base + IP; a data segment with a base of its own.
    const struct hv_memory_intercept *m = message();
    const struct hv_io_port_intercept *io = message();

    EQUAL(protect(TARGET_GPA, 1, 0), REPS(1));
    VTL0_CODE(REAL, based_out);
    EQUAL(set_register(VTL0, HV_REGISTER_DS, TARGET_GPA,
                       UINT64_C(0x93) << 48 | UINT64_C(0x1234) << 32 | 0xffff),
          0);
    me()->gpr[1] = 3;
    me()->gpr[6] = 0x20;
    EQUAL(vtl0_run(), HV_MESSAGE_GPA_INTERCEPT);
    EQUAL(m->gpa, TARGET_GPA + 0x10);
    EQUAL(memcmp(m->instruction_bytes, based_out, 3), 0);
    EQUAL(protect(TARGET_GPA, 1, HV_MAP_GPA_PERMISSION_MASK), REPS(1));
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    EQUAL(io->ds.base, TARGET_GPA);
    EQUAL(io->ds.selector, 0x1234);
    EQUAL(io->rsi, 0x20);
    EQUAL(io->rcx, 3);
}

TEST(fetch_at_the_end_of_memory) {
    // The instruction's last byte is the last that can be fetched.
    const struct hv_io_port_intercept *io = message();

    memcpy(at(TARGET_GPA + 0x1ffe), "\x6e\x6e", 2); // outsb
    EQUAL(protect(TARGET_GPA + 0x2000, 1, 0), REPS(1));
    VTL0_CODE(LONG, apic_svr);
    vtl0_set(HV_REGISTER_RIP, TARGET_GPA + 0x1fff);
    me()->gpr[6] = DATA_GPA;
    EQUAL(vtl0_run(), HV_MESSAGE_IO_PORT_INTERCEPT);
    EQUAL(io->instruction_byte_count, 1);
    EQUAL(io->instruction_bytes[0], 0x6e);
}

// ---- states that VMRUN refuses ------------------------------------------------------------------
TEST(refused_states) {
    static const struct {
        uint32_t name;
        uint64_t value;
    } states[] = {
        {HV_REGISTER_CR4, UINT64_C(1) << 31}, // reserved
        {HV_REGISTER_CR3, UINT64_C(1) << 60}, // beyond the address width
        {HV_REGISTER_CR0, 0xa0010033u},       // NW without CD
        {HV_REGISTER_CR4, 0},                 // long mode without PAE
    };

    for (unsigned i = 0; i < ARRAY_COUNT(states); i++) {
        uint32_t type;

        VTL0_CODE(LONG, apic_svr);
        if (set_register(VTL0, states[i].name, states[i].value, 0) != 0) {
            continue; // refused at once: as good
        }
        type = vtl0_run();
        // Whatever becomes of VTL0, the hypervisor and VTL2 go on.
        EXPECT(type == HV_MESSAGE_UNRECOVERABLE_EXCEPTION || type == HV_MESSAGE_UNMAPPED_GPA ||
               type == HV_MESSAGE_GPA_INTERCEPT || type == 0);
        note("%s0x%x", i ? "…" : "", type);
    }
    VTL0_CODE(FLAT32, apic_svr);
    vtl0_finish();
}

TEST(random_states) {
    // Registers as they come, VTL0 for a moment: nothing but VTL0 may suffer.
    static const uint32_t names[] = {HV_REGISTER_RIP,
                                     HV_REGISTER_RSP,
                                     HV_REGISTER_RFLAGS,
                                     HV_REGISTER_CR0,
                                     HV_REGISTER_CR3,
                                     HV_REGISTER_CR4,
                                     HV_REGISTER_CR8,
                                     HV_REGISTER_EFER,
                                     HV_REGISTER_CS,
                                     HV_REGISTER_SS,
                                     HV_REGISTER_DS,
                                     HV_REGISTER_TR,
                                     HV_REGISTER_LDTR,
                                     HV_REGISTER_GDTR,
                                     HV_REGISTER_IDTR,
                                     HV_REGISTER_DR7,
                                     HV_REGISTER_DR6,
                                     HV_REGISTER_PENDING_EVENT0,
                                     HV_REGISTER_PENDING_INTERRUPTION,
                                     HV_REGISTER_INTERRUPT_STATE,
                                     HV_REGISTER_DELIVERABILITY_NOTIFICATIONS,
                                     HV_REGISTER_INTERNAL_ACTIVITY_STATE};
    uint64_t seed = 0x9e3779b97f4a7c15u;
    unsigned set = 0, refused = 0;

    for (unsigned round = 0; round < 150; round++) {
        vtl0_code(round % 3, apic_svr, (size_t)(apic_svr_end - apic_svr));
        for (unsigned i = 0; i < 4; i++) {
            uint64_t low, high;

            seed = seed * 6364136223846793005u + 1442695040888963407u;
            low = seed >> (seed % 61);
            high = seed * (round + 1);
            if (set_register(VTL0, names[(seed >> 33) % ARRAY_COUNT(names)], low, high) == 0) {
                set++;
            } else {
                refused++;
            }
        }
        watchdog_arm(200);
        for (unsigned i = 0; i < 20 && !watchdog_fired(); i++) {
            vtl0_enter(seed >> 40 & 1);
            take_interrupts();
        }
        watchdog_arm(0);
        take_interrupts();
    }
    note("%u registers set, %u refused", set, refused);
    vtl0_memory_init();
    vtl0_apic_reset();
    VTL0_CODE(FLAT32, apic_svr);
    vtl0_finish();
}

CODE(clear_pae, 64, "movq %cr4, %rax\nandq $-0x21, %rax\nmovq %rax, %cr4\nout %eax, $0xe0\n");
CODE(set_la57, 64, "movq %cr4, %rax\norq $0x1000, %rax\nmovq %rax, %cr4\nout %eax, $0xe0\n");
CODE(long_and_wide, 64,
     "lgdt 0x30000\npushq $8\npushq $0x20080\nlretq\n"
     ".org long_and_wide + 0x80\nnop\nout %eax, $0xe0\n");

/// VTL0 breaks a rule that QEMU does not check at the instruction: it faults or crashes, alone.
static void expect_own_crash(void) {
    const struct hv_io_port_intercept *io = message();
    uint32_t type = vtl0_run();

    EXPECT(type == HV_MESSAGE_UNRECOVERABLE_EXCEPTION ||
           (type == HV_MESSAGE_IO_PORT_INTERCEPT && io->port == DONE_PORT));
    note("message 0x%x", type);
}

TEST(guest_clears_pae) {
    VTL0_CODE(LONG, clear_pae);
    EQUAL(set_register(VTL0, HV_REGISTER_IDTR, 0, 0), 0); // a fault is the end as well
    expect_own_crash();
}

TEST(guest_sets_la57) {
    VTL0_CODE(LONG, set_la57);
    EQUAL(set_register(VTL0, HV_REGISTER_IDTR, 0, 0), 0);
    expect_own_crash();
}

TEST(guest_code_of_two_sizes) {
    // A code segment with both L and D.
    static const uint64_t table[] = {0, 0x00ef9b000000ffff};

    memcpy(at(DATA_GPA), "\x0f\0\0\x01\x03\0\0\0\0\0", 10); // limit 15, base 0x30100
    memcpy(at(DATA_GPA + 0x100), table, sizeof(table));
    VTL0_CODE(LONG, long_and_wide);
    EQUAL(set_register(VTL0, HV_REGISTER_IDTR, 0, 0), 0);
    expect_own_crash();
}
