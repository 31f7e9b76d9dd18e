// SPDX-License-Identifier: MIT
//
// The TPM 2.0 command processor as the CRB device sees it: it lives in another process
// (userspace/vtpm*), answers asynchronously and may die at any time.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TPM_BUFFER_BYTES 4096u

struct tpm_backend;

/// Called once per submitted command, on the device's loop. result: response size in bytes (it
/// stands in the buffer given to submit) or -errno when the processor is gone.
typedef void (*tpm_done_fn)(void *owner, int64_t result);

struct tpm_backend_ops {
    /// Runs one command at a locality; response overwrites buffer (TPM_BUFFER_BYTES). -EBUSY when
    /// one is running, -EIO when the processor is gone.
    int (*submit)(struct tpm_backend *b, uint8_t locality, uint8_t *buffer, size_t command_bytes,
                  tpm_done_fn done, void *owner);
    void (*cancel)(struct tpm_backend *b); ///< TPM2 cancel: the command ends early
    /// Power cycle (TPM _Init after a guest reset); asynchronous, done(result 0 or -errno).
    int (*power_cycle)(struct tpm_backend *b, tpm_done_fn done, void *owner);
};

struct tpm_backend {
    const struct tpm_backend_ops *ops;
};
