// SPDX-License-Identifier: MIT
//
// Accesses to devices in the shapes that an emulator gets wrong: strings across the ends of pages
// and of memory, MMIO across two pages, single steps and breakpoints on what is intercepted.

#include "tests/guest/bare/attack.h"

#define SCRATCH_PORT 0x3ff ///< of COM1: reads back what was written
#define DIAGNOSTIC   0x80
#define RFLAGS_TF    0x100ull
#define CR4_DE       8ull

struct string_io {
    uint64_t at;
    uint64_t count;
    unsigned shape;
    int down; ///< direction flag
};

static void string_io(void *argument) {
    struct string_io *io = argument;
    void *at = (void *)(uintptr_t)io->at;
    uint64_t count = io->count;
    if (io->down) {
        __asm__ volatile("std");
    }
    switch (io->shape) {
    case 0:
        __asm__ volatile("rep outsb" : "+S"(at), "+c"(count) : "d"(DIAGNOSTIC) : "memory");
        break;
    case 1:
        __asm__ volatile("rep outsw" : "+S"(at), "+c"(count) : "d"(DIAGNOSTIC) : "memory");
        break;
    case 2:
        __asm__ volatile("rep outsl" : "+S"(at), "+c"(count) : "d"(DIAGNOSTIC) : "memory");
        break;
    case 3:
        __asm__ volatile("rep insb" : "+D"(at), "+c"(count) : "d"(SCRATCH_PORT) : "memory");
        break;
    case 4:
        __asm__ volatile("rep insw" : "+D"(at), "+c"(count) : "d"(DIAGNOSTIC) : "memory");
        break;
    default:
        __asm__ volatile("rep insl" : "+D"(at), "+c"(count) : "d"(DIAGNOSTIC) : "memory");
        break;
    }
    __asm__ volatile("cld");
}

/// Strings from RAM into foreign memory and back, up and down, aligned and not.
ATTACK(io_strings, ATTACK_DIES | ATTACK_HANGS) {
    uint64_t faults = 0, done = 0;
    attack_dies();
    for (unsigned shape = 0; shape < 6; shape++) {
        for (unsigned off = 1; off < 8; off += 3) {
            for (int down = 0; down < 2; down++) {
                for (unsigned i = 0; i < 3; i++) {
                    uint64_t page = i == 0 ? first_hole : targets[target_count * i / 3];
                    struct string_io io = {page - off + (down ? 16 : 0), 16, shape, down};
                    faults += try_call(string_io, &io) != 0;
                    __asm__ volatile("cld");
                    done++;
                }
            }
        }
    }
    // An own page still takes what a port gives.
    static uint8_t own[8];
    struct string_io io = {(uint64_t)(uintptr_t)own, 4, 3, 0};
    out8(SCRATCH_PORT, 0xa7);
    int fault = try_call(string_io, &io);
    VERDICT(!fault && own[3] == 0xa7 && own[4] == 0, "io_strings # runs, # faults", done, faults);
}

static void straddle(void *argument) {
    uint64_t at = *(uint64_t *)argument;
    uint64_t v = *at64(at);
    *at64(at) = v;
    *(volatile uint32_t *)(uintptr_t)(at + 2) = (uint32_t)v;
    __asm__ volatile("movdqu (%0), %%xmm0\n\tmovdqu %%xmm0, (%0)" : : "r"(at) : "memory");
    __asm__ volatile("lock addl $0, (%0)" : : "r"(at) : "memory", "cc");
}

/// One access to two pages of devices, or of a device and nothing.
ATTACK(mmio_straddle, ATTACK_DIES | ATTACK_HANGS) {
    static const uint32_t pages[] = {0xfee00000, 0xfee01000, 0xfec00000, 0xfec01000, 0xfed40000,
                                     0xfed41000, 0xfed45000, 0xc0004000, 0xc0005000, 0xfffff000};
    uint64_t faults = 0, done = 0;
    attack_dies();
    pci_place_bars(0xc0000000u);
    for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        for (unsigned off = 1; off < 16; off += 3) {
            uint64_t at = pages[i] - off;
            faults += try_call(straddle, &at) != 0;
            done++;
        }
    }
    VERDICT(done > 0, "mmio_straddle # places, # faults", done, faults);
}

// ---- single steps and breakpoints ----

static void stepped(void *argument) {
    static uint32_t words[8];
    void *from = words, *to = (void *)(uintptr_t)targets[0];
    uint64_t count = 4, a = 0, c = 0;
    (void)argument;
    __asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq" : : : "memory", "cc");
    out8(SCRATCH_PORT, 1);
    in8(SCRATCH_PORT);
    __asm__ volatile("rep movsl" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    __asm__ volatile("lock incl (%0)" : : "r"(targets[0]) : "memory", "cc");
    (void)*at32(targets[0]);
    from = words;
    count = 4;
    __asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(DIAGNOSTIC) : "memory");
    __asm__ volatile("cpuid" : "+a"(a), "+c"(c) : : "rbx", "rdx");
    (void)read_msr(0x1b);
    __asm__ volatile("pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq" : : : "memory", "cc");
}

ATTACK(io_single_step, ATTACK_DIES) {
    attack_dies();
    steps_expected = 1;
    int fault = try_call(stepped, NULL);
    steps_expected = 0;
    VERDICT(step_count > 10, "io_single_step # steps, exception #", (uint64_t)step_count,
            (uint64_t)fault);
}

static void with_breakpoints(void *argument) {
    (void)argument;
    uint64_t cr4, where = targets[target_count / 2];
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | CR4_DE));
    __asm__ volatile("mov %0, %%dr0\n\tmov %1, %%dr1\n\tmov %2, %%dr2\n\tmov %0, %%dr3"
                     :
                     : "r"(where), "r"((uint64_t)SCRATCH_PORT), "r"((uint64_t)0xfee00020));
    // DR0, DR2, DR3: read and write of 4 bytes; DR1: port access.
    __asm__ volatile("mov %0, %%dr7" : : "r"(0xfffe07aaull & ~0xf000000ull));
    out8(SCRATCH_PORT, 2);
    in8(SCRATCH_PORT);
    *at32(where) = 1;
    (void)*at32(where);
    (void)*apic(0x20);
    __asm__ volatile("mov %0, %%dr7" : : "r"(0x400ull));
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4));
}

/// Breakpoints on a port, on MMIO and on foreign memory; general detect; reserved bits.
ATTACK(io_breakpoints, ATTACK_DIES) {
    attack_dies();
    steps_expected = 1;
    int fault = try_call(with_breakpoints, NULL);
    __asm__ volatile("mov %0, %%dr7" : : "r"(0x400ull));
    steps_expected = 0;
    VERDICT(1, "io_breakpoints # hits, exception #", (uint64_t)step_count, (uint64_t)fault);
}

// ---- registers that the paravisor owns, or shares ----

static void write_register(void *argument) {
    const uint64_t *a = argument; // which, value
    switch (a[0]) {
    case 0:
        __asm__ volatile("mov %0, %%cr4" : : "r"(a[1]));
        break;
    case 1:
        __asm__ volatile("mov %0, %%cr0" : : "r"(a[1]));
        break;
    case 2:
        __asm__ volatile("mov %0, %%cr8" : : "r"(a[1]));
        break;
    case 3:
        write_msr(0xc0000080, a[1]); // EFER
        break;
    case 4:
        write_msr(0xc0010117, a[1]); // VM_HSAVE_PA
        break;
    case 5:
        write_msr(0xc0010114, a[1]); // VM_CR
        break;
    case 6:
        write_msr(0x277, a[1]); // PAT
        break;
    case 7:
        __asm__ volatile("xsetbv" : : "c"(0), "a"((uint32_t)a[1]), "d"((uint32_t)(a[1] >> 32)));
        break;
    case 9:
        __asm__ volatile("mov %0, %%cr3" : : "r"(a[1]) : "memory");
        break;
    default:
        __asm__ volatile("mov %0, %%dr7" : : "r"(a[1]));
        break;
    }
}

/// Every bit of a register, one by one: LA57, SVM's own, reserved ones. An exception, no effect,
/// or the guest's end where the processor does not run it so.
static void flip_bits(const char *name, unsigned which, uint64_t old, uint64_t spared) {
    uint64_t efer = read_msr(0xc0000080), faults = 0, done = 0;
    attack_dies();
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t a[2] = {which, old ^ 1ull << bit}, back[2] = {which, old};
        if (!(spared >> bit & 1)) {
            faults += try_call(write_register, a) != 0;
            try_call(write_register, back);
            done++;
        }
    }
    VERDICT(read_msr(0xc0000080) == efer && !(efer & 0x1000), "@ # writes, # faults, no SVME",
            TEXT(name), done, faults);
}

// Spared are bits that end this program: paging, long mode, protection of its own pages.
ATTACK(bits_cr4, ATTACK_DIES) {
    uint64_t cr4;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    flip_bits("bits_cr4", 0, cr4, 1u << 5 | 1u << 20 | 1u << 21 | 1u << 23);
}
ATTACK(bits_cr0, ATTACK_DIES) {
    uint64_t cr0;
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    flip_bits("bits_cr0", 1, cr0, 7u << 29 | 1);
}
ATTACK(bits_cr8, ATTACK_DIES) {
    flip_bits("bits_cr8", 2, 0, 0);
}
ATTACK(bits_efer, ATTACK_DIES) {
    flip_bits("bits_efer", 3, read_msr(0xc0000080), 1u << 8 | 1u << 10);
}
ATTACK(bits_svm, ATTACK_DIES) {
    flip_bits("bits_svm", 4, 0, 0);
    flip_bits("bits_svm", 5, 0, 0);
}
ATTACK(bits_pat, ATTACK_DIES) {
    flip_bits("bits_pat", 6, read_msr(0x277), 0);
}
ATTACK(bits_xcr0, ATTACK_DIES) {
    flip_bits("bits_xcr0", 7, 1, 0);
}
ATTACK(bits_dr7, ATTACK_DIES) {
    flip_bits("bits_dr7", 8, 0x400, 0);
}

/// Not write-through without cache disable: a processor takes neither this nor a VP in this state.
ATTACK(cr0_nw, ATTACK_DIES) {
    uint64_t cr0, a[2] = {1, 0};
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    attack_dies();
    a[1] = (cr0 | 1u << 29) & ~(1ull << 30);
    int fault = try_call(write_register, a);
    in8(DIAGNOSTIC); // leaves the guest and comes back
    VERDICT(1, "cr0_nw exception #", (uint64_t)fault);
}

/// Page tables beyond the processor's addresses, again and again by one instruction.
ATTACK(cr3_reserved, ATTACK_DIES) {
    uint64_t faults = 0;
    attack_dies();
    for (unsigned i = 0; i < 50; i++) {
        uint64_t a[2] = {9, 1ull << 60 | (uint64_t)(uintptr_t)page_root};
        faults += try_call(write_register, a) != 0;
    }
    VERDICT(faults == 50, "cr3_reserved # of 50 refused", faults);
}

static void svm_instruction(void *argument) {
    uint64_t which = *(uint64_t *)argument, where = targets[target_count / 2];
    switch (which) {
    case 0:
        __asm__ volatile("vmrun %%rax" : : "a"(where) : "memory");
        break;
    case 1:
        __asm__ volatile("vmload %%rax" : : "a"(where) : "memory");
        break;
    case 2:
        __asm__ volatile("vmsave %%rax" : : "a"(where) : "memory");
        break;
    case 3:
        __asm__ volatile("stgi");
        break;
    case 4:
        __asm__ volatile("clgi");
        break;
    case 5:
        __asm__ volatile("skinit %%eax" : : "a"(where) : "memory");
        break;
    case 6:
        __asm__ volatile("invlpga %%rax, %%ecx" : : "a"(where), "c"(0) : "memory");
        break;
    case 7:
        __asm__ volatile("rsm");
        break;
    case 8:
        __asm__ volatile("monitor" : : "a"(where), "c"(0), "d"(0));
        break;
    case 9:
        __asm__ volatile(".byte 0x0f, 0x01, 0xc1" : "+a"(where) : : "rbx", "rcx", "rdx", "memory");
        break;
    default:
        __asm__ volatile("wbinvd");
        break;
    }
}

/// The processor's instructions for hypervisors, on foreign memory.
ATTACK(svm_instructions, ATTACK_DIES) {
    uint64_t refused = 0;
    attack_dies();
    for (uint64_t i = 0; i < 11; i++) {
        uint64_t which = i;
        int fault = try_call(svm_instruction, &which);
        refused += fault != 0;
        if (i < 3 && !fault) {
            VERDICT(0, "svm_instructions # went through", i);
        }
    }
    VERDICT(refused >= 3, "svm_instructions # of 11 refused", refused);
}
