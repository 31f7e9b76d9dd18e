// SPDX-License-Identifier: MIT
//
// loader/config_check.c, loader/command_line.c and loader/bare/format.c.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/bare/format.h"
#include "loader/command_line.h"
#include "loader/config_check.h"

static struct shim_config make_config(void) {
    struct shim_config config = {
        .magic = SHIM_CONFIG_MAGIC,
        .version = SHIM_CONFIG_VERSION,
        .payload_count = 4,
        .vtl2_ram_end_gpa = LAYOUT_VTL2_RAM_END_GPA,
        .payloads = {{.kind = SHIM_PAYLOAD_KERNEL, .gpa = LAYOUT_KERNEL_GPA, .size_bytes = 3000000},
                     {.kind = SHIM_PAYLOAD_INITRD, .gpa = LAYOUT_INITRD_GPA, .size_bytes = 500000},
                     {.kind = SHIM_PAYLOAD_VTL0_KERNEL,
                      .gpa = LAYOUT_VTL0_KERNEL_GPA,
                      .size_bytes = 9000000},
                     {.kind = SHIM_PAYLOAD_VTL0_INITRD,
                      .gpa = LAYOUT_VTL0_INITRD_GPA,
                      .size_bytes = 9000000}},
    };

    return config;
}

static void expect_fault(struct shim_config *config, const char *part, uint32_t idx) {
    struct config_payloads payloads;
    const char *why;
    uint32_t bad_idx;

    assert_int_equal(shim_config_check(config, 0, &payloads, &why, &bad_idx), -EINVAL);
    assert_non_null(strstr(why, part));
    assert_int_equal(bad_idx, idx);
}

static void test_config_good(void **state) {
    struct shim_config config = make_config();
    struct config_payloads payloads;
    struct bzimage_info image = {
        .protected_mode_off = 4096, .init_size_bytes = 0x2000000, .alignment_bytes = 0x200000};
    struct gpa_range run;
    const char *why;
    uint32_t idx;

    (void)state;
    assert_int_equal(shim_config_check(&config, 0, &payloads, &why, &idx), 0);
    assert_ptr_equal(payloads.kernel, &config.payloads[0]);
    assert_ptr_equal(payloads.vtl0_initrd, &config.payloads[3]);
    assert_int_equal(config_check_kernel_room(&config, 0, &payloads, &image, &run, &why), 0);
    assert_int_equal(run.start, 0x1200000);
    image.init_size_bytes = 0x4000000;
    assert_int_equal(config_check_kernel_room(&config, 0, &payloads, &image, &run, &why), -ERANGE);
    assert_non_null(strstr(why, "initrd"));
    image.init_size_bytes = 0x8000000;
    assert_int_equal(config_check_kernel_room(&config, 0, &payloads, &image, &run, &why), -ERANGE);
    assert_non_null(strstr(why, "VTL2's RAM"));
    config.payload_count = 1;
    assert_int_equal(shim_config_check(&config, 0, &payloads, &why, &idx), 0);
    assert_null(payloads.initrd);
}

/// An image that its host moved: all GPAs follow, and nothing beyond 4 GiB.
static void test_config_moved(void **state) {
    struct shim_config config = make_config();
    struct config_payloads payloads;
    struct bzimage_info image = {
        .protected_mode_off = 4096, .init_size_bytes = 0x2000000, .alignment_bytes = 0x200000};
    struct gpa_range run;
    const char *why;
    uint32_t idx;

    (void)state;
    assert_int_equal(shim_config_check(&config, LAYOUT_VSM_DELTA, &payloads, &why, &idx), 0);
    assert_int_equal(config.vtl2_ram_end_gpa, make_config().vtl2_ram_end_gpa + LAYOUT_VSM_DELTA);
    assert_int_equal(payloads.kernel->gpa, LAYOUT_KERNEL_GPA + LAYOUT_VSM_DELTA);
    assert_int_equal(payloads.vtl0_initrd->gpa, LAYOUT_VTL0_INITRD_GPA + LAYOUT_VSM_DELTA);
    assert_int_equal(
        config_check_kernel_room(&config, LAYOUT_VSM_DELTA, &payloads, &image, &run, &why), 0);
    assert_int_equal(run.start, 0x1200000 + LAYOUT_VSM_DELTA);
    config = make_config();
    assert_int_equal(shim_config_check(&config, PAGE_SIZE_2M, &payloads, &why, &idx), -EINVAL);
    assert_non_null(strstr(why, "64 MiB"));
    assert_int_equal(shim_config_check(&config, LAYOUT_IDENTITY_END_GPA, &payloads, &why, &idx),
                     -EINVAL);
    assert_int_equal(shim_config_check(&config,
                                       LAYOUT_IDENTITY_END_GPA - config.vtl2_ram_end_gpa -
                                           LAYOUT_VTL2_RAM_END_ALIGN,
                                       &payloads, &why, &idx),
                     -EINVAL); // VTL0's payloads would wrap or leave
    assert_non_null(strstr(why, "VTL0's payload"));
}

#define BROKEN(change, part, idx)                                                                  \
    do {                                                                                           \
        struct shim_config config = make_config();                                                 \
        change;                                                                                    \
        expect_fault(&config, part, idx);                                                          \
    } while (0)

static void test_config_broken(void **state) {
    (void)state;
    BROKEN(config.magic++, "magic", UINT32_MAX);
    BROKEN(config.version++, "version", UINT32_MAX);
    BROKEN(config.payload_count = 9, "more than 8", UINT32_MAX);
    BROKEN(config.flags = 0x80, "flags", UINT32_MAX);
    BROKEN(config.vtl2_ram_end_gpa += PAGE_SIZE_2M, "64 MiB", UINT32_MAX);
    BROKEN(config.vtl2_ram_end_gpa = 0, "shim's own", UINT32_MAX);
    BROKEN(memset(config.command_line, 'a', sizeof(config.command_line)), "no end", UINT32_MAX);
    BROKEN(memset(config.image_version, 'a', sizeof(config.image_version)), "no end", UINT32_MAX);
    BROKEN(config.payload_count = 0, "no kernel", UINT32_MAX);
    BROKEN(config.payloads[1].kind = 77, "unknown kind", 1);
    BROKEN(config.payloads[1].kind = SHIM_PAYLOAD_KERNEL, "second payload", 1);
    BROKEN(config.payloads[0].flags = 1, "flags", 0);
    BROKEN(config.payloads[0].size_bytes = 0, "empty", 0);
    BROKEN(config.payloads[0].gpa += 8, "page aligned", 0);
    BROKEN(config.payloads[0].size_bytes = UINT64_MAX, "outside VTL2", 0);
    BROKEN(config.payloads[0].gpa = LAYOUT_SHIM_GPA, "outside VTL2", 0);
    BROKEN(config.payloads[1].gpa = LAYOUT_KERNEL_GPA + 0x1000, "overlaps", 1);
    BROKEN(config.payloads[2].gpa = LAYOUT_KERNEL_GPA, "VTL0's payload is outside", 2);
    BROKEN(config.payloads[3].gpa = LAYOUT_IDENTITY_END_GPA, "VTL0's payload is outside", 3);
    BROKEN(config.payloads[3].gpa = LAYOUT_VTL0_KERNEL_GPA, "overlaps", 3);
}

static void test_command_line(void **state) {
    char out[32];
    const char *why;
    const char unterminated[4] = {'a', 'b', 'c', 'd'};

    (void)state;
    assert_int_equal(command_line_merge(out, sizeof(out), "quiet", NULL, 0, &why), 5);
    assert_string_equal(out, "quiet");
    assert_null(why);
    assert_int_equal(command_line_merge(out, sizeof(out), "quiet", "  a=b  ", 8, &why), 9);
    assert_string_equal(out, "quiet a=b");
    assert_int_equal(command_line_merge(out, sizeof(out), "quiet", "   ", 4, &why), 5);
    assert_string_equal(out, "quiet");
    assert_int_equal(command_line_merge(out, sizeof(out), "quiet", unterminated, 4, &why), 5);
    assert_non_null(why);
    assert_int_equal(command_line_merge(out, sizeof(out), "quiet", "x\ny", 4, &why), 5);
    assert_non_null(why);
    assert_string_equal(out, "quiet");
    // 5 + blank + 25 + NUL = 32: just fits; one more does not.
    assert_int_equal(
        command_line_merge(out, sizeof(out), "quiet", "1234567890123456789012345", 26, &why), 31);
    assert_null(why);
    assert_int_equal(
        command_line_merge(out, sizeof(out), "quiet", "12345678901234567890123456", 27, &why), 5);
    assert_non_null(why);
    assert_int_equal(command_line_merge(out, 5, "quiet", NULL, 0, &why), -ENAMETOOLONG);
    assert_string_equal(out, "");
}

static void check_format(const char *expected, const char *format, ...) {
    char out[64];
    va_list args;

    va_start(args, format);
    assert_int_equal(bare_vformat(out, sizeof(out), format, args), strlen(expected));
    va_end(args);
    assert_string_equal(out, expected);
}

static void test_format(void **state) {
    char small[6];

    (void)state;
    check_format("a b -5 5 ff 100%", "%s %c %d %u %x 100%%", "a", 'b', -5, 5u, 255u);
    check_format("00ff|  ab|ab  |-007", "%04x|%4s|%-4s|%04d", 255u, "ab", "ab", -7);
    check_format("18446744073709551615 ffffffffffffffff", "%lu %llx", ~0ul, ~0ull);
    check_format("-9223372036854775808 7", "%ld %zu", INT64_MIN, (size_t)7);
    check_format("ab abc", "%.2s %.*s", "abc", 3, "abcdef");
    assert_int_equal(bare_format(small, sizeof(small), "%s", "123456789"), 5);
    assert_string_equal(small, "12345");
    assert_int_equal(bare_format(small, 1, "%d", 5), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_good),   cmocka_unit_test(test_config_moved),
        cmocka_unit_test(test_config_broken), cmocka_unit_test(test_command_line),
        cmocka_unit_test(test_format),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
