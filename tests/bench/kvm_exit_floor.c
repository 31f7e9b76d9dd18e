// SPDX-License-Identifier: MIT
//
// The floor of one emulated port access: a vCPU that does nothing but `in al, dx`, a loop that does
// nothing but KVM_RUN. What a VMM costs above this is its own. Static, runs in VTL2's Linux.
//   kvm_exit_floor [COUNT]  ->  PT value kvm-exit-floor TSC_TICKS ticks (best of three)

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define CODE_GPA  0x1000u
#define RAM_BYTES 0x10000u

static int stop(const char *what) {
    printf("PT fail kvm-exit-floor %s: %s\n", what, strerror(errno));
    return 1;
}

/// TSC ticks: the guest that this is compared with has no other clock in common with us.
static uint64_t ticks(void) {
    __builtin_ia32_lfence();
    return __builtin_ia32_rdtsc();
}

/// 32-bit protected mode without paging: flat segments, so that the code needs no tables.
static int set_registers(int vcpu) {
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = CODE_GPA, .rdx = 0x3ff, .rflags = 2};
    if (ioctl(vcpu, KVM_GET_SREGS, &sregs) != 0) {
        return -1;
    }
    struct kvm_segment code = {
        .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1};
    struct kvm_segment data = code;
    data.type = 3;
    data.selector = 16;
    sregs.cs = code;
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
    sregs.cr0 |= 1;
    return ioctl(vcpu, KVM_SET_SREGS, &sregs) != 0 || ioctl(vcpu, KVM_SET_REGS, &regs) != 0 ? -1
                                                                                            : 0;
}

static double measure(int vcpu, struct kvm_run *run, unsigned long count) {
    uint64_t start = ticks();
    for (unsigned long i = 0; i < count; i++) {
        if (ioctl(vcpu, KVM_RUN, 0) != 0 || run->exit_reason != KVM_EXIT_IO) {
            return -1;
        }
        ((uint8_t *)run)[run->io.data_offset] = 0x5a;
    }
    return (double)(ticks() - start) / (double)count;
}

int main(int argc, char **argv) {
    static const uint8_t code[] = {0xec, 0xeb, 0xfd}; // again: in al, dx; jmp again
    unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000;
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int vm = kvm >= 0 ? ioctl(kvm, KVM_CREATE_VM, 0) : -1;
    if (vm < 0) {
        return stop("/dev/kvm");
    }
    // The guest's machine has KVM's interrupt controllers; an exit passes them, so the floor has
    // them.
    if (ioctl(vm, KVM_CREATE_IRQCHIP, 0) != 0) {
        return stop("KVM_CREATE_IRQCHIP");
    }
    uint8_t *ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct kvm_userspace_memory_region slot = {.memory_size = RAM_BYTES,
                                               .userspace_addr = (uintptr_t)ram};
    if (ram == MAP_FAILED || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) != 0) {
        return stop("memory");
    }
    memcpy(ram + CODE_GPA, code, sizeof(code));
    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    int run_bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    struct kvm_run *run =
        vcpu >= 0 ? mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0)
                  : MAP_FAILED;
    if (run == MAP_FAILED || set_registers(vcpu) != 0) {
        return stop("vcpu");
    }
    double best = 0;
    for (int round = 0; round < 3; round++) {
        double each = measure(vcpu, run, count);
        if (each < 0) {
            return stop("KVM_RUN");
        }
        best = round == 0 || each < best ? each : best;
    }
    printf("PT value kvm-exit-floor %.6g ticks\n", best);
    return 0;
}
