// SPDX-License-Identifier: MIT
//
// loader/bzimage.c and loader/linux_params.c: a well-made header is read, each broken one is
// refused with its own reason, boot_params carries what the boot protocol asks for.

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "igvm/base/bytes.h"
#include "igvm/base/types.h"
#include "loader/bzimage.h"
#include "loader/linux_params.h"

#define FILE_BYTES   0x8000u
#define SETUP_SECTS  7u
#define SETUP_BYTES  ((SETUP_SECTS + 1) * 512u)
#define HEADER_AT(f) offsetof(struct linux_setup_header, f) + LINUX_SETUP_HEADER_OFF
#define INIT_SIZE    0x1700000u

static const char version_text[] = "7.3.4 (test)";

/// A file as Linux 7.x makes it, in a heap block of exactly its size so that ASan sees every
/// overrun.
static uint8_t *make_file(void) {
    uint8_t *file = calloc(1, FILE_BYTES);
    struct linux_setup_header header = {
        .setup_sects = SETUP_SECTS,
        .syssize = (FILE_BYTES - SETUP_BYTES) / 16,
        .boot_flag = LINUX_BOOT_FLAG,
        .jump = 0x6aeb,
        .header = LINUX_HEADER_MAGIC,
        .version = 0x020f,
        .kernel_version = 0x1000 - 0x200 - 0x800,
        .loadflags = LINUX_LOADED_HIGH,
        .kernel_alignment = 0x200000,
        .relocatable_kernel = 1,
        .xloadflags = LINUX_XLF_KERNEL_64 | LINUX_XLF_CAN_BE_LOADED_ABOVE_4G,
        .cmdline_size = 2047,
        .pref_address = 0x1000000,
        .init_size = INIT_SIZE,
        .initrd_addr_max = 0x7fffffff,
    };

    assert_non_null(file);
    memcpy(file + LINUX_SETUP_HEADER_OFF, &header, sizeof(header));
    memcpy(file + 0x800, version_text, sizeof(version_text));
    return file;
}

static void test_good(void **state) {
    uint8_t *file = make_file();
    struct bzimage_info info;
    uint64_t start, end;
    const char *why;

    (void)state;
    assert_int_equal(bzimage_parse(file, FILE_BYTES, &info, &why), 0);
    assert_int_equal(info.setup_bytes, SETUP_BYTES);
    assert_int_equal(info.protected_mode_off, SETUP_BYTES);
    assert_int_equal(info.protected_mode_bytes, FILE_BYTES - SETUP_BYTES);
    assert_int_equal(info.entry64_off, 0x200);
    assert_int_equal(info.init_size_bytes, INIT_SIZE);
    assert_int_equal(info.cmdline_max_bytes, 2047);
    assert_true(info.initrd_end_max_gpa == UINT64_MAX);
    assert_string_equal(info.version_text, version_text);
    assert_int_equal(bzimage_run_range(&info, 0x1001000, &start, &end), 0);
    assert_int_equal(start, 0x1200000); // aligned up
    assert_int_equal(end, 0x1200000 + INIT_SIZE);
    assert_int_equal(bzimage_run_range(&info, 0x200000, &start, &end), 0);
    assert_int_equal(start, 0x1000000); // raised to the preferred address
    assert_int_equal(bzimage_run_range(&info, UINT64_MAX - 5, &start, &end), -ERANGE);
    free(file);
}

/// One change to the good file and what must come of it.
struct broken {
    size_t off;
    unsigned bytes;
    uint32_t value;
    int error;
    const char *why_part;
};

static void test_broken(void **state) {
    static const struct broken cases[] = {
        {HEADER_AT(boot_flag), 2, 0, -EINVAL, "0xaa55"},
        {HEADER_AT(header), 4, 0x12345678, -EINVAL, "HdrS"},
        {HEADER_AT(jump), 2, 0x20eb, -ENOTSUP, "ends before init_size"},
        {HEADER_AT(version), 2, 0x020b, -ENOTSUP, "2.12"},
        {HEADER_AT(loadflags), 1, 0, -ENOTSUP, "LOADED_HIGH"},
        {HEADER_AT(xloadflags), 2, 0, -ENOTSUP, "XLF_KERNEL_64"},
        {HEADER_AT(relocatable_kernel), 1, 0, -ENOTSUP, "relocatable"},
        {HEADER_AT(kernel_alignment), 4, 0, -EINVAL, "kernel_alignment"},
        {HEADER_AT(kernel_alignment), 4, 0x201000, -EINVAL, "kernel_alignment"},
        {HEADER_AT(cmdline_size), 4, 0, -EINVAL, "cmdline_size"},
        {HEADER_AT(setup_sects), 1, 255, -ERANGE, "64-bit entry"},
        {HEADER_AT(syssize), 4, 0xffffffff, -ERANGE, "truncated"},
        {HEADER_AT(init_size), 4, 0x1000, -ERANGE, "init_size"},
        {HEADER_AT(init_size), 4, 0x40000001, -ERANGE, "init_size"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t *file = make_file();
        struct bzimage_info info;
        uint8_t value[4];
        const char *why;

        store_le32(value, cases[i].value);
        memcpy(file + cases[i].off, value, cases[i].bytes);
        assert_int_equal(bzimage_parse(file, FILE_BYTES, &info, &why), cases[i].error);
        assert_non_null(strstr(why, cases[i].why_part));
        free(file);
    }
}

/// Every shorter file is refused without reading past its end.
static void test_truncated(void **state) {
    uint8_t *file = make_file();

    (void)state;
    for (size_t size = 0; size < FILE_BYTES; size += size < 0x300 ? 1 : 97) {
        uint8_t *part = malloc(size + 1);
        struct bzimage_info info;
        const char *why;

        assert_non_null(part);
        memcpy(part, file, size);
        part = realloc(part, size == 0 ? 1 : size);
        assert_true(bzimage_parse(part, size, &info, &why) < 0);
        assert_true(why[0] != '\0');
        free(part);
    }
    free(file);
}

static void test_version_text(void **state) {
    uint8_t *file = make_file();
    struct bzimage_info info;
    const char *why;

    (void)state;
    store_le16(file + HEADER_AT(kernel_version), 0xffff); // beyond the file
    assert_int_equal(bzimage_parse(file, FILE_BYTES, &info, &why), 0);
    assert_string_equal(info.version_text, "");
    store_le16(file + HEADER_AT(kernel_version), 0x600);
    memset(file + 0x800, 'x', FILE_BYTES - 0x800); // endless
    assert_int_equal(bzimage_parse(file, FILE_BYTES, &info, &why), 0);
    assert_int_equal(strlen(info.version_text), BZIMAGE_VERSION_TEXT_BYTES - 1);
    free(file);
}

static void test_params(void **state) {
    static const struct linux_e820_entry e820[] = {
        {0, 0x9f000, LINUX_E820_RAM},
        {0x6000000, 0x200000, LINUX_E820_SOFT_RESERVED},
    };
    uint8_t *file = make_file();
    struct linux_boot_params *params = malloc(sizeof(*params));
    struct linux_params_spec spec = {.e820 = e820,
                                     .e820_count = 2,
                                     .load_gpa = 0x1001000,
                                     .cmdline_gpa = 0x300002000,
                                     .cmdline_bytes = 100,
                                     .initrd_gpa = 0x123456000,
                                     .initrd_bytes = 0x200000007,
                                     .rsdp_gpa = 0xf5a00,
                                     .setup_data_gpa = 0x302000};
    struct bzimage_info info;
    const char *why;

    (void)state;
    assert_non_null(params);
    assert_int_equal(bzimage_parse(file, FILE_BYTES, &info, &why), 0);
    spec.image = &info;
    memset(params, 0xa5, sizeof(*params));
    assert_int_equal(linux_params_build(params, &spec, &why), 0);
    assert_int_equal(params->e820_entries, 2);
    assert_int_equal(params->e820_table[1].type, LINUX_E820_SOFT_RESERVED);
    assert_int_equal(params->e820_table[2].type, 0);
    assert_int_equal(params->sentinel, 0);
    assert_int_equal(params->hdr.header, LINUX_HEADER_MAGIC);
    assert_int_equal(params->hdr.type_of_loader, 0xff);
    assert_int_equal(params->hdr.ramdisk_image, 0x23456000);
    assert_int_equal(params->ext_ramdisk_image, 1);
    assert_int_equal(params->hdr.ramdisk_size, 7);
    assert_int_equal(params->ext_ramdisk_size, 2);
    assert_int_equal(params->hdr.cmd_line_ptr, 0x2000);
    assert_int_equal(params->ext_cmd_line_ptr, 3);
    assert_int_equal(params->acpi_rsdp_addr, 0xf5a00);
    assert_int_equal(params->hdr.setup_data, 0x302000);

    spec.cmdline_bytes = 2048;
    assert_int_equal(linux_params_build(params, &spec, &why), -ENAMETOOLONG);
    spec.cmdline_bytes = 1;
    spec.e820_count = 129;
    assert_int_equal(linux_params_build(params, &spec, &why), -E2BIG);
    spec.e820_count = 0;
    info.initrd_end_max_gpa = 0x80000000;
    assert_int_equal(linux_params_build(params, &spec, &why), -ERANGE);
    free(params);
    free(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),      cmocka_unit_test(test_broken),
        cmocka_unit_test(test_truncated), cmocka_unit_test(test_version_text),
        cmocka_unit_test(test_params),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
