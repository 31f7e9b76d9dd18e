// SPDX-License-Identifier: MIT
//
// What the supervisor gives its workers in pipes, where it stands in no argument and no
// environment: a pipe holds the bytes and ends behind them. Each returns the reading end, -1 with
// a line in the log.
#pragma once

#include "userspace/config.h"
#include "userspace/host_info.h"

/// The guest state's key, for the vault.
int workers_key_pipe(const struct config *config);

/// What is measured for a guest without firmware (vtpm_events.h): its kernel, command line and
/// initrd, in the PCRs that they have in a boot by EFI (kernel: PCR 4, the others: PCR 9).
int workers_events_pipe(const struct config *config, const struct host_info *info);
