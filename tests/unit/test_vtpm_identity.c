// SPDX-License-Identifier: MIT
//
// What a new TPM is given: endorsement and attestation keys with certificates, judged by
// libcrypto's X.509.

#include "igvm/base/bytes.h"
#include "tests/support/vtpm_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <cmocka.h>

#define RH_OWNER    0x40000001u
#define RH_PLATFORM 0x4000000Cu
#define AK_HANDLE   0x81000003u
#define EK_HANDLE   0x81010001u

/// A certificate from an NV index, by the index's own (empty) password.
static X509 *read_certificate(struct vtpm_pair *f, uint32_t index) {
    uint8_t der[2048];
    const uint8_t *at = der;
    uint16_t size, piece;
    X509 *certificate;

    assert_int_equal(tpm_run(&f->line, tpm_nv_read_public(index)), 0);
    size = (uint16_t)(tpm_response(&f->line)[24] << 8 |
                      tpm_response(&f->line)[25]); // after index, hash, attributes, policy
    assert_in_range(size, 300, sizeof(der));
    for (uint16_t done = 0; done < size; done += piece) {
        piece = (uint16_t)(size - done < 512 ? size - done : 512);
        assert_int_equal(tpm_run(&f->line, tpm_nv_read_at(index, piece, done)), 0);
        memcpy(der + done, tpm_response(&f->line) + 16, piece);
    }
    certificate = d2i_X509(NULL, &at, size);
    assert_non_null(certificate);
    assert_int_equal(at - der, size); // nothing behind it
    return certificate;
}

static void assert_issued(X509 *ca, X509 *certificate) {
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();

    X509_STORE_add_cert(store, ca);
    X509_STORE_CTX_init(context, store, certificate, NULL);
    X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(context), X509_V_FLAG_X509_STRICT);
    if (X509_verify_cert(context) != 1) {
        fail_msg("%s", X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
    }
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
}

static void assert_extension(X509 *certificate, const char *oid, const char *text) {
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    int at = X509_get_ext_by_OBJ(certificate, object, -1);
    BIO *bio = BIO_new(BIO_s_mem());
    char got[256];
    int n;

    assert_true(at >= 0);
    assert_int_equal(X509V3_EXT_print(bio, X509_get_ext(certificate, at), 0, 0), 1);
    n = BIO_read(bio, got, sizeof(got) - 1);
    got[n > 0 ? n : 0] = '\0';
    assert_string_equal(got, text);
    BIO_free(bio);
    ASN1_OBJECT_free(object);
}

/// The only extended key usage; in digits, as later versions of OpenSSL have a name for it.
static void assert_purpose(X509 *certificate, const char *oid) {
    EXTENDED_KEY_USAGE *purposes = X509_get_ext_d2i(certificate, NID_ext_key_usage, NULL, NULL);
    char got[64];

    assert_int_equal(sk_ASN1_OBJECT_num(purposes), 1);
    OBJ_obj2txt(got, sizeof(got), sk_ASN1_OBJECT_value(purposes, 0), 1);
    assert_string_equal(got, oid);
    EXTENDED_KEY_USAGE_free(purposes);
}

/// The modulus in TPM2_ReadPublic's answer is the certificate's.
static void assert_certifies(struct vtpm_pair *f, X509 *certificate, uint32_t handle,
                             size_t modulus_off) {
    EVP_PKEY *key = X509_get_pubkey(certificate);
    BIGNUM *modulus = NULL;
    uint8_t bytes[256];

    assert_int_equal(tpm_run(&f->line, tpm_read_public(handle)), 0);
    assert_int_equal(EVP_PKEY_get_bn_param(key, "n", &modulus), 1);
    assert_int_equal(BN_bn2binpad(modulus, bytes, sizeof(bytes)), sizeof(bytes));
    assert_memory_equal(bytes, tpm_response(&f->line) + modulus_off, sizeof(bytes));
    BN_free(modulus);
    EVP_PKEY_free(key);
}

/// The attestation key quotes, the certificate's key verifies.
static void assert_quotes(struct vtpm_pair *f, X509 *certificate) {
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY *key = X509_get_pubkey(certificate);
    const uint8_t *attest, *signature;
    uint16_t attest_bytes;

    uint32_t code = tpm_run(&f->line, tpm_quote(AK_HANDLE, TPM_ALG_SHA256));

    if (code == 0x922) { // TPM_RC_RETRY: the algorithm was tested before its first use
        code = tpm_run(&f->line, tpm_quote(AK_HANDLE, TPM_ALG_SHA256));
    }
    assert_int_equal(code, 0);
    attest_bytes = (uint16_t)(tpm_response(&f->line)[14] << 8 | tpm_response(&f->line)[15]);
    attest = tpm_response(&f->line) + 16;
    signature = attest + attest_bytes + 2 + 2 + 2; // scheme, hash, size
    assert_int_equal(load_be32(attest), 0xFF544347);
    assert_int_equal(EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestVerify(md, signature, 256, attest, attest_bytes), 1);
    EVP_PKEY_free(key);
    EVP_MD_CTX_free(md);
}

static void test_identity(void **state) {
    static const uint32_t indexes[] = {0x01C00002, 0x01C0000A, 0x01C101D0};
    static const char *const purposes[] = {"2.23.133.8.1", "2.23.133.8.1", "2.23.133.8.3"};
    static const char *const usages[] = {"Key Encipherment", "Key Agreement", "Digital Signature"};
    struct vtpm_pair *f = *state;
    X509 *ca, *certificates[3];

    vtpm_pair_start(f, NULL);
    assert_int_equal(f->line.ready_status, 0);
    assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
    ca = read_certificate(f, 0x01C00100);
    assert_issued(ca, ca);
    assert_int_equal(X509_check_ca(ca), 1);
    for (unsigned i = 0; i < 3; i++) {
        X509 *c = certificates[i] = read_certificate(f, indexes[i]);

        assert_issued(ca, c);
        assert_int_equal(X509_check_ca(c), 0);
        assert_purpose(c, purposes[i]);
        assert_extension(c, "2.5.29.15", usages[i]);
        assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(c)), 0);
    }
    assert_certifies(f, certificates[0], EK_HANDLE, 70); // its policy has 32 bytes
    assert_certifies(f, certificates[2], AK_HANDLE, 36);
    assert_quotes(f, certificates[2]);
    // Nobody writes or removes them: not the owner, and not the platform either.
    assert_int_not_equal(tpm_run(&f->line, tpm_nv_write(0x01C00002, "x", 1)), 0);
    assert_int_not_equal(tpm_run(&f->line, tpm_nv_write_as(RH_PLATFORM, 0x01C00002, "x", 1)), 0);
    assert_int_not_equal(tpm_run(&f->line, tpm_nv_undefine(RH_OWNER, 0x01C00002)), 0);
    for (unsigned i = 0; i < 3; i++) {
        X509_free(certificates[i]);
    }
    X509_free(ca);
    vtpm_pair_stop(f);
}

/// The certificate is the same after a power cycle, and another TPM has another one.
static void test_lasts(void **state) {
    struct vtpm_pair *f = *state;
    X509 *certificates[3];

    for (unsigned i = 0; i < 3; i++) {
        if (i == 2) {
            assert_int_equal(truncate(f->path, 0), 0); // a new machine
        }
        vtpm_pair_start(f, NULL);
        assert_int_equal(tpm_run(&f->line, tpm_startup(0)), 0);
        certificates[i] = read_certificate(f, 0x01C00002);
        vtpm_pair_stop(f);
    }
    assert_int_equal(X509_cmp(certificates[0], certificates[1]), 0);
    assert_int_not_equal(X509_cmp(certificates[0], certificates[2]), 0);
    for (unsigned i = 0; i < 3; i++) {
        X509_free(certificates[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_identity, vtpm_pair_setup, vtpm_pair_teardown),
        cmocka_unit_test_setup_teardown(test_lasts, vtpm_pair_setup, vtpm_pair_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
