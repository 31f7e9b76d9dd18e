// SPDX-License-Identifier: MIT
//
// The TPM 2.0 command processor as the CRB device sees it: it lives in another process
// (userspace/vtpm*), answers asynchronously and may die at any time.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TPM_BUFFER_BYTES 4096u

struct tpm_backend;

/// The end of one submit() or power_cycle(), called exactly once for each that returned 0, on the
/// backend's loop, never from inside submit(), cancel() or power_cycle(), with no lock held.
/// result: response size in bytes (it stands in the buffer given to submit; 0 for a power cycle) or
/// -errno when the processor is gone or has answered nonsense. The response's contents are not
/// checked: the owner does that.
typedef void (*tpm_done_fn)(void *owner, int64_t result);

/// All three may be called on any thread, with the device's lock held.
struct tpm_backend_ops {
    /// Runs one command at a locality; response overwrites buffer (TPM_BUFFER_BYTES), which belongs
    /// to the backend until done. A short command may be over at once: the response's size, done is
    /// not called then. Nor with -EBUSY when one is running, -EIO when the processor is gone,
    /// -EINVAL when the size is 0 or above the buffer's.
    int (*submit)(struct tpm_backend *b, uint8_t locality, uint8_t *buffer, size_t command_bytes,
                  tpm_done_fn done, void *owner);
    /// TPM2 cancel: the running command ends early (its done still comes). Nothing when none runs.
    void (*cancel)(struct tpm_backend *b);
    /// Power cycle (TPM _Init after a guest reset); asynchronous, done(result 0 or -errno). With a
    /// command running it is cancelled and its done comes first. -EBUSY, -EIO as above.
    int (*power_cycle)(struct tpm_backend *b, tpm_done_fn done, void *owner);
};

struct tpm_backend {
    const struct tpm_backend_ops *ops;
};
