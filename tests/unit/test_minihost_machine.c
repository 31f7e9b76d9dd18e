// SPDX-License-Identifier: MIT
//
// tools/minihost/machine.c and place.c: memory maps become page regions without overlap, and the
// IGVM file finds a home away from what it loads; the clock chip's registers become a time.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/linux_boot.h"
#include "tools/minihost/cmos.h"
#include "tools/minihost/machine.h"
#include "tools/minihost/place.h"

#define MIB 0x100000ull

static struct machine machine;

static void test_q35(void **state) {
    static const struct pvh_memmap_entry entries[] = {
        {0, 0x9fc00, LINUX_E820_RAM, 0},
        {0x9fc00, 0x400, LINUX_E820_RESERVED, 0},
        {0xf0000, 0x10000, LINUX_E820_RESERVED, 0},
        {MIB, 1023 * MIB - 0x20000, LINUX_E820_RAM, 0},
        {1024 * MIB - 0x20000, 0x20000, LINUX_E820_RESERVED, 0},
        {0xb0000000, 0x10000000, LINUX_E820_RESERVED, 0},
    };
    struct igvm_mmio_ranges mmio;

    (void)state;
    assert_int_equal(machine_read_memory(entries, ARRAY_COUNT(entries), &machine), 0);
    assert_int_equal(machine.region_count, 6);
    assert_int_equal(machine.regions[0].number_of_pages, 0x9f); // the half page is not RAM
    assert_int_equal(machine.regions[1].starting_gpa_page_number, 0x9f);
    assert_int_equal(machine.regions[1].entry_type, IGVM_MEMORY_PLATFORM_RESERVED);
    assert_true(machine_is_ram(&machine, (struct gpa_range){MIB, 512 * MIB}));
    assert_false(machine_is_ram(&machine, (struct gpa_range){0, MIB}));
    assert_false(machine_is_ram(&machine, (struct gpa_range){1024 * MIB - 0x21000, 1024 * MIB}));
    assert_true(machine_is_ram(&machine, (struct gpa_range){5, 5}));
    assert_int_equal(machine_ram_bytes(&machine), 0x9f000 + 1023 * MIB - 0x20000);
    mmio = machine_mmio_ranges(&machine, 40);
    assert_int_equal(mmio.ranges[0].starting_gpa_page_number, 0x40000);
    assert_int_equal(mmio.ranges[0].number_of_pages, 0x70000);
    assert_int_equal(mmio.ranges[1].starting_gpa_page_number, 0x100000);
}

static void test_overlaps_and_disorder(void **state) {
    static const struct pvh_memmap_entry entries[] = {
        {0x300000, 0x100000, LINUX_E820_RAM, 0}, // unsorted
        {0x000000, 0x200000, LINUX_E820_RAM, 0},
        {0x180800, 0x10, LINUX_E820_ACPI, 0},         // inside RAM: takes a whole page
        {0x1c0000, 0x180000, LINUX_E820_RESERVED, 0}, // over the end and the start of RAM
        {0x200000, 0, LINUX_E820_RAM, 0},             // empty
        {UINT64_MAX - 5, UINT64_MAX, LINUX_E820_RAM, 0},
        {0x10000000, UINT64_MAX, LINUX_E820_RESERVED, 0},
    };
    uint64_t end = 0;

    (void)state;
    assert_int_equal(machine_read_memory(entries, ARRAY_COUNT(entries), &machine), 0);
    for (uint32_t i = 0; i < machine.region_count; i++) {
        assert_true(machine.regions[i].starting_gpa_page_number >= end);
        assert_true(machine.regions[i].number_of_pages != 0);
        end = machine.regions[i].starting_gpa_page_number + machine.regions[i].number_of_pages;
    }
    assert_true(machine_is_ram(&machine, (struct gpa_range){0, 0x180000}));
    assert_false(machine_is_ram(&machine, (struct gpa_range){0x180000, 0x181000}));
    assert_true(machine_is_ram(&machine, (struct gpa_range){0x181000, 0x1c0000}));
    assert_true(machine_is_ram(&machine, (struct gpa_range){0x340000, 0x400000}));
    assert_int_equal(machine_read_memory(entries, MACHINE_MAX_INPUT + 1, &machine), -E2BIG);
    assert_int_equal(machine_read_memory(entries, 0, &machine), 0);
    assert_int_equal(machine.region_count, 0);
}

static void test_place(void **state) {
    static const struct pvh_memmap_entry entries[] = {{0, 256 * MIB, LINUX_E820_RAM, 0}};
    struct gpa_range keep_out = {MIB, 2 * MIB};
    struct place place = {0};
    uint64_t start;

    (void)state;
    assert_int_equal(machine_read_memory(entries, 1, &machine), 0);
    assert_int_equal(place_add(&place, (struct gpa_range){2 * MIB, 3 * MIB}), 0);
    assert_int_equal(place_add(&place, (struct gpa_range){3 * MIB, 90 * MIB}), 0);
    assert_int_equal(place.count, 1); // merged
    assert_int_equal(place_add(&place, (struct gpa_range){200 * MIB, 250 * MIB}), 0);
    assert_int_equal(place_add(&place, (struct gpa_range){240 * MIB, 260 * MIB}), -EEXIST);
    assert_true(place_overlaps(&place, (struct gpa_range){249 * MIB, 256 * MIB}));
    assert_int_equal(place_find(&place, &machine, keep_out, 6 * MIB, 4096 * MIB, &start), 0);
    assert_int_equal(start, 250 * MIB);
    assert_int_equal(place_find(&place, &machine, keep_out, 6 * MIB + 1, 4096 * MIB, &start), 0);
    assert_int_equal(start, 194 * MIB - 4096);
    assert_int_equal(place_find(&place, &machine, keep_out, 110 * MIB, 4096 * MIB, &start), 0);
    assert_int_equal(start, 90 * MIB);
    assert_int_equal(place_find(&place, &machine, keep_out, 111 * MIB, 4096 * MIB, &start),
                     -ENOMEM);
    assert_int_equal(place_find(&place, &machine, keep_out, 5 * MIB, 100 * MIB, &start), 0);
    assert_int_equal(start, 95 * MIB); // below the limit
    assert_int_equal(place_find(&place, &machine, keep_out, MIB / 2, 2 * MIB, &start), 0);
    assert_int_equal(start, MIB / 2); // below what is kept out
}

static void test_place_table_full(void **state) {
    struct place place = {0};

    (void)state;
    for (uint64_t i = 0; i < PLACE_MAX_TARGETS; i++) {
        assert_int_equal(place_add(&place, (struct gpa_range){i * 8192, i * 8192 + 4096}), 0);
    }
    assert_int_equal(place_add(&place, (struct gpa_range){1ull << 40, 1ull << 41}), -E2BIG);
}

static uint16_t type_at(uint64_t gpa) {
    for (uint32_t i = 0; i < machine.region_count; i++) {
        uint64_t page = machine.regions[i].starting_gpa_page_number;

        if (gpa >> PAGE_SHIFT_4K >= page &&
            gpa >> PAGE_SHIFT_4K < page + machine.regions[i].number_of_pages) {
            return machine.regions[i].entry_type;
        }
    }
    return UINT16_MAX;
}

/// What the vsm host does to the map: the first MiB whole, itself reserved at the top.
static void test_regions_set(void **state) {
    static const struct pvh_memmap_entry entries[] = {
        {0, 0x9fc00, LINUX_E820_RAM, 0},
        {0xf0000, 0x10000, LINUX_E820_RESERVED, 0},
        {MIB, 1023 * MIB - 0x20000, LINUX_E820_RAM, 0},
        {1024 * MIB - 0x20000, 0x20000, LINUX_E820_RESERVED, 0},
        {4096 * MIB, 1024 * MIB, LINUX_E820_RAM, 0},
    };
    struct gpa_range room;
    uint64_t end;

    (void)state;
    assert_int_equal(machine_read_memory(entries, ARRAY_COUNT(entries), &machine), 0);
    assert_int_equal(machine_top(&machine, 4096 * MIB, 5 * MIB, &room), 0);
    assert_int_equal(room.start, 1018 * MIB); // 2 MiB aligned
    assert_int_equal(room.end, 1024 * MIB - 0x20000);
    assert_int_equal(machine_top(&machine, UINT64_MAX, 5 * MIB, &room), 0);
    assert_int_equal(room.end, 5120 * MIB);
    assert_int_equal(machine_top(&machine, 4096 * MIB, 2048 * MIB, &room), -ENOMEM);
    assert_int_equal(machine_end_of_ram(&machine, 1018 * MIB, &end), 0);
    assert_int_equal(end, 1024 * MIB - 0x20000);
    assert_int_equal(machine_end_of_ram(&machine, 0xf0000, &end), -ENOENT);
    assert_int_equal(machine_end_of_ram(&machine, 2048 * MIB, &end), -ENOENT);

    assert_int_equal(machine_set(&machine, (struct gpa_range){0, MIB}, IGVM_MEMORY_NORMAL), 0);
    assert_int_equal(machine_set(&machine, (struct gpa_range){1018 * MIB, 1024 * MIB - 0x20000},
                                 IGVM_MEMORY_PLATFORM_RESERVED),
                     0);
    assert_true(machine_is_ram(&machine, (struct gpa_range){0, 1018 * MIB}));
    assert_int_equal(machine.region_count, 3); // neighbours of one type have merged
    assert_int_equal(type_at(1018 * MIB), IGVM_MEMORY_PLATFORM_RESERVED);
    assert_int_equal(type_at(1024 * MIB - 1), IGVM_MEMORY_PLATFORM_RESERVED);
    assert_int_equal(type_at(1024 * MIB), UINT16_MAX);
    assert_int_equal(type_at(4096 * MIB), IGVM_MEMORY_NORMAL);
    // In the middle of a region, in a hole, behind everything.
    assert_int_equal(
        machine_set(&machine, (struct gpa_range){2 * MIB, 3 * MIB}, IGVM_MEMORY_PLATFORM_RESERVED),
        0);
    assert_int_equal(machine_set(&machine, (struct gpa_range){2048 * MIB, 2049 * MIB},
                                 IGVM_MEMORY_PLATFORM_RESERVED),
                     0);
    assert_int_equal(machine_set(&machine, (struct gpa_range){9000 * MIB, 9001 * MIB},
                                 IGVM_MEMORY_PLATFORM_RESERVED),
                     0);
    assert_int_equal(type_at(2 * MIB - 1), IGVM_MEMORY_NORMAL);
    assert_int_equal(type_at(2 * MIB), IGVM_MEMORY_PLATFORM_RESERVED);
    assert_int_equal(type_at(3 * MIB), IGVM_MEMORY_NORMAL);
    assert_int_equal(type_at(2048 * MIB), IGVM_MEMORY_PLATFORM_RESERVED);
    assert_int_equal(type_at(9000 * MIB), IGVM_MEMORY_PLATFORM_RESERVED);
    machine.region_count = MACHINE_MAX_REGIONS - 1;
    assert_int_equal(machine_set(&machine, (struct gpa_range){0, MIB}, IGVM_MEMORY_NORMAL), -E2BIG);
}

static void test_time_of_day(void **state) {
    // second, minute, hour, day, month, year, century, status B
    static const struct {
        struct cmos_time raw;
        uint64_t unix_time;
    } cases[] = {
        {{0x00, 0x00, 0x00, 0x01, 0x01, 0x70, 0x19, 0x02}, 0},
        {{0x01, 0x00, 0x00, 0x01, 0x01, 0x70, 0x19, 0x02}, 1},
        {{0x59, 0x58, 0x23, 0x29, 0x02, 0x24, 0x20, 0x02}, 1709251139},
        {{59, 58, 23, 29, 2, 24, 20, 0x06}, 1709251139},                // binary
        {{0x59, 0x58, 0x91, 0x29, 0x02, 0x24, 0x20, 0x00}, 1709251139}, // 11 PM
        {{0x00, 0x00, 0x12, 0x01, 0x03, 0x24, 0x00, 0x00}, 1709251200}, // 12 AM; no century
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0},          // no clock
        {{0x00, 0x00, 0x00, 0x00, 0x03, 0x24, 0x20, 0x02}, 0},          // no day
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(cmos_to_unix(&cases[i].raw), cases[i].unix_time);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_of_day),
        cmocka_unit_test(test_q35),
        cmocka_unit_test(test_overlaps_and_disorder),
        cmocka_unit_test(test_regions_set),
        cmocka_unit_test(test_place),
        cmocka_unit_test(test_place_table_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
