// SPDX-License-Identifier: MIT
//
// What is left of Intel's PIIX in a machine for OvmfPkg's i440fx personality: the ISA bridge
// 8086:7000 (82371SB), behind which COM1 and the RTC are found, and the power management function
// 8086:7113 (82371AB), where firmware sets the ACPI block's base address. Configuration registers
// only; the ports themselves are other devices'.
#pragma once

#include "devices/pci.h"

#define PIIX_ISA_INDEX 0u ///< functions of one slot
#define PIIX_PM_INDEX  3u

#define PIIX_PM_BASE_OFF 0x40u ///< PMBA: bit 0 always 1, bits 6 to 15 the base
#define PIIX_PM_MISC_OFF 0x80u ///< PMREGMISC: bit 0 enables the block

struct piix {
    struct pci_function isa, pm; ///< their devices: register both with the machine
};

/// Puts both functions into a slot. pci_attach()'s errors.
int piix_init(struct piix *piix, struct pci_root *root, unsigned slot);
