// SPDX-License-Identifier: MIT
//
// Stack and near branches: PUSH, POP, CALL, RET, JMP, LEAVE. Intel SDM vol. 2, vol. 1 section 6.2.
// Far branches and anything under CET (shadow stack, branch tracking) are not emulated.
#include "vtl2/emulator/internal.h"

#include "igvm/base/bytes.h"

static uint32_t operand_bytes(const struct emu_run *run) {
    return run->decoded.operand_width / 8u;
}

static int stack_access(struct emu_run *run, uint64_t pointer, uint32_t size_bytes,
                        enum emu_access access, struct emu_span *span) {
    uint64_t linear = 0;
    int rc = emu_linearize(run, EMU_SS, pointer & emu_mask(emu_stack_bytes(run)), size_bytes,
                           access, &linear);

    return rc ? rc : emu_resolve(run, linear, size_bytes, access, false, span);
}

static int push(struct emu_run *run, uint64_t value, uint32_t size_bytes) {
    uint64_t pointer = run->state->gpr[EMU_RSP] - size_bytes;
    struct emu_span span;
    uint8_t bytes[8];
    int rc = stack_access(run, pointer, size_bytes, EMU_WRITE, &span);

    if (rc) {
        return rc;
    }
    store_le64(bytes, value);
    rc = emu_span_write(run, &span, bytes);
    if (rc == 0) {
        emu_gpr_write(run->state, EMU_RSP, emu_stack_bytes(run), pointer);
    }
    return rc;
}

static int pop(struct emu_run *run, uint32_t size_bytes, uint64_t *out) {
    uint64_t pointer = run->state->gpr[EMU_RSP];
    struct emu_span span;
    uint8_t bytes[8] = {0};
    int rc = stack_access(run, pointer, size_bytes, EMU_READ, &span);

    if (rc == 0) {
        rc = emu_span_read(run, &span, bytes);
    }
    if (rc == 0) {
        *out = load_le64(bytes);
        emu_gpr_write(run->state, EMU_RSP, emu_stack_bytes(run), pointer + size_bytes);
    }
    return rc;
}

static int branch_to(struct emu_run *run, uint64_t target) {
    target &= emu_mask(operand_bytes(run));
    if (run->is_long ? !emu_is_canonical(run->state, target)
                     : target > run->state->segment[EMU_CS].limit) {
        return emu_fault(run, VECTOR_GP, true, 0);
    }
    run->next_rip = target;
    return 0;
}

/// Target of a near CALL or JMP: relative, register or memory.
static int read_target(struct emu_run *run, uint64_t *out) {
    int rc;

    if (run->decoded.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR || (run->state->cr4 & CR4_CET)) {
        return -ENOSYS;
    }
    rc = emu_operand_read(run, 0, false, out);
    if (rc == 0 && run->operand[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        *out += run->next_rip;
    }
    return rc;
}

static int call(struct emu_run *run) {
    uint64_t back = run->next_rip;
    uint64_t target;
    int rc = read_target(run, &target);

    if (rc == 0) {
        rc = branch_to(run, target);
    }
    return rc ? rc : push(run, back, operand_bytes(run));
}

static int ret(struct emu_run *run) {
    uint64_t target, extra = 0;
    int rc;

    if (run->decoded.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR || (run->state->cr4 & CR4_CET)) {
        return -ENOSYS;
    }
    if (run->decoded.operand_count_visible > 0) {
        rc = emu_operand_read(run, 0, false, &extra);
        if (rc) {
            return rc;
        }
    }
    rc = pop(run, operand_bytes(run), &target);
    if (rc) {
        return rc;
    }
    emu_gpr_write(run->state, EMU_RSP, emu_stack_bytes(run),
                  run->state->gpr[EMU_RSP] + (extra & 0xFFFF));
    return branch_to(run, target);
}

static int leave(struct emu_run *run) {
    uint32_t size_bytes = operand_bytes(run);
    uint64_t value;
    int rc;

    emu_gpr_write(run->state, EMU_RSP, emu_stack_bytes(run), run->state->gpr[EMU_RBP]);
    rc = pop(run, size_bytes, &value);
    if (rc == 0) {
        emu_gpr_write(run->state, EMU_RBP, size_bytes, value);
    }
    return rc;
}

int emu_execute_stack(struct emu_run *run) {
    uint64_t value;
    int rc;

    switch (run->decoded.mnemonic) {
    case ZYDIS_MNEMONIC_PUSH:
        rc = emu_operand_read(run, 0, false, &value);
        return rc ? rc : push(run, value, operand_bytes(run));
    case ZYDIS_MNEMONIC_POP:
        if (!emu_operand_is_writable(run, 0)) {
            return -ENOSYS;
        }
        // A memory destination's address is computed with the stack pointer after the pop.
        rc = pop(run, operand_bytes(run), &value);
        return rc ? rc : emu_operand_write(run, 0, value);
    case ZYDIS_MNEMONIC_CALL:
        return call(run);
    case ZYDIS_MNEMONIC_JMP:
        rc = read_target(run, &value);
        return rc ? rc : branch_to(run, value);
    case ZYDIS_MNEMONIC_RET:
        return ret(run);
    case ZYDIS_MNEMONIC_LEAVE:
        return leave(run);
    default:
        return -ENOSYS;
    }
}
