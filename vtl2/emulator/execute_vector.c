// SPDX-License-Identifier: MIT
//
// SSE and AVX moves between a register and memory, 4 to 32 bytes. Intel SDM vol. 2; vol. 3 section
// 13.1 (when they are allowed). Moves between registers touch no memory and are not emulated.
#include "vtl2/emulator/internal.h"

#include <string.h>

enum vector_kind {
    FULL,    ///< the whole register
    ALIGNED, ///< the same, memory must be aligned
    SCALAR,  ///< the low bytes; a load clears the rest
    LOW,     ///< the low 8 of 16 bytes, the others come from elsewhere
    HIGH,    ///< the high 8 of 16 bytes
};

static bool kind_of(ZydisMnemonic mnemonic, enum vector_kind *out) {
    switch (mnemonic) {
    case ZYDIS_MNEMONIC_MOVUPS:
    case ZYDIS_MNEMONIC_MOVUPD:
    case ZYDIS_MNEMONIC_MOVDQU:
    case ZYDIS_MNEMONIC_LDDQU:
    case ZYDIS_MNEMONIC_VMOVUPS:
    case ZYDIS_MNEMONIC_VMOVUPD:
    case ZYDIS_MNEMONIC_VMOVDQU:
    case ZYDIS_MNEMONIC_VLDDQU:
        *out = FULL;
        return true;
    case ZYDIS_MNEMONIC_MOVAPS:
    case ZYDIS_MNEMONIC_MOVAPD:
    case ZYDIS_MNEMONIC_MOVDQA:
    case ZYDIS_MNEMONIC_MOVNTDQ:
    case ZYDIS_MNEMONIC_MOVNTDQA:
    case ZYDIS_MNEMONIC_MOVNTPS:
    case ZYDIS_MNEMONIC_MOVNTPD:
    case ZYDIS_MNEMONIC_VMOVAPS:
    case ZYDIS_MNEMONIC_VMOVAPD:
    case ZYDIS_MNEMONIC_VMOVDQA:
    case ZYDIS_MNEMONIC_VMOVNTDQ:
    case ZYDIS_MNEMONIC_VMOVNTDQA:
    case ZYDIS_MNEMONIC_VMOVNTPS:
    case ZYDIS_MNEMONIC_VMOVNTPD:
        *out = ALIGNED;
        return true;
    case ZYDIS_MNEMONIC_MOVSS:
    case ZYDIS_MNEMONIC_MOVSD:
    case ZYDIS_MNEMONIC_MOVD:
    case ZYDIS_MNEMONIC_MOVQ:
    case ZYDIS_MNEMONIC_VMOVSS:
    case ZYDIS_MNEMONIC_VMOVSD:
    case ZYDIS_MNEMONIC_VMOVD:
    case ZYDIS_MNEMONIC_VMOVQ:
        *out = SCALAR;
        return true;
    case ZYDIS_MNEMONIC_MOVLPS:
    case ZYDIS_MNEMONIC_MOVLPD:
    case ZYDIS_MNEMONIC_VMOVLPS:
    case ZYDIS_MNEMONIC_VMOVLPD:
        *out = LOW;
        return true;
    case ZYDIS_MNEMONIC_MOVHPS:
    case ZYDIS_MNEMONIC_MOVHPD:
    case ZYDIS_MNEMONIC_VMOVHPS:
    case ZYDIS_MNEMONIC_VMOVHPD:
        *out = HIGH;
        return true;
    default:
        return false;
    }
}

/// #UD and #NM (vol. 3 tables 2-2 and 13-1).
static int check_enabled(struct emu_run *run, bool is_vex) {
    const struct emu_state *s = run->state;
    bool enabled;

    if (is_vex) {
        enabled = (s->cr0 & CR0_PE) && !(s->rflags & FLAG_VM) && (s->cr4 & CR4_OSXSAVE) &&
                  (s->xcr0 & 6) == 6;
    } else {
        enabled = !(s->cr0 & CR0_EM) && (s->cr4 & CR4_OSFXSR);
    }
    if (!enabled) {
        return emu_fault(run, VECTOR_UD, false, 0);
    }
    return (s->cr0 & CR0_TS) ? emu_fault(run, VECTOR_NM, false, 0) : 0;
}

static bool vector_idx(const struct emu_run *run, unsigned operand, unsigned *out) {
    ZydisRegister reg = run->operand[operand].reg.value;

    if (run->operand[operand].type != ZYDIS_OPERAND_TYPE_REGISTER) {
        return false;
    }
    if (reg >= ZYDIS_REGISTER_XMM0 && reg <= ZYDIS_REGISTER_XMM15) {
        *out = reg - ZYDIS_REGISTER_XMM0;
        return true;
    }
    *out = reg - ZYDIS_REGISTER_YMM0;
    return reg >= ZYDIS_REGISTER_YMM0 && reg <= ZYDIS_REGISTER_YMM15;
}

static int read_register(struct emu_run *run, unsigned idx, uint8_t out[EMU_VECTOR_BYTES]) {
    int rc = run->context->ops->vector_read(run->context->ctx, idx, out);

    return rc == -EFAULT ? -EIO : rc;
}

static int load(struct emu_run *run, enum vector_kind kind, unsigned memory, unsigned target) {
    bool is_vex = run->decoded.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    uint32_t size_bytes = emu_operand_bytes(run, memory);
    uint8_t value[EMU_VECTOR_BYTES] = {0};
    uint8_t bytes[EMU_VECTOR_BYTES];
    unsigned other = target;
    int rc;

    if (kind == LOW || kind == HIGH) {
        // VEX names the register that the other half comes from.
        if (memory == 2 && !vector_idx(run, 1, &other)) {
            return -ENOSYS;
        }
        rc = read_register(run, other, value);
        if (rc) {
            return rc;
        }
        memset(value + 16, 0, EMU_VECTOR_BYTES - 16);
    }
    rc = emu_span_read(run, &run->span, bytes);
    if (rc) {
        return rc;
    }
    memcpy(value + (kind == HIGH ? 8 : 0), bytes, size_bytes);
    rc = run->context->ops->vector_write(run->context->ctx, target, value, is_vex);
    return rc == -EFAULT ? -EIO : rc;
}

int emu_execute_vector(struct emu_run *run) {
    bool is_vex = run->decoded.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    bool is_store = emu_operand_is_memory(run, 0);
    uint8_t value[EMU_VECTOR_BYTES];
    enum vector_kind kind;
    unsigned memory, idx;
    uint32_t size_bytes;
    int rc;

    if (!kind_of(run->decoded.mnemonic, &kind) ||
        (run->decoded.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && !is_vex)) {
        return -ENOSYS;
    }
    memory = is_store ? 0 : run->decoded.operand_count_visible - 1u;
    size_bytes = emu_operand_bytes(run, memory);
    if (!emu_operand_is_memory(run, memory) || !vector_idx(run, is_store ? 1 : 0, &idx) ||
        size_bytes > ((kind == LOW || kind == HIGH) ? 8 : EMU_VECTOR_BYTES)) {
        return -ENOSYS;
    }
    run->must_align_bytes = kind == ALIGNED ? size_bytes : 0;
    rc = check_enabled(run, is_vex);
    if (rc == 0) {
        rc = emu_operand_resolve(run, memory, is_store ? EMU_WRITE : EMU_READ, 0, size_bytes);
    }
    if (rc) {
        return rc;
    }
    if (!is_store) {
        return load(run, kind, memory, idx);
    }
    rc = read_register(run, idx, value);
    return rc ? rc : emu_span_write(run, &run->span, value + (kind == HIGH ? 8 : 0));
}
