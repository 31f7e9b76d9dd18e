// SPDX-License-Identifier: MIT
//
// Random instructions: prefixes, REX or VEX, ModRM, SIB, displacement, immediate (Intel SDM vol. 2
// chapter 2), with registers such that the operand lies inside the data.
#include "tests/support/emu_cases.h"

#include "igvm/base/bytes.h"
#include "igvm/base/types.h"

#include <string.h>

#define RAX 0u
#define RCX 1u
#define RDX 2u
#define RSP 4u
#define RSI 6u
#define RDI 7u

#define MARGIN    0x200u ///< distance of operands from the ends of the data
#define NO_REG    16u
#define MAX_COUNT 20u

/// How the operand's address is spelled.
struct form {
    bool has_base, has_index, is_rip, is_short;
    unsigned base, index, scale;
    int32_t disp;
};

/// One instruction on its way.
struct maker {
    struct case_random *random;
    const struct case_encoding *e;
    struct native_case *c;
    struct form form;
    unsigned reg; ///< ModRM.reg
    bool is_16, is_64;
    bool is_32;     ///< 32-bit code
    bool is_narrow; ///< address-size prefix
};

uint64_t case_next(struct case_random *r) {
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return r->state * UINT64_C(0x2545F4914F6CDD1D);
}

uint64_t case_below(struct case_random *r, uint64_t limit) {
    return (case_next(r) >> 11) % limit;
}

/// Values where carries, signs and masks change, among plain random ones.
static uint64_t interesting(struct case_random *r) {
    static const uint64_t edges[] = {
        0,         1,      2,      0xF,        0x7F,       0x80,       0xFF,
        0x7FFF,    0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, UINT64_C(1) << 63,
        UINT64_MAX};

    return case_below(r, 3) ? case_next(r) : edges[case_below(r, ARRAY_COUNT(edges))];
}

static void put(struct native_case *c, uint8_t byte) {
    if (c->insn_bytes < sizeof(c->insn)) {
        c->insn[c->insn_bytes++] = byte;
    }
}

static void put_le(struct native_case *c, uint64_t value, unsigned count) {
    for (; count > 0; count--, value >>= 8) {
        put(c, (uint8_t)value);
    }
}

/// An operand's address inside the data, often across the page border.
static uint64_t random_address(struct case_random *r, uint32_t options) {
    uint64_t off = case_below(r, 4) ? MARGIN + case_below(r, NATIVE_DATA_BYTES - 2 * MARGIN)
                                    : PAGE_SIZE_4K - 40 + case_below(r, 48);

    if (options & CASE_ALIGN) {
        off &= ~UINT64_C(31);
    } else if (options & CASE_LOCK) {
        off &= ~UINT64_C(7);
    }
    return NATIVE_DATA_ADDRESS + off;
}

static void random_registers(struct maker *m) {
    struct native_registers *in = &m->c->in;
    uint32_t options = m->e->options;

    for (unsigned i = 0; i < 16; i++) {
        in->gpr[i] =
            m->is_32 ? (i < 8 ? interesting(m->random) & UINT32_MAX : 0) : interesting(m->random);
    }
    in->rflags = (case_next(m->random) & CASE_ALL_FLAGS) | 2;
    for (unsigned i = 0; i < NATIVE_VECTORS; i++) {
        for (unsigned j = 0; j < (native_has_avx() ? 32u : 16u); j += 8) {
            store_le64(in->vector[i] + j, case_next(m->random));
        }
    }
    if (options & CASE_COUNT) {
        in->gpr[RCX] = case_below(m->random, 70);
    }
    if (options & CASE_STRING) {
        in->gpr[RCX] = case_below(m->random, MAX_COUNT);
        in->gpr[RSI] = random_address(m->random, 0);
        in->gpr[RDI] = random_address(m->random, 0);
        in->rflags |= case_below(m->random, 2) ? CASE_DF : 0;
    }
    if (options & CASE_STACK) {
        in->gpr[RSP] = random_address(m->random, 0);
    }
    if (options & CASE_BITS) {
        in->gpr[m->reg] = case_below(m->random, 2048) - 1024;
        in->gpr[m->reg] &= m->is_32 ? UINT32_MAX : UINT64_MAX;
    }
}

/// Makes some of the comparing instructions find what they compare with.
static void match_accumulator(struct maker *m, const uint8_t *at) {
    struct native_registers *in = &m->c->in;

    if ((m->e->options & CASE_BITS) || case_below(m->random, 2)) {
        return;
    }
    in->gpr[RAX] = m->is_32 ? load_le32(at) : load_le64(at);
    in->gpr[RDX] = m->is_64 ? load_le64(at + 8) : load_le32(at + 4);
}

/// Whether a register may be part of the address: not when it has another duty.
static bool is_free(const struct maker *m, unsigned reg) {
    return reg != RCX && !((m->e->options & CASE_BITS) && reg == m->reg);
}

static void choose_form(struct maker *m, uint64_t target) {
    struct case_random *r = m->random;
    struct native_registers *in = &m->c->in;
    struct form *f = &m->form;
    uint64_t rest = target;

    *f = (struct form){.has_base = case_below(r, 4) != 0, .disp = (int32_t)target};
    f->is_rip = !f->has_base && !m->is_narrow && !m->is_32 && case_below(r, 2);
    f->has_index = !f->is_rip && case_below(r, 2);
    f->scale = (unsigned)case_below(r, 4);
    do {
        f->base = (unsigned)case_below(r, m->is_32 ? 8 : 16);
        f->index = (unsigned)case_below(r, m->is_32 ? 8 : 16);
    } while (f->base == f->index || f->index == RSP || !is_free(m, f->base) ||
             !is_free(m, f->index));
    if (f->has_base && f->base == RSP && (m->e->options & CASE_STACK)) {
        f->has_index = false;
        f->is_short = true;
        f->disp = (int8_t)case_next(r);
        return;
    }
    if (f->has_index && !f->has_base) {
        in->gpr[f->index] = case_below(r, 64);
        f->disp = (int32_t)(target - (in->gpr[f->index] << f->scale));
    } else if (f->has_index) {
        rest -= in->gpr[f->index] << f->scale;
    }
    if (f->has_base) {
        f->is_short = case_below(r, 2);
        f->disp = f->is_short ? (int8_t)case_next(r) : (int32_t)case_next(r);
        in->gpr[f->base] = rest - (uint64_t)(int64_t)f->disp;
        in->gpr[f->base] &= m->is_32 ? UINT32_MAX : UINT64_MAX;
        if (m->is_narrow) {
            in->gpr[f->base] ^= case_next(r) << 32; // must not matter
        }
    }
}

/// ModRM, SIB and displacement. Addresses relative to RIP count from the instruction's end.
static void put_modrm(struct maker *m, unsigned imm_bytes) {
    const struct form *f = &m->form;
    struct native_case *c = m->c;
    uint8_t field = (uint8_t)((m->reg & 7) << 3);
    bool is_short = f->has_base && f->is_short;

    if (f->is_rip) {
        uint64_t next = NATIVE_CODE_ADDRESS + c->insn_bytes + 5u + imm_bytes;

        put(c, field | 5);
        put_le(c, (uint64_t)(int64_t)f->disp - next, 4);
        return;
    }
    put(c, (uint8_t)(field | 4 | (!f->has_base ? 0 : is_short ? 0x40 : 0x80)));
    put(c, (uint8_t)((f->has_index ? f->scale << 6 | (f->index & 7) << 3 : 0x20) |
                     (f->has_base ? f->base & 7 : 5)));
    put_le(c, (uint64_t)(int64_t)f->disp, is_short ? 1 : 4);
}

/// REX without its fixed bits: W, R, X, B.
static uint8_t rex_bits(const struct maker *m) {
    const struct form *f = &m->form;

    return (uint8_t)(m->is_64 << 3 | (m->reg >> 3) << 2 | (f->has_index && (f->index & 8) ? 2 : 0) |
                     (f->has_base && (f->base & 8) ? 1 : 0));
}

static void put_vex(struct maker *m) {
    static const uint8_t pp_of[] = {0x00, 0x66, 0xF3, 0xF2};
    uint8_t rex = rex_bits(m);
    unsigned source = 0, is_long = 0, pp = 0;

    while (pp < 3 && pp_of[pp] != m->e->prefix) {
        pp++;
    }
    if (m->e->options & CASE_SOURCE) {
        source = (unsigned)case_below(m->random, NATIVE_VECTORS);
    }
    if (m->e->options & CASE_VEX_L) {
        is_long = (unsigned)case_below(m->random, 2);
    }
    put(m->c, 0xC4);
    put(m->c, (uint8_t)((~rex & 7) << 5 | 1));
    put(m->c, (uint8_t)((rex >> 3) << 7 | (~source & 15) << 3 | is_long << 2 | pp));
    put(m->c, m->e->opcode[0]);
}

static void put_legacy(struct maker *m) {
    uint32_t options = m->e->options;
    uint8_t rex = rex_bits(m);
    bool implied = (m->e->opcode[0] & 0xFE) == 0x86; // XCHG

    if ((options & CASE_LOCK) && !implied && case_below(m->random, 4) == 0) {
        put(m->c, 0xF0);
    }
    if ((options & CASE_STRING) && case_below(m->random, 3)) {
        put(m->c, case_below(m->random, 2) ? 0xF3 : 0xF2);
    }
    if (m->is_16) {
        put(m->c, 0x66);
    }
    if (m->e->prefix) {
        put(m->c, m->e->prefix);
    }
    // An empty REX makes SPL of AH.
    if (rex || (!m->is_32 && case_below(m->random, 4) == 0)) {
        put(m->c, (uint8_t)(0x40 | rex));
    }
    for (unsigned i = 0; i < m->e->opcode_bytes; i++) {
        put(m->c, m->e->opcode[i]);
    }
}

static void choose_width(struct maker *m) {
    unsigned pick = (unsigned)case_below(m->random, 3);

    m->is_16 = (m->e->options & CASE_WORDS) && pick == 0;
    m->is_64 = (m->e->options & CASE_QWORD) ||
               ((m->e->options & (CASE_WORDS | CASE_DWORDS)) && pick == 2 && !m->is_32);
}

void case_make(struct case_random *r, const struct case_encoding *e, bool is_32,
               const uint8_t data[NATIVE_DATA_BYTES], struct native_case *out) {
    struct maker m = {.random = r, .e = e, .c = out, .is_32 = is_32};
    unsigned registers = e->ext == CASE_VECTOR ? NATIVE_VECTORS : is_32 ? 8 : 16;
    bool has_modrm = !(e->options & (CASE_STRING | CASE_MOFFS));
    uint64_t target = random_address(r, e->options);
    unsigned imm_bytes;

    memset(out, 0, sizeof(*out));
    out->is_32 = is_32;
    if (has_modrm) {
        m.reg = e->ext >= 0 ? (unsigned)e->ext : (unsigned)case_below(r, registers);
        m.is_narrow = !is_32 && !(e->options & CASE_STACK) && case_below(r, 8) == 0;
    }
    choose_width(&m);
    imm_bytes = e->imm_bytes == 4 && m.is_16 ? 2 : e->imm_bytes;
    random_registers(&m);
    match_accumulator(&m, data + (target - NATIVE_DATA_ADDRESS));
    if (has_modrm) {
        choose_form(&m, target);
    }
    if (m.is_narrow) {
        put(out, 0x67);
    }
    if (e->options & CASE_VEX) {
        put_vex(&m);
    } else {
        put_legacy(&m);
    }
    if (has_modrm) {
        put_modrm(&m, imm_bytes);
    }
    if (e->options & CASE_MOFFS) {
        put_le(out, target, is_32 ? 4 : 8);
    }
    put_le(out, interesting(r), imm_bytes);
}
