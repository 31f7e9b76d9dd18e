// SPDX-License-Identifier: MIT
//
// The VM worker's system calls once its guest runs: KVM or mshv_vtl, io_uring on what is open
// already, its threads, its log. It cannot open a file, start a program or make a socket any more.
#include "userspace/vmm_sandbox.h"

#include "igvm/base/types.h"
#include "userspace/sandbox.h"
#include "vtl2/vsm/mshv_abi.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VMM_ID 65532u

// The hot calls first: the filter is walked from the top for every one.
static const struct sandbox_rule rules[] = {
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_RUN),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, MSHV_RETURN_TO_LOWER_VTL),
    SANDBOX_ALLOW(SYS_io_uring_enter),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, MSHV_SET_VP_REGISTERS),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, MSHV_HVCALL),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_SIGNAL_MSI),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_IRQ_LINE),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_INTERRUPT),
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
    // A guest restart: a new VM, its VPs, their registers and run areas.
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_CREATE_VM),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_ENABLE_CAP),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_SET_TSS_ADDR),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_SET_IDENTITY_MAP_ADDR),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_CREATE_IRQCHIP),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_CREATE_PIT2),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_SET_GSI_ROUTING),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_SET_USER_MEMORY_REGION),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_SET_TSC_KHZ),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_CREATE_VCPU),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_SET_CPUID2),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_SET_MSRS),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_GET_LAPIC),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_SET_LAPIC),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_GET_REGS),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_SET_REGS),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_GET_SREGS),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, KVM_SET_SREGS),
    SANDBOX_ALLOW_ARG(SYS_ioctl, 1, 0x5402 /* TCSETS: the terminal back, at the end */),
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
    SANDBOX_ALLOW(SYS_poll), // for the vTPM's answer
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
    // Everything is open: nobody's id serves, and one of its own cannot signal the other processes.
    uint32_t id = geteuid() == 0 ? VMM_ID : 0;
    const struct sandbox_policy policy = {
        .name = "vmm",
        .uid = id,
        .gid = id,
        .rules = rules,
        .rule_count = ARRAY_COUNT(rules),
    };

    return sandbox_enter(&policy);
}
