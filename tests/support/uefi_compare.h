// SPDX-License-Identifier: MIT
//
// Two variable services asked the same: ours, and QEMU's, which is either running (uefi_qemu.h) or
// has left its answers in a file, one line a message: transport's result, EFI status, CRC-32 of the
// answered message.
#pragma once

#include "tests/support/uefi_client.h"

#include <stdio.h>

struct uefi_comparison {
    struct uefi_fixture ours;
    const char *known; ///< why the next answer differs; NULL: it may not. A test sets it
    unsigned message_count, known_count, wrong_count;
    bool show; ///< prints known differences too
    // private
    struct uefi_qemu *live;  ///< NULL: recorded
    FILE *recorded, *record; ///< read; written, or NULL
};

/// Asks a running QEMU (program; NULL: none) or the file at recorded_path; writes QEMU's answers to
/// record_path (NULL: no). 0 or -errno. c->ours.client is the client to use.
int uefi_compare_start(struct uefi_comparison *c, const char *program, const char *recorded_path,
                       const char *record_path);
void uefi_compare_stop(struct uefi_comparison *c);
