// SPDX-License-Identifier: MIT
//
// Device trees: what minihost writes is what the shim reads (tools/minihost/host_dt.c and
// loader/host_tree.c), hostile trees are refused, and /parapet says what it should.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libfdt.h>

#include "igvm/base/bytes.h"
#include "loader/host_tree.h"
#include "loader/out_tree.h"
#include "tools/minihost/host_dt.h"

#define TREE_BYTES 0x20000u

static void make_host_tree(void *out, const char *config) {
    struct machine machine = {.region_count = 1, .regions = {{0, 0x40000, 0, 0, 0}}};
    struct host_dt_spec spec = {.machine = &machine,
                                .vp_count = 3,
                                .first_apic_id = 14,
                                .rsdp_gpa = 0xf59e0,
                                .rom = {0xffe00000, 0x100000000},
                                .tsc_khz = 2600000,
                                .wall_clock_s = 1792000000,
                                .config = config,
                                .config_bytes = config == NULL ? 0 : (uint32_t)strlen(config)};
    size_t used;

    assert_int_equal(host_dt_build(out, TREE_BYTES, &spec, &used), 0);
    assert_true(used <= TREE_BYTES);
}

static void test_round_trip(void **state) {
    uint8_t *blob = calloc(1, TREE_BYTES);
    struct host_tree tree;
    const char *why;

    (void)state;
    make_host_tree(blob, "{\"a\":1}");
    assert_int_equal(host_tree_read(blob, TREE_BYTES, &tree, &why), 0);
    assert_int_equal(tree.rsdp_gpa, 0xf59e0);
    assert_int_equal(tree.rom.start, 0xffe00000);
    assert_int_equal(tree.rom.end, 0x100000000);
    assert_int_equal(tree.tsc_khz, 2600000);
    assert_int_equal(tree.wall_clock_s, 1792000000);
    assert_int_equal(tree.cpu_count, 3);
    assert_true(tree.has_apic_ids);
    assert_int_equal(tree.apic_ids[0], 14);
    assert_int_equal(tree.apic_ids[2], 16);
    assert_int_equal(tree.config_bytes, 7);
    assert_string_equal(tree.config, "{\"a\":1}");
    make_host_tree(blob, NULL);
    assert_int_equal(host_tree_read(blob, TREE_BYTES, &tree, &why), 0);
    assert_null(tree.config);
    memset(blob, 0, TREE_BYTES); // the host deposited nothing
    assert_int_equal(host_tree_read(blob, TREE_BYTES, &tree, &why), 0);
    assert_int_equal(tree.cpu_count, 0);
    assert_int_equal(host_tree_read(blob, 3, &tree, &why), 0);
    free(blob);
}

/// Each byte of a small tree set to hostile values: never a crash, and what is accepted is in
/// bounds.
static void test_bit_rot(void **state) {
    uint8_t *good = calloc(1, TREE_BYTES);
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    size_t size;

    (void)state;
    make_host_tree(good, "{}");
    size = fdt_totalsize(good);
    for (size_t i = 0; i < size; i++) {
        for (size_t v = 0; v < sizeof(values); v++) {
            uint8_t *blob = malloc(size); // exact: ASan sees the end
            struct host_tree tree;
            const char *why;

            assert_non_null(blob);
            memcpy(blob, good, size);
            blob[i] = values[v];
            if (host_tree_read(blob, size, &tree, &why) == 0 && tree.config != NULL) {
                assert_true((const uint8_t *)tree.config >= blob &&
                            (const uint8_t *)tree.config + tree.config_bytes < blob + size);
                assert_int_equal(strlen(tree.config), tree.config_bytes);
            }
            free(blob);
        }
    }
    free(good);
}

static void test_wrong_properties(void **state) {
    uint8_t blob[4096] __attribute__((aligned(8)));
    fdt64_t range[2] = {0, cpu_to_fdt64(0x100000000)};
    struct host_tree tree;
    const char *why;

    (void)state;
    for (int variant = 0; variant < 8; variant++) {
        memset(blob, 0, sizeof(blob));
        assert_int_equal(fdt_create(blob, sizeof(blob)), 0);
        assert_int_equal(fdt_finish_reservemap(blob), 0);
        assert_int_equal(fdt_begin_node(blob, ""), 0);
        assert_int_equal(fdt_begin_node(blob, "parapet-host"), 0);
        switch (variant) {
        case 0:
            assert_int_equal(fdt_property_u32(blob, "rsdp", 1), 0);
            break;
        case 1:
            assert_int_equal(fdt_property_u64(blob, "tsc-khz", 1), 0);
            break;
        case 2:
            assert_int_equal(fdt_property(blob, "config", "abc", 3), 0); // no NUL
            break;
        case 3:
            assert_int_equal(fdt_property_u32(blob, "wall-clock", 1), 0);
            break;
        case 4:
            assert_int_equal(fdt_property_u64(blob, "vtl0-rom", 0xffe00000), 0);
            break;
        case 5:
        case 6: // larger than 16 MiB, not page aligned
            range[0] = cpu_to_fdt64(variant == 5 ? 0xfe000000 : 0xffe00800);
            assert_int_equal(fdt_property(blob, "vtl0-rom", range, sizeof(range)), 0);
            break;
        default:
            assert_int_equal(fdt_property(blob, "config", "a\0b", 4), 0); // two
            break;
        }
        assert_int_equal(fdt_end_node(blob), 0);
        assert_int_equal(fdt_end_node(blob), 0);
        assert_int_equal(fdt_finish(blob), 0);
        assert_int_equal(host_tree_read(blob, sizeof(blob), &tree, &why), -EINVAL);
        assert_non_null(strstr(why, "/parapet-host/"));
    }
}

static const void *prop(const void *blob, const char *name, int *length) {
    int node = fdt_path_offset(blob, "/parapet");

    assert_true(node >= 0);
    return fdt_getprop(blob, node, name, length);
}

/// Without an APIC ID for each CPU there are none, but the CPUs count.
static void test_apic_ids(void **state) {
    uint8_t *blob = calloc(1, TREE_BYTES);
    struct host_tree tree;
    const char *why;
    int node;

    (void)state;
    make_host_tree(blob, "{}");
    node = fdt_path_offset(blob, "/cpus/cpu@f");
    assert_int_equal(fdt_setprop_inplace_u32(blob, node, "reg", 14), 0);
    assert_int_equal(host_tree_read(blob, TREE_BYTES, &tree, &why), 0);
    assert_int_equal(tree.cpu_count, 3);
    assert_false(tree.has_apic_ids);
    assert_int_equal(fdt_nop_property(blob, node, "reg"), 0);
    assert_int_equal(host_tree_read(blob, TREE_BYTES, &tree, &why), 0);
    assert_int_equal(tree.cpu_count, 3);
    assert_false(tree.has_apic_ids);
    free(blob);
}

static uint32_t cpu_reg(const void *blob, const char *path) {
    const fdt32_t *reg = fdt_getprop(blob, fdt_path_offset(blob, path), "reg", NULL);

    return reg == NULL ? UINT32_MAX : fdt32_to_cpu(*reg);
}

static void test_out_tree_cpus(void **state) {
    static const uint32_t ids[] = {0x1f, 3};
    struct out_tree_spec spec = {.platform = SHIM_PLATFORM_VSM,
                                 .image_version = "1.2",
                                 .vp_count = 2,
                                 .log = "",
                                 .apic_ids = ids};
    uint8_t *blob = malloc(TREE_BYTES);
    size_t used;

    (void)state;
    assert_int_equal(out_tree_build(blob, TREE_BYTES, &spec, &used), 0);
    assert_int_equal(cpu_reg(blob, "/cpus/cpu@1f"), 0x1f);
    assert_int_equal(cpu_reg(blob, "/cpus/cpu@3"), 3);
    spec.apic_ids = NULL;
    assert_int_equal(out_tree_build(blob, TREE_BYTES, &spec, &used), 0);
    assert_int_equal(cpu_reg(blob, "/cpus/cpu@1"), 1);
    free(blob);
}

static void test_out_tree(void **state) {
    static const struct gpa_range vtl0[] = {{0x6000000, 0x40000000}, {0x100000000, 0x180000000}};
    static const struct gpa_range vtl2[] = {{0, 0x9f000}};
    const struct shim_payload kernel = {.gpa = 0xe000000, .size_bytes = 1234, .sha384 = {1, 2, 3}};
    struct out_tree_spec spec = {.platform = SHIM_PLATFORM_NATIVE,
                                 .image_version = "1.2",
                                 .vp_count = 4,
                                 .vtl0 = vtl0,
                                 .vtl0_count = 2,
                                 .vtl2 = vtl2,
                                 .vtl2_count = 1,
                                 .vtl0_kernel = &kernel,
                                 .vtl0_firmware = &kernel,
                                 .rom = {0xffe00000, 0x100000000},
                                 .host_config = "{}garbage after",
                                 .host_config_bytes = 2,
                                 .log = "line\n",
                                 .log_bytes = 5};
    uint8_t *blob = malloc(TREE_BYTES);
    const fdt64_t *pairs;
    size_t used;
    int length;

    (void)state;
    assert_int_equal(out_tree_build(blob, TREE_BYTES, &spec, &used), 0);
    assert_int_equal(fdt_check_full(blob, used), 0);
    assert_string_equal(prop(blob, "compatible", &length), "parapet,vtl2");
    assert_string_equal(prop(blob, "platform", &length), "native");
    pairs = prop(blob, "vtl0-memory", &length);
    assert_int_equal(length, 32);
    assert_int_equal(fdt64_to_cpu(pairs[0]), 0x6000000);
    assert_int_equal(fdt64_to_cpu(pairs[3]), 0x180000000);
    pairs = prop(blob, "vtl0-kernel", &length);
    assert_int_equal(fdt64_to_cpu(pairs[1]), 1234);
    (void)prop(blob, "vtl0-kernel-sha384", &length);
    assert_int_equal(length, 48);
    assert_null(prop(blob, "vtl0-initrd", &length));
    (void)prop(blob, "vtl0-firmware-sha384", &length);
    assert_int_equal(length, 48);
    assert_int_equal(load_be64(prop(blob, "vtl0-rom", &length)), 0xffe00000);
    assert_int_equal(length, 16);
    assert_string_equal(prop(blob, "host-config", &length), "{}");
    assert_int_equal(length, 3);
    assert_string_equal(prop(blob, "shim-log", &length), "line\n");
    for (size_t size = 0; size < used; size += 7) {
        assert_int_equal(out_tree_build(blob, size, &spec, &used), -ENOSPC);
    }
    assert_null(shim_platform_name(4));
    free(blob);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),       cmocka_unit_test(test_bit_rot),
        cmocka_unit_test(test_wrong_properties), cmocka_unit_test(test_apic_ids),
        cmocka_unit_test(test_out_tree_cpus),    cmocka_unit_test(test_out_tree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
