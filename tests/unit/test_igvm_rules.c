// SPDX-License-Identifier: MIT
//
// IGVM validation: every rule is broken once, and the error names the rule, the header and its
// place.

#include "tests/unit/test_igvm_build.h"

#include "igvm/igvm_vp.h"

#include <errno.h>
#include <stdio.h>

#define P BASE_PLATFORMS

static bool seen[IGVM_RULE_COUNT];

/// A file that is right up to its last header, which breaks the rule.
struct rule_case {
    enum igvm_rule rule;
    unsigned base;
    uint32_t type;
    content_t c;
};

// clang-format off
#define CASE(rule_, base_, type_, member, ...) \
    {IGVM_RULE_##rule_, base_, IGVM_VHT_##type_, {.member = {__VA_ARGS__}}}
#define PAGE(rule_, ...)     CASE(rule_, P, PAGE_DATA, page_data, __VA_ARGS__)
#define PLATFORM(rule_, ...) CASE(rule_, 0, SUPPORTED_PLATFORM, supported_platform, __VA_ARGS__)
#define REGION(rule_, base_, ...) CASE(rule_, base_, RELOCATABLE_REGION, relocatable_region, __VA_ARGS__)
#define CONTEXT(rule_, base_, ...) CASE(rule_, base_, VP_CONTEXT, vp_context, __VA_ARGS__)
#define M(mask) .compatibility_mask = (mask)
#define V1_OF(type) .platform_type = IGVM_PLATFORM_##type, .platform_version = 1

static const struct rule_case cases[] = {
    CASE(ORDER, P | BASE_AREA, GUEST_POLICY, guest_policy, 0x30000, 4, 0),
    CASE(ORDER, P | BASE_AREA, SUPPORTED_PLATFORM, supported_platform, M(16), V1_OF(SEV)),
    CASE(ORDER, P | BASE_POLICY, SUPPORTED_PLATFORM, supported_platform, M(16), V1_OF(SEV)),
    {IGVM_RULE_HEADER_TYPE, P, 0x306, {.raw = {0}}},
    {IGVM_RULE_HEADER_TYPE, P, 0x3ff, {.raw = {0}}},
    {IGVM_RULE_HEADER_TYPE, P, 0x201, {.raw = {0}}},

    PAGE(RESERVED, .gpa = 0x1000, M(1), .reserved = 1),
    PAGE(FLAGS, .gpa = 0x1000, M(1), .flags = 8),
    PAGE(ENUMERATION, .gpa = 0x1000, M(1), .data_type = 4),
    PAGE(MASK_EMPTY, .gpa = 0x1000),
    PAGE(MASK_UNDECLARED, .gpa = 0x1000, M(0x11)),
    PAGE(GPA_ALIGNMENT, .gpa = 0x1008, M(1)),
    PAGE(GPA_ALIGNMENT, .gpa = 0x201000, M(1), .flags = IGVM_PAGE_2MB),
    PAGE(GPA_WRAP, .gpa = 0xfffffffffffff000, M(1)),
    PAGE(FILE_DATA, .gpa = 0x1000, M(1), .file_offset = 8),
    PAGE(FILE_DATA, .gpa = 0x1000, M(1), .file_offset = 0xfffffff0),
    PAGE(FILE_DATA, .gpa = 0x200000, M(1), .flags = IGVM_PAGE_2MB, .file_offset = DATA_ZERO),
    PAGE(FILE_DATA, .gpa = 0x1000, M(1), .file_offset = DATA_HUGE),
    CASE(SIZE_ALIGNMENT, P, REQUIRED_MEMORY, required_memory, .gpa = 0x1000, M(1), .number_of_bytes = 0x1800),
    CASE(SIZE_EMPTY, P, REQUIRED_MEMORY, required_memory, .gpa = 0x1000, M(1)),
    CASE(GPA_WRAP, P, REQUIRED_MEMORY, required_memory, .gpa = 0xfffffffffffff000, M(1), .number_of_bytes = 0x1000),
    CASE(FLAGS, P, REQUIRED_MEMORY, required_memory, .gpa = 0, M(1), .number_of_bytes = 0x1000, .flags = 2),
    CASE(GPA_WRAP, P, ERROR_RANGE, error_range, .gpa = 0xfffffffffffff000, M(1), .size_bytes = 0x1000),
    CASE(SIZE_ALIGNMENT, P, ERROR_RANGE, error_range, .gpa = 0x1000, M(1), .size_bytes = 1),

    PLATFORM(PLATFORM_MASK, M(3), V1_OF(NATIVE)),
    PLATFORM(PLATFORM_MASK, V1_OF(NATIVE)),
    CASE(PLATFORM_DUPLICATE, P, SUPPORTED_PLATFORM, supported_platform, M(1), V1_OF(SEV)),
    CASE(PLATFORM_DUPLICATE, P, SUPPORTED_PLATFORM, supported_platform, M(16), V1_OF(NATIVE)),
    PLATFORM(PLATFORM_VTL, M(1), V1_OF(NATIVE), .highest_vtl = 1),
    PLATFORM(ENUMERATION, M(1), V1_OF(NATIVE), .highest_vtl = 3),
    PLATFORM(ENUMERATION, M(1), .platform_type = 7, .platform_version = 1),
    PLATFORM(PLATFORM_VERSION, M(1), .platform_version = 2),
    PLATFORM(PLATFORM_ARCHITECTURE, M(1), V1_OF(CCA)),
    PLATFORM(PLATFORM_BOUNDARY, M(1), V1_OF(NATIVE), .shared_gpa_boundary = 1ull << 40),
    PLATFORM(PLATFORM_BOUNDARY, M(1), V1_OF(VSM_ISOLATION), .shared_gpa_boundary = 1ull << 40),

    CASE(POLICY_PLATFORM, P, GUEST_POLICY, guest_policy, 0, 1, 0),
    CASE(POLICY_PLATFORM, P, GUEST_POLICY, guest_policy, 0x30000, 4 | 8, 0),
    CASE(POLICY_DUPLICATE, P | BASE_POLICY, GUEST_POLICY, guest_policy, 0x30000, 4, 0),
    CASE(POLICY_BITS, P, GUEST_POLICY, guest_policy, 0, 4, 0),
    CASE(POLICY_BITS, P, GUEST_POLICY, guest_policy, 8, 8, 0),
    CASE(RESERVED, P, GUEST_POLICY, guest_policy, 0x30000, 4, 1),
    CASE(POLICY_PLATFORM, P, CCA_POLICY, cca_policy, M(1)),

    REGION(RELOCATION_ALIGNMENT, P, M(1), .relocation_alignment = 0x200000, .relocation_region_gpa = 0x1000, .relocation_region_size = 0x1000, .maximum_relocation_gpa = 0x400000),
    REGION(SIZE_EMPTY, P, M(1), .relocation_region_gpa = 0x1000, .relocation_region_size = 0x1000),
    REGION(RELOCATION_BOUNDS, P, M(1), .relocation_alignment = 0x1000, .relocation_region_gpa = 0x1000, .relocation_region_size = 0x2000, .maximum_relocation_gpa = 0x1000),
    REGION(GPA_WRAP, P, M(1), .relocation_alignment = 0x1000, .relocation_region_gpa = 0xfffffffffffff000, .relocation_region_size = 0x2000, .maximum_relocation_gpa = 0x10000),
    REGION(RELOCATION_OVERLAP, P | BASE_PAGE_TABLE, M(1), .relocation_alignment = 0x1000, .relocation_region_gpa = 0x103000, .relocation_region_size = 0x2000, .maximum_relocation_gpa = 0x200000),
    REGION(RELOCATION_CONTEXT, P, M(1), .flags = IGVM_RELOCATABLE_APPLY_PC, .relocation_alignment = 0x1000, .relocation_region_gpa = 0x1000, .relocation_region_size = 0x1000, .maximum_relocation_gpa = 0x10000),
    REGION(FLAGS, P, M(1), .flags = 8, .relocation_alignment = 0x1000, .relocation_region_gpa = 0x1000, .relocation_region_size = 0x1000, .maximum_relocation_gpa = 0x10000),
    CASE(RELOCATION_CONTEXT, P, PAGE_TABLE_RELOCATION_REGION, page_table_relocation, M(1), .gpa = 0x1000, .size = 0x1000),
    CASE(PAGE_TABLE_DUPLICATE, P | BASE_PAGE_TABLE, PAGE_TABLE_RELOCATION_REGION, page_table_relocation, M(1), .gpa = 0x1000, .size = 0x1000),
    CASE(PAGE_TABLE_USED, P, PAGE_TABLE_RELOCATION_REGION, page_table_relocation, M(1), .gpa = 0x1000, .size = 0x1000, .used_size = 0x2000),
    CASE(SIZE_ALIGNMENT, P, PAGE_TABLE_RELOCATION_REGION, page_table_relocation, M(1), .gpa = 0x1000, .size = 0x1000, .used_size = 8),
    CASE(GPA_WRAP, P, PAGE_TABLE_RELOCATION_REGION, page_table_relocation, M(1), .gpa = 0xfffffffffffff000, .size = 0x1000),

    CASE(CORIM_DUPLICATE, P | BASE_DOCUMENT, CORIM_DOCUMENT, corim, 1, DATA_ZERO, 16, 0),
    CASE(CORIM_DUPLICATE, P | BASE_DOCUMENT | BASE_SIGNATURE, CORIM_SIGNATURE, corim, 1, DATA_ZERO, 16, 0),
    CASE(CORIM_ORDER, P, CORIM_SIGNATURE, corim, 1, DATA_ZERO, 16, 0),
    CASE(CORIM_ORDER, P | BASE_DOCUMENT, CORIM_SIGNATURE, corim, 2, DATA_ZERO, 16, 0),
    CASE(FILE_DATA, P, CORIM_DOCUMENT, corim, 1, 0, 16, 0),
    CASE(FILE_DATA, P, CORIM_DOCUMENT, corim, 1, DATA_ZERO, 0, 0),

    CASE(AREA_DUPLICATE, P | BASE_AREA, PARAMETER_AREA, parameter_area, 4096, 7, 0),
    CASE(SIZE_ALIGNMENT, P, PARAMETER_AREA, parameter_area, 100, 7, 0),
    CASE(FILE_DATA, P, PARAMETER_AREA, parameter_area, 1ull << 40, 7, DATA_ZERO),
    CASE(AREA_UNDECLARED, P | BASE_AREA, VP_COUNT_PARAMETER, parameter, 8, 0),
    CASE(AREA_UNDECLARED, P, PARAMETER_INSERT, parameter_insert, 0x1000, 1, 7),
    CASE(AREA_INSERTED, P | BASE_AREA | BASE_INSERT, MEMORY_MAP, parameter, 7, 0),
    CASE(AREA_INSERTED, P | BASE_AREA | BASE_INSERT, PARAMETER_INSERT, parameter_insert, 0x1000, 2, 7),
    CASE(AREA_ROOM, P | BASE_AREA, VP_COUNT_PARAMETER, parameter, 7, 4093),
    CASE(AREA_ROOM, P | BASE_AREA, COMMAND_LINE, parameter, 7, 4096),
    CASE(AREA_ROOM, P | BASE_AREA, MMIO_RANGES, parameter, 7, 0xffffffff),
    CASE(AREA_PAGE_TABLE, P | BASE_PAGE_TABLE | BASE_AREA, PARAMETER_INSERT, parameter_insert, 0x103000, 1, 7),
    CASE(GPA_WRAP, P | BASE_AREA, PARAMETER_INSERT, parameter_insert, 0xfffffffffffff000, 1, 7),

    CONTEXT(CONTEXT_PLATFORM, P, M(8), .file_offset = DATA_ZERO),
    CONTEXT(CONTEXT_PLATFORM, P, M(1 | 4), .file_offset = DATA_ZERO),
    CONTEXT(CONTEXT_DUPLICATE, P | BASE_CONTEXT, M(1), .file_offset = DATA_ZERO),
    CONTEXT(CONTEXT_GPA, P, M(1), .gpa = 0x1000, .file_offset = DATA_ZERO),
    CONTEXT(CONTEXT_GPA, P, M(2), .gpa = 0x1000, .file_offset = DATA_LIST),
    CONTEXT(CONTEXT_TAIL, P, M(1), .file_offset = DATA_ONES),
    CONTEXT(CONTEXT_SEGMENT, P, M(1), .file_offset = DATA_SEGMENT),
    CONTEXT(CONTEXT_REGISTERS, P, M(2), .file_offset = DATA_ZERO),
    CONTEXT(CONTEXT_REGISTERS, P, M(2), .file_offset = DATA_MIXED),
    CONTEXT(FILE_DATA, P, M(2), .file_offset = DATA_HUGE),
    CONTEXT(FILE_DATA, P, M(1), .file_offset = 0),
    CONTEXT(FILE_DATA, P, M(4), .gpa = 0x1000, .file_offset = DATA_HUGE),
    CONTEXT(GPA_WRAP, P, M(4), .gpa = 0xfffffffffffff000, .file_offset = DATA_ZERO),
    CONTEXT(RESERVED, P, M(1), .file_offset = DATA_ZERO, .reserved = 1),

    CASE(ID_BLOCK_PLATFORM, P, SNP_ID_BLOCK, snp_id_block, M(1)),
    CASE(ID_BLOCK_AUTHOR, P, SNP_ID_BLOCK, snp_id_block, M(4), .author_key_algorithm = 1),
    CASE(ID_BLOCK_AUTHOR, P, SNP_ID_BLOCK, snp_id_block, M(4), .author_public_key = {.qy = {[71] = 1}}),
    CASE(ENUMERATION, P, SNP_ID_BLOCK, snp_id_block, M(4), .author_key_enabled = 2),
    CASE(MEASUREMENT_DUPLICATE, P | BASE_MEASUREMENT, SNP_ID_BLOCK, snp_id_block, M(4)),
    CASE(MEASUREMENT_PLATFORM, P, VBS_MEASUREMENT, vbs_measurement, M(4)),
    CASE(ENUMERATION, P, VBS_MEASUREMENT, vbs_measurement, M(2), .signing_algo = 2),
};

/// AArch64 files.
static const struct rule_case arm_cases[] = {
    CASE(POLICY_CONFLICT, BASE_CCA, CCA_POLICY, cca_policy, M(1), .attributes_required_ones = 3, .attributes_required_zeroes = 2),
    CASE(ENUMERATION, BASE_CCA, CCA_POLICY, cca_policy, M(1), .hash_algorithm = 3),
    CASE(RESERVED, BASE_CCA, CCA_POLICY, cca_policy, M(1), .reserved2 = {[5] = 1}),
    CASE(PLATFORM_ARCHITECTURE, BASE_CCA, SUPPORTED_PLATFORM, supported_platform, M(4), V1_OF(NATIVE)),
    CONTEXT(CONTEXT_TAIL, BASE_CCA, M(1), .file_offset = DATA_ONES),
};
// clang-format on

static void expect(const struct built *built, enum igvm_rule rule, uint32_t type, uint64_t off) {
    struct igvm_error error = {0};
    char line[384];

    assert_int_equal(open_and_validate(built, &error), -EINVAL);
    if (error.code != rule || error.offset != off || error.header_type != type) {
        igvm_error_format(&error, line, sizeof(line));
        fail_msg("wanted \"%s\" at 0x%x, got %s", igvm_rule_text(rule), (unsigned)off, line);
    }
    assert_string_equal(error.rule, igvm_rule_text(rule));
    seen[rule] = true;
}

static void run_cases(const struct rule_case *list, size_t count, enum igvm_architecture arch) {
    for (size_t i = 0; i < count; i++) {
        struct built built = build_file(2, arch, list[i].base, list[i].type, &list[i].c);

        expect(&built, list[i].rule, list[i].type, built.last_off);
        free(built.bytes);
    }
}

static void breaks_each_rule_of_headers(void **state) {
    (void)state;
    run_cases(cases, ARRAY_COUNT(cases), IGVM_ARCH_X64);
    run_cases(arm_cases, ARRAY_COUNT(arm_cases), IGVM_ARCH_AARCH64);
}

/// The same files without their last header are valid: it is that header which breaks the rule.
static void accepts_the_bases(void **state) {
    const unsigned waits = BASE_PAGE_TABLE; // needs its VP context
    struct igvm_error error;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        unsigned base = cases[i].base | P | ((cases[i].base & waits) ? BASE_CONTEXT : 0);
        struct built built = build_file(2, IGVM_ARCH_X64, base, 0, NULL);

        assert_int_equal(open_and_validate(&built, &error), 0);
        free(built.bytes);
    }
}

struct poke {
    enum igvm_rule rule;
    uint32_t off; // where, and what the error's offset is
    uint32_t value;
    bool checksum; // keep it right
};

static void breaks_each_rule_of_the_fixed_header(void **state) {
    static const struct poke pokes[] = {
        {IGVM_RULE_MAGIC, 0, 0x4d564748, true},  {IGVM_RULE_VERSION, 4, 0, false},
        {IGVM_RULE_VERSION, 4, 3, false},        {IGVM_RULE_HEADER_REGION, 8, 24, false},
        {IGVM_RULE_HEADER_REGION, 8, 36, false}, {IGVM_RULE_HEADER_REGION, 8, 0x7ffffff8, false},
        {IGVM_RULE_HEADER_REGION, 12, 4, false}, {IGVM_RULE_HEADER_REGION, 12, 0xfffffff8, false},
        {IGVM_RULE_FILE_SIZE, 16, 5, false},     {IGVM_RULE_CHECKSUM, 20, 0x12345678, false},
        {IGVM_RULE_ARCHITECTURE, 24, 2, true},   {IGVM_RULE_PAGE_SIZE, 28, 65536, true},
        {IGVM_RULE_PAGE_SIZE, 28, 0, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(pokes); i++) {
        struct built built = build_file(2, IGVM_ARCH_X64, P, 0, NULL);

        store_le32(built.bytes + pokes[i].off, pokes[i].value);
        if (pokes[i].checksum) {
            fix_checksum(&built);
        }
        expect(&built, pokes[i].rule, 0, pokes[i].off);
        free(built.bytes);
    }
}

static void breaks_each_rule_of_header_framing(void **state) {
    const content_t page = {.page_data = {.gpa = 0x1000, .compatibility_mask = 1}};
    const content_t context = {.vp_context = {.compatibility_mask = 1, .file_offset = DATA_ZERO}};
    struct built built = build_file(2, IGVM_ARCH_X64, P, IGVM_VHT_PAGE_DATA, &page);

    (void)state;
    for (uint32_t length = 17; length < 24; length += 3) {
        store_le32(built.bytes + built.last_off + 4, length);
        fix_checksum(&built);
        expect(&built, IGVM_RULE_HEADER_LENGTH, IGVM_VHT_PAGE_DATA, built.last_off);
    }
    for (uint32_t length = 25; length != 0; length = length * 2 + 7) {
        store_le32(built.bytes + built.last_off + 4, length);
        fix_checksum(&built);
        expect(&built, IGVM_RULE_HEADER_TRUNCATED, IGVM_VHT_PAGE_DATA, built.last_off);
        if (length > 0x7fffffff) {
            break;
        }
    }
    free(built.bytes);

    built = build_file(2, IGVM_ARCH_X64, P, IGVM_VHT_VP_CONTEXT, &context);
    built.bytes[built.last_off + 8 + 23] = 1;
    fix_checksum(&built);
    expect(&built, IGVM_RULE_HEADER_PADDING, IGVM_VHT_VP_CONTEXT, built.last_off);
    free(built.bytes);
}

static void breaks_the_other_rules(void **state) {
    const content_t native = {.vp_context = {.compatibility_mask = 1, .file_offset = DATA_ZERO}};
    struct igvm_error error;
    struct igvm_file file;
    struct built built = build_file(2, IGVM_ARCH_X64, 0, 0, NULL);

    (void)state;
    expect(&built, IGVM_RULE_PLATFORM_MISSING, 0, 32);
    assert_int_equal(igvm_open(&file, built.bytes, 23, &error), -EINVAL);
    assert_int_equal(error.code, IGVM_RULE_FIXED_HEADER);
    assert_int_equal(igvm_open(&file, built.bytes, 31, &error), -EINVAL);
    assert_int_equal(error.code, IGVM_RULE_FIXED_HEADER);
    seen[IGVM_RULE_FIXED_HEADER] = true;
    free(built.bytes);

    built = build_file(1, IGVM_ARCH_X64, P, IGVM_VHT_VP_CONTEXT, &native);
    expect(&built, IGVM_RULE_CONTEXT_VERSION, IGVM_VHT_VP_CONTEXT, built.last_off);
    free(built.bytes);
}

/// One area or region more than there is room for.
static void breaks_our_limits(void **state) {
    struct igvm_writer w;
    struct built built = {0};

    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        const uint32_t most = kind == 0 ? IGVM_MAX_PARAMETER_AREAS : IGVM_MAX_REGIONS;

        igvm_writer_measure(&w, 2, IGVM_ARCH_X64);
        for (int pass = 0; pass < 2; pass++) {
            put_base(&w, P, NULL);
            for (uint32_t i = 0; i <= most; i++) {
                const struct igvm_parameter_area area = {4096, i, 0};
                const struct igvm_relocatable_region region = {.compatibility_mask = 1,
                                                               .relocation_alignment = 0x1000,
                                                               .relocation_region_gpa =
                                                                   0x1000ull * i,
                                                               .relocation_region_size = 0x1000,
                                                               .maximum_relocation_gpa = 0x1000000};

                built.last_off = 32 + (uint32_t)w.headers_bytes;
                kind == 0 ? igvm_put_header(&w, IGVM_VHT_PARAMETER_AREA, &area)
                          : igvm_put_header(&w, IGVM_VHT_RELOCATABLE_REGION, &region);
            }
            if (pass == 0) {
                built.size_bytes = igvm_writer_size(&w);
                built.bytes = malloc(built.size_bytes);
                igvm_writer_emit(&w, built.bytes, built.size_bytes);
            }
        }
        assert_int_equal(igvm_writer_finish(&w), 0);
        expect(&built, kind == 0 ? IGVM_RULE_AREA_LIMIT : IGVM_RULE_RELOCATION_LIMIT,
               kind == 0 ? IGVM_VHT_PARAMETER_AREA : IGVM_VHT_RELOCATABLE_REGION, built.last_off);
        free(built.bytes);
    }
}

/// The list of rules and this test cannot drift apart. Rules of other programs' parts are exempt.
static void covers_every_rule(void **state) {
    breaks_each_rule_of_headers(state); // again, so that this test can also run alone
    breaks_each_rule_of_the_fixed_header(state);
    breaks_each_rule_of_header_framing(state);
    breaks_the_other_rules(state);
    breaks_our_limits(state);
    for (unsigned rule = IGVM_RULE_NONE + 1; rule < IGVM_RULE_GPA_OVERLAP; rule++) {
        if (!seen[rule]) {
            fail_msg("no test breaks the rule \"%s\"", igvm_rule_text((enum igvm_rule)rule));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(breaks_each_rule_of_headers),
        cmocka_unit_test(accepts_the_bases),
        cmocka_unit_test(breaks_each_rule_of_the_fixed_header),
        cmocka_unit_test(breaks_each_rule_of_header_framing),
        cmocka_unit_test(breaks_the_other_rules),
        cmocka_unit_test(breaks_our_limits),
        cmocka_unit_test(covers_every_rule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
