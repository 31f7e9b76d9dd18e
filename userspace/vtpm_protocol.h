// SPDX-License-Identifier: MIT
//
// The messages between the VM worker and the vTPM process: one packet of a SOCK_SEQPACKET socket is
// one message, a header and its payload; a packet of any other size than its header says is a
// violation. Both ends treat the other as hostile. Pure: bytes in, result out.
//
// request           payload     answer (same sequence)           payload
// COMMAND           TPM command COMMAND_DONE                     TPM response
// POWER_CYCLE       -           POWER_CYCLE_DONE                 -
// CANCEL            -           none; sequence names the command -
//                               READY, once, sequence 0          -
//
// At most one COMMAND and one POWER_CYCLE are outstanding; a power cycle runs after the command.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define VTPM_MAGIC             0x50545650u ///< "PVTP"
#define VTPM_VERSION           1u
#define VTPM_PAYLOAD_MAX_BYTES 4096u
#define VTPM_HEADER_BYTES      24u
#define VTPM_MESSAGE_MAX_BYTES (VTPM_HEADER_BYTES + VTPM_PAYLOAD_MAX_BYTES)
#define VTPM_LOCALITY_MAX      4u
#define VTPM_STATUS_MAX        4095u ///< largest errno

enum vtpm_op {
    VTPM_COMMAND = 0x01,
    VTPM_CANCEL = 0x02,
    VTPM_POWER_CYCLE = 0x03,
    VTPM_COMMAND_DONE = 0x81,
    VTPM_POWER_CYCLE_DONE = 0x83,
    VTPM_READY = 0x84,
};

/// The header on the wire, little-endian; the sender fills every field.
struct vtpm_wire_header {
    uint8_t magic[4];     ///< VTPM_MAGIC
    uint8_t version;      ///< VTPM_VERSION
    uint8_t op;           ///< enum vtpm_op
    uint8_t locality;     ///< COMMAND: 0..4; else 0
    uint8_t reserved0;    ///< 0
    uint8_t sequence[4];  ///< chosen by the requester, never 0; echoed by the answer
    uint8_t status[4];    ///< answers: 0 or a positive errno; requests: 0
    uint8_t size[4];      ///< payload bytes
    uint8_t reserved1[4]; ///< 0
};
_Static_assert(sizeof(struct vtpm_wire_header) == VTPM_HEADER_BYTES, "wire layout");

/// Who speaks: each end accepts only what the other may say.
enum vtpm_direction { VTPM_TO_PROCESS, VTPM_TO_CLIENT };

/// A checked message; payload points into the parsed bytes.
struct vtpm_message {
    enum vtpm_op op;
    uint8_t locality;
    uint32_t sequence;
    uint32_t status;
    const uint8_t *payload;
    size_t payload_bytes;
};

/// Checks one packet. -EPROTO when anything is off; *out is only written on success.
int vtpm_message_parse(const uint8_t *bytes, size_t size_bytes, enum vtpm_direction direction,
                       struct vtpm_message *out);

/// Writes a message; returns its size in bytes, 0 when the payload exceeds its maximum. out has
/// VTPM_MESSAGE_MAX_BYTES. The payload may already stand at out + VTPM_HEADER_BYTES.
size_t vtpm_message_format(uint8_t *out, const struct vtpm_message *message);
