// SPDX-License-Identifier: MIT
//
// The native side of the emulator's comparison. A code page holds: save the caller's registers,
// load the case's, the instruction, store what became of them, restore. Everything stands at fixed
// addresses below 2 GiB, so that loads and stores need no register.
#include "tests/support/emu_native.h"

#include "igvm/base/check.h"

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
#define CODE_PAGE     (NATIVE_CODE_ADDRESS - 0x400) ///< the instruction follows the prologue
#define CODE_BYTES    0x1000u
#define INSN_ROOM     16u
#define CHILD_SECONDS 20u

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

/// mov rsp, the private stack's top
static void emit_private_stack(struct code *c) {
    static const uint8_t mov_rsp[] = {0x48, 0xC7, 0xC4};

    emit(c, mov_rsp, sizeof(mov_rsp));
    emit_u32(c, area_address(offsetof(struct area, stack) + sizeof(((struct area *)0)->stack)));
}

static void emit_prologue(struct code *c) {
    static const uint8_t push_absolute[] = {0xFF, 0x34, 0x25};
    size_t in = offsetof(struct area, in);

    emit(c, push_all, sizeof(push_all));
    emit_mov(c, 0x89, 4, area_address(offsetof(struct area, caller_rsp)));
    for (unsigned i = 0; i < NATIVE_VECTORS; i++) {
        emit_vector(c, 0x6F, i, area_address(in + offsetof(struct native_registers, vector[i])));
    }
    emit_private_stack(c);
    emit(c, push_absolute, sizeof(push_absolute));
    emit_u32(c, area_address(in + offsetof(struct native_registers, rflags)));
    emit(c, "\x9D", 1); // popfq; the loads below leave flags alone
    for (unsigned i = 0; i < 16; i++) {
        emit_mov(c, 0x8B, i, area_address(in + offsetof(struct native_registers, gpr[i])));
    }
}

static void emit_epilogue(struct code *c) {
    static const uint8_t pop_absolute[] = {0x9C, 0x8F, 0x04, 0x25}; // pushfq; pop [address]
    size_t out = offsetof(struct area, out);

    for (unsigned i = 0; i < 16; i++) {
        emit_mov(c, 0x89, i, area_address(out + offsetof(struct native_registers, gpr[i])));
    }
    emit_private_stack(c);
    emit(c, pop_absolute, sizeof(pop_absolute));
    emit_u32(c, area_address(out + offsetof(struct native_registers, rflags)));
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
child(struct native_case *cases, size_t count, struct area *area, const uint8_t *data,
      uint8_t *slot, uint64_t entry) {
    struct rlimit limit = {CHILD_SECONDS, CHILD_SECONDS};
    void (*run)(void) = (void (*)(void))(uintptr_t)entry;

    if (setrlimit(RLIMIT_CPU, &limit) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) {
        syscall(SYS_exit, 1);
    }
    for (size_t i = 0; i < count; i++) {
        __builtin_memset(slot, 0x90, INSN_ROOM);
        __builtin_memcpy(slot, cases[i].insn, cases[i].insn_bytes);
        area->in = cases[i].in;
        run();
        cases[i].out = area->out;
        cases[i].data_hash = native_hash(data, NATIVE_DATA_BYTES);
        area->done = i + 1;
    }
    syscall(SYS_exit, 0);
    __builtin_trap();
}

long native_run(struct native_case *cases, size_t count, const uint8_t data[NATIVE_DATA_BYTES]) {
    size_t shared_bytes = count * sizeof(*cases);
    struct native_case *shared =
        mmap(NULL, shared_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint8_t *code =
        map_at(CODE_PAGE & ~UINT64_C(0xFFF), 2 * CODE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC);
    struct area *area = map_at(AREA_ADDRESS, AREA_BYTES, PROT_READ | PROT_WRITE);
    uint8_t *memory = map_at(NATIVE_DATA_ADDRESS, NATIVE_DATA_BYTES, PROT_READ | PROT_WRITE);
    struct code c;
    long done = -ENOTSUP;
    uint8_t *slot;
    pid_t pid;
    int status;

    _Static_assert(sizeof(struct area) <= AREA_BYTES, "the area fits its pages");
    if (shared == MAP_FAILED || !code || !area || !memory) {
        goto out;
    }
    memcpy(shared, cases, shared_bytes);
    memcpy(memory, data, NATIVE_DATA_BYTES);
    // The prologue ends where the instruction stands.
    slot = (uint8_t *)(uintptr_t)NATIVE_CODE_ADDRESS;
    c.at = (uint8_t *)(uintptr_t)CODE_PAGE;
    emit_prologue(&c);
    CHECK(c.at <= slot);
    memset(c.at, 0x90, (size_t)(slot - c.at));
    c.at = slot + INSN_ROOM;
    emit_epilogue(&c);
    pid = fork();
    if (pid == 0) {
        child(shared, count, area, memory, slot, CODE_PAGE);
    }
    if (pid > 0 && waitpid(pid, &status, 0) == pid && !(WIFEXITED(status) && WEXITSTATUS(status))) {
        done = (long)area->done;
        memcpy(cases, shared, shared_bytes);
    }
out:
    if (shared != MAP_FAILED) {
        munmap(shared, shared_bytes);
    }
    if (code) {
        munmap(code, 2 * CODE_BYTES);
    }
    if (area) {
        munmap(area, AREA_BYTES);
    }
    if (memory) {
        munmap(memory, NATIVE_DATA_BYTES);
    }
    return done;
}
