// SPDX-License-Identifier: MIT
//
// VMGS: AES-256-GCM in pieces, by Mbed TLS. No additional data, nonces of 12 bytes, tags of 16.
#pragma once

#include "userspace/vmgs/vmgs_format.h"

#include <stdbool.h>
#include <stddef.h>

/// Room for Mbed TLS's context, whose size follows from its configuration: only vmgs_crypto.c sees
/// that.
struct vmgs_gcm {
    _Alignas(16) uint8_t context[768];
};

/// Starts a message. 0 or -EIO; in both cases vmgs_gcm_end() follows.
int vmgs_gcm_start(struct vmgs_gcm *gcm, bool encrypt, const uint8_t key[VMGS_KEY_BYTES],
                   const uint8_t nonce[VMGS_NONCE_BYTES]);

/// Works on the next bytes in place; every piece but the last is a multiple of 16 bytes.
int vmgs_gcm_update(struct vmgs_gcm *gcm, uint8_t *bytes, size_t size_bytes);

/// The tag of everything.
int vmgs_gcm_finish(struct vmgs_gcm *gcm, uint8_t tag[VMGS_TAG_BYTES]);

void vmgs_gcm_end(struct vmgs_gcm *gcm);

/// A whole message in place. Decryption: -EBADMSG when the tag does not fit, the bytes then are
/// zeroed.
int vmgs_gcm_encrypt(const uint8_t key[VMGS_KEY_BYTES], const uint8_t nonce[VMGS_NONCE_BYTES],
                     uint8_t *bytes, size_t size_bytes, uint8_t tag[VMGS_TAG_BYTES]);
int vmgs_gcm_decrypt(const uint8_t key[VMGS_KEY_BYTES], const uint8_t nonce[VMGS_NONCE_BYTES],
                     uint8_t *bytes, size_t size_bytes, const uint8_t tag[VMGS_TAG_BYTES]);

/// Whether two tags are the same, in constant time.
bool vmgs_tags_equal(const uint8_t a[VMGS_TAG_BYTES], const uint8_t b[VMGS_TAG_BYTES]);

/// Zeroes what the compiler may not leave.
void vmgs_zeroize(void *bytes, size_t size_bytes);
