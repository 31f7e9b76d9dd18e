// SPDX-License-Identifier: MIT
//
// Described state: round trips, compatibility both ways, and what a hostile blob is refused for.
#include "devices/state.h"

#include "igvm/base/bytes.h"
#include "igvm/base/types.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct sample {
    uint8_t before; // not described: must stay as it is
    uint8_t u8;
    uint16_t u16[3];
    uint32_t u32;
    uint64_t u64;
    uint8_t bytes[5];
    uint8_t secret[4];
};

static const struct state_field fields[] = {
    STATE_SCALAR(1, struct sample, u8, U8, PUBLIC, 7, 9),
    STATE_ARRAY(2, struct sample, u16, U16, 3, PUBLIC, 0x1234, 0),
    STATE_SCALAR(3, struct sample, u32, U32, GUEST, 0, 100),
    STATE_SCALAR(4, struct sample, u64, U64, PUBLIC, UINT64_MAX, 0),
    STATE_BYTE_ARRAY(5, struct sample, bytes, 5, GUEST),
    STATE_BYTE_ARRAY(6, struct sample, secret, 4, SECRET),
};
static const struct state_table table = {.name = "sample",
                                         .version = 3,
                                         .field_count = ARRAY_COUNT(fields),
                                         .struct_bytes = sizeof(struct sample),
                                         .fields = fields};
/// The same device one version later and one version earlier.
static const struct state_table newer = {.name = "sample",
                                         .version = 2,
                                         .field_count = 2,
                                         .struct_bytes = sizeof(struct sample),
                                         .fields = fields};

#define BLOB_BYTES (4 + 6 * 8 + 1 + 6 + 4 + 8 + 5 + 4)

static void fill(struct sample *s) {
    *s = (struct sample){.before = 0xEE,
                         .u8 = 9,
                         .u16 = {1, 0xFFFF, 3},
                         .u32 = 100,
                         .u64 = 0x1122334455667788,
                         .bytes = {1, 2, 3, 4, 5},
                         .secret = {9, 8, 7, 6}};
}

static size_t save(const struct sample *s, uint8_t *blob) {
    size_t used = 0;

    assert_int_equal(state_save(&table, s, blob, BLOB_BYTES, &used), 0);
    assert_int_equal(used, BLOB_BYTES);
    return used;
}

static void resets_described_fields_only(void **state) {
    struct sample s;

    (void)state;
    fill(&s);
    state_reset(&table, &s);
    assert_int_equal(s.before, 0xEE);
    assert_int_equal(s.u8, 7);
    assert_int_equal(s.u16[0], 0x1234);
    assert_int_equal(s.u16[2], 0x1234);
    assert_int_equal(s.u32, 0);
    assert_true(s.u64 == UINT64_MAX);
    assert_int_equal(s.bytes[4], 0);
}

static void round_trip(void **state) {
    uint8_t blob[BLOB_BYTES];
    struct sample s;
    struct sample t = {.before = 1};

    (void)state;
    fill(&s);
    assert_int_equal(state_blob_max_bytes(&table), BLOB_BYTES);
    assert_int_equal(state_load(&table, &t, blob, save(&s, blob), NULL), 0);
    assert_int_equal(t.before, 1);
    t.before = s.before;
    assert_memory_equal(&s, &t, sizeof(s));
}

static void blob_is_little_endian(void **state) {
    static const uint8_t start[] = {3, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0,
                                    9, 2, 0, 2, 0, 6, 0, 0, 0, 1, 0, 0xFF};
    uint8_t blob[BLOB_BYTES];
    struct sample s;

    (void)state;
    fill(&s);
    save(&s, blob);
    assert_memory_equal(blob, start, sizeof(start));
}

static void save_refuses_small_buffers(void **state) {
    struct sample s;
    uint8_t blob[BLOB_BYTES];
    size_t used = 77;

    (void)state;
    fill(&s);
    for (size_t n = 0; n < BLOB_BYTES; n++) {
        assert_int_equal(state_save(&table, &s, blob, n, &used), -ENOSPC);
        assert_int_equal(used, 77);
    }
}

/// Old software reads new blobs (unknown tags are skipped), new software reads old ones (missing
/// fields take their reset value).
static void compatible_both_ways(void **state) {
    uint8_t blob[BLOB_BYTES];
    struct sample s;
    struct sample t = {0};
    size_t used;

    (void)state;
    fill(&s);
    save(&s, blob);
    assert_int_equal(state_load(&newer, &t, blob, BLOB_BYTES, NULL), 0);
    assert_int_equal(t.u8, 9);
    assert_int_equal(t.u32, 0);

    assert_int_equal(state_save(&newer, &s, blob, sizeof(blob), &used), 0);
    fill(&t);
    assert_int_equal(state_load(&table, &t, blob, used, NULL), 0);
    assert_int_equal(t.u8, 9);
    assert_int_equal(t.u32, 0);
    assert_true(t.u64 == UINT64_MAX);
}

static void load_is_all_or_nothing(void **state) {
    uint8_t blob[BLOB_BYTES];
    struct sample s;
    struct sample t;
    struct state_error error;

    (void)state;
    fill(&s);
    save(&s, blob);
    for (size_t n = 0; n < BLOB_BYTES; n++) { // truncated anywhere: whole records or a refusal
        int r;

        memset(&t, 0x5A, sizeof(t));
        r = state_load(&table, &t, blob, n, &error);
        if (r != 0) {
            assert_int_equal(r, -EINVAL);
            assert_non_null(error.rule);
            assert_int_equal(t.u8, 0x5A);
            assert_int_equal(t.bytes[4], 0x5A);
        }
    }
    assert_int_equal(state_load(&table, &t, blob, 3, NULL), -EINVAL);
}

/// Changes one byte of a good blob and expects a refusal that names the record.
static void refuse_patch(size_t off, uint8_t value, size_t error_off, uint16_t tag) {
    uint8_t blob[BLOB_BYTES];
    struct sample s;
    struct sample t;
    struct state_error error = {0};

    fill(&s);
    save(&s, blob);
    blob[off] = value;
    memset(&t, 0x5A, sizeof(t));
    assert_int_equal(state_load(&table, &t, blob, sizeof(blob), &error), -EINVAL);
    assert_int_equal(error.off, error_off);
    assert_int_equal(error.tag, tag);
    assert_int_equal(t.u8, 0x5A);
}

static void refuses_bad_records(void **state) {
    (void)state;
    refuse_patch(2, 1, 0, 0);     // reserved
    refuse_patch(6, 2, 4, 1);     // type
    refuse_patch(8, 2, 4, 1);     // size
    refuse_patch(11, 0xFF, 4, 1); // size beyond the blob
    refuse_patch(12, 10, 4, 1);   // value over max
    refuse_patch(13, 1, 13, 1);   // tag stands twice
}

static void refuses_max_in_arrays_of_u32(void **state) {
    (void)state;
    refuse_patch(4 + 9 + 14 + 8, 101, 4 + 9 + 14, 3);
}

static unsigned visited;
static uint64_t visited_sum;
static void visit(void *ctx, const struct state_field *field, uint32_t index, uint64_t value,
                  const uint8_t *bytes) {
    (void)ctx;
    visited++;
    visited_sum += bytes ? bytes[0] : value + index;
    assert_true(field->type != STATE_BYTES || bytes);
}

static void inspect_respects_sensitivity(void **state) {
    struct sample s = {.u8 = 1, .u16 = {1, 1, 1}, .u32 = 1, .u64 = 1, .bytes = {1}, .secret = {1}};

    (void)state;
    visited = 0;
    visited_sum = 0;
    state_inspect(&table, &s, STATE_PUBLIC, visit, NULL);
    assert_int_equal(visited, 5);
    assert_int_equal(visited_sum, 5 + 3);
    visited = 0;
    state_inspect(&table, &s, STATE_GUEST, visit, NULL);
    assert_int_equal(visited, 7);
    visited = 0;
    state_inspect(&table, &s, STATE_SECRET, visit, NULL);
    assert_int_equal(visited, 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resets_described_fields_only),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(blob_is_little_endian),
        cmocka_unit_test(save_refuses_small_buffers),
        cmocka_unit_test(compatible_both_ways),
        cmocka_unit_test(load_is_all_or_nothing),
        cmocka_unit_test(refuses_bad_records),
        cmocka_unit_test(refuses_max_in_arrays_of_u32),
        cmocka_unit_test(inspect_respects_sensitivity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
