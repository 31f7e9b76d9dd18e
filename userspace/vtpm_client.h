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
#include <stdbool.h>

/// An operation that the owner waits for.
struct vtpm_pending {
    bool active;   ///< done is still to be called
    bool unsent;   ///< its message is still to be written
    bool finished; ///< result is known
    uint32_t sequence;
    int64_t result;
    tpm_done_fn done;
    void *owner;
};

struct vtpm_client {
    struct tpm_backend backend; ///< give &client->backend to tpm_crb_init()
    struct loop *loop;
    struct loop_task task; ///< brings the calls of any thread to the loop

    pthread_mutex_t lock; ///< after the device's; for all of the following
    bool dead;            ///< nothing more is sent or believed
    bool ready;           ///< READY has come
    int attach_fd;        ///< the next socket; -1: none
    bool closing;
    uint32_t last_sequence;
    struct vtpm_pending command, power;
    uint8_t locality;
    uint8_t *buffer; ///< of the command's owner
    size_t command_bytes;
    uint32_t cancel_sequence; ///< to be sent; 0: none
    void (*closed)(void *ctx);
    void *closed_ctx;

    int fd; ///< owned; -1 when there is none
    bool reading, writing;

    // the loop's thread alone, but for incoming, which is the reader's
    struct loop_io read_io, write_io;
    struct iovec read_iov, write_iov;
    struct loop_timer power_timer, command_timer;
    uint8_t incoming[VTPM_MESSAGE_MAX_BYTES + 1]; ///< one more: a packet too long shows
    uint8_t outgoing[VTPM_MESSAGE_MAX_BYTES];
};

/// A reset may not hang on a process that hangs: it is given up after this time.
#define VTPM_POWER_CYCLE_MAX_NS 60000000000ull
/// Nor may a save. Far more than the slowest command needs (an RSA key, on an emulated processor).
#define VTPM_COMMAND_MAX_NS 300000000000ull

/// Prepares the client on a loop; takes the descriptor over (SOCK_SEQPACKET), -1 for none yet.
/// SIGPIPE must be ignored in the process. Any thread, before or while the loop runs.
void vtpm_client_init(struct vtpm_client *client, struct loop *loop, int fd);

/// Replaces a process by a new one, at a guest reset only (see vtpm.h). What was in flight ends
/// with -EIO. Takes the descriptor over. Any thread.
void vtpm_client_attach(struct vtpm_client *client, int fd);

/// Whether the process is gone or was never there.
bool vtpm_client_is_dead(struct vtpm_client *client);

/// Ends everything: what is in flight completes with -EIO, the descriptor is closed (the process
/// then ends by itself), and no other call may follow. closed(ctx) is called last, on the loop; the
/// struct may be freed then.
void vtpm_client_close(struct vtpm_client *client, void (*closed)(void *ctx), void *ctx);
