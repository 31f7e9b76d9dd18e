// SPDX-License-Identifier: MIT
//
// Ending the machine on vsm: VTL2's kernel has no way to power off of its own there (no ACPI).
#pragma once

/// Asks the host to power the machine off (TLFS, HvCallEnterSleepState). For init, which has no
/// partition. Returns only when that failed: -errno.
int vsm_power_off(void);
