// SPDX-License-Identifier: MIT
//
// TPM 2.0 command response buffer (CRB) interface: TCG PC Client Platform TPM Profile 1.05, section
// 6.5.3, five localities of 4 KiB each at 0xFED40000. No interrupts: the guest polls. ACPI
// announces it by a TPM2 table with start method 7 and control area TPM_CRB_CONTROL_GPA, and by a
// device MSFT0101 whose memory resource is the whole range.
//
// An access of the guest costs an exit, and a command through the page some forty. Two things spare
// most of them: a page of the guest's RAM for commands and responses, which the address registers
// name (EDK II writes into the page all the same: a command that was not written there stands in
// RAM); and memory that the guest reads at locality 0's page in place of asking us.
#pragma once

#include "devices/bus.h"
#include "devices/device.h"
#include "devices/guest_memory.h"
#include "devices/tpm_backend.h"

#define TPM_CRB_GPA            0xFED40000ull
#define TPM_CRB_LOCALITIES     5u
#define TPM_CRB_LOCALITY_BYTES 4096u
#define TPM_CRB_BYTES          (TPM_CRB_LOCALITIES * TPM_CRB_LOCALITY_BYTES)
#define TPM_CRB_CONTROL_GPA    (TPM_CRB_GPA + 0x40) ///< for the ACPI TPM2 table
#define TPM_CRB_DATA_OFF       0x80u
#define TPM_CRB_DATA_BYTES     (TPM_CRB_LOCALITY_BYTES - TPM_CRB_DATA_OFF) ///< 3968

/// PTP 1.05 section 6.5.3.8: the states of the command interface.
enum tpm_crb_phase {
    TPM_CRB_IDLE,
    TPM_CRB_READY,      ///< waits for a command
    TPM_CRB_RECEPTION,  ///< the guest writes one
    TPM_CRB_EXECUTION,  ///< the backend has it, or will as soon as it is rid of an aborted one
    TPM_CRB_COMPLETION, ///< the response stands in the data buffer
};

#define TPM_CRB_NO_LOCALITY 0xFFu

/// Volatile guest-visible state; the table in tpm_crb.c describes it.
struct tpm_crb_state {
    uint8_t phase;           ///< enum tpm_crb_phase
    uint8_t active_locality; ///< 0..3, or TPM_CRB_NO_LOCALITY
    uint8_t requests;        ///< bit per locality that waits for access
    uint8_t seized;          ///< bit per locality: beenSeized
    uint8_t cancel;          ///< what CTRL_CANCEL reads back, 0 or 1
    uint8_t from_ram;        ///< 1: the command came from the guest's RAM, its response goes there
    uint64_t ram_gpa;        ///< in a saved state: the buffer in RAM, 0: none. The guest knows it
    uint8_t data[TPM_CRB_DATA_BYTES];
};

struct tpm_crb {
    struct device device;

    // glue
    struct tpm_backend *backend;
    const struct guest_memory *memory; ///< NULL: no buffer in RAM
    gpa_t ram_gpa;
    uint8_t *page;                 ///< NULL: every read comes to us
    bool in_flight;                ///< the backend owns buffer
    uint32_t generation;           ///< counts aborted commands and resets
    uint32_t in_flight_generation; ///< generation the command in flight belongs to
    device_reset_done_fn reset_done;
    void *reset_ctx;
    device_reset_done_fn pause_done;
    void *pause_ctx;
    uint64_t commands; ///< counters for inspect: given to the backend,
    uint64_t failures; ///< and answered with a failure of our own making
    uint8_t buffer[TPM_BUFFER_BYTES];

    struct tpm_crb_state state;
};

struct tpm_crb_config {
    /// Outlives the device; NULL gives a TPM that answers every command with TPM_RC_FAILURE.
    struct tpm_backend *backend;
    /// The guest's memory, of which the 4 KiB at ram_gpa are for commands and responses: nobody
    /// else's, and told to the guest as reserved. NULL: it writes them into the device's pages.
    const struct guest_memory *memory;
    gpa_t ram_gpa;
    /// 4 KiB, page aligned, that the caller shows the guest read-only at TPM_CRB_GPA; they outlive
    /// the device. NULL: it reads through the bus.
    uint8_t *page;
};

/// Sets the device up and adds its region to the MMIO bus. -EINVAL when ram_gpa is no page of RAM,
/// and bus_add()'s errors. The caller registers crb->device with the machine.
int tpm_crb_init(struct tpm_crb *crb, const struct tpm_crb_config *config, struct bus *mmio);
