// SPDX-License-Identifier: MIT
//
// TPM 2.0 commands through /dev/tpm0, byte by byte: TCG TPM 2.0 Library, part 1 (structures on the
// wire) and part 3 (commands). All numbers on the wire are big-endian.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TPM_ST_NO_SESSIONS    0x8001u
#define TPM_ST_SESSIONS       0x8002u
#define TPM_CC_CREATE_PRIMARY 0x131u
#define TPM_CC_SELF_TEST      0x143u
#define TPM_CC_STARTUP        0x144u
#define TPM_CC_FLUSH_CONTEXT  0x165u
#define TPM_CC_GET_CAPABILITY 0x17au
#define TPM_CC_GET_RANDOM     0x17bu
#define TPM_CC_PCR_READ       0x17eu
#define TPM_CC_PCR_EXTEND     0x182u
#define TPM_RC_INITIALIZE     0x100u
#define TPM_RH_OWNER          0x40000001u
#define TPM_RS_PW             0x40000009u
#define TPM_ALG_SHA256        0x00bu

struct tpm_message {
    uint8_t bytes[4096];
    size_t size;
};

void tpm_put(struct tpm_message *m, unsigned count, uint64_t number);
uint32_t tpm_get32(const uint8_t *at);
void tpm_begin(struct tpm_message *m, unsigned tag, uint32_t command);

/// The empty password session that authorises a command on one handle.
void tpm_put_password(struct tpm_message *m);

/// Sends bytes as they are. Response size, or -errno.
long tpm_exchange_raw(int fd, const uint8_t *command, size_t size, struct tpm_message *response);

/// Response code, or negative errno when there was no well-formed response.
long tpm_exchange(int fd, struct tpm_message *command, struct tpm_message *response);

/// The device; -1 with a failed check of that name.
int tpm_open(const char *check_name);

/// A PCR of the bank SHA-256; as tpm_exchange().
long tpm_pcr_read(int fd, unsigned pcr, uint8_t digest[32]);
