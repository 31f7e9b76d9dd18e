// SPDX-License-Identifier: MIT
//
// See relocate.h.
#include "loader/bare/relocate.h"

/// Elf64_Rela.
struct rela {
    uint64_t offset; ///< of the quadword to correct, as linked
    uint64_t info;   ///< R_X86_64_RELATIVE (8): the linker scripts' programs have no others
    int64_t addend;  ///< what it points to, as linked
};

// Hidden: found relative to the instruction, before anything is corrected.
extern const struct rela __rela_start[] __attribute__((visibility("hidden")));
extern const struct rela __rela_end[] __attribute__((visibility("hidden")));

void bare_relocate(uint64_t delta) {
    uintptr_t end = (uintptr_t)__rela_end; // numbers: the two symbols are different objects to C

    for (const struct rela *rela = __rela_start; (uintptr_t)rela < end; rela++) {
        *(uint64_t *)(uintptr_t)(rela->offset + delta) = (uint64_t)rela->addend + delta;
    }
}
