// SPDX-License-Identifier: MIT
//
// The processor's odd modes: see modes.S. An emulator must reach the same verdict in each.

#include "tests/guest/bare/attack.h"

#define HOME 0x12000u

extern const uint8_t modes_code[], modes_code_end[];
extern uint32_t legacy_directory[1024];

static void run_mode(const char *name, uint32_t how_far) {
    uint8_t *home = (uint8_t *)(uintptr_t)HOME;
    uint64_t shown = 0;
    attack_dies();
    for (size_t i = 0; i < (size_t)(modes_code_end - modes_code); i++) {
        home[i] = modes_code[i];
    }
    for (uint32_t i = 0; i < 1024; i++) {
        legacy_directory[i] = i << 22 | 0x83; // 4 MiB pages, one to one
    }
    gdt[5] = 0x00009b000000ffffull | (uint64_t)HOME << 16;
    gdt[6] = 0x000093000000ffffull | (uint64_t)HOME << 16;
    uint64_t (*code)(uint32_t, uint32_t) = (uint64_t(*)(uint32_t, uint32_t))(uintptr_t)HOME;
    for (unsigned i = 0; i < target_count; i++) {
        uint64_t seen = code((uint32_t)targets[i], how_far);
        cpu_load_tables(0);
        shown += seen != 0xffffffffu;
    }
    VERDICT(shown == 0, "@ # of # places show something", TEXT(name), shown,
            (uint64_t)target_count);
}

ATTACK(mode_compatibility, ATTACK_DIES | ATTACK_HANGS) {
    run_mode("mode_compatibility", 0);
}
ATTACK(mode_no_paging, ATTACK_DIES | ATTACK_HANGS) {
    run_mode("mode_no_paging", 1);
}
ATTACK(mode_no_pae, ATTACK_DIES | ATTACK_HANGS) {
    run_mode("mode_no_pae", 2);
}
ATTACK(mode_16_bit, ATTACK_DIES | ATTACK_HANGS) {
    run_mode("mode_16_bit", 3);
}
ATTACK(mode_real, ATTACK_DIES | ATTACK_HANGS) {
    run_mode("mode_real", 4);
}
ATTACK(mode_la57, ATTACK_DIES | ATTACK_HANGS) {
    run_mode("mode_la57", 5);
}

static void load_x87(void *argument) {
    static const uint32_t environment[7] = {0x37f, 0, 0xffff};
    (void)argument;
    while (!other_stop) {
        for (unsigned i = 0; i < 1000; i++) {
            __asm__ volatile("fldenv %0" : : "m"(environment));
        }
    }
}

/// x87 state is loaded by one VP while the other leaves and enters the guest: under QEMU that
/// switches nested paging off and on when the other's processor is the first one. Only minihost can
/// keep VPs from that one: docs/STATUS.md.
ATTACK(x87_war, ATTACK_OTHER | ATTACK_VSM) {
    int started = other_start(load_x87, NULL);
    for (unsigned i = 0; i < 50000; i++) {
        uint32_t a = 0x40000000, b, c = 0, d;
        __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    }
    other_stop = 1;
    int ended = other_wait();
    VERDICT(started && ended, "x87_war VP 1 started #, ended #", (uint64_t)started,
            (uint64_t)ended);
}
