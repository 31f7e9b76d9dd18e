// SPDX-License-Identifier: MIT
//
// Shifts, rotates and bit tests. Intel SDM vol. 2: SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, BT, BTC, BTR,
// BTS.
#include "vtl2/emulator/internal.h"

static int shift(struct emu_run *run, unsigned kind) {
    uint64_t flags = run->state->rflags;
    uint64_t value, count;
    int rc = emu_operand_read(run, 0, true, &value);

    if (rc == 0) {
        rc = emu_operand_read(run, 1, false, &count);
    }
    if (rc) {
        return rc;
    }
    value = emu_alu_shift(kind, value, (unsigned)(count & 0xFF), emu_operand_bytes(run, 0), &flags);
    run->state->rflags = flags;
    return emu_operand_write(run, 0, value);
}

/// A register index into memory reaches over the whole bit string: it is signed, and moves the
/// address by whole operands.
static int bit_test(struct emu_run *run) {
    ZydisMnemonic op = run->decoded.mnemonic;
    bool writes = op != ZYDIS_MNEMONIC_BT;
    uint32_t size_bytes = emu_operand_bytes(run, 0);
    uint32_t bits = size_bytes * 8;
    uint64_t index, value, bit;
    int rc = emu_operand_read(run, 1, false, &index);

    if (rc || size_bytes == 0 || size_bytes > 8) {
        return rc ? rc : -ENOSYS;
    }
    if (emu_operand_is_memory(run, 0)) {
        int64_t add_bytes = 0;

        if (run->operand[1].type == ZYDIS_OPERAND_TYPE_REGISTER) {
            int64_t whole = (int64_t)emu_sign_extend(index, size_bytes);

            // Arithmetic shift: rounds towards the lower address.
            add_bytes = (whole >> __builtin_ctz(bits)) * (int64_t)size_bytes;
        }
        rc = emu_operand_resolve(run, 0, writes ? EMU_WRITE : EMU_READ, add_bytes, size_bytes);
        if (rc) {
            return rc;
        }
    }
    rc = emu_operand_read(run, 0, writes, &value);
    if (rc) {
        return rc;
    }
    bit = UINT64_C(1) << (index % bits);
    run->state->rflags = (run->state->rflags & ~FLAG_CF) | ((value & bit) ? FLAG_CF : 0);
    switch (op) {
    case ZYDIS_MNEMONIC_BTS:
        return emu_operand_write(run, 0, value | bit);
    case ZYDIS_MNEMONIC_BTR:
        return emu_operand_write(run, 0, value & ~bit);
    case ZYDIS_MNEMONIC_BTC:
        return emu_operand_write(run, 0, value ^ bit);
    default:
        return 0;
    }
}

int emu_execute_bits(struct emu_run *run) {
    switch (run->decoded.mnemonic) {
    case ZYDIS_MNEMONIC_ROL:
        return shift(run, 0);
    case ZYDIS_MNEMONIC_ROR:
        return shift(run, 1);
    case ZYDIS_MNEMONIC_RCL:
        return shift(run, 2);
    case ZYDIS_MNEMONIC_RCR:
        return shift(run, 3);
    case ZYDIS_MNEMONIC_SHL:
        return shift(run, 4);
    case ZYDIS_MNEMONIC_SHR:
        return shift(run, 5);
    case ZYDIS_MNEMONIC_SAR:
        return shift(run, 7);
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC:
        return bit_test(run);
    default:
        return -ENOSYS;
    }
}
