// SPDX-License-Identifier: MIT
//
// The sandbox against the kernel: in a child, what the policy allows works, what it refuses gives
// its errno, everything else kills; and the program that the filter is compiled to.

#include "userspace/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct sandbox_rule rules[] = {
    SANDBOX_ALLOW(SYS_exit_group),      SANDBOX_ALLOW_ARG(SYS_dup, 0, 1),
    SANDBOX_ALLOW_ARG(SYS_dup, 0, 2),   SANDBOX_ALLOW_MASK(SYS_mmap, 2, PROT_EXEC, 0),
    SANDBOX_REFUSE(SYS_openat, EACCES), SANDBOX_ALLOW(SYS_getppid),
    SANDBOX_ALLOW(SYS_setresuid),       SANDBOX_ALLOW(SYS_prctl),
    SANDBOX_ALLOW(SYS_futex),           SANDBOX_ALLOW(SYS_write),
};

static const struct sandbox_policy policy = {
    .name = "test", .rules = rules, .rule_count = sizeof(rules) / sizeof(rules[0]), .uid = 0};

/// Runs fn in a confined child; its return value, or minus the signal that ended it.
static int confined(int (*fn)(void)) {
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        syscall(SYS_exit_group, sandbox_enter(&policy) == 0 ? fn() : 99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int call_allowed(void) {
    return syscall(SYS_getppid) > 0 ? 7 : 1;
}
static int call_refused(void) {
    return syscall(SYS_openat, AT_FDCWD, "/", O_RDONLY) == -1 && errno == EACCES ? 7 : 1;
}
static int call_forbidden(void) {
    syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    return 1;
}
static int call_good_arg(void) {
    return syscall(SYS_dup, 1) >= 0 && syscall(SYS_dup, 2) >= 0 ? 7 : 1;
}
static int call_bad_arg(void) {
    syscall(SYS_dup, 0);
    return 1;
}
static int call_mmap(void) {
    return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                   0) != -1
               ? 7
               : 1;
}
static int call_mmap_exec(void) {
    syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return 1;
}
static int call_x32(void) {
    syscall(0x40000000 | SYS_getppid);
    return 1;
}
static int call_int80(void) {
    long r;

    __asm__ volatile("int $0x80" : "=a"(r) : "a"(64) : "memory"); // i386's getppid
    return r > 0 ? 2 : 1;
}
static int call_state(void) {
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0
               ? 7
               : 1;
}

static void test_calls(void **state) {
    (void)state;
    assert_int_equal(confined(call_allowed), 7);
    assert_int_equal(confined(call_refused), 7);
    assert_int_equal(confined(call_good_arg), 7);
    assert_int_equal(confined(call_mmap), 7);
    assert_int_equal(confined(call_state), 7);
    assert_int_equal(confined(call_forbidden), -SIGSYS);
    assert_int_equal(confined(call_bad_arg), -SIGSYS);
    assert_int_equal(confined(call_mmap_exec), -SIGSYS);
    assert_int_equal(confined(call_x32), -SIGSYS);
    assert_true(confined(call_int80) < 0); // SIGSYS, or SIGSEGV where there is no i386
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static _Atomic bool other_started;

static void *other_thread(void *arg) {
    other_started = true; // its first steps need calls that the policy forbids
    pthread_mutex_lock(&gate);
    call_forbidden();
    return arg;
}

/// A thread that was started before is confined as well.
static int call_from_thread(void) {
    pthread_mutex_unlock(&gate);
    for (unsigned i = 0; i < 100000000; i++) { // the end comes from outside
        syscall(SYS_getppid);
    }
    return 1;
}

static void test_threads(void **state) {
    pid_t pid = fork();
    int status;

    (void)state;
    if (pid == 0) {
        pthread_t thread;

        pthread_mutex_lock(&gate);
        pthread_create(&thread, NULL, other_thread, NULL);
        while (!other_started) {
            usleep(1000);
        }
        syscall(SYS_exit_group, sandbox_enter(&policy) == 0 ? call_from_thread() : 99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void test_nobody(void **state) {
    pid_t pid;
    int status;

    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    pid = fork();
    if (pid == 0) {
        struct sandbox_policy p = policy;

        p.uid = 12345;
        p.gid = 23456;
        if (sandbox_enter(&p) != 0) {
            syscall(SYS_exit_group, 99);
        }
        // The kernel's word: root is out of reach.
        syscall(SYS_exit_group, syscall(SYS_setresuid, 0, 0, 0) == -1 && errno == EPERM ? 7 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

static void test_close_other_fds(void **state) {
    pid_t pid = fork();
    int status;

    (void)state;
    if (pid == 0) {
        int keep[] = {20, 10, 10, -1, 30};
        bool good = true;

        for (int fd = 5; fd < 40; fd++) {
            dup2(2, fd);
        }
        good = sandbox_close_other_fds(keep, 5) == 0;
        for (int fd = 0; fd < 64; fd++) {
            bool open_now = fcntl(fd, F_GETFD) >= 0;

            good = good && open_now == (fd < 3 || fd == 10 || fd == 20 || fd == 30);
        }
        _exit(good ? 7 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 7);
    assert_int_equal(sandbox_close_other_fds(NULL, 65), -EINVAL);
}

static void test_compile(void **state) {
    static struct sandbox_rule many[SANDBOX_MAX_RULES + 1];
    struct sock_filter out[SANDBOX_MAX_INSNS];
    struct sandbox_policy p = {.name = "many", .rules = many, .rule_count = SANDBOX_MAX_RULES};

    (void)state;
    for (unsigned i = 0; i <= SANDBOX_MAX_RULES; i++) {
        many[i] = (struct sandbox_rule)SANDBOX_ALLOW_ARG(i, 5, i);
    }
    assert_int_equal(sandbox_compile(&p, out, SANDBOX_MAX_INSNS), SANDBOX_MAX_INSNS);
    assert_int_equal(sandbox_compile(&p, out, SANDBOX_MAX_INSNS - 1), -ENOSPC);
    assert_int_equal(sandbox_compile(&p, out, 0), -ENOSPC);
    p.rule_count++;
    assert_int_equal(sandbox_compile(&p, out, SANDBOX_MAX_INSNS), -EINVAL);
    p.rule_count = 1;
    many[0].arg_idx = 6;
    assert_int_equal(sandbox_compile(&p, out, SANDBOX_MAX_INSNS), -EINVAL);
    many[0] = (struct sandbox_rule)SANDBOX_ALLOW_MASK(1, 0, 2, 1); // can never match
    assert_int_equal(sandbox_compile(&p, out, SANDBOX_MAX_INSNS), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compile),         cmocka_unit_test(test_calls),
        cmocka_unit_test(test_threads),         cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_close_other_fds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
