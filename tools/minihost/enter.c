// SPDX-License-Identifier: MIT
//
// Prepares the entry of a native VP context: checks, and the temporary GDT whose descriptors give
// the segment registers the hidden parts that the context asks for (SDM vol. 3, 3.4.5).

#include "tools/minihost/enter.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "loader/bare/cpu.h"
#include "tools/minihost/minihost.h"

#define MAX_SELECTOR     0x0ff8u
#define ATTR_PRESENT     (1u << 7)
#define ATTR_LONG        (1u << 13)
#define ATTR_GRANULARITY (1u << 15)
#define PTE_PRESENT      (1ull << 0)
#define PTE_LARGE        (1ull << 7)
#define PTE_ADDRESS      0x000ffffffffff000ull
#define GIB_4            (4ull << 30)

extern struct enter_state enter_state;
struct enter_state enter_state; // read by enter_vp.S

static uint64_t temp_gdt[(MAX_SELECTOR + 8) / 8];

static uint64_t descriptor(uint32_t base, uint32_t limit, uint16_t attributes) {
    uint64_t units = (attributes & ATTR_GRANULARITY) != 0 ? limit >> 12 : limit;

    return (units & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)attributes << 40 |
           ((units >> 16) & 0xf) << 48 | (uint64_t)(base >> 24) << 56;
}

/// Walks 4-level page tables that stand below 4 GiB (SDM vol. 3, 4.5). False: not mapped.
static bool translate(uint64_t cr3, uint64_t address, uint64_t *out) {
    uint64_t table = cr3 & PTE_ADDRESS;

    for (unsigned shift = 39;; shift -= 9) {
        uint64_t entry;

        if (table >= GIB_4) {
            return false;
        }
        entry = ((const uint64_t *)(uintptr_t)table)[(address >> shift) & 511];
        if ((entry & PTE_PRESENT) == 0) {
            return false;
        }
        if (shift == 12 || (shift != 39 && (entry & PTE_LARGE) != 0)) {
            uint64_t offset_mask = (1ull << shift) - 1;

            *out = (entry & PTE_ADDRESS & ~offset_mask) | (address & offset_mask);
            return true;
        }
        table = entry & PTE_ADDRESS;
    }
}

static const char *check(const struct igvm_native_vp_context_x64 *vp) {
    uint64_t physical;

    if ((vp->cr0 & (CR0_PE | CR0_PG)) != (CR0_PE | CR0_PG) || (vp->efer & EFER_LME) == 0 ||
        (vp->cr4 & CR4_PAE) == 0 || (vp->cr4 & CR4_LA57) != 0) {
        return "only long mode with 4-level paging is supported";
    }
    if ((vp->code_attributes & (ATTR_PRESENT | ATTR_LONG)) != (ATTR_PRESENT | ATTR_LONG) ||
        (vp->data_attributes & ATTR_PRESENT) == 0) {
        return "code must be a present 64-bit segment, data a present one";
    }
    if (vp->code_selector == 0 || vp->code_selector == vp->data_selector ||
        ((vp->code_selector | vp->data_selector) & 7) != 0 || vp->code_selector > MAX_SELECTOR ||
        vp->data_selector > MAX_SELECTOR) {
        return "selectors must be two different ring 0 GDT selectors up to 0xff8";
    }
    for (uint64_t at = MINIHOST_START_GPA; at < minihost_end_gpa(); at += PAGE_SIZE_4K) {
        if (!translate(vp->cr3, at, &physical) || physical != at) {
            return "the context's page tables do not map minihost's pages at 1 MiB identically";
        }
    }
    return translate(vp->cr3, vp->rip, &physical) ? NULL : "RIP is not mapped";
}

int enter_prepare(const struct igvm_native_vp_context_x64 *vp, const char **why) {
    *why = check(vp);
    if (*why != NULL) {
        return -ENOTSUP;
    }
    memset(temp_gdt, 0, sizeof(temp_gdt));
    temp_gdt[vp->code_selector / 8] =
        descriptor(vp->code_base, vp->code_limit, vp->code_attributes);
    if (vp->data_selector != 0) { // a null selector needs no descriptor
        temp_gdt[vp->data_selector / 8] =
            descriptor(vp->data_base, vp->data_limit, vp->data_attributes);
    }
    enter_state = (struct enter_state){
        .rip = vp->rip,
        .rflags = vp->rflags | 2, // bit 1 is always one
        .cr0 = vp->cr0,
        .cr3 = vp->cr3,
        .cr4 = vp->cr4,
        .efer = vp->efer | EFER_LMA, // as the CPU would show it
        .gs_base = vp->gs_base,
        .code_selector = vp->code_selector,
        .data_selector = vp->data_selector,
        .temp_gdt = {.limit = sizeof(temp_gdt) - 1, .base = (uintptr_t)temp_gdt},
        .gdt = {.limit = vp->gdtr_limit, .base = vp->gdtr_base},
        .idt = {.limit = vp->idtr_limit, .base = vp->idtr_base},
    };
    memcpy(enter_state.gpr, vp, sizeof(enter_state.gpr));
    return 0;
}
