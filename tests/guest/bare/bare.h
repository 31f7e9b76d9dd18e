// SPDX-License-Identifier: MIT
//
// The guest without an operating system: ring 0, all ports, all instructions. Says what it does on
// COM1 in the lines of tests/guest/probe.h.
#pragma once

#include <stddef.h>
#include <stdint.h>

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

/// "PT " WORD " " NAME " " and numbers, in hexadecimal, up to NULL-less end: count of them.
void say(const char *words, unsigned count, const uint64_t *numbers);
#define SAY(words, ...)                                                                            \
    say(words, sizeof((uint64_t[]){__VA_ARGS__}) / 8, (const uint64_t[]){__VA_ARGS__})

/// Runs on with the instruction behind a faulting one of this many bytes; 0: a fault is the end.
extern volatile unsigned fault_skip_bytes;
extern volatile unsigned fault_count;

/// Garbage, the same in every run; extremes more often than chance.
uint32_t garbage(void);

/// The modes, by their names on the command line.
void bare_bench(void);
void bare_ports(void);
void bare_mmio(uint64_t ram_end);
void bare_processor(void);
void bare_behind_ram(uint64_t ram_end);
void bare_chips(void);
