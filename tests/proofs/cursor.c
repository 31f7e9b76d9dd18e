// SPDX-License-Identifier: MIT
// cbmc-flags: --unwind 18
//
// Proof: no operation on a bounded cursor over a buffer of any contents and any size up to 16 bytes
// reads outside it or overflows; what fails leaves cursor and output as they were, what succeeds
// moves on by what it took and gives the bytes that stand there. Sizes are unbounded otherwise.

#include "igvm/base/bytes.h"
#include "tests/proofs/proof.h"

#include <stdlib.h>

#define MAX_BYTES 16u

void *__builtin_memcpy(void *to, const void *from, size_t count);

/// CBMC has no body for the builtin. Both sides are checked; the copy itself is a loop.
void *__builtin_memcpy(void *to, const void *from, size_t count) {
    __CPROVER_assert(count == 0 || __CPROVER_r_ok(from, count), "copies from inside the buffer");
    __CPROVER_assert(count == 0 || __CPROVER_w_ok(to, count), "copies into the output");
    for (size_t i = 0; i < count; i++) {
        ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    }
    return to;
}

static struct cursor before;

/// Holds after every operation: same buffer, position inside.
static void check_invariant(const struct cursor *c) {
    __CPROVER_assert(c->base == before.base && c->size == before.size, "the buffer stays");
    __CPROVER_assert(c->off <= c->size, "the position stays inside");
}

/// A fixed-size load: fails exactly when it does not fit.
static void check_load(const struct cursor *c, _Bool ok, size_t width) {
    check_invariant(c);
    __CPROVER_assert(ok == (width <= before.size - before.off), "loads what fits, nothing else");
    __CPROVER_assert(c->off == before.off + (ok ? width : 0), "moves by its width or not at all");
}

static void prove_loads(struct cursor *c, unsigned which) {
    uint8_t v8 = 0x5A;
    uint16_t v16 = 0x5A5A;
    uint32_t v32 = 0x5A5A5A5A;
    uint64_t v64 = 0x5A5A5A5A5A5A5A5A;
    const uint8_t *at = before.base + before.off;
    _Bool ok;

    switch (which) {
    case 0:
        ok = cursor_u8(c, &v8);
        check_load(c, ok, 1);
        __CPROVER_assert(ok ? v8 == at[0] : v8 == 0x5A, "u8");
        break;
    case 1:
        ok = cursor_le16(c, &v16);
        check_load(c, ok, 2);
        __CPROVER_assert(ok ? v16 == (at[0] | at[1] << 8) : v16 == 0x5A5A, "le16");
        break;
    case 2:
        ok = cursor_le32(c, &v32);
        check_load(c, ok, 4);
        __CPROVER_assert(ok ? v32 >> 24 == at[3] && (v32 & 0xFF) == at[0] : v32 == 0x5A5A5A5A,
                         "le32");
        break;
    default:
        ok = cursor_le64(c, &v64);
        check_load(c, ok, 8);
        __CPROVER_assert(
            ok ? v64 >> 56 == at[7] && (v64 & 0xFF) == at[0] : v64 == 0x5A5A5A5A5A5A5A5A, "le64");
        break;
    }
}

static void prove_moves(struct cursor *c, unsigned which) {
    size_t count = nondet_size();
    struct cursor sub = {0};
    const uint8_t *at = NULL;
    size_t align;
    _Bool ok;

    switch (which) {
    case 0:
        check_load(c, cursor_skip(c, count), count);
        break;
    case 1:
        ok = cursor_seek(c, count);
        check_invariant(c);
        __CPROVER_assert(ok == (count <= before.size), "seeks inside and to the end");
        __CPROVER_assert(c->off == (ok ? count : before.off), "goes there or nowhere");
        break;
    case 2:
        ok = cursor_take(c, count, &at);
        check_load(c, ok, count);
        __CPROVER_assert(at == (ok ? before.base + before.off : NULL), "takes from its position");
        break;
    case 3:
        ok = cursor_sub(c, count, &sub);
        check_load(c, ok, count);
        __CPROVER_assert(!ok || (sub.size == count && sub.off == 0), "a cursor over what it took");
        break;
    default:
        align = (size_t)1 << (nondet_unsigned() % 12);
        ok = cursor_align(c, align);
        check_invariant(c);
        __CPROVER_assert(ok ? c->off % align == 0 && c->off - before.off < align
                            : c->off == before.off,
                         "aligns forwards by less than one unit");
        break;
    }
}

static void prove_copy(struct cursor *c) {
    uint8_t out[MAX_BYTES];
    size_t count = nondet_size();
    _Bool ok;

    __CPROVER_assume(count <= sizeof(out)); // the caller's duty
    ok = cursor_copy(c, out, count);
    check_load(c, ok, count);
    __CPROVER_assert(!ok || count == 0 || out[count - 1] == before.base[before.off + count - 1],
                     "copies what stands there");
}

int main(void) {
    size_t size = nondet_size();
    uint8_t *bytes;
    struct cursor c;
    unsigned which = nondet_unsigned() % 10;

    __CPROVER_assume(size <= MAX_BYTES);
    bytes = malloc(size);
    __CPROVER_assume(bytes != NULL || size == 0);
    c = cursor_init(bytes, size);
    __CPROVER_assert(c.off == 0 && cursor_left(&c) == size, "starts at the front");
    c.off = nondet_size();
    __CPROVER_assume(c.off <= size);
    before = c;
    if (which < 4) {
        prove_loads(&c, which);
    } else if (which < 9) {
        prove_moves(&c, which - 4);
    } else {
        prove_copy(&c);
    }
    return 0;
}
