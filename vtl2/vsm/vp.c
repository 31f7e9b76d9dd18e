// SPDX-License-Identifier: MIT
//
// One VP of VTL0: its pages, entering it and coming back. mshv_vtl works on the VP of the CPU that
// its caller runs on, so the VP's thread must be pinned to the CPU of the same number.
//
// What makes RETURN_TO_LOWER_VTL return: an intercept; a signal or io_uring task work (the driver
// looks for both before it enters VTL0, and every interrupt of VTL2's brings it back there); a
// non-zero cancel word, whose first byte is the VP's wake flag. The driver looks at cancel with
// interrupts off. Task work that arrives between its two looks is seen at the next interrupt, at
// the latest at the kernel's tick.
#include "vtl2/vsm/internal.h"

#include "igvm/base/log.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KICK_SIGNAL SIGUSR1

static void kick_handler(int signal_number) {
    (void)signal_number; // its arrival is the message
}

/// The CPU that the calling thread is bound to, or -EINVAL when it can move.
static int pinned_cpu(void) {
    cpu_set_t set;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) < 0) {
        return -errno;
    }
    if (CPU_COUNT(&set) != 1) {
        return -EINVAL;
    }
    return sched_getcpu();
}

static void *map_page(const struct partition *partition, uint64_t offset) {
    void *page = mmap(NULL, PAGE_SIZE_4K, PROT_READ | PROT_WRITE, MAP_SHARED, partition->vtl_fd,
                      (off_t)offset);

    return page == MAP_FAILED ? NULL : page;
}

/// Even a VTL0 that sleeps in HLT is, for VTL2's scheduler, a thread that never gives up its
/// processor. It gets what nobody else wants: the vTPM, block I/O workers and the kernel's own
/// threads go first, and interrupt it at once.
static void yield_to_others(void) {
    const struct sched_param none = {0};

    // By the system call: some C libraries have no working function for it. Without it: slower.
    if (syscall(SYS_sched_setscheduler, 0, SCHED_IDLE, &none) < 0) {
        log_write(LOG_DEBUG, "vsm", "SCHED_IDLE: %s", strerror(errno));
    }
}

static int vp_open(struct vp *vp) {
    const struct partition *partition = vp->partition;
    uint64_t vp_index = vp->index;
    int cpu = pinned_cpu();

    if (cpu < 0) {
        return cpu;
    }
    // The CPU's VP must be the one that we are asked for. A hypervisor that does not say is trusted
    // to number them alike.
    if ((uint32_t)cpu != vp->index ||
        (vsm_get_own_u64(partition, HV_REGISTER_VP_INDEX, &vp_index) == 0 &&
         vp_index != vp->index)) {
        log_write(LOG_ERROR, "vsm", "VP %u can only run on the processor of its number, not on %d",
                  vp->index, cpu);
        return -EXDEV;
    }
    vp->run = map_page(partition, MSHV_RUN_PAGE_OFFSET(cpu));
    if (vp->run == NULL) {
        return -errno;
    }
    if (partition->has_register_page) {
        vp->registers = map_page(partition, MSHV_REGISTER_PAGE_OFFSET(cpu));
        if (vp->registers == NULL) {
            return -errno;
        }
    }
    yield_to_others();
    return vsm_vp_reset(vp);
}

int vsm_vp_new(struct partition *partition, uint32_t index, struct vp **out) {
    struct sigaction action = {.sa_handler = kick_handler};
    struct vp *vp;
    int result;

    if (index >= partition->config.vp_count) {
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
        vsm_vp_free(vp);
        return result;
    }
    *out = vp;
    return 0;
}

void vsm_vp_free(struct vp *vp) {
    if (vp == NULL) {
        return;
    }
    if (vp->run) {
        munmap(vp->run, PAGE_SIZE_4K);
    }
    if (vp->registers) {
        munmap(vp->registers, PAGE_SIZE_4K);
    }
    free(vp);
}

void vsm_vp_kick(struct vp *vp) {
    __atomic_store_n(&vp->run->cancel, 1, __ATOMIC_SEQ_CST);
    pthread_kill(vp->thread, KICK_SIGNAL);
}

volatile uint8_t *vsm_vp_wake_flag(struct vp *vp) {
    return (volatile uint8_t *)&vp->run->cancel; // little-endian: any bit in it counts
}

// ---- the PICs' interrupt line ----

static int update_window(struct vp *vp) {
    int result;

    if (vp->window_requested == vp->extint_level) {
        return 0;
    }
    result = vsm_set_u64(vp->partition, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS,
                         vp->extint_level ? HV_DELIVERABILITY_INTERRUPT : 0);
    vp->window_requested = result == 0 && vp->extint_level;
    return result;
}

int vsm_extint_line(struct vp *vp, bool level) {
    vp->extint_level = level;
    return 0; // vp_run tells the hypervisor
}

// ---- running ----

int vsm_vp_run(struct vp *vp, struct vp_exit *exit) {
    static const uint64_t nothing[3];
    int result = vp->pending != VP_EXIT_NONE ? vsm_finish(vp, exit) : 0;

    if (result == 0) {
        result = update_window(vp);
    }
    if (result < 0) {
        vsm_vp_fail(exit, "VTL0's registers cannot be set", result, nothing);
        return 0;
    }
    if (syscall(SYS_ioctl, vp->partition->vtl_fd, MSHV_RETURN_TO_LOWER_VTL, 0) < 0) {
        // VTL0 may have run, or not at all: what the page shows is of no intercept.
        if (errno == EINTR) {
            vp->page_fresh = vp->page_fresh && vp->registers->dirty != 0;
            exit->kind = VP_EXIT_WAKE;
            return 0;
        }
        result = errno;
        exit->kind = VP_EXIT_FAILED;
        exit->failed = (struct vp_exit_failed){.what = "RETURN_TO_LOWER_VTL failed",
                                               .detail = {(uint64_t)result}};
        return 0;
    }
    vp->page_fresh = vp->registers && vp->registers->is_valid &&
                     vp->registers->version == HV_REGISTER_PAGE_VERSION;
    vsm_handle(vp, exit);
    return 0;
}

int vsm_vp_settle(struct vp *vp, struct vp_exit *exit) {
    int result = vp->pending != VP_EXIT_NONE ? vsm_finish(vp, exit) : 0;

    exit->kind = VP_EXIT_NONE;
    return result;
}
