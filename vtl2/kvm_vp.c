// SPDX-License-Identifier: MIT
//
// One VP under KVM: entering the guest, and turning KVM's exits into struct vp_exit.
//
// What makes KVM_RUN return: an exit of the guest's own; a signal; io_uring task work (the kernel
// treats TIF_NOTIFY_SIGNAL like a signal before it enters a guest); and a non-zero immediate_exit
// byte, which userspace/loop.c lets io_uring write (see there). The last two make the VP's event
// loop run without a helper thread and without a system call per exit.
//
// Linux Documentation/virt/kvm/api.rst, section 5 (struct kvm_run).
#include "vtl2/kvm_internal.h"

#include "igvm/base/bytes.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KICK_SIGNAL SIGUSR1

// Intel SDM volume 4: what firmware leaves behind and Linux-direct boot has no firmware to do.
#define MSR_MISC_ENABLE             0x1a0u
#define MSR_MISC_ENABLE_FAST_STRING 1u
#define MSR_MTRR_DEF_TYPE           0x2ffu
#define MTRR_ENABLED_WRITE_BACK     0x806u

// Local APIC register page: local vector table entries of LINT0 and LINT1.
#define APIC_LVT_LINT0      0x350u
#define APIC_LVT_LINT1      0x360u
#define APIC_DELIVER_NMI    0x400u
#define APIC_DELIVER_EXTINT 0x700u

static void kick_handler(int signal_number) {
    (void)signal_number; // its arrival is the message
}

/// The state in which firmware would hand over: caching on, LINT0 wired to the PICs.
static int set_firmware_state(struct vp *vp) {
    struct {
        uint32_t nmsrs; // struct kvm_msrs with room
        uint32_t pad;
        struct kvm_msr_entry entries[2];
    } msrs = {
        .nmsrs = 2,
        .entries = {{.index = MSR_MISC_ENABLE, .data = MSR_MISC_ENABLE_FAST_STRING},
                    {.index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLED_WRITE_BACK}},
    };
    struct kvm_lapic_state apic;
    int result = kvm_ioctl(vp->fd, KVM_SET_MSRS, &msrs);

    if (result < 0) {
        return result;
    }
    result = kvm_ioctl(vp->fd, KVM_GET_LAPIC, &apic);
    if (result < 0) {
        return result;
    }
    store_le32(&apic.regs[APIC_LVT_LINT0], APIC_DELIVER_EXTINT);
    store_le32(&apic.regs[APIC_LVT_LINT1], APIC_DELIVER_NMI);
    return kvm_ioctl(vp->fd, KVM_SET_LAPIC, &apic);
}

/// Makes the VP in the partition's present VM and maps its run area, at vp->run if that is set.
static int vp_open(struct vp *vp) {
    struct partition *partition = vp->partition;
    int flags = MAP_SHARED | (vp->run ? MAP_FIXED : 0);
    void *run;
    int result;

    vp->fd = kvm_ioctl(partition->vm_fd, KVM_CREATE_VCPU, (void *)(uintptr_t)vp->index);
    if (vp->fd < 0) {
        return vp->fd;
    }
    run = mmap(vp->run, partition->run_bytes, PROT_READ | PROT_WRITE, flags, vp->fd, 0);
    if (run == MAP_FAILED) {
        return -errno;
    }
    vp->run = run;
    vp->pending = VP_EXIT_NONE;
    kvm_ioctl(vp->fd, KVM_SET_TSC_KHZ, NULL); // as make_vm() does, for kernels before 5.18
    result = kvm_cpuid_apply(partition, vp->index, vp->fd);
    return result < 0 || partition->has_firmware ? result : set_firmware_state(vp);
}

int kvm_vp_new(struct partition *partition, uint32_t index, struct vp **out) {
    struct sigaction action = {.sa_handler = kick_handler};
    struct vp *vp;
    int result;

    if (index >= partition->vp_count) {
        return -EINVAL;
    }
    vp = calloc(1, sizeof(*vp));
    if (vp == NULL) {
        return -ENOMEM;
    }
    sigaction(KICK_SIGNAL, &action, NULL);
    vp->partition = partition;
    vp->index = index;
    vp->thread = pthread_self();
    result = vp_open(vp);
    if (result < 0) {
        kvm_vp_free(vp);
        return result;
    }
    *out = vp;
    return 0;
}

void kvm_vp_free(struct vp *vp) {
    if (vp == NULL) {
        return;
    }
    if (vp->run) {
        munmap(vp->run, vp->partition->run_bytes);
    }
    if (vp->fd >= 0) {
        close(vp->fd);
    }
    free(vp);
}

int kvm_vp_reset(struct vp *vp) {
    int old = vp->fd;
    int result = vp_open(vp);

    // The old VM and its mapping go when its last VP has gone.
    close(old);
    if (result == 0) {
        // A wake-up that came meanwhile was written into the old run area, and nobody asks for the
        // next one before this one is taken: look for work once.
        __atomic_store_n(&vp->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    }
    return result;
}

void kvm_vp_kick(struct vp *vp) {
    __atomic_store_n(&vp->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    pthread_kill(vp->thread, KICK_SIGNAL);
}

volatile uint8_t *kvm_vp_wake_flag(struct vp *vp) {
    return &vp->run->immediate_exit;
}

static void fail(struct vp_exit *exit, const char *what, uint64_t a, uint64_t b, uint64_t c,
                 uint64_t d) {
    exit->kind = VP_EXIT_FAILED;
    exit->failed = (struct vp_exit_failed){.what = what, .detail = {a, b, c, d}};
}

static void decode_pio(struct vp *vp, struct vp_exit *exit) {
    const struct kvm_run *run = vp->run;

    exit->kind = VP_EXIT_PIO;
    exit->pio.port = run->io.port;
    exit->pio.size = run->io.size;
    exit->pio.is_write = run->io.direction == KVM_EXIT_IO_OUT;
    exit->pio.count = run->io.count;
    exit->pio.data = (uint8_t *)vp->run + run->io.data_offset;
}

static void decode_mmio(struct vp *vp, struct vp_exit *exit) {
    const struct kvm_run *run = vp->run;

    if (run->mmio.len > sizeof(run->mmio.data)) {
        fail(exit, "KVM reported an impossible MMIO size", run->mmio.len, 0, 0, 0);
        return;
    }
    exit->kind = VP_EXIT_MMIO;
    exit->mmio.gpa = gpa(run->mmio.phys_addr);
    exit->mmio.size = (uint8_t)run->mmio.len;
    exit->mmio.is_write = run->mmio.is_write;
    exit->mmio.value = 0;
    if (run->mmio.is_write) {
        memcpy(&exit->mmio.value, run->mmio.data, exit->mmio.size);
    }
}

static void decode_msr(struct vp *vp, struct vp_exit *exit, bool is_write) {
    exit->kind = VP_EXIT_MSR;
    exit->msr.index = vp->run->msr.index;
    exit->msr.is_write = is_write;
    exit->msr.value = is_write ? vp->run->msr.data : 0;
    exit->msr.fault = false;
}

static void decode_hypercall(struct vp *vp, struct vp_exit *exit) {
    exit->kind = VP_EXIT_HYPERCALL;
    exit->hypercall.number = vp->run->hypercall.nr;
    for (unsigned i = 0; i < 5; i++) {
        exit->hypercall.args[i] = vp->run->hypercall.args[i];
    }
    exit->hypercall.result = 0;
}

/// The dispatcher: every reason of KVM's that can reach us, everything else is a failure.
static void decode(struct vp *vp, struct vp_exit *exit) {
    const struct kvm_run *run = vp->run;

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        decode_pio(vp, exit);
        break;
    case KVM_EXIT_MMIO:
        decode_mmio(vp, exit);
        break;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        decode_msr(vp, exit, run->exit_reason == KVM_EXIT_X86_WRMSR);
        break;
    case KVM_EXIT_HYPERCALL:
        decode_hypercall(vp, exit);
        break;
    case KVM_EXIT_HLT:
        exit->kind = VP_EXIT_HALT;
        break;
    case KVM_EXIT_SHUTDOWN:
        exit->kind = VP_EXIT_SHUTDOWN;
        break;
    case KVM_EXIT_IOAPIC_EOI:
        exit->kind = VP_EXIT_EOI;
        exit->eoi.vector = run->eoi.vector;
        break;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_SET_TPR:
        exit->kind = VP_EXIT_NONE;
        break;
    case KVM_EXIT_FAIL_ENTRY:
        fail(exit, "the processor refused to enter the guest",
             run->fail_entry.hardware_entry_failure_reason, run->fail_entry.cpu, 0, 0);
        exit->failed.by_guest = true; // it owns the state that was refused
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        fail(exit, "KVM internal error", run->internal.suberror, run->internal.data[0],
             run->internal.data[1], run->internal.data[2]);
        // Code or tables where no memory is, an instruction on MMIO that KVM does not know.
        exit->failed.by_guest = true;
        break;
    case KVM_EXIT_SYSTEM_EVENT:
        fail(exit, "KVM system event", run->system_event.type, run->system_event.ndata, 0, 0);
        break;
    default:
        fail(exit, "unknown KVM exit", run->exit_reason, run->hw.hardware_exit_reason, 0, 0);
        break;
    }
}

/// Hands the handled exit's result to KVM, which takes it at the next KVM_RUN. Port data is in
/// place already.
static void finish(struct vp *vp, const struct vp_exit *exit) {
    struct kvm_run *run = vp->run;

    if (vp->pending == VP_EXIT_MMIO) {
        memcpy(run->mmio.data, &exit->mmio.value, sizeof(exit->mmio.value));
    } else if (vp->pending == VP_EXIT_MSR) {
        run->msr.data = exit->msr.value;
        run->msr.error = exit->msr.fault;
    } else if (vp->pending == VP_EXIT_HYPERCALL) {
        run->hypercall.ret = exit->hypercall.result;
    }
    vp->pending = VP_EXIT_NONE;
}

static int enter(struct vp *vp, struct vp_exit *exit) {
    if (syscall(SYS_ioctl, vp->fd, KVM_RUN, 0) < 0) { // the C library's ioctl() does more
        // EAGAIN: a VP that waits for SIPI was woken for something else.
        if (errno == EINTR || errno == EAGAIN) {
            exit->kind = VP_EXIT_WAKE;
            return 0;
        }
        fail(exit, "KVM_RUN failed", (uint64_t)errno, vp->run->exit_reason, 0, 0);
        // EIO: KVM has given up this VM, for what a guest can do (system management interrupts).
        // A reset makes a new one.
        exit->failed.by_guest = exit->failed.detail[0] == EIO;
        return 0;
    }
    decode(vp, exit);
    vp->pending = exit->kind;
    return 0;
}

int kvm_vp_run(struct vp *vp, struct vp_exit *exit) {
    if (vp->pending != VP_EXIT_NONE) {
        finish(vp, exit);
    }
    if (vp->extint && vp->run->ready_for_interrupt_injection) {
        exit->kind = VP_EXIT_EXTINT;
        return 0;
    }
    vp->run->request_interrupt_window = vp->extint;
    return enter(vp, exit);
}

// KVM says when its local APIC lets an interrupt of the PICs through (LINT0 or APIC off) and the
// processor takes one: section 5, ready_for_interrupt_injection.

int kvm_vp_extint_line(struct vp *vp, bool level) {
    vp->extint = level;
    return 0;
}

int kvm_vp_extint_inject(struct vp *vp, uint8_t vector) {
    struct kvm_interrupt interrupt = {.irq = vector};

    vp->run->ready_for_interrupt_injection = 0; // one at a time: KVM sets it anew when it was taken
    return kvm_ioctl(vp->fd, KVM_INTERRUPT, &interrupt);
}

int kvm_vp_settle(struct vp *vp, struct vp_exit *exit) {
    int result;

    if (vp->pending != VP_EXIT_NONE) {
        finish(vp, exit);
    }
    // Stays set: clearing it could swallow a wake-up; the next vp_run returns once for nothing.
    __atomic_store_n(&vp->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    result = enter(vp, exit);
    if (exit->kind == VP_EXIT_WAKE) {
        exit->kind = VP_EXIT_NONE;
    }
    return result;
}
