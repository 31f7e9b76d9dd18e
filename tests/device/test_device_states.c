// SPDX-License-Identifier: MIT
//
// All devices' states in one blob: round trip, and what a hostile blob is refused for without a
// change, or with a device that is left with reset values.
#include "devices/device_states.h"

#include "igvm/base/bytes.h"
#include "igvm/base/types.h"
#include "tests/support/fake_log.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct toy {
    struct device device;
    unsigned loads, saves;
    struct toy_state {
        uint16_t number; ///< after_load refuses 0xBAD
        uint8_t limited; ///< at most 9
    } state;
};

static const struct state_field fields[] = {
    STATE_SCALAR(1, struct toy_state, number, U16, PUBLIC, 7, 0),
    STATE_SCALAR(2, struct toy_state, limited, U8, PUBLIC, 1, 9),
};
static const struct state_table table = {.name = "toy",
                                         .version = 1,
                                         .field_count = ARRAY_COUNT(fields),
                                         .struct_bytes = sizeof(struct toy_state),
                                         .fields = fields};

static int after_load(void *self) {
    struct toy *t = self;

    t->loads++;
    return t->state.number == 0xBAD ? -EINVAL : 0;
}

static void before_save(void *self) {
    ((struct toy *)self)->saves++;
}

static const struct device_ops full = {
    .state = &table, .after_load = after_load, .before_save = before_save};
static const struct device_ops plain = {.state = &table};
static const struct device_ops stateless = {0};

/// "a" (checks what it loads), "none" (without state), "bb" (plain).
struct machine {
    struct toy toys[3];
    uint8_t *blob;
    size_t size;
};

static void values(struct machine *m, uint16_t a, uint16_t bb) {
    m->toys[0].state = (struct toy_state){a, 2};
    m->toys[2].state = (struct toy_state){bb, 3};
}

static void expect(const struct machine *m, uint16_t a, uint16_t bb) {
    assert_int_equal(m->toys[0].state.number, a);
    assert_int_equal(m->toys[2].state.number, bb);
}

static int setup(void **state) {
    struct machine *m = calloc(1, sizeof(*m));

    assert_non_null(m);
    device_init(&m->toys[0].device, "a", &full, &m->toys[0], &m->toys[0].state);
    device_init(&m->toys[2].device, "bb", &plain, &m->toys[2], &m->toys[2].state);
    m->toys[1].device = (struct device){.name = "none", .ops = &stateless};
    pthread_mutex_init(&m->toys[1].device.lock, NULL);
    m->toys[0].device.next = &m->toys[1].device;
    m->toys[1].device.next = &m->toys[2].device;
    values(m, 100, 200);
    m->blob = device_states_save(&m->toys[0].device, &m->size);
    assert_non_null(m->blob);
    values(m, 1, 2);
    *state = m;
    return 0;
}

static int teardown(void **state) {
    struct machine *m = *state;

    free(m->blob);
    free(m);
    return 0;
}

static int load(struct machine *m) {
    return device_states_load(&m->toys[0].device, m->blob, m->size);
}

/// Refused as a whole: by the check alone, and nothing is loaded.
static void expect_refused(struct machine *m, const char *why) {
    m->toys[0].loads = 0;
    fake_log.last[0] = '\0';
    assert_int_equal(device_states_check(&m->toys[0].device, m->blob, m->size), -EINVAL);
    assert_non_null(strstr(fake_log.last, why));
    assert_int_equal(load(m), -EINVAL);
    assert_int_equal(m->toys[0].loads, 0);
    expect(m, 1, 2);
}

// Offsets in the blob: its header; record "a": 8 + 1, its state; record "bb": 8 + 2, its state. A
// state has 4 bytes and 8 before each of its two fields.
#define HEADER      16u
#define TOY_BYTES   (4u + 8u + 2u + 8u + 1u)
#define RECORD_A    HEADER
#define NUMBER_OF_A (RECORD_A + 8u + 1u + 4u + 8u)
#define RECORD_BB   (RECORD_A + 8u + 1u + TOY_BYTES)

static void what_was_saved_loads(void **state) {
    struct machine *m = *state;

    assert_int_equal(m->size, RECORD_BB + 8 + 2 + TOY_BYTES);
    assert_memory_equal(m->blob, "PRPTSAVE\1\0\0\0\2\0\0\0\1\0\0\0", 20);
    assert_int_equal(m->toys[0].saves, 1);
    assert_int_equal(device_states_check(&m->toys[0].device, m->blob, m->size), 0);
    expect(m, 1, 2);
    assert_int_equal(load(m), 0);
    expect(m, 100, 200);
    assert_int_equal(m->toys[0].loads, 1);
}

static void a_device_without_record_stays(void **state) {
    struct machine *m = *state;

    store_le32(m->blob + 12, 1);
    m->size = RECORD_BB;
    assert_int_equal(load(m), 0);
    expect(m, 100, 2);
}

static void every_cut_is_refused(void **state) {
    struct machine *m = *state;

    while (m->size > 0) {
        m->size--;
        expect_refused(m, m->size < HEADER ? "not a saved state" : "is cut");
    }
}

static void bytes_left_over_are_refused(void **state) {
    struct machine *m = *state;

    m->blob = realloc(m->blob, m->size + 1);
    assert_non_null(m->blob);
    m->blob[m->size++] = 0;
    expect_refused(m, "1 bytes after the last record");
    m->size--;
    store_le32(m->blob + 12, 1);
    expect_refused(m, "bytes after the last record");
}

static void wrong_header_is_refused(void **state) {
    struct machine *m = *state;

    for (size_t i = 0; i < 12; i++) {
        m->blob[i] ^= 0x40;
        expect_refused(m, "not a saved state");
        m->blob[i] ^= 0x40;
    }
    store_le32(m->blob + 12, UINT32_MAX);
    expect_refused(m, "is cut");
}

static void unknown_devices_are_refused(void **state) {
    struct machine *m = *state;

    m->blob[RECORD_BB + 8] = 'c';
    expect_refused(m, "names no device that is here");
    m->blob[RECORD_BB + 8] = 'b';
    m->blob[RECORD_A + 8] = '\0';
    expect_refused(m, "names no device that is here");
}

static void a_device_without_state_is_refused(void **state) {
    struct machine *m = *state;
    static const uint8_t record[] = "\4\0\0\0\0\0\0\0none";

    memcpy(m->blob + HEADER, record, sizeof(record) - 1);
    store_le32(m->blob + 12, 1);
    m->size = HEADER + sizeof(record) - 1;
    expect_refused(m, "names no device that is here");
}

static void a_second_record_is_refused(void **state) {
    struct machine *m = *state;
    size_t record = RECORD_BB - RECORD_A;

    memcpy(m->blob + RECORD_BB, m->blob + RECORD_A, record);
    m->size = RECORD_BB + record;
    expect_refused(m, "is its device's second one");
}

static void a_refused_record_is_named(void **state) {
    struct machine *m = *state;

    m->blob[m->size - 1] = 10; // bb.limited
    assert_int_equal(load(m), -EINVAL);
    assert_non_null(strstr(fake_log.last, "bb: "));
    expect(m, 100, 2);
}

static void a_contradiction_is_not_kept(void **state) {
    struct machine *m = *state;

    store_le16(m->blob + NUMBER_OF_A, 0xBAD);
    assert_int_equal(load(m), -EINVAL);
    assert_int_equal(m->toys[0].loads, 1);
    expect(m, 7, 2);
    assert_int_equal(m->toys[0].state.limited, 1);
}

/// Any single changed byte: loads or is refused, and never leaves what after_load refused.
static void every_changed_byte(void **state) {
    struct machine *m = *state;

    store_le16(m->blob + NUMBER_OF_A, 0xBAD ^ 1);
    for (size_t i = 0; i < m->size * 8; i++) {
        m->blob[i / 8] ^= (uint8_t)(1u << i % 8);
        values(m, 1, 2);
        (void)load(m);
        assert_int_not_equal(m->toys[0].state.number, 0xBAD);
        assert_true(m->toys[0].state.limited <= 9 && m->toys[2].state.limited <= 9);
        m->blob[i / 8] ^= (uint8_t)(1u << i % 8);
    }
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_was_saved_loads),
        TEST(a_device_without_record_stays),
        TEST(every_cut_is_refused),
        TEST(bytes_left_over_are_refused),
        TEST(wrong_header_is_refused),
        TEST(unknown_devices_are_refused),
        TEST(a_device_without_state_is_refused),
        TEST(a_second_record_is_refused),
        TEST(a_refused_record_is_named),
        TEST(a_contradiction_is_not_kept),
        TEST(every_changed_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
