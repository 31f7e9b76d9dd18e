// SPDX-License-Identifier: MIT
//
// The report of a worker that dies: what it says, that it takes no lock, and that the process then
// dies of the signal it got.
#include "userspace/worker_crash.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MAGIC 0x5eed5eed5eed5eedull

/// Runs die() in a child; its standard error in out. Returns the signal that ended it.
static int crash_of(bool secrets, void (*die)(void), char *out, size_t size_bytes) {
    size_t used = 0;
    ssize_t got;
    int status, pipes[2];
    pid_t child;

    assert_int_equal(pipe(pipes), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit no_core = {0, 0};

        setrlimit(RLIMIT_CORE, &no_core);
        dup2(pipes[1], STDERR_FILENO);
        close(pipes[0]);
        close(pipes[1]);
        worker_crash_install("worker", secrets);
        die();
        _exit(0);
    }
    close(pipes[1]);
    while ((got = read(pipes[0], out + used, size_bytes - 1 - used)) > 0) {
        used += (size_t)got;
    }
    out[used] = '\0';
    close(pipes[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

__attribute__((no_sanitize("all"))) static void write_to_nowhere(void) {
    uint64_t magic = MAGIC;

    __asm__ volatile("mov %0, %%r15\n\tmovq $1, 0x10" : : "r"(magic) : "r15", "memory");
}

static void undefined(void) {
    __asm__ volatile("ud2");
}

static void killed(void) {
    raise(SIGSEGV);
}

__attribute__((no_sanitize("all"))) static void lose_stack(void) {
    __asm__ volatile("mov $0x20, %%rsp\n\tpush %%rax" : : : "memory");
}

static void *in_thread(void *unused) {
    (void)unused;
    worker_crash_thread();
    lose_stack();
    return NULL;
}

static void thread_without_stack(void) {
    pthread_t thread;

    if (pthread_create(&thread, NULL, in_thread, NULL) == 0) {
        pthread_join(thread, NULL);
    }
}

static void says_where(void **state) {
    char out[8192];

    (void)state;
    assert_int_equal(crash_of(false, write_to_nowhere, out, sizeof(out)), SIGSEGV);
    assert_non_null(strstr(out, "worker CRASH: SIGSEGV at rip 0000"));
    assert_non_null(strstr(out, "address 0000000000000010"));
    assert_non_null(strstr(out, "r15 5eed5eed5eed5eed"));
    assert_non_null(strstr(out, "  stack "));
    assert_int_equal(crash_of(false, undefined, out, sizeof(out)), SIGILL);
    assert_non_null(strstr(out, "worker CRASH: SIGILL at rip "));
    assert_int_equal(crash_of(false, killed, out, sizeof(out)), SIGSEGV);
    assert_non_null(strstr(out, "SIGSEGV, sent by a process, at rip "));
}

static void keeps_secrets(void **state) {
    char out[8192];

    (void)state;
    assert_int_equal(crash_of(true, write_to_nowhere, out, sizeof(out)), SIGSEGV);
    assert_non_null(strstr(out, "worker CRASH: SIGSEGV at rip 0000"));
    assert_null(strstr(out, "5eed"));
    assert_null(strstr(out, "  stack "));
    assert_non_null(strstr(out, "holds keys"));
}

/// The stack pointer points nowhere: the report comes on the spare stack, but for the stack's
/// words.
static void without_a_stack(void **state) {
    char out[8192];

    (void)state;
    assert_int_equal(crash_of(false, lose_stack, out, sizeof(out)), SIGSEGV);
    assert_non_null(strstr(out, "rsp 0000000000000020"));
    assert_int_equal(crash_of(false, thread_without_stack, out, sizeof(out)), SIGSEGV);
    assert_non_null(strstr(out, "rsp 0000000000000020"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_where),
        cmocka_unit_test(keeps_secrets),
        cmocka_unit_test(without_a_stack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
