// SPDX-License-Identifier: MIT
// cbmc-sources: userspace/uefi/siglist.c
// cbmc-flags: --unwind 18 --function main
//
// Proof of one step of the walk, from every state that a walk can be in, over every value of up to
// 64 bytes: what is handed out lies in the value behind all that was handed out before, has an
// owner and at least a byte of data, and the state afterwards is again one that a walk can be in.
// By induction that holds for the whole walk, which ends because every step moves on.

#include "tests/proofs/proof.h"
#include "userspace/uefi/siglist.h"

#define VALUE_BYTES 64u

static uint8_t value[VALUE_BYTES];

/// Where the walk stands: the first byte not handed out.
static size_t place(const struct uefi_siglist_walk *walk) {
    return walk->lists.off - cursor_left(&walk->entries);
}

/// The list at hand ends where the next one begins, and whole signatures of it are left.
static _Bool is_state(const struct uefi_siglist_walk *walk, uint32_t size) {
    const struct cursor *entries = &walk->entries;

    if (walk->lists.base != value || walk->lists.size != size || walk->lists.off > size) {
        return 0;
    }
    if (entries->off > entries->size || entries->size > walk->lists.off) {
        return 0;
    }
    if (cursor_left(entries) == 0) {
        return 1;
    }
    return entries->base + entries->size == value + walk->lists.off &&
           walk->entry_bytes > UEFI_SIGLIST_OWNER_BYTES && walk->entry_bytes <= VALUE_BYTES &&
           (uint8_t)cursor_left(entries) % (uint8_t)walk->entry_bytes == 0 &&
           walk->type < UEFI_SIG_TYPE_COUNT;
}

int main(void) {
    const uint32_t size = nondet_u32(), off = nondet_u32(), list = nondet_u32(),
                   done = nondet_u32();
    struct uefi_siglist_walk walk = {.type = (enum uefi_sig_type)nondet_u32()};
    struct uefi_signature signature;
    size_t before;

    __CPROVER_assume(size <= VALUE_BYTES && off <= size && list <= off && done <= list);
    __CPROVER_havoc_object(value);
    walk.lists = (struct cursor){.base = value, .size = size, .off = off};
    walk.entries = (struct cursor){.base = value + off - list, .size = list, .off = done};
    walk.entry_bytes = nondet_u32();
    __CPROVER_assume(is_state(&walk, size));
    before = place(&walk);
    if (uefi_siglist_next(&walk, &signature)) {
        const size_t start = (size_t)(signature.whole.at - value);

        __CPROVER_assert(start >= before, "behind what was handed out before");
        __CPROVER_assert(start + signature.whole.size_bytes == place(&walk), "the walk moves on");
        __CPROVER_assert(place(&walk) > before && place(&walk) <= size, "inside the value");
        __CPROVER_assert(signature.owner.at == signature.whole.at &&
                             signature.owner.size_bytes == UEFI_SIGLIST_OWNER_BYTES,
                         "an owner");
        __CPROVER_assert(signature.data.size_bytes >= 1 &&
                             signature.data.at == signature.whole.at + UEFI_SIGLIST_OWNER_BYTES &&
                             signature.data.size_bytes + UEFI_SIGLIST_OWNER_BYTES ==
                                 signature.whole.size_bytes,
                         "and data");
        __CPROVER_assert(is_state(&walk, size), "a state that a walk can be in");
    } else {
        __CPROVER_assert(walk.wrong != NULL || place(&walk) == size, "all of it was seen");
    }
    return 0;
}
