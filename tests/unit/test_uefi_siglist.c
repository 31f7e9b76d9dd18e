// SPDX-License-Identifier: MIT
//
// EFI_SIGNATURE_LIST: walks, every rule broken once, appends; and Secure Boot's names and state.
#include "tests/support/uefi_vectors.h"

#include "igvm/base/bytes.h"
#include "igvm/base/types.h"
#include "userspace/uefi/siglist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct uefi_guid global = UEFI_GUID_GLOBAL;

static void walk(void **state) {
    const struct uefi_bytes value = vector("dbx2.esl");
    struct uefi_siglist_walk walk;
    struct uefi_signature signature;
    size_t count;

    (void)state;
    uefi_siglist_begin(&walk, value);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(uefi_siglist_next(&walk, &signature));
        assert_int_equal(signature.type, UEFI_SIG_SHA256);
        assert_ptr_equal(signature.owner.at, value.at + 28 + i * 48);
        assert_int_equal(signature.data.size_bytes, 32);
    }
    assert_false(uefi_siglist_next(&walk, &signature));
    assert_false(uefi_siglist_next(&walk, &signature));
    assert_null(walk.wrong);
    // Several lists, of one certificate each.
    assert_null(uefi_siglist_check(vector("keks.esl"), &count));
    assert_int_equal(count, 3);
    assert_null(uefi_siglist_check((struct uefi_bytes){NULL, 0}, &count));
    assert_int_equal(count, 0);
}

/// What sbsigntool, efitools and OVMF's variables hold follows these sizes.
static void every_type(void **state) {
    static const uint32_t sizes[UEFI_SIG_TYPE_COUNT] = {700, 32,  20,  28, 48, 64,
                                                        256, 256, 256, 48, 64, 80};
    uint8_t bytes[28 + 16 + 700];
    size_t count;

    (void)state;
    for (unsigned type = 0; type < UEFI_SIG_TYPE_COUNT; type++) {
        const uint32_t size = uefi_siglist_header(bytes, (enum uefi_sig_type)type, sizes[type], 1);
        const struct uefi_bytes value = {bytes, size};

        assert_int_equal(size, 28 + 16 + sizes[type]);
        memset(bytes + 28, 0, size - 28);
        assert_null(uefi_siglist_check(value, &count));
        assert_non_null(uefi_sig_name((enum uefi_sig_type)type));
        if (type != UEFI_SIG_X509) {
            store_le32(bytes + 24, 16 + sizes[type] - 1);
            assert_non_null(uefi_siglist_check(value, &count));
        }
    }
    assert_int_equal(uefi_siglist_header(bytes, UEFI_SIG_SHA256, 32, UINT32_MAX), 0);
    assert_int_equal(uefi_siglist_header(bytes, UEFI_SIG_X509, UINT32_MAX, 1), 0);
}

static void broken(void **state) {
    static const struct {
        unsigned off;
        uint32_t value;
        const char *says;
    } cases[] = {
        {0, 0x12345678, "unknown type"},
        {16, 27, "size"},
        {16, 0, "size"},
        {16, 77, "size"},
        {16, 0xffffffff, "size"},
        {16, 28, "whole number"},
        {16, 75, "whole number"},
        {20, 1, "header size"},
        {20, 0xffffffe4, "header size"},
        {24, 0, "signature size"},
        {24, 16, "signature size"},
        {24, 47, "signature size"},
        {24, 0xffffffff, "signature size"},
    };
    const struct uefi_bytes good = vector("dbx1.esl");
    uint8_t bytes[76];
    size_t count;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const char *wrong;

        memcpy(bytes, good.at, sizeof(bytes));
        store_le32(bytes + cases[i].off, cases[i].value);
        wrong = uefi_siglist_check((struct uefi_bytes){bytes, sizeof(bytes)}, &count);
        assert_non_null(wrong);
        assert_non_null(strstr(wrong, cases[i].says));
    }
    for (size_t size = 1; size < good.size_bytes; size++) {
        uint8_t *copy = malloc(size);

        assert_non_null(copy);
        memcpy(copy, good.at, size);
        assert_non_null(uefi_siglist_check((struct uefi_bytes){copy, size}, &count));
        free(copy);
    }
}

static void append(void **state) {
    const struct uefi_bytes one = vector("dbx1.esl"), four = vector("dbx2.esl");
    const struct uefi_bytes keys = vector("keks.esl"), none = {NULL, 0};
    uint8_t room[8192], again[8192];
    struct uefi_bytes first, second;
    size_t count;

    (void)state;
    assert_true(uefi_siglist_append(one, four, room, sizeof(room), &first, &count));
    assert_int_equal(count, 2);
    assert_null(uefi_siglist_check(first, &count));
    assert_int_equal(count, 3);
    assert_true(uefi_siglist_append(first, keys, again, sizeof(again), &second, &count));
    assert_int_equal(count, 3);
    assert_int_equal(second.size_bytes, first.size_bytes + keys.size_bytes);
    assert_true(uefi_siglist_append(keys, keys, room, sizeof(room), &first, &count));
    assert_int_equal(count, 0);
    assert_int_equal(first.size_bytes, keys.size_bytes);
    assert_true(uefi_siglist_append(none, none, room, sizeof(room), &first, &count));
    assert_int_equal(first.size_bytes, 0);
    // Room for exactly that, and one byte less.
    assert_true(uefi_siglist_append(one, four, room, 76 + 28 + 96, &first, &count));
    assert_false(uefi_siglist_append(one, four, room, 76 + 28 + 95, &first, &count));
    assert_false(uefi_siglist_append(one, four, room, 75, &first, &count));
}

static enum uefi_auth_rule rule(const struct uefi_guid *guid, const char *name) {
    uint8_t wide[64];

    for (size_t i = 0; i < strlen(name); i++) {
        wide[2 * i] = (uint8_t)name[i];
        wide[2 * i + 1] = 0;
    }
    return uefi_auth_rule(guid, (struct uefi_bytes){wide, 2 * strlen(name)});
}

static void names(void **state) {
    static const struct uefi_guid security = UEFI_GUID_IMAGE_SECURITY;
    static const struct uefi_guid enable = UEFI_GUID_SECURE_BOOT_ENABLE;
    static const struct uefi_guid custom = UEFI_GUID_CUSTOM_MODE;

    (void)state;
    assert_int_equal(rule(&global, "PK"), UEFI_AUTH_KEY);
    assert_int_equal(rule(&global, "KEK"), UEFI_AUTH_KEY);
    assert_int_equal(rule(&security, "dbx"), UEFI_AUTH_KEY);
    assert_int_equal(rule(&security, "PK"), UEFI_AUTH_ORDINARY);
    assert_int_equal(rule(&global, "db"), UEFI_AUTH_ORDINARY);
    assert_int_equal(rule(&global, "pk"), UEFI_AUTH_ORDINARY);
    assert_int_equal(rule(&global, "PKx"), UEFI_AUTH_ORDINARY);
    assert_int_equal(rule(&global, "SetupMode"), UEFI_AUTH_READ_ONLY);
    assert_int_equal(rule(&global, "SecureBoot"), UEFI_AUTH_READ_ONLY);
    assert_int_equal(rule(&enable, "SecureBootEnable"), UEFI_AUTH_READ_ONLY);
    assert_int_equal(rule(&custom, "CustomMode"), UEFI_AUTH_READ_ONLY);
    assert_int_equal(rule(&global, "BootOrder"), UEFI_AUTH_ORDINARY);
}

/// A state variable's value: -1 when it is not to exist, -2 when nothing is said about it.
static int state_of(const struct uefi_auth_state_input *in, const char *name) {
    struct uefi_auth_state_variable out[UEFI_AUTH_STATE_MAX];
    const size_t count = uefi_auth_state(in, out);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(out[i].name, name) == 0) {
            return out[i].value_bytes == 0 ? -1 : out[i].value[0];
        }
    }
    return -2;
}

static void secure_boot_state(void **state) {
    static const struct {
        bool pk, wanted;
        int setup, deployed, enable, secure_boot;
    } cases[] = {
        {false, false, 1, 0, -1, 0},
        {false, true, 1, 0, -1, 0},
        {true, false, 0, 1, 0, 0},
        {true, true, 0, 1, 1, 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct uefi_auth_state_input in = {
            .pk_present = cases[i].pk,
            .at_reset = true,
            .secure_boot_enable = 1 - cases[i].enable, // what a guest may have left: of no weight
            .secure_boot_wanted = cases[i].wanted,
        };

        assert_int_equal(state_of(&in, "SetupMode"), cases[i].setup);
        assert_int_equal(state_of(&in, "DeployedMode"), cases[i].deployed);
        assert_int_equal(state_of(&in, "AuditMode"), 0);
        assert_int_equal(state_of(&in, "CustomMode"), 0);
        assert_int_equal(state_of(&in, "SecureBootEnable"), cases[i].enable);
        assert_int_equal(state_of(&in, "SecureBoot"), cases[i].secure_boot);
        // What firmware does is decided at power-on.
        in.at_reset = false;
        assert_int_equal(state_of(&in, "SetupMode"), cases[i].setup);
        assert_int_equal(state_of(&in, "SecureBoot"), -2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walk),   cmocka_unit_test(every_type), cmocka_unit_test(broken),
        cmocka_unit_test(append), cmocka_unit_test(names),      cmocka_unit_test(secure_boot_state),
    };

    return cmocka_run_group_tests_name("uefi_siglist", tests, NULL, NULL);
}
