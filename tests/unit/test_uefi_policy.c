// SPDX-License-Identifier: MIT
//
// Variable policies: which one holds, locks, sizes and attributes, when they begin and end, and
// entries that a firmware would never send.

#include "tests/support/uefi_fixture.h"

#include "igvm/base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NV UEFI_ATTR_NON_VOLATILE
#define BS UEFI_ATTR_BOOTSERVICE
#define RT UEFI_ATTR_RUNTIME

#define SET(name, attributes, text)                                                                \
    uefi_set(&f->client, &uefi_test_guid, (name), (attributes), (text), strlen(text))
#define ADD(...)                                                                                   \
    uefi_policy_add(&f->client, &(struct uefi_test_policy){.guid = &uefi_test_guid, __VA_ARGS__})

static void end_of_dxe(struct uefi_fixture *f) {
    uefi_event(&f->client, &uefi_test_end_of_dxe);
}

static void lock_now(void **state) {
    struct uefi_fixture *f = *state;

    assert_int_equal(SET("A", NV | BS, "x"), UEFI_SUCCESS);
    assert_int_equal(ADD(.name = "A", .lock = UEFI_POLICY_LOCK_NOW), UEFI_SUCCESS);
    assert_int_equal(SET("A", NV | BS, "still firmware"), UEFI_SUCCESS);
    end_of_dxe(f);
    assert_int_equal(SET("A", NV | BS, "y"), UEFI_WRITE_PROTECTED);
    assert_int_equal(SET("A", NV | BS, ""), UEFI_WRITE_PROTECTED);
    assert_int_equal(SET("A", 0, ""), UEFI_WRITE_PROTECTED);
    assert_int_equal(SET("B", NV | BS, "y"), UEFI_SUCCESS);
    assert_int_equal(uefi_engine_reset(&f->engine), 0); // rules are firmware's, of this start
    end_of_dxe(f);
    assert_int_equal(SET("A", NV | BS, "y"), UEFI_SUCCESS);
}

/// What comes after EndOfDxe, an option ROM or a loader, adds no rules, though nobody said LOCK.
static void no_rules_after_end_of_dxe(void **state) {
    struct uefi_fixture *f = *state;

    assert_int_equal(ADD(.name = "A", .max_bytes = 2), UEFI_SUCCESS);
    end_of_dxe(f);
    assert_int_equal(ADD(.name = "B", .lock = UEFI_POLICY_LOCK_NOW), UEFI_WRITE_PROTECTED);
    assert_int_equal(SET("B", NV | BS, "free"), UEFI_SUCCESS);
    assert_int_equal(SET("A", NV | BS, "123"), UEFI_INVALID_PARAMETER);
    assert_int_equal(uefi_engine_reset(&f->engine), 0);
    assert_int_equal(ADD(.name = "B", .max_bytes = 2), UEFI_SUCCESS);
}

static void lock_on_create(void **state) {
    struct uefi_fixture *f = *state;

    assert_int_equal(ADD(.name = "A", .lock = UEFI_POLICY_LOCK_ON_CREATE), UEFI_SUCCESS);
    end_of_dxe(f);
    assert_int_equal(SET("A", NV | BS, "once"), UEFI_SUCCESS);
    assert_int_equal(SET("A", NV | BS, "twice"), UEFI_WRITE_PROTECTED);
    assert_int_equal(SET("A", 0, ""), UEFI_WRITE_PROTECTED);
}

static void lock_on_variable_state(void **state) {
    struct uefi_fixture *f = *state;

    assert_int_equal(ADD(.name = "A", .lock = UEFI_POLICY_LOCK_ON_VAR_STATE, .state = "Locked",
                         .state_value = 7),
                     UEFI_SUCCESS);
    end_of_dxe(f);
    assert_int_equal(SET("A", NV | BS, "1"), UEFI_SUCCESS); // no state variable
    assert_int_equal(SET("Locked", BS, "\x06"), UEFI_SUCCESS);
    assert_int_equal(SET("A", NV | BS, "2"), UEFI_SUCCESS); // another value
    assert_int_equal(SET("Locked", BS, "\x07\x07"), UEFI_SUCCESS);
    assert_int_equal(SET("A", NV | BS, "3"), UEFI_SUCCESS); // not one byte
    assert_int_equal(SET("Locked", BS, "\x07"), UEFI_SUCCESS);
    assert_int_equal(SET("A", NV | BS, "4"), UEFI_WRITE_PROTECTED);
}

static void sizes_and_attributes(void **state) {
    struct uefi_fixture *f = *state;

    assert_int_equal(
        ADD(.name = "A", .min_bytes = 2, .max_bytes = 4, .must_have = NV, .cant_have = RT),
        UEFI_SUCCESS);
    assert_int_equal(ADD(.name = "NoMax", .max_bytes = 0), UEFI_SUCCESS);
    end_of_dxe(f);
    assert_int_equal(SET("A", NV | BS, "1"), UEFI_INVALID_PARAMETER);
    assert_int_equal(SET("A", NV | BS, "12345"), UEFI_INVALID_PARAMETER);
    assert_int_equal(SET("A", BS, "123"), UEFI_INVALID_PARAMETER);
    assert_int_equal(SET("A", NV | BS | RT, "123"), UEFI_INVALID_PARAMETER);
    assert_int_equal(SET("A", NV | BS, "123"), UEFI_SUCCESS);
    assert_int_equal(SET("A", NV | BS | UEFI_ATTR_APPEND, "45"), UEFI_INVALID_PARAMETER);
    assert_int_equal(SET("A", NV | BS, ""), UEFI_SUCCESS); // a delete has no size
    assert_int_equal(SET("NoMax", BS, "12345"), UEFI_SUCCESS);
}

static void the_best_match_holds(void **state) {
    struct uefi_fixture *f = *state;

    assert_int_equal(ADD(.name = NULL, .max_bytes = 1), UEFI_SUCCESS);
    assert_int_equal(ADD(.name = "Boot####", .max_bytes = 2), UEFI_SUCCESS);
    assert_int_equal(ADD(.name = "Boot00##", .max_bytes = 3), UEFI_SUCCESS);
    assert_int_equal(ADD(.name = "Boot0001", .max_bytes = 4), UEFI_SUCCESS);
    end_of_dxe(f);
    assert_int_equal(SET("Other", BS, "12"), UEFI_INVALID_PARAMETER);
    assert_int_equal(SET("Other", BS, "1"), UEFI_SUCCESS);
    assert_int_equal(SET("BootZ001", BS, "12"), UEFI_INVALID_PARAMETER); // no hexadecimal digit
    assert_int_equal(SET("Boot00011", BS, "12"), UEFI_INVALID_PARAMETER);
    assert_int_equal(SET("BootAfF9", BS, "123"), UEFI_INVALID_PARAMETER);
    assert_int_equal(SET("BootAfF9", BS, "12"), UEFI_SUCCESS);
    assert_int_equal(SET("Boot00aB", BS, "1234"), UEFI_INVALID_PARAMETER);
    assert_int_equal(SET("Boot00aB", BS, "123"), UEFI_SUCCESS);
    assert_int_equal(SET("Boot0001", BS, "12345"), UEFI_INVALID_PARAMETER);
    assert_int_equal(SET("Boot0001", BS, "1234"), UEFI_SUCCESS);
    assert_int_equal(uefi_set(&f->client, &uefi_test_global, "Boot0001", BS, "12345", 5),
                     UEFI_SUCCESS); // another namespace
}

static void registering_ends(void **state) {
    struct uefi_fixture *f = *state;

    assert_int_equal(ADD(.name = "A"), UEFI_SUCCESS);
    assert_int_equal(ADD(.name = "A", .max_bytes = 5), UEFI_ALREADY_STARTED);
    uefi_begin(&f->client, &uefi_test_policy_service, 20);
    assert_int_equal(uefi_policy_command(&f->client, 5, 0), UEFI_SUCCESS);
    assert_int_equal(uefi_policy_command(&f->client, 5, 0), UEFI_WRITE_PROTECTED);
    assert_int_equal(ADD(.name = "B"), UEFI_WRITE_PROTECTED);
    assert_int_equal(uefi_engine_reset(&f->engine), 0);
    assert_int_equal(ADD(.name = "B"), UEFI_SUCCESS);
    uefi_event(&f->client, &uefi_test_exit_boot_services);
    assert_int_equal(ADD(.name = "C"), UEFI_WRITE_PROTECTED); // not the operating system's
}

static void commands(void **state) {
    struct uefi_fixture *f = *state;
    struct uefi_client *c = &f->client;

    for (uint32_t command = 0; command < 10; command++) {
        uefi_begin(c, &uefi_test_policy_service, 21);
        if (command != 3 && command != 5) {
            assert_int_equal(uefi_policy_command(c, command, 1),
                             command == 2 ? UEFI_SUCCESS : UEFI_UNSUPPORTED);
            assert_int_equal(c->message[24 + 20], command == 2);
        }
    }
    assert_int_equal(uefi_policy_command(c, 2, 0), UEFI_BAD_BUFFER_SIZE);
    uefi_policy_command(c, 2, 1);
    c->message[24] = 'X'; // signature
    assert_int_equal(uefi_send(c), 0);
    assert_int_equal(load_le64(c->message + 36), 1ull << 63 | UEFI_INVALID_PARAMETER);
    uefi_policy_command(c, 2, 1);
    c->message[28] = 2; // revision
    assert_int_equal(uefi_send(c), 0);
    assert_int_equal(load_le64(c->message + 36), 1ull << 63 | UEFI_INVALID_PARAMETER);
}

static void lock_variable(void **state) {
    struct uefi_fixture *f = *state;

    assert_int_equal(uefi_lock(&f->client, &uefi_test_guid, ""), UEFI_INVALID_PARAMETER);
    assert_int_equal(uefi_lock(&f->client, &uefi_test_guid, "A"), UEFI_SUCCESS);
    assert_int_equal(uefi_lock(&f->client, &uefi_test_guid, "A"), UEFI_ALREADY_STARTED);
    assert_int_equal(SET("A", BS, "x"), UEFI_SUCCESS);
    end_of_dxe(f);
    assert_int_equal(SET("A", BS, "y"), UEFI_WRITE_PROTECTED);
    assert_int_equal(uefi_lock(&f->client, &uefi_test_guid, "B"), UEFI_ACCESS_DENIED);
}

static void rules_are_limited(void **state) {
    struct uefi_fixture *f = *state;
    char name[601];
    unsigned count = 0;

    memset(name, 'n', sizeof(name));
    name[600] = '\0';
    for (;; count++) {
        snprintf(name, 5, "%04u", count);
        name[4] = 'n';
        if (ADD(.name = name) != UEFI_SUCCESS) {
            break;
        }
    }
    assert_int_equal(ADD(.name = name), UEFI_OUT_OF_RESOURCES);
    assert_int_equal(count, UEFI_POLICY_BYTES_MAX / 1200);
    assert_int_equal(ADD(.name = "A"), UEFI_SUCCESS);
}

struct forgery {
    const char *what;
    size_t off;
    uint8_t byte;
};

/// Each on an entry of lock-on-var-state with state "St" at 62 and name "Na" at 68, size 74.
static void forged_entries(void **state) {
    static const struct forgery forgeries[] = {
        {"version", 0, 1},
        {"version, high half", 2, 2},
        {"size beyond the message", 4, 75},
        {"a huge size", 5, 0xFF},
        {"size that cuts the name's NUL", 4, 72},
        {"odd size", 4, 73},
        {"size before the name", 4, 67},
        {"name inside the header", 6, 43},
        {"name inside the state policy", 6, 61},
        {"name that cuts the state's NUL", 6, 66},
        {"odd name", 6, 69},
        {"name behind the end", 6, 75},
        {"a huge offset", 7, 1},
        {"lock type", 40, 4},
        {"state without NUL", 66, 'x'},
        {"NUL inside the state", 62, 0},
        {"name without NUL", 72, 'x'},
        {"NUL inside the name", 70, 0},
    };
    struct uefi_test_policy policy = {
        .guid = &uefi_test_guid, .name = "Na", .lock = 3, .state = "St"};
    struct uefi_policy_entry entry;
    uint8_t *bytes = malloc(74);

    (void)state;
    assert_int_equal(uefi_put_policy(bytes, &policy), 74);
    assert_int_equal(uefi_policy_parse(bytes, 74, &entry), UEFI_SUCCESS);
    for (unsigned i = 0; i < sizeof(forgeries) / sizeof(forgeries[0]); i++) {
        uefi_put_policy(bytes, &policy);
        bytes[forgeries[i].off] = forgeries[i].byte;
        if (uefi_policy_parse(bytes, 74, &entry) == UEFI_SUCCESS) {
            fail_msg("%s is not found", forgeries[i].what);
        }
    }
    for (unsigned size = 0; size < 74; size++) { // every message that is too short
        uint8_t *cut = malloc(size ? size : 1);

        uefi_put_policy(bytes, &policy);
        memcpy(cut, bytes, size);
        assert_int_equal(uefi_policy_parse(cut, size, &entry), UEFI_BAD_BUFFER_SIZE);
        free(cut);
    }
    uefi_put_policy(bytes, &policy); // padding between header and name, where no state belongs
    bytes[40] = UEFI_POLICY_LOCK_NOW;
    assert_int_equal(uefi_policy_parse(bytes, 74, &entry), UEFI_INVALID_PARAMETER);
    free(bytes);
}

#define T(name) cmocka_unit_test_setup_teardown(name, uefi_fixture_setup, uefi_fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(lock_now),
        T(no_rules_after_end_of_dxe),
        T(lock_on_create),
        T(lock_on_variable_state),
        T(lock_variable),
        T(sizes_and_attributes),
        T(the_best_match_holds),
        T(registering_ends),
        T(commands),
        T(rules_are_limited),
        T(forged_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
