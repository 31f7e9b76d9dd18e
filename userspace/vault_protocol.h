// SPDX-License-Identifier: MIT
//
// The messages between the vault and a client (docs/vmgs.md, "The vault"): one packet of a
// SOCK_SEQPACKET socket is one message, a header and its payload. Requests and answers alternate,
// so neither end ever holds more than one packet. Both ends treat the other as hostile. Pure.
//
// request   offset         total   payload    answer       offset   total    payload
// READ      next byte      0       -          READ_DONE    same     file's   from there on
// WRITE     next byte      file's  a piece    WRITE_DONE   same     same     -
//
// A READ of offset 0 takes a new copy of the file, those after it read from the same copy. The
// WRITE that completes the file is answered when it is on the disk; one of offset 0 starts anew.
#pragma once

#include "userspace/vault_client.h"

#include <stddef.h>
#include <stdint.h>

#define VAULT_MAGIC             0x544C5650u ///< "PVLT"
#define VAULT_VERSION           1u
#define VAULT_HEADER_BYTES      32u
#define VAULT_PAYLOAD_MAX_BYTES 32768u
#define VAULT_MESSAGE_MAX_BYTES (VAULT_HEADER_BYTES + VAULT_PAYLOAD_MAX_BYTES)
#define VAULT_STATUS_MAX        4095u ///< largest errno

enum vault_op {
    VAULT_READ = 0x01,
    VAULT_WRITE = 0x02,
    VAULT_READ_DONE = 0x81,
    VAULT_WRITE_DONE = 0x82,
};

/// The header on the wire, little-endian; the sender fills every field.
struct vault_wire_header {
    uint8_t magic[4];    ///< VAULT_MAGIC
    uint8_t version;     ///< VAULT_VERSION
    uint8_t op;          ///< enum vault_op
    uint8_t reserved[2]; ///< 0
    uint8_t sequence[8]; ///< chosen by the client, never 0; echoed by the answer
    uint8_t status[4];   ///< answers: 0 or a positive errno (then no payload); requests: 0
    uint8_t total[4];    ///< bytes of the whole file; 0 in a READ and with a status
    uint8_t offset[4];   ///< of the payload in the file
    uint8_t size[4];     ///< payload bytes
};
_Static_assert(sizeof(struct vault_wire_header) == VAULT_HEADER_BYTES, "wire layout");

enum vault_direction { VAULT_TO_PROCESS, VAULT_TO_CLIENT };

/// A checked message: offset + payload_bytes <= total <= VAULT_FILE_MAX_BYTES where there is a
/// payload. payload points into the parsed bytes.
struct vault_message {
    enum vault_op op;
    uint64_t sequence;
    uint32_t status;
    uint32_t total;
    uint32_t offset;
    const uint8_t *payload;
    size_t payload_bytes;
};

/// Checks one packet. -EPROTO when anything is off; *out is only written on success.
int vault_message_parse(const uint8_t *bytes, size_t size_bytes, enum vault_direction direction,
                        struct vault_message *out);

/// Writes a message; returns its size. out has VAULT_MESSAGE_MAX_BYTES, payload_bytes is at most
/// VAULT_PAYLOAD_MAX_BYTES.
size_t vault_message_format(uint8_t *out, const struct vault_message *message);
