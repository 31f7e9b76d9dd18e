// SPDX-License-Identifier: MIT
//
// The attacks on Secure Boot's keys and state, through the whole service with the real check of
// signatures: every attribute byte with payloads that carry no valid signature, in every phase of a
// start. QEMU 10.0's device takes a delete of db, KEK and PK from anybody; this is where ours shows
// that it does not. And a full store does not keep a key from being written.

#include "tests/support/uefi_client.h"

#include "igvm/base/bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NV  UEFI_ATTR_NON_VOLATILE
#define BS  UEFI_ATTR_BOOTSERVICE
#define RT  UEFI_ATTR_RUNTIME
#define AT  UEFI_ATTR_TIME_AUTH
#define KEY (NV | BS | RT | AT)

static const struct uefi_guid global = UEFI_GUID_GLOBAL;
static const struct uefi_guid image_security = UEFI_GUID_IMAGE_SECURITY;
static const struct uefi_guid enable_guid = UEFI_GUID_SECURE_BOOT_ENABLE;
static const struct uefi_guid custom_guid = UEFI_GUID_CUSTOM_MODE;

struct target {
    const struct uefi_guid *guid;
    const char *name;
};

static const struct target keys[] = {
    {&global, "PK"},          {&global, "KEK"},         {&image_security, "db"},
    {&image_security, "dbx"}, {&image_security, "dbt"}, {&image_security, "dbr"},
};
static const struct target state_variables[] = {
    {&global, "SetupMode"},       {&global, "SecureBoot"},   {&global, "SignatureSupport"},
    {&global, "VendorKeys"},      {&global, "VendorKeysNv"}, {&enable_guid, "SecureBootEnable"},
    {&custom_guid, "CustomMode"},
};

/// EFI_VARIABLE_AUTHENTICATION_2 of the year 2099 with this much behind it as its certificate.
static size_t put_header(uint8_t *out, const uint8_t *certificate, uint32_t certificate_bytes) {
    static const uint8_t pkcs7[16] = {0x9d, 0xd2, 0xaf, 0x4a, 0xdf, 0x68, 0xee, 0x49,
                                      0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7};

    memset(out, 0, 40);
    store_le16(out, 2099);
    out[2] = out[3] = 1;
    store_le32(out + 16, 24 + certificate_bytes);
    store_le16(out + 20, 0x0200);
    store_le16(out + 22, 0x0EF1);
    memcpy(out + 24, pkcs7, 16);
    memcpy(out + 40, certificate, certificate_bytes);
    return 40 + certificate_bytes;
}

/// A signature list of one SHA-256 digest.
static size_t put_list(uint8_t *out, uint8_t digest) {
    static const uint8_t sha256[16] = {0x26, 0x16, 0xc4, 0xc1, 0x4c, 0x50, 0x92, 0x40,
                                       0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28};

    memset(out, 0x11, 76);
    memcpy(out, sha256, 16);
    store_le32(out + 16, 76);
    store_le32(out + 20, 0);
    store_le32(out + 24, 48);
    memset(out + 44, digest, 32);
    return 76;
}

static struct uefi_bytes name_of(const char *text, uint8_t room[64]) {
    return (struct uefi_bytes){.at = room, .size_bytes = uefi_put_name(room, text) - 2};
}

/// A machine whose keys are enrolled.
static int setup(void **state) {
    struct uefi_fixture *f = calloc(1, sizeof(*f));
    uint8_t list[76], name[64], time[UEFI_TIME_BYTES] = {0xE8, 0x07, 1, 1};

    uefi_fixture_start(f, false);
    f->engine.config.auth_check = NULL; // the real one
    f->engine.config.secure_boot_wanted = true;
    for (unsigned i = 0; i < 6; i++) {
        put_list(list, (uint8_t)i);
        assert_int_equal(uefi_engine_preset(&f->engine, keys[i].guid, name_of(keys[i].name, name),
                                            KEY, (struct uefi_bytes){list, sizeof(list)}, time),
                         0);
    }
    assert_int_equal(uefi_engine_reset(&f->engine), 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    uefi_fixture_stop(*state);
    free(*state);
    return 0;
}

/// The store as a whole, volatile variables too.
static uint64_t fingerprint(const struct uefi_fixture *f) {
    uint64_t h = 14695981039346656037u;

    for (const struct uefi_variable *v = f->engine.store.first; v != NULL; v = v->next) {
        h = (h ^ v->attributes) * 1099511628211u;
        h = (h ^ v->time[0] ^ v->value.size_bytes << 8) * 1099511628211u;
        for (size_t i = 0; i < v->name.size_bytes + v->value.size_bytes; i++) {
            h = (h ^ v->bytes[i]) * 1099511628211u;
        }
    }
    return h;
}

/// Everything without a signature: nothing, a byte, a value, headers with no and a false one.
static unsigned make_payloads(uint8_t payloads[7][256], size_t sizes[7]) {
    uint8_t garbage[64];

    memset(garbage, 0x30, sizeof(garbage));
    sizes[0] = 0;
    sizes[1] = 1;
    sizes[2] = put_list(payloads[2], 0x77);
    sizes[3] = put_header(payloads[3], garbage, 0);
    sizes[4] = put_header(payloads[4], garbage, 0);
    sizes[4] += put_list(payloads[4] + sizes[4], 0x77);
    sizes[5] = put_header(payloads[5], garbage, sizeof(garbage));
    sizes[6] = put_header(payloads[6], garbage, sizeof(garbage));
    sizes[6] += put_list(payloads[6] + sizes[6], 0x77);
    return 7;
}

static void attack(struct uefi_fixture *f, const struct target *target) {
    static uint8_t payloads[7][256];
    size_t sizes[7];
    unsigned count = make_payloads(payloads, sizes);
    uint64_t before = fingerprint(f);

    for (uint32_t attributes = 0; attributes < 256; attributes++) {
        for (unsigned i = 0; i < count; i++) {
            uint64_t status =
                uefi_set(&f->client, target->guid, target->name, attributes, payloads[i], sizes[i]);

            if (status == UEFI_SUCCESS || fingerprint(f) != before) {
                fail_msg("%s: attributes %02x, payload %u: %llu", target->name, attributes, i,
                         (unsigned long long)status);
            }
        }
    }
}

static void attack_all(struct uefi_fixture *f) {
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        attack(f, &keys[i]);
    }
    for (unsigned i = 0; i < sizeof(state_variables) / sizeof(state_variables[0]); i++) {
        attack(f, &state_variables[i]);
    }
}

static void assert_byte(struct uefi_fixture *f, const char *name, uint8_t value) {
    assert_int_equal(uefi_get(&f->client, &global, name, 8), UEFI_SUCCESS);
    assert_int_equal(f->client.size_bytes, 1);
    assert_int_equal(f->client.value[0], value);
}

static void nobody_changes_a_key(void **state) {
    struct uefi_fixture *f = *state;

    for (unsigned start = 0; start < 2; start++) {
        assert_byte(f, "SetupMode", 0);
        assert_byte(f, "SecureBoot", 1);
        attack_all(f);
        uefi_event(&f->client, &uefi_test_end_of_dxe);
        attack_all(f);
        uefi_event(&f->client, &uefi_test_exit_boot_services);
        attack_all(f);
        assert_int_equal(uefi_engine_reset(&f->engine), 0);
    }
}

/// The very call: four bytes of attributes and nothing behind, as efivarfs passes them on.
static void the_delete_that_qemu_takes(void **state) {
    struct uefi_fixture *f = *state;

    uefi_event(&f->client, &uefi_test_exit_boot_services);
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_int_equal(uefi_set(&f->client, keys[i].guid, keys[i].name, KEY, "", 0),
                         UEFI_SECURITY_VIOLATION);
        assert_int_equal(uefi_get(&f->client, keys[i].guid, keys[i].name, 100), UEFI_SUCCESS);
    }
}

/// A key's name with other attributes, where the key itself is not enrolled.
static void no_key_without_authentication(void **state) {
    struct uefi_fixture *f = *state;
    uint8_t list[76];

    uefi_store_clear(&f->engine.store);
    assert_int_equal(uefi_engine_reset(&f->engine), 0);
    assert_byte(f, "SetupMode", 1);
    put_list(list, 1);
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        for (uint32_t attributes = 0; attributes < 256; attributes++) {
            assert_int_not_equal(
                uefi_set(&f->client, keys[i].guid, keys[i].name, attributes, list, sizeof(list)),
                UEFI_SUCCESS);
        }
        assert_int_equal(uefi_get(&f->client, keys[i].guid, keys[i].name, 100), UEFI_NOT_FOUND);
    }
    assert_byte(f, "SetupMode", 1);
}

/// In setup mode, where no signature is needed: dbx grows in a store that is full otherwise.
static void a_full_store_takes_keys(void **state) {
    struct uefi_fixture *f = *state;
    static uint8_t large[40 + 400 * 76], filler[UEFI_STORE_VALUE_MAX_BYTES];
    char name[16];
    size_t size;

    uefi_store_clear(&f->engine.store);
    assert_int_equal(uefi_engine_reset(&f->engine), 0);
    for (size_t bytes = sizeof(filler); bytes > 0; bytes /= 2) {
        for (unsigned i = 0;; i++) {
            snprintf(name, sizeof(name), "%zx-%u", bytes, i);
            if (uefi_set(&f->client, &uefi_test_guid, name, NV | BS | RT, filler, bytes) != 0) {
                break;
            }
        }
    }
    size = put_header(large, filler, 0);
    for (unsigned i = 0; i < 400; i++) {
        size += put_list(large + size, (uint8_t)i);
    }
    assert_int_equal(uefi_set(&f->client, &image_security, "dbx", KEY, large, size), UEFI_SUCCESS);
    assert_int_equal(uefi_set(&f->client, &image_security, "db", KEY, large, size), UEFI_SUCCESS);
    assert_true(f->disk.size_bytes <= UEFI_STORE_IMAGE_MAX_BYTES);
    assert_int_equal(uefi_set(&f->client, &uefi_test_guid, "More", NV | BS, filler, 200),
                     UEFI_OUT_OF_RESOURCES);
}

/// A change of the keys that cannot be saved changes Secure Boot's state neither.
static void a_failed_save_keeps_the_state(void **state) {
    struct uefi_fixture *f = *state;
    uint8_t bytes[200];
    uint64_t before;
    size_t size;

    uefi_store_clear(&f->engine.store);
    assert_int_equal(uefi_engine_reset(&f->engine), 0);
    before = fingerprint(f);
    size = put_header(bytes, bytes, 0);
    size += put_list(bytes + size, 1);
    f->disk.fail = -EIO;
    assert_int_equal(uefi_set(&f->client, &image_security, "db", KEY, bytes, size),
                     UEFI_DEVICE_ERROR);
    assert_true(fingerprint(f) == before);
    f->disk.fail = 0;
    assert_int_equal(uefi_set(&f->client, &image_security, "db", KEY, bytes, size), UEFI_SUCCESS);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(nobody_changes_a_key),          T(the_delete_that_qemu_takes),
        T(no_key_without_authentication), T(a_full_store_takes_keys),
        T(a_failed_save_keeps_the_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
