// SPDX-License-Identifier: MIT
//
// Authenticated variables, hostile payloads: cut off at every length, every bit flipped, headers
// whose fields are wrong. Nothing of that may ever be taken for authentic.
#include "tests/support/uefi_vectors.h"

#include "igvm/base/bytes.h"
#include "igvm/base/types.h"
#include "userspace/uefi/auth_header.h"
#include "userspace/uefi/der.h"
#include "userspace/uefi/pkcs7.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define PKCS7_OFF 40u

static const struct vector_setting setting = {.pk = "pk.esl", .kek = "kek.esl"};

/// Exactly as large as the payload, so that the address sanitizer sees what is read behind it.
static enum uefi_status try_bytes(const char *name, const uint8_t *bytes, size_t size_bytes) {
    uint8_t *copy = malloc(size_bytes == 0 ? 1 : size_bytes);
    struct uefi_auth_result result;
    enum uefi_status status;

    assert_non_null(copy);
    memcpy(copy, bytes, size_bytes);
    status = vector_set(&setting, name, 0x27, (struct uefi_bytes){copy, size_bytes}, &result);
    free(copy);
    return status;
}

static void every_length(void **state) {
    static const char *const names[] = {"db-kek.auth", "sbvarsign.auth", "db-contentinfo.auth"};

    (void)state;
    for (size_t n = 0; n < ARRAY_COUNT(names); n++) {
        const struct uefi_bytes whole = vector(names[n]);

        for (size_t size = 0; size < whole.size_bytes; size++) {
            if (try_bytes("db", whole.at, size) != UEFI_SECURITY_VIOLATION) {
                fail_msg("%s cut to %zu bytes", names[n], size);
            }
        }
        assert_int_equal(try_bytes("db", whole.at, whole.size_bytes), UEFI_SUCCESS);
    }
}

/// The SignedData cut at every length, with a header that says so, and the value behind it.
static void every_length_of_pkcs7(void **state) {
    const struct uefi_bytes whole = vector("db-attributes.auth");
    const size_t signed_bytes = load_le32(whole.at + 16) - 24;
    const struct uefi_bytes value = vector("dbx1.esl");
    uint8_t bytes[VECTOR_MAX_BYTES];

    (void)state;
    for (size_t size = 0; size < signed_bytes; size++) {
        memcpy(bytes, whole.at, PKCS7_OFF + size);
        store_le32(bytes + 16, (uint32_t)(24 + size));
        memcpy(bytes + PKCS7_OFF + size, value.at, value.size_bytes);
        assert_int_equal(try_bytes("db", bytes, PKCS7_OFF + size + value.size_bytes),
                         UEFI_SECURITY_VIOLATION);
    }
    memcpy(bytes, whole.at, whole.size_bytes);
    assert_int_equal(try_bytes("db", bytes, whole.size_bytes), UEFI_SUCCESS);
}

static void flip_every_bit(const char *file) {
    const struct uefi_bytes whole = vector(file);
    uint8_t bytes[VECTOR_MAX_BYTES];

    memcpy(bytes, whole.at, whole.size_bytes);
    for (size_t bit = 0; bit < 8 * whole.size_bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (try_bytes("db", bytes, whole.size_bytes) == UEFI_SUCCESS) {
            fail_msg("%s with bit %zu of byte %zu flipped is authentic", file, bit % 8, bit / 8);
        }
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(try_bytes("db", bytes, whole.size_bytes), UEFI_SUCCESS);
}

static void every_bit_without_attributes(void **state) {
    (void)state;
    flip_every_bit("efitools.auth");
}

static void every_bit_with_attributes(void **state) {
    (void)state;
    flip_every_bit("sbvarsign.auth");
}

static void every_bit_of_a_wrapped_one(void **state) {
    (void)state;
    flip_every_bit("db-contentinfo.auth");
}

/// One byte more at each end of the SignedData.
static void bytes_too_many(void **state) {
    const struct uefi_bytes whole = vector("efitools.auth");
    const uint32_t length = load_le32(whole.at + 16);
    const size_t end = 16 + length;
    uint8_t bytes[VECTOR_MAX_BYTES];

    (void)state;
    memcpy(bytes, whole.at, end);
    bytes[end] = 0;
    memcpy(bytes + end + 1, whole.at + end, whole.size_bytes - end);
    store_le32(bytes + 16, length + 1);
    assert_int_equal(try_bytes("db", bytes, whole.size_bytes + 1), UEFI_SECURITY_VIOLATION);
    memcpy(bytes, whole.at, PKCS7_OFF);
    bytes[PKCS7_OFF] = 0;
    memcpy(bytes + PKCS7_OFF + 1, whole.at + PKCS7_OFF, whole.size_bytes - PKCS7_OFF);
    store_le32(bytes + 16, length + 1);
    assert_int_equal(try_bytes("db", bytes, whole.size_bytes + 1), UEFI_SECURITY_VIOLATION);
}

/// A field of the header that is not what it must be, and what is said then.
static void header_fields(void **state) {
    static const struct {
        unsigned off, value;
        const char *says;
    } cases[] = {
        {7, 1, "year to second"},     {8, 1, "year to second"},
        {11, 1, "year to second"},    {12, 1, "year to second"},
        {13, 0x80, "year to second"}, {14, 1, "year to second"},
        {15, 1, "year to second"},    {19, 1, "length"},
        {19, 0x80, "length"},         {20, 1, "not a PKCS#7"},
        {21, 3, "not a PKCS#7"},      {22, 2, "not a PKCS#7"},
        {23, 0, "not a PKCS#7"},      {24, 0, "not a PKCS#7"},
        {39, 0, "not a PKCS#7"},
    };
    static const uint32_t lengths[] = {0, 1, 23, 0x7fffffff, 0xffffffff, 0xfffffff0};
    const struct uefi_bytes whole = vector("efitools.auth");
    uint8_t bytes[VECTOR_MAX_BYTES];
    struct uefi_auth_header header;
    const char *wrong;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        memcpy(bytes, whole.at, whole.size_bytes);
        bytes[cases[i].off] = (uint8_t)cases[i].value;
        wrong = uefi_auth_header_parse((struct uefi_bytes){bytes, whole.size_bytes}, &header);
        assert_non_null(wrong);
        assert_non_null(strstr(wrong, cases[i].says));
    }
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        memcpy(bytes, whole.at, whole.size_bytes);
        store_le32(bytes + 16, lengths[i]);
        wrong = uefi_auth_header_parse((struct uefi_bytes){bytes, whole.size_bytes}, &header);
        assert_non_null(wrong);
        assert_non_null(strstr(wrong, "length"));
    }
}

/// Lengths in another form than DER's shortest say the same to a lax parser.
static void lax_lengths(void **state) {
    const struct uefi_bytes whole = vector("efitools.auth");
    const size_t size = load_le32(whole.at + 16) - 24;
    uint8_t der[VECTOR_MAX_BYTES];
    struct uefi_pkcs7 message;

    (void)state;
    assert_int_equal(whole.at[PKCS7_OFF + 1], 0x82);
    assert_null(uefi_pkcs7_parse((struct uefi_bytes){whole.at + PKCS7_OFF, size}, &message));
    // Three bytes of length where two suffice.
    der[0] = 0x30;
    der[1] = 0x83;
    der[2] = 0;
    memcpy(der + 3, whole.at + PKCS7_OFF + 2, size - 2);
    assert_non_null(uefi_pkcs7_parse((struct uefi_bytes){der, size + 1}, &message));
    // Indefinite, with its end.
    der[1] = 0x80;
    memcpy(der + 2, whole.at + PKCS7_OFF + 4, size - 4);
    der[size - 2] = der[size - 1] = 0;
    assert_non_null(uefi_pkcs7_parse((struct uefi_bytes){der, size}, &message));
    // Four bytes of length.
    der[1] = 0x84;
    memset(der + 2, 0xff, 4);
    assert_non_null(uefi_pkcs7_parse((struct uefi_bytes){der, size}, &message));
}

/// Makes the element at off (with two bytes of length) longer by two.
static void stretch(uint8_t *der, size_t off) {
    assert_int_equal(der[off + 1], 0x82);
    assert_true(der[off + 3] < 0xfe);
    der[off + 3] += 2;
}

/// An element more at the end of SignedData, of the set of signers, of the signer: all in well
/// formed DER, and nothing of it signed.
static void elements_too_many(void **state) {
    static const uint8_t tags[] = {0x05, 0x30, 0xa1, 0xa0, 0x31};
    const struct uefi_bytes whole = vector("efitools.auth");
    const struct uefi_bytes good = {whole.at + PKCS7_OFF, load_le32(whole.at + 16) - 24};
    struct cursor c = cursor_init(good.at, good.size_bytes), in, skipped;
    uint8_t der[VECTOR_MAX_BYTES];
    struct uefi_pkcs7 message;
    size_t set_off;

    (void)state;
    assert_true(der_take(&c, DER_SEQUENCE, &in, NULL));
    assert_true(der_take(&in, DER_INTEGER, &skipped, NULL) &&
                der_take(&in, DER_SET, &skipped, NULL) &&
                der_take(&in, DER_SEQUENCE, &skipped, NULL) &&
                der_take(&in, DER_CONTEXT(0), &skipped, NULL));
    set_off = 4 + in.off;
    assert_int_equal(good.at[set_off], DER_SET);
    for (unsigned depth = 0; depth < 3; depth++) {
        for (size_t t = 0; t < ARRAY_COUNT(tags); t++) {
            memcpy(der, good.at, good.size_bytes);
            der[good.size_bytes] = tags[t];
            der[good.size_bytes + 1] = 0;
            stretch(der, 0);
            if (depth >= 1) {
                stretch(der, set_off);
            }
            if (depth >= 2) {
                stretch(der, set_off + 4);
            }
            assert_non_null(
                uefi_pkcs7_parse((struct uefi_bytes){der, good.size_bytes + 2}, &message));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length),
        cmocka_unit_test(every_length_of_pkcs7),
        cmocka_unit_test(every_bit_without_attributes),
        cmocka_unit_test(every_bit_with_attributes),
        cmocka_unit_test(every_bit_of_a_wrapped_one),
        cmocka_unit_test(bytes_too_many),
        cmocka_unit_test(header_fields),
        cmocka_unit_test(lax_lengths),
        cmocka_unit_test(elements_too_many),
    };

    return cmocka_run_group_tests_name("uefi_auth_hostile", tests, NULL, NULL);
}
