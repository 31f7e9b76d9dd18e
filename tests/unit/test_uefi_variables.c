// SPDX-License-Identifier: MIT
//
// The variable services by the rules of the UEFI specification 2.10, section 8.2: one test per
// rule, asked through messages as firmware asks.

#include "tests/support/uefi_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define NV UEFI_ATTR_NON_VOLATILE
#define BS UEFI_ATTR_BOOTSERVICE
#define RT UEFI_ATTR_RUNTIME
#define HR UEFI_ATTR_HARDWARE_ERROR
#define AT UEFI_ATTR_TIME_AUTH
#define AP UEFI_ATTR_APPEND

static const struct uefi_guid error_guid = UEFI_GUID_HARDWARE_ERROR;
static const struct uefi_guid other_guid = UEFI_GUID(7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7);

static void leave_boot_services(struct uefi_fixture *f) {
    uefi_event(&f->client, &uefi_test_exit_boot_services);
}

#define SET(name, attributes, text)                                                                \
    uefi_set(&f->client, &uefi_test_guid, (name), (attributes), (text), strlen(text))
#define GET(name) uefi_get(&f->client, &uefi_test_guid, (name), 1024)

// ---- get and set ----

static void set_then_get(void **state) {
    struct uefi_fixture *f = *state;

    assert_int_equal(GET("A"), UEFI_NOT_FOUND);
    assert_int_equal(SET("A", NV | BS, "one"), UEFI_SUCCESS);
    uefi_assert_value(&f->client, "A", NV | BS, "one");
    assert_int_equal(SET("A", NV | BS, "twelve"), UEFI_SUCCESS);
    uefi_assert_value(&f->client, "A", NV | BS, "twelve");
    // name and namespace together make a variable; case counts
    assert_int_equal(GET("a"), UEFI_NOT_FOUND);
    assert_int_equal(uefi_get(&f->client, &other_guid, "A", 10), UEFI_NOT_FOUND);
}

static void too_small_a_buffer_says_the_size(void **state) {
    struct uefi_fixture *f = *state;

    assert_int_equal(SET("A", BS | RT, "12345"), UEFI_SUCCESS);
    for (unsigned room = 0; room < 5; room++) {
        assert_int_equal(uefi_get(&f->client, &uefi_test_guid, "A", room), UEFI_BUFFER_TOO_SMALL);
        assert_int_equal(f->client.size_bytes, 5);
        assert_int_equal(f->client.attributes, BS | RT);
    }
    assert_int_equal(uefi_get(&f->client, &uefi_test_guid, "A", 5), UEFI_SUCCESS);
}

/// Every combination of the low eight attribute bits, and each of the high ones.
static void attribute_combinations(void **state) {
    struct uefi_fixture *f = *state;

    for (uint32_t a = 0; a < 256; a++) {
        uint64_t want = UEFI_SUCCESS;

        if ((a & UEFI_ATTR_COUNT_AUTH) && (a & AT)) {
            want = UEFI_INVALID_PARAMETER;
        } else if (a & (UEFI_ATTR_COUNT_AUTH | UEFI_ATTR_ENHANCED_AUTH)) {
            want = UEFI_UNSUPPORTED;
        } else if ((a & (BS | RT)) == RT || (a & HR)) {
            want = UEFI_INVALID_PARAMETER;
        } else if ((a & (BS | RT)) == 0) {
            want = UEFI_NOT_FOUND; // a delete
        }
        assert_int_equal(SET("A", a, "+x"), want);
        if (want == UEFI_SUCCESS) {
            assert_int_equal(GET("A"), UEFI_SUCCESS);
            assert_int_equal(f->client.attributes, a & ~AP);
            assert_int_equal(SET("A", a & ~AP, a & AT ? "-" : ""), UEFI_SUCCESS);
        }
        assert_int_equal(GET("A"), UEFI_NOT_FOUND);
    }
    for (uint32_t bit = 0x100; bit != 0; bit <<= 1) {
        assert_int_equal(SET("A", BS | bit, "x"), UEFI_INVALID_PARAMETER);
    }
}

static void attributes_never_change(void **state) {
    struct uefi_fixture *f = *state;

    assert_int_equal(SET("A", NV | BS, "x"), UEFI_SUCCESS);
    for (uint32_t a = 0; a < 0x40; a++) {
        if ((a & (BS | RT)) != 0 && a != (NV | BS)) {
            assert_int_not_equal(SET("A", a, "+y"), UEFI_SUCCESS);
            assert_int_not_equal(SET("A", a, ""), UEFI_SUCCESS);
            assert_int_not_equal(SET("A", a | AP, "+y"), UEFI_SUCCESS);
        }
    }
    assert_int_equal(SET("A", BS, "y"), UEFI_INVALID_PARAMETER);
    assert_int_equal(SET("A", NV | BS | RT, "y"), UEFI_INVALID_PARAMETER);
    uefi_assert_value(&f->client, "A", NV | BS, "x");
}

static void deletes(void **state) {
    struct uefi_fixture *f = *state;
    static const uint32_t no_access[] = {0, NV, AP, NV | AP};

    assert_int_equal(SET("A", NV | BS, ""), UEFI_NOT_FOUND);
    assert_int_equal(SET("A", 0, "x"), UEFI_NOT_FOUND);
    assert_int_equal(SET("A", NV | BS, "x"), UEFI_SUCCESS);
    assert_int_equal(SET("A", NV | BS, ""), UEFI_SUCCESS); // size 0
    assert_int_equal(GET("A"), UEFI_NOT_FOUND);
    for (unsigned i = 0; i < 4; i++) { // no access attribute, whatever the size
        assert_int_equal(SET("A", NV | BS | RT, "x"), UEFI_SUCCESS);
        assert_int_equal(SET("A", no_access[i], i & 1 ? "" : "gone"), UEFI_SUCCESS);
        assert_int_equal(GET("A"), UEFI_NOT_FOUND);
    }
}

static void appends(void **state) {
    struct uefi_fixture *f = *state;
    static uint8_t large[UEFI_STORE_VALUE_MAX_BYTES];

    assert_int_equal(SET("A", BS | AP, ""), UEFI_NOT_FOUND);
    assert_int_equal(SET("A", BS | AP, "ab"), UEFI_SUCCESS); // makes it
    uefi_assert_value(&f->client, "A", BS, "ab");
    assert_int_equal(SET("A", BS | AP, "cd"), UEFI_SUCCESS);
    uefi_assert_value(&f->client, "A", BS, "abcd");
    assert_int_equal(SET("A", BS | AP, ""), UEFI_SUCCESS); // is no delete
    uefi_assert_value(&f->client, "A", BS, "abcd");
    assert_int_equal(uefi_set(&f->client, &uefi_test_guid, "A", BS | AP, large, sizeof(large)),
                     UEFI_OUT_OF_RESOURCES);
    uefi_assert_value(&f->client, "A", BS, "abcd");
    assert_int_equal(uefi_set(&f->client, &uefi_test_guid, "A", BS | AP, large, sizeof(large) - 4),
                     UEFI_SUCCESS);
    assert_int_equal(SET("A", BS | AP, "e"), UEFI_OUT_OF_RESOURCES);
}

// ---- phases ----

static void boot_services_end(void **state) {
    struct uefi_fixture *f = *state;

    assert_int_equal(SET("BootOnly", NV | BS, "b"), UEFI_SUCCESS);
    assert_int_equal(SET("Both", NV | BS | RT, "r"), UEFI_SUCCESS);
    assert_int_equal(SET("Volatile", BS | RT, "v"), UEFI_SUCCESS);
    leave_boot_services(f);
    assert_int_equal(GET("BootOnly"), UEFI_NOT_FOUND);
    uefi_assert_value(&f->client, "Both", NV | BS | RT, "r");
    uefi_assert_value(&f->client, "Volatile", BS | RT, "v");
    // what is not visible cannot be made again, changed or deleted
    assert_int_equal(SET("BootOnly", NV | BS | RT, "x"), UEFI_INVALID_PARAMETER);
    assert_int_equal(SET("BootOnly", NV | BS, ""), UEFI_INVALID_PARAMETER);
    assert_int_equal(SET("BootOnly", 0, ""), UEFI_INVALID_PARAMETER);
    // volatile is read-only now
    assert_int_equal(SET("Volatile", BS | RT, "x"), UEFI_WRITE_PROTECTED);
    assert_int_equal(SET("Volatile", 0, ""), UEFI_WRITE_PROTECTED);
    // new ones must last and be visible
    assert_int_equal(SET("New", NV | BS, "x"), UEFI_INVALID_PARAMETER);
    assert_int_equal(SET("New", BS | RT, "x"), UEFI_INVALID_PARAMETER);
    assert_int_equal(SET("New", NV | BS | RT, ""), UEFI_NOT_FOUND);
    assert_int_equal(SET("New", NV | BS | RT, "x"), UEFI_SUCCESS);
    assert_int_equal(SET("Both", NV | BS | RT, "new"), UEFI_SUCCESS);
    assert_int_equal(SET("Both", NV | BS | RT | AP, "er"), UEFI_SUCCESS);
    uefi_assert_value(&f->client, "Both", NV | BS | RT, "newer");
    assert_int_equal(SET("Both", 0, ""), UEFI_SUCCESS);
    // and no event brings boot services back
    uefi_event(&f->client, &uefi_test_end_of_dxe);
    uefi_event(&f->client, &uefi_test_ready_to_boot);
    assert_int_equal(GET("BootOnly"), UEFI_NOT_FOUND);
    assert_int_equal(uefi_engine_reset(&f->engine), 0);
    uefi_assert_value(&f->client, "BootOnly", NV | BS, "b");
}

static void the_call_ends_boot_services_too(void **state) {
    struct uefi_fixture *f = *state;

    assert_int_equal(SET("BootOnly", NV | BS, "b"), UEFI_SUCCESS);
    uefi_begin(&f->client, &uefi_test_variable_service, 16);
    assert_int_equal(uefi_call(&f->client, 5, 0), UEFI_SUCCESS);
    assert_int_equal(GET("BootOnly"), UEFI_SUCCESS);
    assert_int_equal(uefi_call(&f->client, 6, 0), UEFI_SUCCESS);
    assert_int_equal(GET("BootOnly"), UEFI_NOT_FOUND);
}

static void reset_clears_what_is_volatile(void **state) {
    struct uefi_fixture *f = *state;

    assert_int_equal(SET("Volatile", BS | RT, "v"), UEFI_SUCCESS);
    assert_int_equal(SET("Lasting", NV | BS, "l"), UEFI_SUCCESS);
    assert_int_equal(uefi_engine_reset(&f->engine), 0);
    assert_int_equal(GET("Volatile"), UEFI_NOT_FOUND);
    uefi_assert_value(&f->client, "Lasting", NV | BS, "l");
    assert_int_equal(SET("Volatile", NV | BS, "other attributes"), UEFI_SUCCESS);
}

// ---- GetNextVariableName ----

static void names_in_order(void **state) {
    struct uefi_fixture *f = *state;
    struct uefi_client *c = &f->client;

    uefi_store_clear(&f->engine.store); // Secure Boot's state too
    assert_int_equal(uefi_next(c, 64), UEFI_NOT_FOUND);
    assert_int_equal(SET("First", NV | BS, "1"), UEFI_SUCCESS);
    assert_int_equal(SET("Second", NV | BS | RT, "2"), UEFI_SUCCESS);
    assert_int_equal(SET("Third", BS | RT, "3"), UEFI_SUCCESS);
    assert_int_equal(SET("First", NV | BS, "changed"), UEFI_SUCCESS); // keeps its place
    for (unsigned round = 0; round < 2; round++) {
        static const char *const names[] = {"First", "Second", "Third"};

        c->name[0] = '\0';
        for (unsigned i = round; i < 3; i++) { // at runtime without the first
            assert_int_equal(uefi_next(c, 64), UEFI_SUCCESS);
            assert_string_equal(c->name, names[i]);
            assert_true(uefi_guid_equal(&c->guid, &uefi_test_guid));
        }
        assert_int_equal(uefi_next(c, 64), UEFI_NOT_FOUND);
        leave_boot_services(f);
    }
}

static void next_of_what_is_not_there(void **state) {
    struct uefi_fixture *f = *state;
    struct uefi_client *c = &f->client;

    assert_int_equal(SET("First", NV | BS, "1"), UEFI_SUCCESS);
    assert_int_equal(SET("Second", NV | BS | RT, "2"), UEFI_SUCCESS);
    c->guid = uefi_test_guid;
    strcpy(c->name, "Nobody");
    assert_int_equal(uefi_next(c, 64), UEFI_INVALID_PARAMETER);
    strcpy(c->name, "First");
    c->guid = other_guid;
    assert_int_equal(uefi_next(c, 64), UEFI_INVALID_PARAMETER);
    c->guid = uefi_test_guid;
    leave_boot_services(f);
    assert_int_equal(uefi_next(c, 64), UEFI_INVALID_PARAMETER); // not visible: not there
}

static void next_into_too_small_a_buffer(void **state) {
    struct uefi_fixture *f = *state;
    struct uefi_client *c = &f->client;

    uefi_store_clear(&f->engine.store); // Secure Boot's state too
    assert_int_equal(SET("LongName", NV | BS, "1"), UEFI_SUCCESS);
    for (unsigned room = 2; room < 18; room++) { // odd sizes too
        assert_int_equal(uefi_next(c, room), UEFI_BUFFER_TOO_SMALL);
        assert_int_equal(c->size_bytes, 18);
        assert_string_equal(c->name, "");
    }
    assert_int_equal(uefi_next(c, 18), UEFI_SUCCESS);
    // no NUL within the room
    assert_int_equal(uefi_next(c, 16), UEFI_INVALID_PARAMETER);
    assert_int_equal(uefi_next(c, 0), UEFI_INVALID_PARAMETER);
    assert_int_equal(uefi_next(c, 1), UEFI_INVALID_PARAMETER);
}

// ---- QueryVariableInfo ----

static void query(void **state) {
    struct uefi_fixture *f = *state;
    uint64_t info[3], before[3];

    assert_int_equal(uefi_query(&f->client, NV | BS, before), UEFI_SUCCESS);
    assert_int_equal(before[0], UEFI_STORE_NV_MAX_BYTES);
    assert_int_equal(before[2], UEFI_STORE_VALUE_MAX_BYTES);
    assert_int_equal(SET("A", NV | BS | RT, "1234"), UEFI_SUCCESS);
    assert_int_equal(uefi_query(&f->client, NV | BS | RT, info), UEFI_SUCCESS);
    assert_int_equal(before[1] - info[1], UEFI_STORE_OVERHEAD_BYTES + 2 + 4);
    assert_int_equal(uefi_query(&f->client, BS, info), UEFI_SUCCESS);
    assert_int_equal(info[0], UEFI_STORE_VOLATILE_MAX_BYTES);
    assert_int_equal(uefi_query(&f->client, 0, info), UEFI_INVALID_PARAMETER);
    assert_int_equal(uefi_query(&f->client, NV, info), UEFI_INVALID_PARAMETER);
    assert_int_equal(uefi_query(&f->client, NV | RT, info), UEFI_INVALID_PARAMETER);
    assert_int_equal(uefi_query(&f->client, BS | HR, info), UEFI_INVALID_PARAMETER);
    assert_int_equal(uefi_query(&f->client, NV | BS | 0x100, info), UEFI_UNSUPPORTED);
    leave_boot_services(f);
    assert_int_equal(uefi_query(&f->client, NV | BS, info), UEFI_INVALID_PARAMETER);
    assert_int_equal(uefi_query(&f->client, NV | BS | RT, info), UEFI_SUCCESS);
    assert_int_equal(info[0], UEFI_STORE_NV_MAX_BYTES - UEFI_STORE_BOOT_RESERVE_BYTES);
}

// ---- hardware error records ----

static void hardware_error_records(void **state) {
    struct uefi_fixture *f = *state;
    struct uefi_client *c = &f->client;
    const uint32_t all = NV | BS | RT | HR;
    static const char *const wrong[] = {"HwErrRec",      "HwErrRec12",   "HwErrRec123G",
                                        "HwErrRec12345", "hwErrRec1234", "Boot0000"};

    assert_int_equal(uefi_set(c, &error_guid, "HwErrRec12aF", all, "x", 1), UEFI_SUCCESS);
    assert_int_equal(uefi_set(c, &error_guid, "HwErrRec12aF", all, "", 0), UEFI_SUCCESS);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(uefi_set(c, &error_guid, wrong[i], all, "x", 1), UEFI_INVALID_PARAMETER);
    }
    assert_int_equal(SET("HwErrRec0001", all, "x"), UEFI_INVALID_PARAMETER);
    for (uint32_t a = HR; a < 16; a++) {
        if (a != all) {
            assert_int_equal(uefi_set(c, &error_guid, "HwErrRec0001", a, "x", 1),
                             UEFI_INVALID_PARAMETER);
        }
    }
}

// ---- authenticated variables: what the engine itself refuses ----

static void authenticated_variables(void **state) {
    struct uefi_fixture *f = *state;
    const uint32_t all = NV | BS | RT | AT;

    assert_int_equal(SET("P", all, "unsigned"), UEFI_SECURITY_VIOLATION);
    assert_int_equal(SET("P", all, "-"), UEFI_NOT_FOUND);
    assert_int_equal(SET("P", all, "+value"), UEFI_SUCCESS);
    uefi_assert_value(&f->client, "P", all, "value");
    for (uint32_t a = 0; a < 0x80; a++) { // no way around the check, by any attributes
        assert_int_not_equal(SET("P", a, ""), UEFI_SUCCESS);
        assert_int_not_equal(SET("P", a, "plain"), UEFI_SUCCESS);
        if ((a & ~AP) != all) {
            assert_int_not_equal(SET("P", a, "+signed"), UEFI_SUCCESS);
            assert_int_not_equal(SET("P", a, "-"), UEFI_SUCCESS);
        }
    }
    uefi_assert_value(&f->client, "P", all, "value");
    assert_int_equal(SET("P", 0, ""), UEFI_SECURITY_VIOLATION);
    leave_boot_services(f);
    assert_int_equal(SET("P", all, ""), UEFI_SECURITY_VIOLATION);
    assert_int_equal(SET("P", all, "-"), UEFI_SUCCESS);
    assert_int_equal(GET("P"), UEFI_NOT_FOUND);
}

static void signer_and_time_last(void **state) {
    struct uefi_fixture *f = *state;
    const struct uefi_variable *v;

    assert_int_equal(SET("P", NV | BS | AT, "+value"), UEFI_SUCCESS);
    uefi_engine_free(&f->engine);
    uefi_fixture_start(f, true);
    uefi_assert_value(&f->client, "P", NV | BS | AT, "value");
    v = f->engine.store.first;
    while (v->value.size_bytes != 5) {
        v = v->next;
    }
    assert_int_equal(v->time[0], 'v');
    assert_int_equal(v->digest[0], 0xD1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, uefi_fixture_setup, uefi_fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(set_then_get),
        T(too_small_a_buffer_says_the_size),
        T(attribute_combinations),
        T(attributes_never_change),
        T(deletes),
        T(appends),
        T(boot_services_end),
        T(the_call_ends_boot_services_too),
        T(reset_clears_what_is_volatile),
        T(names_in_order),
        T(next_of_what_is_not_there),
        T(next_into_too_small_a_buffer),
        T(query),
        T(hardware_error_records),
        T(authenticated_variables),
        T(signer_and_time_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
