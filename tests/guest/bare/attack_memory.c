// SPDX-License-Identifier: MIT
//
// The processor's own accesses to memory that is not the guest's: every width and kind. Such memory
// reads as nothing (all ones, as on a bus where nobody answers) or faults; stores have no effect.

#include "tests/guest/bare/attack.h"

#define NOTHING ~0ull

struct access {
    uint64_t at;
    unsigned shape;
    uint64_t seen; ///< what was read, all ones above its width
};

static uint64_t buffer[16] __attribute__((aligned(64)));

static uint64_t buffer_ones(unsigned count) {
    uint64_t seen = NOTHING;
    for (unsigned i = 0; i < count; i++) {
        seen &= buffer[i];
    }
    return seen;
}

#define READ_SHAPES 11u
static void read_one(void *argument) {
    struct access *access = argument;
    volatile uint8_t *p = window(0, access->at);
    uint64_t v = 0, count = 8, b = 0;
    const void *from = (const void *)p;
    void *to = buffer;

    access->seen = NOTHING; // an exception leaves it so
    switch (access->shape) {
    case 0:
        access->seen = *p | ~0xffull;
        break;
    case 1:
        access->seen = *(volatile uint16_t *)p | ~0xffffull;
        break;
    case 2:
        access->seen = *(volatile uint32_t *)p | ~0xffffffffull;
        break;
    case 3:
        access->seen = *(volatile uint64_t *)p;
        break;
    case 4:
        __asm__ volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
        access->seen = buffer_ones(8);
        break;
    case 5:
        __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
        access->seen = buffer_ones(1);
        break;
    case 6:
        __asm__ volatile("movdqu (%1), %%xmm0\n\tmovdqu %%xmm0, (%0)"
                         :
                         : "r"(to), "r"(p)
                         : "memory");
        access->seen = buffer_ones(2);
        break;
    case 7:
        __asm__ volatile("movzbl (%1), %k0" : "=r"(v) : "r"(p));
        access->seen = v | ~0xffull;
        break;
    case 8:
        __asm__ volatile("or (%1), %0" : "+r"(v) : "r"(p));
        access->seen = v;
        break;
    case 9:
        __asm__ volatile("lodsq" : "+S"(from), "=a"(v));
        access->seen = v;
        break;
    default: // compares: equal to nothing, or something was found
        b = NOTHING;
        __asm__ volatile("cmp %2, (%1)\n\tsete %b0" : "=r"(v) : "r"(p), "r"(b) : "cc");
        access->seen = (v & 1) ? NOTHING : 0;
        break;
    }
}

#define WRITE_SHAPES 12u
static void write_one(void *argument) {
    struct access *access = argument;
    volatile uint8_t *p = window(0, access->at);
    uint64_t v = 0, count = 8;
    void *to = (void *)(uintptr_t)p;
    const void *from = buffer;

    switch (access->shape) {
    case 0:
        *p = 0;
        break;
    case 1:
        *(volatile uint16_t *)p = 0;
        break;
    case 2:
        *(volatile uint32_t *)p = 0;
        break;
    case 3:
        *(volatile uint64_t *)p = 0;
        break;
    case 4:
        __asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(v) : "memory");
        break;
    case 5:
        __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
        break;
    case 6:
        __asm__ volatile("pxor %%xmm0, %%xmm0\n\tmovdqu %%xmm0, (%0)" : : "r"(p) : "memory");
        break;
    case 7:
        __asm__ volatile("xchg %0, (%1)" : "+r"(v) : "r"(p) : "memory");
        break;
    case 8:
        __asm__ volatile("lock andq $0, (%0)" : : "r"(p) : "memory", "cc");
        break;
    case 9:
        v = NOTHING;
        __asm__ volatile("lock cmpxchg %2, (%1)" : "+a"(v) : "r"(p), "r"(0ull) : "memory", "cc");
        break;
    case 10:
        __asm__ volatile("lock xadd %0, (%1)" : "+r"(v) : "r"(p) : "memory", "cc");
        break;
    default:
        __asm__ volatile("movnti %0, (%1)" : : "r"(v), "r"(p) : "memory");
        break;
    }
}

ATTACK(cpu_read, ATTACK_ANY) {
    uint64_t reads = 0, faults = 0, leaks = 0, where = 0;
    for (unsigned i = 0; i < target_count; i++) {
        for (unsigned shape = 0; shape < READ_SHAPES; shape++) {
            struct access access = {targets[i] + 64 * shape, shape, NOTHING};
            faults += try_call(read_one, &access) != 0;
            reads++;
            if (access.seen != NOTHING) {
                leaks++;
                where = access.at | shape;
            }
        }
    }
    VERDICT(leaks == 0 && reads > 0, "cpu_read # reads, # faults, # show something, last $", reads,
            faults, leaks, where);
}

ATTACK(cpu_write, ATTACK_ANY) {
    uint64_t writes = 0, faults = 0, changed = 0, where = 0;
    for (unsigned i = 0; i < target_count; i++) {
        for (unsigned shape = 0; shape < WRITE_SHAPES; shape++) {
            struct access access = {targets[i] + 8 * shape, shape, NOTHING};
            struct access check = {access.at, 3, NOTHING};
            faults += try_call(write_one, &access) != 0;
            faults += try_call(read_one, &check) != 0;
            writes++;
            if (check.seen != NOTHING) {
                changed++;
                where = access.at | shape;
            }
        }
    }
    VERDICT(changed == 0 && writes > 0, "cpu_write # writes, # faults, # have an effect, last $",
            writes, faults, changed, where);
}

/// Across the end of the guest's RAM: its own half may be read and written, the other is nothing.
ATTACK(cpu_straddle, ATTACK_ANY) {
    uint64_t wrong = 0, faults = 0;
    for (unsigned part = 1; part < 8; part++) {
        struct access access = {first_hole - part, 3, NOTHING};
        for (unsigned i = 1; i <= 16; i++) {
            *(volatile uint8_t *)window(1, first_hole - i) = 0xa5;
        }
        int fault = try_call(read_one, &access);
        faults += fault != 0;
        wrong += !fault && access.seen >> (8 * part) != NOTHING >> (8 * part);
        access.shape = 6;
        faults += try_call(read_one, &access) != 0;
        access.shape = 3;
        faults += try_call(write_one, &access) != 0;
        // Nothing in front of it may have changed.
        wrong += *(volatile uint8_t *)window(1, first_hole - part - 1) != 0xa5;
        access.shape = 8;
        faults += try_call(write_one, &access) != 0;
        access.shape = 4;
        faults += try_call(write_one, &access) != 0;
    }
    VERDICT(wrong == 0, "cpu_straddle # faults, # wrong", faults, wrong);
}

static void stack_there(void *argument) {
    uint64_t v = 0, at = *(uint64_t *)argument;
    __asm__ volatile("mov %%rsp, %%rbx\n\tmov %1, %%rsp\n\tpush %1\n\tpop %0\n\tmov %%rbx, %%rsp"
                     : "=&r"(v)
                     : "r"(at)
                     : "rbx", "memory");
    *(uint64_t *)argument = v;
}

/// A stack in foreign memory: what was pushed must not come back.
ATTACK(cpu_stack, ATTACK_DIES) {
    uint64_t kept = 0, faults = 0;
    attack_dies();
    for (unsigned i = 0; i < target_count; i++) {
        uint64_t at = targets[i] + 0x800;
        int fault = try_call(stack_there, &at);
        faults += fault != 0;
        kept += !fault && at != NOTHING;
    }
    VERDICT(kept == 0, "cpu_stack # faults, # pushes came back", faults, kept);
}

static void fetch_from(void *argument) {
    void (*there)(void) = (void (*)(void))(uintptr_t) * (uint64_t *)argument;
    there();
}

/// Code where no memory is: all ones is no instruction; whatever runs there, it is not VTL2's.
ATTACK(cpu_fetch, ATTACK_DIES) {
    uint64_t faults = 0, ran = 0;
    attack_dies();
    for (unsigned i = 0; i < target_count; i++) {
        uint64_t at = targets[i];
        int fault = try_call(fetch_from, &at);
        faults += fault != 0;
        ran += !fault;
    }
    VERDICT(ran == 0, "cpu_fetch # faults, # calls came back", faults, ran);
}

// ---- instructions that an emulator may not know ------------------------------------------------

static void rare_one(void *argument) {
    const uint64_t *a = argument; // address, which
    uint64_t at = a[0], low = 0, high = 0;
    switch (a[1]) {
    case 0:
        __asm__ volatile("lock cmpxchg16b (%2)"
                         : "+a"(low), "+d"(high)
                         : "r"(at), "b"(0ull), "c"(0ull)
                         : "memory", "cc");
        break;
    case 1:
        __asm__ volatile("fxsave64 (%0)" : : "r"(at) : "memory");
        break;
    case 2:
        __asm__ volatile("fldl (%0)" : : "r"(at) : "memory");
        break;
    case 3:
        __asm__ volatile("lgdt (%0)" : : "r"(at) : "memory");
        break;
    case 4:
        __asm__ volatile("maskmovdqu %%xmm0, %%xmm1" : : "D"(at) : "memory");
        break;
    case 5:
        __asm__ volatile("bts %1, (%0)" : : "r"(at), "r"(0x7fffull) : "memory", "cc");
        break;
    default:
        __asm__ volatile("ljmpl *(%0)" : : "r"(at) : "memory");
        break;
    }
}

#define RARE(number)                                                                               \
    ATTACK(cpu_rare_##number, ATTACK_DIES | ATTACK_HANGS) {                                        \
        uint64_t a[2] = {targets[target_count / 2], number};                                       \
        attack_dies();                                                                             \
        int fault = try_call(rare_one, a);                                                         \
        cpu_load_tables(0);                                                                        \
        VERDICT(1, "cpu_rare_" #number " exception # (0: it went on)", (uint64_t)fault);           \
    }
RARE(0)
RARE(1)
RARE(2)
RARE(3)
RARE(4)
RARE(5)
RARE(6)
