// SPDX-License-Identifier: MIT
//
// The floor of one access that VTL2 emulates: a VTL0 that does nothing but this access, a loop that
// does nothing but RETURN_TO_LOWER_VTL and step over the instruction. One turn is a VTL switch in
// each direction, through the host and Linux's driver; what a VMM costs above this is its own.
// Static, runs in VTL2's Linux in place of Parapet, mshv_vtl loaded.
//   vsm_floor [COUNT]  ->  PT value vsm-port-floor TSC_TICKS ticks   (best of three)
//                          PT value vsm-mmio-floor TSC_TICKS ticks

#include "vtl2/vsm/mshv_abi.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CODE_GPA      0x1000u
#define UNMAPPED_GPA  0xd0000000u
#define SCRATCH_PORT  0x3ffu
#define GPR_RDX       2u
#define FLAT_CODE     0xc09bu ///< 32-bit, 4 GiB, present, accessed
#define FLAT_DATA     0xc093u
#define CR0_PROTECTED 0x11u

struct floor {
    const char *name;
    uint8_t code[4]; ///< the access by EDX, and a jump back to it
    uint64_t length_bytes;
    uint64_t rdx;
    uint32_t message;
};

static const struct floor floors[] = {
    {"vsm-port-floor", {0xec, 0xeb, 0xfd}, 1, SCRATCH_PORT, HV_MESSAGE_IO_PORT_INTERCEPT},
    {"vsm-mmio-floor", {0x8b, 0x02, 0xeb, 0xfc}, 2, UNMAPPED_GPA, HV_MESSAGE_UNMAPPED_GPA},
};

static int vtl_fd;
static struct mshv_run *run;
static struct hv_register_page *registers;

static int stop(const char *what) {
    printf("PT fail vsm-floor %s: %s\n", what, strerror(errno));
    return 1;
}

static uint64_t ticks(void) {
    __builtin_ia32_lfence();
    return __builtin_ia32_rdtsc();
}

static int set(struct hv_register_assoc assoc) {
    struct mshv_vp_registers arguments = {.count = 1, .registers = (uintptr_t)&assoc};
    return ioctl(vtl_fd, (int)MSHV_SET_VP_REGISTERS, &arguments);
}

static int set_u64(uint32_t name, uint64_t value) {
    return set((struct hv_register_assoc){.name = name, .value.low = value});
}

/// 32-bit protected mode without paging: flat segments, so that the code needs no tables.
static int set_flat_mode(void) {
    static const uint32_t data[] = {HV_REGISTER_DS, HV_REGISTER_ES, HV_REGISTER_SS, HV_REGISTER_FS,
                                    HV_REGISTER_GS};
    struct hv_register_assoc segment = {
        .name = HV_REGISTER_CS,
        .value.segment = {.limit = 0xffffffff, .selector = 8, .attributes = FLAT_CODE},
    };
    int result = set(segment);
    for (unsigned i = 0; i < sizeof(data) / sizeof(data[0]); i++) {
        segment.name = data[i];
        segment.value.segment.selector = 16;
        segment.value.segment.attributes = FLAT_DATA;
        result |= set(segment);
    }
    result |= set_u64(HV_REGISTER_CR0, CR0_PROTECTED) | set_u64(HV_REGISTER_RFLAGS, 2);
    return result | set_u64(HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0);
}

/// The instruction is done: by the register page, which needs no hypercall, or without it.
static void step_over(const struct floor *floor) {
    if (registers && registers->is_valid) {
        registers->rip += floor->length_bytes;
        registers->dirty |= HV_REGISTER_PAGE_DIRTY_RIP;
    } else {
        set_u64(HV_REGISTER_RIP, CODE_GPA + floor->length_bytes);
    }
}

static double measure(const struct floor *floor, unsigned long count) {
    uint64_t start = ticks();
    for (unsigned long i = 0; i < count;) {
        if (syscall(SYS_ioctl, vtl_fd, MSHV_RETURN_TO_LOWER_VTL, 0) < 0) {
            if (errno != EINTR) {
                return -1;
            }
            continue;
        }
        if (run->message.header.type != floor->message) {
            errno = EPROTO;
            printf("PT message %#x\n", run->message.header.type);
            return -1;
        }
        run->gpr[0] = 0x5a;
        step_over(floor);
        i++;
    }
    return (double)(ticks() - start) / (double)count;
}

static int measure_floor(const struct floor *floor, uint8_t *code, unsigned long count) {
    double best = 0;
    memcpy(code, floor->code, sizeof(floor->code));
    run->gpr[GPR_RDX] = floor->rdx;
    if (registers) {
        registers->dirty = 0; // the last floor's step
    }
    if (set_u64(HV_REGISTER_RIP, CODE_GPA) != 0) {
        return stop("RIP");
    }
    for (int round = 0; round < 3; round++) {
        double each = measure(floor, count);
        if (each < 0) {
            return stop(floor->name);
        }
        best = round == 0 || each < best ? each : best;
    }
    printf("PT value %s %.6g ticks\n", floor->name, best);
    return 0;
}

static void *map(int fd, uint64_t offset) {
    void *page = mmap(NULL, PAGE_SIZE_4K, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
    return page == MAP_FAILED ? NULL : page;
}

int main(int argc, char **argv) {
    unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000;
    uint32_t extension = MSHV_EXTENSION_REGISTER_PAGE;
    char unused = 0;
    cpu_set_t cpu0;
    int result = 0;

    CPU_ZERO(&cpu0);
    CPU_SET(0, &cpu0);
    int mshv = open(MSHV_DEVICE, O_RDWR | O_CLOEXEC);
    int low = open(MSHV_VTL_LOW_DEVICE, O_RDWR | O_CLOEXEC);
    if (mshv < 0 || low < 0 || sched_setaffinity(0, sizeof(cpu0), &cpu0) != 0) {
        return stop(MSHV_DEVICE);
    }
    vtl_fd = ioctl(mshv, (int)MSHV_CREATE_VTL, &unused);
    run = vtl_fd < 0 ? NULL : map(vtl_fd, MSHV_RUN_PAGE_OFFSET(0));
    uint8_t *code = map(low, CODE_GPA);
    if (run == NULL || code == NULL) {
        return stop("pages");
    }
    if (ioctl(mshv, (int)MSHV_CHECK_EXTENSION, &extension) > 0) {
        registers = map(vtl_fd, MSHV_REGISTER_PAGE_OFFSET(0));
    }
    if (set_flat_mode() != 0) {
        return stop("registers");
    }
    for (unsigned i = 0; result == 0 && i < sizeof(floors) / sizeof(floors[0]); i++) {
        result = measure_floor(&floors[i], code, count);
    }
    return result;
}
