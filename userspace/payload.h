// SPDX-License-Identifier: MIT
//
// Where VTL0's kernel and initrd, or its firmware, come from: files named in the configuration
// (plain host), or what the host parked in VTL0's memory, verified against the measured digests.
#pragma once

#include "userspace/config.h"
#include "userspace/guest_ram.h"
#include "userspace/linux_loader.h"

#include <pthread.h>

/// One file. The digest's thread reads it and writes genuine; everything else is set before.
struct payload_file {
    const char *what;
    uint8_t *bytes; ///< NULL: none
    size_t size_bytes;
    uint8_t sha384[LINUX_LOADER_DIGEST_BYTES];
    bool verifying; ///< thread is to be joined
    bool genuine;
    pthread_t thread;
};

/// The ROM ends at 4 GiB and begins above the local APICs' and the TPM's pages.
#define PAYLOAD_FIRMWARE_MAX_BYTES (8u << 20)

struct payload {
    struct payload_file kernel, initrd; ///< none when firmware boots
    struct payload_file firmware;
};

/// Copies what the guest boots from into memory of our own (kept for restarts of the guest) and
/// starts verifying the copies on threads of their own: nobody may use them before payload_check().
/// -errno with a log line. Free with payload_free.
int payload_load(const struct config *config, const struct host_info *info,
                 const struct guest_ram *ram, struct payload *out);

/// Waits for the verification. 0: all are what the image measured. -EBADMSG with a log line.
int payload_check(struct payload *payload);
void payload_free(struct payload *payload);
