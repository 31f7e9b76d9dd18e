// SPDX-License-Identifier: MIT
//
// The bare guest's processors: descriptor tables, page tables, time, and the second VP (Intel SDM
// volume 3, chapters 3 to 6, section 9.4).

#include "tests/guest/bare/bare.h"

#define PTE_PRESENT_WRITE 3ull
#define PTE_UNCACHED      0x18ull
#define PTE_LARGE         0x80ull
#define GATE_INTERRUPT    0x8eull
#define WINDOW_VA         (4ull << 30)
#define WINDOW_SLOTS      8u
#define OTHER_HOME        0x10000u
#define PM_TIMER_PORT     0xb008
#define PM_TIMER_HZ       3579545u
#define CR4_OSFXSR        0x600u ///< OSFXSR, OSXMMEXCPT

struct tss {
    uint32_t reserved;
    uint32_t stacks[25]; ///< RSP0..2, reserved, IST1..7, reserved; unaligned 64-bit fields
} __attribute__((packed));

extern const uint8_t exception_stubs[], interrupt_stub[];
extern const uint8_t other_code[], other_code_end[], other_tables[];

uint64_t gdt[16] __attribute__((aligned(16)));
uint64_t page_root[512] __attribute__((aligned(4096)));
uint64_t page_pointers[512] __attribute__((aligned(4096)));
uint64_t page_directory[4][512] __attribute__((aligned(4096)));
static uint64_t window_directory[512] __attribute__((aligned(4096)));
static uint64_t window_table[512] __attribute__((aligned(4096)));
static struct { uint64_t low, high; } idt[256];
static struct tss tss[2];
static uint8_t fault_stacks[2][8192] __attribute__((aligned(16)));
static uint8_t nmi_stacks[2][4096] __attribute__((aligned(16)));

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static uint64_t address_of(const volatile void *p) {
    return (uint64_t)(uintptr_t)p;
}

// ---- descriptor tables ----

static void set_gate(unsigned vector, const uint8_t *stub, unsigned stack) {
    uint64_t at = address_of(stub);
    idt[vector].low = (at & 0xffff) | (uint64_t)CODE64_SELECTOR << 16 | (uint64_t)stack << 32 |
                      GATE_INTERRUPT << 40 | (at >> 16 & 0xffff) << 48;
    idt[vector].high = at >> 32;
}

static void fill_tables(void) {
    gdt[2] = 0x00af9b000000ffffull; // 64-bit code
    gdt[3] = 0x00cf93000000ffffull; // data
    gdt[4] = 0x00cf9b000000ffffull; // 32-bit code
    gdt[5] = 0x000f9b000000ffffull; // 16-bit code, 1 MiB
    gdt[6] = 0x000f93000000ffffull; // 16-bit data
    for (unsigned i = 0; i < 2; i++) {
        uint64_t base = address_of(&tss[i]), stack = address_of(fault_stacks[i] + 8192);
        uint64_t nmi_stack = address_of(nmi_stacks[i] + 4096);
        gdt[8 + 2 * i] =
            (sizeof(tss[i]) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24) << 56;
        gdt[9 + 2 * i] = base >> 32;
        __builtin_memcpy(&tss[i].stacks[8], &stack, 8);      // IST1
        __builtin_memcpy(&tss[i].stacks[10], &nmi_stack, 8); // IST2
    }
    for (unsigned i = 0; i < 256; i++) {
        // Exceptions have a stack of their own: an attack may have taken the other.
        set_gate(i, i < 32 ? exception_stubs + i * 16u : interrupt_stub,
                 i == 2   ? 2
                 : i < 32 ? 1
                          : 0);
    }
}

void cpu_load_tables(unsigned index) {
    struct table_pointer g = {sizeof(gdt) - 1, address_of(gdt)};
    struct table_pointer i = {sizeof(idt) - 1, address_of(idt)};
    uint16_t selector = (uint16_t)(TSS_SELECTOR + 0x10 * index);
    gdt[selector / 8] &= ~(2ull << 40); // not busy
    __asm__ volatile("lgdt %0\n\tlidt %1\n\tltr %2\n\t"
                     "mov %3, %%ds\n\tmov %3, %%es\n\tmov %3, %%ss\n\tmov %3, %%fs\n\tmov %3, %%gs"
                     :
                     : "m"(g), "m"(i), "r"(selector), "r"(DATA_SELECTOR)
                     : "memory");
    __asm__ volatile("pushq %0\n\tlea 1f(%%rip), %%rax\n\tpush %%rax\n\tlretq\n1:"
                     :
                     : "i"(CODE64_SELECTOR)
                     : "rax", "memory");
}

static void load_page_tables(void) {
    page_root[0] = address_of(page_pointers) | PTE_PRESENT_WRITE;
    for (uint64_t i = 0; i < 4; i++) {
        page_pointers[i] = address_of(page_directory[i]) | PTE_PRESENT_WRITE;
        for (uint64_t k = 0; k < 512; k++) {
            page_directory[i][k] = (i << 30 | k << 21) | PTE_LARGE | PTE_PRESENT_WRITE;
        }
    }
    page_pointers[4] = address_of(window_directory) | PTE_PRESENT_WRITE;
    window_directory[0] = address_of(window_table) | PTE_PRESENT_WRITE;
    __asm__ volatile("mov %0, %%cr3" : : "r"(page_root) : "memory");
}

void cpu_init(void) {
    uint64_t cr0, cr4;
    fill_tables();
    cpu_load_tables(0);
    load_page_tables();
    __asm__ volatile("mov %%cr0, %0\n\tmov %%cr4, %1" : "=r"(cr0), "=r"(cr4));
    __asm__ volatile("mov %0, %%cr0\n\tmov %1, %%cr4"
                     :
                     : "r"((cr0 & ~0xcull) | 2), "r"(cr4 | CR4_OSFXSR));
}

void *window(unsigned slot, uint64_t gpa) {
    uint64_t va = WINDOW_VA + (slot % WINDOW_SLOTS) * 2ull * PAGE, page = gpa & ~0xfffull;
    unsigned first = slot % WINDOW_SLOTS * 2;
    window_table[first] = page | PTE_UNCACHED | PTE_PRESENT_WRITE;
    window_table[first + 1] = (page + PAGE) | PTE_UNCACHED | PTE_PRESENT_WRITE;
    __asm__ volatile("invlpg (%0)\n\tinvlpg 4096(%0)" : : "r"(va) : "memory");
    return (void *)(uintptr_t)(va + (gpa & 0xfff));
}

// ---- time ----

uint32_t pm_timer(void) {
    return (uint32_t)((uint64_t)(in32(PM_TIMER_PORT) & 0xffffff) * 1000000u / PM_TIMER_HZ);
}

void wait_us(uint32_t us) {
    uint32_t last = in32(PM_TIMER_PORT), passed = 0;
    uint64_t wanted = (uint64_t)us * PM_TIMER_HZ / 1000000u;
    while (passed < wanted) {
        uint32_t now = in32(PM_TIMER_PORT);
        passed += (now - last) & 0xffffff;
        last = now;
    }
}

// ---- VP 1 ----

volatile int other_stop;
static volatile int other_runs, other_idle;
static void (*volatile other_fn)(void *);
static void *volatile other_argument;

void other_main(void) {
    cpu_load_tables(1);
    other_runs = 1;
    for (;;) {
        if (other_fn) {
            other_fn(other_argument);
            other_fn = NULL;
        }
        __asm__ volatile("pause");
    }
}

static void bring_up(void) {
    uint8_t *home = (uint8_t *)(uintptr_t)OTHER_HOME;
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) tables = {sizeof(gdt) - 1, (uint32_t)address_of(gdt)};
    for (size_t i = 0; i < (size_t)(other_code_end - other_code); i++) {
        home[i] = other_code[i];
    }
    __builtin_memcpy(home + (other_tables - other_code), &tables, sizeof(tables));
    *apic(0xf0) = 0x1ff; // enabled
    *apic(0x310) = 1u << 24;
    *apic(0x300) = 0x4500; // INIT
    wait_us(200);
    *apic(0x310) = 1u << 24;
    *apic(0x300) = 0x4600 | OTHER_HOME >> 12; // SIPI
    for (unsigned i = 0; i < 500 && !other_runs; i++) {
        wait_us(1000);
    }
}

int other_start(void (*fn)(void *), void *argument) {
    if (!other_runs) {
        bring_up();
    }
    if (!other_runs) {
        return 0;
    }
    other_stop = 0;
    other_argument = argument;
    other_fn = fn;
    return 1;
}

int other_wait(void) {
    for (unsigned i = 0; i < 5000 && other_fn; i++) {
        wait_us(1000);
    }
    return !other_fn;
}
