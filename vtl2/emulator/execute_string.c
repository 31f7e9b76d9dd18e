// SPDX-License-Identifier: MIT
//
// String instructions: MOVS, STOS, LODS, SCAS, CMPS, INS, OUTS with REP, REPE, REPNE. Intel SDM
// vol. 2; vol. 1 section 7.3.9. Every element is committed on its own, so that a fault or the bound
// on the work of one call leaves the registers as the processor would between two elements.
#include "vtl2/emulator/internal.h"

#include "igvm/base/bytes.h"

enum string_kind { MOVS, STOS, LODS, SCAS, CMPS, INS, OUTS };

struct string_op {
    enum string_kind kind;
    uint32_t element_bytes;
    uint32_t address_bytes;
    enum emu_segment source_segment; ///< of rSI; rDI is always in ES
    uint8_t repeat;                  ///< 0, 0xF3 (REP, REPE) or 0xF2 (REPNE)
};

#define STRING_CASES(name)                                                                         \
    case ZYDIS_MNEMONIC_##name##B:                                                                 \
    case ZYDIS_MNEMONIC_##name##W:                                                                 \
    case ZYDIS_MNEMONIC_##name##D

static bool kind_of(const struct emu_run *run, enum string_kind *out) {
    // MOVSD and CMPSD are also SSE's: the category tells them apart.
    if (run->decoded.meta.category != ZYDIS_CATEGORY_STRINGOP &&
        run->decoded.meta.category != ZYDIS_CATEGORY_IOSTRINGOP) {
        return false;
    }
    switch (run->decoded.mnemonic) {
        STRING_CASES(MOVS) : case ZYDIS_MNEMONIC_MOVSQ : *out = MOVS;
        return true;
        STRING_CASES(STOS) : case ZYDIS_MNEMONIC_STOSQ : *out = STOS;
        return true;
        STRING_CASES(LODS) : case ZYDIS_MNEMONIC_LODSQ : *out = LODS;
        return true;
        STRING_CASES(SCAS) : case ZYDIS_MNEMONIC_SCASQ : *out = SCAS;
        return true;
        STRING_CASES(CMPS) : case ZYDIS_MNEMONIC_CMPSQ : *out = CMPS;
        return true;
        STRING_CASES(INS) : *out = INS;
        return true;
        STRING_CASES(OUTS) : *out = OUTS;
        return true;
    default:
        return false;
    }
}

/// Fills op from the decoded instruction; false when it is no string instruction.
static bool parse(const struct emu_run *run, struct string_op *op) {
    *op = (struct string_op){.source_segment = EMU_DS};
    if (!kind_of(run, &op->kind)) {
        return false;
    }
    op->address_bytes = run->decoded.address_width / 8u;
    for (unsigned i = 0; i < run->decoded.operand_count; i++) {
        const ZydisDecodedOperand *operand = &run->operand[i];

        if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY) {
            continue;
        }
        op->element_bytes = operand->size / 8u;
        if (operand->mem.base == ZYDIS_REGISTER_RSI || operand->mem.base == ZYDIS_REGISTER_ESI ||
            operand->mem.base == ZYDIS_REGISTER_SI) {
            op->source_segment = emu_segment_of(operand->mem.segment);
        }
    }
    // The last of the two counts, whichever the instruction documents.
    for (unsigned i = 0; i < run->decoded.raw.prefix_count; i++) {
        uint8_t prefix = run->decoded.raw.prefixes[i].value;

        if (prefix == 0xF2 || prefix == 0xF3) {
            op->repeat = prefix;
        }
    }
    return op->source_segment != EMU_SEGMENT_COUNT && op->element_bytes != 0 &&
           op->element_bytes <= 8;
}

static int resolve(struct emu_run *run, const struct string_op *op, enum emu_gpr pointer,
                   enum emu_access access, struct emu_span *span) {
    enum emu_segment segment = pointer == EMU_RDI ? EMU_ES : op->source_segment;
    uint64_t offset = emu_gpr_read(run->state, pointer, op->address_bytes);
    uint64_t linear = 0;
    int rc = emu_linearize(run, segment, offset, op->element_bytes, access, &linear);

    return rc ? rc : emu_resolve(run, linear, op->element_bytes, access, false, span);
}

static int read_at(struct emu_run *run, const struct string_op *op, enum emu_gpr pointer,
                   uint64_t *out) {
    struct emu_span span;
    uint8_t bytes[8] = {0};
    int rc = resolve(run, op, pointer, EMU_READ, &span);

    if (rc == 0) {
        rc = emu_span_read(run, &span, bytes);
    }
    *out = load_le64(bytes);
    return rc;
}

/// The source of MOVS, STOS and INS, then the store. The destination is checked first, so that a
/// device is not read for a value that cannot be put anywhere.
static int store_element(struct emu_run *run, const struct string_op *op) {
    const struct emu_context *context = run->context;
    uint64_t value = run->state->gpr[EMU_RAX];
    struct emu_span source, target;
    uint8_t bytes[8];
    uint32_t port_value = 0;
    int rc = 0;

    if (op->kind == MOVS) {
        rc = resolve(run, op, EMU_RSI, EMU_READ, &source);
    }
    if (rc == 0) {
        rc = resolve(run, op, EMU_RDI, EMU_WRITE, &target);
    }
    if (rc) {
        return rc;
    }
    store_le64(bytes, value);
    if (op->kind == MOVS) {
        rc = emu_span_read(run, &source, bytes);
    } else if (op->kind == INS) {
        rc = context->ops->pio_read(context->ctx, (uint16_t)run->state->gpr[EMU_RDX],
                                    (uint8_t)op->element_bytes, &port_value);
        rc = rc == -EFAULT ? -EIO : rc;
        store_le64(bytes, port_value);
    }
    return rc ? rc : emu_span_write(run, &target, bytes);
}

static int compare_element(struct emu_run *run, const struct string_op *op) {
    uint64_t a = run->state->gpr[EMU_RAX];
    uint64_t flags = run->state->rflags;
    uint64_t b;
    int rc = 0;

    if (op->kind == CMPS) {
        rc = read_at(run, op, EMU_RSI, &a);
    }
    if (rc == 0) {
        rc = read_at(run, op, EMU_RDI, &b);
    }
    if (rc) {
        return rc;
    }
    (void)emu_alu_sub(a, b, 0, op->element_bytes, &flags);
    run->state->rflags = flags;
    return 0;
}

static int do_element(struct emu_run *run, const struct string_op *op) {
    const struct emu_context *context = run->context;
    uint64_t value;
    int rc;

    switch (op->kind) {
    case MOVS:
    case STOS:
    case INS:
        return store_element(run, op);
    case SCAS:
    case CMPS:
        return compare_element(run, op);
    case LODS:
        rc = read_at(run, op, EMU_RSI, &value);
        if (rc == 0) {
            emu_gpr_write(run->state, EMU_RAX, op->element_bytes, value);
        }
        return rc;
    case OUTS:
        rc = read_at(run, op, EMU_RSI, &value);
        if (rc) {
            return rc;
        }
        rc = context->ops->pio_write(context->ctx, (uint16_t)run->state->gpr[EMU_RDX],
                                     (uint8_t)op->element_bytes, (uint32_t)value);
        return rc == -EFAULT ? -EIO : rc;
    }
    return -ENOSYS;
}

static void advance(struct emu_run *run, const struct string_op *op) {
    struct emu_state *s = run->state;
    uint64_t step = (s->rflags & FLAG_DF) ? -(uint64_t)op->element_bytes : op->element_bytes;

    if (op->kind == MOVS || op->kind == LODS || op->kind == CMPS || op->kind == OUTS) {
        emu_gpr_write(s, EMU_RSI, op->address_bytes, s->gpr[EMU_RSI] + step);
    }
    if (op->kind != LODS && op->kind != OUTS) {
        emu_gpr_write(s, EMU_RDI, op->address_bytes, s->gpr[EMU_RDI] + step);
    }
}

/// Whether REPE or REPNE ends here by its condition.
static bool ends(const struct emu_run *run, const struct string_op *op) {
    bool zero = run->state->rflags & FLAG_ZF;

    return (op->kind == SCAS || op->kind == CMPS) && zero != (op->repeat == 0xF3);
}

int emu_execute_string(struct emu_run *run) {
    struct emu_state *s = run->state;
    uint32_t budget = run->context->max_repeat ? run->context->max_repeat : EMU_DEFAULT_MAX_REPEAT;
    struct string_op op;
    int rc;

    if (!parse(run, &op)) {
        return -ENOSYS;
    }
    if (s->rflags & FLAG_TF) {
        budget = 1; // a debugger stops after each element
    }
    if (op.repeat && emu_gpr_read(s, EMU_RCX, op.address_bytes) == 0) {
        return 0;
    }
    if (op.kind == INS || op.kind == OUTS) {
        rc = emu_check_port(run, (uint16_t)s->gpr[EMU_RDX], op.element_bytes);
        if (rc) {
            return rc;
        }
    }
    for (;; budget--) {
        if (budget == 0) {
            run->is_repeat_on = true;
            return 0;
        }
        rc = do_element(run, &op);
        if (rc) {
            return rc;
        }
        advance(run, &op);
        if (!op.repeat) {
            return 0;
        }
        emu_gpr_write(s, EMU_RCX, op.address_bytes, s->gpr[EMU_RCX] - 1);
        emu_commit(run);
        if (emu_gpr_read(s, EMU_RCX, op.address_bytes) == 0 || ends(run, &op)) {
            return 0;
        }
    }
}
