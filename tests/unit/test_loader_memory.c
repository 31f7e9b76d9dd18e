// SPDX-License-Identifier: MIT
//
// loader/memory_map.c and loader/memory_plan.c: hostile maps are refused; every byte of RAM goes to
// exactly one owner, and the e820 map says so.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "igvm/igvm_data_defs.h"
#include "loader/memory_map.h"
#include "loader/memory_plan.h"

#define MIB      (1ull << 20)
#define GIB      (1ull << 30)
#define VTL2_END (128 * MIB)
#define PAGES(b) ((b) >> 12)

static struct memory_map map;
static struct memory_plan plan;

static int read_entries(const struct igvm_memory_map_entry *entries, size_t count) {
    // Exactly as large as it is said to be: ASan catches a read past the end.
    void *copy = malloc(count * sizeof(*entries) + 1);
    const char *why;
    uint32_t idx;
    int rc;

    assert_non_null(copy);
    memcpy(copy, entries, count * sizeof(*entries));
    rc = memory_map_read(copy, count * sizeof(*entries), &map, &why, &idx);
    assert_true(rc == 0 || why[0] != '\0');
    free(copy);
    return rc;
}

/// A PC with ram_bytes, as QEMU's q35 lays it out.
static void make_pc(uint64_t ram_bytes) {
    uint64_t low = ram_bytes > 2 * GIB ? 2 * GIB : ram_bytes;
    const struct igvm_memory_map_entry entries[] = {
        {0, 0x9f, IGVM_MEMORY_NORMAL, 0, 0},
        {0x9f, 1, IGVM_MEMORY_PLATFORM_RESERVED, 0, 0},
        {0xf0, 0x10, IGVM_MEMORY_PLATFORM_RESERVED, 0, 0},
        {0x100, PAGES(low) - 0x100 - 0x20, IGVM_MEMORY_NORMAL, 0, 0},
        {PAGES(low) - 0x20, 0x20, IGVM_MEMORY_PLATFORM_RESERVED, 0, 0},
        {0xb0000, 0x10000, IGVM_MEMORY_PLATFORM_RESERVED, 0, 0},
        {0x100000, PAGES(ram_bytes - low), IGVM_MEMORY_NORMAL, 0, 0}, // empty: ends small maps
        {0, 0, 0, 0, 0},
    };

    assert_int_equal(read_entries(entries, ARRAY_COUNT(entries)), 0);
}

/// e820 is ascending and without overlap; VTL2's and VTL0's bytes are what the plan says.
static void check_plan(void) {
    uint64_t ram = 0, soft = 0, total_ram = memory_map_ram_bytes(&map), reserved_ram = 0, end = 0;

    for (uint32_t i = 0; i < plan.e820_count; i++) {
        const struct linux_e820_entry *e = &plan.e820[i];
        struct gpa_range r = {e->addr, e->addr + e->size_bytes};

        assert_true(e->size_bytes != 0);
        assert_true(e->addr >= end);
        end = r.end;
        ram += e->type == LINUX_E820_RAM ? e->size_bytes : 0;
        soft += e->type == LINUX_E820_SOFT_RESERVED ? e->size_bytes : 0;
        if (e->type == LINUX_E820_SOFT_RESERVED) {
            assert_true(is_aligned(r.start, 2 * MIB) && is_aligned(r.end, 2 * MIB));
        }
        if (e->type != LINUX_E820_RESERVED) {
            assert_true(memory_map_is_ram(&map, r));
        }
    }
    for (uint32_t i = 0; i < plan.vtl0_count; i++) {
        assert_true(plan.vtl2[0].start >= MIB || plan.vtl0[i].start >= VTL2_END);
        for (uint32_t k = 0; k < plan.vtl2_count; k++) {
            assert_false(gpa_ranges_overlap(plan.vtl0[i], plan.vtl2[k]));
        }
    }
    assert_true(ram == plan.vtl2_bytes);
    // Of a pool that begins at 0 Linux would keep all that its first entry covers: 2 MiB apart.
    assert_true(soft + (plan.vtl0[0].start == 0 ? 2 * MIB : 0) == plan.vtl0_bytes);
    reserved_ram = total_ram - ram - soft;
    assert_true(reserved_ram < 16 * MIB); // odd ends, and that
}

static void test_sizes(void **state) {
    static const uint64_t sizes[] = {192 * MIB, 512 * MIB, GIB, 2 * GIB, 5 * GIB, 64 * GIB};
    const char *why;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        make_pc(sizes[i]);
        assert_int_equal(memory_plan_compute(&map, (struct gpa_range){0, VTL2_END}, &plan, &why),
                         0);
        check_plan();
    }
    // 64 GiB: VTL2 got the pool's 1/128 from the top of the highest region.
    assert_true(plan.vtl2_bytes >= 127 * MIB + 500 * MIB);
    assert_true(plan.vtl2[plan.vtl2_count - 1].end == 66 * GIB);
    assert_true(memory_plan_in_vtl0(&plan, 0xe000000, 8 * MIB));
    assert_false(memory_plan_in_vtl0(&plan, 2 * GIB - MIB, 2 * MIB));
    assert_false(memory_plan_in_vtl0(&plan, UINT64_MAX - 10, 100));
    assert_false(memory_plan_in_vtl0(&plan, 0x1000000, 1));
}

/// VTL2 in the middle: VTL0 gets what is below and above, from address 0 on.
static void test_vtl2_in_the_middle(void **state) {
    const struct igvm_memory_map_entry entries[] = {
        {0, PAGES(GIB), IGVM_MEMORY_NORMAL, 0, 0},
        {0, 0, 0, 0, 0},
    };
    struct gpa_range vtl2 = {LAYOUT_VSM_DELTA, LAYOUT_VSM_DELTA + VTL2_END};
    const char *why;

    (void)state;
    assert_int_equal(read_entries(entries, ARRAY_COUNT(entries)), 0);
    assert_int_equal(memory_plan_compute(&map, vtl2, &plan, &why), 0);
    check_plan();
    assert_int_equal(plan.vtl0_count, 2);
    assert_int_equal(plan.vtl2_count, 1);
    assert_true(plan.vtl0[0].start == 0 && plan.vtl0[0].end == vtl2.start);
    assert_true(plan.vtl2[0].start == vtl2.start && plan.vtl2[0].end == vtl2.end);
    assert_true(plan.vtl0[1].start == vtl2.end && plan.vtl0[1].end == GIB);
    vtl2.start += PAGE_SIZE_2M;
    assert_int_equal(memory_plan_compute(&map, vtl2, &plan, &why), -EINVAL);
}

static void test_too_small(void **state) {
    const char *why;

    (void)state;
    make_pc(64 * MIB);
    assert_int_equal(memory_plan_compute(&map, (struct gpa_range){0, VTL2_END}, &plan, &why),
                     -ENOMEM);
    assert_non_null(strstr(why, "VTL2"));
    make_pc(144 * MIB);
    assert_int_equal(memory_plan_compute(&map, (struct gpa_range){0, VTL2_END}, &plan, &why),
                     -ENOMEM);
    assert_non_null(strstr(why, "VTL0"));
    assert_int_equal(
        memory_plan_compute(&map, (struct gpa_range){0, VTL2_END + 2 * MIB}, &plan, &why), -EINVAL);
}

/// The top region is smaller than what VTL2 must get: the next one gives the rest.
static void test_struct_pages_from_two_regions(void **state) {
    const struct igvm_memory_map_entry entries[] = {
        {0, PAGES(32 * GIB), IGVM_MEMORY_NORMAL, 0, 0},
        {PAGES(40 * GIB), PAGES(4 * MIB), IGVM_MEMORY_NORMAL, 0, 0},
        {0, 0, 0, 0, 0},
    };
    const char *why;

    (void)state;
    assert_int_equal(read_entries(entries, ARRAY_COUNT(entries)), 0);
    assert_int_equal(memory_plan_compute(&map, (struct gpa_range){0, VTL2_END}, &plan, &why), 0);
    check_plan();
    assert_int_equal(plan.vtl0_count, 1);
    assert_int_equal(plan.vtl2_count, 3);
    assert_true(plan.vtl2[1].end == 32 * GIB && plan.vtl2[2].start == 40 * GIB);
}

static void test_hostile_maps(void **state) {
    static const struct igvm_memory_map_entry no_end[] = {{0, 1, 0, 0, 0}};
    static const struct igvm_memory_map_entry empty[] = {{0, 0, 0, 0, 0}};
    static const struct igvm_memory_map_entry overlap[] = {
        {0, 16, 0, 0, 0}, {8, 16, 1, 0, 0}, {0, 0, 0, 0, 0}};
    static const struct igvm_memory_map_entry backwards[] = {
        {32, 16, 0, 0, 0}, {8, 16, 0, 0, 0}, {0, 0, 0, 0, 0}};
    static const struct igvm_memory_map_entry wrap[] = {{1, UINT64_MAX, 0, 0, 0}, {0, 0, 0, 0, 0}};
    static const struct igvm_memory_map_entry high[] = {{UINT64_MAX, 1, 0, 0, 0}, {0, 0, 0, 0, 0}};

    (void)state;
    assert_int_equal(read_entries(no_end, 1), -EINVAL);
    assert_int_equal(read_entries(no_end, 0), -EINVAL);
    assert_int_equal(read_entries(empty, 1), -EINVAL);
    assert_int_equal(read_entries(overlap, 3), -EINVAL);
    assert_int_equal(read_entries(backwards, 3), -EINVAL);
    assert_int_equal(read_entries(wrap, 2), -EINVAL);
    assert_int_equal(read_entries(high, 2), -EINVAL);
}

/// More pieces than the tables have room for: an error, not an overrun.
static void test_many_pieces(void **state) {
    struct igvm_memory_map_entry entries[600] = {0};
    const char *why;

    (void)state;
    entries[0].number_of_pages = PAGES(256 * MIB);
    for (unsigned i = 1; i < 599; i++) {
        entries[i].starting_gpa_page_number = PAGES(256 * MIB) + i * 1024;
        entries[i].number_of_pages = 512;
        entries[i].entry_type = i % 2 ? IGVM_MEMORY_NORMAL : IGVM_MEMORY_PERSISTENT;
    }
    assert_int_equal(read_entries(entries, 600), 0);
    assert_int_equal(memory_plan_compute(&map, (struct gpa_range){0, VTL2_END}, &plan, &why),
                     -E2BIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),        cmocka_unit_test(test_vtl2_in_the_middle),
        cmocka_unit_test(test_too_small),    cmocka_unit_test(test_struct_pages_from_two_regions),
        cmocka_unit_test(test_hostile_maps), cmocka_unit_test(test_many_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
