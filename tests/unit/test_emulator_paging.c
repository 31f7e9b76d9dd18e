// SPDX-License-Identifier: MIT
//
// The emulator's page walk: rights, fault codes, accessed and dirty flags with 2, 3, 4 and 5 levels
// (Intel SDM vol. 3 sections 4.3-4.8).
#include "tests/support/emu_expect.h"

#include <stdlib.h>
#include <string.h>

static struct emu_machine m;

#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)
#define CR0_WP   (1u << 16)
#define AC       (1u << 18)

struct paging_case {
    const char *name;
    uint64_t pte;
    uint8_t cpl;
    uint8_t access;
    bool no_wp, no_nxe;
    uint32_t cr4;
    uint64_t rflags;
    int vector;
    uint32_t error;
    uint64_t pte_after; ///< flags that must be set in the entry
};

#define P  EMU_PTE_P
#define W  EMU_PTE_W
#define U  EMU_PTE_U
#define A  EMU_PTE_A
#define D  EMU_PTE_D
#define NX EMU_PTE_NX

static const struct paging_case paging_cases[] = {
    {"not present", 0, 0, EMU_READ, 0, 0, 0, 0, PF, 0, 0},
    {"not present, write", W, 0, EMU_WRITE, 0, 0, 0, 0, PF, 2, 0},
    {"not present, user write", W, 3, EMU_WRITE, 0, 0, 0, 0, PF, 6, 0},
    {"not present, fetch", 0, 0, EMU_EXECUTE, 0, 0, 0, 0, PF, 0x10, 0},
    {"not present, fetch, no NX", 0, 0, EMU_EXECUTE, 0, 1, 0, 0, PF, 0, 0},
    {"not present, fetch, SMEP", 0, 0, EMU_EXECUTE, 0, 1, CR4_SMEP, 0, PF, 0x10, 0},
    {"read", P, 0, EMU_READ, 0, 0, 0, 0, OK, 0, A},
    {"read-only, WP", P, 0, EMU_WRITE, 0, 0, 0, 0, PF, 3, 0},
    {"read-only, no WP", P, 0, EMU_WRITE, 1, 0, 0, 0, OK, 0, A | D},
    {"read-only, user, no WP", P | U, 3, EMU_WRITE, 1, 0, 0, 0, PF, 7, 0},
    {"write", P | W, 0, EMU_WRITE, 0, 0, 0, 0, OK, 0, A | D},
    {"supervisor page, user", P | W, 3, EMU_READ, 0, 0, 0, 0, PF, 5, 0},
    {"user page, user", P | U, 3, EMU_READ, 0, 0, 0, 0, OK, 0, A},
    {"NX data", P | NX, 0, EMU_READ, 0, 0, 0, 0, OK, 0, A},
    {"NX fetch", P | NX, 0, EMU_EXECUTE, 0, 0, 0, 0, PF, 0x11, 0},
    {"NX reserved", P | NX, 0, EMU_READ, 0, 1, 0, 0, PF, 9, 0},
    {"SMEP", P | U, 0, EMU_EXECUTE, 0, 0, CR4_SMEP, 0, PF, 0x11, 0},
    {"SMEP, user", P | U, 3, EMU_EXECUTE, 0, 0, CR4_SMEP, 0, OK, 0, A},
    {"SMEP, supervisor page", P, 0, EMU_EXECUTE, 0, 0, CR4_SMEP, 0, OK, 0, A},
    {"SMAP", P | U, 0, EMU_READ, 0, 0, CR4_SMAP, 0, PF, 1, 0},
    {"SMAP, write", P | U | W, 0, EMU_WRITE, 0, 0, CR4_SMAP, 0, PF, 3, 0},
    {"SMAP, AC", P | U, 0, EMU_READ, 0, 0, CR4_SMAP, AC, OK, 0, A},
    {"SMAP, fetch", P | U, 0, EMU_EXECUTE, 0, 0, CR4_SMAP, 0, OK, 0, A},
    {"address bit reserved", P | UINT64_C(1) << 45, 0, EMU_READ, 0, 0, 0, 0, PF, 9, 0},
};

static void test_four_levels(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(paging_cases); i++) {
        const struct paging_case *c = &paging_cases[i];
        struct emu_result r = {0};
        gpa_t out = {0};

        emu_machine_init_long(&m);
        m.state.physical_address_bits = 40;
        m.state.cpl = c->cpl;
        m.state.cr4 |= c->cr4;
        m.state.rflags |= c->rflags;
        m.state.cr0 &= c->no_wp ? ~(uint64_t)CR0_WP : UINT64_MAX;
        m.state.efer &= c->no_nxe ? ~UINT64_C(0x800) : UINT64_MAX;
        emu_machine_map(&m, 0x7FFF12345000, DATA, c->pte);
        r.status =
            emu_translate(&m.context, 0x7FFF12345678, (enum emu_access)c->access, &out, &r.fault);
        expect(c->name, r, c->vector, c->error);
        if (c->vector == OK) {
            assert_int_equal(out.value, DATA + 0x678);
        } else {
            assert_int_equal(r.fault.cr2, 0x7FFF12345678);
        }
        assert_int_equal(*emu_machine_pte(&m, 0x7FFF12345000) & (A | D), c->pte_after);
    }
}

static void put32(uint32_t at, uint32_t value) {
    memcpy(m.ram + at, &value, 4);
}

static void put64(uint32_t at, uint64_t value) {
    memcpy(m.ram + at, &value, 8);
}

static struct emu_result translate(uint64_t linear, enum emu_access access, uint64_t *out) {
    struct emu_result r = {0};
    gpa_t at = {0};

    r.status = emu_translate(&m.context, linear, access, &at, &r.fault);
    *out = at.value;
    return r;
}

static void test_two_levels(void **state) {
    uint64_t out;

    (void)state;
    emu_machine_init_flat(&m);
    m.state.cr0 |= UINT64_C(0x80010000);
    m.state.cr3 = 0x10000;
    put32(0x10000 + 4 * 1, 0x11000 | P | W);
    put32(0x11000 + 4 * 2, DATA | P);
    put32(0x10000 + 4 * 2, 0x00400000 | (3u << 13) | EMU_PTE_PS | P | W); // 4 MiB, PSE-36
    put32(0x10000 + 4 * 3, 0x00400000 | (1u << 21) | EMU_PTE_PS | P | W);
    expect("4 KiB", translate(0x402123, EMU_READ, &out), OK, 0);
    assert_int_equal(out, DATA + 0x123);
    expect("read-only", translate(0x402123, EMU_WRITE, &out), PF, 3);
    expect("fetch has no I bit", translate(0x403000, EMU_EXECUTE, &out), PF, 0);
    m.state.cr4 |= 0x10;
    expect("4 MiB", translate(0x812345, EMU_WRITE, &out), OK, 0);
    assert_int_equal(out, UINT64_C(0x300412345));
    assert_int_equal(m.ram[0x10008] & (A | D), A | D);
    expect("reserved", translate(0xC12345, EMU_READ, &out), PF, 9);
}

static void test_three_levels(void **state) {
    uint64_t out;

    (void)state;
    emu_machine_init_flat(&m);
    m.state.cr0 |= UINT64_C(0x80010000);
    m.state.cr4 |= 0x20;
    m.state.efer = 0x800;
    m.state.cr3 = 0x10020; // 32-byte aligned
    put64(0x10020 + 8 * 3, 0x11000 | P);
    put64(0x11000, 0x12000 | P | W | U);
    put64(0x12000, DATA | P | W | U | NX);
    put64(0x11008, UINT64_C(0x200000) | EMU_PTE_PS | P | W);
    put64(0x11010, UINT64_C(0x202000) | EMU_PTE_PS | P | W);
    put64(0x12008, DATA | P | UINT64_C(1) << 52);
    expect("4 KiB", translate(0xC0000010, EMU_WRITE, &out), OK, 0);
    assert_int_equal(out, DATA + 0x10);
    expect("no execute", translate(0xC0000010, EMU_EXECUTE, &out), PF, 0x11);
    expect("2 MiB", translate(0xC0212345, EMU_READ, &out), OK, 0);
    assert_int_equal(out, 0x212345);
    expect("2 MiB, reserved", translate(0xC0412345, EMU_READ, &out), PF, 9);
    expect("high reserved", translate(0xC0001000, EMU_READ, &out), PF, 9);
    put64(0x10020, 0x11000 | P | W);
    expect("top entry has no W", translate(0, EMU_READ, &out), PF, 9);
    assert_int_equal(m.ram[0x10038] & A, 0);
}

static void test_five_levels_and_large(void **state) {
    uint64_t out;

    (void)state;
    emu_machine_init_long(&m);
    m.state.cr4 |= 1u << 12;
    m.state.cr3 = 0x10000;
    put64(0x10000 + 8 * 1, 0x11000 | P | W | U);
    put64(0x11000, 0x12000 | P | W | U);
    put64(0x12000, UINT64_C(0x40000000) | EMU_PTE_PS | P | W); // 1 GiB
    put64(0x12008, UINT64_C(0x40002000) | EMU_PTE_PS | P | W);
    put64(0x11008, EMU_PTE_PS | P | W);
    expect("1 GiB", translate((UINT64_C(1) << 48) | 0x12345678, EMU_WRITE, &out), OK, 0);
    assert_int_equal(out, 0x52345678);
    expect("1 GiB, reserved", translate((UINT64_C(1) << 48) | 0x40000000, EMU_READ, &out), PF, 9);
    expect("no page of 512 GiB", translate((UINT64_C(1) << 48) | UINT64_C(1) << 39, EMU_READ, &out),
           PF, 9);
    expect("other half", translate(0x1000, EMU_READ, &out), PF, 0);
}

/// The C-bit is no part of an address, in tables and in the result.
static void test_encryption_bit(void **state) {
    uint64_t out;
    uint64_t c_bit = UINT64_C(1) << 51;

    (void)state;
    emu_machine_init_long(&m);
    m.state.physical_address_bits = 48;
    m.state.encryption_mask = c_bit;
    m.state.cr3 |= c_bit;
    emu_machine_map(&m, 0x5000, DATA | c_bit, P | W);
    expect("C-bit", translate(0x5123, EMU_READ, &out), OK, 0);
    assert_int_equal(out, DATA + 0x123);
    m.state.encryption_mask = 0;
    m.state.cr3 &= ~c_bit;
    expect("reserved without it", translate(0x5123, EMU_READ, &out), PF, 9);
}

static void test_protection_keys(void **state) {
    uint64_t out;

    (void)state;
    emu_machine_init_long(&m);
    m.state.cr4 |= 1u << 22;
    m.state.cpl = 3;
    emu_machine_map(&m, 0x5000, DATA, P | W | U | UINT64_C(5) << 59);
    m.state.pkru = 1u << 10;
    expect("access disabled", translate(0x5000, EMU_READ, &out), PF, 0x25);
    m.state.pkru = 2u << 10;
    expect("read", translate(0x5000, EMU_READ, &out), OK, 0);
    expect("write disabled", translate(0x5000, EMU_WRITE, &out), PF, 0x27);
    expect("fetch", translate(0x5000, EMU_EXECUTE, &out), OK, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_four_levels),    cmocka_unit_test(test_two_levels),
        cmocka_unit_test(test_three_levels),   cmocka_unit_test(test_five_levels_and_large),
        cmocka_unit_test(test_encryption_bit), cmocka_unit_test(test_protection_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
