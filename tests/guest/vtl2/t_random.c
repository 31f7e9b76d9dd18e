// SPDX-License-Identifier: MIT
//
// VTL0 without sense: random MSR accesses and hypercalls, on request random instructions in all
// modes. Whatever becomes of VTL0, its stay ends with an intercept or with VTL2's next interrupt,
// VTL2's memory stays as it was, and afterwards all is usable again.
#include "tests/guest/vtl2/vtl2.h"

#include <string.h>

#define PROGRAM_GPA   0x10200000u // all of VTL2's, with its page tables
#define PROGRAM_PAGES 0x90u

// Longer and other runs: VTL2_DEFINES="-DRANDOM_SEED=7 -DRANDOM_ROUNDS=20"
// tests/guest/vtl2/build.sh With -DRANDOM_INSTRUCTIONS instructions too. They are not among the
// tests because QEMU 7.2 itself aborts on some: an x87 error with CR0.NE clear raises IRQ 13
// without QEMU's lock.
#ifndef RANDOM_SEED
#define RANDOM_SEED 0u
#endif
#ifndef RANDOM_ROUNDS
#define RANDOM_ROUNDS 1u
#endif

static uint64_t seed;

static void start(uint64_t from) {
    seed = from ^ RANDOM_SEED * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t next(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/// Numbers as they matter: small ones, ones with few bits, anything.
static uint64_t number(void) {
    uint64_t n = next();

    switch (n & 3) {
    case 0:
        return n >> 8 & 0x1f;
    case 1:
        return UINT64_C(1) << (n >> 8 & 63);
    case 2:
        return n >> (n >> 8 & 63);
    default:
        return n;
    }
}

/// Keeps VTL0 out of this program, or lets it in again.
static void program(uint32_t access) {
    EQUAL(protect(PROGRAM_GPA, PROGRAM_PAGES, access), REPS(PROGRAM_PAGES));
}

/// VTL0 runs for a moment; what it asks for is not done, it goes on behind it.
static unsigned stay(unsigned most) {
    unsigned intercepts = 0;

    watchdog_arm(300);
    for (unsigned i = 0; i < most && !watchdog_fired(); i++) {
        const struct hv_intercept_header *h = message();
        uint32_t type;

        if (vtl0_enter(0) != HV_VTL_ENTRY_INTERCEPT) {
            take_interrupts();
            continue;
        }
        intercepts++;
        type = me()->assist->intercept_message.header.type;
        if (type == HV_MESSAGE_UNRECOVERABLE_EXCEPTION) {
            break;
        }
        if ((h->length_and_cr8 & 0xf) &&
            set_register(VTL0, HV_REGISTER_RIP, h->rip + (h->length_and_cr8 & 0xf), 0)) {
            break;
        }
    }
    watchdog_arm(0);
    take_interrupts();
    return intercepts;
}

CODE(sane, 64, "mov $0x5a5a, %eax\nout %eax, $0xe0\n");

/// VTL0 as after a reset by a VMM; then it must work.
static void afterwards(void) {
    static const uint32_t synthetic[] = {HV_REGISTER_SCONTROL,      HV_REGISTER_SIMP,
                                         HV_REGISTER_SIEFP,         HV_REGISTER_VP_ASSIST_PAGE,
                                         HV_REGISTER_REFERENCE_TSC, HV_REGISTER_HYPERCALL,
                                         HV_REGISTER_GUEST_OS_ID};

    program(HV_MAP_GPA_PERMISSION_MASK);
    for (unsigned i = 0; i < ARRAY_COUNT(synthetic); i++) {
        vtl0_set(synthetic[i], 0);
    }
    for (uint32_t type = 0; type < 0x11; type++) {
        if (type != HV_INTERCEPT_EXCEPTION && type != HV_INTERCEPT_CPUID) {
            (void)install_intercept(type, 0, 0);
        }
    }
    for (uint64_t vector = 0; vector < 32; vector++) {
        EQUAL(install_intercept(HV_INTERCEPT_EXCEPTION, 0, vector), 0);
    }
    vtl0_memory_init();
    vtl0_apic_reset();
    VTL0_CODE(LONG, sane);
    vtl0_finish();
    EQUAL((uint32_t)me()->gpr[0], 0x5a5a);
}

#ifdef RANDOM_INSTRUCTIONS
// ---- instructions -------------------------------------------------------------------------------
/// Openings that leave the ordinary: two bytes, the rest is chance.
static const uint8_t openings[][2] = {
    {0x0f, 0x00}, {0x0f, 0x01}, {0x0f, 0x20}, {0x0f, 0x21}, {0x0f, 0x22}, {0x0f, 0x23},
    {0x0f, 0x30}, {0x0f, 0x32}, {0x0f, 0x05}, {0x0f, 0x07}, {0x0f, 0x34}, {0x0f, 0x35},
    {0x0f, 0x06}, {0x0f, 0x08}, {0x0f, 0x09}, {0x0f, 0xae}, {0x0f, 0xc7}, {0x0f, 0xa2},
    {0x0f, 0xaa}, {0x0f, 0x0b}, {0x0f, 0x33}, {0x0f, 0x38}, {0x0f, 0x3a}, {0xcd, 0x80},
    {0xcc, 0x90}, {0xf1, 0x90}, {0xcf, 0x90}, {0xcb, 0x90}, {0x9a, 0x00}, {0xea, 0x00},
    {0x8e, 0xd0}, {0x8e, 0xd8}, {0x9d, 0x90}, {0xfa, 0x90}, {0xfb, 0xf4}, {0xf4, 0x90},
    {0xf3, 0x6c}, {0xf2, 0x6f}, {0xf3, 0xa4}, {0xc8, 0x00}, {0xe2, 0xfe}, {0x62, 0x00},
    {0xc4, 0xe2}, {0xc5, 0xf8}, {0xd9, 0xd0}, {0xf0, 0x0f}, {0x66, 0x0f}, {0xf3, 0x0f}};

static void random_code(uint8_t *code, unsigned size_bytes) {
    for (unsigned i = 0; i + 2 <= size_bytes; i += 2) {
        const uint8_t *opening = openings[next() % ARRAY_COUNT(openings)];
        bool is_opening = next() % 3 == 0;

        code[i] = is_opening ? opening[0] : (uint8_t)next();
        code[i + 1] = is_opening ? opening[1] : (uint8_t)next();
    }
}

TEST(random_instructions) {
    unsigned intercepts = 0;

    start(0x243f6a8885a308d3u);
    program(0);
    for (unsigned round = 0; round < 400 * RANDOM_ROUNDS; round++) {
        uint8_t code[64];

        random_code(code, sizeof(code));
        vtl0_code(round % 3, code, sizeof(code));
        for (unsigned i = 0; i < 16; i++) {
            me()->gpr[i] = number();
        }
        intercepts += stay(20);
    }
    note("%u intercepts", intercepts);
    afterwards();
}

#endif

// ---- MSRs ---------------------------------------------------------------------------------------
CODE(msr_pair, 64, "rdmsr\nmov %ebx, %eax\nmov %esi, %edx\nwrmsr\nout %eax, $0xe0\n");

static uint32_t some_msr(void) {
    static const uint32_t bases[] = {0,          0x170,      0x200,      0x800,      0x40000000,
                                     0x40000070, 0x40000080, 0x400000b0, 0x40000100, 0xc0000080,
                                     0xc0000100, 0xc0010000, 0xc0010110u};

    return bases[next() % ARRAY_COUNT(bases)] + (uint32_t)(next() & 0x3f);
}

TEST(random_msrs) {
    unsigned intercepts = 0;

    start(0x13198a2e03707344u);
    program(0);
    EQUAL(install_intercept(HV_INTERCEPT_MSR, 3, 0), 0);
    for (unsigned round = 0; round < 400 * RANDOM_ROUNDS; round++) {
        uint32_t msr = some_msr();

        if (msr >= 0x200 && msr < 0x300) { // memory types are the processor's, for both VTLs
            continue;
        }
        VTL0_CODE(LONG, msr_pair);
        me()->gpr[1] = msr;
        me()->gpr[3] = number();
        me()->gpr[6] = number();
        intercepts += stay(6);
    }
    note("%u intercepts", intercepts);
    afterwards();
}

// ---- hypercalls ---------------------------------------------------------------------------------
CODE(call_and_stop, 64, "vmmcall\nout %eax, $0xe0\n");

static uint16_t some_code(void) {
    static const uint16_t codes[] = {0x02, 0x03, 0x08, 0x0b, 0x0c, 0x0d, 0x0f, 0x13, 0x14, 0x15,
                                     0x46, 0x4d, 0x50, 0x51, 0x52, 0x5c, 0x5d, 0x7e, 0x91, 0x94,
                                     0x99, 0x9a, 0xac, 0xc0, 0xc1, 0xd4, 0xf4, 0x12, 0x11};

    return codes[next() % ARRAY_COUNT(codes)];
}

static uint64_t some_control(void) {
    uint64_t control = some_code();

    control |= next() & 1 ? REPS(next() & 7) : 0;
    control |= next() & 7 ? 0 : START(next() & 7);
    control |= next() & 7 ? 0 : HV_CONTROL_FAST;
    control |= next() & 7 ? 0 : (next() & 3) << HV_CONTROL_VARHEAD_SHIFT;
    return control;
}

static void some_input(uint64_t *input) {
    for (unsigned i = 0; i < 64; i++) {
        input[i] = number();
    }
    input[0] = next() & 7 ? HV_PARTITION_ID_SELF : number();
    if (next() & 3) {
        input[1] = HV_VP_INDEX_SELF;
    }
}

TEST(random_hypercalls_of_vtl0) {
    start(0xa4093822299f31d0u);
    program(0);
    for (unsigned round = 0; round < 400 * RANDOM_ROUNDS; round++) {
        some_input(at(DATA_GPA));
        vtl0_set(HV_REGISTER_GUEST_OS_ID, 1);
        vtl0_set(HV_REGISTER_HYPERCALL, 0x50001);
        VTL0_CODE(LONG, call_and_stop);
        me()->gpr[1] = some_control();
        me()->gpr[2] = next() & 7 ? DATA_GPA : number();
        me()->gpr[8] = next() & 7 ? DATA_GPA + 0x1000 : number();
        (void)stay(4);
    }
    afterwards();
}

TEST(random_hypercalls_of_vtl2) {
    unsigned ok = 0;

    // On VTL0's behalf only: VTL2 could take its own pages away. No start of VPs, no end.
    start(0x082efa98ec4e6c89u);
    for (unsigned round = 0; round < 1500 * RANDOM_ROUNDS; round++) {
        uint64_t control = some_control(), *input = (uint64_t *)me()->input;
        uint16_t code = (uint16_t)control;

        some_input(input);
        if (code == 0x11 || code == 0x12 || code == 0x0f || code == 0x99 || code == 0x15 ||
            code == 0x0b) {
            continue;
        }
        if (code == HV_CALL_GET_VP_REGISTERS || code == HV_CALL_SET_VP_REGISTERS) {
            uint32_t *name = (uint32_t *)(input + 2);

            input[1] = HV_VP_INDEX_SELF | (uint64_t)VTL0 << 32;
            *name =
                (uint32_t[]){
                    0,       0x100,   0x10000, 0x20000, 0x40000, 0x50000, 0x60000,
                    0x70000, 0x80000, 0x84800, 0x90000, 0xa0000, 0xb0000, 0xd0000}[next() % 14] +
                (uint32_t)(next() & 0x1f);
            control &= HV_CONTROL_CODE_MASK;
            control |= REPS(1);
        }
        ok += STATUS(call(control)) == HV_STATUS_SUCCESS;
    }
    note("%u succeeded", ok);
    afterwards();
}
