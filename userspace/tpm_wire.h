// SPDX-License-Identifier: MIT
//
// TPM 2.0 commands and responses as bytes (library specification, part 1, section 18): what the
// vTPM process itself says to its TPM. Pure. Numbers are big-endian.
#pragma once

#include "igvm/base/bytes.h"

#define TPM_WIRE_MAX_BYTES 4096u

#define TPM_ST_NO_SESSIONS 0x8001u
#define TPM_ST_SESSIONS    0x8002u
#define TPM_RH_OWNER       0x40000001u
#define TPM_RH_NULL        0x40000007u
#define TPM_RS_PW          0x40000009u
#define TPM_RH_ENDORSEMENT 0x4000000Bu
#define TPM_RH_PLATFORM    0x4000000Cu

/// A command being written. What does not fit makes it full, which tpm_wire_end() reports.
struct tpm_wire {
    uint8_t bytes[TPM_WIRE_MAX_BYTES];
    size_t size_bytes;
    bool full;
};

void tpm_wire_begin(struct tpm_wire *w, uint16_t tag, uint32_t code);
void tpm_wire_put(struct tpm_wire *w, uint64_t value, unsigned size_bytes);
void tpm_wire_put_bytes(struct tpm_wire *w, const void *bytes, size_t size_bytes);
/// A TPM2B: its size in two bytes, then the bytes.
void tpm_wire_put_2b(struct tpm_wire *w, const void *bytes, uint16_t size_bytes);
/// count authorisations by the empty password.
void tpm_wire_put_password(struct tpm_wire *w, unsigned count);
/// Opens a TPM2B whose size follows later: give the result to tpm_wire_close_2b().
size_t tpm_wire_open_2b(struct tpm_wire *w);
void tpm_wire_close_2b(struct tpm_wire *w, size_t mark);
/// Fills the command's size. Whether all fitted.
bool tpm_wire_end(struct tpm_wire *w);

/// A big-endian number of 1 to 8 bytes from a response; false and nothing done when it ends before.
bool tpm_wire_get(struct cursor *c, unsigned size_bytes, uint64_t *value);
/// A TPM2B: points at its bytes.
bool tpm_wire_get_2b(struct cursor *c, const uint8_t **bytes, size_t *size_bytes);
