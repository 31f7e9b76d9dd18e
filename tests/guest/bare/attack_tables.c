// SPDX-License-Identifier: MIT
//
// The processor's own tables in memory that is not the guest's: page tables, descriptor tables,
// task states. What the processor reads there is nothing, so that most of these end the guest.

#include "tests/guest/bare/attack.h"

#define PTE_PRESENT_WRITE 3ull
#define SLOT              8u ///< of page_pointers: 8 GiB, unused

struct pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static void flush(void) {
    __asm__ volatile("mov %0, %%cr3" : : "r"(page_root) : "memory");
}

static void read_there(void *argument) {
    *(uint64_t *)argument = *at64(*(uint64_t *)argument);
}

/// Each level of the page tables in foreign memory: whatever the walk finds there, it must be
/// neither VTL2's page tables (a read that succeeds) nor changed by accessed bits.
static void walk_through(uint64_t *entry, uint64_t va, const char *name) {
    uint64_t faults = 0, reached = 0, old = *entry;
    for (unsigned i = 0; i < target_count; i++) {
        uint64_t a = va;
        *entry = targets[i] | PTE_PRESENT_WRITE;
        flush();
        int fault = try_call(read_there, &a);
        faults += fault != 0;
        reached += !fault && a != ~0ull;
    }
    *entry = old;
    flush();
    VERDICT(reached == 0, "@ # faults, # reads reach something", TEXT(name), faults, reached);
}

static uint64_t spare_directory[512] __attribute__((aligned(4096)));

ATTACK(page_table, ATTACK_DIES) {
    attack_dies();
    page_pointers[SLOT] = (uint64_t)(uintptr_t)spare_directory | PTE_PRESENT_WRITE;
    walk_through(&spare_directory[0], (uint64_t)SLOT << 30, "page_table");
}

ATTACK(page_directory, ATTACK_DIES) {
    attack_dies();
    walk_through(&page_pointers[SLOT], (uint64_t)SLOT << 30, "page_directory");
}

ATTACK(page_pointers, ATTACK_DIES) {
    attack_dies();
    walk_through(&page_root[1], 1ull << 39, "page_pointers");
}

ATTACK(cr3, ATTACK_DIES | ATTACK_HANGS) {
    attack_dies();
    __asm__ volatile("mov %0, %%cr3" : : "r"(targets[target_count / 2]) : "memory");
    flush();
    VERDICT(0, "cr3 the guest runs on with page tables at $", targets[target_count / 2]);
}

/// Behind what the processor can address, and with reserved bits.
ATTACK(cr3_wide, ATTACK_DIES | ATTACK_HANGS) {
    attack_dies();
    __asm__ volatile("mov %0, %%cr3" : : "r"(0x0000fffffffff000ull) : "memory");
    VERDICT(0, "cr3_wide the guest runs on at $", 0x0000fffffffff000ull);
}

static void load_segment(void *argument) {
    (void)argument;
    __asm__ volatile("mov %0, %%es" : : "r"(FREE_SELECTOR) : "memory");
}

ATTACK(gdt, ATTACK_DIES | ATTACK_HANGS) {
    uint64_t loaded = 0, faults = 0;
    attack_dies();
    for (unsigned i = 0; i < target_count; i++) {
        struct pointer pointer = {0xffff, targets[i]};
        // On an exception the stub's gates need CS from this very table: it ends there.
        __asm__ volatile("lgdt %0" : : "m"(pointer) : "memory");
        int fault = try_call(load_segment, NULL);
        cpu_load_tables(0);
        faults += fault != 0;
        loaded += fault == 0;
    }
    VERDICT(loaded == 0, "gdt # faults, # segments were loaded from there", faults, loaded);
}

ATTACK(idt, ATTACK_DIES | ATTACK_HANGS) {
    struct pointer pointer = {0xfff, targets[target_count / 2]};
    attack_dies();
    __asm__ volatile("lidt %0\n\tint3" : : "m"(pointer) : "memory");
    cpu_load_tables(0);
    VERDICT(0, "idt an exception was taken through a gate at $", pointer.base);
}

static void load_task(void *argument) {
    uint64_t base = *(uint64_t *)argument;
    gdt[12] = 0x67 | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24) << 56;
    gdt[13] = base >> 32;
    __asm__ volatile("ltr %w0" : : "r"(0x60) : "memory");
    __asm__ volatile("ud2"); // its stack is named in the task state
}

ATTACK(tss, ATTACK_DIES | ATTACK_HANGS) {
    uint64_t base = targets[target_count / 2];
    attack_dies();
    int fault = try_call(load_task, &base);
    VERDICT(0, "tss an exception (#) used the stack of a task state at $", (uint64_t)fault, base);
}

ATTACK(triple_fault, ATTACK_DIES) {
    struct pointer none = {0, 0};
    attack_dies();
    __asm__ volatile("lidt %0\n\tud2" : : "m"(none) : "memory");
}
