// SPDX-License-Identifier: MIT
//
// From CS:RIP to a decoded instruction: bytes from the intercept, more from guest memory page by
// page (so that a fault is raised only for bytes that the instruction has), at most 15.
#include "vtl2/emulator/internal.h"

#include <string.h>

/// Adds bytes up to the end of the page, of the segment or of the buffer.
static int fetch_more(struct emu_run *run) {
    const struct emu_state *s = run->state;
    uint64_t offset = s->rip + run->insn_bytes;
    uint32_t count = EMU_MAX_INSN_BYTES - run->insn_bytes;
    struct emu_span span;
    uint64_t linear = 0;
    uint32_t room;
    int rc;

    if (!run->is_long) {
        uint64_t limit = s->segment[EMU_CS].limit;

        offset &= UINT32_MAX;
        if (offset <= limit && limit - offset + 1 < count) {
            count = (uint32_t)(limit - offset + 1);
        }
    }
    rc = emu_linearize(run, EMU_CS, offset, 1, EMU_EXECUTE, &linear);
    if (rc) {
        return rc;
    }
    room = PAGE_SIZE_4K - (uint32_t)(linear % PAGE_SIZE_4K);
    count = count < room ? count : room;
    rc = emu_resolve(run, linear, count, EMU_EXECUTE, false, &span);
    if (rc) {
        return rc;
    }
    if (span.part[0].kind != EMU_MEMORY_RAM) {
        return -ENXIO; // no guest has a reason to run code from a device
    }
    rc = emu_span_read(run, &span, run->insn + run->insn_bytes);
    if (rc == 0) {
        run->insn_bytes = (uint8_t)(run->insn_bytes + count);
    }
    return rc;
}

static void make_decoder(const struct emu_run *run, ZydisDecoder *out) {
    const struct emu_state *s = run->state;
    bool big = s->segment[EMU_CS].attributes & SEGMENT_BIG;
    bool is_protected = (s->cr0 & CR0_PE) && !(s->rflags & FLAG_VM);
    ZydisMachineMode mode;
    ZydisStackWidth stack;

    if (run->is_long) {
        mode = ZYDIS_MACHINE_MODE_LONG_64;
        stack = ZYDIS_STACK_WIDTH_64;
    } else {
        stack = emu_stack_bytes(run) == 4 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16;
        if (!is_protected) {
            mode = ZYDIS_MACHINE_MODE_REAL_16;
            stack = ZYDIS_STACK_WIDTH_16;
        } else if (s->efer & EFER_LMA) {
            mode = big ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32 : ZYDIS_MACHINE_MODE_LONG_COMPAT_16;
        } else {
            mode = big ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16;
        }
    }
    // Cannot fail: the pairs above are all valid.
    (void)ZydisDecoderInit(out, mode, stack);
}

/// Whether the opcode stands in the one-byte map, which Zydis knows completely. Elsewhere (0F, VEX,
/// EVEX, XOP) the processor may have instructions that Zydis has not.
static bool is_one_byte_map(const struct emu_run *run) {
    for (unsigned i = 0; i < run->insn_bytes; i++) {
        uint8_t byte = run->insn[i];

        switch (byte) {
        case 0x26:
        case 0x2E:
        case 0x36:
        case 0x3E:
        case 0x64:
        case 0x65:
        case 0x66:
        case 0x67:
        case 0xF0:
        case 0xF2:
        case 0xF3:
            continue;
        case 0x0F:
        case 0x62:
        case 0x8F:
        case 0xC4:
        case 0xC5:
            return false;
        default:
            if (run->is_long && (byte & 0xF0) == 0x40) {
                continue;
            }
            return true;
        }
    }
    return false;
}

/// What the processor does with bytes that Zydis does not accept.
static int decode_error(struct emu_run *run, ZyanStatus status) {
    switch (status) {
    case ZYDIS_STATUS_INSTRUCTION_TOO_LONG:
        return emu_fault(run, VECTOR_GP, true, 0);
    case ZYDIS_STATUS_ILLEGAL_LOCK:
    case ZYDIS_STATUS_BAD_REGISTER:
        return emu_fault(run, VECTOR_UD, false, 0);
    default:
        return is_one_byte_map(run) ? emu_fault(run, VECTOR_UD, false, 0) : -ENOSYS;
    }
}

int emu_decode(struct emu_run *run) {
    const struct emu_context *context = run->context;
    ZydisDecoder decoder;

    make_decoder(run, &decoder);
    run->insn_bytes =
        context->insn_bytes < EMU_MAX_INSN_BYTES ? context->insn_bytes : EMU_MAX_INSN_BYTES;
    memcpy(run->insn, context->insn, run->insn_bytes);
    // Each round adds a byte at least.
    for (unsigned round = 0; round <= EMU_MAX_INSN_BYTES; round++) {
        ZyanStatus status = ZYDIS_STATUS_NO_MORE_DATA;
        int rc;

        if (run->insn_bytes > 0) {
            status = ZydisDecoderDecodeFull(&decoder, run->insn, run->insn_bytes, &run->decoded,
                                            run->operand);
        }
        if (ZYAN_SUCCESS(status)) {
            run->next_rip = run->state->rip + run->decoded.length;
            if (!run->is_long) {
                run->next_rip &= UINT32_MAX;
            }
            run->is_locked = run->decoded.attributes & ZYDIS_ATTRIB_HAS_LOCK;
            return 0;
        }
        if (status != ZYDIS_STATUS_NO_MORE_DATA) {
            return decode_error(run, status);
        }
        if (run->insn_bytes == EMU_MAX_INSN_BYTES) {
            return emu_fault(run, VECTOR_GP, true, 0);
        }
        rc = fetch_more(run);
        if (rc) {
            return rc;
        }
    }
    return -ENOSYS;
}
