// SPDX-License-Identifier: MIT
//
// VMGS: AES-256-GCM (NIST SP 800-38D) by Mbed TLS.

#include "userspace/vmgs/vmgs_crypto.h"

#include <errno.h>
#include <mbedtls/constant_time.h>
#include <mbedtls/gcm.h>
#include <mbedtls/platform_util.h>

_Static_assert(sizeof(mbedtls_gcm_context) <= sizeof(((struct vmgs_gcm *)0)->context),
               "room for Mbed TLS's context");

static mbedtls_gcm_context *context_of(struct vmgs_gcm *gcm) {
    return (mbedtls_gcm_context *)(void *)gcm->context;
}

int vmgs_gcm_start(struct vmgs_gcm *gcm, bool encrypt, const uint8_t key[VMGS_KEY_BYTES],
                   const uint8_t nonce[VMGS_NONCE_BYTES]) {
    mbedtls_gcm_init(context_of(gcm));
    if (mbedtls_gcm_setkey(context_of(gcm), MBEDTLS_CIPHER_ID_AES, key, VMGS_KEY_BYTES * 8) != 0 ||
        mbedtls_gcm_starts(context_of(gcm), encrypt ? MBEDTLS_GCM_ENCRYPT : MBEDTLS_GCM_DECRYPT,
                           nonce, VMGS_NONCE_BYTES) != 0) {
        return -EIO;
    }
    return 0;
}

int vmgs_gcm_update(struct vmgs_gcm *gcm, uint8_t *bytes, size_t size_bytes) {
    size_t done = 0;

    if (size_bytes != 0 &&
        (mbedtls_gcm_update(context_of(gcm), bytes, size_bytes, bytes, size_bytes, &done) != 0 ||
         done != size_bytes)) {
        return -EIO;
    }
    return 0;
}

int vmgs_gcm_finish(struct vmgs_gcm *gcm, uint8_t tag[VMGS_TAG_BYTES]) {
    size_t done;

    return mbedtls_gcm_finish(context_of(gcm), NULL, 0, &done, tag, VMGS_TAG_BYTES) != 0 ? -EIO : 0;
}

void vmgs_gcm_end(struct vmgs_gcm *gcm) {
    mbedtls_gcm_free(context_of(gcm)); // zeroizes too
}

static int whole(bool encrypt, const uint8_t *key, const uint8_t *nonce, uint8_t *bytes,
                 size_t size_bytes, uint8_t *tag) {
    struct vmgs_gcm gcm = {.context = {0}};
    int rc = vmgs_gcm_start(&gcm, encrypt, key, nonce);

    if (rc == 0) {
        rc = vmgs_gcm_update(&gcm, bytes, size_bytes);
    }
    if (rc == 0) {
        rc = vmgs_gcm_finish(&gcm, tag);
    }
    vmgs_gcm_end(&gcm);
    return rc;
}

int vmgs_gcm_encrypt(const uint8_t key[VMGS_KEY_BYTES], const uint8_t nonce[VMGS_NONCE_BYTES],
                     uint8_t *bytes, size_t size_bytes, uint8_t tag[VMGS_TAG_BYTES]) {
    return whole(true, key, nonce, bytes, size_bytes, tag);
}

int vmgs_gcm_decrypt(const uint8_t key[VMGS_KEY_BYTES], const uint8_t nonce[VMGS_NONCE_BYTES],
                     uint8_t *bytes, size_t size_bytes, const uint8_t tag[VMGS_TAG_BYTES]) {
    uint8_t is[VMGS_TAG_BYTES];
    int rc = whole(false, key, nonce, bytes, size_bytes, is);

    if (rc == 0 && !vmgs_tags_equal(is, tag)) {
        rc = -EBADMSG;
    }
    if (rc != 0) {
        vmgs_zeroize(bytes, size_bytes);
    }
    return rc;
}

bool vmgs_tags_equal(const uint8_t a[VMGS_TAG_BYTES], const uint8_t b[VMGS_TAG_BYTES]) {
    return mbedtls_ct_memcmp(a, b, VMGS_TAG_BYTES) == 0;
}

void vmgs_zeroize(void *bytes, size_t size_bytes) {
    mbedtls_platform_zeroize(bytes, size_bytes);
}
