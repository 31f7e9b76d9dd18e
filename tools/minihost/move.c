// SPDX-License-Identifier: MIT
//
// minihost moves out of the way: VTL0 wants the memory at 1 MiB, and a hypervisor stays.

#include <string.h>

#include "loader/bare/relocate.h"
#include "tools/minihost/minihost.h"

extern uint8_t stack_top[]; // pvh.S

/// Where something of this image stands in the copy.
static uintptr_t in_copy(const void *here, uint64_t distance) {
    return (uintptr_t)here + distance;
}

_Noreturn void minihost_move(uint64_t to_gpa, uint64_t start_info_gpa) {
    uint64_t start = minihost_start_gpa(), size_bytes = minihost_end_gpa() - start;
    uint64_t distance = to_gpa - start;
    void (*relocate)(uint64_t) = NULL;
    uintptr_t relocate_at = in_copy((const void *)(uintptr_t)bare_relocate, distance);
    uintptr_t main_at = in_copy((const void *)(uintptr_t)minihost_main, distance);
    uintptr_t stack = in_copy(stack_top, distance);

    memcpy((void *)(uintptr_t)to_gpa, (const void *)(uintptr_t)start, size_bytes);
    relocate = (void (*)(uint64_t))relocate_at;
    relocate(to_gpa - MINIHOST_START_GPA);
    __asm__ volatile("mov %0, %%rsp\n\t" // the copy's stack, empty
                     "xor %%ebp, %%ebp\n\t"
                     "call *%1\n\t"
                     "ud2"
                     :
                     : "r"(stack), "r"(main_at), "D"(start_info_gpa)
                     : "memory");
    __builtin_unreachable();
}
