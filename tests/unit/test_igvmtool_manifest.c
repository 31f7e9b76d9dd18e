// SPDX-License-Identifier: MIT
//
// igvmtool reads manifests: what is wrong with them and how it is said, and numbers. What they
// become: test_igvmtool_build.c.

#include "tools/igvmtool/manifest.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define NATIVE "{\"platforms\": [{\"type\": \"native\"}], \"regions\": ["
#define END    "]}"

static int parse(struct manifest *manifest, const char *text, struct igvmtool_error *error) {
    error->text[0] = '\0';
    return manifest_parse(manifest, "folder/m.json", text, strlen(text), error);
}

/// The manifest is refused and the message has this in it.
static void expect_refusal(const char *text, const char *message) {
    struct igvmtool_bytes image = {0};
    struct igvmtool_error error;
    struct manifest manifest;
    int rc = parse(&manifest, text, &error);

    if (rc == 0) {
        rc = manifest_load(&manifest);
    }
    if (rc == 0) {
        rc = manifest_check_layout(&manifest);
    }
    if (rc == 0) {
        rc = manifest_emit(&manifest, &image);
    }
    if (rc == 0 || strstr(error.text, message) == NULL) {
        fail_msg("wanted \"%s\", got %d \"%s\" for %s", message, rc, error.text, text);
    }
    igvmtool_bytes_free(&image);
    manifest_free(&manifest);
}

/// Manifests, and what the refusal has to say about each.
static const char *const wrong[][2] = {
    {"{", "folder/m.json: byte "},
    {"[]", "$: must be an object"},
    {"{\"platforms\": [], \"regions\": []}", "$.platforms: is empty"},
    {"{\"regions\": []}", "$.platforms: must be an array"},
    {"{\"platforms\": [{\"type\": \"vms\"}], \"regions\": []}",
     "$.platforms[0].type: must be one of: native, vsm, snp"},
    {"{\"platforms\": [{\"type\": \"tdx\"}, {\"type\": \"tdx\"}], \"regions\": []}",
     "$.platforms[1].type: is declared twice"},
    {"{\"platforms\": [{\"type\": \"tdx\"}], \"regions\": [], \"colour\": 1}",
     "unknown member \"colour\"; known here: $schema, description, format_version"},
    {"{\"platforms\": [{\"type\": \"tdx\"}], \"regions\": [], \"format_version\": 3}",
     "$.format_version: is 0x3, at most 0x2 is possible"},
    {"{\"platforms\": [{\"type\": \"vsm\", \"gpa_delta\": 4096}], \"regions\": []}",
     "gpa_delta must be a multiple of 2 MiB"},
    {"{\"platforms\": [{\"type\": \"vsm\", \"gpa_delta\": \"0xffffffffffe00000\"}], \"regions\": ["
     "{\"kind\": \"data\", \"gpa\": \"2M\", \"size\": \"4K\"}]}",
     "gpa_delta moves it past the end of the address space"},
    {NATIVE "7" END, "$.regions[0]: must be an object"},
    {NATIVE "{\"kind\": \"dta\"}" END, "$.regions[0].kind: must be one of: data, page_tables"},
    {NATIVE "{\"kind\": \"data\", \"gpa\": \"0x1001\", \"size\": \"4K\"}" END,
     "$.regions[0].gpa: is 0x1001, no multiple of 0x1000"},
    {NATIVE "{\"kind\": \"data\", \"gpa\": -4096, \"size\": \"4K\"}" END,
     "$.regions[0].gpa: must be a number"},
    {NATIVE "{\"kind\": \"data\", \"gpa\": \"0x10Q\", \"size\": \"4K\"}" END,
     "$.regions[0].gpa: must be a number"},
    {NATIVE "{\"kind\": \"data\", \"gpa\": 0}" END, "$.regions[0].size: is missing"},
    {NATIVE "{\"kind\": \"data\", \"gpa\": 0, \"size\": 0}" END,
     "$.regions[0].size: must not be zero"},
    {NATIVE "{\"kind\": \"data\", \"gpa\": \"0xfffffffffffff000\", \"size\": \"4K\"}" END,
     "goes past the end of the address space"},
    {NATIVE "{\"kind\": \"data\", \"gpa\": 0, \"size\": \"4K\", \"platforms\": [\"snp\"]}" END,
     "$.regions[0].platforms[0]: is not declared: add it to $.platforms"},
    {NATIVE "{\"kind\": \"data\", \"gpa\": 0, \"size\": \"4K\", \"platforms\": []}" END,
     "$.regions[0].platforms: is empty"},
    {NATIVE "{\"kind\": \"data\", \"gpa\": 0, \"file\": \"does-not-exist\"}" END,
     "$.regions[0] (data): folder/does-not-exist: cannot open"},
    {NATIVE "{\"kind\": \"data\", \"gpa\": 0, \"file\": \"\"}" END, "$.regions[0].file: is empty"},
    {NATIVE "{\"kind\": \"data\", \"gpa\": 0, \"size\": \"8K\", \"name\": \"low\"},"
            "{\"kind\": \"data\", \"gpa\": \"4K\", \"size\": \"4K\", \"name\": \"high\"}" END,
     "$.regions[1] (high): [0x1000, 0x2000) overlaps low [0x0, 0x2000): move one"},
    {NATIVE "{\"kind\": \"data\", \"gpa\": 0, \"size\": \"4K\", \"name\": \"x\"},"
            "{\"kind\": \"data\", \"gpa\": \"4K\", \"size\": \"4K\", \"name\": \"x\"}" END,
     "$.regions[1] (x): has the name of $.regions[0]"},
    {NATIVE "{\"kind\": \"page_tables\", \"gpa\": 0, \"map_bytes\": \"2M\"}" END,
     "$.regions[0].map_bytes: must be a multiple of 1G"},
    {NATIVE "{\"kind\": \"page_tables\", \"gpa\": 0, \"size\": \"4K\"}" END,
     "has 0x6000 bytes of contents, its size is 0x1000"},
    {NATIVE "{\"kind\": \"shim_config\", \"gpa\": 0, \"vtl2_ram_end\": \"1M\"}" END,
     "$.regions[0].vtl2_ram_end: must be a multiple of 2M"},
    {NATIVE "{\"kind\": \"shim_config\", \"gpa\": 0, \"vtl2_ram_end\": \"2M\", \"payloads\": "
            "[{\"kind\": \"kernel\", \"region\": \"k\"}]}" END,
     "payload \"k\" is no data region with a file"},
    {NATIVE "{\"kind\": \"shim_config\", \"gpa\": 0, \"vtl2_ram_end\": \"2M\", \"flags\": "
            "[\"no\"]}" END,
     "$.regions[0].flags[0]: must be one of: allow-host-command-line"},
    {NATIVE "{\"kind\": \"parameter_area\", \"gpa\": 0, \"size\": \"4K\", \"parameters\": "
            "[{\"type\": \"page_data\"}]}" END,
     "$.regions[0].parameters[0].type: must be one of: vp_count"},
    {NATIVE "{\"kind\": \"parameter_area\", \"gpa\": 0, \"size\": \"4K\", \"parameters\": "
            "[{\"type\": \"vp_count\", \"offset\": 4094}]}" END,
     "$.regions[0].parameters[0].offset: leaves less than the 4 bytes that it needs"},
    {NATIVE "{\"kind\": \"vp_context\", \"registers\": {\"eax\": 1}}" END,
     "$.regions[0].registers: has an unknown member \"eax\"; known here: rax, rcx"},
    {NATIVE "{\"kind\": \"vp_context\", \"file\": \"/dev/null\"}" END, "is not a regular file"},
    {"{\"platforms\": [{\"type\": \"tdx\"}], \"regions\": [{\"kind\": \"vp_context\"}]}",
     "its platforms start from reset: leave it out"},
    {"{\"platforms\": [{\"type\": \"snp\"}], \"regions\": [{\"kind\": \"vp_context\"}]}",
     "snp needs the VMSA's gpa"},
    {NATIVE "{\"kind\": \"header\", \"type\": \"policy\", \"fields\": {}}" END,
     "$.regions[0].type: is no header type"},
    {NATIVE "{\"kind\": \"header\", \"type\": \"error_range\", \"fields\": {\"size\": 1}}" END,
     "unknown member \"size\"; known here: gpa, size_bytes"},
    {NATIVE "{\"kind\": \"header\", \"type\": \"error_range\", \"fields\": {}}" END,
     "is no valid file: error_range at file offset 0x38: rule broken: a range is not empty"},
    {"{\"format_version\": 1, \"platforms\": [{\"type\": \"native\"}], \"regions\": "
     "[{\"kind\": \"vp_context\"}]}",
     "a native VP context needs format version 2"},
};

static void says_what_is_wrong(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        expect_refusal(wrong[i][0], wrong[i][1]);
    }
}

static void reads_numbers(void **state) {
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {{"0", 0},          {"4096", 4096},     {"0x1000", 4096},
                {"4K", 4096},      {"2M", 0x200000},   {"4G", 1ull << 32},
                {"0x10K", 0x4000}, {"1T", 1ull << 40}, {"0xffffffffffffffff", UINT64_MAX}};
    static const char *const bad[] = {
        "",   "K", "-1", " 1", "1 ", "0x", "1KB", "20000000000000000000", "0xffffffffffffffffK",
        "1.5"};
    uint64_t value;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        assert_int_equal(igvmtool_parse_number(good[i].text, &value), 0);
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_int_equal(igvmtool_parse_number(bad[i], &value), -EINVAL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(reads_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
