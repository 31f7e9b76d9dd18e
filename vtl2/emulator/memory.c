// SPDX-License-Identifier: MIT
//
// Accesses to linear ranges: split at pages, each part RAM or MMIO. Both pages are translated
// before anything is read or written, so that a fault on the second leaves the first alone.
#include "vtl2/emulator/internal.h"

#include "igvm/base/bytes.h"

#include <string.h>

/// -EFAULT means "run->fault is set" inside; a callback's own must not be taken for that.
static int from_callback(int rc) {
    return rc == -EFAULT ? -EIO : rc;
}

int emu_resolve(struct emu_run *run, uint64_t linear, uint32_t size_bytes, enum emu_access access,
                bool is_system, struct emu_span *out) {
    uint32_t room = PAGE_SIZE_4K - (uint32_t)(linear % PAGE_SIZE_4K);
    uint32_t first = size_bytes < room ? size_bytes : room;
    // Descriptor bases (the TSS) have 64 bits under 32-bit code as well.
    bool is_wide = run->is_long || (is_system && (run->state->efer & EFER_LMA));

    out->part_count = first < size_bytes ? 2 : 1;
    out->part[0].size_bytes = first;
    out->part[1].size_bytes = size_bytes - first;
    for (unsigned i = 0; i < out->part_count; i++) {
        uint64_t at = linear + (i ? first : 0);
        gpa_t *where = &out->part[i].gpa;
        int rc = emu_walk(run, is_wide ? at : at & UINT32_MAX, access, is_system, where);

        if (rc) {
            return rc;
        }
        out->part[i].kind = run->context->ops->memory_kind(
            run->context->ctx, gpa(align_down(where->value, PAGE_SIZE_4K)), access == EMU_WRITE);
        if (out->part[i].kind == EMU_MEMORY_NONE) {
            return -ENXIO;
        }
    }
    return 0;
}

/// The largest of 8, 4, 2, 1 that fits: a device sees no access of 3 or 16 bytes.
static uint8_t mmio_piece(uint32_t left_bytes) {
    return left_bytes >= 8 ? 8 : left_bytes >= 4 ? 4 : left_bytes >= 2 ? 2 : 1;
}

static int mmio_read(struct emu_run *run, gpa_t at, uint8_t *out, uint32_t size_bytes) {
    const struct emu_ops *ops = run->context->ops;

    while (size_bytes > 0) {
        uint8_t piece = mmio_piece(size_bytes);
        uint8_t bytes[8];
        uint64_t value = 0;
        int rc = ops->mmio_read(run->context->ctx, at, piece, &value);

        if (rc) {
            return from_callback(rc);
        }
        store_le64(bytes, value);
        memcpy(out, bytes, piece);
        out += piece;
        at.value += piece;
        size_bytes -= piece;
    }
    return 0;
}

static int mmio_write(struct emu_run *run, gpa_t at, const uint8_t *in, uint32_t size_bytes) {
    const struct emu_ops *ops = run->context->ops;

    while (size_bytes > 0) {
        uint8_t piece = mmio_piece(size_bytes);
        uint8_t bytes[8] = {0};
        int rc;

        memcpy(bytes, in, piece);
        rc = ops->mmio_write(run->context->ctx, at, piece, load_le64(bytes));
        if (rc) {
            return from_callback(rc);
        }
        in += piece;
        at.value += piece;
        size_bytes -= piece;
    }
    return 0;
}

int emu_span_read(struct emu_run *run, const struct emu_span *span, void *out) {
    const struct emu_ops *ops = run->context->ops;
    uint8_t *to = out;

    for (unsigned i = 0; i < span->part_count; i++) {
        uint32_t size_bytes = span->part[i].size_bytes;
        gpa_t at = span->part[i].gpa;
        int rc = span->part[i].kind == EMU_MEMORY_MMIO
                     ? mmio_read(run, at, to, size_bytes)
                     : from_callback(ops->ram_read(run->context->ctx, at, to, size_bytes));

        if (rc) {
            return rc;
        }
        to += size_bytes;
    }
    return 0;
}

int emu_span_write(struct emu_run *run, const struct emu_span *span, const void *in) {
    const struct emu_ops *ops = run->context->ops;
    const uint8_t *from = in;

    for (unsigned i = 0; i < span->part_count; i++) {
        uint32_t size_bytes = span->part[i].size_bytes;
        gpa_t at = span->part[i].gpa;
        int rc = span->part[i].kind == EMU_MEMORY_MMIO
                     ? mmio_write(run, at, from, size_bytes)
                     : from_callback(ops->ram_write(run->context->ctx, at, from, size_bytes));

        if (rc) {
            return rc;
        }
        from += size_bytes;
    }
    return 0;
}

int emu_span_exchange(struct emu_run *run, const struct emu_span *span, const void *expected,
                      const void *in) {
    uint32_t size_bytes = span->part[0].size_bytes;
    gpa_t at = span->part[0].gpa;

    if (span->part_count > 1 || span->part[0].kind != EMU_MEMORY_RAM ||
        !is_aligned(at.value, size_bytes)) {
        return emu_span_write(run, span, in);
    }
    return from_callback(
        run->context->ops->ram_exchange(run->context->ctx, at, expected, in, size_bytes));
}
