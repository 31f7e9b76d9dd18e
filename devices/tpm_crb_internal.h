// SPDX-License-Identifier: MIT
//
// Between the files of the TPM's CRB (tpm_crb.h). All with the device's lock held.
#pragma once

#include "devices/tpm_crb.h"

#define AREA "tpm-crb"

#define TPM_RC_FAILURE 0x101u ///< TPM 2.0 library, part 2

/// CTRL_START: takes the command that was written into the page; if none was, the one in RAM.
void tpm_crb_start(struct tpm_crb *crb);

/// Ends the execution with a response of ours: a header and nothing else.
void tpm_crb_complete_with(struct tpm_crb *crb, uint32_t rc);

/// What CTRL_CANCEL asks for: the backend ends the command early, or we do when it still waits for
/// an aborted one to end.
void tpm_crb_cancel(struct tpm_crb *crb);
void tpm_crb_cancel_in_flight(struct tpm_crb *crb);

/// To Idle from anywhere; a running command is cancelled and its answer will be dropped.
void tpm_crb_go_idle(struct tpm_crb *crb);

/// Commands and responses carry secrets: nothing of the last one stays.
void tpm_crb_forget(struct tpm_crb *crb);

/// Brings the page that the guest reads without leaving to us up to date.
void tpm_crb_publish(struct tpm_crb *crb);
