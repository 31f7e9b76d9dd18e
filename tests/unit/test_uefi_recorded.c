// SPDX-License-Identifier: MIT
//
// The variable service against the one of QEMU: the same messages, the same answers, byte by byte,
// but where one of the two is known to be stricter. QEMU's answers stand in uefi_recorded.txt, one
// line a message: transport's result, EFI status, CRC-32 of the answered message. With
// UEFI_VARS_QEMU=program (QEMU 10 or later) the messages go to a running QEMU too; with
// UEFI_VARS_RECORD=file its answers are written down anew.

#include "igvm/base/bytes.h"
#include "tests/support/uefi_compare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define NV UEFI_ATTR_NON_VOLATILE
#define BS UEFI_ATTR_BOOTSERVICE
#define RT UEFI_ATTR_RUNTIME
#define AT UEFI_ATTR_TIME_AUTH
#define AP UEFI_ATTR_APPEND

static struct uefi_comparison c;

#define SET(name, attributes, text)                                                                \
    uefi_set(&c.ours.client, &uefi_test_guid, (name), (attributes), (text), strlen(text))
#define GET(name, room) uefi_get(&c.ours.client, &uefi_test_guid, (name), (room))

static void list_from(const char *name) {
    c.ours.client.guid = uefi_test_guid;
    strcpy(c.ours.client.name, name);
    while (uefi_next(&c.ours.client, 128) == UEFI_SUCCESS) {
    }
}

static bool is_there(const char *name) {
    uint8_t bytes[64];
    size_t size = uefi_put_name(bytes, name) - 2;

    return uefi_store_find(&c.ours.engine.store, &uefi_test_guid,
                           (struct uefi_bytes){.at = bytes, .size_bytes = size}) != NULL;
}

/// QEMU calls a delete of nothing a success.
static void delete_if_there(const char *name, uint32_t attributes) {
    if (is_there(name)) {
        SET(name, attributes, "");
    }
}

static void firmware_phase(void) {
    uefi_begin(&c.ours.client, &uefi_test_variable_service, 24);
    c.known = "QEMU counts the headers in";
    uefi_call(&c.ours.client, 11, 8);
    SET("First", NV | BS | RT, "one");
    GET("First", 100);
    GET("First", 2);
    GET("first", 100);
    SET("Second", BS | RT, "two");
    SET("Third", NV | BS, "three");
    list_from("First");
    SET("Third", NV | BS, "changed");
    list_from("First");
    for (uint32_t a = 0; a < 8; a++) {
        SET("Attributes", a, "x");
        GET("Attributes", 10);
        SET("Attributes", NV | BS, "y");
        c.known = (a & (BS | RT)) == RT ? "QEMU deletes by RUNTIME alone" : NULL;
        SET("Attributes", a, "");
        delete_if_there("Attributes", NV | BS);
    }
    SET("Third", NV | BS | RT, "other attributes");
    SET("Third", BS, "other attributes");
    c.known = "QEMU deletes what is not there";
    SET("Nobody", NV | BS, "");
    uefi_begin(&c.ours.client, &uefi_test_variable_service, 24);
    for (uint64_t function = 12; function < 20; function++) {
        uefi_call(&c.ours.client, function, 8);
    }
}

/// EFI_VARIABLE_AUTHENTICATION_2 without a certificate: enough while no PK is enrolled.
static size_t put_auth_header(uint8_t *out, uint8_t month) {
    static const uint8_t pkcs7[16] = {0x9d, 0xd2, 0xaf, 0x4a, 0xdf, 0x68, 0xee, 0x49,
                                      0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7};

    memset(out, 0, 40);
    store_le16(out, 2024);
    out[2] = month;
    out[3] = 1;
    store_le32(out + 16, 24);
    store_le16(out + 20, 0x0200);
    store_le16(out + 22, 0x0EF1);
    memcpy(out + 24, pkcs7, 16);
    return 40;
}

/// A signature list of one SHA-256 digest.
static size_t put_list(uint8_t *out, uint8_t digest) {
    static const uint8_t sha256[16] = {0x26, 0x16, 0xc4, 0xc1, 0x4c, 0x50, 0x92, 0x40,
                                       0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28};

    memcpy(out, sha256, 16);
    store_le32(out + 16, 28 + 48);
    store_le32(out + 20, 0);
    store_le32(out + 24, 48);
    memset(out + 28, 0x11, 16);
    memset(out + 44, digest, 32);
    return 76;
}

static void keys_phase(void) {
    static const struct uefi_guid image_security = UEFI_GUID_IMAGE_SECURITY;
    const uint32_t all = NV | BS | RT | AT;
    uint8_t bytes[256];
    size_t header = put_auth_header(bytes, 5);
    size_t size = header + put_list(bytes + header, 0xA1);
    struct uefi_client *u = &c.ours.client;

    uefi_set(u, &image_security, "db", NV | BS | RT, bytes + header, size - header);
    uefi_set(u, &image_security, "db", all, bytes + header, size - header);
    uefi_set(u, &image_security, "db", all, bytes, size);
    uefi_get(u, &image_security, "db", 200);
    put_list(bytes + header, 0xA2);
    put_auth_header(bytes, 6);
    uefi_set(u, &image_security, "db", all | AP, bytes, size);
    c.known = "QEMU joins the lists into one, we keep both";
    uefi_get(u, &image_security, "db", 200);
    uefi_set(u, &image_security, "db", all | AP, bytes, size); // nothing new
    c.known = "as before";
    uefi_get(u, &image_security, "db", 200);
    put_auth_header(bytes, 7);
    uefi_set(u, &image_security, "db", all, bytes, header); // a delete
    uefi_get(u, &image_security, "db", 200);
    c.known = "QEMU takes half a signature list";
    uefi_set(u, &image_security, "dbx", all, bytes, size - 1);
    c.known = "so it has it";
    uefi_get(u, &image_security, "dbx", 200);
    uefi_get(u, &uefi_test_global, "SetupMode", 10);
    uefi_get(u, &uefi_test_global, "SecureBoot", 10);
    c.known = "QEMU lets the guest write Secure Boot's state";
    uefi_set(u, &uefi_test_global, "SetupMode", BS | RT, "\1", 1);
    c.known = "as before";
    uefi_set(u, &uefi_test_global, "SecureBoot", BS | RT, "\1", 1);
}

static void policy_phase(void) {
    struct uefi_client *u = &c.ours.client;
    static const struct uefi_test_policy policies[] = {
        {.guid = &uefi_test_guid, .name = "Locked", .max_bytes = UINT32_MAX, .lock = 1},
        {.guid = &uefi_test_guid, .name = "Once", .max_bytes = UINT32_MAX, .lock = 2},
        {.guid = &uefi_test_guid, .name = "Sized", .min_bytes = 2, .max_bytes = 4},
        {.guid = &uefi_test_guid, .name = "Num##", .max_bytes = 1},
        {.guid = &uefi_test_guid, .name = "Num0#", .max_bytes = 2},
        {.guid = &uefi_test_guid, .name = "Num01", .max_bytes = 3},
        {.guid = &uefi_test_guid,
         .name = "Must",
         .max_bytes = UINT32_MAX,
         .must_have = NV,
         .cant_have = RT},
    };

    for (unsigned i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
        uefi_policy_add(u, &policies[i]);
    }
    uefi_policy_add(u, &policies[2]); // again
    SET("Locked", BS, "firmware");
    uefi_event(u, &uefi_test_end_of_dxe);
    SET("Locked", BS, "later");
    SET("Locked", BS, "");
    SET("Once", BS, "1");
    SET("Once", BS, "2");
    SET("Sized", BS, "1");
    SET("Sized", BS, "123");
    SET("Sized", BS, "12345");
    SET("Num01", BS, "123");
    SET("Num0A", BS, "123");
    SET("Num0A", BS, "12");
    SET("NumAA", BS, "12");
    SET("NumAA", BS, "1");
    SET("NumG1", BS, "12345");
    SET("Must", BS, "x");
    SET("Must", NV | BS | RT, "x");
    SET("Must", NV | BS, "x");
    uefi_begin(u, &uefi_test_policy_service, 40);
    uefi_policy_command(u, 2, 1);
    uefi_policy_command(u, 1, 0);
    c.known = "QEMU locks the policies when it is told to, EDK II's own service at EndOfDxe";
    uefi_policy_command(u, 5, 0);
    uefi_policy_add(u, &(struct uefi_test_policy){.guid = &uefi_test_guid, .name = "Late"});
}

/// Sizes and names without sense; see test_uefi_hostile.c.
static void wrong_sizes(void) {
    static const uint64_t sizes[] = {0, 1, 2, 3, 7, 9, 11, 13, 40, 1000, 1ull << 32, UINT64_MAX};
    struct uefi_client *u = &c.ours.client;

    for (unsigned function = 1; function <= 3; function += 2) {
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            SET("Name", BS, "contents"); // 10 bytes of name, 8 of data
            store_le64(u->message + 40 + 16, sizes[i]);
            if (function == 1 && sizes[i] > 8 && sizes[i] <= 1000) {
                c.known = "QEMU lets a GET have more room than its message";
            }
            uefi_call(u, function, 36 + 10 + 8);
            SET("Name", BS, "contents");
            store_le64(u->message + 40 + 24, sizes[i]);
            if (sizes[i] == 7 || sizes[i] == 9) {
                c.known = "QEMU lets a name be of odd size";
            } else if (function == 1 && (sizes[i] == 11 || sizes[i] == 13)) {
                c.known = "QEMU lets a GET have more room than its message";
            }
            uefi_call(u, function, 36 + 10 + 8);
            delete_if_there("Nam", BS); // 7 bytes: QEMU's odd name
        }
    }
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        c.ours.client.guid = uefi_test_guid;
        strcpy(c.ours.client.name, "Name");
        uefi_next(u, 64);
        memcpy(u->message + 40, &uefi_test_guid, 16);
        uefi_put_name(u->message + 40 + 24, "Name");
        store_le64(u->message + 40 + 16, sizes[i]);
        if (sizes[i] == 7 || sizes[i] == 9) {
            c.known = "QEMU looks for the name's NUL behind its room";
        }
        uefi_call(u, 2, 24 + 64);
    }
}

/// Of a name of the random phase: fixed, for QEMU is lax with changes.
static uint32_t attributes_of(const char *name) {
    static const uint32_t all[] = {NV | BS | RT, BS, NV | BS | RT, BS | RT, NV | BS | RT};

    return all[name[1] - '0'];
}

static void random_phase(unsigned count, bool runtime) {
    static const char *const names[] = {"R0", "R2", "R4", "R1", "R3"};
    static const char value[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint64_t random = 88172645463325252;

    for (unsigned i = 0; i < count; i++) {
        const char *name;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        name = names[random % (runtime ? 3 : 5)];
        switch (random >> 8 & 7) {
        case 0:
        case 1:
            GET(name, random >> 16 & 31);
            break;
        case 2:
            delete_if_there(name, attributes_of(name));
            break;
        default:
            uefi_set(&c.ours.client, &uefi_test_guid, name, attributes_of(name), value,
                     1 + (random >> 32 & 31));
            break;
        }
    }
}

static void runtime_phase(void) {
    static const char lax[] = "QEMU lets volatile variables be written at runtime";

    SET("Early", NV | BS, "boot");
    SET("Volatile", BS | RT, "volatile");
    SET("Late", NV | BS | RT, "1");
    SET("Later", NV | BS | RT, "2");
    uefi_event(&c.ours.client, &uefi_test_ready_to_boot);
    uefi_event(&c.ours.client, &uefi_test_exit_boot_services);
    list_from("Late");
    GET("Early", 100);
    SET("Early", NV | BS, "invisible");
    SET("Early", NV | BS | RT, "invisible");
    c.known = lax;
    SET("Volatile", BS | RT, "again");
    c.known = lax;
    SET("New", BS | RT, "volatile");
    SET("Boot", NV | BS, "boot");
    SET("Runtime", NV | BS | RT, "runtime");
    GET("Runtime", 100);
    list_from("Runtime");
}

static void same_answers(void **state) {
    (void)state;
    firmware_phase();
    keys_phase();
    wrong_sizes();
    random_phase(400, false);
    policy_phase();
    random_phase(400, false);
    runtime_phase();
    random_phase(400, true);
    assert_int_equal(c.wrong_count, 0);
    print_message("%u messages, %u known differences\n", c.message_count, c.known_count);
}

static int setup(void **state) {
    int r = uefi_compare_start(&c, getenv("UEFI_VARS_QEMU"), "tests/unit/uefi_recorded.txt",
                               getenv("UEFI_VARS_RECORD"));

    (void)state;
    c.show = getenv("UEFI_VARS_SHOW") != NULL;
    return r;
}

static int teardown(void **state) {
    (void)state;
    uefi_compare_stop(&c);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(same_answers, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
