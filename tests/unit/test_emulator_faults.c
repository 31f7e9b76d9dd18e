// SPDX-License-Identifier: MIT
//
// Faults that the emulator raises: segmentation in 16, 32 and 64-bit modes (Intel SDM vol. 3
// sections 3.3, 5.3-5.5), instruction fetch, illegal instructions; and that a fault leaves no
// trace.
#include "tests/support/emu_expect.h"

#include <stdlib.h>
#include <string.h>

static struct emu_machine m;

#define P EMU_PTE_P
#define W EMU_PTE_W

struct segment_case {
    const char *name;
    const char *insn;
    uint8_t insn_bytes;
    uint8_t segment;
    uint16_t attributes;
    uint32_t limit;
    uint32_t offset; ///< in EBX, or EBP for SS
    int vector;
};

#define STORE_DS "\x89\x03"     // mov [ebx], eax
#define LOAD_DS  "\x8B\x03"     // mov eax, [ebx]
#define STORE_SS "\x89\x45\x00" // mov [ebp], eax
#define LOAD_CS  "\x2E\x8B\x03"
#define STORE_CS "\x2E\x89\x03"

static const struct segment_case segment_cases[] = {
    {"up to the limit", STORE_DS, 2, EMU_DS, 0xC93, DATA + 3, DATA, OK},
    {"one byte beyond", STORE_DS, 2, EMU_DS, 0xC93, DATA + 2, DATA, GP},
    {"offset wraps", STORE_DS, 2, EMU_DS, 0xC93, UINT32_MAX, 0xFFFFFFFD, GP},
    {"stack beyond the limit", STORE_SS, 3, EMU_SS, 0xC93, DATA + 2, DATA, SS},
    {"read-only data", STORE_DS, 2, EMU_DS, 0xC91, UINT32_MAX, DATA, GP},
    {"read-only data read", LOAD_DS, 2, EMU_DS, 0xC91, UINT32_MAX, DATA, OK},
    {"null selector", LOAD_DS, 2, EMU_DS, 0, UINT32_MAX, DATA, GP},
    {"null stack", STORE_SS, 3, EMU_SS, 0, UINT32_MAX, DATA, SS},
    {"code is not writable", STORE_CS, 3, EMU_CS, 0xC9B, UINT32_MAX, DATA, GP},
    {"readable code", LOAD_CS, 3, EMU_CS, 0xC9B, UINT32_MAX, DATA, OK},
    {"execute-only code", LOAD_CS, 3, EMU_CS, 0xC99, UINT32_MAX, DATA, GP},
    {"expand-down inside", STORE_DS, 2, EMU_DS, 0xC97, DATA - 1, DATA, OK},
    {"expand-down at the limit", STORE_DS, 2, EMU_DS, 0xC97, DATA, DATA, GP},
    {"expand-down, small, inside", STORE_DS, 2, EMU_DS, 0x897, 0x100, 0xFFFC, OK},
    {"expand-down, small, beyond 64 KiB", STORE_DS, 2, EMU_DS, 0x897, 0x100, 0xFFFD, GP},
    {"expand-down stack", STORE_SS, 3, EMU_SS, 0xC97, DATA, DATA, SS},
};

static void test_protected_segments(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(segment_cases); i++) {
        const struct segment_case *c = &segment_cases[i];

        emu_machine_init_flat(&m);
        m.state.segment[c->segment].attributes = c->attributes;
        m.state.segment[c->segment].limit = c->limit;
        m.state.gpr[EMU_RBX] = m.state.gpr[EMU_RBP] = c->offset;
        expect(c->name, emu_machine_run(&m, c->insn, c->insn_bytes), c->vector, 0);
    }
}

static void test_segment_bases(void **state) {
    (void)state;
    emu_machine_init_flat(&m);
    m.state.segment[EMU_FS].base = DATA - 0x10;
    m.state.gpr[EMU_RBX] = 0x10;
    m.state.gpr[EMU_RAX] = 0x11223344;
    expect("fs", emu_machine_run(&m, "\x64\x89\x03", 3), OK, 0);
    assert_memory_equal(m.ram + DATA, "\x44\x33\x22\x11", 4);
    // base + offset wraps at 4 GiB
    m.state.segment[EMU_FS].base = 0xFFFFF000;
    m.state.gpr[EMU_RBX] = DATA + 0x1000;
    m.state.gpr[EMU_RAX] = 5;
    expect("wrap", emu_machine_run(&m, "\x64\x89\x03", 3), OK, 0);
    assert_int_equal(m.ram[DATA], 5);
}

static void test_real_mode(void **state) {
    struct emu_result r;

    (void)state;
    emu_machine_init_real(&m);
    m.state.segment[EMU_ES].base = DATA;
    m.state.gpr[EMU_RDI] = 0x10;
    m.state.gpr[EMU_RAX] = 0x1234;
    expect("es:[di]", emu_machine_run(&m, "\x26\x89\x05", 3), OK, 0);
    assert_memory_equal(m.ram + DATA + 0x10, "\x34\x12", 2);
    // A word at 0xFFFF crosses the limit: no error code in real mode.
    m.state.gpr[EMU_RDI] = 0xFFFF;
    r = emu_machine_run(&m, "\x26\x89\x05", 3);
    expect("at 64 KiB", r, GP, 0);
    assert_false(r.fault.has_error_code);
    // [bp+si] wraps inside 16 bits, and is in SS
    m.state.segment[EMU_SS].base = DATA;
    m.state.gpr[EMU_RBP] = 0xFFF0;
    m.state.gpr[EMU_RSI] = 0x30;
    expect("[bp+si]", emu_machine_run(&m, "\x89\x02", 2), OK, 0);
    assert_memory_equal(m.ram + DATA + 0x20, "\x34\x12", 2);
    m.state.gpr[EMU_RSI] = 0xF;
    expect("stack at 64 KiB", emu_machine_run(&m, "\x89\x02", 2), SS, 0);
}

static void test_canonical(void **state) {
    (void)state;
    emu_machine_init_long(&m);
    m.state.gpr[EMU_RBX] = UINT64_C(1) << 47;
    expect("hole", emu_machine_run(&m, LOAD_DS, 2), GP, 0);
    m.state.gpr[EMU_RBX] = (UINT64_C(1) << 47) - 2;
    expect("into the hole", emu_machine_run(&m, LOAD_DS, 2), GP, 0);
    m.state.gpr[EMU_RBP] = UINT64_C(1) << 47;
    expect("stack in the hole", emu_machine_run(&m, STORE_SS, 3), SS, 0);
    m.state.cr4 |= 1u << 12;
    m.state.gpr[EMU_RBX] = UINT64_C(1) << 47;
    expect("with 57 bits", emu_machine_run(&m, LOAD_DS, 2), PF, 0);
    // limits and types of DS do not exist in 64-bit mode
    emu_machine_init_long(&m);
    emu_machine_map(&m, 0x5000, DATA, EMU_PTE_P | EMU_PTE_W);
    m.state.segment[EMU_DS] = (struct vp_segment){0};
    m.state.gpr[EMU_RBX] = 0x5000;
    expect("null DS", emu_machine_run(&m, STORE_DS, 2), OK, 0);
}

/// The second page faults: nothing is written to the first, registers stay, cr2 is the page's
/// start.
static void test_fault_on_second_page(void **state) {
    struct emu_result r;

    (void)state;
    emu_machine_init_long(&m);
    emu_machine_map(&m, 0x5000, DATA, P | W);
    m.state.gpr[EMU_RBX] = 0x5FFD;
    m.state.gpr[EMU_RAX] = UINT64_MAX;
    m.state.rip = 0x1234;
    r = emu_machine_run(&m, STORE_DS, 2);
    expect("store", r, PF, 2);
    assert_int_equal(r.fault.cr2, 0x6000);
    assert_int_equal(m.ram[DATA + 0xFFD], 0);
    assert_int_equal(m.state.rip, 0x1234);
    // add [rbx], eax: flags stay as well; the fault is a write's
    m.state.rflags = 2;
    expect("add", emu_machine_run(&m, "\x01\x03", 2), PF, 2);
    assert_int_equal(m.state.rflags, 2);
    // pop [rbx]: the stack pointer stays
    m.state.gpr[EMU_RSP] = 0x5100;
    expect("pop", emu_machine_run(&m, "\x8F\x03", 2), PF, 2);
    assert_int_equal(m.state.gpr[EMU_RSP], 0x5100);
}

static void test_fetch(void **state) {
    struct emu_result r;

    (void)state;
    emu_machine_init_long(&m);
    emu_machine_map(&m, 0x5000, DATA, P);
    memcpy(m.ram + DATA + 0xFFC, "\x48\x8B\x04\x25\x00\x50\x00\x00", 8); // mov rax, [0x5000]
    m.state.rip = 0x5FFC;
    m.ram[DATA] = 0x77;
    r = emu_machine_run(&m, "", 0);
    expect("second page missing", r, PF, 0x10);
    assert_int_equal(r.fault.cr2, 0x6000);
    emu_machine_map(&m, 0x6000, DATA + 0x1000, P);
    expect("page-cross", emu_machine_run(&m, "", 0), OK, 0);
    assert_int_equal(m.state.gpr[EMU_RAX], 0x77);
    assert_int_equal(m.state.rip, 0x6004);
    // An instruction that ends with its page needs no other.
    emu_machine_map(&m, 0x6000, 0, 0);
    memcpy(m.ram + DATA + 0xFFE, "\x8B\x03", 2);
    m.state.rip = 0x5FFE;
    m.state.gpr[EMU_RBX] = 0x5000;
    expect("last of its page", emu_machine_run(&m, "", 0), OK, 0);
    // 15 bytes are the most
    memset(m.ram + DATA, 0x66, 16);
    m.state.rip = 0x5000;
    expect("too long", emu_machine_run(&m, "", 0), GP, 0);
    emu_machine_init_flat(&m);
    memcpy(m.ram + DATA, "\x8B\x03", 2);
    m.state.rip = DATA;
    m.state.segment[EMU_CS].limit = DATA;
    expect("CS limit", emu_machine_run(&m, "", 0), GP, 0);
    m.state.segment[EMU_CS].limit = DATA + 1;
    expect("inside CS limit", emu_machine_run(&m, "", 0), OK, 0);
}

struct simple_case {
    const char *name;
    const char *insn;
    uint8_t insn_bytes;
    int vector;
};

static void test_undefined(void **state) {
    static const struct simple_case cases[] = {
        {"lock mov", "\xF0\x89\x03", 3, UD},
        {"lock add reg", "\xF0\x01\xC3", 3, UD},
        {"lock cmp", "\xF0\x39\x03", 3, UD},
        {"lock load", "\xF0\x03\x03", 3, UD},
        {"lock bt", "\xF0\x0F\xA3\x03", 4, UD},
        {"push es in 64-bit mode", "\x06", 1, UD},
        {"movaps unaligned", "\x0F\x28\x43\x01", 4, GP},
        {"movups unaligned", "\x0F\x10\x43\x01", 4, OK},
        {"vmovdqa ymm unaligned", "\xC5\xFD\x6F\x43\x10", 5, GP},
        {"cmpxchg16b unaligned", "\x48\x0F\xC7\x4B\x08", 5, GP},
        {"jump out of canonical", "\xFF\x63\x20", 3, GP},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        emu_machine_init_long(&m);
        emu_machine_map(&m, 0x5000, DATA, P | W);
        m.state.gpr[EMU_RBX] = 0x5000;
        m.ram[DATA + 0x26] = 0x80;
        expect(cases[i].name, emu_machine_run(&m, cases[i].insn, cases[i].insn_bytes),
               cases[i].vector, 0);
    }
    m.state.cr0 |= 8; // TS
    expect("TS", emu_machine_run(&m, "\x0F\x10\x03", 3), NM, 0);
    m.state.cr4 &= ~UINT64_C(0x200);
    expect("no OSFXSR", emu_machine_run(&m, "\x0F\x10\x03", 3), UD, 0);
    m.state.xcr0 = 3;
    expect("no AVX state", emu_machine_run(&m, "\xC5\xFE\x6F\x03", 4), UD, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_protected_segments),
        cmocka_unit_test(test_segment_bases),
        cmocka_unit_test(test_real_mode),
        cmocka_unit_test(test_canonical),
        cmocka_unit_test(test_fault_on_second_page),
        cmocka_unit_test(test_fetch),
        cmocka_unit_test(test_undefined),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
