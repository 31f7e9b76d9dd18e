// SPDX-License-Identifier: MIT
//
// Programs that run where they were loaded: linked as static position-independent executables, they
// correct their own pointers (System V ABI for x86-64, 4.4.1: R_X86_64_RELATIVE is all they have).
#pragma once

#include <stdint.h>

/// Corrects all pointers for an image that stands delta bytes above the address it was linked for.
/// To be called before any of them is used; again after the image was copied elsewhere, in the
/// copy. Needs the linker script's __rela_start and __rela_end.
void bare_relocate(uint64_t delta);
