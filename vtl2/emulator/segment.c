// SPDX-License-Identifier: MIT
//
// Segmentation: from segment and offset to a linear address, with the checks of Intel SDM vol. 3
// sections 3.3 (canonical addresses) and 5.3-5.5 (limits, types), and I/O permissions (vol. 1
// chapter 19).
#include "vtl2/emulator/internal.h"

#define TSS_IO_MAP_BASE_OFF 0x66u

int emu_fault(struct emu_run *run, unsigned vector, bool has_error_code, uint32_t error_code) {
    run->fault = (struct emu_fault){
        .vector = (uint8_t)vector,
        .has_error_code = has_error_code && (run->state->cr0 & CR0_PE),
        .error_code = error_code,
    };
    return -EFAULT;
}

bool emu_is_canonical(const struct emu_state *state, uint64_t linear) {
    uint32_t bits = (state->cr4 & CR4_LA57) ? 57 : 48;
    uint64_t top = (uint64_t)((int64_t)linear >> (bits - 1));

    return top == 0 || top == UINT64_MAX;
}

/// Whether a protected-mode segment allows this kind of access at all.
static bool type_allows(const struct vp_segment *segment, enum emu_access access) {
    uint32_t attributes = segment->attributes;

    if (!(attributes & SEGMENT_PRESENT)) {
        return false;
    }
    switch (access) {
    case EMU_READ:
        return !(attributes & SEGMENT_CODE) || (attributes & SEGMENT_TYPE_RW);
    case EMU_WRITE:
        return !(attributes & SEGMENT_CODE) && (attributes & SEGMENT_TYPE_RW);
    case EMU_EXECUTE:
        return attributes & SEGMENT_CODE;
    }
    return false;
}

/// Whether [offset, last] lies inside the segment's limit; last does not wrap 32 bits.
static bool limit_allows(const struct vp_segment *segment, uint64_t offset, uint64_t last) {
    bool is_data = !(segment->attributes & SEGMENT_CODE);

    if (is_data && (segment->attributes & SEGMENT_EXPAND_DOWN)) {
        uint64_t top = (segment->attributes & SEGMENT_BIG) ? UINT32_MAX : UINT16_MAX;

        return offset > segment->limit && last <= top;
    }
    return last <= segment->limit;
}

static int linearize_long(struct emu_run *run, enum emu_segment segment, uint64_t offset,
                          uint32_t size_bytes, uint64_t *out) {
    uint64_t linear = offset;

    if (segment == EMU_FS || segment == EMU_GS) {
        linear += run->state->segment[segment].base;
    }
    if (!emu_is_canonical(run->state, linear) ||
        !emu_is_canonical(run->state, linear + size_bytes - 1)) {
        return emu_fault(run, segment == EMU_SS ? VECTOR_SS : VECTOR_GP, true, 0);
    }
    *out = linear;
    return 0;
}

int emu_linearize(struct emu_run *run, enum emu_segment segment, uint64_t offset,
                  uint32_t size_bytes, enum emu_access access, uint64_t *out) {
    const struct vp_segment *s = &run->state->segment[segment];
    bool has_types = (run->state->cr0 & CR0_PE) && !(run->state->rflags & FLAG_VM);
    uint64_t last;

    if (run->is_long) {
        return linearize_long(run, segment, offset, size_bytes, out);
    }
    offset &= UINT32_MAX;
    last = offset + size_bytes - 1;
    if (last > UINT32_MAX || (has_types && !type_allows(s, access)) ||
        !limit_allows(s, offset, last)) {
        return emu_fault(run, segment == EMU_SS ? VECTOR_SS : VECTOR_GP, true, 0);
    }
    *out = (s->base + offset) & UINT32_MAX;
    return 0;
}

uint32_t emu_stack_bytes(const struct emu_run *run) {
    if (run->is_long) {
        return 8;
    }
    return (run->state->segment[EMU_SS].attributes & SEGMENT_BIG) ? 4 : 2;
}

/// Two bytes of the TSS; false when they are beyond its limit.
static int read_tss(struct emu_run *run, uint32_t offset, uint8_t out[2]) {
    const struct vp_segment *tr = &run->state->tr;
    struct emu_span span;
    int rc;

    if (!(tr->attributes & SEGMENT_PRESENT) || (uint64_t)offset + 1 > tr->limit) {
        return emu_fault(run, VECTOR_GP, true, 0);
    }
    rc = emu_resolve(run, tr->base + offset, 2, EMU_READ, true, &span);
    return rc ? rc : emu_span_read(run, &span, out);
}

int emu_check_port(struct emu_run *run, uint16_t port, uint32_t size_bytes) {
    const struct emu_state *state = run->state;
    uint32_t iopl = (uint32_t)(state->rflags >> FLAG_IOPL_SHIFT) & 3;
    uint32_t map, bits;
    uint8_t bytes[2];
    int rc;

    if (!(state->cr0 & CR0_PE) || (!(state->rflags & FLAG_VM) && state->cpl <= iopl)) {
        return 0;
    }
    rc = read_tss(run, TSS_IO_MAP_BASE_OFF, bytes);
    if (rc) {
        return rc;
    }
    map = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8;
    rc = read_tss(run, map + port / 8u, bytes);
    if (rc) {
        return rc;
    }
    bits = ((uint32_t)bytes[0] | (uint32_t)bytes[1] << 8) >> (port % 8u);
    if (bits & ((1u << size_bytes) - 1)) {
        return emu_fault(run, VECTOR_GP, true, 0);
    }
    return 0;
}
