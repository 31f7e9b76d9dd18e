// SPDX-License-Identifier: MIT
//
// Random cases for the comparison of emulator and processor: encodings in 64-bit mode, registers,
// flags, operands inside the data pages of emu_native.h.
#pragma once

#include "tests/support/emu_native.h"

// Flags of RFLAGS.
#define CASE_CF        0x001u
#define CASE_PF        0x004u
#define CASE_AF        0x010u
#define CASE_ZF        0x040u
#define CASE_SF        0x080u
#define CASE_DF        0x400u
#define CASE_OF        0x800u
#define CASE_ALL_FLAGS 0x8D5u ///< all of them but DF

// struct case_encoding.options
#define CASE_FIXED  0u         ///< neither operand-size prefix nor REX.W
#define CASE_WORDS  (1u << 0)  ///< 16, 32 and 64 bits
#define CASE_DWORDS (1u << 1)  ///< 32 and 64 bits
#define CASE_QWORD  (1u << 2)  ///< always REX.W
#define CASE_LOCK   (1u << 3)  ///< LOCK allowed or implied: operands stay in a cache line
#define CASE_ALIGN  (1u << 4)  ///< memory aligned to 32 bytes
#define CASE_BITS   (1u << 5)  ///< the register is a bit index: kept small
#define CASE_COUNT  (1u << 6)  ///< RCX is a shift count: kept small
#define CASE_STRING (1u << 7)  ///< no ModRM; RSI, RDI in memory, RCX small, random REP prefixes
#define CASE_STACK  (1u << 8)  ///< RSP in memory
#define CASE_MOFFS  (1u << 9)  ///< no ModRM; an absolute address of 8 bytes
#define CASE_VEX    (1u << 10) ///< VEX, map 0F
#define CASE_VEX_L  (1u << 11) ///< ... of 16 or 32 bytes
#define CASE_SOURCE (1u << 12) ///< ... VEX.vvvv names a register
#define CASE_LONG   (1u << 13) ///< only in 64-bit mode

#define CASE_REG    (-1) ///< ext: any general register
#define CASE_VECTOR (-2) ///< ext: a vector register

struct case_encoding {
    const char *name;
    uint8_t prefix; ///< mandatory prefix or VEX.pp's: 0, 0x66, 0xF2, 0xF3
    uint8_t opcode[3];
    uint8_t opcode_bytes;
    int8_t ext;        ///< ModRM.reg
    uint8_t imm_bytes; ///< 4: 2 with operands of 16 bits
    uint32_t options;
    uint32_t undefined_flags;
};

extern const struct case_encoding case_encodings[];
extern const size_t case_encoding_count;

struct case_random {
    uint64_t state;
};

uint64_t case_next(struct case_random *r);
/// 0 to limit - 1.
uint64_t case_below(struct case_random *r, uint64_t limit);

/// Fills insn and in, for 32-bit code when is_32; data is what the instruction will find (to let
/// comparisons succeed).
void case_make(struct case_random *r, const struct case_encoding *e, bool is_32,
               const uint8_t data[NATIVE_DATA_BYTES], struct native_case *out);
