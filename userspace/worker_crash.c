// SPDX-License-Identifier: MIT
//
// See worker_crash.h. Everything here may run at any instruction of the process: no lock, no
// allocation, no stdio; one write(2) per line (signal-safety(7)). Addresses are as linked: the
// binary is static and does not move, so addr2line on build/vtl2/parapet.debug takes them as is.
#include "userspace/worker_crash.h"

#include "igvm/base/types.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define STACKS       72u ///< VPs and a few more threads
#define STACK_BYTES  8192u
#define STACK_WORDS  16u ///< shown
#define LINE_BYTES   160u
#define WORDS_A_LINE 4u

static const struct {
    int number;
    const char *name;
} signals[] = {
    {SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"},   {SIGILL, "SIGILL"},
    {SIGFPE, "SIGFPE"},   {SIGTRAP, "SIGTRAP"}, {SIGABRT, "SIGABRT"},
};

/// Registers in the order of the screen (x86-64 ucontext).
static const struct {
    const char *name;
    int index;
} registers[] = {
    {"rip", REG_RIP}, {"rsp", REG_RSP}, {"rbp", REG_RBP}, {"flg", REG_EFL}, {"rax", REG_RAX},
    {"rbx", REG_RBX}, {"rcx", REG_RCX}, {"rdx", REG_RDX}, {"rsi", REG_RSI}, {"rdi", REG_RDI},
    {"r8 ", REG_R8},  {"r9 ", REG_R9},  {"r10", REG_R10}, {"r11", REG_R11}, {"r12", REG_R12},
    {"r13", REG_R13}, {"r14", REG_R14}, {"r15", REG_R15}, {"err", REG_ERR}, {"trp", REG_TRAPNO},
};

static const char *program_name = "parapet";
static bool holds_secrets;
static uint8_t stacks[STACKS][STACK_BYTES] __attribute__((aligned(16)));
static _Atomic uint32_t stacks_used;

struct line {
    char text[LINE_BYTES];
    size_t length;
};

static void put_text(struct line *line, const char *text) {
    while (*text != '\0' && line->length < LINE_BYTES - 1) {
        line->text[line->length++] = *text++;
    }
}

static void put_hex(struct line *line, uint64_t value, unsigned digits) {
    for (unsigned i = digits; i-- > 0 && line->length < LINE_BYTES - 1;) {
        line->text[line->length++] = "0123456789abcdef"[value >> (4 * i) & 0xf];
    }
}

static void end_line(struct line *line) {
    ssize_t written;

    line->text[line->length++] = '\n'; // there is room: the others leave one byte
    written = write(STDERR_FILENO, line->text, line->length);
    (void)written; // whom to tell?
    line->length = 0;
}

static const char *signal_name(int number) {
    for (size_t i = 0; i < ARRAY_COUNT(signals); i++) {
        if (signals[i].number == number) {
            return signals[i].name;
        }
    }
    return "a signal";
}

static void report_registers(const greg_t *values) {
    struct line line = {.length = 0};

    for (size_t i = 0; i < ARRAY_COUNT(registers); i++) {
        put_text(&line, i % WORDS_A_LINE == 0 ? "  " : " ");
        put_text(&line, registers[i].name);
        put_text(&line, " ");
        put_hex(&line, (uint64_t)values[registers[i].index], 16);
        if (i % WORDS_A_LINE == WORDS_A_LINE - 1) {
            end_line(&line);
        }
    }
}

/// Last, because the stack pointer may point nowhere: the second fault then ends the process.
/// AddressSanitizer would object to reading other functions' frames.
__attribute__((no_sanitize("address"))) static void report_stack(uint64_t rsp) {
    const uint64_t *words = (const uint64_t *)(uintptr_t)align_down(rsp, 8);
    struct line line = {.length = 0};

    for (unsigned i = 0; i < STACK_WORDS; i++) {
        put_text(&line, i % WORDS_A_LINE == 0 ? "  stack " : " ");
        put_hex(&line, words[i], 16);
        if (i % WORDS_A_LINE == WORDS_A_LINE - 1) {
            end_line(&line);
        }
    }
}

static void on_fault(int number, siginfo_t *info, void *context) {
    const ucontext_t *at = context;
    struct line line = {.length = 0};

    put_text(&line, program_name);
    put_text(&line, " CRASH: ");
    put_text(&line, signal_name(number));
    put_text(&line, info->si_code <= 0 ? ", sent by a process, at rip " : " at rip ");
    put_hex(&line, (uint64_t)at->uc_mcontext.gregs[REG_RIP], 16);
    if (info->si_code > 0 && (number == SIGSEGV || number == SIGBUS)) {
        put_text(&line, ", address ");
        put_hex(&line, (uintptr_t)info->si_addr, 16);
    }
    end_line(&line);
    if (holds_secrets) {
        put_text(&line, "  registers and stack are not shown: the process holds keys");
        end_line(&line);
    } else {
        report_registers(at->uc_mcontext.gregs);
        report_stack((uint64_t)at->uc_mcontext.gregs[REG_RSP]);
    }
    if (info->si_code <= 0) {
        // One's own fault comes again by itself; the disposition is the default's by now.
        (void)syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), number);
    }
}

void worker_crash_thread(void) {
    uint32_t mine = atomic_fetch_add(&stacks_used, 1);
    stack_t stack = {.ss_size = STACK_BYTES};

    if (mine < STACKS) {
        stack.ss_sp = stacks[mine];
        (void)sigaltstack(&stack, NULL); // without it: reported on the thread's own stack
    }
}

void worker_crash_install(const char *program, bool secrets) {
    struct sigaction action = {.sa_sigaction = on_fault,
                               .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_ONSTACK};

    program_name = program;
    holds_secrets = secrets;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ARRAY_COUNT(signals); i++) {
        (void)sigaction(signals[i].number, &action, NULL);
    }
    worker_crash_thread();
}
