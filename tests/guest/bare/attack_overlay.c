// SPDX-License-Identifier: MIT
//
// Pages that the hypervisor lays over guest memory at the guest's wish (TLFS, "GPA Overlay Pages"),
// and the other synthetic MSRs: over VTL2's memory, over each other, over devices. VTL2's memory is
// as before under every one of them, and shows nothing once it is gone.

#include "tests/guest/bare/attack.h"

#define SPARE             0x2000000u ///< RAM that nobody uses, nor that with one more bit
#define MSR_GUEST_OS_ID   0x40000000u
#define MSR_HYPERCALL     0x40000001u
#define MSR_RESET         0x40000003u
#define MSR_REFERENCE_TSC 0x40000021u
#define MSR_ASSIST        0x40000073u
#define MSR_SCONTROL      0x40000080u
#define MSR_SIEFP         0x40000082u
#define MSR_SIMP          0x40000083u
#define MSR_SINT0         0x40000090u
#define MSR_STIMER0       0x400000b0u
#define MSR_CRASH_P0      0x40000100u
#define MSR_CRASH_CTL     0x40000105u

static const uint32_t overlays[] = {MSR_HYPERCALL, MSR_REFERENCE_TSC, MSR_ASSIST, MSR_SIEFP,
                                    MSR_SIMP};
#define OVERLAYS (sizeof(overlays) / sizeof(overlays[0]))

static uint64_t own_page[512] __attribute__((aligned(4096)));

static uint64_t gpa_of(const volatile void *p) {
    return (uint64_t)(uintptr_t)p;
}

static void write_one(void *argument) {
    const uint64_t *a = argument;
    write_msr((uint32_t)a[0], a[1]);
}

/// Whether the MSR took it.
static int set(uint32_t msr, uint64_t v) {
    uint64_t a[2] = {msr, v};
    return try_call(write_one, a) == 0;
}

static void use(void *argument) {
    volatile uint64_t *page = window(0, *(uint64_t *)argument);
    for (unsigned i = 0; i < 8; i++) {
        page[i * 64] = 0x6b636174746100ull + i;
        (void)page[i * 64];
    }
}

static void look(void *argument) {
    uint64_t *a = argument;
    a[0] = *(volatile uint64_t *)window(0, a[0]);
}

/// What an address shows now; all ones where it faults.
static uint64_t shown(uint64_t gpa) {
    uint64_t a = gpa;
    return try_call(look, &a) ? ~0ull : a;
}

/// Each over foreign memory: written through, taken away again.
ATTACK(overlay_foreign, ATTACK_VSM) {
    uint64_t left = 0, placed = 0, faults = 0;
    set(MSR_GUEST_OS_ID, 0x8100ull << 48);
    for (unsigned i = 0; i < target_count; i++) {
        for (unsigned k = 0; k < OVERLAYS; k++) {
            uint64_t at = targets[i];
            placed += (uint64_t)set(overlays[k], at | 1);
            faults += try_call(use, &at) != 0;
            set(overlays[k], 0);
            left += shown(targets[i]) != ~0ull || shown(targets[i] + 0x200) != ~0ull;
        }
    }
    VERDICT(left == 0, "overlay_foreign # placed, # faults, # left something behind", placed,
            faults, left);
}

/// All at one place, taken away in another order; over RAM, whose contents come back.
ATTACK(overlay_stack, ATTACK_VSM) {
    const uint64_t places[] = {gpa_of(own_page), targets[0],    targets[target_count / 2],
                               0xfed40000u,      0xfee00000u,   0xc0000000u,
                               0xa0000u,         0x100000000ull};
    uint64_t wrong = 0, placed = 0;
    set(MSR_GUEST_OS_ID, 0x8100ull << 48);
    for (unsigned i = 0; i < 512; i++) {
        own_page[i] = i * 3 + 1;
    }
    for (unsigned p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
        for (unsigned round = 0; round < 5; round++) {
            for (unsigned k = 0; k < OVERLAYS; k++) {
                placed += (uint64_t)set(overlays[(k + round) % OVERLAYS], places[p] | 1);
            }
            uint64_t at = places[p];
            if (p != 4) { // the local APIC is used below
                try_call(use, &at);
            }
            for (unsigned k = 0; k < OVERLAYS; k++) {
                set(overlays[(k * 2 + round) % OVERLAYS], 0);
            }
        }
    }
    for (unsigned i = 0; i < 512; i++) {
        wrong += own_page[i] != i * 3 + 1;
    }
    wrong += shown(targets[0]) != ~0ull;
    uint64_t apic_version = *apic(0x30);
    VERDICT(wrong == 0 && (apic_version & 0xff) >= 0x10,
            "overlay_stack # placed, # places are not as before, APIC version $", placed, wrong,
            apic_version);
}

/// Places far apart, each of which wants tables of the hypervisor's; then RAM again.
ATTACK(overlay_sprawl, ATTACK_VSM) {
    uint64_t placed = 0;
    set(MSR_GUEST_OS_ID, 0x8100ull << 48);
    for (uint64_t i = 1; i < 3000; i++) {
        placed += (uint64_t)set(MSR_SIMP, (i * 7 << 27) | 1);
    }
    int works = set(MSR_SIMP, gpa_of(own_page) | 1) && set(MSR_HYPERCALL, SPARE | 1) &&
                set(MSR_SIEFP, (SPARE + (37ull << 21)) | 1);
    set(MSR_SIMP, 0);
    set(MSR_SIEFP, 0);
    set(MSR_HYPERCALL, 0);
    VERDICT(works, "overlay_sprawl # of 2999 placed, in RAM afterwards #", placed, (uint64_t)works);
}

/// Reserved bits, addresses beyond all memory.
ATTACK(overlay_bits, ATTACK_VSM) {
    uint64_t taken = 0, refused = 0;
    set(MSR_GUEST_OS_ID, 0x8100ull << 48);
    for (unsigned k = 0; k < OVERLAYS; k++) {
        for (unsigned bit = 1; bit < 64; bit++) {
            if (overlays[k] == MSR_HYPERCALL && bit == 1) {
                continue; // locks it
            }
            if (set(overlays[k], 1ull << bit | SPARE | 1)) {
                taken++;
                set(overlays[k], 0);
            } else {
                refused++;
            }
        }
    }
    VERDICT(1, "overlay_bits # taken, # refused", taken, refused);
}

/// VP 1 moves pages about while VP 0 uses them and what is under them.
static void move_about(void *argument) {
    (void)argument;
    for (unsigned i = 0; !other_stop; i++) {
        write_msr(MSR_SIMP, (i & 1 ? targets[0] : gpa_of(own_page)) | 1);
        write_msr(MSR_SIEFP, (i & 1 ? gpa_of(own_page) : targets[0]) | 1);
        write_msr(MSR_ASSIST, targets[0] | (i & 1));
        write_msr(MSR_REFERENCE_TSC, targets[0] | (i >> 1 & 1));
    }
    write_msr(MSR_SIMP, 0);
    write_msr(MSR_SIEFP, 0);
    write_msr(MSR_ASSIST, 0);
    write_msr(MSR_REFERENCE_TSC, 0);
}

ATTACK(overlay_race, ATTACK_VSM | ATTACK_OTHER) {
    uint64_t rounds = 0;
    if (!other_start(move_about, NULL)) {
        VERDICT(0, "overlay_race no second VP #", 0);
        return;
    }
    for (; rounds < 500; rounds++) {
        uint64_t at = rounds & 1 ? targets[0] : gpa_of(own_page);
        try_call(use, &at);
        write_msr(MSR_SIMP, at | 1);
        write_msr(MSR_SIMP, 0);
    }
    other_stop = 1;
    int ended = other_wait();
    uint64_t seen = shown(targets[0]);
    VERDICT(ended && seen == ~0ull, "overlay_race # rounds, then $", rounds, seen);
}

// ---- the other synthetic MSRs ----

/// Timers at their shortest, as messages and interrupts, with slots that nobody empties.
ATTACK(stimers, ATTACK_VSM | ATTACK_HANGS) {
    attack_dies();
    *apic(0xf0) = 0x1ff;
    set(MSR_SCONTROL, 1);
    set(MSR_SIMP, gpa_of(own_page) | 1);
    for (uint32_t i = 0; i < 16; i++) {
        set(MSR_SINT0 + i, 0x60 + i);
    }
    for (uint32_t i = 0; i < 4; i++) {
        // Enabled, periodic; by message on SINT i + 1, the last two by vector.
        uint64_t config = 3 | (i < 2 ? (i + 1ull) << 16 : 1ull << 12 | (0x70ull + i) << 4);
        set(MSR_STIMER0 + 2 * i, config);
        set(MSR_STIMER0 + 2 * i + 1, 1);
    }
    __asm__ volatile("sti");
    for (unsigned i = 0; i < 300; i++) {
        pm_timer();
    }
    __asm__ volatile("cli");
    for (uint32_t i = 0; i < 4; i++) {
        set(MSR_STIMER0 + 2 * i, 0);
    }
    set(MSR_SIMP, targets[0] | 1); // messages over foreign memory
    set(MSR_STIMER0, 3 | 1ull << 16);
    set(MSR_STIMER0 + 1, 1);
    wait_us(2000);
    set(MSR_STIMER0, 0);
    set(MSR_SIMP, 0);
    VERDICT(1, "stimers # interrupts", (uint64_t)interrupt_count);
}

/// Configurations that cannot be: no SINT, exception vectors, reserved bits.
ATTACK(synic_garbage, ATTACK_VSM | ATTACK_DIES | ATTACK_HANGS) {
    uint64_t taken = 0;
    attack_dies();
    *apic(0xf0) = 0x1ff;
    for (unsigned i = 0; i < 4000; i++) {
        uint32_t msr = MSR_SCONTROL + garbage() % 0x40;
        uint64_t v = (uint64_t)garbage() << 32 | garbage();
        if (msr == MSR_SIMP || msr == MSR_SIEFP) {
            v = targets[garbage() % target_count] | (v & 0xfff);
        }
        taken += (uint64_t)set(msr, v);
        if (i % 64 == 0) {
            in8(0x80);
        }
    }
    VERDICT(taken > 0, "synic_garbage # writes taken", taken);
}

/// The crash registers: a message from foreign memory, and as many as one likes.
ATTACK(crash_reports, ATTACK_VSM | ATTACK_DIES) {
    attack_dies();
    for (unsigned i = 0; i < 300; i++) {
        for (uint32_t k = 0; k < 5; k++) {
            set(MSR_CRASH_P0 + k, i);
        }
        set(MSR_CRASH_P0 + 3, targets[i % target_count]);
        set(MSR_CRASH_P0 + 4, i & 1 ? 0x1000 : ~0ull);
        set(MSR_CRASH_CTL, 3ull << 62);
    }
    VERDICT(1, "crash_reports # sent", 300);
}

ATTACK(reset_msr, ATTACK_VSM | ATTACK_DIES) {
    attack_dies();
    int taken = set(MSR_RESET, 1);
    VERDICT(!taken, "reset_msr taken #", (uint64_t)taken);
}
