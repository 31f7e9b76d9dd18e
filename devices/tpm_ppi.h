// SPDX-License-Identifier: MIT
//
// Memory through which operating system and firmware talk about TPM operations that need the user's
// presence (TCG PC Client Physical Presence Interface 1.30): ACPI's _DSM
// (devices/acpi/ssdt_ppi.asl) leaves a request there, firmware carries it out at the next start.
// Layout: QEMU documentation, docs/specs/tpm.rst, "ACPI PPI interface"; fw_cfg's "etc/tpm/config"
// announces it.
#pragma once

#include "devices/bus.h"
#include "devices/device.h"

#define TPM_PPI_GPA   0xFED45000ull ///< behind the CRB's localities
#define TPM_PPI_BYTES 0x400u

#define TPM_PPI_CONFIG_FILE  "etc/tpm/config"
#define TPM_PPI_CONFIG_BYTES 6u

struct tpm_ppi_state {
    uint8_t bytes[TPM_PPI_BYTES];
};

/// Nobody on our side reads it: it is the guest's word to itself.
struct tpm_ppi {
    struct device device; ///< register it with the machine
    struct tpm_ppi_state state;
};

/// 0 or bus_add()'s error.
int tpm_ppi_init(struct tpm_ppi *ppi, struct bus *mmio);

/// Contents of TPM_PPI_CONFIG_FILE.
void tpm_ppi_config(uint8_t out[static TPM_PPI_CONFIG_BYTES]);
