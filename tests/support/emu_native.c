// SPDX-License-Identifier: MIT
//
// The native side of the emulator's comparison. A code page holds: save the caller's registers,
// load the case's, the instruction, store what became of them, restore. Everything stands at fixed
// addresses below 2 GiB, so that loads and stores need no register.
#include "tests/support/emu_native.h"

#include "igvm/base/check.h"
#include "igvm/base/types.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define AREA_ADDRESS  UINT64_C(0x31000000)
#define AREA_BYTES    0x3000u
#define PROLOGUE_MAX  0x400u ///< the instruction stands so far behind the code's start
#define CODE_BYTES    0x1000u
#define INSN_ROOM     16u
#define CHILD_SECONDS 20u

// Linux' selectors for user code and data.
#define SELECTOR_CODE64 0x33u
#define SELECTOR_CODE32 0x23u
#define SELECTOR_DATA   0x2Bu

/// What code and C share at AREA_ADDRESS.
struct area {
    struct native_registers in;
    struct native_registers out;
    uint64_t caller_rsp;
    uint64_t done; ///< cases carried out
    uint8_t stack[0x1000];
};

/// Code as it grows.
struct code {
    uint8_t *at;
};

static uint32_t area_address(size_t off) {
    return (uint32_t)(AREA_ADDRESS + off);
}

static void emit(struct code *c, const void *bytes, size_t count) {
    memcpy(c->at, bytes, count);
    c->at += count;
}

static void emit_u32(struct code *c, uint32_t value) {
    emit(c, &value, sizeof(value));
}

/// mov reg, [address] (8B) or mov [address], reg (89).
static void emit_mov(struct code *c, uint8_t opcode, unsigned reg, uint32_t address) {
    uint8_t bytes[] = {(uint8_t)(0x48 | (reg >> 3) << 2), opcode, (uint8_t)(4 | (reg & 7) << 3),
                       0x25};

    emit(c, bytes, sizeof(bytes));
    emit_u32(c, address);
}

/// [v]movdqu reg, [address] (6F) or [address], reg (7F); all 32 bytes with AVX.
static void emit_vector(struct code *c, uint8_t opcode, unsigned reg, uint32_t address) {
    uint8_t sse[] = {0xF3, 0x0F, opcode, (uint8_t)(4 | reg << 3), 0x25};
    uint8_t avx[] = {0xC5, 0xFE, opcode, (uint8_t)(4 | reg << 3), 0x25};

    emit(c, native_has_avx() ? avx : sse, sizeof(sse));
    emit_u32(c, address);
}

static const uint8_t push_all[] = {0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57};
static const uint8_t pop_all[] = {0x41, 0x5F, 0x41, 0x5E, 0x41, 0x5D, 0x41, 0x5C, 0x5D, 0x5B};

/// mov rsp (esp), the private stack's top
static void emit_private_stack(struct code *c, bool is_32) {
    static const uint8_t mov_rsp[] = {0x48, 0xC7, 0xC4};

    emit(c, is_32 ? (const uint8_t *)"\xBC" : mov_rsp, is_32 ? 1 : sizeof(mov_rsp));
    emit_u32(c, area_address(offsetof(struct area, stack) + sizeof(((struct area *)0)->stack)));
}

/// Saves what the caller wants back, and loads the vector registers.
static void emit_enter(struct code *c) {
    size_t in = offsetof(struct area, in);

    emit(c, push_all, sizeof(push_all));
    emit_mov(c, 0x89, 4, area_address(offsetof(struct area, caller_rsp)));
    for (unsigned i = 0; i < NATIVE_VECTORS; i++) {
        emit_vector(c, 0x6F, i, area_address(in + offsetof(struct native_registers, vector[i])));
    }
}

static void emit_leave(struct code *c) {
    size_t out = offsetof(struct area, out);

    emit(c, "\xFC", 1); // cld
    for (unsigned i = 0; i < NATIVE_VECTORS; i++) {
        emit_vector(c, 0x7F, i, area_address(out + offsetof(struct native_registers, vector[i])));
    }
    if (native_has_avx()) {
        emit(c, "\xC5\xF8\x77", 3); // vzeroupper
    }
    emit_mov(c, 0x8B, 4, area_address(offsetof(struct area, caller_rsp)));
    emit(c, pop_all, sizeof(pop_all));
    emit(c, "\xC3", 1);
}

/// An instruction of opcode and ModRM with an absolute address: SIB in 64-bit code.
static void emit_absolute(struct code *c, bool is_32, uint8_t opcode, unsigned reg,
                          uint32_t address) {
    uint8_t bytes[] = {opcode, (uint8_t)(reg << 3 | (is_32 ? 5 : 4)), 0x25};

    emit(c, bytes, is_32 ? 2 : 3);
    emit_u32(c, address);
}

/// From 64-bit to 32-bit code: jmp far [address], data segments.
static void emit_to_32(struct code *c) {
    static const uint8_t load_segments[] = {0xB8, SELECTOR_DATA, 0, 0, 0, // mov eax, selector
                                            0x8E, 0xD8,                   // mov ds, eax
                                            0x8E, 0xC0,                   // mov es, eax
                                            0x8E, 0xD0};                  // mov ss, eax
    // The pointer stands behind the jump (7 bytes) that uses it, the code behind the pointer (6).
    uint32_t pointer = (uint32_t)(uintptr_t)c->at + 7;

    emit_absolute(c, false, 0xFF, 5, pointer);
    emit_u32(c, pointer + 6);
    emit(c, (const uint8_t[]){SELECTOR_CODE32, 0}, 2);
    emit(c, load_segments, sizeof(load_segments));
}

static void emit_to_64(struct code *c) {
    uint32_t target = (uint32_t)(uintptr_t)c->at + 7;

    emit(c, "\xEA", 1);
    emit_u32(c, target);
    emit(c, (const uint8_t[]){SELECTOR_CODE64, 0}, 2);
}

static void emit_prologue(struct code *c, bool is_32) {
    size_t in = offsetof(struct area, in);

    emit_enter(c);
    if (is_32) {
        emit_to_32(c);
    }
    emit_private_stack(c, is_32);
    emit_absolute(c, is_32, 0xFF, 6, // push
                  area_address(in + offsetof(struct native_registers, rflags)));
    emit(c, "\x9D", 1); // popf; the loads below leave flags alone
    for (unsigned i = 0; i < (is_32 ? 8u : 16u); i++) {
        uint32_t address = area_address(in + offsetof(struct native_registers, gpr[i]));

        if (is_32) {
            emit_absolute(c, true, 0x8B, i, address);
        } else {
            emit_mov(c, 0x8B, i, address);
        }
    }
}

static void emit_epilogue(struct code *c, bool is_32) {
    size_t out = offsetof(struct area, out);

    for (unsigned i = 0; i < (is_32 ? 8u : 16u); i++) {
        uint32_t address = area_address(out + offsetof(struct native_registers, gpr[i]));

        if (is_32) {
            emit_absolute(c, true, 0x89, i, address);
        } else {
            emit_mov(c, 0x89, i, address);
        }
    }
    emit_private_stack(c, is_32);
    emit(c, "\x9C", 1);              // pushf
    emit_absolute(c, is_32, 0x8F, 0, // pop
                  area_address(out + offsetof(struct native_registers, rflags)));
    if (is_32) {
        emit_to_64(c);
    }
    emit_leave(c);
}

/// Fills the code around the instruction at insn_address; its page is mapped.
static void make_code(uint64_t insn_address, bool is_32) {
    uint8_t *insn = (uint8_t *)(uintptr_t)insn_address;
    struct code c = {.at = insn - PROLOGUE_MAX};

    emit_prologue(&c, is_32);
    CHECK(c.at <= insn);
    memset(c.at, 0x90, (size_t)(insn - c.at));
    c.at = insn + INSN_ROOM;
    emit_epilogue(&c, is_32);
}

bool native_has_avx(void) {
    return __builtin_cpu_supports("avx");
}

uint32_t native_hash(const uint8_t *data, size_t size_bytes) {
    uint64_t hash = 0xCBF29CE484222325;
    uint64_t word;

    for (size_t i = 0; i + sizeof(word) <= size_bytes; i += sizeof(word)) {
        memcpy(&word, data + i, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 29;
    }
    return (uint32_t)(hash ^ hash >> 32);
}

static void *map_at(uint64_t address, size_t size_bytes, int protection) {
    void *p = mmap((void *)(uintptr_t)address, size_bytes, protection,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

/// The child: no way back, no system call but exit.
__attribute__((no_sanitize("address", "undefined"), noreturn)) static void
child(struct native_case *cases, size_t count, struct area *area, const uint8_t *data) {
    struct rlimit limit = {CHILD_SECONDS, CHILD_SECONDS};

    if (setrlimit(RLIMIT_CPU, &limit) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) {
        syscall(SYS_exit, 1);
    }
    for (size_t i = 0; i < count; i++) {
        uintptr_t insn = cases[i].is_32 ? NATIVE_CODE32_ADDRESS : NATIVE_CODE_ADDRESS;
        void (*run)(void) = (void (*)(void))(insn - PROLOGUE_MAX);

        __builtin_memset((void *)insn, 0x90, INSN_ROOM);
        __builtin_memcpy((void *)insn, cases[i].insn, cases[i].insn_bytes);
        area->in = cases[i].in;
        __builtin_memset(&area->out, 0, sizeof(area->out));
        run();
        cases[i].out = area->out;
        cases[i].data_hash = native_hash(data, NATIVE_DATA_BYTES);
        area->done = i + 1;
    }
    syscall(SYS_exit, 0);
    __builtin_trap();
}

/// What stands at fixed addresses while cases run.
struct mapping {
    uint64_t address;
    size_t size_bytes;
    int protection;
};

static const struct mapping mappings[] = {
    {NATIVE_CODE_ADDRESS - CODE_BYTES, 2 * CODE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC},
    {NATIVE_CODE32_ADDRESS - CODE_BYTES, 2 * CODE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC},
    {AREA_ADDRESS, AREA_BYTES, PROT_READ | PROT_WRITE},
    {NATIVE_DATA_ADDRESS, NATIVE_DATA_BYTES, PROT_READ | PROT_WRITE},
};

long native_run(struct native_case *cases, size_t count, const uint8_t data[NATIVE_DATA_BYTES]) {
    size_t shared_bytes = count * sizeof(*cases);
    struct native_case *shared =
        mmap(NULL, shared_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct area *area = (struct area *)(uintptr_t)AREA_ADDRESS;
    uint8_t *memory = (uint8_t *)(uintptr_t)NATIVE_DATA_ADDRESS;
    long done = -ENOTSUP;
    size_t mapped;
    int status;
    pid_t pid;

    _Static_assert(sizeof(struct area) <= AREA_BYTES, "the area fits its pages");
    if (shared == MAP_FAILED) {
        return -ENOTSUP;
    }
    for (mapped = 0; mapped < ARRAY_COUNT(mappings); mapped++) {
        const struct mapping *m = &mappings[mapped];

        if (!map_at(m->address, m->size_bytes, m->protection)) {
            goto out;
        }
    }
    memcpy(shared, cases, shared_bytes);
    memcpy(memory, data, NATIVE_DATA_BYTES);
    make_code(NATIVE_CODE_ADDRESS, false);
    make_code(NATIVE_CODE32_ADDRESS, true);
    pid = fork();
    if (pid == 0) {
        child(shared, count, area, memory);
    }
    if (pid > 0 && waitpid(pid, &status, 0) == pid && !(WIFEXITED(status) && WEXITSTATUS(status))) {
        done = (long)area->done;
        memcpy(cases, shared, shared_bytes);
    }
out:
    while (mapped > 0) {
        mapped--;
        munmap((void *)(uintptr_t)mappings[mapped].address, mappings[mapped].size_bytes);
    }
    munmap(shared, shared_bytes);
    return done;
}

bool native_has_32(void) {
    static const uint8_t data[NATIVE_DATA_BYTES];
    struct native_case nop = {.insn = {0x90}, .insn_bytes = 1, .is_32 = true, .in.gpr[3] = 7};

    return native_run(&nop, 1, data) == 1 && nop.out.gpr[3] == 7;
}
