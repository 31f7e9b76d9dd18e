// SPDX-License-Identifier: MIT
//
// Exchanges: XCHG, XADD, CMPXCHG, CMPXCHG8B and CMPXCHG16B. Intel SDM vol. 2. With LOCK (XCHG with
// memory: always) the write is a compare-and-exchange against what was read; when it loses, the
// whole instruction is run again.
#include "vtl2/emulator/internal.h"

#include "igvm/base/bytes.h"

#include <string.h>

static int exchange(struct emu_run *run) {
    unsigned memory = emu_operand_is_memory(run, 1) ? 1 : 0;
    uint64_t a, b;
    int rc = emu_operand_read(run, memory, true, &a);

    if (rc == 0) {
        rc = emu_operand_read(run, !memory, false, &b);
    }
    if (rc) {
        return rc;
    }
    run->is_locked = emu_operand_is_memory(run, memory);
    rc = emu_operand_write(run, memory, b);
    return rc ? rc : emu_operand_write(run, !memory, a);
}

static int exchange_add(struct emu_run *run) {
    uint64_t flags = run->state->rflags;
    uint64_t a, b, sum;
    int rc = emu_operand_read(run, 0, true, &a);

    if (rc == 0) {
        rc = emu_operand_read(run, 1, false, &b);
    }
    if (rc) {
        return rc;
    }
    sum = emu_alu_add(a, b, 0, emu_operand_bytes(run, 0), &flags);
    run->state->rflags = flags;
    rc = emu_operand_write(run, 1, a);
    return rc ? rc : emu_operand_write(run, 0, sum);
}

static int compare_exchange(struct emu_run *run) {
    uint32_t size_bytes = emu_operand_bytes(run, 0);
    uint64_t flags = run->state->rflags;
    uint64_t accumulator = emu_gpr_read(run->state, EMU_RAX, size_bytes);
    uint64_t value, desired;
    int rc = emu_operand_read(run, 0, true, &value);

    if (rc == 0) {
        rc = emu_operand_read(run, 1, false, &desired);
    }
    if (rc) {
        return rc;
    }
    (void)emu_alu_sub(accumulator, value, 0, size_bytes, &flags);
    run->state->rflags = flags;
    if (flags & FLAG_ZF) {
        return emu_operand_write(run, 0, desired);
    }
    // What was read is written back: the processor's write cycle happens either way.
    rc = emu_operand_write(run, 0, value);
    if (rc == 0) {
        emu_gpr_write(run->state, EMU_RAX, size_bytes, value);
    }
    return rc;
}

/// half_bytes: 4 for CMPXCHG8B, 8 for CMPXCHG16B.
static int compare_exchange_wide(struct emu_run *run, uint32_t half_bytes) {
    struct emu_state *s = run->state;
    uint8_t bytes[16] = {0}, desired[16] = {0}, expected[16] = {0};
    bool equal;
    int rc;

    run->must_align_bytes = half_bytes == 8 ? 16 : 0;
    rc = emu_operand_resolve(run, 0, EMU_WRITE, 0, 2 * half_bytes);
    if (rc == 0) {
        rc = emu_span_read(run, &run->span, bytes);
    }
    if (rc) {
        return rc;
    }
    store_le64(expected, s->gpr[EMU_RAX]);
    store_le64(expected + half_bytes, s->gpr[EMU_RDX]);
    store_le64(desired, s->gpr[EMU_RBX]);
    store_le64(desired + half_bytes, s->gpr[EMU_RCX]);
    equal = memcmp(bytes, expected, 2u * half_bytes) == 0;
    s->rflags = equal ? s->rflags | FLAG_ZF : s->rflags & ~FLAG_ZF;
    rc = run->is_locked ? emu_span_exchange(run, &run->span, bytes, equal ? desired : bytes)
                        : emu_span_write(run, &run->span, equal ? desired : bytes);
    if (rc || equal) {
        return rc;
    }
    emu_gpr_write(s, EMU_RAX, half_bytes, load_le64(bytes));
    emu_gpr_write(s, EMU_RDX, half_bytes, load_le64(bytes + half_bytes));
    return 0;
}

int emu_execute_exchange(struct emu_run *run) {
    switch (run->decoded.mnemonic) {
    case ZYDIS_MNEMONIC_XCHG:
        return exchange(run);
    case ZYDIS_MNEMONIC_XADD:
        return exchange_add(run);
    case ZYDIS_MNEMONIC_CMPXCHG:
        return compare_exchange(run);
    case ZYDIS_MNEMONIC_CMPXCHG8B:
        return compare_exchange_wide(run, 4);
    case ZYDIS_MNEMONIC_CMPXCHG16B:
        return compare_exchange_wide(run, 8);
    default:
        return -ENOSYS;
    }
}
