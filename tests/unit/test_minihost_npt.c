// SPDX-License-Identifier: MIT
//
// tools/minihost/svm/npt.c: nested page tables against a plain model, and their corner cases.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/minihost/svm/npt.h"

#define HEAP_PAGES 64u
#define MIB        0x100000ull
#define GIB        (1ull << 30)
#define ALIAS_HPA  0x7000000ull
#define ROM_START  0xffe00000ull
#define ROM_END    0x100000000ull
#define ROM_HPA    0x7200000ull ///< aligned as the window: one large page
#define OVERLAY_1  0x7100000ull
#define OVERLAY_2  0x7101000ull

static uint8_t *pages;
static struct heap heap;
static struct spinlock heap_lock;
static struct npt npt;

static size_t heap_left(void) {
    return (size_t)(heap.end - heap.next) / PAGE_SIZE_4K;
}

static int set_up(void **state) {
    (void)state;
    pages = aligned_alloc(PAGE_SIZE_4K, HEAP_PAGES * PAGE_SIZE_4K);
    assert_non_null(pages);
    memset(pages, 0xa5, HEAP_PAGES * PAGE_SIZE_4K); // the heap zeroes
    heap = (struct heap){pages, pages + HEAP_PAGES * PAGE_SIZE_4K};
    npt = (struct npt){
        .heap = &heap,
        .heap_lock = &heap_lock,
        .alias = {{.range = {0xa0000, 0x100000}, .hpa = ALIAS_HPA},
                  {.range = {ROM_START, ROM_END}, .hpa = ROM_HPA}},
    };
    assert_int_equal(npt_init(&npt), 0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    free(pages);
    return 0;
}

static void assert_goes(uint64_t gpa, unsigned access, uint64_t expected);

/// The window below 4 GiB, inside a range that is mapped in one go and with one large page.
static void test_rom_window(void **state) {
    (void)state;
    assert_int_equal(npt_map(&npt, (struct gpa_range){0xc0000000, 0x140000000}, NPT_ALL), 0);
    assert_goes(ROM_START - 1, NPT_READ, ROM_START - 1);
    assert_goes(ROM_START, NPT_READ, ROM_HPA);
    assert_goes(ROM_END - 16, NPT_EXECUTE, ROM_HPA + (ROM_END - ROM_START) - 16);
    assert_goes(ROM_END, NPT_WRITE, ROM_END);
    assert_int_equal(npt_protect(&npt, ROM_END - PAGE_SIZE_4K, NPT_READ | NPT_EXECUTE), 0);
    assert_false(npt_translate(&npt, ROM_END - 16, NPT_WRITE, &(uint64_t){0}));
    assert_goes(ROM_END - 16, NPT_EXECUTE, ROM_HPA + (ROM_END - ROM_START) - 16);
    assert_goes(ROM_START, NPT_WRITE, ROM_HPA);
}

static void assert_goes(uint64_t gpa, unsigned access, uint64_t expected) {
    uint64_t hpa = 0;

    assert_true(npt_translate(&npt, gpa, access, &hpa));
    assert_int_equal(hpa, expected);
}

static void assert_denied(uint64_t gpa, unsigned access) {
    uint64_t hpa;

    assert_false(npt_translate(&npt, gpa, access, &hpa));
}

static void test_large_pages(void **state) {
    size_t before = heap_left();

    (void)state;
    assert_int_equal(npt_map(&npt, (struct gpa_range){0, 512 * GIB}, NPT_ALL), 0);
    // One pointer table, a directory and a table around the low window, a directory for the ROM's.
    assert_int_equal(before - heap_left(), 4);
    assert_goes(0x9ffff, NPT_ALL, 0x9ffff);
    assert_goes(0xa0123, NPT_ALL, ALIAS_HPA + 0x123);
    assert_goes(0xfffff, NPT_WRITE, ALIAS_HPA + 0x5ffff);
    assert_goes(0x100000, NPT_ALL, 0x100000);
    assert_goes(0xfee00300, NPT_ALL, 0xfee00300);
    assert_goes(512 * GIB - 1, NPT_READ, 512 * GIB - 1);
    assert_denied(512 * GIB, NPT_READ);
    assert_denied(NPT_END_GPA, NPT_READ);
    assert_denied(UINT64_MAX, NPT_READ);
    assert_int_equal(npt_protection(&npt, 3 * GIB), NPT_ALL);
    assert_int_equal(npt_protection(&npt, NPT_END_GPA), 0);
}

static void test_bad_ranges(void **state) {
    (void)state;
    assert_int_equal(npt_map(&npt, (struct gpa_range){0, 0x1001}, NPT_ALL), -EINVAL);
    assert_int_equal(npt_map(&npt, (struct gpa_range){0, NPT_END_GPA + 0x1000}, NPT_ALL), -EINVAL);
    assert_int_equal(npt_map(&npt, (struct gpa_range){0x2000, 0x1000}, NPT_ALL), 0); // empty
    assert_denied(0x1000, NPT_READ);
    assert_int_equal(npt_protect(&npt, 0x1000, NPT_READ), -ENOENT);
    assert_int_equal(npt_protect(&npt, NPT_END_GPA, NPT_READ), -ENOENT);
    assert_int_equal(npt_overlay(&npt, NPT_END_GPA, OVERLAY_1), -EINVAL);
    assert_int_equal(npt_overlay(&npt, 0, OVERLAY_1 + 1), -EINVAL);
}

static void test_protect(void **state) {
    size_t before;

    (void)state;
    assert_int_equal(npt_map(&npt, (struct gpa_range){GIB, 2 * GIB}, NPT_ALL), 0);
    before = heap_left();
    assert_int_equal(npt_protect(&npt, GIB + 5 * MIB, NPT_ALL), 0); // as it is: nothing splits
    assert_int_equal(heap_left(), before);
    assert_int_equal(npt_protect(&npt, GIB + 5 * MIB, 0), 0);
    assert_int_equal(before - heap_left(), 2); // a directory and a table
    assert_denied(GIB + 5 * MIB + 0xfff, NPT_READ);
    assert_goes(GIB + 5 * MIB - 1, NPT_ALL, GIB + 5 * MIB - 1);
    assert_goes(GIB + 5 * MIB + 0x1000, NPT_ALL, GIB + 5 * MIB + 0x1000);
    assert_goes(GIB, NPT_ALL, GIB);
    assert_goes(2 * GIB - 1, NPT_ALL, 2 * GIB - 1);
    assert_int_equal(npt_protect(&npt, GIB + 5 * MIB, NPT_READ), 0);
    assert_goes(GIB + 5 * MIB, NPT_READ, GIB + 5 * MIB);
    assert_denied(GIB + 5 * MIB, NPT_WRITE);
    assert_denied(GIB + 5 * MIB, NPT_READ | NPT_EXECUTE);
    assert_int_equal(npt_protect(&npt, GIB + 5 * MIB, NPT_WRITE), 0); // no access without reading
    assert_denied(GIB + 5 * MIB, NPT_WRITE);
    assert_int_equal(npt_protect(&npt, GIB + 5 * MIB, NPT_READ | NPT_WRITE), 0);
    assert_int_equal(npt_protection(&npt, GIB + 5 * MIB), NPT_READ | NPT_WRITE);
}

static void test_overlay(void **state) {
    (void)state;
    assert_int_equal(npt_map(&npt, (struct gpa_range){0, 4 * MIB}, NPT_ALL), 0);
    assert_int_equal(npt_protect(&npt, 0x5000, NPT_READ), 0);
    assert_int_equal(npt_overlay(&npt, 0x5678, OVERLAY_1), 0); // anywhere in the page
    assert_goes(0x5678, NPT_ALL, OVERLAY_1 + 0x678);
    assert_int_equal(npt_protection(&npt, 0x5000), NPT_READ); // what lies under it
    assert_int_equal(npt_protect(&npt, 0x5000, NPT_READ | NPT_EXECUTE), 0);
    assert_goes(0x5000, NPT_WRITE, OVERLAY_1);
    assert_int_equal(npt_overlay(&npt, 0x5000, OVERLAY_2), 0); // a second one replaces the first
    assert_goes(0x5000, NPT_ALL, OVERLAY_2);
    assert_int_equal(npt_overlay(&npt, 0x5000, 0), 0);
    assert_goes(0x5000, NPT_READ | NPT_EXECUTE, 0x5000);
    assert_denied(0x5000, NPT_WRITE);
    // Over the alias window, and over what is no memory at all.
    assert_int_equal(npt_overlay(&npt, 0xa1000, OVERLAY_1), 0);
    assert_int_equal(npt_overlay(&npt, 0xa1000, 0), 0);
    assert_goes(0xa1008, NPT_ALL, ALIAS_HPA + 0x1008);
    assert_int_equal(npt_overlay(&npt, 0x800000000000, OVERLAY_1), 0);
    assert_goes(0x800000000010, NPT_ALL, OVERLAY_1 + 0x10);
    assert_int_equal(npt_protect(&npt, 0x800000000000, NPT_READ), -ENOENT);
    assert_int_equal(npt_overlay(&npt, 0x800000000000, 0), 0);
    assert_denied(0x800000000000, NPT_READ);
    assert_int_equal(npt_overlay(&npt, 0x800000000000, 0), 0); // twice does no harm
    assert_denied(0x800000000000, NPT_READ);
}

/// Without memory operations fail, and what was there stays.
static void test_exhaustion(void **state) {
    (void)state;
    assert_int_equal(npt_map(&npt, (struct gpa_range){0, GIB}, NPT_ALL), 0);
    assert_int_equal(npt_map(&npt, (struct gpa_range){512 * GIB, 513 * GIB}, NPT_ALL), 0);
    heap.next = heap.end;
    assert_int_equal(npt_protect(&npt, 512 * GIB, NPT_READ), -ENOMEM);
    assert_int_equal(npt_overlay(&npt, 512 * GIB, OVERLAY_1), -ENOMEM);
    assert_int_equal(npt_map(&npt, (struct gpa_range){1024 * GIB, 1025 * GIB}, NPT_ALL), -ENOMEM);
    assert_goes(512 * GIB, NPT_ALL, 512 * GIB);
    assert_denied(1024 * GIB, NPT_READ);
    assert_int_equal(npt_init(&npt), -ENOMEM);
}

#define MODEL_PAGES 2048u // 8 MiB

/// What each page of the model should do.
static struct {
    bool mapped;
    unsigned access;
    uint64_t overlay;
} model[MODEL_PAGES];

static void check_page(uint64_t page) {
    uint64_t gpa = page * PAGE_SIZE_4K + 0x123, hpa = 0;
    bool alias = gpa >= 0xa0000 && gpa < 0x100000;
    uint64_t expected = alias ? ALIAS_HPA + gpa - 0xa0000 : gpa;
    unsigned access = model[page].access;

    if (model[page].overlay != 0) {
        expected = model[page].overlay + 0x123;
        access = NPT_ALL;
    }
    for (unsigned wanted = 1; wanted <= NPT_ALL; wanted++) {
        bool allowed = (access & NPT_READ) != 0 && (access & wanted) == wanted;

        assert_int_equal(npt_translate(&npt, gpa, wanted, &hpa), allowed);
        assert_true(!allowed || hpa == expected);
    }
}

static void test_model(void **state) {
    uint64_t seed = 1;

    (void)state;
    memset(model, 0, sizeof(model));
    assert_int_equal(npt_map(&npt, (struct gpa_range){0, 7 * MIB}, NPT_ALL), 0);
    for (uint64_t page = 0; page < 7 * MIB / PAGE_SIZE_4K; page++) {
        model[page].mapped = true;
        model[page].access = NPT_ALL;
    }
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t page;
        unsigned access;

        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        page = (seed >> 33) % MODEL_PAGES;
        access = (seed >> 20) & NPT_ALL;
        switch ((seed >> 60) & 3) {
        case 0:
        case 1:
            assert_int_equal(npt_protect(&npt, page * PAGE_SIZE_4K, access),
                             model[page].mapped ? 0 : -ENOENT);
            model[page].access = model[page].mapped && (access & NPT_READ) != 0 ? access : 0;
            break;
        case 2:
            model[page].overlay = (seed & 0x100000) != 0 ? OVERLAY_1 : OVERLAY_2;
            assert_int_equal(npt_overlay(&npt, page * PAGE_SIZE_4K, model[page].overlay), 0);
            break;
        default:
            model[page].overlay = 0;
            assert_int_equal(npt_overlay(&npt, page * PAGE_SIZE_4K, 0), 0);
        }
        check_page(page);
    }
    for (uint64_t page = 0; page < MODEL_PAGES; page++) {
        check_page(page);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rom_window, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_ranges, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_protect, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_overlay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_exhaustion, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_model, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
