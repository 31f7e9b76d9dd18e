// SPDX-License-Identifier: MIT
//
// The VM worker's end of the vTPM: a tpm_backend over the vTPM process's socket, living on one
// event loop. What the process sends is checked as if a stranger sent it: the first message that
// breaks the protocol, and the end of the socket, make the client dead: every operation answers
// -EIO from then on until another process is attached.
#pragma once

#include "devices/loop.h"
#include "devices/tpm_backend.h"
#include "userspace/vtpm_protocol.h"

#include <pthread.h>

/// A message on its way out.
struct vtpm_outgoing {
    bool queued;
    size_t size_bytes;
    uint8_t bytes[VTPM_MESSAGE_MAX_BYTES];
};

/// An operation that the owner waits for.
struct vtpm_pending {
    bool active;
    bool finished; ///< result is known, done is due
    uint32_t sequence;
    int64_t result;
    tpm_done_fn done;
    void *owner;
};

struct vtpm_client {
    struct tpm_backend backend; ///< give &client->backend to tpm_crb_init()

    // all below: under lock
    pthread_mutex_t lock;
    struct loop *loop;
    int fd; ///< owned; -1 when there is none
    bool dead;
    uint32_t next_sequence;
    uint8_t *response; ///< the buffer of the command in flight
    struct vtpm_pending command;
    struct vtpm_pending power;
    struct vtpm_outgoing command_out, cancel_out, power_out;
    struct vtpm_outgoing *writing; ///< what write_io sends now
    struct loop_task task;         ///< brings calls of any thread to the loop
    struct loop_io read_io, write_io;
    struct iovec read_iov, write_iov;
    bool reading;
    int attach_fd; ///< waits for the old socket's I/O to end; -1: none
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
    uint8_t incoming[VTPM_MESSAGE_MAX_BYTES + 1]; ///< one more, so that too much is seen
};

/// Prepares the client on a loop; takes the descriptor over (SOCK_SEQPACKET), -1 for none yet.
/// SIGPIPE must be ignored in the process. Any thread, before or while the loop runs.
void vtpm_client_init(struct vtpm_client *client, struct loop *loop, int fd);

/// Replaces a process by a new one, at a guest reset only (see vtpm.h). What was in flight ends
/// with -EIO. Takes the descriptor over. Any thread.
void vtpm_client_attach(struct vtpm_client *client, int fd);

/// Whether the process is gone or was never there.
bool vtpm_client_is_dead(struct vtpm_client *client);

/// Ends everything: what is in flight completes with -EIO, the descriptor is closed (the process
/// then ends by itself), and closed(ctx) is called on the loop; the struct may be freed then.
void vtpm_client_close(struct vtpm_client *client, void (*closed)(void *ctx), void *ctx);
