// SPDX-License-Identifier: MIT
//
// Stops with a reason: failed invariants, a smashed stack, CPU exceptions, and bare_stop() itself.

#include "loader/bare/panic.h"

#include <stdarg.h>
#include <stddef.h>

#include "igvm/base/check.h"
#include "loader/bare/cpu.h"
#include "loader/bare/format.h"

#define DEBUG_EXIT_PORT    0xf4u
#define EXCEPTION_COUNT    32u
#define STUB_BYTES         16u   // exceptions.S aligns each stub to this
#define GATE_PRESENT_INT   0x8eu // present, DPL 0, 64-bit interrupt gate
#define CPUID_1_ECX_RDRAND (1u << 30)

/// An IDT entry (SDM vol. 3, 6.14.1).
struct idt_gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};
_Static_assert(sizeof(struct idt_gate) == 16, "IDT entries are 16 bytes");

struct idt_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

extern const uint8_t bare_exception_stubs[]; // exceptions.S
uintptr_t __stack_chk_guard = 0x595e9fbd94fda766u;

static struct idt_gate idt[EXCEPTION_COUNT];

static const char *const exception_names[EXCEPTION_COUNT] = {
    [0] = "#DE divide",
    [1] = "#DB debug",
    [2] = "NMI",
    [3] = "#BP breakpoint",
    [6] = "#UD bad opcode",
    [7] = "#NM no FPU",
    [8] = "#DF double fault",
    [10] = "#TS bad TSS",
    [11] = "#NP segment not present",
    [12] = "#SS stack segment",
    [13] = "#GP protection",
    [14] = "#PF page fault",
    [16] = "#MF FPU",
    [17] = "#AC alignment",
    [18] = "#MC machine check",
    [19] = "#XM SIMD",
    [20] = "#VE virtualization",
    [21] = "#CP control protection",
    [28] = "#HV",
    [29] = "#VC",
};

_Noreturn void bare_stop(const char *format, ...) {
    char line[384];
    va_list args;

    va_start(args, format);
    bare_vformat(line, sizeof(line), format, args);
    va_end(args);
    bare_print("STOP: %s", line);
    cpu_outb(DEBUG_EXIT_PORT, bare_exit_value);
    cpu_halt_forever();
}

_Noreturn void check_failed(const char *expression, const char *file, int line) {
    bare_stop("invariant does not hold: %s (%s:%d)", expression, file, line);
}

_Noreturn void __stack_chk_fail(void);

_Noreturn void __stack_chk_fail(void) {
    bare_stop("stack smashed, near %p", __builtin_return_address(0));
}

// No protector here: the guard changes while this function runs.
__attribute__((no_stack_protector)) void bare_seed_stack_guard(void) {
    uint64_t seed = cpu_rdtsc() * 0x9e3779b97f4a7c15u;

    if ((cpu_cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND) != 0) {
        uint64_t random = 0;

        __asm__ volatile("rdrand %0" : "+r"(random)::"cc"); // 0 on failure: the TSC remains
        seed ^= random;
    }
    __stack_chk_guard = seed & ~(uintptr_t)0xff; // a zero byte stops string overruns
}

_Noreturn void bare_exception(const struct exception_frame *frame) {
    const char *name = frame->vector < EXCEPTION_COUNT ? exception_names[frame->vector] : NULL;

    bare_stop("exception %lu %s, error code 0x%lx, rip 0x%lx, rsp 0x%lx, cr2 0x%lx",
              (unsigned long)frame->vector, name == NULL ? "" : name,
              (unsigned long)frame->error_code, (unsigned long)frame->rip,
              (unsigned long)frame->rsp, (unsigned long)cpu_read_cr2());
}

static void set_gate(unsigned vector, uint16_t code_selector, uintptr_t entry) {
    idt[vector] = (struct idt_gate){
        .offset_low = (uint16_t)entry,
        .selector = code_selector,
        .type = GATE_PRESENT_INT,
        .offset_middle = (uint16_t)(entry >> 16),
        .offset_high = (uint32_t)(entry >> 32),
    };
}

void bare_exceptions_init(uint16_t code_selector) {
    for (unsigned i = 0; i < EXCEPTION_COUNT; i++) {
        set_gate(i, code_selector, (uintptr_t)bare_exception_stubs + i * STUB_BYTES);
    }
    bare_exceptions_load();
}

void bare_exceptions_load(void) {
    struct idt_pointer pointer = {.limit = sizeof(idt) - 1, .base = (uintptr_t)idt};

    __asm__ volatile("lidt %0" ::"m"(pointer));
}

void bare_exceptions_set_gate(unsigned vector, uintptr_t entry) {
    CHECK(vector < EXCEPTION_COUNT);
    set_gate(vector, idt[vector].selector, entry);
}
