// SPDX-License-Identifier: MIT
//
// The messages between the VM worker and the variable process: one packet of a SOCK_SEQPACKET
// socket is one message, a header and its payload; a packet of any other size than its header says
// is a violation. Both ends treat the other as hostile. Pure: bytes in, result out.
//
// request   payload                      answer (same sequence)   payload
// CALL      the guest's message          CALL_DONE                the same bytes, answered
// RESET     -                            RESET_DONE               -
// INSPECT   -                            INSPECT_DONE             text
//                                        READY, once, sequence 0  -
//
// One request is outstanding at a time.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define UEFI_VARS_WIRE_MAGIC        0x46455550u ///< "PUEF"
#define UEFI_VARS_WIRE_VERSION      1u
#define UEFI_VARS_PAYLOAD_MAX_BYTES 0x10000u
#define UEFI_VARS_WIRE_HEADER_BYTES 24u
#define UEFI_VARS_PACKET_MAX_BYTES  (UEFI_VARS_WIRE_HEADER_BYTES + UEFI_VARS_PAYLOAD_MAX_BYTES)
#define UEFI_VARS_STATUS_MAX        4095u ///< largest errno

enum uefi_vars_op {
    UEFI_VARS_CALL = 0x01,
    UEFI_VARS_RESET = 0x02,
    UEFI_VARS_INSPECT = 0x03,
    UEFI_VARS_CALL_DONE = 0x81,
    UEFI_VARS_RESET_DONE = 0x82,
    UEFI_VARS_INSPECT_DONE = 0x83,
    UEFI_VARS_READY = 0x84,
};

/// The header on the wire, little-endian; the sender fills every field.
struct uefi_vars_wire_header {
    uint8_t magic[4];    ///< UEFI_VARS_WIRE_MAGIC
    uint8_t version;     ///< UEFI_VARS_WIRE_VERSION
    uint8_t op;          ///< enum uefi_vars_op
    uint8_t reserved[2]; ///< 0
    uint8_t sequence[4]; ///< chosen by the requester, never 0; echoed by the answer
    uint8_t status[4];   ///< answers: 0 or a positive errno; requests: 0
    uint8_t size[4];     ///< payload bytes
    uint8_t room[4];     ///< CALL: bytes of the guest's buffer, size to 64 KiB; else 0
};
_Static_assert(sizeof(struct uefi_vars_wire_header) == UEFI_VARS_WIRE_HEADER_BYTES, "wire layout");

/// Who speaks: each end accepts only what the other may say.
enum uefi_vars_direction { UEFI_VARS_TO_PROCESS, UEFI_VARS_TO_CLIENT };

/// A checked message; payload points into the parsed bytes.
struct uefi_vars_packet {
    enum uefi_vars_op op;
    uint32_t sequence;
    uint32_t status;
    uint32_t room;
    const uint8_t *payload;
    size_t payload_bytes;
};

/// Checks one packet. -EPROTO when anything is off; *out is only written on success.
int uefi_vars_packet_parse(const uint8_t *bytes, size_t size_bytes,
                           enum uefi_vars_direction direction, struct uefi_vars_packet *out);

/// Writes a packet; returns its size in bytes, 0 when the payload exceeds its maximum. out has
/// UEFI_VARS_PACKET_MAX_BYTES. The payload may already stand at out + UEFI_VARS_WIRE_HEADER_BYTES.
size_t uefi_vars_packet_format(uint8_t *out, const struct uefi_vars_packet *packet);
