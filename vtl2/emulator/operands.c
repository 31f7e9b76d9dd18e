// SPDX-License-Identifier: MIT
//
// Operands as the decoder names them: general registers, immediates, memory with its effective
// address (Intel SDM vol. 1 section 3.7).
#include "vtl2/emulator/internal.h"

#include "igvm/base/bytes.h"

#include <string.h>

/// A general register or a part of one.
struct gpr_part {
    unsigned idx;
    uint32_t size_bytes;
    unsigned shift; ///< 8 for AH, CH, DH, BH
};

static bool gpr_part_of(ZydisRegister reg, struct gpr_part *out) {
    *out = (struct gpr_part){0};
    if (reg >= ZYDIS_REGISTER_AL && reg <= ZYDIS_REGISTER_BL) {
        *out = (struct gpr_part){reg - ZYDIS_REGISTER_AL, 1, 0};
    } else if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH) {
        *out = (struct gpr_part){reg - ZYDIS_REGISTER_AH, 1, 8};
    } else if (reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_R15B) {
        *out = (struct gpr_part){reg - ZYDIS_REGISTER_SPL + EMU_RSP, 1, 0};
    } else if (reg >= ZYDIS_REGISTER_AX && reg <= ZYDIS_REGISTER_R15W) {
        *out = (struct gpr_part){reg - ZYDIS_REGISTER_AX, 2, 0};
    } else if (reg >= ZYDIS_REGISTER_EAX && reg <= ZYDIS_REGISTER_R15D) {
        *out = (struct gpr_part){reg - ZYDIS_REGISTER_EAX, 4, 0};
    } else if (reg >= ZYDIS_REGISTER_RAX && reg <= ZYDIS_REGISTER_R15) {
        *out = (struct gpr_part){reg - ZYDIS_REGISTER_RAX, 8, 0};
    } else {
        return false;
    }
    return true;
}

void emu_gpr_write(struct emu_state *state, unsigned idx, uint32_t size_bytes, uint64_t value) {
    uint64_t mask = emu_mask(size_bytes);

    // A 32-bit result clears the upper half (vol. 1 section 3.4.1.1).
    state->gpr[idx] = size_bytes == 4 ? value & mask : (state->gpr[idx] & ~mask) | (value & mask);
}

static int register_read(const struct emu_run *run, ZydisRegister reg, uint64_t *out) {
    enum emu_segment segment = emu_segment_of(reg);
    struct gpr_part part;

    if (segment != EMU_SEGMENT_COUNT) {
        *out = run->state->segment[segment].selector;
        return 0;
    }
    if (!gpr_part_of(reg, &part)) {
        return -ENOSYS;
    }
    *out = (run->state->gpr[part.idx] >> part.shift) & emu_mask(part.size_bytes);
    return 0;
}

static int register_write(struct emu_run *run, ZydisRegister reg, uint64_t value) {
    struct gpr_part part;

    if (!gpr_part_of(reg, &part)) {
        return -ENOSYS;
    }
    if (part.shift) {
        value = (run->state->gpr[part.idx] & 0xFF) | (value & 0xFF) << 8;
        part.size_bytes = 2;
    }
    emu_gpr_write(run->state, part.idx, part.size_bytes, value);
    return 0;
}

enum emu_segment emu_segment_of(ZydisRegister reg) {
    if (reg < ZYDIS_REGISTER_ES || reg > ZYDIS_REGISTER_GS) {
        return EMU_SEGMENT_COUNT;
    }
    return (enum emu_segment)(reg - ZYDIS_REGISTER_ES);
}

int emu_effective_address(struct emu_run *run, const ZydisDecodedOperand *operand,
                          int64_t add_bytes, uint64_t *out) {
    uint64_t address = (uint64_t)operand->mem.disp.value + (uint64_t)add_bytes;
    uint64_t part = 0;
    int rc;

    if (operand->mem.base == ZYDIS_REGISTER_RIP || operand->mem.base == ZYDIS_REGISTER_EIP) {
        address += run->next_rip;
    } else if (operand->mem.base != ZYDIS_REGISTER_NONE) {
        rc = register_read(run, operand->mem.base, &part);
        if (rc) {
            return rc;
        }
        address += part;
    }
    if (operand->mem.index != ZYDIS_REGISTER_NONE) {
        rc = register_read(run, operand->mem.index, &part);
        if (rc) {
            return rc; // vector index: gather
        }
        address += part * operand->mem.scale;
    }
    *out = address & emu_mask(run->decoded.address_width / 8u);
    return 0;
}

int emu_operand_resolve(struct emu_run *run, unsigned idx, enum emu_access access,
                        int64_t add_bytes, uint32_t size_bytes) {
    const ZydisDecodedOperand *operand = &run->operand[idx];
    enum emu_segment segment = emu_segment_of(operand->mem.segment);
    uint64_t offset = 0, linear = 0;
    int rc;

    if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY || segment == EMU_SEGMENT_COUNT ||
        size_bytes == 0 || size_bytes > EMU_VECTOR_BYTES) {
        return -ENOSYS;
    }
    rc = emu_effective_address(run, operand, add_bytes, &offset);
    if (rc == 0) {
        rc = emu_linearize(run, segment, offset, size_bytes, access, &linear);
    }
    if (rc == 0 && run->must_align_bytes && !is_aligned(linear, run->must_align_bytes)) {
        rc = emu_fault(run, VECTOR_GP, true, 0);
    }
    if (rc == 0) {
        rc = emu_resolve(run, linear, size_bytes, access, false, &run->span);
    }
    run->has_span = rc == 0;
    return rc;
}

bool emu_operand_is_writable(const struct emu_run *run, unsigned idx) {
    const ZydisDecodedOperand *operand = &run->operand[idx];
    struct gpr_part part;

    return operand->type == ZYDIS_OPERAND_TYPE_MEMORY ||
           (operand->type == ZYDIS_OPERAND_TYPE_REGISTER && gpr_part_of(operand->reg.value, &part));
}

int emu_operand_read(struct emu_run *run, unsigned idx, bool will_write, uint64_t *out) {
    const ZydisDecodedOperand *operand = &run->operand[idx];
    uint32_t size_bytes = emu_operand_bytes(run, idx);
    int rc;

    *out = 0;
    switch (operand->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        return register_read(run, operand->reg.value, out);
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        *out = operand->imm.value.u;
        return 0;
    case ZYDIS_OPERAND_TYPE_MEMORY:
        break;
    default:
        return -ENOSYS;
    }
    if (size_bytes > 8) {
        return -ENOSYS;
    }
    if (!run->has_span) {
        rc = emu_operand_resolve(run, idx, will_write ? EMU_WRITE : EMU_READ, 0, size_bytes);
        if (rc) {
            return rc;
        }
    }
    memset(run->span_bytes_read, 0, sizeof(run->span_bytes_read));
    rc = emu_span_read(run, &run->span, run->span_bytes_read);
    *out = load_le64(run->span_bytes_read);
    return rc;
}

int emu_operand_write(struct emu_run *run, unsigned idx, uint64_t value) {
    const ZydisDecodedOperand *operand = &run->operand[idx];
    uint32_t size_bytes = emu_operand_bytes(run, idx);
    uint8_t bytes[8];

    if (operand->type == ZYDIS_OPERAND_TYPE_REGISTER) {
        return register_write(run, operand->reg.value, value);
    }
    if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY || size_bytes > 8) {
        return -ENOSYS;
    }
    if (!run->has_span) {
        int rc = emu_operand_resolve(run, idx, EMU_WRITE, 0, size_bytes);

        if (rc) {
            return rc;
        }
    }
    store_le64(bytes, value);
    if (run->is_locked) {
        return emu_span_exchange(run, &run->span, run->span_bytes_read, bytes);
    }
    return emu_span_write(run, &run->span, bytes);
}
