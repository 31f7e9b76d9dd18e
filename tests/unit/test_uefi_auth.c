// SPDX-License-Identifier: MIT
//
// Authenticated variables, known answers: who may write PK, KEK, the databases and private
// variables, with which signature, and what each refusal says.
#include "tests/support/uefi_vectors.h"

#include "igvm/base/types.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SV UEFI_SECURITY_VIOLATION
#define IP UEFI_INVALID_PARAMETER
#define OK UEFI_SUCCESS

/// One call against a platform whose PK is pk.esl and whose KEK is kek.esl, or in setup mode.
struct known {
    const char *file, *name, *pk, *kek;
    uint32_t attributes;
    enum uefi_status status;
    const char *says; // part of the reason
};

static const struct known signatures[] = {
    // Forms that tools write.
    {"db-kek.auth", "db", "pk.esl", "kek.esl", 0x27, OK, NULL},
    {"db-attributes.auth", "db", "pk.esl", "kek.esl", 0x27, OK, NULL},
    {"db-smimecap.auth", "db", "pk.esl", "kek.esl", 0x27, OK, NULL},
    {"db-contentinfo.auth", "db", "pk.esl", "kek.esl", 0x27, OK, NULL},
    {"sbvarsign.auth", "db", "pk.esl", "kek.esl", 0x27, OK, NULL},
    {"efitools.auth", "db", "pk.esl", "kek.esl", 0x27, OK, NULL},
    {"efitools-append.auth", "dbx", "pk.esl", "kek.esl", 0x67, OK, NULL},
    {"db-sha384.auth", "db", "pk.esl", "kek.esl", 0x27, OK, NULL},
    {"db-sha512.auth", "db", "pk.esl", "kek.esl", 0x27, OK, NULL},
    {"db-4096.auth", "db", "pk.esl", "keks.esl", 0x27, OK, NULL},
    {"pad-good.auth", "db", "pk.esl", "kek.esl", 0x27, OK, NULL},
    // Algorithms and forms that are refused.
    {"db-sha1.auth", "db", "pk.esl", "kek.esl", 0x27, SV, "digest algorithms"},
    {"db-weak.auth", "db", "weak.esl", "weak.esl", 0x27, SV, "RSA key of 2048"},
    {"db-ec.auth", "db", "ec.esl", "ec.esl", 0x27, SV, "PKCS#7"},
    {"db-pss.auth", "db", "pk.esl", "kek.esl", 0x27, SV, "signature algorithm"},
    {"db-keyid.auth", "db", "pk.esl", "kek.esl", 0x27, SV, "version"},
    {"db-content.auth", "db", "pk.esl", "kek.esl", 0x27, SV, "not detached"},
    {"db-nocerts.auth", "db", "pk.esl", "kek.esl", 0x27, SV, "no certificates"},
    {"db-two-signers.auth", "db", "pk.esl", "kek.esl", 0x27, SV, "PKCS#7"},
    // Padding that is not exactly PKCS#1's, by the right key.
    {"pad-garbage.auth", "db", "pk.esl", "kek.esl", 0x27, SV, "not the signer's"},
    {"pad-short.auth", "db", "pk.esl", "kek.esl", 0x27, SV, "not the signer's"},
    {"pad-type2.auth", "db", "pk.esl", "kek.esl", 0x27, SV, "not the signer's"},
    {"pad-zeros.auth", "db", "pk.esl", "kek.esl", 0x27, SV, "not the signer's"},
    {"pad-no-null.auth", "db", "pk.esl", "kek.esl", 0x27, SV, "not the signer's"},
    // The right signature over something else.
    {"db-kek.auth", "dbt", "pk.esl", "kek.esl", 0x27, SV, "not the signer's"},
    {"db-kek.auth", "db", "pk.esl", "kek.esl", 0x67, SV, "not the signer's"},
    {"dbx-append.auth", "dbx", "pk.esl", "kek.esl", 0x27, SV, "not the signer's"},
    {"db-attributes.auth", "dbx", "pk.esl", "kek.esl", 0x27, SV, "signed digest"},
};

static const struct known chains[] = {
    {"db-chain.auth", "db", "pk.esl", "root.esl", 0x27, OK, NULL},
    {"db-chain.auth", "db", "pk.esl", "middle.esl", 0x27, OK, NULL},
    {"db-chain.auth", "db", "pk.esl", "leaf.esl", 0x27, OK, NULL},
    {"db-chain.auth", "db", "root.esl", NULL, 0x27, OK, NULL},
    {"db-leaf.auth", "db", "pk.esl", "leaf.esl", 0x27, OK, NULL},
    {"db-leaf.auth", "db", "pk.esl", "middle.esl", 0x27, OK, NULL},
    {"db-leaf.auth", "db", "pk.esl", "root.esl", 0x27, SV, "not trusted"}, // what is between?
    {"db-gap.auth", "db", "pk.esl", "root.esl", 0x27, SV, "not trusted"},
    {"db-chain.auth", "db", "pk.esl", "kek.esl", 0x27, SV, "not trusted"},
    {"db-below.auth", "db", "pk.esl", "root.esl", 0x27, SV, "not trusted"}, // a leaf is no CA
    {"db-below.auth", "db", "pk.esl", "leaf.esl", 0x27, SV, "not trusted"},
    {"db-sha1-leaf.auth", "db", "pk.esl", "root.esl", 0x27, SV, "no such certificate"},
};

static const struct known authorities[] = {
    {"pk-self.auth", "PK", NULL, NULL, 0x27, OK, NULL},
    {"pk-foreign.auth", "PK", NULL, NULL, 0x27, SV, "not trusted"},
    {"pk-foreign.auth", "PK", "pk.esl", "kek.esl", 0x27, SV, "not trusted"},
    {"pk-next.auth", "PK", "pk.esl", "kek.esl", 0x27, OK, NULL},
    {"pk-next.auth", "PK", "pk2.esl", "kek.esl", 0x27, SV, "not trusted"},
    {"pk-next.auth", "PK", NULL, NULL, 0x27, SV, "not trusted"}, // not signed by itself
    {"pk-two.auth", "PK", "pk.esl", "kek.esl", 0x27, IP, "one PK"},
    {"pk-hash.auth", "PK", "pk.esl", "kek.esl", 0x27, IP, "certificates only"},
    {"pk-weak.auth", "PK", "pk.esl", "kek.esl", 0x27, IP, "RSA key of 2048"},
    {"pk-ec.auth", "PK", "pk.esl", "kek.esl", 0x27, IP, "RSA key of 2048"},
    {"pk-append.auth", "PK", "pk.esl", "kek.esl", 0x67, IP, "nothing is appended"},
    {"kek-pk.auth", "KEK", "pk.esl", "kek.esl", 0x27, OK, NULL},
    {"kek-kek.auth", "KEK", "pk.esl", "kek.esl", 0x27, SV, "not trusted"},
    {"kek-kek.auth", "KEK", NULL, NULL, 0x27, OK, NULL}, // setup mode: nobody has to sign
    {"db-pk.auth", "db", "pk.esl", "kek.esl", 0x27, OK, NULL},
    {"db-stranger.auth", "db", "pk.esl", "kek.esl", 0x27, SV, "not trusted"},
    {"db-stranger.auth", "db", "pk.esl", "keks.esl", 0x27, OK, NULL},
    {"db-stranger.auth", "db", NULL, NULL, 0x27, OK, NULL},
    {"db-kek.auth", "db", "pk.esl", NULL, 0x27, SV, "not trusted"},
    {"dbt.auth", "dbt", "pk.esl", "kek.esl", 0x27, OK, NULL},
    {"dbx1.auth", "dbx", "pk.esl", "kek.esl", 0x27, OK, NULL},
};

static void check_all(const struct known *table, size_t count) {
    struct uefi_auth_result result;

    for (size_t i = 0; i < count; i++) {
        const struct known *known = &table[i];
        const struct vector_setting setting = {.pk = known->pk, .kek = known->kek};
        enum uefi_status status =
            vector_set_file(&setting, known->name, known->attributes, known->file, &result);

        if (status != known->status || (result.reason == NULL) != (known->says == NULL) ||
            (known->says != NULL && strstr(result.reason, known->says) == NULL)) {
            fail_msg("row %zu, %s of %s: status %d, \"%s\"", i, known->file, known->name,
                     (int)status, result.reason != NULL ? result.reason : "");
        }
    }
}

static void signatures_and_forms(void **state) {
    (void)state;
    check_all(signatures, ARRAY_COUNT(signatures));
}

static void chains_of_certificates(void **state) {
    (void)state;
    check_all(chains, ARRAY_COUNT(chains));
}

static void who_may_sign(void **state) {
    (void)state;
    check_all(authorities, ARRAY_COUNT(authorities));
}

/// Value and time as signed.
static void result_of_a_write(void **state) {
    static const uint8_t time[] = {0xea, 0x07, 1, 2, 3, 4, 10};
    const struct vector_setting setting = {.pk = "pk.esl", .kek = "kek.esl"};
    const struct uefi_bytes value = vector("db.esl");
    struct uefi_auth_result result;

    (void)state;
    assert_int_equal(vector_set_file(&setting, "db", 0x27, "db-kek.auth", &result), OK);
    assert_int_equal(result.value.size_bytes, value.size_bytes);
    assert_memory_equal(result.value.at, value.at, value.size_bytes);
    assert_memory_equal(result.time, time, sizeof(time));
    assert_false(result.remove);
    assert_false(result.unchanged);
}

/// A signed value is taken once: not again, and no older one after it.
static void replay(void **state) {
    struct vector_setting setting = {.pk = "pk.esl", .kek = "kek.esl"};
    struct uefi_auth_stored stored;
    struct uefi_auth_result result;

    (void)state;
    assert_int_equal(vector_set_file(&setting, "db", 0x27, "db-kek.auth", &result), OK);
    stored = vector_stored(0x27, &result);
    setting.stored = &stored;
    assert_int_equal(vector_set_file(&setting, "db", 0x27, "db-kek.auth", &result), SV);
    assert_non_null(strstr(result.reason, "replay"));
    assert_int_equal(vector_set_file(&setting, "db", 0x27, "db-later.auth", &result), OK);
    stored = vector_stored(0x27, &result);
    assert_int_equal(vector_set_file(&setting, "db", 0x27, "db-kek.auth", &result), SV);
    // The year counts first.
    stored.time[0] = 0xe9;
    stored.time[2] = 12;
    assert_int_equal(vector_set_file(&setting, "db", 0x27, "db-kek.auth", &result), OK);
    // In setup mode anybody may write anything: an old value too.
    stored.time[0] = 0xff;
    setting.pk = NULL;
    assert_int_equal(vector_set_file(&setting, "db", 0x27, "db-kek.auth", &result), OK);
}

static void appends(void **state) {
    struct vector_setting setting = {.pk = "pk.esl", .kek = "kek.esl"};
    const struct uefi_bytes one = vector("dbx1.esl");
    uint8_t kept[512];
    struct uefi_auth_stored stored;
    struct uefi_auth_result result;

    (void)state;
    assert_int_equal(vector_set_file(&setting, "dbx", 0x27, "dbx1.auth", &result), OK);
    stored = vector_stored(0x27, &result);
    setting.stored = &stored;
    // Of two, one, three, two only two and three are new; the time is earlier and stays.
    assert_int_equal(vector_set_file(&setting, "dbx", 0x67, "dbx-append.auth", &result), OK);
    assert_int_equal(result.value.size_bytes, one.size_bytes + 28 + 2 * 48);
    assert_memory_equal(result.value.at, one.at, one.size_bytes);
    assert_memory_equal(result.time, stored.time, sizeof(stored.time));
    assert_false(result.unchanged);
    memcpy(kept, result.value.at, result.value.size_bytes);
    stored = vector_stored(0x67, &result);
    stored.value.at = kept;
    // Once more: nothing new. A later one: only the time is.
    assert_int_equal(vector_set_file(&setting, "dbx", 0x67, "dbx-append.auth", &result), OK);
    assert_true(result.unchanged);
    assert_int_equal(result.value.size_bytes, stored.value.size_bytes);
    assert_int_equal(vector_set_file(&setting, "dbx", 0x67, "dbx-append-later.auth", &result), OK);
    assert_true(result.unchanged);
    assert_int_equal(result.time[6], 20);
    // To nothing: all three.
    setting.stored = NULL;
    assert_int_equal(vector_set_file(&setting, "dbx", 0x67, "dbx-append.auth", &result), OK);
    assert_int_equal(result.value.size_bytes, 28 + 3 * 48);
}

/// A delete is a signed write of nothing, and there is no other.
static void deletes(void **state) {
    static const uint32_t unsigned_attributes[] = {0, 0x07, 0x40, 0x01};
    static const char *const names[] = {"PK", "KEK", "db", "dbx", "dbt", "dbr", "Mine"};
    const struct uefi_bytes nothing = {NULL, 0};
    struct uefi_auth_stored stored = {.attributes = 0x27, .value = vector("db.esl")};
    struct vector_setting setting = {.pk = "pk.esl", .kek = "kek.esl", .stored = &stored};
    struct uefi_auth_result result;

    (void)state;
    for (size_t n = 0; n < ARRAY_COUNT(names); n++) {
        for (size_t a = 0; a < ARRAY_COUNT(unsigned_attributes); a++) {
            assert_int_equal(
                vector_set(&setting, names[n], unsigned_attributes[a], nothing, &result), SV);
            assert_non_null(strstr(result.reason, "without authentication"));
        }
        // With the right attributes and nothing at all: the hole of other implementations.
        assert_int_equal(vector_set(&setting, names[n], 0x27, nothing, &result), SV);
        assert_non_null(strstr(result.reason, "cut off"));
        assert_int_equal(vector_set(&setting, names[n], 0x07, stored.value, &result), IP);
        assert_int_equal(vector_set(&setting, names[n], 0, stored.value, &result), SV);
    }
    assert_int_equal(vector_set_file(&setting, "db", 0x27, "db-delete.auth", &result), OK);
    assert_true(result.remove);
    assert_int_equal(vector_set_file(&setting, "PK", 0x27, "pk-delete.auth", &result), OK);
    assert_true(result.remove);
    assert_int_equal(vector_set_file(&setting, "PK", 0x27, "pk-delete-kek.auth", &result), SV);
    stored.time[1] = 0xff;
    assert_int_equal(vector_set_file(&setting, "db", 0x27, "db-delete.auth", &result), SV);
    setting.stored = NULL;
    assert_int_equal(vector_set_file(&setting, "db", 0x27, "db-delete.auth", &result),
                     UEFI_NOT_FOUND);
}

static void attributes(void **state) {
    static const struct {
        uint32_t attributes;
        enum uefi_status status;
    } cases[] = {
        {0x37, UEFI_UNSUPPORTED},
        {0x17, UEFI_UNSUPPORTED},
        {0xA7, UEFI_UNSUPPORTED},
        {0x07, IP},
        {0x23, IP},
        {0x26, IP},
        {0x2F, IP},
        {0x127, IP},
    };
    struct uefi_auth_stored stored = {.attributes = 0x23, .value = vector("db.esl")};
    struct vector_setting setting = {.pk = "pk.esl", .kek = "kek.esl"};
    struct uefi_auth_result result;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(
            vector_set_file(&setting, "db", cases[i].attributes, "db-kek.auth", &result),
            cases[i].status);
    }
    setting.stored = &stored;
    assert_int_equal(vector_set_file(&setting, "Mine", 0x27, "private.auth", &result), IP);
    assert_non_null(strstr(result.reason, "not the stored ones"));
}

/// Private authenticated variables belong to who signed first.
static void private_variables(void **state) {
    struct vector_setting setting = {.pk = "pk.esl", .kek = "kek.esl"};
    struct uefi_auth_stored stored;
    struct uefi_auth_result result;

    (void)state;
    assert_int_equal(vector_set_file(&setting, "Mine", 0x27, "private.auth", &result), OK);
    stored = vector_stored(0x27, &result);
    setting.stored = &stored;
    assert_int_equal(vector_set_file(&setting, "Mine", 0x27, "private.auth", &result), SV);
    assert_int_equal(vector_set_file(&setting, "Mine", 0x27, "private-twin.auth", &result), SV);
    assert_non_null(strstr(result.reason, "not the one that made"));
    assert_int_equal(vector_set_file(&setting, "Mine", 0x27, "private-leaf2.auth", &result), SV);
    assert_int_equal(vector_set_file(&setting, "Mine", 0x27, "private-again.auth", &result), OK);
    assert_memory_equal(result.digest, stored.digest, UEFI_DIGEST_BYTES);
    assert_int_equal(vector_set_file(&setting, "Mine", 0x67, "private-append.auth", &result), OK);
    assert_int_equal(result.value.size_bytes, 26);
    assert_int_equal(vector_set_file(&setting, "Mine", 0x27, "private-delete.auth", &result), OK);
    assert_true(result.remove);
    // Setup mode opens the keys, not these.
    setting.pk = NULL;
    assert_int_equal(vector_set_file(&setting, "Mine", 0x27, "private-twin.auth", &result), SV);
    // A variable that came without a pin (imported) is nobody's.
    memset(stored.digest, 0, sizeof(stored.digest));
    assert_int_equal(vector_set_file(&setting, "Mine", 0x27, "private-again.auth", &result), SV);
}

/// With a chain: another certificate of the same name under the same top.
static void private_chains(void **state) {
    struct vector_setting setting = {.pk = "pk.esl"};
    struct uefi_auth_stored stored;
    struct uefi_auth_result result;

    (void)state;
    assert_int_equal(vector_set_file(&setting, "Mine", 0x27, "private-leaf.auth", &result), OK);
    stored = vector_stored(0x27, &result);
    setting.stored = &stored;
    assert_int_equal(vector_set_file(&setting, "Mine", 0x27, "private-leaf2.auth", &result), OK);
    assert_int_equal(vector_set_file(&setting, "Mine", 0x27, "private-other.auth", &result), SV);
    assert_int_equal(vector_set_file(&setting, "Mine", 0x27, "private-chain-alone.auth", &result),
                     SV);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_and_forms),
        cmocka_unit_test(chains_of_certificates),
        cmocka_unit_test(who_may_sign),
        cmocka_unit_test(result_of_a_write),
        cmocka_unit_test(replay),
        cmocka_unit_test(appends),
        cmocka_unit_test(deletes),
        cmocka_unit_test(attributes),
        cmocka_unit_test(private_variables),
        cmocka_unit_test(private_chains),
    };

    return cmocka_run_group_tests_name("uefi_auth", tests, NULL, NULL);
}
