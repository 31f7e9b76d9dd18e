// SPDX-License-Identifier: MIT
//
// See low_memory.h.
#include "vtl2/vsm/low_memory.h"

#include "igvm/base/log.h"
#include "igvm/base/types.h"
#include "vtl2/vsm/mshv_abi.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/// The driver's descriptor is only needed for the call: what it adds stays.
static int add_struct_pages(uint64_t end_gpa) {
    const struct mshv_vtl_memory memory = {.start_pfn = 0, .end_pfn = end_gpa >> PAGE_SHIFT_4K};
    int fd = open(MSHV_DEVICE, O_RDWR | O_CLOEXEC), vtl = -1, result = 0;
    char unused = 0;

    if (fd < 0) {
        return -errno;
    }
    vtl = ioctl(fd, (int)MSHV_CREATE_VTL, &unused);
    if (vtl < 0 || ioctl(vtl, (int)MSHV_ADD_VTL0_MEMORY, &memory) < 0) {
        result = -errno;
    }
    if (vtl >= 0) {
        close(vtl);
    }
    close(fd);
    return result;
}

int vsm_low_memory_open(uint64_t end_gpa) {
    int result = end_gpa > 0 ? add_struct_pages(end_gpa) : 0;
    int fd;

    if (result < 0) {
        log_write(LOG_WARN, "memory", "%s: %s", MSHV_DEVICE, strerror(-result));
    }
    fd = open(MSHV_VTL_LOW_DEVICE, O_RDWR | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}
