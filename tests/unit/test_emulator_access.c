// SPDX-License-Identifier: MIT
//
// What the emulator asks of devices, ports and memory: sizes and order of accesses, borders between
// RAM and devices, bounded string instructions, lost exchanges, 16-bit and 32-bit code, and what it
// leaves alone.
#include "tests/support/emu_expect.h"

#include "igvm/base/bytes.h"

#include <stdlib.h>
#include <string.h>

#define MMIO UINT64_C(0x9000) ///< linear; two pages; the page before is RAM

static struct emu_machine m;

static void init(void) {
    emu_machine_init_long(&m);
    emu_machine_map(&m, MMIO - 0x1000, DATA, EMU_PTE_P | EMU_PTE_W);
    emu_machine_map(&m, MMIO, EMU_MMIO_GPA, EMU_PTE_P | EMU_PTE_W);
    emu_machine_map(&m, MMIO + 0x1000, EMU_MMIO_GPA + 0x1000, EMU_PTE_P | EMU_PTE_W);
    m.state.gpr[EMU_RBX] = MMIO;
}

static void check_log(unsigned idx, bool is_write, uint64_t address, uint8_t size_bytes,
                      uint64_t value) {
    const struct emu_log_entry *e = &m.log[idx];

    assert_true(idx < m.log_count);
    assert_int_equal(e->is_write, is_write);
    assert_int_equal(e->address, address);
    assert_int_equal(e->size_bytes, size_bytes);
    assert_int_equal(e->value, value);
}

static void test_one_access_each(void **state) {
    (void)state;
    init();
    m.state.gpr[EMU_RAX] = 0x1122334455667788;
    expect("mov 8", emu_machine_run(&m, "\x48\x89\x43\x08", 4), OK, 0);
    check_log(0, true, EMU_MMIO_GPA + 8, 8, 0x1122334455667788);
    expect("mov 1", emu_machine_run(&m, "\x88\x43\x03", 3), OK, 0);
    check_log(1, true, EMU_MMIO_GPA + 3, 1, 0x88);
    expect("movzx", emu_machine_run(&m, "\x0F\xB7\x43\x08", 4), OK, 0);
    check_log(2, false, EMU_MMIO_GPA + 8, 2, 0x7788);
    assert_int_equal(m.state.gpr[EMU_RAX], 0x7788);
    assert_int_equal(m.log_count, 3);
    // or dword [rbx+8], 1: read, then write
    expect("or", emu_machine_run(&m, "\x83\x4B\x08\x01", 4), OK, 0);
    check_log(3, false, EMU_MMIO_GPA + 8, 4, 0x55667788);
    check_log(4, true, EMU_MMIO_GPA + 8, 4, 0x55667789);
    // cmp and test only read; a store only writes
    expect("cmp", emu_machine_run(&m, "\x83\x7B\x08\x01", 4), OK, 0);
    expect("test", emu_machine_run(&m, "\xF7\x43\x08\x01\x00\x00\x00", 7), OK, 0);
    assert_int_equal(m.log_count, 7);
    // lock on a device: nothing to be atomic with
    expect("lock inc", emu_machine_run(&m, "\xF0\xFF\x03", 3), OK, 0);
    check_log(8, true, EMU_MMIO_GPA, 4, 0x88000001);
}

static void test_wide_accesses_are_split(void **state) {
    (void)state;
    init();
    for (unsigned i = 0; i < EMU_VECTOR_BYTES; i++) {
        m.vector[1][i] = (uint8_t)i;
    }
    expect("movups", emu_machine_run(&m, "\x0F\x11\x0B", 3), OK, 0);
    check_log(0, true, EMU_MMIO_GPA, 8, 0x0706050403020100);
    check_log(1, true, EMU_MMIO_GPA + 8, 8, 0x0F0E0D0C0B0A0908);
    expect("vmovdqu", emu_machine_run(&m, "\xC5\xFE\x7F\x0B", 4), OK, 0);
    assert_int_equal(m.log_count, 6);
    check_log(5, true, EMU_MMIO_GPA + 24, 8, 0x1F1E1D1C1B1A1918);
    expect("movd", emu_machine_run(&m, "\x66\x0F\x6E\x13", 4), OK, 0);
    assert_int_equal(load_le64(m.vector[2]), 0x03020100);
}

/// Across RAM and device, and across two device pages.
static void test_borders(void **state) {
    (void)state;
    init();
    m.state.gpr[EMU_RAX] = 0x1122334455667788;
    m.state.gpr[EMU_RBX] = MMIO - 1;
    expect("RAM to device", emu_machine_run(&m, "\x48\x89\x03", 3), OK, 0);
    assert_int_equal(m.ram[DATA + 0xFFF], 0x88);
    check_log(0, true, EMU_MMIO_GPA, 4, 0x44556677);
    check_log(1, true, EMU_MMIO_GPA + 4, 2, 0x2233);
    check_log(2, true, EMU_MMIO_GPA + 6, 1, 0x11);
    m.state.gpr[EMU_RAX] = 0;
    expect("and back", emu_machine_run(&m, "\x48\x8B\x03", 3), OK, 0);
    assert_int_equal(m.state.gpr[EMU_RAX], 0x1122334455667788);
    m.state.gpr[EMU_RBX] = MMIO + 0xFFE;
    m.log_count = 0;
    expect("two pages", emu_machine_run(&m, "\x89\x03", 2), OK, 0);
    check_log(0, true, EMU_MMIO_GPA + 0xFFE, 2, 0x7788);
    check_log(1, true, EMU_MMIO_GPA + 0x1000, 2, 0x5566);
}

static void test_strings(void **state) {
    struct emu_result r;

    (void)state;
    init();
    memcpy(m.ram + DATA, "abcdefghijkl", 12);
    m.state.gpr[EMU_RSI] = MMIO - 0x1000;
    m.state.gpr[EMU_RDI] = MMIO;
    m.state.gpr[EMU_RCX] = 3;
    m.context.max_repeat = 2;
    r = emu_machine_run(&m, "\xF3\xA5", 2); // rep movsd
    assert_int_equal(r.status, EMU_RETRY);
    assert_int_equal(m.state.rip, 0);
    assert_int_equal(m.state.gpr[EMU_RCX], 1);
    assert_int_equal(m.log_count, 2);
    expect("the rest", emu_machine_run(&m, "\xF3\xA5", 2), OK, 0);
    assert_int_equal(m.state.rip, 2);
    assert_memory_equal(m.mmio, "abcdefghijkl", 12);
    assert_int_equal(m.state.gpr[EMU_RDI], MMIO + 12);
    // nothing to do
    expect("no elements", emu_machine_run(&m, "\xF3\xA5", 2), OK, 0);
    assert_int_equal(m.log_count, 3);
    // repne scasb stops behind its match
    m.context.max_repeat = 0;
    m.state.gpr[EMU_RDI] = MMIO;
    m.state.gpr[EMU_RCX] = 100;
    m.state.gpr[EMU_RAX] = 'd';
    expect("scas", emu_machine_run(&m, "\xF2\xAE", 2), OK, 0);
    assert_int_equal(m.state.gpr[EMU_RDI], MMIO + 4);
    assert_int_equal(m.state.gpr[EMU_RCX], 96);
}

/// A fault inside a repeated instruction leaves the elements before it done.
static void test_string_fault(void **state) {
    struct emu_result r;

    (void)state;
    init();
    m.state.gpr[EMU_RDI] = MMIO + 0x1FF8;
    m.state.gpr[EMU_RCX] = 10;
    m.state.gpr[EMU_RAX] = 7;
    r = emu_machine_run(&m, "\xF3\xAB", 2); // rep stosd
    expect("fault", r, PF, 2);
    assert_int_equal(r.fault.cr2, MMIO + 0x2000);
    assert_int_equal(m.state.gpr[EMU_RCX], 8);
    assert_int_equal(m.state.gpr[EMU_RDI], MMIO + 0x2000);
    assert_int_equal(m.log_count, 2);
    assert_int_equal(m.state.rip, 0);
}

static void test_ports(void **state) {
    (void)state;
    init();
    m.port_value = 0xA1B2C3D4;
    m.state.gpr[EMU_RDX] = 0xFFFF03F8;
    m.state.gpr[EMU_RAX] = UINT64_MAX;
    expect("in al, dx", emu_machine_run(&m, "\xEC", 1), OK, 0);
    check_log(0, false, 0x3F8, 1, 0xA1B2C3D4);
    assert_int_equal(m.state.gpr[EMU_RAX], 0xFFFFFFFFFFFFFFD4);
    expect("in eax, 0x80", emu_machine_run(&m, "\xE5\x80", 2), OK, 0);
    check_log(1, false, 0x80, 4, 0xA1B2C3D4);
    assert_int_equal(m.state.gpr[EMU_RAX], 0xA1B2C3D4);
    expect("out dx, ax", emu_machine_run(&m, "\x66\xEF", 2), OK, 0);
    check_log(2, true, 0x3F8, 2, 0xC3D4);
    m.state.gpr[EMU_RDI] = MMIO - 0x1000;
    m.state.gpr[EMU_RCX] = 2;
    expect("rep insd", emu_machine_run(&m, "\xF3\x6D", 2), OK, 0);
    assert_memory_equal(m.ram + DATA, "\xD4\xC3\xB2\xA1\xD4\xC3\xB2\xA1", 8);
    m.state.gpr[EMU_RSI] = MMIO - 0x1000;
    m.state.gpr[EMU_RCX] = 3;
    expect("rep outsb", emu_machine_run(&m, "\xF3\x6E", 2), OK, 0);
    check_log(7, true, 0x3F8, 1, 0xB2);
    // a destination that cannot be written: the port is not read
    m.log_count = 0;
    m.state.gpr[EMU_RDI] = 0x100000;
    expect("insb", emu_machine_run(&m, "\x6C", 1), PF, 2);
    assert_int_equal(m.log_count, 0);
}

/// The I/O permission bitmap: user code at IOPL 0.
static void test_port_permissions(void **state) {
    (void)state;
    init();
    m.state.cpl = 3;
    m.state.gpr[EMU_RDX] = 0x3F8;
    expect("no TSS", emu_machine_run(&m, "\xEC", 1), GP, 0);
    m.state.tr =
        (struct vp_segment){.base = MMIO - 0x1000, .limit = 0x68 + 0x80, .attributes = 0x8B};
    memset(m.ram + DATA + 0x68, 0xFF, 0x98);
    store_le16(m.ram + DATA + 0x66, 0x68);
    m.ram[DATA + 0x68 + 0x7F] = 0xFE;
    expect("allowed", emu_machine_run(&m, "\xEC", 1), OK, 0);
    expect("two ports", emu_machine_run(&m, "\x66\xED", 2), GP, 0);
    m.state.gpr[EMU_RDX] = 0x408;
    expect("beyond the map", emu_machine_run(&m, "\xEC", 1), GP, 0);
    // 32-bit code under a 64-bit kernel, whose TSS is far above 4 GiB
    emu_machine_map(&m, UINT64_C(0xFFFFFE0000001000), DATA, EMU_PTE_P | EMU_PTE_W);
    m.state.tr.base = UINT64_C(0xFFFFFE0000001000);
    m.state.segment[EMU_CS].attributes = 0xCFB;
    m.state.gpr[EMU_RDX] = 0x3F8;
    expect("compatibility mode", emu_machine_run(&m, "\xEC", 1), OK, 0);
    m.state.rflags |= 0x3000;
    expect("IOPL 3", emu_machine_run(&m, "\xEC", 1), OK, 0);
}

static void test_lost_exchange(void **state) {
    struct emu_result r;

    (void)state;
    init();
    // The page's flags first, so that the exchange below is the instruction's.
    m.state.gpr[EMU_RBX] = MMIO - 0x1000;
    expect("warm", emu_machine_run(&m, "\xC7\x03\x05\x00\x00\x00", 6), OK, 0);
    m.state.rip = 0;
    m.lost_exchanges = 1;
    m.state.rflags = 2;
    r = emu_machine_run(&m, "\xF0\xFF\x0B", 3); // lock dec dword [rbx]
    assert_int_equal(r.status, EMU_RETRY);
    assert_int_equal(m.state.rflags, 2);
    assert_int_equal(m.state.rip, 0);
    assert_int_equal(m.ram[DATA], 5);
    expect("again", emu_machine_run(&m, "\xF0\xFF\x0B", 3), OK, 0);
    assert_int_equal(m.ram[DATA], 4);
    m.lost_exchanges = 1;
    m.state.gpr[EMU_RAX] = 9;
    r = emu_machine_run(&m, "\x87\x03", 2); // xchg needs no prefix
    assert_int_equal(r.status, EMU_RETRY);
    assert_int_equal(m.state.gpr[EMU_RAX], 9);
}

static void test_branches_and_stack(void **state) {
    (void)state;
    init();
    m.state.gpr[EMU_RSP] = MMIO - 0x800;
    store_le64(m.mmio, 0x123456);
    expect("call [rbx]", emu_machine_run(&m, "\xFF\x13", 2), OK, 0);
    assert_int_equal(m.state.rip, 0x123456);
    assert_int_equal(m.state.gpr[EMU_RSP], MMIO - 0x808);
    assert_int_equal(load_le64(m.ram + DATA + 0x7F8), 2);
    expect("ret 8", emu_machine_run(&m, "\xC2\x08\x00", 3), OK, 0);
    assert_int_equal(m.state.rip, 2);
    assert_int_equal(m.state.gpr[EMU_RSP], MMIO - 0x7F8);
    expect("jmp [rbx]", emu_machine_run(&m, "\xFF\x23", 2), OK, 0);
    assert_int_equal(m.state.rip, 0x123456);
    m.state.cr4 |= 1u << 23;
    assert_int_equal(emu_machine_run(&m, "\xFF\x13", 2).status, EMU_UNHANDLED);
}

static void test_flat_mode(void **state) {
    (void)state;
    emu_machine_init_flat(&m);
    m.state.gpr[EMU_RSP] = DATA + 0x100;
    m.state.gpr[EMU_RAX] = 0x55667788;
    expect("push eax", emu_machine_run(&m, "\x50", 1), OK, 0);
    assert_int_equal(m.state.gpr[EMU_RSP], DATA + 0xFC);
    expect("inc eax", emu_machine_run(&m, "\x40", 1), OK, 0);
    assert_int_equal(m.state.gpr[EMU_RAX], 0x55667789);
    expect("mov [moffs], eax", emu_machine_run(&m, "\xA3\x08\x00\x10\x00", 5), OK, 0);
    check_log(0, true, EMU_MMIO_GPA + 8, 4, 0x55667789);
    // 16-bit address in 32-bit code: mov [bx], al
    m.state.segment[EMU_DS].base = DATA;
    m.state.gpr[EMU_RBX] = 0xABCD0004;
    expect("a16", emu_machine_run(&m, "\x67\x88\x07", 3), OK, 0);
    assert_int_equal(m.ram[DATA + 4], 0x89);
    // rep stosb counts CX there
    m.state.segment[EMU_ES].base = DATA;
    m.state.gpr[EMU_RDI] = 0x1230010;
    m.state.gpr[EMU_RCX] = 0x7770002;
    expect("a16 rep stosb", emu_machine_run(&m, "\x67\xF3\xAA", 3), OK, 0);
    assert_int_equal(m.state.gpr[EMU_RCX], 0x7770000);
    assert_int_equal(m.state.gpr[EMU_RDI], 0x1230012);
    assert_int_equal(m.ram[DATA + 0x230011 % 0x10000], 0x89);
}

static void test_real_mode_moves(void **state) {
    (void)state;
    emu_machine_init_real(&m);
    m.state.segment[EMU_DS].base = EMU_MMIO_GPA;
    m.state.gpr[EMU_RAX] = 0xDEADBEEF;
    m.state.gpr[EMU_RBX] = 0x10;
    m.state.rip = 0x7C00;
    expect("mov [bx], ax", emu_machine_run(&m, "\x89\x07", 2), OK, 0);
    check_log(0, true, EMU_MMIO_GPA + 0x10, 2, 0xBEEF);
    expect("mov [bx], eax", emu_machine_run(&m, "\x66\x89\x07", 3), OK, 0);
    check_log(1, true, EMU_MMIO_GPA + 0x10, 4, 0xDEADBEEF);
    assert_int_equal(m.state.rip, 0x7C05);
}

static void test_unhandled(void **state) {
    static const struct {
        const char *insn;
        uint8_t insn_bytes;
    } cases[] = {
        {"\x0F\x22\xC0", 3},             // mov cr0, rax
        {"\x8E\x1B", 2},                 // mov ds, [rbx]
        {"\xFF\x1B", 2},                 // call far [rbx]
        {"\x0F\x01\x13", 3},             // lgdt
        {"\xD8\x03", 2},                 // fadd
        {"\x0F\x6F\x03", 3},             // movq mm0, [rbx]
        {"\x66\x0F\xFE\x03", 4},         // paddd
        {"\x62\xF1\x7C\x48\x10\x03", 6}, // EVEX
        {"\xF4", 1},                     // hlt
        {"\xCC", 1},                     // int3
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct emu_state before;
        struct emu_result r;

        init();
        before = m.state;
        r = emu_machine_run(&m, cases[i].insn, cases[i].insn_bytes);
        assert_int_equal(r.status, EMU_UNHANDLED);
        assert_memory_equal(&before, &m.state, sizeof(before));
        assert_int_equal(m.log_count, 0);
        assert_int_equal(r.insn_bytes, cases[i].insn_bytes);
    }
    // memory that is neither
    init();
    emu_machine_map(&m, 0x20000, 0xFEE00000, EMU_PTE_P | EMU_PTE_W);
    m.state.gpr[EMU_RBX] = 0x20000;
    assert_int_equal(emu_machine_run(&m, "\x8B\x03", 2).status, EMU_UNHANDLED);
}

static void test_single_step(void **state) {
    (void)state;
    init();
    m.state.rflags |= 0x10100; // RF, TF
    assert_true(emu_machine_run(&m, "\x8B\x03", 2).single_step);
    assert_int_equal(m.state.rflags, 0x102);
    m.state.gpr[EMU_RDI] = MMIO;
    m.state.gpr[EMU_RCX] = 5;
    m.state.rip = 0;
    assert_true(emu_machine_run(&m, "\xF3\xAA", 2).single_step);
    assert_int_equal(m.state.gpr[EMU_RCX], 4);
    assert_int_equal(m.state.rip, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_access_each),
        cmocka_unit_test(test_wide_accesses_are_split),
        cmocka_unit_test(test_borders),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_string_fault),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_port_permissions),
        cmocka_unit_test(test_lost_exchange),
        cmocka_unit_test(test_branches_and_stack),
        cmocka_unit_test(test_flat_mode),
        cmocka_unit_test(test_real_mode_moves),
        cmocka_unit_test(test_unhandled),
        cmocka_unit_test(test_single_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
