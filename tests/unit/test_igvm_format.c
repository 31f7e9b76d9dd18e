// SPDX-License-Identifier: MIT
//
// IGVM format, checked from outside: files laid by hand, byte by byte, from the numbers of the
// published definition, so that reader and writer cannot share one mistake; and every header type
// there and back.

#include "tests/unit/test_igvm_build.h"

#include "igvm/igvm_vp.h"

#include <errno.h>
#include <stdio.h>

/// Version 2, x64: native platform, one page of data at 2 MiB, one page of zeroes, a native
/// context. Sizes, data offsets and the checksum are filled in by hand_file().
// clang-format off
static const uint8_t by_hand[] = {
    'I', 'G', 'V', 'M',  2, 0, 0, 0,  0x20, 0, 0, 0,  0, 0, 0, 0,        // magic, version, headers
    0, 0, 0, 0,  0, 0, 0, 0,                                             // file size, checksum
    0, 0, 0, 0,  0x00, 0x10, 0, 0,                                       // x64, 4096
    0x01, 0, 0, 0,  16, 0, 0, 0,                                         // 0x20: supported platform
    1, 0, 0, 0,  0, 0,  1, 0,  0, 0, 0, 0, 0, 0, 0, 0,                   // mask, vtl, type, version, gpa
    0x02, 0x03, 0, 0,  24, 0, 0, 0,                                      // 0x38: page data
    0, 0, 0x20, 0, 0, 0, 0, 0,  1, 0, 0, 0,  0, 0, 0, 0,                 // gpa, mask, file offset
    2, 0, 0, 0,  0, 0, 0, 0,                                             // unmeasured, normal
    0x02, 0x03, 0, 0,  24, 0, 0, 0,                                      // 0x58: page data
    0, 0x10, 0x20, 0, 0, 0, 0, 0,  1, 0, 0, 0,  0, 0, 0, 0,
    0, 0, 0, 0,  0, 0, 0, 0,
    0x04, 0x03, 0, 0,  20, 0, 0, 0,                                      // 0x78: VP context, 20 bytes
    0, 0, 0, 0, 0, 0, 0, 0,  1, 0, 0, 0,  0, 0, 0, 0,                    // gpa, mask, file offset
    0, 0, 0, 0,  0, 0, 0, 0,                                             // index, reserved, 4 of padding
    0xee, 0xee, 0, 0x80,  8, 0, 0, 0,                                    // 0x98: unknown but optional
    1, 2, 3, 4, 5, 6, 7, 8,
};
// clang-format on
#define HAND_HEADERS_END 0xa8u
#define HAND_BYTES       (HAND_HEADERS_END + 2 * 4096u)

/// CRC-32 bit by bit, straight from its definition (reflected 0x04c11db7, all ones in and out).
static uint32_t crc_by_definition(const uint8_t *bytes, size_t count) {
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
        }
    }
    return ~crc;
}

static uint8_t *hand_file(void) {
    uint8_t *file = calloc(1, HAND_BYTES);
    uint8_t *page = file + HAND_HEADERS_END;
    uint8_t *context = page + 4096;

    assert_non_null(file);
    memcpy(file, by_hand, HAND_HEADERS_END);
    store_le32(file + 12, HAND_HEADERS_END - 0x20);
    store_le32(file + 16, HAND_BYTES);
    store_le32(file + 0x38 + 8 + 12, HAND_HEADERS_END);
    store_le32(file + 0x78 + 8 + 12, HAND_HEADERS_END + 4096);
    memset(page, 0x5a, 4096);
    store_le64(context + 128, 0x200000); // rip is the 17th quadword
    store_le64(context + 136, 2);        // rflags
    store_le16(context + 168, 0x08);     // code selector
    store_le16(context + 170, 0xa09b);   // code attributes
    store_le64(context + 208, 0x280000); // cr3
    store_le64(context + 224, 0x500);    // efer
    store_le32(file + 20, crc_by_definition(file, HAND_HEADERS_END));
    return file;
}

static void reads_a_file_laid_by_hand(void **state) {
    const uint32_t types[] = {0x1, 0x302, 0x302, 0x304, 0xeeee};
    const uint32_t offsets[] = {0x20, 0x38, 0x58, 0x78, 0x98};
    uint8_t *bytes = hand_file();
    struct igvm_supported_platform platform;
    struct igvm_header header;
    struct igvm_error error;
    struct igvm_iter iter;
    struct igvm_file file;
    struct igvm_vp vp;
    const uint8_t *data;
    uint64_t size_bytes;

    (void)state;
    assert_int_equal(igvm_open(&file, bytes, HAND_BYTES, &error), 0);
    assert_int_equal(igvm_validate(&file, &error), 0);
    assert_int_equal(file.format_version, 2);
    iter = igvm_iter_start(&file);
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        assert_int_equal(igvm_iter_next(&iter, &header, &error), 1);
        assert_int_equal(header.type, types[i]);
        assert_int_equal(header.file_off, offsets[i]);
        assert_int_equal(header.optional, i == 4);
        if (i == 1) {
            assert_int_equal(header.u.page_data.gpa, 0x200000);
            assert_int_equal(header.u.page_data.flags, IGVM_PAGE_UNMEASURED);
            assert_int_equal(igvm_header_data(&file, &header, &data, &size_bytes), 0);
            assert_int_equal(size_bytes, 4096);
            assert_int_equal(data[4095], 0x5a);
        }
        if (i == 3) {
            assert_int_equal(igvm_find_platform(&file, IGVM_PLATFORM_NATIVE, &platform), 0);
            assert_int_equal(igvm_vp_read(&file, &header, &platform, &vp, &error), 0);
            assert_int_equal(vp.native.rip, 0x200000);
            assert_int_equal(vp.native.rflags, 2);
            assert_int_equal(vp.native.code_attributes, 0xa09b);
            assert_int_equal(vp.native.cr3, 0x280000);
            assert_int_equal(vp.native.efer, 0x500);
        }
    }
    assert_int_equal(igvm_iter_next(&iter, &header, &error), 0);
    assert_int_equal(igvm_peek_size(bytes, HAND_BYTES), HAND_BYTES);
    assert_int_equal(igvm_peek_size(bytes, HAND_BYTES - 1), 0);
    free(bytes);
}

/// The writer, asked for the same file, produces the same bytes.
static void writes_a_file_laid_by_hand(void **state) {
    uint8_t *wanted = hand_file();
    uint8_t *out = malloc(HAND_BYTES);
    const struct igvm_native_vp_context_x64 regs = {.rip = 0x200000,
                                                    .rflags = 2,
                                                    .code_selector = 8,
                                                    .code_attributes = 0xa09b,
                                                    .cr3 = 0x280000,
                                                    .efer = 0x500};
    const uint8_t unknown[] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t page[4096];
    struct igvm_writer w;

    (void)state;
    memset(page, 0x5a, sizeof(page));
    igvm_writer_measure(&w, 2, IGVM_ARCH_X64);
    for (int pass = 0; pass < 2; pass++) {
        struct igvm_page_data data = {.gpa = 0x200000, .compatibility_mask = 1, .flags = 2};

        put_platform(&w, 1, 0, 0);
        data.file_offset = igvm_put_data(&w, page, sizeof(page), 0);
        igvm_put_header(&w, IGVM_VHT_PAGE_DATA, &data);
        data = (struct igvm_page_data){.gpa = 0x201000, .compatibility_mask = 1};
        igvm_put_header(&w, IGVM_VHT_PAGE_DATA, &data);
        igvm_put_native_vp(&w, 1, 0, &regs);
        igvm_put_raw_header(&w, 0x8000eeee, unknown, sizeof(unknown));
        if (pass == 0) {
            assert_int_equal(igvm_writer_size(&w), HAND_BYTES);
            assert_int_equal(igvm_writer_emit(&w, out, HAND_BYTES), 0);
        }
    }
    assert_int_equal(igvm_writer_finish(&w), 0);
    assert_memory_equal(out, wanted, HAND_BYTES);
    free(out);
    free(wanted);
}

/// Type numbers, lengths and field offsets of the published definition, once more.
static void has_the_published_layouts(void **state) {
    static const struct {
        const char *name;
        uint32_t type;
        uint16_t length;
        const char *field;
        uint16_t off;
    } published[] = {
        {"supported_platform", 0x001, 16, "platform_version", 6},
        {"guest_policy", 0x101, 16, "compatibility_mask", 8},
        {"relocatable_region", 0x102, 48, "maximum_relocation_gpa", 40},
        {"page_table_relocation", 0x103, 32, "used_size", 24},
        {"corim_document", 0x104, 16, "size_bytes", 8},
        {"corim_signature", 0x105, 16, "file_offset", 4},
        {"cca_policy", 0x106, 32, "lfa_policy", 25},
        {"parameter_area", 0x301, 16, "parameter_area_index", 8},
        {"page_data", 0x302, 24, "data_type", 20},
        {"parameter_insert", 0x303, 16, "parameter_area_index", 12},
        {"vp_context", 0x304, 20, "vp_index", 16},
        {"required_memory", 0x305, 24, "flags", 16},
        {"vp_count", 0x307, 8, "byte_offset", 4},
        {"srat", 0x308, 8, "byte_offset", 4},
        {"madt", 0x309, 8, "byte_offset", 4},
        {"mmio_ranges", 0x30a, 8, "byte_offset", 4},
        {"snp_id_block", 0x30b, 696, "author_public_key.qy", 624},
        {"memory_map", 0x30c, 8, "byte_offset", 4},
        {"error_range", 0x30d, 16, "size_bytes", 12},
        {"command_line", 0x30e, 8, "byte_offset", 4},
        {"slit", 0x30f, 8, "byte_offset", 4},
        {"pptt", 0x310, 8, "byte_offset", 4},
        {"vbs_measurement", 0x311, 864, "public_key", 352},
        {"device_tree", 0x312, 8, "byte_offset", 4},
        {"environment_info", 0x313, 8, "byte_offset", 4},
    };

    (void)state;
    assert_int_equal(igvm_header_desc_count, ARRAY_COUNT(published));
    for (size_t i = 0; i < ARRAY_COUNT(published); i++) {
        const struct igvm_header_desc *desc = igvm_desc_of_name(published[i].name);
        bool found = false;
        size_t end = 0;

        assert_non_null(desc);
        assert_int_equal(desc->type, published[i].type);
        assert_int_equal(desc->size_bytes, published[i].length);
        for (size_t k = 0; k < desc->field_count; k++) {
            const struct igvm_field *field = &desc->fields[k];

            assert_int_equal(field->off, end); // the table leaves no byte out
            end = field->off + field->size_bytes;
            if (strcmp(field->name, published[i].field) == 0) {
                assert_int_equal(field->off, published[i].off);
                found = true;
            }
        }
        assert_int_equal(end, desc->size_bytes);
        assert_true(found);
    }
}

/// Each type with a different value in every byte survives writer and reader.
static void carries_every_header_type(void **state) {
    (void)state;
    for (size_t i = 0; i < igvm_header_desc_count; i++) {
        const struct igvm_header_desc *desc = &igvm_header_descs[i];
        struct igvm_header header;
        struct igvm_error error;
        struct igvm_iter iter;
        struct igvm_file file;
        struct built built;
        content_t content;

        for (size_t k = 0; k < sizeof(content.raw); k++) {
            content.raw[k] = (uint8_t)(k * 7 + i);
        }
        for (size_t k = 0; k < desc->field_count; k++) {
            if (desc->fields[k].role == IGVM_ROLE_FILE_OFF) {
                igvm_field_set(&desc->fields[k], content.raw, 0x12345678); // no stand-in
            }
        }
        built = build_file(i % 2 == 0 ? 1 : 2, IGVM_ARCH_X64, 0, desc->type, &content);
        assert_int_equal(igvm_open(&file, built.bytes, built.size_bytes, &error), 0);
        iter = igvm_iter_start(&file);
        assert_int_equal(igvm_iter_next(&iter, &header, &error), 1);
        assert_int_equal(header.type, desc->type);
        assert_ptr_equal(header.desc, desc);
        assert_memory_equal(header.u.raw, content.raw, desc->size_bytes);
        assert_int_equal(igvm_iter_next(&iter, &header, &error), 0);
        free(built.bytes);
    }
}

static void knows_the_checksum(void **state) {
    (void)state;
    assert_int_equal(igvm_crc32(0, "123456789", 9), 0xcbf43926); // the CRC's published check value
    assert_int_equal(igvm_crc32(igvm_crc32(0, "1234", 4), "56789", 5), 0xcbf43926);
    assert_int_equal(igvm_crc32(0, "", 0), 0);
}

static void formats_errors(void **state) {
    const struct igvm_error error = {IGVM_RULE_MASK_EMPTY, 0x302, 0x1f0, NULL};
    const struct igvm_error unknown = {IGVM_RULE_HEADER_TYPE, 0x306, 0, NULL};
    char line[256];
    char small[8];

    (void)state;
    igvm_error_format(&error, line, sizeof(line));
    assert_string_equal(line, "page_data at file offset 0x1f0: rule broken: a compatibility mask "
                              "names at least one platform");
    igvm_error_format(&unknown, line, sizeof(line));
    assert_string_equal(line, "header of type 0x306 at file offset 0x0: rule broken: a header type "
                              "is known or marked optional");
    assert_int_equal(igvm_error_format(&error, small, sizeof(small)), 7);
    assert_string_equal(small, "page_da");
    assert_int_equal(igvm_error_format(&error, small, 0), 0);
    assert_string_equal(igvm_rule_text((enum igvm_rule)9999), igvm_rule_text(IGVM_RULE_NONE));
}

static void keeps_the_writers_passes_alike(void **state) {
    uint8_t out[256];
    struct igvm_writer w;

    (void)state;
    igvm_writer_measure(&w, 2, IGVM_ARCH_X64);
    put_platform(&w, 1, 0, 0);
    assert_int_equal(igvm_writer_emit(&w, out, igvm_writer_size(&w) - 1), -ENOSPC);

    igvm_writer_measure(&w, 2, IGVM_ARCH_X64);
    put_platform(&w, 1, 0, 0);
    assert_int_equal(igvm_writer_emit(&w, out, sizeof(out)), 0);
    assert_int_equal(igvm_writer_finish(&w), -EINVAL); // nothing was put again

    igvm_writer_measure(&w, 2, IGVM_ARCH_X64);
    put_platform(&w, 1, 0, 0);
    assert_int_equal(igvm_writer_emit(&w, out, sizeof(out)), 0);
    put_platform(&w, 1, 0, 0);
    put_platform(&w, 2, 1, 0); // one more than measured
    assert_int_equal(igvm_writer_finish(&w), -EINVAL);

    igvm_writer_measure(&w, 3, IGVM_ARCH_X64);
    assert_int_equal(w.status, -EINVAL);
    igvm_writer_measure(&w, 2, IGVM_ARCH_X64);
    assert_int_equal(igvm_put_header(&w, 0x306, out), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_file_laid_by_hand),
        cmocka_unit_test(writes_a_file_laid_by_hand),
        cmocka_unit_test(has_the_published_layouts),
        cmocka_unit_test(carries_every_header_type),
        cmocka_unit_test(knows_the_checksum),
        cmocka_unit_test(formats_errors),
        cmocka_unit_test(keeps_the_writers_passes_alike),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
