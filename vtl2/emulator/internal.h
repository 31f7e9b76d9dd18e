// SPDX-License-Identifier: MIT
//
// What the emulator's files share: one run's working state, and the steps from an operand to its
// bytes (operands -> segmentation -> paging -> memory).
//
// Errors inside: 0, -EFAULT (a fault for the guest stands in run->fault), -EAGAIN (retry), any
// other (unhandled).
#pragma once

#include "vtl2/emulator/emulator.h"

#include <Zydis/Decoder.h>
#include <errno.h>

#define CR0_PE           (UINT64_C(1) << 0)
#define CR0_EM           (UINT64_C(1) << 2)
#define CR0_TS           (UINT64_C(1) << 3)
#define CR0_WP           (UINT64_C(1) << 16)
#define CR0_PG           (UINT64_C(1) << 31)
#define CR4_PSE          (UINT64_C(1) << 4)
#define CR4_PAE          (UINT64_C(1) << 5)
#define CR4_OSFXSR       (UINT64_C(1) << 9)
#define CR4_LA57         (UINT64_C(1) << 12)
#define CR4_OSXSAVE      (UINT64_C(1) << 18)
#define CR4_SMEP         (UINT64_C(1) << 20)
#define CR4_SMAP         (UINT64_C(1) << 21)
#define CR4_PKE          (UINT64_C(1) << 22)
#define CR4_CET          (UINT64_C(1) << 23)
#define EFER_LMA         (UINT64_C(1) << 10)
#define EFER_NXE         (UINT64_C(1) << 11)
#define FLAG_CF          (UINT64_C(1) << 0)
#define FLAG_PF          (UINT64_C(1) << 2)
#define FLAG_AF          (UINT64_C(1) << 4)
#define FLAG_ZF          (UINT64_C(1) << 6)
#define FLAG_SF          (UINT64_C(1) << 7)
#define FLAG_TF          (UINT64_C(1) << 8)
#define FLAG_DF          (UINT64_C(1) << 10)
#define FLAG_OF          (UINT64_C(1) << 11)
#define FLAG_RF          (UINT64_C(1) << 16)
#define FLAG_VM          (UINT64_C(1) << 17)
#define FLAG_AC          (UINT64_C(1) << 18)
#define FLAG_IOPL_SHIFT  12u
#define FLAGS_ARITHMETIC (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

#define VECTOR_UD 6u
#define VECTOR_NM 7u
#define VECTOR_SS 12u
#define VECTOR_GP 13u
#define VECTOR_PF 14u

// struct vp_segment.attributes
#define SEGMENT_TYPE_RW     0x002u ///< data: writable; code: readable
#define SEGMENT_EXPAND_DOWN 0x004u
#define SEGMENT_CODE        0x008u
#define SEGMENT_PRESENT     0x080u
#define SEGMENT_LONG        0x200u
#define SEGMENT_BIG         0x400u

/// Where a linear range stands in guest-physical memory: it touches at most two pages.
struct emu_span {
    unsigned part_count;
    struct {
        gpa_t gpa;
        uint32_t size_bytes;
        enum emu_memory kind;
    } part[2];
};

/// One call of emu_run_one().
struct emu_run {
    const struct emu_context *context;
    struct emu_state *state;
    struct emu_fault fault;
    bool is_long; ///< 64-bit mode
    uint8_t insn[EMU_MAX_INSN_BYTES];
    uint8_t insn_bytes;
    ZydisDecodedInstruction decoded;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
    uint64_t next_rip;
    bool is_locked;        ///< LOCK prefix, or XCHG with memory
    bool is_repeat_on;     ///< a repeated instruction with elements left: rip stays
    uint64_t kept_gpr[16]; ///< what state goes back to when the instruction does not complete
    uint64_t kept_rflags;
    uint32_t must_align_bytes; ///< #GP(0) when the memory operand is not: 0 for no rule
    /// The explicit memory operand once it is resolved, and what was read from it.
    bool has_span;
    struct emu_span span;
    uint8_t span_bytes_read[16];
};

// emulator.c
/// What was done so far stays done, even when the rest of the instruction faults.
void emu_commit(struct emu_run *run);

// segment.c
/// Makes run->fault and returns -EFAULT. Real mode has no error codes.
int emu_fault(struct emu_run *run, unsigned vector, bool has_error_code, uint32_t error_code);
/// Checks [offset, offset + size) of a segment and gives its linear address. #GP(0) or #SS(0).
int emu_linearize(struct emu_run *run, enum emu_segment segment, uint64_t offset,
                  uint32_t size_bytes, enum emu_access access, uint64_t *out);
bool emu_is_canonical(const struct emu_state *state, uint64_t linear);
/// Bits of rsp that count: 2, 4 or 8 bytes.
uint32_t emu_stack_bytes(const struct emu_run *run);
/// Whether ports [port, port + size) may be used: IOPL, the I/O permission bitmap. #GP(0).
int emu_check_port(struct emu_run *run, uint16_t port, uint32_t size_bytes);

// paging.c
/// is_system: an implicit supervisor access (descriptor tables, TSS), whatever the CPL.
int emu_walk(struct emu_run *run, uint64_t linear, enum emu_access access, bool is_system,
             gpa_t *out);

// memory.c
/// Translates [linear, linear + size_bytes) (at most 32 bytes); nothing is accessed but page
/// tables.
int emu_resolve(struct emu_run *run, uint64_t linear, uint32_t size_bytes, enum emu_access access,
                bool is_system, struct emu_span *out);
int emu_span_read(struct emu_run *run, const struct emu_span *span, void *out);
int emu_span_write(struct emu_run *run, const struct emu_span *span, const void *in);
/// Writes atomically when memory still holds expected (-EAGAIN when not). Ranges that are MMIO or
/// not naturally aligned are written plainly.
int emu_span_exchange(struct emu_run *run, const struct emu_span *span, const void *expected,
                      const void *in);

// decode.c
int emu_decode(struct emu_run *run);

// operands.c
static inline uint64_t emu_mask(uint32_t size_bytes) {
    return size_bytes >= 8 ? UINT64_MAX : (UINT64_C(1) << (size_bytes * 8)) - 1;
}
/// Sign-extends from size_bytes.
static inline uint64_t emu_sign_extend(uint64_t value, uint32_t size_bytes) {
    unsigned shift = 64 - size_bytes * 8;
    return (uint64_t)((int64_t)(value << shift) >> shift);
}
static inline uint32_t emu_operand_bytes(const struct emu_run *run, unsigned idx) {
    return run->operand[idx].size / 8u;
}
static inline bool emu_operand_is_memory(const struct emu_run *run, unsigned idx) {
    return run->operand[idx].type == ZYDIS_OPERAND_TYPE_MEMORY;
}
/// Writes size_bytes of a general register; 4 bytes clear the upper half in 64-bit mode.
void emu_gpr_write(struct emu_state *state, unsigned idx, uint32_t size_bytes, uint64_t value);
static inline uint64_t emu_gpr_read(const struct emu_state *state, unsigned idx,
                                    uint32_t size_bytes) {
    return state->gpr[idx] & emu_mask(size_bytes);
}
/// The segment that Zydis names; EMU_SEGMENT_COUNT when it is none.
enum emu_segment emu_segment_of(ZydisRegister reg);
/// Offset of a memory operand within its segment; add_bytes is for bit strings.
int emu_effective_address(struct emu_run *run, const ZydisDecodedOperand *operand,
                          int64_t add_bytes, uint64_t *out);
/// Resolves memory operand idx with add_bytes to its offset and its size replaced by size_bytes.
int emu_operand_resolve(struct emu_run *run, unsigned idx, enum emu_access access,
                        int64_t add_bytes, uint32_t size_bytes);
/// Whether emu_operand_write() can do anything with operand idx: asked before a device is read.
bool emu_operand_is_writable(const struct emu_run *run, unsigned idx);
/// Reads operand idx (register, immediate, memory of 1..8 bytes). will_write: a memory operand is
/// checked for writing before it is read.
int emu_operand_read(struct emu_run *run, unsigned idx, bool will_write, uint64_t *out);
/// Writes it; atomically against what was read when the run is locked.
int emu_operand_write(struct emu_run *run, unsigned idx, uint64_t value);

// alu.c: arithmetic on size_bytes; flags is RFLAGS in and out
uint64_t emu_alu_add(uint64_t a, uint64_t b, unsigned carry, uint32_t size_bytes, uint64_t *flags);
uint64_t emu_alu_sub(uint64_t a, uint64_t b, unsigned borrow, uint32_t size_bytes, uint64_t *flags);
uint64_t emu_alu_logic(uint64_t value, uint32_t size_bytes, uint64_t *flags);
/// One of the eight shifts and rotates by their ModRM.reg number.
uint64_t emu_alu_shift(unsigned kind, uint64_t value, unsigned count, uint32_t size_bytes,
                       uint64_t *flags);
/// Condition code 0..15 as in Jcc, SETcc, CMOVcc.
bool emu_condition(unsigned code, uint64_t flags);

// execute_*.c: -ENOSYS when the mnemonic is none of theirs
int emu_execute_integer(struct emu_run *run);
int emu_execute_bits(struct emu_run *run);
int emu_execute_exchange(struct emu_run *run);
int emu_execute_stack(struct emu_run *run);
int emu_execute_string(struct emu_run *run);
int emu_execute_port(struct emu_run *run);
int emu_execute_vector(struct emu_run *run);
