// SPDX-License-Identifier: MIT
//
// Powering off by hypercall, through a descriptor that allows nothing else. See power.h.
#include "vtl2/vsm/power.h"

#include "vtl2/vsm/mshv_abi.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define SLEEP_STATE_S5 5u

int vsm_power_off(void) {
    uint8_t bitmap[HV_CALL_ENTER_SLEEP_STATE / 8 + 1] = {0};
    const struct mshv_hvcall_setup setup = {
        .bitmap_bytes = sizeof(bitmap),
        .bitmap = (uintptr_t)bitmap,
    };
    const uint32_t state = SLEEP_STATE_S5;
    struct mshv_hvcall call = {
        .control = HV_CALL_ENTER_SLEEP_STATE,
        .input_bytes = sizeof(state),
        .input = (uintptr_t)&state,
    };
    int fd = open(MSHV_HVCALL_DEVICE, O_RDWR | O_CLOEXEC);
    int result = 0;

    if (fd < 0) {
        return -errno;
    }
    bitmap[HV_CALL_ENTER_SLEEP_STATE / 8] = 1u << (HV_CALL_ENTER_SLEEP_STATE % 8);
    if (ioctl(fd, (int)MSHV_HVCALL_SETUP, &setup) < 0 || ioctl(fd, (int)MSHV_HVCALL, &call) < 0) {
        result = -errno;
    }
    close(fd);
    return result < 0 ? result : -EIO;
}
