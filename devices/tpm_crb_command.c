// SPDX-License-Identifier: MIT
//
// A command of the CRB from START to its response: TCG PC Client Platform TPM Profile (PTP) 1.05,
// section 6.5.3.8.
//
// A command is copied once, when it starts: from then on the guest can no longer change it, and the
// backend gets a copy of its own; its answer comes back on the backend's loop. What was aborted
// (seize, relinquish, reset) is told from what is awaited by a generation number, so that a late
// answer is dropped. A backend that is gone gives TPM_RC_FAILURE responses.
#include "devices/tpm_crb_internal.h"

#include "igvm/base/bytes.h"
#include "igvm/base/log.h"

#include <string.h>

// TPM 2.0 library, part 2.
#define TPM_HEADER_BYTES    10u
#define TPM_ST_RSP_COMMAND  0x00C4u
#define TPM_ST_NO_SESSIONS  0x8001u
#define TPM_ST_SESSIONS     0x8002u
#define TPM_RC_BAD_TAG      0x01Eu
#define TPM_RC_COMMAND_SIZE 0x142u
#define TPM_RC_CANCELED     0x909u

static void clear_data(struct tpm_crb *crb) {
    memset(crb->state.data, 0, sizeof(crb->state.data));
}

void tpm_crb_forget(struct tpm_crb *crb) {
    clear_data(crb);
    if (crb->state.from_ram && crb->memory) {
        guest_zero(crb->memory, crb->ram_gpa, TPM_CRB_DATA_BYTES); // RAM: tpm_crb_init() looked
    }
    crb->state.from_ram = 0;
}

/// The data is the response; it stands where the command did, too.
static void complete(struct tpm_crb *crb) {
    crb->state.phase = TPM_CRB_COMPLETION;
    if (crb->state.from_ram) {
        guest_write(crb->memory, crb->ram_gpa, crb->state.data, TPM_CRB_DATA_BYTES);
    }
}

void tpm_crb_complete_with(struct tpm_crb *crb, uint32_t rc) {
    // TPM 2.0 part 3, section 5.2: an unknown tag is answered in TPM 1.2's form.
    uint32_t tag = rc == TPM_RC_BAD_TAG ? TPM_ST_RSP_COMMAND : TPM_ST_NO_SESSIONS;

    clear_data(crb);
    store_le16(crb->state.data, __builtin_bswap16((uint16_t)tag));
    store_le32(crb->state.data + 2, __builtin_bswap32(TPM_HEADER_BYTES));
    store_le32(crb->state.data + 6, __builtin_bswap32(rc));
    complete(crb);
    crb->failures++;
}

/// Ends the execution with the backend's response in the private buffer, if it is one.
static void complete_from_buffer(struct tpm_crb *crb, int64_t result) {
    if (result < (int64_t)TPM_HEADER_BYTES || result > (int64_t)TPM_CRB_DATA_BYTES ||
        load_be32(crb->buffer + 2) != (uint32_t)result) {
        LOG_LIMITED(LOG_ERROR, AREA, "no usable answer from the TPM (%lld)", (long long)result);
        tpm_crb_complete_with(crb, TPM_RC_FAILURE);
        return;
    }
    clear_data(crb); // the command's tail is not part of the response
    memcpy(crb->state.data, crb->buffer, (size_t)result);
    complete(crb);
}

static void command_done(void *owner, int64_t result);

/// Gives the command in the data buffer to the backend, or answers it here. In phase EXECUTION,
/// where the guest cannot write the data buffer: what is checked is what is copied.
static void execute(struct tpm_crb *crb) {
    uint32_t tag = (uint32_t)crb->state.data[0] << 8 | crb->state.data[1];
    uint32_t size_bytes = load_be32(crb->state.data + 2);
    int r;

    if (tag != TPM_ST_NO_SESSIONS && tag != TPM_ST_SESSIONS) {
        tpm_crb_complete_with(crb, TPM_RC_BAD_TAG);
        return;
    }
    if (size_bytes < TPM_HEADER_BYTES || size_bytes > TPM_CRB_DATA_BYTES) {
        tpm_crb_complete_with(crb, TPM_RC_COMMAND_SIZE);
        return;
    }
    if (crb->in_flight) {
        return; // an aborted command still runs: command_done() comes back here
    }
    if (crb->backend == NULL) {
        tpm_crb_complete_with(crb, TPM_RC_FAILURE);
        return;
    }
    memcpy(crb->buffer, crb->state.data, size_bytes);
    r = crb->backend->ops->submit(crb->backend, crb->state.active_locality, crb->buffer, size_bytes,
                                  command_done, crb);
    crb->commands += r >= 0;
    if (r == 0) {
        crb->in_flight = true;
        crb->in_flight_generation = crb->generation;
        return;
    }
    if (r > 0) {
        complete_from_buffer(crb, r);
    } else {
        LOG_LIMITED(LOG_ERROR, AREA, "the TPM takes no command: %s", strerror(-r));
        tpm_crb_complete_with(crb, TPM_RC_FAILURE);
    }
    memset(crb->buffer, 0, sizeof(crb->buffer)); // as command_done() does
}

/// The command in the guest's RAM, copied once.
static bool fetch(struct tpm_crb *crb) {
    struct tpm_crb_state *s = &crb->state;

    if (crb->memory == NULL ||
        guest_read(crb->memory, crb->ram_gpa, s->data, sizeof(s->data)) != 0) {
        return false;
    }
    s->from_ram = 1;
    if (s->phase == TPM_CRB_COMPLETION) {
        s->cancel = 0; // it was for the last one
    }
    return true;
}

void tpm_crb_start(struct tpm_crb *crb) {
    uint8_t phase = crb->state.phase;

    if (phase == TPM_CRB_RECEPTION ||
        ((phase == TPM_CRB_READY || phase == TPM_CRB_COMPLETION) && fetch(crb))) {
        crb->state.phase = TPM_CRB_EXECUTION;
        execute(crb);
    }
}

static void command_done(void *owner, int64_t result) {
    struct tpm_crb *crb = owner;
    device_reset_done_fn paused = NULL;
    void *ctx = NULL;

    pthread_mutex_lock(&crb->device.lock);
    crb->in_flight = false;
    if (crb->state.phase == TPM_CRB_EXECUTION) {
        if (crb->in_flight_generation == crb->generation) {
            complete_from_buffer(crb, result);
        } else {
            execute(crb);
        }
        tpm_crb_publish(crb);
    }
    // Auth values and secrets are not kept longer than needed; the buffer is ours again.
    if (!crb->in_flight) {
        memset(crb->buffer, 0, sizeof(crb->buffer));
        paused = crb->pause_done;
        ctx = crb->pause_ctx;
        crb->pause_done = NULL;
    }
    pthread_mutex_unlock(&crb->device.lock);
    if (paused) {
        paused(ctx);
    }
}

void tpm_crb_cancel_in_flight(struct tpm_crb *crb) {
    if (crb->in_flight) {
        crb->backend->ops->cancel(crb->backend);
    }
}

void tpm_crb_cancel(struct tpm_crb *crb) {
    if (!crb->state.cancel || crb->state.phase != TPM_CRB_EXECUTION) {
        return;
    }
    if (crb->in_flight_generation == crb->generation) {
        tpm_crb_cancel_in_flight(crb);
    } else {
        tpm_crb_complete_with(crb, TPM_RC_CANCELED);
    }
}

void tpm_crb_go_idle(struct tpm_crb *crb) {
    if (crb->state.phase == TPM_CRB_EXECUTION) {
        crb->generation++;
        tpm_crb_cancel_in_flight(crb);
    }
    crb->state.phase = TPM_CRB_IDLE;
    crb->state.cancel = 0;
    tpm_crb_forget(crb);
}
