// SPDX-License-Identifier: MIT
//
// The hostile guest's victims: devices taken from their drivers, and given back afterwards.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct victim {
    char name[16]; ///< 0000:00:02.0
};

/// Garbage, the same in every run; extremes more often than chance.
uint32_t garbage(void);

/// Takes the virtio functions that are not a console or a serial port from their driver. How many.
unsigned victims_unbind(struct victim *victims, unsigned max);

/// A descriptor of the function's configuration space.
int victim_config(const struct victim *victim);

/// Gives them back. How many have a working driver again.
unsigned victims_rebind(const struct victim *victims, unsigned count);

/// The TPM's CRB driver. false: there is none.
bool tpm_unbind(void);
bool tpm_rebind(void);
