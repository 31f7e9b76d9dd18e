// SPDX-License-Identifier: MIT
//
// The floor of one emulated access: a vCPU that does nothing but `in al, dx` or `mov eax, [edx]`, a
// loop that does nothing but KVM_RUN. What a VMM costs above this is its own. Static, runs in
// VTL2's Linux.
//   kvm_exit_floor [COUNT]  ->  PT value kvm-exit-floor TSC_TICKS ticks (best of three)
//                               PT value kvm-mmio-floor TSC_TICKS ticks

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define RAM_BYTES    0x10000u
#define UNMAPPED_GPA 0xd0000000u
#define SCRATCH_PORT 0x3ffu

struct floor {
    const char *name;
    uint64_t rip;    ///< not the same: KVM steps over an IN that was not completed
    uint8_t code[4]; ///< the access by EDX, and a jump back to it
    uint64_t rdx;
    uint32_t exit_reason;
};

static const struct floor floors[] = {
    {"kvm-exit-floor", 0x1000, {0xec, 0xeb, 0xfd}, SCRATCH_PORT, KVM_EXIT_IO},
    {"kvm-mmio-floor", 0x2000, {0x8b, 0x02, 0xeb, 0xfc}, UNMAPPED_GPA, KVM_EXIT_MMIO},
};

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
static int set_registers(int vcpu, uint64_t rip, uint64_t rdx) {
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = rip, .rdx = rdx, .rflags = 2};
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

static double measure(int vcpu, struct kvm_run *run, uint32_t exit_reason, unsigned long count) {
    uint64_t start = ticks();
    for (unsigned long i = 0; i < count; i++) {
        if (ioctl(vcpu, KVM_RUN, 0) != 0 || run->exit_reason != exit_reason) {
            return -1;
        }
        if (exit_reason == KVM_EXIT_IO) {
            ((uint8_t *)run)[run->io.data_offset] = 0x5a;
        } else {
            memset(run->mmio.data, 0x5a, run->mmio.len);
        }
    }
    return (double)(ticks() - start) / (double)count;
}

static int measure_floor(const struct floor *floor, uint8_t *ram, int vcpu, struct kvm_run *run,
                         unsigned long count) {
    double best = 0;
    memcpy(ram + floor->rip, floor->code, sizeof(floor->code));
    if (set_registers(vcpu, floor->rip, floor->rdx) != 0) {
        return stop("registers");
    }
    for (int round = 0; round < 3; round++) {
        double each = measure(vcpu, run, floor->exit_reason, count);
        if (each < 0) {
            return stop(floor->name);
        }
        best = round == 0 || each < best ? each : best;
    }
    printf("PT value %s %.6g ticks\n", floor->name, best);
    return 0;
}

int main(int argc, char **argv) {
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
    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    int run_bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    struct kvm_run *run =
        vcpu >= 0 ? mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0)
                  : MAP_FAILED;
    if (run == MAP_FAILED) {
        return stop("vcpu");
    }
    int result = 0;
    for (unsigned i = 0; result == 0 && i < sizeof(floors) / sizeof(floors[0]); i++) {
        result = measure_floor(&floors[i], ram, vcpu, run, count);
    }
    return result;
}
