// SPDX-License-Identifier: MIT
//
// What lasts, and how much: saving before success, quotas, and the store's image: every bit
// flipped, every length, foreign and forged images.

#include "tests/support/uefi_fixture.h"

#include "igvm/base/bytes.h"
#include "igvm/igvm.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NV UEFI_ATTR_NON_VOLATILE
#define BS UEFI_ATTR_BOOTSERVICE
#define RT UEFI_ATTR_RUNTIME
#define AP UEFI_ATTR_APPEND

static void leave_boot_services(struct uefi_fixture *f) {
    uefi_event(&f->client, &uefi_test_exit_boot_services);
}

#define SET(name, attributes, text)                                                                \
    uefi_set(&f->client, &uefi_test_guid, (name), (attributes), (text), strlen(text))
#define GET(name) uefi_get(&f->client, &uefi_test_guid, (name), 1024)

// ---- saving ----

static void saved_before_success(void **state) {
    struct uefi_fixture *f = *state;
    unsigned saves;

    assert_int_equal(SET("A", NV | BS, "one"), UEFI_SUCCESS);
    saves = f->disk.saves;
    assert_int_equal(SET("V", BS, "volatile"), UEFI_SUCCESS);
    assert_int_equal(f->disk.saves, saves);
    assert_int_equal(SET("A", NV | BS, "one"), UEFI_SUCCESS); // nothing new: nothing written
    assert_int_equal(f->disk.saves, saves);
    assert_int_equal(SET("A", NV | BS, "two"), UEFI_SUCCESS);
    assert_int_equal(f->disk.saves, saves + 1);
    uefi_engine_free(&f->engine);
    uefi_fixture_start(f, true);
    uefi_assert_value(&f->client, "A", NV | BS, "two");
    assert_int_equal(GET("V"), UEFI_NOT_FOUND);
}

static void a_failed_save_changes_nothing(void **state) {
    struct uefi_fixture *f = *state;

    assert_int_equal(SET("A", NV | BS, "old"), UEFI_SUCCESS);
    f->disk.fail = -EIO;
    assert_int_equal(SET("A", NV | BS, "new"), UEFI_DEVICE_ERROR);
    uefi_assert_value(&f->client, "A", NV | BS, "old");
    assert_int_equal(SET("A", NV | BS | AP, "er"), UEFI_DEVICE_ERROR);
    uefi_assert_value(&f->client, "A", NV | BS, "old");
    assert_int_equal(SET("A", 0, ""), UEFI_DEVICE_ERROR);
    uefi_assert_value(&f->client, "A", NV | BS, "old");
    assert_int_equal(SET("B", NV | BS, "x"), UEFI_DEVICE_ERROR);
    assert_int_equal(GET("B"), UEFI_NOT_FOUND);
    assert_int_equal(SET("V", BS, "volatile"), UEFI_SUCCESS);
    f->disk.fail = 0;
    assert_int_equal(SET("B", NV | BS, "x"), UEFI_SUCCESS);
    uefi_assert_value(&f->client, "B", NV | BS, "x");
}

// ---- quotas ----

/// Fills a class with variables of one size; how many went in.
static unsigned fill(struct uefi_fixture *f, uint32_t attributes, size_t value_bytes) {
    static uint8_t value[UEFI_STORE_VALUE_MAX_BYTES];
    unsigned count = 0;
    char name[16];
    uint64_t status;

    do {
        snprintf(name, sizeof(name), "%c%u", attributes & NV ? 'F' : 'V', count);
        status = uefi_set(&f->client, &uefi_test_guid, name, attributes, value, value_bytes);
        count += status == UEFI_SUCCESS;
    } while (status == UEFI_SUCCESS);
    assert_int_equal(status, UEFI_OUT_OF_RESOURCES);
    return count;
}

static void quotas(void **state) {
    struct uefi_fixture *f = *state;
    static uint8_t value[UEFI_STORE_VALUE_MAX_BYTES + 1];
    uint64_t info[3];

    assert_int_equal(uefi_set(&f->client, &uefi_test_guid, "A", BS, value, sizeof(value)),
                     UEFI_INVALID_PARAMETER);
    assert_int_equal(uefi_set(&f->client, &uefi_test_guid, "A", BS, value, sizeof(value) - 1),
                     UEFI_SUCCESS);
    assert_in_range(fill(f, NV | BS | RT, 50000), 4, 5);
    fill(f, BS, 1); // volatile ones have room of their own
    assert_int_equal(SET("F0", NV | BS | RT, ""), UEFI_SUCCESS); // deletes always go
    assert_int_equal(SET("F0", NV | BS | RT, "less"), UEFI_SUCCESS);
    assert_int_equal(uefi_query(&f->client, NV | BS, info), UEFI_SUCCESS);
    assert_true(info[1] > 49000);
    assert_true(f->disk.size_bytes <= UEFI_STORE_IMAGE_MAX_BYTES);
}

static void count_is_limited(void **state) {
    struct uefi_fixture *f = *state;

    uefi_store_clear(&f->engine.store); // Secure Boot's state too
    assert_int_equal(fill(f, BS, 1), UEFI_STORE_COUNT_MAX < UEFI_STORE_VOLATILE_MAX_BYTES / 108
                                         ? UEFI_STORE_COUNT_MAX
                                         : 1);
    assert_int_equal(SET("V1", BS, "x"), UEFI_SUCCESS); // not a new one
}

static void the_operating_system_leaves_room_for_firmware(void **state) {
    struct uefi_fixture *f = *state;

    leave_boot_services(f);
    fill(f, NV | BS | RT, 1000);
    assert_int_equal(uefi_engine_reset(&f->engine), 0);
    for (unsigned i = 0; i < 20; i++) {
        char name[16];
        static uint8_t value[1000];

        snprintf(name, sizeof(name), "Boot%04u", i);
        assert_int_equal(
            uefi_set(&f->client, &uefi_test_global, name, NV | BS | RT, value, sizeof(value)),
            UEFI_SUCCESS);
    }
}

static void nor_does_it_use_up_the_number_of_variables(void **state) {
    struct uefi_fixture *f = *state;

    leave_boot_services(f);
    fill(f, NV | BS | RT, 1);
    assert_int_equal(uefi_engine_reset(&f->engine), 0);
    assert_int_equal(uefi_set(&f->client, &uefi_test_global, "Boot0000", NV | BS | RT, "x", 1),
                     UEFI_SUCCESS);
}

static void names_of_any_length(void **state) {
    struct uefi_fixture *f = *state;
    static char name[UEFI_STORE_NAME_MAX_BYTES / 2 + 2];

    memset(name, 'n', sizeof(name) - 1);
    assert_int_equal(SET(name, BS, "x"), UEFI_INVALID_PARAMETER);
    assert_int_equal(GET(name), UEFI_NOT_FOUND);
    name[sizeof(name) - 2] = '\0';
    assert_int_equal(SET(name, BS, "x"), UEFI_SUCCESS);
    assert_int_equal(GET(name), UEFI_SUCCESS);
}

// ---- the image ----

/// A store with a bit of everything.
static void furnish(struct uefi_fixture *f) {
    assert_int_equal(SET("A", NV | BS, "one"), UEFI_SUCCESS);
    assert_int_equal(SET("Pinned", NV | BS | UEFI_ATTR_TIME_AUTH, "+signed"), UEFI_SUCCESS);
    assert_int_equal(SET("B", NV | BS | RT, "two"), UEFI_SUCCESS);
}

static int load(struct uefi_store *store, const uint8_t *image, size_t size_bytes,
                struct uefi_store_report *report) {
    // Exactly as large as it is: the sanitizer sees the byte behind it.
    uint8_t *copy = malloc(size_bytes ? size_bytes : 1);
    int r;

    memcpy(copy, image, size_bytes);
    *store = (struct uefi_store){0};
    r = uefi_store_load(store, copy, size_bytes, report);
    free(copy);
    assert_true((r == 0) == (report->why == NULL));
    return r;
}

static void image_round_trip(void **state) {
    struct uefi_fixture *f = *state;
    static uint8_t again[UEFI_STORE_IMAGE_MAX_BYTES];
    struct uefi_store_report report;
    struct uefi_store store;
    size_t size_bytes;

    furnish(f);
    assert_int_equal(load(&store, f->disk.image, f->disk.size_bytes, &report), 0);
    assert_false(report.foreign);
    assert_int_equal(uefi_store_save(&store, again, sizeof(again), &size_bytes), 0);
    assert_int_equal(size_bytes, f->disk.size_bytes);
    assert_memory_equal(again, f->disk.image, size_bytes);
    for (size_t room = 0; room < size_bytes; room++) {
        assert_int_equal(uefi_store_save(&store, again, room, &size_bytes), -ENOSPC);
    }
    uefi_store_clear(&store);
}

static void every_flipped_bit_is_found(void **state) {
    struct uefi_fixture *f = *state;
    struct uefi_store_report report;
    struct uefi_store store;

    furnish(f);
    for (size_t bit = 0; bit < 8 * f->disk.size_bytes; bit++) {
        f->disk.image[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(load(&store, f->disk.image, f->disk.size_bytes, &report), -EBADMSG);
        assert_null(store.first);
        f->disk.image[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void every_other_length_is_found(void **state) {
    struct uefi_fixture *f = *state;
    struct uefi_store_report report;
    struct uefi_store store;

    furnish(f);
    for (size_t size = 0; size < f->disk.size_bytes + 100; size++) {
        if (size != f->disk.size_bytes) {
            assert_int_equal(load(&store, f->disk.image, size, &report), -EBADMSG);
        }
    }
}

static void an_engine_does_not_start_on_damage(void **state) {
    struct uefi_fixture *f = *state;
    struct uefi_store_report report;
    struct uefi_engine engine;

    furnish(f);
    f->disk.image[f->disk.size_bytes - 1] ^= 1;
    assert_int_equal(
        uefi_engine_init(&engine, &f->engine.config, f->disk.image, f->disk.size_bytes, &report),
        -EBADMSG);
    assert_string_equal(report.why, "its checksum does not match");
}

/// A record as OpenHCL writes it; its size.
static size_t put_record(uint8_t *out, const char *name, uint32_t attributes, const char *value) {
    size_t name_bytes = uefi_put_name(out + 48, name);

    memset(out, 0, 48);
    store_le32(out + 4, (uint32_t)(48 + name_bytes + strlen(value)));
    store_le32(out + 8, attributes);
    memcpy(out + 28, &uefi_test_guid, 16);
    store_le16(out + 44, (uint16_t)name_bytes);
    store_le16(out + 46, (uint16_t)strlen(value));
    memcpy(out + 48 + name_bytes, value, strlen(value));
    return 48 + name_bytes + strlen(value);
}

static void a_store_of_openhcl_is_taken(void **state) {
    uint8_t image[512];
    struct uefi_store_report report;
    struct uefi_store store;
    size_t size = put_record(image, "One", NV | BS, "1");

    (void)state;
    size += put_record(image + size, "Two", NV | BS | RT, "22");
    assert_int_equal(load(&store, image, size, &report), 0);
    assert_true(report.foreign);
    assert_int_equal(store.count[UEFI_CLASS_NV], 2);
    assert_true(uefi_name_is(store.first->name, "One"));
    uefi_store_clear(&store);
    // cut inside a record
    assert_int_equal(load(&store, image, size - 1, &report), -EBADMSG);
    assert_string_equal(report.why, "it ends inside a record");
}

struct forgery {
    const char *what;
    size_t off; ///< in the second record
    uint8_t byte;
};

static void forged_records(void **state) {
    static const struct forgery forgeries[] = {
        {"an unknown type", 0, 1},
        {"a length too small", 4, 1},
        {"a length too large", 5, 1},
        {"count-based authentication", 8, NV | BS | 0x10},
        {"volatile", 8, BS},
        {"no access", 8, NV},
        {"append", 8, NV | BS | AP},
        {"high attributes", 11, 0x80},
        {"an odd name", 44, 5},
        {"no name", 44, 0},
        {"a name without end", 44, 4},
        {"a huge name", 45, 0x40},
        {"no value", 46, 0},
        {"a huge value", 47, 0xFF},
        {"NUL inside the name", 50, 0},
        {"no NUL at its end", 54, 'x'},
        {"the same name again", 48, 'O'},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(forgeries) / sizeof(forgeries[0]); i++) {
        uint8_t image[512];
        struct uefi_store_report report;
        struct uefi_store store;
        size_t second = put_record(image, "Owo", NV | BS, "1");
        size_t size = second + put_record(image + second, "Two", NV | BS | RT, "22");

        assert_int_equal(load(&store, image, size, &report), 0);
        uefi_store_clear(&store);
        image[second + forgeries[i].off] = forgeries[i].byte;
        if (load(&store, image, size, &report) != -EBADMSG) {
            fail_msg("%s is not found", forgeries[i].what);
        }
        assert_true(report.off >= second);
    }
}

/// A key that nobody had to sign would be no key.
static void keys_are_authenticated(void **state) {
    static const struct uefi_guid global = UEFI_GUID_GLOBAL;
    uint8_t image[512];
    struct uefi_store_report report;
    struct uefi_store store;
    size_t size = put_record(image, "PK", NV | BS | RT, "1");

    (void)state;
    assert_int_equal(load(&store, image, size, &report), 0); // another namespace
    uefi_store_clear(&store);
    memcpy(image + 28, &global, 16);
    assert_int_equal(load(&store, image, size, &report), -EBADMSG);
    image[8] = NV | BS | UEFI_ATTR_TIME_AUTH; // but not at runtime
    assert_int_equal(load(&store, image, size, &report), -EBADMSG);
    image[8] |= RT;
    assert_int_equal(load(&store, image, size, &report), 0);
    uefi_store_clear(&store);
}

static void too_many_variables(void **state) {
    static uint8_t image[UEFI_STORE_IMAGE_MAX_BYTES + 100];
    struct uefi_store_report report;
    struct uefi_store store;
    size_t size = 0;

    (void)state;
    for (unsigned i = 0; i <= 2 * UEFI_STORE_COUNT_MAX; i++) {
        char name[16];

        snprintf(name, sizeof(name), "%u", i);
        size += put_record(image + size, name, NV | BS, "1");
    }
    assert_int_equal(load(&store, image, size, &report), -EBADMSG);
    assert_string_equal(report.why, "there are too many variables");
    assert_int_equal(load(&store, image, UEFI_STORE_IMAGE_MAX_BYTES + 1, &report), -EBADMSG);
    assert_string_equal(report.why, "it is too large");
}

/// A newer version is told apart from damage.
static void a_newer_version(void **state) {
    struct uefi_fixture *f = *state;
    struct uefi_store_report report;
    struct uefi_store store;
    uint8_t *value = f->disk.image + 48 + 26;

    furnish(f);
    assert_int_equal(load_le32(value), 1);
    store_le32(value, 2);
    store_le32(value + 8, 0);
    store_le32(value + 8, igvm_crc32(0, f->disk.image, f->disk.size_bytes));
    assert_int_equal(load(&store, f->disk.image, f->disk.size_bytes, &report), -EBADMSG);
    assert_string_equal(report.why, "it is of a newer version");
}

#define T(name) cmocka_unit_test_setup_teardown(name, uefi_fixture_setup, uefi_fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(saved_before_success),
        T(a_failed_save_changes_nothing),
        T(quotas),
        T(count_is_limited),
        T(the_operating_system_leaves_room_for_firmware),
        T(nor_does_it_use_up_the_number_of_variables),
        T(names_of_any_length),
        T(image_round_trip),
        T(every_flipped_bit_is_found),
        T(every_other_length_is_found),
        T(an_engine_does_not_start_on_damage),
        T(a_store_of_openhcl_is_taken),
        T(forged_records),
        T(keys_are_authenticated),
        T(too_many_variables),
        T(a_newer_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
