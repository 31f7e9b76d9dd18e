// SPDX-License-Identifier: MIT
//
// The TPM 2.0 command processor inside the vTPM process: libtpms, its callbacks and its first
// start. libtpms keeps its state in globals, so there is one engine per process. One thread calls
// start, run and power_cycle; cancel may come from another while run is running.
#pragma once

#include "userspace/vtpm_events.h"
#include "userspace/vtpm_store.h"

#include <stdbool.h>

/// What is done when there is no good state.
struct vtpm_engine_policy {
    bool never_manufacture;      ///< a blank store is a failure
    bool manufacture_if_corrupt; ///< keep corrupted state aside and begin anew
    /// Startup(CLEAR) and a full self-test at every power-on, as firmware does them, for a guest
    /// that is booted without any: it need not wait for the self-test then.
    bool play_firmware;
    const struct vtpm_events *events; ///< with play_firmware: measured after that; NULL: nothing
    bool make_identity;               ///< a new TPM gets keys and certificates: vtpm_identity.h
};

/// Loads the TPM from its store or manufactures one (PCR banks SHA-256 and SHA-384). 0, or -errno:
/// -ENOENT blank but not to be manufactured, -EBADMSG corrupted, -EIO. The engine is in failure
/// mode then: every command gets TPM_RC_FAILURE and the store is not touched.
int vtpm_engine_start(struct vtpm_store *store, const struct vtpm_engine_policy *policy);

/// Runs a command. response has capacity_bytes (at least 10). Returns the response's size.
size_t vtpm_engine_run(uint8_t locality, const uint8_t *command, size_t command_bytes,
                       uint8_t *response, size_t capacity_bytes);

/// Power off, power on (_TPM_Init). 0 or -EIO, then in failure mode.
int vtpm_engine_power_cycle(void);

/// Makes the command that runs end early. Any thread.
void vtpm_engine_cancel(void);

void vtpm_engine_stop(void);
