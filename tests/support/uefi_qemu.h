// SPDX-License-Identifier: MIT
//
// QEMU's own variable device (10.0 and later), driven by the qtest protocol: no guest runs, every
// register access is ours.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct uefi_qemu {
    pid_t pid;
    FILE *to, *from;
    char state_path[64]; ///< the device's JSON
};

/// Starts QEMU by this command (a program without arguments) and its device's driver. 0 or -errno.
int uefi_qemu_start(struct uefi_qemu *qemu, const char *command);
void uefi_qemu_stop(struct uefi_qemu *qemu);

/// One message of up to 64 KiB, in place. 0, -ENOTSUP and -EMSGSIZE as our device's backend gives
/// them, -EIO for all else.
int uefi_qemu_call(struct uefi_qemu *qemu, uint8_t *message, size_t size_bytes);
