// SPDX-License-Identifier: MIT
//
// Guest memory: borders, holes, wrap-around; all or nothing.
#include "devices/guest_memory.h"

#include "tests/support/fake_machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state) {
    *state = fake_machine_new();
    return 0;
}

static int tear_down(void **state) {
    fake_machine_free(*state);
    return 0;
}

static void knows_what_is_ram(void **state) {
    const struct guest_memory *gm = &((struct fake_machine *)*state)->gm;

    assert_true(guest_memory_is_ram(gm, gpa(0), 1));
    assert_true(guest_memory_is_ram(gm, gpa(FAKE_RAM_BORDER - 1), 2));
    assert_true(guest_memory_is_ram(gm, gpa(0), FAKE_RAM_END));
    assert_false(guest_memory_is_ram(gm, gpa(0), FAKE_RAM_END + 1));
    assert_false(guest_memory_is_ram(gm, gpa(FAKE_RAM_END), 1));
    assert_false(guest_memory_is_ram(gm, gpa(FAKE_HIGH_START - 1), 2));
    assert_true(guest_memory_is_ram(gm, gpa(FAKE_HIGH_END - 1), 1));
    assert_false(guest_memory_is_ram(gm, gpa(FAKE_HIGH_END - 1), 2));
    // Sums that wrap.
    assert_false(guest_memory_is_ram(gm, gpa(UINT64_MAX), 2));
    assert_false(guest_memory_is_ram(gm, gpa(0x1000), UINT64_MAX));
    assert_false(guest_memory_is_ram(gm, gpa(UINT64_MAX), 1));
    // Nothing is everywhere.
    assert_true(guest_memory_is_ram(gm, gpa(FAKE_RAM_END), 0));
}

static void copies_across_a_border(void **state) {
    struct fake_machine *m = *state;
    uint8_t in[64];
    uint8_t out[64] = {0};

    for (unsigned i = 0; i < sizeof(in); i++) {
        in[i] = (uint8_t)(i + 1);
    }
    assert_int_equal(guest_write(&m->gm, gpa(FAKE_RAM_BORDER - 20), in, sizeof(in)), 0);
    assert_int_equal(m->low_host[FAKE_RAM_BORDER - 1], 20);
    assert_int_equal(m->mid_host[0], 21);
    assert_int_equal(guest_read(&m->gm, gpa(FAKE_RAM_BORDER - 20), out, sizeof(out)), 0);
    assert_memory_equal(in, out, sizeof(in));
    assert_int_equal(guest_zero(&m->gm, gpa(FAKE_RAM_BORDER - 1), 2), 0);
    assert_int_equal(m->low_host[FAKE_RAM_BORDER - 1], 0);
    assert_int_equal(m->mid_host[0], 0);
    assert_int_equal(m->mid_host[1], 22);
}

static void is_all_or_nothing(void **state) {
    struct fake_machine *m = *state;
    uint8_t bytes[16];

    memset(bytes, 0x77, sizeof(bytes));
    assert_int_equal(guest_write(&m->gm, gpa(FAKE_RAM_END - 15), bytes, 16), -EFAULT);
    assert_int_equal(m->mid_host[FAKE_RAM_END - FAKE_RAM_BORDER - 1], 0);
    assert_int_equal(guest_read(&m->gm, gpa(FAKE_RAM_END - 15), bytes, 16), -EFAULT);
    assert_int_equal(bytes[0], 0x77);
    m->mid_host[FAKE_RAM_END - FAKE_RAM_BORDER - 1] = 5;
    assert_int_equal(guest_zero(&m->gm, gpa(FAKE_RAM_END - 1), 2), -EFAULT);
    assert_int_equal(m->mid_host[FAKE_RAM_END - FAKE_RAM_BORDER - 1], 5);
    assert_int_equal(guest_read(&m->gm, gpa(UINT64_MAX - 3), bytes, 8), -EFAULT);
    assert_int_equal(guest_read(&m->gm, gpa(FAKE_RAM_END), bytes, 0), 0);
}

static void ring_cells(void **state) {
    struct fake_machine *m = *state;
    uint16_t value = 1;

    assert_int_equal(guest_store_le16(&m->gm, gpa(0x1002), 0xBEEF), 0);
    assert_int_equal(m->low_host[0x1002], 0xEF);
    assert_int_equal(m->low_host[0x1003], 0xBE);
    assert_int_equal(guest_load_le16(&m->gm, gpa(0x1002), &value), 0);
    assert_int_equal(value, 0xBEEF);
    assert_int_equal(guest_load_le16(&m->gm, gpa(0x1003), &value), -EINVAL);
    assert_int_equal(guest_store_le16(&m->gm, gpa(0x1003), 1), -EINVAL);
    assert_int_equal(guest_load_le16(&m->gm, gpa(FAKE_RAM_END), &value), -EFAULT);
    assert_int_equal(guest_store_le16(&m->gm, gpa(UINT64_MAX - 1), 1), -EFAULT);
    assert_int_equal(value, 0xBEEF);
}

static void spans(void **state) {
    struct fake_machine *m = *state;
    struct iovec iov[2] = {0};

    assert_int_equal(guest_spans(&m->gm, gpa(0x10), 0x20, iov, 2), 1);
    assert_ptr_equal(iov[0].iov_base, m->low_host + 0x10);
    assert_int_equal(iov[0].iov_len, 0x20);
    assert_int_equal(guest_spans(&m->gm, gpa(FAKE_RAM_BORDER - 8), 16, iov, 2), 2);
    assert_int_equal(iov[0].iov_len, 8);
    assert_ptr_equal(iov[1].iov_base, m->mid_host);
    assert_int_equal(iov[1].iov_len, 8);
    assert_int_equal(guest_spans(&m->gm, gpa(FAKE_RAM_BORDER - 8), 16, iov, 1), -ENOSPC);
    assert_int_equal(guest_spans(&m->gm, gpa(FAKE_RAM_END - 8), 16, iov, 2), -EFAULT);
    assert_int_equal(guest_spans(&m->gm, gpa(FAKE_RAM_END - 8), 0, iov, 2), 0);
    assert_int_equal(guest_spans(&m->gm, gpa(0), 1, iov, 0), -ENOSPC);
}

static void add_checks_regions(void **state) {
    static uint8_t host[4096] __attribute__((aligned(4096)));
    struct guest_memory gm = {0};

    (void)state;
    assert_int_equal(guest_memory_add(&gm, (struct gpa_range){0x1000, 0x1000}, host), -EINVAL);
    assert_int_equal(guest_memory_add(&gm, (struct gpa_range){0x2000, 0x1000}, host), -EINVAL);
    assert_int_equal(guest_memory_add(&gm, (struct gpa_range){0x800, 0x1800}, host), -EINVAL);
    assert_int_equal(guest_memory_add(&gm, (struct gpa_range){0, 0x1001}, host), -EINVAL);
    assert_int_equal(guest_memory_add(&gm, (struct gpa_range){0, 0x1000}, host + 1), -EINVAL);
    for (uint64_t i = 0; i < GUEST_MEMORY_MAX_REGIONS; i++) { // in falling order: must be sorted
        uint64_t start = (GUEST_MEMORY_MAX_REGIONS - i) * 0x2000;

        assert_int_equal(guest_memory_add(&gm, (struct gpa_range){start, start + 0x1000}, host), 0);
    }
    for (uint32_t i = 1; i < gm.region_count; i++) {
        assert_true(gm.regions[i - 1].gpa.end <= gm.regions[i].gpa.start);
    }
    assert_int_equal(guest_memory_add(&gm, (struct gpa_range){0x100000, 0x101000}, host), -ENOSPC);
    gm.region_count--;
    assert_int_equal(guest_memory_add(&gm, (struct gpa_range){0x1000, 0x3000}, host), -EEXIST);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(knows_what_is_ram, set_up, tear_down),
        cmocka_unit_test_setup_teardown(copies_across_a_border, set_up, tear_down),
        cmocka_unit_test_setup_teardown(is_all_or_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ring_cells, set_up, tear_down),
        cmocka_unit_test_setup_teardown(spans, set_up, tear_down),
        cmocka_unit_test(add_checks_regions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
