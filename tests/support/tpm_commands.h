// SPDX-License-Identifier: MIT
//
// TPM 2.0 commands for tests (library specification, parts 2 and 3), built byte by byte.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct tpm_command {
    uint8_t bytes[4096];
    size_t size_bytes;
};

#define TPM_ALG_SHA256 0x000Bu
#define TPM_ALG_SHA384 0x000Cu

struct tpm_command tpm_startup(uint16_t type);  ///< 0: CLEAR, 1: STATE
struct tpm_command tpm_shutdown(uint16_t type); ///< likewise
struct tpm_command tpm_get_random(uint16_t count);
struct tpm_command tpm_get_pcr_banks(void);
struct tpm_command tpm_pcr_read(uint16_t alg, unsigned pcr);
/// Extends the bank with a digest whose every byte is fill.
struct tpm_command tpm_pcr_extend(unsigned pcr, uint16_t alg, uint8_t fill);
struct tpm_command tpm_create_primary_rsa(uint8_t unique); ///< RSA-2048 restricted decryption key
struct tpm_command tpm_create_primary_ecc(void);           ///< P-256, likewise
struct tpm_command tpm_flush(uint32_t handle);
struct tpm_command tpm_nv_define(uint32_t index, uint16_t size_bytes);
struct tpm_command tpm_nv_write(uint32_t index, const void *bytes, uint16_t size_bytes);
struct tpm_command tpm_nv_read(uint32_t index, uint16_t size_bytes);

struct tpm_command tpm_nv_read_at(uint32_t index, uint16_t size_bytes, uint16_t off);
struct tpm_command tpm_nv_read_public(uint32_t index);
struct tpm_command tpm_nv_write_as(uint32_t hierarchy, uint32_t index, const void *bytes,
                                   uint16_t size_bytes);
struct tpm_command tpm_nv_undefine(uint32_t hierarchy, uint32_t index);
struct tpm_command tpm_read_public(uint32_t handle);
struct tpm_command tpm_read_clock(void);
struct tpm_command tpm_change_auth(uint32_t hierarchy); ///< from the empty password to the same
/// Of PCRs 0 to 7, by the key's own scheme.
struct tpm_command tpm_quote(uint32_t handle, uint16_t alg);

/// Response code of a response; UINT32_MAX when it is none.
uint32_t tpm_rc(const uint8_t *response, size_t size_bytes);
