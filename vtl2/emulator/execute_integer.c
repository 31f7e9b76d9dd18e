// SPDX-License-Identifier: MIT
//
// Moves and arithmetic on integers. Intel SDM vol. 2.
#include "vtl2/emulator/internal.h"

/// Destination and source of an instruction that writes operand 0 from operand 1 alone.
static int move(struct emu_run *run, bool is_signed) {
    uint64_t value;
    int rc;

    if (!emu_operand_is_writable(run, 0)) {
        return -ENOSYS; // segment, control and debug registers
    }
    rc = emu_operand_read(run, 1, false, &value);
    if (rc) {
        return rc;
    }
    if (is_signed) {
        value = emu_sign_extend(value, emu_operand_bytes(run, 1));
    }
    // The source's resolved memory, if any, is not the destination's: one of them is no memory.
    return emu_operand_write(run, 0, value);
}

static int move_swapped(struct emu_run *run) {
    uint32_t size_bytes = emu_operand_bytes(run, 0);
    uint64_t value;
    int rc = emu_operand_read(run, 1, false, &value);

    if (rc) {
        return rc;
    }
    return emu_operand_write(run, 0, __builtin_bswap64(value) >> (64 - size_bytes * 8));
}

/// CMOVcc reads its source whether it moves or not; a 32-bit destination loses its upper half.
static int move_conditional(struct emu_run *run) {
    uint64_t value, old;
    int rc = emu_operand_read(run, 1, false, &value);

    if (rc) {
        return rc;
    }
    rc = emu_operand_read(run, 0, false, &old);
    if (rc) {
        return rc;
    }
    return emu_operand_write(
        run, 0, emu_condition(run->decoded.opcode & 15, run->state->rflags) ? value : old);
}

/// Operations of two operands; writes unless it only compares.
static int binary(struct emu_run *run) {
    ZydisMnemonic op = run->decoded.mnemonic;
    bool compares = op == ZYDIS_MNEMONIC_CMP || op == ZYDIS_MNEMONIC_TEST;
    uint32_t size_bytes = emu_operand_bytes(run, 0);
    unsigned carry = run->state->rflags & FLAG_CF;
    uint64_t flags = run->state->rflags;
    bool second_is_memory = emu_operand_is_memory(run, 1);
    uint64_t a, b, result = 0;
    int rc = emu_operand_read(run, second_is_memory ? 1 : 0, !compares && !second_is_memory,
                              second_is_memory ? &b : &a);

    if (rc == 0) {
        rc = emu_operand_read(run, second_is_memory ? 0 : 1, false, second_is_memory ? &a : &b);
    }
    if (rc) {
        return rc;
    }
    switch (op) {
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_ADC:
        result = emu_alu_add(a, b, op == ZYDIS_MNEMONIC_ADC ? carry : 0, size_bytes, &flags);
        break;
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_SBB:
    case ZYDIS_MNEMONIC_CMP:
        result = emu_alu_sub(a, b, op == ZYDIS_MNEMONIC_SBB ? carry : 0, size_bytes, &flags);
        break;
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_TEST:
        result = emu_alu_logic(a & b, size_bytes, &flags);
        break;
    case ZYDIS_MNEMONIC_OR:
        result = emu_alu_logic(a | b, size_bytes, &flags);
        break;
    default: // XOR: the caller's switch has no other
        result = emu_alu_logic(a ^ b, size_bytes, &flags);
        break;
    }
    run->state->rflags = flags;
    return compares ? 0 : emu_operand_write(run, 0, result);
}

static int unary(struct emu_run *run) {
    uint32_t size_bytes = emu_operand_bytes(run, 0);
    uint64_t flags = run->state->rflags;
    uint64_t carry = flags & FLAG_CF;
    uint64_t value;
    int rc = emu_operand_read(run, 0, true, &value);

    if (rc) {
        return rc;
    }
    switch (run->decoded.mnemonic) {
    case ZYDIS_MNEMONIC_INC: // INC and DEC leave CF alone
        value = emu_alu_add(value, 1, 0, size_bytes, &flags);
        flags = (flags & ~FLAG_CF) | carry;
        break;
    case ZYDIS_MNEMONIC_DEC:
        value = emu_alu_sub(value, 1, 0, size_bytes, &flags);
        flags = (flags & ~FLAG_CF) | carry;
        break;
    case ZYDIS_MNEMONIC_NEG:
        value = emu_alu_sub(0, value, 0, size_bytes, &flags);
        break;
    default: // NOT changes no flags
        value = ~value;
        break;
    }
    run->state->rflags = flags;
    return emu_operand_write(run, 0, value);
}

int emu_execute_integer(struct emu_run *run) {
    switch (run->decoded.meta.category) {
    case ZYDIS_CATEGORY_CMOV:
        return move_conditional(run);
    case ZYDIS_CATEGORY_SETCC:
        return emu_operand_write(run, 0,
                                 emu_condition(run->decoded.opcode & 15, run->state->rflags));
    default:
        break;
    }
    switch (run->decoded.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_MOVZX:
    case ZYDIS_MNEMONIC_MOVNTI:
        return move(run, false);
    case ZYDIS_MNEMONIC_MOVSX:
    case ZYDIS_MNEMONIC_MOVSXD:
        return move(run, true);
    case ZYDIS_MNEMONIC_MOVBE:
        return move_swapped(run);
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_ADC:
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_SBB:
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_XOR:
    case ZYDIS_MNEMONIC_CMP:
    case ZYDIS_MNEMONIC_TEST:
        return binary(run);
    case ZYDIS_MNEMONIC_INC:
    case ZYDIS_MNEMONIC_DEC:
    case ZYDIS_MNEMONIC_NEG:
    case ZYDIS_MNEMONIC_NOT:
        return unary(run);
    // Hints, and flushes of caches that device memory does not have.
    case ZYDIS_MNEMONIC_NOP:
    case ZYDIS_MNEMONIC_CLFLUSH:
    case ZYDIS_MNEMONIC_CLFLUSHOPT:
    case ZYDIS_MNEMONIC_CLWB:
    case ZYDIS_MNEMONIC_CLDEMOTE:
    case ZYDIS_MNEMONIC_PREFETCH:
    case ZYDIS_MNEMONIC_PREFETCHNTA:
    case ZYDIS_MNEMONIC_PREFETCHT0:
    case ZYDIS_MNEMONIC_PREFETCHT1:
    case ZYDIS_MNEMONIC_PREFETCHT2:
    case ZYDIS_MNEMONIC_PREFETCHW:
    case ZYDIS_MNEMONIC_PREFETCHWT1:
        return 0;
    default:
        return -ENOSYS;
    }
}
