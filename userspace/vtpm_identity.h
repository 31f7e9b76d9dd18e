// SPDX-License-Identifier: MIT
//
// What a new TPM is given at manufacture besides its seeds: endorsement keys with certificates and
// an attestation key (TCG EK Credential Profile for TPM 2.0, version 2.5).
//
//     NV 0x01C00002     certificate of the RSA-2048 EK (template L-1); the key: 0x81010001
//     NV 0x01C0000A     certificate of the ECC P-256 EK (template L-2)
//     NV 0x01C101D0     certificate of the attestation key; the key: 0x81000003 (as Azure has it)
//     NV 0x01C00100     the CA that issued them
//
// The CA is a key of this TPM's null hierarchy, made from a seed that the next TPM reset replaces:
// it signs these certificates and can never sign again, nobody has a copy. That makes the four
// certificates one identity, which a verifier may pin at first sight; that it belongs to a Parapet
// VM nobody vouches for.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// Runs a command of the TPM at locality 0: the response's size.
typedef size_t (*vtpm_run_fn)(const uint8_t *command, size_t command_bytes, uint8_t *response,
                              size_t capacity_bytes);

/// Makes all of it in a TPM that has been started and whose hierarchies have empty passwords. 0 or
/// -EIO with the command's name in the log; the TPM is then half made and to be thrown away.
int vtpm_identity_make(vtpm_run_fn run);
