// SPDX-License-Identifier: MIT
//
// Interrupts without measure, and interrupt controllers in states that no system puts them into
// (Intel SDM volume 3, chapter 11). None of it may stop the paravisor or reach VTL2's processors'
// own interrupts; whether it stops the guest is the guest's business.

#include "tests/guest/bare/attack.h"

#define MSR_APIC_BASE    0x1bu
#define BASE_ENABLE      0x800u
#define BASE_X2          0x400u
#define BASE_BSP         0x100u
#define MSR_X2           0x800u
#define MSR_TSC_DEADLINE 0x6e0u
#define SPURIOUS         0xf0u
#define ICR_LOW          0x300u
#define ICR_HIGH         0x310u
#define LVT_TIMER        0x320u
#define INITIAL          0x380u
#define DIVIDE           0x3e0u
#define TIMER_PERIODIC   0x20000u
#define MASKED           0x10000u
#define VECTOR           0x50u
#define SHORTHAND(n)     ((uint32_t)(n) << 18)
#define ICR_BUSY         0x1000u
#define PIT_MODE         0x43
#define PIT_0            0x40

static void enable(void) {
    *apic(SPURIOUS) = 0x1ff;
}

static void send(uint32_t target, uint32_t low) {
    for (unsigned i = 0; i < 1000 && (*apic(ICR_LOW) & ICR_BUSY); i++) {
    }
    *apic(ICR_HIGH) = target << 24;
    *apic(ICR_LOW) = low;
}

static void interrupts(int on) {
    if (on) {
        __asm__ volatile("sti");
    } else {
        __asm__ volatile("cli");
    }
}

/// VP 1 takes what comes, and sends as much itself.
static void take_and_send(void *argument) {
    enable();
    interrupts(1);
    while (!other_stop) {
        if (argument) {
            send(0, VECTOR + garbage() % 64);
            send(0, 0x400); // NMI
        }
        __asm__ volatile("pause");
    }
    interrupts(0);
}

/// Fixed, lowest priority, NMI by every shorthand, and destinations that nobody is.
ATTACK(apic_ipis, ATTACK_OTHER) {
    enable();
    interrupt_count = nmi_count = 0;
    int started = other_start(take_and_send, NULL);
    interrupts(1);
    for (unsigned i = 0; i < 1500; i++) {
        uint32_t modes[] = {0, 0x100, 0x400, 0x800};
        send(garbage() & 0xff, SHORTHAND(i & 3) | modes[i >> 2 & 3] | (VECTOR + garbage() % 0x90));
    }
    interrupts(0);
    other_stop = 1;
    int ended = other_wait();
    VERDICT(started && ended && interrupt_count > 0, "apic_ipis # interrupts, # NMIs",
            (uint64_t)interrupt_count, (uint64_t)nmi_count);
}

/// Both VPs at once.
ATTACK(apic_ipi_war, ATTACK_OTHER) {
    static int both = 1;
    enable();
    interrupt_count = nmi_count = 0;
    int started = other_start(take_and_send, &both);
    interrupts(1);
    for (unsigned i = 0; i < 300; i++) {
        send(1, VECTOR + garbage() % 64);
        send(1, 0x400);
    }
    interrupts(0);
    other_stop = 1;
    int ended = other_wait();
    VERDICT(started && ended, "apic_ipi_war # interrupts, # NMIs, VP 1 started #, ended #",
            (uint64_t)interrupt_count, (uint64_t)nmi_count, (uint64_t)started, (uint64_t)ended);
}

/// Reserved delivery modes and vectors; every value in every register but those that end the VP.
ATTACK(apic_garbage, ATTACK_ANY) {
    enable();
    for (unsigned i = 0; i < 3000; i++) {
        uint32_t offset = garbage() % 256 * 16;
        if (offset == ICR_LOW) {
            // Not: INIT and SIPI, which are attacks of their own; not without an NMI handler's end.
            send(garbage() & 0xff, (garbage() & ~0x700u) | (garbage() & 1 ? 0x200 : 0x700));
        } else {
            *apic(offset) = garbage();
        }
        (void)*apic(garbage() % 256 * 16);
    }
    *(volatile uint8_t *)(uintptr_t)(APIC_GPA + 0xb1) = 1;
    *(volatile uint16_t *)(uintptr_t)(APIC_GPA + 0x20) = 1;
    *at64(APIC_GPA + ICR_LOW) = ~0ull & ~0x700ull;
    *at64(APIC_GPA + 0xfff - 7) = 1;
    VERDICT(1, "apic_garbage # registers", 3000);
}

/// Vectors that are exceptions' for everything that has a vector.
ATTACK(apic_low_vectors, ATTACK_DIES) {
    attack_dies();
    enable();
    *apic(SPURIOUS) = 0x100; // vector 0
    for (uint32_t vector = 0; vector < 16; vector++) {
        send(0, SHORTHAND(1) | vector);
        *apic(LVT_TIMER) = vector;
        *apic(INITIAL) = 1;
        *apic(0x370) = vector; // error
        interrupts(1);
        wait_us(50);
        interrupts(0);
    }
    *apic(LVT_TIMER) = MASKED;
    VERDICT(1, "apic_low_vectors error status $", (uint64_t)*apic(0x280));
}

/// The guest may get nowhere any more; the paravisor must.
ATTACK(apic_timer, ATTACK_HANGS) {
    attack_dies();
    enable();
    interrupt_count = 0;
    *apic(DIVIDE) = 0xb; // by 1
    *apic(LVT_TIMER) = TIMER_PERIODIC | VECTOR;
    *apic(INITIAL) = 1;
    interrupts(1);
    // Bounded by work, not by time: the time may all be the interrupts'.
    for (unsigned i = 0; i < 300; i++) {
        pm_timer();
    }
    interrupts(0);
    *apic(LVT_TIMER) = MASKED;
    *apic(INITIAL) = 0;
    interrupts(1);
    interrupts(0);
    VERDICT(interrupt_count > 0, "apic_timer # interrupts at the shortest period",
            (uint64_t)interrupt_count);
}

static void deadline(void *argument) {
    (void)argument;
    *apic(LVT_TIMER) = 0x40000 | VECTOR;
    for (unsigned i = 0; i < 300; i++) {
        write_msr(MSR_TSC_DEADLINE, i & 1 ? 1 : ticks() + i % 7);
        write_msr(MSR_TSC_DEADLINE, ~0ull);
    }
    write_msr(MSR_TSC_DEADLINE, 0);
}

ATTACK(apic_deadline, ATTACK_ANY) {
    enable();
    interrupts(1);
    int fault = try_call(deadline, NULL);
    interrupts(0);
    VERDICT(1, "apic_deadline # interrupts, exception #", (uint64_t)interrupt_count,
            (uint64_t)fault);
}

// ---- where it is, and how ----

static void write_base(void *argument) {
    write_msr(MSR_APIC_BASE, *(uint64_t *)argument);
}

static void touch_apic(void *argument) {
    uint64_t at = *(uint64_t *)argument;
    volatile uint32_t *page = window(2, at);
    uint32_t id = page[0x20 / 4];
    page[SPURIOUS / 4] = 0x1ff;
    page[ICR_HIGH / 4] = 0;
    page[ICR_LOW / 4] = SHORTHAND(1) | VECTOR;
    *(uint64_t *)argument = id;
}

/// Disabled, moved onto foreign memory, RAM, other devices, behind all memory; reserved bits.
ATTACK(apic_moved, ATTACK_DIES) {
    uint64_t old = read_msr(MSR_APIC_BASE), faults = 0;
    const uint64_t bases[] = {
        targets[0], targets[target_count / 2], 0, 0x2000000, 0xfec00000u, 0xfed40000u,
        1ull << 36, 0xffffffffff000ull};
    attack_dies();
    enable();
    for (unsigned i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        uint64_t base = bases[i] | BASE_ENABLE | BASE_BSP, at = bases[i], home = APIC_GPA;
        faults += try_call(write_base, &base) != 0;
        faults += try_call(touch_apic, &at) != 0;
        faults += try_call(touch_apic, &home) != 0;
        uint64_t off = bases[i] | BASE_BSP; // disabled, moved
        try_call(write_base, &off);
        at = bases[i];
        faults += try_call(touch_apic, &at) != 0;
        try_call(write_base, &old);
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t v = old ^ 1ull << bit;
        faults += try_call(write_base, &v) != 0;
        v = old & ~(uint64_t)BASE_ENABLE;
        try_call(write_base, &v);
        try_call(write_base, &old);
    }
    VERDICT(read_msr(MSR_APIC_BASE) == old, "apic_moved # faults, base $ again", faults, old);
}

static void x2_access(void *argument) {
    uint64_t *a = argument; // MSR, value
    write_msr((uint32_t)a[0], a[1]);
}
static void x2_read(void *argument) {
    uint64_t *a = argument;
    a[1] = read_msr((uint32_t)a[0]);
}

ATTACK(apic_x2, ATTACK_DIES) {
    uint64_t old = read_msr(MSR_APIC_BASE), faults = 0, v;
    attack_dies();
    for (unsigned round = 0; round < 8; round++) {
        v = old | BASE_X2;
        faults += try_call(write_base, &v) != 0;
        for (unsigned i = 0; i < 0x100; i++) {
            uint64_t a[2] = {MSR_X2 + i, (uint64_t)garbage() << 32 | garbage()};
            faults += try_call(x2_read, a) != 0;
            a[1] = (uint64_t)garbage() << 32 | garbage();
            if (a[0] == MSR_X2 + 0x30) { // ICR: not INIT, SIPI
                a[1] = (a[1] & ~0x700ull) | 0x400;
            }
            faults += try_call(x2_access, a) != 0;
        }
        (void)*apic(0x20); // the page is no APIC now
        *apic(ICR_LOW) = VECTOR;
        v = old; // back without going through disabled: refused
        faults += try_call(write_base, &v) != 0;
        v = old & ~(uint64_t)(BASE_ENABLE | BASE_X2);
        try_call(write_base, &v);
        v = BASE_X2 | APIC_GPA; // x2 without enable
        faults += try_call(write_base, &v) != 0;
        v = old;
        try_call(write_base, &v);
    }
    VERDICT(1, "apic_x2 # faults, # NMIs", faults, (uint64_t)nmi_count);
}

// ---- what ends or stops a VP ----

ATTACK(apic_init_self, ATTACK_DIES | ATTACK_HANGS) {
    attack_dies();
    enable();
    send(0, 0x4500);
    wait_us(1000);
    VERDICT(1, "apic_init_self nothing happened #", 0);
}

ATTACK(apic_init_all, ATTACK_DIES | ATTACK_HANGS | ATTACK_OTHER) {
    attack_dies();
    enable();
    other_start(take_and_send, NULL);
    for (unsigned i = 0; i < 100; i++) {
        send(0xff, SHORTHAND(3) | 0x4500); // all but self
        send(0xff, SHORTHAND(3) | 0x4600 | (garbage() & 0xff));
        send(0, SHORTHAND(1) | 0x4610); // SIPI to itself
        send(0, SHORTHAND(1) | 0x200);  // SMI
    }
    send(0, SHORTHAND(2) | 0x4500); // all
    wait_us(1000);
    VERDICT(1, "apic_init_all this VP runs on #", 0);
}

ATTACK(halt_for_ever, ATTACK_HANGS) {
    attack_dies();
    for (;;) {
        __asm__ volatile("cli\n\thlt");
    }
}

/// The PIT at its shortest period through IOAPIC pins of every delivery mode.
ATTACK(ioapic, ATTACK_DIES | ATTACK_HANGS) {
    attack_dies();
    enable();
    interrupt_count = 0;
    out8(0x21, 0xff);
    out8(0xa1, 0xff);
    out8(PIT_MODE, 0x34);
    out8(PIT_0, 1);
    out8(PIT_0, 0);
    interrupts(1);
    for (uint32_t mode = 0; mode < 8; mode++) {
        if (mode == 5) {
            continue; // INIT
        }
        for (unsigned pin = 0; pin < 24; pin++) {
            *at32(0xfec00000u) = 0x10 + 2 * pin;
            *at32(0xfec00010u) = (garbage() & 0xa000) | mode << 8 | (VECTOR + pin);
            *at32(0xfec00000u) = 0x11 + 2 * pin;
            *at32(0xfec00010u) = garbage() & 1 ? 0 : garbage();
        }
        wait_us(500);
    }
    interrupts(0);
    VERDICT(1, "ioapic # interrupts, # NMIs", (uint64_t)interrupt_count, (uint64_t)nmi_count);
}

/// The PICs as the PIT's way: every interrupt is acknowledged by nobody, or too often.
ATTACK(pic, ATTACK_DIES | ATTACK_HANGS) {
    attack_dies();
    enable();
    *apic(0x350) = 0x700; // LINT0: ExtINT
    for (unsigned i = 0; i < 200; i++) {
        out8(0x20, 0x11);
        out8(0x21, (uint8_t)(VECTOR + (garbage() & 0x78)));
        out8(0x21, 4);
        out8(0x21, (uint8_t)garbage());
        out8(0x21, (uint8_t)(garbage() & 0xfc));
        out8(0x20, (uint8_t)garbage());
        out8(PIT_MODE, 0x34);
        out8(PIT_0, 1);
        out8(PIT_0, 0);
        interrupts(1);
        out8(0x20, 0x20);
        interrupts(0);
    }
    VERDICT(1, "pic # interrupts", (uint64_t)interrupt_count);
}
