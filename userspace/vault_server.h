// SPDX-License-Identifier: MIT
//
// One client of the vault: packets in, answers out, between them at most one file being collected
// or handed out. The file is fixed when the client is made. Pure but for the store below it.
#pragma once

#include "userspace/vault_protocol.h"
#include "userspace/vault_store.h"

struct vault_client {
    uint32_t file_id;
    uint32_t staged_bytes; ///< of a file that is being written: [0, staged_bytes) are there
    uint32_t total_bytes;  ///< its size; 0: none is being written
    uint32_t copy_bytes;   ///< of the file that is being read; 0: none
    uint8_t *staging;      ///< VAULT_FILE_MAX_BYTES, the caller's, for both
};

/// Answers one packet. out has VAULT_MESSAGE_MAX_BYTES. Returns the answer's size, or 0 for a
/// packet that is no message and gets no answer.
size_t vault_serve(struct vault_store *store, struct vault_client *client, const uint8_t *packet,
                   size_t packet_bytes, uint8_t *out);
