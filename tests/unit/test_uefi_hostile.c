// SPDX-License-Identifier: MIT
//
// Messages that no firmware sends: every length of every function, sizes that overflow, names of
// odd size, without an end or with two, unknown functions and services, and the same call again
// with each of its bytes changed. A message is answered in place and within itself, whatever it
// says.

#include "tests/support/uefi_client.h"

#include "igvm/base/bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define NV       UEFI_ATTR_NON_VOLATILE
#define BS       UEFI_ATTR_BOOTSERVICE
#define RT       UEFI_ATTR_RUNTIME
#define PAYLOAD  24u
#define FUNCTION (PAYLOAD + 16u)

static int setup(void **state) {
    struct uefi_fixture *f = calloc(1, sizeof(*f));

    uefi_fixture_start(f, false);
    uefi_store_clear(&f->engine.store); // Secure Boot's state
    *state = f;
    return 0;
}

static int teardown(void **state) {
    uefi_fixture_stop(*state);
    free(*state);
    return 0;
}

/// Handles the client's message in memory of exactly its size; what it becomes is copied back. The
/// length must not change.
static int handle_exactly(struct uefi_fixture *f, size_t size_bytes) {
    uint8_t *message = f->client.message;
    uint64_t length = size_bytes >= PAYLOAD ? load_le64(message + 16) : 0;
    uint8_t *copy = malloc(size_bytes ? size_bytes : 1);
    int r;

    memcpy(copy, message, size_bytes);
    r = uefi_engine_handle(&f->engine, copy, size_bytes);
    if (size_bytes >= PAYLOAD) {
        assert_int_equal(load_le64(copy + 16), length);
        assert_memory_equal(copy, message, 16);
    }
    if (r != 0) {
        assert_memory_equal(copy, message, size_bytes);
    }
    memcpy(message, copy, size_bytes);
    free(copy);
    return r;
}

static uint64_t status_of(const struct uefi_fixture *f, size_t off) {
    return load_le64(f->client.message + PAYLOAD + off) & ~(1ull << 63);
}

/// A valid GET, SET, … of "Name"; returns the payload's size.
static size_t put_call(struct uefi_fixture *f, uint64_t function) {
    uint8_t *p = uefi_begin(&f->client, &uefi_test_variable_service, 0);
    uint8_t *a = p + 16;
    size_t size;

    store_le64(p, function);
    memcpy(a, &uefi_test_guid, 16);
    switch (function) {
    case 1:
    case 3:
        store_le64(a + 16, 8);
        store_le32(a + 32, NV | BS | RT);
        size = uefi_put_name(a + 36, "Name");
        store_le64(a + 24, size);
        memcpy(a + 36 + size, "contents", 8);
        size += 36 + 8;
        break;
    case 2:
    case 8:
        size = uefi_put_name(a + 24, "Name");
        store_le64(a + 16, size);
        size += 24;
        break;
    case 4:
        memset(a, 0, 16);
        store_le32(a + 24, NV | BS);
        size = 28;
        break;
    default:
        size = 8;
        break;
    }
    store_le64(f->client.message + 16, 16 + size);
    return 16 + size;
}

// ---- the header ----

static void header_lengths(void **state) {
    struct uefi_fixture *f = *state;
    static const uint64_t bad[] = {1ull << 63, UINT64_MAX, UINT64_MAX - 23, UINT32_MAX, 65513};

    for (size_t size = 0; size < PAYLOAD; size++) {
        uefi_begin(&f->client, &uefi_test_variable_service, 0);
        assert_int_equal(handle_exactly(f, size), -EMSGSIZE);
    }
    for (unsigned i = 0; i < 5; i++) {
        put_call(f, 1);
        store_le64(f->client.message + 16, bad[i]);
        assert_int_equal(handle_exactly(f, UEFI_MESSAGE_MAX_BYTES), -EMSGSIZE);
    }
    for (uint64_t length = 0; length < 16; length++) { // no room for an answer
        put_call(f, 1);
        store_le64(f->client.message + 16, length);
        assert_int_equal(handle_exactly(f, PAYLOAD + length), -EMSGSIZE);
    }
    for (uint64_t length = 0; length < 20; length++) {
        uefi_begin(&f->client, &uefi_test_policy_service, length);
        assert_int_equal(handle_exactly(f, PAYLOAD + length), -EMSGSIZE);
    }
}

static void services_of_nobody(void **state) {
    struct uefi_fixture *f = *state;

    for (unsigned bit = 0; bit < 128; bit++) {
        put_call(f, 1);
        f->client.message[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(handle_exactly(f, 256), -ENOTSUP);
    }
}

static void events_of_any_size(void **state) {
    struct uefi_fixture *f = *state;

    for (uint64_t length = 0; length < 64; length++) {
        uefi_begin(&f->client, &uefi_test_ready_to_boot, length);
        assert_int_equal(handle_exactly(f, PAYLOAD + length), 0);
        assert_true(f->engine.ready_to_boot);
        assert_false(f->engine.exit_boot_services);
    }
}

// ---- functions ----

static void functions_of_nobody(void **state) {
    struct uefi_fixture *f = *state;
    static const uint64_t functions[] = {
        0, 7, 9, 10, 12, 13, 14, 15, 16, 0x10000003, 1ull << 32 | 3, UINT64_MAX};

    for (unsigned i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        size_t size = put_call(f, 3);

        store_le64(f->client.message + PAYLOAD, functions[i]);
        assert_int_equal(handle_exactly(f, PAYLOAD + size), 0);
        assert_int_equal(status_of(f, 8), UEFI_UNSUPPORTED);
    }
    assert_int_equal(uefi_get(&f->client, &uefi_test_guid, "Name", 8), UEFI_NOT_FOUND);
}

/// Each function with every payload shorter than it needs.
static void every_truncation(void **state) {
    struct uefi_fixture *f = *state;
    static const uint64_t functions[] = {1, 2, 3, 4, 8, 11};

    for (unsigned i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        size_t whole = put_call(f, functions[i]);

        for (size_t length = 16; length < whole; length++) {
            put_call(f, functions[i]);
            store_le64(f->client.message + 16, length);
            assert_int_equal(handle_exactly(f, PAYLOAD + length), 0);
            assert_int_equal(status_of(f, 8), UEFI_BAD_BUFFER_SIZE);
        }
    }
    assert_null(f->engine.store.first);
    assert_int_equal(f->engine.policy.count, 0);
}

struct size_pair {
    uint64_t data, name;
    enum uefi_status status;
};

/// Payload: 16 + 36 + 10 bytes of name + 8 of data.
static void sizes_that_do_not_fit(void **state) {
    struct uefi_fixture *f = *state;
    static const struct size_pair pairs[] = {
        {9, 10, UEFI_BAD_BUFFER_SIZE},
        {8, 11, UEFI_BAD_BUFFER_SIZE},
        {UINT64_MAX, 10, UEFI_BAD_BUFFER_SIZE},
        {UINT64_MAX - 9, 10, UEFI_BAD_BUFFER_SIZE},
        {8, UINT64_MAX, UEFI_BAD_BUFFER_SIZE},
        {8, UINT64_MAX - 7, UEFI_BAD_BUFFER_SIZE},
        {8, UINT64_MAX - 43, UEFI_BAD_BUFFER_SIZE},
        {1ull << 32 | 8, 10, UEFI_BAD_BUFFER_SIZE},
        {8, 1ull << 32 | 10, UEFI_BAD_BUFFER_SIZE},
        {1ull << 63, 1ull << 63, UEFI_BAD_BUFFER_SIZE},
        {8, 0, UEFI_INVALID_PARAMETER},
        {8, 1, UEFI_INVALID_PARAMETER},
        {8, 2, UEFI_INVALID_PARAMETER},  // "N" is no NUL
        {8, 8, UEFI_INVALID_PARAMETER},  // without the NUL
        {8, 9, UEFI_INVALID_PARAMETER},  // odd
        {7, 11, UEFI_INVALID_PARAMETER}, // odd, behind the NUL
        {6, 12, UEFI_INVALID_PARAMETER}, // the NUL is not the last
    };

    for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        for (uint64_t function = 1; function <= 3; function += 2) {
            size_t size = put_call(f, function);

            store_le64(f->client.message + FUNCTION + 16, pairs[i].data);
            store_le64(f->client.message + FUNCTION + 24, pairs[i].name);
            assert_int_equal(handle_exactly(f, PAYLOAD + size), 0);
            assert_int_equal(status_of(f, 8), pairs[i].status);
        }
    }
    assert_null(f->engine.store.first);
}

static void names_without_sense(void **state) {
    struct uefi_fixture *f = *state;
    size_t size = put_call(f, 3);

    f->client.message[FUNCTION + 36 + 4] = 0; // "Na" NUL "e" NUL
    assert_int_equal(handle_exactly(f, PAYLOAD + size), 0);
    assert_int_equal(status_of(f, 8), UEFI_INVALID_PARAMETER);
    size = put_call(f, 3);
    memset(f->client.message + FUNCTION + 36, 0, 10); // empty
    store_le64(f->client.message + FUNCTION + 24, 2);
    store_le64(f->client.message + FUNCTION + 16, 16);
    assert_int_equal(handle_exactly(f, PAYLOAD + size), 0);
    assert_int_equal(status_of(f, 8), UEFI_INVALID_PARAMETER);
    size = put_call(f, 2);
    store_le64(f->client.message + FUNCTION + 16, UINT64_MAX - 23);
    assert_int_equal(handle_exactly(f, PAYLOAD + size), 0);
    assert_int_equal(status_of(f, 8), UEFI_BAD_BUFFER_SIZE);
}

/// A name that JSON cannot say would keep an exported store from being read again.
static void names_that_are_no_text(void **state) {
    struct uefi_fixture *f = *state;
    static const struct {
        uint8_t name[8];
        enum uefi_status status;
    } cases[] = {
        {{'a', 0, 0x3d, 0xd8, 0x00, 0xde, 'b', 0}, UEFI_SUCCESS}, // a whole pair
        {{'a', 0, 'b', 0, 0x3d, 0xd8, 0xff, 0xdf}, UEFI_SUCCESS},
        {{'a', 0, 0x3d, 0xd8, 'b', 0, 0x00, 0xde}, UEFI_INVALID_PARAMETER},
        {{'a', 0, 0x00, 0xde, 0x3d, 0xd8, 'b', 0}, UEFI_INVALID_PARAMETER},
        {{'a', 0, 'b', 0, 'c', 0, 0x3d, 0xd8}, UEFI_INVALID_PARAMETER},
        {{'a', 0, 'b', 0, 'c', 0, 0x00, 0xdc}, UEFI_INVALID_PARAMETER},
        {{0x3d, 0xd8, 0x3d, 0xd8, 0x00, 0xde, 'b', 0}, UEFI_INVALID_PARAMETER},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size = put_call(f, 3);

        memcpy(f->client.message + FUNCTION + 36, cases[i].name, sizeof(cases[i].name));
        assert_int_equal(handle_exactly(f, PAYLOAD + size), 0);
        assert_int_equal(status_of(f, 8), cases[i].status);
    }
}

/// The room that a GET claims must be there, even when the value is small.
static void room_outside_the_message(void **state) {
    struct uefi_fixture *f = *state;
    size_t size = put_call(f, 3);

    assert_int_equal(handle_exactly(f, PAYLOAD + size), 0);
    assert_int_equal(status_of(f, 8), UEFI_SUCCESS);
    put_call(f, 1);
    store_le64(f->client.message + 16, 16 + 36 + 10 + 4); // 4 bytes of room,
    store_le64(f->client.message + FUNCTION + 16, 1000);  // 1000 claimed, 8 needed
    assert_int_equal(handle_exactly(f, PAYLOAD + 66), 0);
    assert_int_equal(status_of(f, 8), UEFI_BAD_BUFFER_SIZE);
    put_call(f, 1);
    store_le64(f->client.message + 16, 16 + 36 + 10 + 4);
    store_le64(f->client.message + FUNCTION + 16, 4);
    assert_int_equal(handle_exactly(f, PAYLOAD + 66), 0);
    assert_int_equal(status_of(f, 8), UEFI_BUFFER_TOO_SMALL);
    assert_memory_equal(f->client.message + FUNCTION + 46, "cont", 4); // untouched
}

/// Each byte of each call set to each of some values: no harm, and the store stays one that loads.
static void every_byte_changed(void **state) {
    struct uefi_fixture *f = *state;
    static const uint8_t values[] = {0, 1, 2, 0x20, 0x40, 0x7F, 0x80, 0xFE, 0xFF};
    static const uint64_t functions[] = {3, 1, 2, 4, 8, 11};
    static uint8_t image[UEFI_STORE_IMAGE_MAX_BYTES];
    size_t image_bytes;

    for (unsigned i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        size_t size = PAYLOAD + put_call(f, functions[i]);

        for (size_t off = 16; off < size; off++) {
            for (unsigned v = 0; v < sizeof(values); v++) {
                struct uefi_store_report report;
                struct uefi_store store = {0};

                put_call(f, functions[i]);
                f->client.message[off] = values[v];
                handle_exactly(f, size);
                if (v == 0) {
                    assert_int_equal(
                        uefi_store_save(&f->engine.store, image, sizeof(image), &image_bytes), 0);
                    assert_int_equal(uefi_store_load(&store, image, image_bytes, &report), 0);
                    uefi_store_clear(&store);
                }
            }
        }
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(header_lengths),      T(services_of_nobody),     T(events_of_any_size),
        T(functions_of_nobody), T(every_truncation),       T(sizes_that_do_not_fit),
        T(names_without_sense), T(names_that_are_no_text), T(room_outside_the_message),
        T(every_byte_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
