// SPDX-License-Identifier: MIT
//
// The VM worker's end of the variable process: a backend of devices/uefi_vars.h over a socket.
// Calls wait for the answer, on the VP's thread, for a bounded time. What the process sends is
// checked as if a stranger sent it: the first packet that breaks the protocol, an answer that does
// not come, and the end of the socket make the client dead: every call answers -EIO from then on,
// at once, until another process is attached.
#pragma once

#include "devices/uefi_vars.h"
#include "userspace/uefi_vars_protocol.h"

#include <pthread.h>
#include <stdbool.h>

/// A call may take a write of the store to the guest state's disk; twice what that may take.
#define UEFI_VARS_CALL_MAX_MS 20000u

struct uefi_vars_client {
    struct uefi_vars_backend backend; ///< give &client->backend to uefi_vars_init()
    pthread_mutex_t lock;             ///< after the device's; for all of the following
    int fd;                           ///< owned; -1: dead
    bool ready;                       ///< READY has come
    uint32_t last_sequence;
    uint32_t call_max_ms;                           ///< UEFI_VARS_CALL_MAX_MS; tests shorten it
    uint8_t packet[UEFI_VARS_PACKET_MAX_BYTES + 1]; ///< one more: a packet too long shows
};

/// Takes the descriptor over (SOCK_SEQPACKET), -1 for none yet.
void uefi_vars_client_init(struct uefi_vars_client *client, int fd);

/// Replaces a process by a new one, at a guest reset only (uefi_vars.h). Takes the descriptor over.
void uefi_vars_client_attach(struct uefi_vars_client *client, int fd);

/// Whether the process is gone or was never there; looks at the socket.
bool uefi_vars_client_is_dead(struct uefi_vars_client *client);

/// The process's text about the variables (uefi_vars_inspect.h), at most room_bytes. The bytes
/// written, or -EIO. Any thread, not with the device's lock held.
int uefi_vars_client_inspect(struct uefi_vars_client *client, char *out, size_t room_bytes);

/// Closes the socket; the process then ends by itself.
void uefi_vars_client_close(struct uefi_vars_client *client);
