// SPDX-License-Identifier: MIT
//
// Integer arithmetic and its flags (Intel SDM vol. 1 section 3.4.3.1; vol. 2, each instruction's
// "Flags Affected").
#include "vtl2/emulator/internal.h"

static uint64_t sign_bit(uint64_t value, uint32_t size_bytes) {
    return (value >> (size_bytes * 8 - 1)) & 1;
}

static void set_flag(uint64_t *flags, uint64_t flag, bool on) {
    *flags = on ? *flags | flag : *flags & ~flag;
}

/// ZF, SF, PF from a result that fits size_bytes.
static void set_result_flags(uint64_t result, uint32_t size_bytes, uint64_t *flags) {
    set_flag(flags, FLAG_ZF, result == 0);
    set_flag(flags, FLAG_SF, sign_bit(result, size_bytes));
    set_flag(flags, FLAG_PF, !__builtin_parity((unsigned)(result & 0xFF)));
}

uint64_t emu_alu_add(uint64_t a, uint64_t b, unsigned carry, uint32_t size_bytes, uint64_t *flags) {
    uint64_t mask = emu_mask(size_bytes);
    uint64_t result;

    a &= mask;
    b &= mask;
    result = (a + b + carry) & mask;
    set_result_flags(result, size_bytes, flags);
    set_flag(flags, FLAG_CF, result < a || (carry && result == a));
    set_flag(flags, FLAG_AF, (a ^ b ^ result) & 0x10);
    set_flag(flags, FLAG_OF, sign_bit((a ^ result) & (b ^ result), size_bytes));
    return result;
}

uint64_t emu_alu_sub(uint64_t a, uint64_t b, unsigned borrow, uint32_t size_bytes,
                     uint64_t *flags) {
    uint64_t mask = emu_mask(size_bytes);
    uint64_t result;

    a &= mask;
    b &= mask;
    result = (a - b - borrow) & mask;
    set_result_flags(result, size_bytes, flags);
    set_flag(flags, FLAG_CF, a < b || (borrow && a == b));
    set_flag(flags, FLAG_AF, (a ^ b ^ result) & 0x10);
    set_flag(flags, FLAG_OF, sign_bit((a ^ b) & (a ^ result), size_bytes));
    return result;
}

uint64_t emu_alu_logic(uint64_t value, uint32_t size_bytes, uint64_t *flags) {
    value &= emu_mask(size_bytes);
    set_result_flags(value, size_bytes, flags);
    *flags &= ~(FLAG_CF | FLAG_OF | FLAG_AF); // AF is undefined
    return value;
}

/// One step of RCL or RCR through the carry.
static uint64_t rotate_carry(bool is_left, uint64_t value, uint32_t bits, bool *carry) {
    bool in = *carry;

    if (is_left) {
        *carry = (value >> (bits - 1)) & 1;
        return value << 1 | in;
    }
    *carry = value & 1;
    return value >> 1 | (uint64_t)in << (bits - 1);
}

static uint64_t rotate(unsigned kind, uint64_t value, unsigned count, uint32_t size_bytes,
                       uint64_t *flags) {
    uint32_t bits = size_bytes * 8;
    uint64_t mask = emu_mask(size_bytes);
    bool is_left = !(kind & 1);
    bool carry = *flags & FLAG_CF;

    if (kind >= 2) {
        // At most 63 steps; a count that is a multiple of bits + 1 changes nothing.
        for (unsigned left = count % (bits + 1); left > 0; left--) {
            value = rotate_carry(is_left, value, bits, &carry) & mask;
        }
    } else {
        unsigned by = count % bits;

        if (!is_left) {
            by = (bits - by) % bits;
        }
        value = by ? (value << by | value >> (bits - by)) & mask : value;
        carry = is_left ? value & 1 : sign_bit(value, size_bytes);
    }
    set_flag(flags, FLAG_CF, carry);
    set_flag(flags, FLAG_OF,
             sign_bit(value, size_bytes) ^ (is_left ? carry : (value >> (bits - 2)) & 1));
    return value;
}

uint64_t emu_alu_shift(unsigned kind, uint64_t value, unsigned count, uint32_t size_bytes,
                       uint64_t *flags) {
    uint32_t bits = size_bytes * 8;
    uint64_t mask = emu_mask(size_bytes);
    uint64_t result;
    bool carry, overflow;

    value &= mask;
    count &= size_bytes == 8 ? 63 : 31;
    if (count == 0) {
        return value;
    }
    if (kind < 4) {
        return rotate(kind, value, count, size_bytes, flags);
    }
    if (kind == 5) { // SHR
        carry = count <= bits && (value >> (count - 1)) & 1;
        result = count < bits ? value >> count : 0;
        overflow = sign_bit(value, size_bytes);
    } else if (kind == 7) { // SAR
        int64_t wide = (int64_t)emu_sign_extend(value, size_bytes);

        carry = (wide >> (count - 1)) & 1;
        result = (uint64_t)(wide >> count) & mask;
        overflow = false;
    } else { // SHL
        carry = count <= bits && (value >> (bits - count)) & 1;
        result = count < bits ? (value << count) & mask : 0;
        overflow = sign_bit(result, size_bytes) ^ carry;
    }
    set_result_flags(result, size_bytes, flags);
    set_flag(flags, FLAG_CF, carry);
    set_flag(flags, FLAG_OF, overflow);
    return result;
}

bool emu_condition(unsigned code, uint64_t flags) {
    bool sign_differs = !(flags & FLAG_SF) != !(flags & FLAG_OF);
    bool result = false;

    switch (code >> 1 & 7) {
    case 0: // O
        result = flags & FLAG_OF;
        break;
    case 1: // B
        result = flags & FLAG_CF;
        break;
    case 2: // Z
        result = flags & FLAG_ZF;
        break;
    case 3: // BE
        result = flags & (FLAG_CF | FLAG_ZF);
        break;
    case 4: // S
        result = flags & FLAG_SF;
        break;
    case 5: // P
        result = flags & FLAG_PF;
        break;
    case 6: // L
        result = sign_differs;
        break;
    case 7: // LE
        result = sign_differs || (flags & FLAG_ZF);
        break;
    }
    return result != (code & 1);
}
