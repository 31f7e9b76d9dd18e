// SPDX-License-Identifier: MIT
//
// Where VTL0's kernel and initrd come from: files named in the configuration (plain host), or what
// the host parked in VTL0's memory, verified against the measured digests.
#pragma once

#include "userspace/config.h"
#include "userspace/guest_ram.h"
#include "userspace/linux_loader.h"

/// Copies both into memory of our own (kept for restarts of the guest) and verifies the copies.
/// -errno with a log line. Free with payload_free.
int payload_load(const struct config *config, const struct host_info *info,
                 const struct guest_ram *ram, struct linux_payload *out);
void payload_free(struct linux_payload *payload);
