// SPDX-License-Identifier: MIT
//
// The VM worker's system calls once its guest runs: KVM, io_uring on what is open already, its
// threads, its log. It cannot open a file, start a program or make a socket any more.
#include "userspace/vmm_sandbox.h"

#include "igvm/base/types.h"
#include "userspace/sandbox.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

// ioctl is allowed whatever its request: only then does the kernel decide without running the
// filter (a bitmap of calls that are always allowed), and the filter would cost every KVM_RUN a
// sixth more instructions. What is open bounds it: KVM's descriptors of this guest, its disks and
// terminals, no capability to do more with them than reading and writing.
static const struct sandbox_rule rules[] = {
    SANDBOX_ALLOW(SYS_ioctl),
    SANDBOX_ALLOW(SYS_io_uring_enter),
    SANDBOX_ALLOW(SYS_write),
    SANDBOX_ALLOW(SYS_read),
    SANDBOX_ALLOW(SYS_futex),
    SANDBOX_ALLOW(SYS_clock_gettime),
    SANDBOX_ALLOW(SYS_getrandom),
    SANDBOX_ALLOW(SYS_fstat), // loop_io.c: block device or file?
    SANDBOX_ALLOW(SYS_writev),
    SANDBOX_ALLOW(SYS_rt_sigreturn),
    SANDBOX_ALLOW(SYS_rt_sigprocmask),
    SANDBOX_ALLOW(SYS_rt_sigaction),
    SANDBOX_ALLOW(SYS_tkill), // vp_kick and abort
    SANDBOX_ALLOW(SYS_tgkill),
    SANDBOX_ALLOW(SYS_gettid),
    SANDBOX_ALLOW(SYS_getpid),
    // A guest restart maps the new VPs' run areas.
    SANDBOX_ALLOW_MASK(SYS_mmap, 2, PROT_EXEC, 0),
    SANDBOX_ALLOW_MASK(SYS_mprotect, 2, PROT_EXEC, 0),
    SANDBOX_ALLOW(SYS_munmap),
    SANDBOX_ALLOW(SYS_mremap),
    SANDBOX_ALLOW(SYS_madvise),
    SANDBOX_ALLOW(SYS_brk),
    SANDBOX_ALLOW(SYS_close),
    // The control socket and the supervisor's.
    SANDBOX_ALLOW(SYS_accept4),
    SANDBOX_ALLOW(SYS_sendto),
    SANDBOX_ALLOW(SYS_recvfrom),
    SANDBOX_ALLOW(SYS_sendmsg),
    SANDBOX_ALLOW(SYS_recvmsg),
    SANDBOX_ALLOW(SYS_setsockopt),
    SANDBOX_ALLOW(SYS_fcntl),
    SANDBOX_ALLOW(SYS_exit),
    SANDBOX_ALLOW(SYS_exit_group),
    SANDBOX_ALLOW(SYS_restart_syscall),
    SANDBOX_REFUSE(SYS_openat, EACCES),
    SANDBOX_REFUSE(SYS_open, EACCES),
};

int vmm_sandbox_enter(void) {
    // uid 0 stays: /dev/kvm's file descriptors need no id, but KVM accounts by mm; without
    // capabilities and without open(2) the id has no power left.
    const struct sandbox_policy policy = {
        .name = "vmm",
        .rules = rules,
        .rule_count = ARRAY_COUNT(rules),
    };

    return sandbox_enter(&policy);
}
