// SPDX-License-Identifier: MIT
//
// The instruction emulator's entry: decode, carry out, commit or put back. See emulator.h.
#include "vtl2/emulator/internal.h"

#include <string.h>

void emu_commit(struct emu_run *run) {
    memcpy(run->kept_gpr, run->state->gpr, sizeof(run->kept_gpr));
    run->kept_rflags = run->state->rflags;
}

static void run_init(struct emu_run *run, const struct emu_context *context) {
    struct emu_state *s = context->state;

    memset(run, 0, sizeof(*run));
    run->context = context;
    run->state = s;
    run->is_long =
        (s->efer & EFER_LMA) && (s->cr0 & CR0_PE) && (s->segment[EMU_CS].attributes & SEGMENT_LONG);
    if (!run->is_long) {
        s->rip &= UINT32_MAX;
    }
    emu_commit(run);
}

static int execute(struct emu_run *run) {
    static int (*const parts[])(struct emu_run *) = {
        emu_execute_integer, emu_execute_string,   emu_execute_vector, emu_execute_port,
        emu_execute_bits,    emu_execute_exchange, emu_execute_stack,
    };
    int rc = -ENOSYS;

    for (size_t i = 0; i < ARRAY_COUNT(parts) && rc == -ENOSYS; i++) {
        rc = parts[i](run);
    }
    return rc;
}

static enum emu_status to_status(int rc) {
    switch (rc) {
    case 0:
        return EMU_DONE;
    case -EAGAIN:
        return EMU_RETRY;
    case -EFAULT:
        return EMU_FAULT;
    default:
        return EMU_UNHANDLED;
    }
}

void emu_run_one(const struct emu_context *context, struct emu_result *result) {
    struct emu_state *s = context->state;
    struct emu_run run;
    int rc;

    memset(result, 0, sizeof(*result));
    run_init(&run, context);
    rc = emu_decode(&run);
    if (rc == 0) {
        rc = execute(&run);
    }
    memcpy(result->insn, run.insn, run.insn_bytes);
    result->insn_bytes = run.insn_bytes;
    result->status = to_status(rc);
    if (rc) {
        memcpy(s->gpr, run.kept_gpr, sizeof(run.kept_gpr));
        s->rflags = run.kept_rflags;
        result->fault = run.fault;
        return;
    }
    result->single_step = s->rflags & FLAG_TF;
    if (run.is_repeat_on) {
        result->status = EMU_RETRY;
        return;
    }
    s->rip = run.next_rip;
    s->rflags &= ~FLAG_RF;
}

enum emu_status emu_translate(const struct emu_context *context, uint64_t linear,
                              enum emu_access access, gpa_t *out, struct emu_fault *fault) {
    struct emu_run run;
    int rc;

    run_init(&run, context);
    if (run.is_long && !emu_is_canonical(run.state, linear)) {
        rc = emu_fault(&run, VECTOR_GP, true, 0);
    } else {
        rc = emu_walk(&run, run.is_long ? linear : linear & UINT32_MAX, access, false, out);
    }
    *fault = run.fault;
    return to_status(rc);
}
