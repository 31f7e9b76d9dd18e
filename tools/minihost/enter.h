// SPDX-License-Identifier: MIT
//
// Enters a native VP context (igvm/igvm_data_defs.h) on the CPU that minihost runs on.
//
// The layout of struct enter_state is shared with enter_vp.S, hence the offsets.
#define ENTER_RAX      0
#define ENTER_RCX      8
#define ENTER_RDX      16
#define ENTER_RBX      24
#define ENTER_RSP      32
#define ENTER_RBP      40
#define ENTER_RSI      48
#define ENTER_RDI      56
#define ENTER_R8       64
#define ENTER_R9       72
#define ENTER_R10      80
#define ENTER_R11      88
#define ENTER_R12      96
#define ENTER_R13      104
#define ENTER_R14      112
#define ENTER_R15      120
#define ENTER_RIP      128
#define ENTER_RFLAGS   136
#define ENTER_CR0      144
#define ENTER_CR3      152
#define ENTER_CR4      160
#define ENTER_EFER     168
#define ENTER_GS_BASE  176
#define ENTER_CODE     184
#define ENTER_DATA     192
#define ENTER_TEMP_GDT 200
#define ENTER_GDT      216
#define ENTER_IDT      232
#define ENTER_BYTES    248

#ifndef __ASSEMBLER__
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "igvm/igvm_data_defs.h"

/// Operand of lgdt and lidt.
struct enter_table {
    uint16_t limit;
    uint64_t base;
    uint8_t pad[6];
} __attribute__((packed));
_Static_assert(sizeof(struct enter_table) == 16, "enter_vp.S steps by 16");

/// What enter_vp.S loads, in the order of the offsets above.
struct enter_state {
    uint64_t gpr[16]; ///< as igvm_native_vp_context_x64 begins: rax, rcx, rdx, rbx, rsp, …
    uint64_t rip;
    uint64_t rflags;
    uint64_t cr0;
    uint64_t cr3;
    uint64_t cr4;
    uint64_t efer;
    uint64_t gs_base;
    uint64_t code_selector;
    uint64_t data_selector;
    struct enter_table temp_gdt; ///< ours, from which the context's segments are loaded
    struct enter_table gdt;      ///< the context's
    struct enter_table idt;
};
_Static_assert(sizeof(struct enter_state) == ENTER_BYTES, "offsets of enter_vp.S");
_Static_assert(offsetof(struct enter_state, rip) == ENTER_RIP, "offsets of enter_vp.S");
_Static_assert(offsetof(struct enter_state, cr0) == ENTER_CR0, "offsets of enter_vp.S");
_Static_assert(offsetof(struct enter_state, gs_base) == ENTER_GS_BASE, "offsets of enter_vp.S");
_Static_assert(offsetof(struct enter_state, temp_gdt) == ENTER_TEMP_GDT, "offsets of enter_vp.S");
_Static_assert(offsetof(struct enter_state, idt) == ENTER_IDT, "offsets of enter_vp.S");

/// Checks what stage 0 can enter: long mode with 4-level paging, usable selectors, and page tables
/// that map RIP somewhere and minihost's own pages [0x100000, …) at their own addresses, since the
/// last instructions before the entry run there. Page tables must be below 4 GiB and loaded.
/// Returns 0 and prepares the entry, or -ENOTSUP with *why, a constant text.
int enter_prepare(const struct igvm_native_vp_context_x64 *vp, const char **why);

/// Enters what enter_prepare() accepted.
_Noreturn void enter_vp(void);
#endif
