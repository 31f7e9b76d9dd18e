// SPDX-License-Identifier: MIT
//
// The VM worker's sandbox, entered for real in a child for each question: what a running and a
// restarting guest needs gets through to the kernel, what a taken-over worker would like does not.
#include "userspace/vmm_sandbox.h"

#include "igvm/base/types.h"
#include "vtl2/vsm/mshv_abi.h"

#include <errno.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NO_ERROR 254

/// What one call gives inside: its errno (NO_ERROR: none), or minus the signal that ended it.
static int inside(long number, long a, long b) {
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        if (vmm_sandbox_enter() != 0) {
            _exit(NO_ERROR - 1);
        }
        // Not _exit(): a sanitizer's own version of it does much more.
        syscall(SYS_exit_group, syscall(number, a, b, 0, 0, 0, 0) < 0 ? errno : NO_ERROR);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_restart_is_possible(void **state) {
    // Every request of vtl2/kvm*.c once the guest runs: a reset makes a new VM.
    static const unsigned long requests[] = {
        KVM_RUN,
        KVM_SIGNAL_MSI,
        KVM_IRQ_LINE,
        KVM_INTERRUPT,
        KVM_CREATE_VM,
        KVM_ENABLE_CAP,
        KVM_SET_TSS_ADDR,
        KVM_CREATE_IRQCHIP,
        KVM_SET_GSI_ROUTING,
        KVM_SET_IDENTITY_MAP_ADDR,
        KVM_CREATE_PIT2,
        KVM_SET_TSC_KHZ,
        KVM_SET_USER_MEMORY_REGION,
        KVM_CREATE_VCPU,
        KVM_SET_CPUID2,
        KVM_SET_MSRS,
        KVM_GET_LAPIC,
        KVM_SET_LAPIC,
        KVM_GET_REGS,
        KVM_SET_REGS,
        KVM_GET_SREGS,
        KVM_SET_SREGS,
        // and of vtl2/vsm
        MSHV_RETURN_TO_LOWER_VTL,
        MSHV_SET_VP_REGISTERS,
        MSHV_HVCALL,
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        assert_int_equal(inside(SYS_ioctl, -1, (long)requests[i]), EBADF);
    }
}

static void test_nothing_new(void **state) {
    static const long killed[] = {SYS_socket,       SYS_execve,           SYS_clone,
                                  SYS_ptrace,       SYS_io_uring_setup,   SYS_io_uring_register,
                                  SYS_mount,        SYS_process_vm_readv, SYS_openat2,
                                  SYS_memfd_create, SYS_pkey_mprotect,    SYS_kill};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(killed); i++) {
        assert_int_equal(inside(killed[i], 0, 0), -SIGSYS);
    }
    assert_int_equal(inside(SYS_openat, -1, 0), EACCES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restart_is_possible),
        cmocka_unit_test(test_nothing_new),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
