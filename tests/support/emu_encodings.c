// SPDX-License-Identifier: MIT
//
// The encodings that emulator and processor are compared on. Memory operands; Intel SDM vol. 2
// appendix A.
#include "tests/support/emu_cases.h"

#define REG         CASE_REG
#define VEC         CASE_VECTOR
#define WORDS       CASE_WORDS
#define LOCK        CASE_LOCK
#define NO_AF       CASE_AF
#define BT_UNDEF    (CASE_ALL_FLAGS & ~(CASE_CF | CASE_ZF))
#define SHIFT_UNDEF (CASE_AF | CASE_OF)

#define OP1(a)       {a}, 1
#define OP2(a, b)    {a, b}, 2
#define OP3(a, b, c) {a, b, c}, 3

/// The forms of one of the eight classic operations; lock: those that write memory.
#define ALU(op, number, lock, undefined)                                                           \
    {op " Eb,Gb", 0, OP1(number * 8), REG, 0, lock, undefined},                                    \
        {op " Ev,Gv", 0, OP1(number * 8 + 1), REG, 0, WORDS | lock, undefined},                    \
        {op " Gb,Eb", 0, OP1(number * 8 + 2), REG, 0, 0, undefined},                               \
        {op " Gv,Ev", 0, OP1(number * 8 + 3), REG, 0, WORDS, undefined},                           \
        {op " Eb,Ib", 0, OP1(0x80), number, 1, lock, undefined},                                   \
        {op " Ev,Iz", 0, OP1(0x81), number, 4, WORDS | lock, undefined}, {                         \
        op " Ev,Ib", 0, OP1(0x83), number, 1, WORDS | lock, undefined                              \
    }

#define SHIFT(op, number, undefined)                                                               \
    {op " Eb,Ib", 0, OP1(0xC0), number, 1, 0, undefined},                                          \
        {op " Ev,Ib", 0, OP1(0xC1), number, 1, WORDS, undefined},                                  \
        {op " Eb,1", 0, OP1(0xD0), number, 0, 0, NO_AF},                                           \
        {op " Ev,1", 0, OP1(0xD1), number, 0, WORDS, NO_AF},                                       \
        {op " Eb,CL", 0, OP1(0xD2), number, 0, CASE_COUNT, undefined}, {                           \
        op " Ev,CL", 0, OP1(0xD3), number, 0, CASE_COUNT | WORDS, undefined                        \
    }

#define BIT(op, opcode, number, lock)                                                              \
    {op " Ev,Gv", 0, OP2(0x0F, opcode), REG, 0, WORDS | CASE_BITS | lock, BT_UNDEF}, {             \
        op " Ev,Ib", 0, OP2(0x0F, 0xBA), number, 1, WORDS | lock, BT_UNDEF                         \
    }

#define CONDITION(number)                                                                          \
    {"cmovcc", 0, OP2(0x0F, 0x40 + number), REG, 0, WORDS, 0}, {                                   \
        "setcc", 0, OP2(0x0F, 0x90 + number), REG, 0, 0, 0                                         \
    }

#define STRING(op, number)                                                                         \
    {op "b", 0, OP1(number), REG, 0, CASE_STRING, 0}, {                                            \
        op, 0, OP1(number + 1), REG, 0, CASE_STRING | WORDS, 0                                     \
    }

#define VECTOR(op, prefix, opcode, options)                                                        \
    { op, prefix, OP2(0x0F, opcode), VEC, 0, options, 0 }
#define VEX(op, prefix, opcode, options)                                                           \
    { op, prefix, OP1(opcode), VEC, 0, CASE_VEX | (options), 0 }

const struct case_encoding case_encodings[] = {
    ALU("add", 0, LOCK, 0),
    ALU("or", 1, LOCK, NO_AF),
    ALU("adc", 2, LOCK, 0),
    ALU("sbb", 3, LOCK, 0),
    ALU("and", 4, LOCK, NO_AF),
    ALU("sub", 5, LOCK, 0),
    ALU("xor", 6, LOCK, NO_AF),
    ALU("cmp", 7, 0, 0),
    {"test Eb,Gb", 0, OP1(0x84), REG, 0, 0, NO_AF},
    {"test Ev,Gv", 0, OP1(0x85), REG, 0, WORDS, NO_AF},
    {"test Eb,Ib", 0, OP1(0xF6), 0, 1, 0, NO_AF},
    {"test Ev,Iz", 0, OP1(0xF7), 0, 4, WORDS, NO_AF},
    {"not Eb", 0, OP1(0xF6), 2, 0, LOCK, 0},
    {"not Ev", 0, OP1(0xF7), 2, 0, WORDS | LOCK, 0},
    {"neg Eb", 0, OP1(0xF6), 3, 0, LOCK, 0},
    {"neg Ev", 0, OP1(0xF7), 3, 0, WORDS | LOCK, 0},
    {"inc Eb", 0, OP1(0xFE), 0, 0, LOCK, 0},
    {"inc Ev", 0, OP1(0xFF), 0, 0, WORDS | LOCK, 0},
    {"dec Eb", 0, OP1(0xFE), 1, 0, LOCK, 0},
    {"dec Ev", 0, OP1(0xFF), 1, 0, WORDS | LOCK, 0},

    {"mov Eb,Gb", 0, OP1(0x88), REG, 0, 0, 0},
    {"mov Ev,Gv", 0, OP1(0x89), REG, 0, WORDS, 0},
    {"mov Gb,Eb", 0, OP1(0x8A), REG, 0, 0, 0},
    {"mov Gv,Ev", 0, OP1(0x8B), REG, 0, WORDS, 0},
    {"mov Eb,Ib", 0, OP1(0xC6), 0, 1, 0, 0},
    {"mov Ev,Iz", 0, OP1(0xC7), 0, 4, WORDS, 0},
    {"mov AL,Ob", 0, OP1(0xA0), REG, 0, CASE_MOFFS, 0},
    {"mov rAX,Ov", 0, OP1(0xA1), REG, 0, CASE_MOFFS | WORDS, 0},
    {"mov Ob,AL", 0, OP1(0xA2), REG, 0, CASE_MOFFS, 0},
    {"mov Ov,rAX", 0, OP1(0xA3), REG, 0, CASE_MOFFS | WORDS, 0},
    {"movzx Gv,Eb", 0, OP2(0x0F, 0xB6), REG, 0, WORDS, 0},
    {"movzx Gv,Ew", 0, OP2(0x0F, 0xB7), REG, 0, WORDS, 0},
    {"movsx Gv,Eb", 0, OP2(0x0F, 0xBE), REG, 0, WORDS, 0},
    {"movsx Gv,Ew", 0, OP2(0x0F, 0xBF), REG, 0, WORDS, 0},
    {"movsxd Gv,Ed", 0, OP1(0x63), REG, 0, CASE_DWORDS | CASE_LONG, 0},
    {"movnti", 0, OP2(0x0F, 0xC3), REG, 0, CASE_DWORDS, 0},
    {"movbe load", 0, OP3(0x0F, 0x38, 0xF0), REG, 0, WORDS, 0},
    {"movbe store", 0, OP3(0x0F, 0x38, 0xF1), REG, 0, WORDS, 0},

    SHIFT("rol", 0, SHIFT_UNDEF),
    SHIFT("ror", 1, SHIFT_UNDEF),
    SHIFT("rcl", 2, SHIFT_UNDEF),
    SHIFT("rcr", 3, SHIFT_UNDEF),
    SHIFT("shl", 4, SHIFT_UNDEF),
    SHIFT("shr", 5, SHIFT_UNDEF),
    SHIFT("sar", 7, SHIFT_UNDEF),
    BIT("bt", 0xA3, 4, 0),
    BIT("bts", 0xAB, 5, LOCK),
    BIT("btr", 0xB3, 6, LOCK),
    BIT("btc", 0xBB, 7, LOCK),

    {"xchg Eb,Gb", 0, OP1(0x86), REG, 0, LOCK, 0},
    {"xchg Ev,Gv", 0, OP1(0x87), REG, 0, WORDS | LOCK, 0},
    {"xadd Eb,Gb", 0, OP2(0x0F, 0xC0), REG, 0, LOCK, 0},
    {"xadd Ev,Gv", 0, OP2(0x0F, 0xC1), REG, 0, WORDS | LOCK, 0},
    {"cmpxchg Eb,Gb", 0, OP2(0x0F, 0xB0), REG, 0, LOCK, 0},
    {"cmpxchg Ev,Gv", 0, OP2(0x0F, 0xB1), REG, 0, WORDS | LOCK, 0},
    {"cmpxchg8b", 0, OP2(0x0F, 0xC7), 1, 0, LOCK, 0},
    {"cmpxchg16b", 0, OP2(0x0F, 0xC7), 1, 0, CASE_QWORD | CASE_ALIGN | LOCK, 0},

    CONDITION(0),
    CONDITION(1),
    CONDITION(2),
    CONDITION(3),
    CONDITION(4),
    CONDITION(5),
    CONDITION(6),
    CONDITION(7),
    CONDITION(8),
    CONDITION(9),
    CONDITION(10),
    CONDITION(11),
    CONDITION(12),
    CONDITION(13),
    CONDITION(14),
    CONDITION(15),

    {"push Ev", 0, OP1(0xFF), 6, 0, CASE_STACK, 0},
    {"pop Ev", 0, OP1(0x8F), 0, 0, CASE_STACK, 0},
    STRING("movs", 0xA4),
    STRING("cmps", 0xA6),
    STRING("stos", 0xAA),
    STRING("lods", 0xAC),
    STRING("scas", 0xAE),
    {"clflush", 0, OP2(0x0F, 0xAE), 7, 0, 0, 0},
    {"prefetcht0", 0, OP2(0x0F, 0x18), 1, 0, 0, 0},
    {"nop Ev", 0, OP2(0x0F, 0x1F), 0, 0, WORDS, 0},

    VECTOR("movups load", 0, 0x10, 0),
    VECTOR("movups store", 0, 0x11, 0),
    VECTOR("movupd load", 0x66, 0x10, 0),
    VECTOR("movupd store", 0x66, 0x11, 0),
    VECTOR("movss load", 0xF3, 0x10, 0),
    VECTOR("movss store", 0xF3, 0x11, 0),
    VECTOR("movsd load", 0xF2, 0x10, 0),
    VECTOR("movsd store", 0xF2, 0x11, 0),
    VECTOR("movlps load", 0, 0x12, 0),
    VECTOR("movlps store", 0, 0x13, 0),
    VECTOR("movhps load", 0, 0x16, 0),
    VECTOR("movhps store", 0, 0x17, 0),
    VECTOR("movlpd load", 0x66, 0x12, 0),
    VECTOR("movlpd store", 0x66, 0x13, 0),
    VECTOR("movhpd load", 0x66, 0x16, 0),
    VECTOR("movhpd store", 0x66, 0x17, 0),
    VECTOR("movaps load", 0, 0x28, CASE_ALIGN),
    VECTOR("movaps store", 0, 0x29, CASE_ALIGN),
    VECTOR("movapd load", 0x66, 0x28, CASE_ALIGN),
    VECTOR("movntps", 0, 0x2B, CASE_ALIGN),
    VECTOR("movntpd", 0x66, 0x2B, CASE_ALIGN),
    VECTOR("movdqa load", 0x66, 0x6F, CASE_ALIGN),
    VECTOR("movdqa store", 0x66, 0x7F, CASE_ALIGN),
    VECTOR("movdqu load", 0xF3, 0x6F, 0),
    VECTOR("movdqu store", 0xF3, 0x7F, 0),
    VECTOR("movntdq", 0x66, 0xE7, CASE_ALIGN),
    VECTOR("lddqu", 0xF2, 0xF0, 0),
    VECTOR("movd load", 0x66, 0x6E, 0),
    VECTOR("movq load W", 0x66, 0x6E, CASE_QWORD),
    VECTOR("movd store", 0x66, 0x7E, 0),
    VECTOR("movq store W", 0x66, 0x7E, CASE_QWORD),
    VECTOR("movq load", 0xF3, 0x7E, 0),
    VECTOR("movq store", 0x66, 0xD6, 0),

    VEX("vmovups load", 0, 0x10, CASE_VEX_L),
    VEX("vmovups store", 0, 0x11, CASE_VEX_L),
    VEX("vmovaps load", 0, 0x28, CASE_VEX_L | CASE_ALIGN),
    VEX("vmovaps store", 0, 0x29, CASE_VEX_L | CASE_ALIGN),
    VEX("vmovdqa load", 0x66, 0x6F, CASE_VEX_L | CASE_ALIGN),
    VEX("vmovdqa store", 0x66, 0x7F, CASE_VEX_L | CASE_ALIGN),
    VEX("vmovdqu load", 0xF3, 0x6F, CASE_VEX_L),
    VEX("vmovdqu store", 0xF3, 0x7F, CASE_VEX_L),
    VEX("vmovntdq", 0x66, 0xE7, CASE_VEX_L | CASE_ALIGN),
    VEX("vmovss load", 0xF3, 0x10, 0),
    VEX("vmovss store", 0xF3, 0x11, 0),
    VEX("vmovsd load", 0xF2, 0x10, 0),
    VEX("vmovd load", 0x66, 0x6E, 0),
    VEX("vmovq load W", 0x66, 0x6E, CASE_QWORD),
    VEX("vmovd store", 0x66, 0x7E, 0),
    VEX("vmovq load", 0xF3, 0x7E, 0),
    VEX("vmovq store", 0x66, 0xD6, 0),
    VEX("vmovlps load", 0, 0x12, CASE_SOURCE),
    VEX("vmovhps load", 0, 0x16, CASE_SOURCE),
    VEX("vmovhpd load", 0x66, 0x16, CASE_SOURCE),
    VEX("vmovhps store", 0, 0x17, 0),
};

const size_t case_encoding_count = sizeof(case_encodings) / sizeof(case_encodings[0]);
