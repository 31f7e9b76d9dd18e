// SPDX-License-Identifier: MIT
//
// The guest without an operating system: ring 0, all ports, all instructions. Says what it does on
// COM1 in the lines of tests/guest/probe.h.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PAGE 4096u

static inline void out8(uint16_t port, uint8_t v) {
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static inline void out16(uint16_t port, uint16_t v) {
    __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}
static inline void out32(uint16_t port, uint32_t v) {
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static inline uint8_t in8(uint16_t port) {
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint16_t in16(uint16_t port) {
    uint16_t v;
    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint32_t in32(uint16_t port) {
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint64_t ticks(void) {
    uint32_t low, high;
    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}
static inline void write_msr(uint32_t msr, uint64_t v) {
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
static inline uint64_t read_msr(uint32_t msr) {
    uint32_t low = 0, high = 0;
    __asm__ volatile("rdmsr" : "+a"(low), "+d"(high) : "c"(msr) : "memory");
    return (uint64_t)high << 32 | low;
}
static inline volatile uint32_t *at32(uint64_t address) {
    return (volatile uint32_t *)(uintptr_t)address;
}
static inline volatile uint64_t *at64(uint64_t address) {
    return (volatile uint64_t *)(uintptr_t)address;
}

// ---- console ----

/// "PT " WORDS, in which each '#' is the next number in decimal, '$' in hexadecimal, '@' a TEXT().
void say(const char *words, unsigned count, const uint64_t *numbers);
#define SAY(words, ...)                                                                            \
    say(words, sizeof((uint64_t[]){__VA_ARGS__}) / 8, (const uint64_t[]){__VA_ARGS__})
#define TEXT(text) ((uint64_t)(uintptr_t)(text))
/// A line from the host, without its end; waits for ever.
void hear(char *line, unsigned size);
/// Resets the machine; does not return.
void restart(void);

// ---- exceptions ----

/// What the stubs of start.S push, from the vector on.
struct fault_frame {
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};
extern struct fault_frame last_fault;

/// Runs on with the instruction behind a faulting one of this many bytes; 0: a fault is the end.
extern volatile unsigned fault_skip_bytes;
extern volatile unsigned fault_count;

/// Calls fn(argument). 0 when it returned, 1 + vector when an exception ended it. VP 0 only.
int try_call(void (*fn)(void *), void *argument);

extern volatile unsigned nmi_count, step_count, interrupt_count;
extern volatile int steps_expected; ///< #DB counts and goes on

// ---- processor (cpu.c) ----

#define CODE64_SELECTOR 0x10u
#define DATA_SELECTOR   0x18u
#define CODE32_SELECTOR 0x20u
#define CODE16_SELECTOR 0x28u
#define DATA16_SELECTOR 0x30u
#define FREE_SELECTOR   0x38u ///< for an attack
#define TSS_SELECTOR    0x40u ///< of VP 0; VP 1's is 0x50

extern uint64_t gdt[16];
/// Own GDT, IDT, TSS, page tables (the first 4 GiB, one to one).
void cpu_init(void);
/// The TSS, GDT and IDT of VP number index.
void cpu_load_tables(unsigned index);
/// Two pages at any guest-physical address, uncached as far as a page table can say that.
/// Valid until the next call with the same slot (0..7).
void *window(unsigned slot, uint64_t gpa);
extern uint64_t page_directory[4][512], page_pointers[512], page_root[512];

/// Microseconds by the ACPI PM timer; wraps after 4.6 s at the earliest.
uint32_t pm_timer(void);
void wait_us(uint32_t us);

/// Runs fn(argument) on VP 1, which is started when it was not. 0 when there is no VP 1.
int other_start(void (*fn)(void *), void *argument);
/// Until fn has returned; 0 when it does not within five seconds.
int other_wait(void);
/// What fn looks at in its loop.
extern volatile int other_stop;
void other_main(void);

#define APIC_GPA 0xfee00000u
static inline volatile uint32_t *apic(unsigned offset) {
    return at32(APIC_GPA + offset);
}

// ---- garbage ----

/// Garbage, the same in every run; extremes more often than chance.
uint32_t garbage(void);

// ---- the modes, by their names on the command line ----
void bare_bench(void);
void bare_ports(void);
void bare_mmio(uint64_t ram_end);
void bare_processor(void);
void bare_behind_ram(uint64_t ram_end);
void bare_chips(void);

// ---- PCI (storm.c) ----
uint32_t pci_read(unsigned function, unsigned offset);
void pci_write(unsigned function, unsigned offset, uint32_t v);
/// Places every memory BAR of bus 0 from next on and switches decoding and bus mastering on.
uint64_t pci_place_bars(uint64_t next);
