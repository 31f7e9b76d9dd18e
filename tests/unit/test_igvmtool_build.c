// SPDX-License-Identifier: MIT
//
// igvmtool builds images: what a manifest becomes (page tables, configuration, VP contexts, a
// platform that is moved), and that the same manifest always becomes the same bytes.

#include "tools/igvmtool/manifest.h"

#include "igvm/base/bytes.h"
#include "igvm/igvm_vp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/// A folder with a payload of 5000 bytes and a manifest that uses it; removed by remove_folder().
struct folder {
    char path[64];
    char manifest[96];
    char payload[96];
};

static const char image_text[] =
    "{\"platforms\": [{\"type\": \"native\"}, {\"type\": \"vsm\", \"highest_vtl\": 2},"
    " {\"type\": \"snp\", \"highest_vtl\": 2}], \"regions\": ["
    "{\"kind\": \"header\", \"type\": \"guest_policy\", \"platforms\": [\"snp\"],"
    " \"fields\": {\"policy\": \"0x30000\"}},"
    "{\"kind\": \"page_tables\", \"gpa\": \"0x280000\"},"
    "{\"kind\": \"shim_config\", \"name\": \"config\", \"gpa\": \"0x290000\", \"size\": \"8K\","
    " \"vtl2_ram_end\": \"96M\", \"command_line\": \"quiet\", \"image_version\": \"1\","
    " \"flags\": [\"allow-host-config\"],"
    " \"payloads\": [{\"kind\": \"initrd\", \"region\": \"initrd\"}]},"
    "{\"kind\": \"parameter_area\", \"gpa\": \"0x2a0000\", \"size\": \"16K\","
    " \"parameters\": [{\"type\": \"memory_map\"}, {\"type\": \"vp_count\", \"offset\": 8192}]},"
    "{\"kind\": \"data\", \"name\": \"initrd\", \"gpa\": \"0x5000000\", \"file\": \"payload\","
    " \"unmeasured\": true, \"size\": \"12K\"},"
    "{\"kind\": \"vp_context\", \"platforms\": [\"native\", \"vsm\"],"
    " \"registers\": {\"rip\": \"0x200000\", \"cr3\": \"0x280000\", \"rdi\": 1}},"
    "{\"kind\": \"vp_context\", \"platforms\": [\"snp\"], \"gpa\": \"0x2ff000\","
    " \"registers\": {\"rip\": \"0x200000\", \"cr3\": \"0x280000\"}}]}";

static void make_folder(struct folder *folder) {
    struct igvmtool_error error;
    uint8_t payload[5000];

    strcpy(folder->path, "/tmp/igvmtool.XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    snprintf(folder->manifest, sizeof(folder->manifest), "%s/m.json", folder->path);
    snprintf(folder->payload, sizeof(folder->payload), "%s/payload", folder->path);
    memset(payload, 'p', sizeof(payload));
    assert_int_equal(igvmtool_write_file(folder->payload, payload, sizeof(payload), &error), 0);
}

static void remove_folder(const struct folder *folder) {
    unlink(folder->payload);
    assert_int_equal(rmdir(folder->path), 0); // nothing else is left behind
}

static struct igvmtool_bytes build_image(const struct folder *folder) {
    struct igvmtool_error error;
    struct igvmtool_bytes image;
    struct manifest manifest;

    assert_int_equal(
        manifest_parse(&manifest, folder->manifest, image_text, strlen(image_text), &error), 0);
    assert_int_equal(manifest_load(&manifest), 0);
    assert_int_equal(manifest_check_layout(&manifest), 0);
    assert_int_equal(manifest_emit(&manifest, &image), 0);
    manifest_free(&manifest);
    return image;
}

static void builds_the_same_bytes_twice(void **state) {
    struct folder folder;
    struct igvmtool_bytes a;
    struct igvmtool_bytes b;

    (void)state;
    make_folder(&folder);
    a = build_image(&folder);
    b = build_image(&folder);
    assert_int_equal(a.size_bytes, b.size_bytes);
    assert_memory_equal(a.data, b.data, a.size_bytes);
    igvmtool_bytes_free(&a);
    igvmtool_bytes_free(&b);
    remove_folder(&folder);
}

/// Guest memory as the image sets it up for native, from the lowest of these addresses.
static void copy_memory(const struct igvm_file *file, uint64_t start, uint8_t *out, size_t size) {
    struct igvm_iter iter = igvm_iter_start(file);
    struct igvm_header header;
    struct igvm_error error;

    while (igvm_iter_next(&iter, &header, &error) > 0) {
        const uint8_t *data;
        uint64_t data_bytes;

        if (header.type == IGVM_VHT_PAGE_DATA && header.u.page_data.gpa >= start &&
            header.u.page_data.gpa < start + size) {
            assert_int_equal(igvm_header_data(file, &header, &data, &data_bytes), 0);
            memset(out + (header.u.page_data.gpa - start), 0, 4096);
            if (data != NULL) {
                memcpy(out + (header.u.page_data.gpa - start), data, 4096);
            }
        }
    }
}

static void generates_page_tables_and_configuration(void **state) {
    // SHA-384 of 5000 times 'p', from sha384sum.
    static const uint8_t digest_start[4] = {0x6d, 0xd4, 0x7e, 0xb7};
    struct shim_config config;
    struct igvm_error error;
    struct igvm_file file;
    struct folder folder;
    struct igvmtool_bytes image;
    uint8_t *memory = malloc(0x6000);

    (void)state;
    make_folder(&folder);
    image = build_image(&folder);
    assert_int_equal(igvm_open(&file, image.data, image.size_bytes, &error), 0);
    copy_memory(&file, 0x280000, memory, 0x6000);
    assert_int_equal(load_le64(memory), 0x281003);
    assert_int_equal(load_le64(memory + 8), 0);
    assert_int_equal(load_le64(memory + 0x1000 + 3 * 8), 0x285003);
    assert_int_equal(load_le64(memory + 0x1000 + 4 * 8), 0);
    assert_int_equal(load_le64(memory + 0x2000), 0x83);
    assert_int_equal(load_le64(memory + 0x6000 - 8), 0xffe00083);

    copy_memory(&file, 0x290000, memory, 0x2000);
    memcpy(&config, memory, sizeof(config));
    assert_memory_equal(&config.magic, "PRPTCFG1", 8);
    assert_int_equal(config.payload_count, 1);
    assert_int_equal(config.vtl2_ram_end_gpa, 0x6000000);
    assert_int_equal(config.flags, SHIM_FLAG_ALLOW_HOST_CONFIG);
    assert_int_equal(config.payloads[0].kind, SHIM_PAYLOAD_INITRD);
    assert_int_equal(config.payloads[0].gpa, 0x5000000);
    assert_int_equal(config.payloads[0].size_bytes, 5000);
    assert_memory_equal(config.payloads[0].sha384, digest_start, sizeof(digest_start));
    assert_string_equal(config.command_line, "quiet");
    assert_string_equal(config.image_version, "1");

    copy_memory(&file, 0x5000000, memory, 0x3000);
    assert_int_equal(memory[4999], 'p');
    assert_int_equal(memory[5000], 0);
    free(memory);
    igvmtool_bytes_free(&image);
    remove_folder(&folder);
}

/// One start state, three formats.
static void writes_each_platforms_context(void **state) {
    struct igvm_supported_platform platform;
    struct igvm_header header;
    struct igvm_error error;
    struct igvm_iter iter;
    struct igvm_file file;
    struct folder folder;
    struct igvmtool_bytes image;
    struct igvm_vp vp;
    unsigned found = 0;

    (void)state;
    make_folder(&folder);
    image = build_image(&folder);
    assert_int_equal(igvm_open(&file, image.data, image.size_bytes, &error), 0);
    iter = igvm_iter_start(&file);
    while (igvm_iter_next(&iter, &header, &error) > 0) {
        if (header.type != IGVM_VHT_VP_CONTEXT) {
            continue;
        }
        assert_int_equal(igvm_find_platform_by_mask(&file, igvm_header_mask(&header), &platform),
                         0);
        assert_int_equal(igvm_vp_read(&file, &header, &platform, &vp, &error), 0);
        found |= 1u << vp.format;
        if (vp.format == IGVM_VP_FORMAT_NATIVE) {
            assert_int_equal(vp.native.rip, 0x200000);
            assert_int_equal(vp.native.cr0, 0x80000031);
            assert_int_equal(vp.native.efer, 0x500);
            assert_int_equal(vp.native.rdi, 1);
        } else if (vp.format == IGVM_VP_FORMAT_VBS) {
            assert_int_equal(vp.vtl, 2);
            assert_int_equal(igvm_vp_register(&vp, 0).register_name, 0x20007); // RDI
            assert_int_equal(igvm_vp_register(&vp, 1).register_name, 0x20010); // RIP
            assert_int_equal(load_le64(igvm_vp_register(&vp, 1).value), 0x200000);
        } else {
            assert_int_equal(vp.vmsa_gpa.value, 0x2ff000);
            assert_int_equal(load_le64(vp.data + 0x178), 0x200000); // RIP
            assert_int_equal(load_le64(vp.data + 0xd0), 0x1500);    // EFER with SVME
            assert_int_equal(load_le16(vp.data + 0x12), 0xa9b);     // CS attributes
        }
    }
    assert_int_equal(found, 1u << IGVM_VP_FORMAT_NATIVE | 1u << IGVM_VP_FORMAT_VBS |
                                1u << IGVM_VP_FORMAT_VMSA);
    igvmtool_bytes_free(&image);
    remove_folder(&folder);
}

/// A platform whose image stands elsewhere: every address moves, data is in the file once, and the
/// configuration is the same.
static void moves_a_platform(void **state) {
    static const char text[] =
        "{\"platforms\": [{\"type\": \"native\"}, {\"type\": \"vsm\", \"gpa_delta\": \"16M\"}],"
        "\"regions\": ["
        "{\"kind\": \"page_tables\", \"gpa\": \"0x280000\"},"
        "{\"kind\": \"shim_config\", \"gpa\": \"0x290000\", \"size\": \"8K\","
        " \"vtl2_ram_end\": \"64M\","
        " \"payloads\": [{\"kind\": \"initrd\", \"region\": \"initrd\"}]},"
        "{\"kind\": \"data\", \"name\": \"initrd\", \"gpa\": \"0x5000000\", \"file\": \"payload\"},"
        "{\"kind\": \"vp_context\", \"platforms\": [\"vsm\"],"
        " \"registers\": {\"rip\": \"0x200000\", \"cr3\": \"0x280000\"}}]}";
    struct igvmtool_error why;
    struct igvm_header header;
    struct igvm_error error;
    struct igvm_iter iter;
    struct igvm_file file;
    struct folder folder;
    struct igvmtool_bytes image;
    struct manifest manifest;
    struct shim_config config;
    bool cr3_seen = false;
    uint32_t data_off[2] = {0};
    uint8_t memory[0x2000];

    (void)state;
    make_folder(&folder);
    assert_int_equal(manifest_parse(&manifest, folder.manifest, text, strlen(text), &why), 0);
    assert_int_equal(manifest_load(&manifest), 0);
    assert_int_equal(manifest_check_layout(&manifest), 0);
    assert_int_equal(manifest_emit(&manifest, &image), 0);
    assert_int_equal(manifest.region_count, 7);
    manifest_free(&manifest);
    assert_int_equal(igvm_open(&file, image.data, image.size_bytes, &error), 0);
    copy_memory(&file, 0x1280000, memory, 0x2000);
    assert_int_equal(load_le64(memory), 0x1281003);
    assert_int_equal(load_le64(memory + 0x1000), 0x1282003);
    copy_memory(&file, 0x1290000, memory, 0x2000);
    memcpy(&config, memory, sizeof(config));
    assert_int_equal(config.payloads[0].gpa, 0x5000000);
    assert_int_equal(config.vtl2_ram_end_gpa, 0x4000000);
    iter = igvm_iter_start(&file);
    while (igvm_iter_next(&iter, &header, &error) > 0) {
        if (header.type == IGVM_VHT_PAGE_DATA && header.u.page_data.gpa == 0x5001000) {
            assert_int_equal(header.u.page_data.compatibility_mask, 1);
            data_off[0] = header.u.page_data.file_offset;
        } else if (header.type == IGVM_VHT_PAGE_DATA && header.u.page_data.gpa == 0x6001000) {
            assert_int_equal(header.u.page_data.compatibility_mask, 2);
            data_off[1] = header.u.page_data.file_offset;
        } else if (header.type == IGVM_VHT_VP_CONTEXT) {
            struct igvm_supported_platform platform;
            struct igvm_vp vp;

            assert_int_equal(igvm_find_platform_by_mask(&file, 2, &platform), 0);
            assert_int_equal(igvm_vp_read(&file, &header, &platform, &vp, &error), 0);
            assert_int_equal(load_le64(igvm_vp_register(&vp, 0).value), 0x1200000);
            for (uint32_t i = 0; i < vp.register_count; i++) {
                struct igvm_vbs_vp_context_register one = igvm_vp_register(&vp, i);

                if (one.register_name == 0x40002) { // CR3
                    assert_int_equal(load_le64(one.value), 0x1280000);
                    cr3_seen = true;
                }
            }
        }
    }
    assert_true(cr3_seen);
    assert_int_not_equal(data_off[0], 0);
    assert_int_equal(data_off[0], data_off[1]);
    igvmtool_bytes_free(&image);
    remove_folder(&folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_the_same_bytes_twice),
        cmocka_unit_test(generates_page_tables_and_configuration),
        cmocka_unit_test(writes_each_platforms_context),
        cmocka_unit_test(moves_a_platform),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
