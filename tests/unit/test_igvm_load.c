// SPDX-License-Identifier: MIT
//
// IGVM loading and hostile files: parameter areas, platforms, truncation at every byte, flipped
// bits.

#include "tests/unit/test_igvm_build.h"

#include "igvm/igvm_load.h"

#include <errno.h>

#define AREA_BYTES 4096u

/// What a fake host has been told.
struct fake_host {
    uint8_t area[2][AREA_BYTES];
    uint8_t inserted[2][AREA_BYTES];
    uint64_t insert_gpa[2];
    unsigned buffers;
    unsigned inserts;
    unsigned pages;
    uint64_t last_page_gpa;
    unsigned vps;
    struct igvm_vp vp;
    unsigned required;
    struct gpa_range required_range;
    unsigned errors;
    unsigned others;
    int refuse; // returned by page_data
};

static volatile uint8_t sink;

static int on_page(void *host, const struct igvm_load_page *page) {
    struct fake_host *fake = host;

    fake->pages++;
    fake->last_page_gpa = page->gpa.value;
    if (page->data != NULL) {
        for (uint32_t i = 0; i < page->size_bytes; i++) {
            sink ^= page->data[i]; // every byte must be readable
        }
    }
    return fake->refuse;
}

static uint8_t *on_area(void *host, uint32_t area_idx, uint64_t size_bytes) {
    struct fake_host *fake = host;

    (void)area_idx;
    if (fake->buffers == 2 || size_bytes != AREA_BYTES) {
        return NULL;
    }
    memset(fake->area[fake->buffers], 0xcc, AREA_BYTES);
    return fake->area[fake->buffers++];
}

static int on_insert(void *host, gpa_t at, const uint8_t *buffer, uint64_t size_bytes) {
    struct fake_host *fake = host;

    if (fake->inserts == 2) {
        return -ENOSPC;
    }
    memcpy(fake->inserted[fake->inserts], buffer, size_bytes);
    fake->insert_gpa[fake->inserts++] = at.value;
    return 0;
}

static int on_vp(void *host, const struct igvm_vp *vp) {
    struct fake_host *fake = host;

    fake->vps++;
    fake->vp = *vp;
    return 0;
}

static int on_required(void *host, struct gpa_range range, uint32_t flags) {
    struct fake_host *fake = host;

    (void)flags;
    fake->required++;
    fake->required_range = range;
    return 0;
}

static int on_errors(void *host, struct gpa_range range) {
    (void)range;
    ((struct fake_host *)host)->errors++;
    return 0;
}

static int on_other(void *host, const struct igvm_header *header, const uint8_t *data,
                    uint64_t data_bytes) {
    (void)header;
    (void)data;
    (void)data_bytes;
    ((struct fake_host *)host)->others++;
    return 0;
}

static const struct igvm_load_ops fake_ops = {
    .page_data = on_page,
    .area_buffer = on_area,
    .area_insert = on_insert,
    .vp_context = on_vp,
    .required_memory = on_required,
    .error_range = on_errors,
    .other = on_other,
};

static const struct igvm_memory_map_entry memory_map[] = {
    {.starting_gpa_page_number = 0, .number_of_pages = 0x9f, .entry_type = IGVM_MEMORY_NORMAL},
    {.starting_gpa_page_number = 0x100, .number_of_pages = 0x1000, .entry_type = 3},
};

static struct igvm_host_params host_params(void) {
    static const uint8_t tree[64] = {0xd0, 0x0d, 0xfe, 0xed};

    return (struct igvm_host_params){
        .vp_count = 4,
        .environment = IGVM_ENVIRONMENT_MEMORY_IS_SHARED,
        .mmio_ranges = {.ranges = {{0xe0000, 0x10000}, {0x1000000, 0x1000}}},
        .memory_map = memory_map,
        .memory_map_count = ARRAY_COUNT(memory_map),
        .command_line = "console=ttyS0",
        .device_tree = {tree, sizeof(tree)},
        .srat = {tree, 40},
        .madt = {tree, 40},
        .slit = {tree, 40},
        .pptt = {tree, 40},
    };
}

static void put_parameter(struct igvm_writer *w, uint32_t type, uint32_t area, uint32_t offset) {
    const struct igvm_parameter parameter = {area, offset};

    igvm_put_header(w, type, &parameter);
}

/// One area with every parameter for native, another one for VSM; a page and a context for each.
static void put_full(struct igvm_writer *w) {
    uint32_t off[DATA_KINDS] = {0};

    put_test_data(w, off);
    put_base(w, BASE_PLATFORMS | BASE_POLICY | BASE_DOCUMENT, off);
    igvm_put_header(w, IGVM_VHT_REQUIRED_MEMORY,
                    &(struct igvm_required_memory){0x1000000, 3, 0x200000, 0, 0});
    igvm_put_header(w, IGVM_VHT_PARAMETER_AREA,
                    &(struct igvm_parameter_area){AREA_BYTES, 9, off[DATA_ONES]});
    put_parameter(w, IGVM_VHT_VP_COUNT_PARAMETER, 9, 0);
    put_parameter(w, IGVM_VHT_ENVIRONMENT_INFO_PARAMETER, 9, 4);
    put_parameter(w, IGVM_VHT_MMIO_RANGES, 9, 8);
    put_parameter(w, IGVM_VHT_MEMORY_MAP, 9, 0x100);
    put_parameter(w, IGVM_VHT_COMMAND_LINE, 9, 0x200);
    put_parameter(w, IGVM_VHT_DEVICE_TREE, 9, 0x300);
    put_parameter(w, IGVM_VHT_SRAT, 9, 0x400);
    put_parameter(w, IGVM_VHT_MADT, 9, 0x500);
    put_parameter(w, IGVM_VHT_SLIT, 9, 0x600);
    put_parameter(w, IGVM_VHT_PPTT, 9, 0x700);
    igvm_put_header(w, IGVM_VHT_PARAMETER_INSERT, &(struct igvm_parameter_insert){0x20000, 1, 9});
    igvm_put_header(w, IGVM_VHT_PARAMETER_AREA, &(struct igvm_parameter_area){AREA_BYTES, 3, 0});
    put_parameter(w, IGVM_VHT_VP_COUNT_PARAMETER, 3, 16);
    igvm_put_header(w, IGVM_VHT_PARAMETER_INSERT, &(struct igvm_parameter_insert){0x30000, 2, 3});
    igvm_put_header(w, IGVM_VHT_PAGE_DATA, &(struct igvm_page_data){0x40000, 1, 0, 0, 0, 0});
    igvm_put_header(w, IGVM_VHT_PAGE_DATA,
                    &(struct igvm_page_data){0x50000, 2, off[DATA_ONES], 0, 0, 0});
    igvm_put_header(w, IGVM_VHT_ERROR_RANGE, &(struct igvm_error_range){0x60000, 2, 0x1000});
    igvm_put_header(w, IGVM_VHT_VP_CONTEXT, &(struct igvm_vp_context){0, 1, off[DATA_ZERO], 0, 0});
    igvm_put_header(w, IGVM_VHT_VP_CONTEXT, &(struct igvm_vp_context){0, 2, off[DATA_LIST], 0, 0});
    igvm_put_header(w, IGVM_VHT_VP_CONTEXT,
                    &(struct igvm_vp_context){0x70000, 4, off[DATA_ONES], 0, 0});
}

static struct built full_file(void) {
    struct built built = {0};
    struct igvm_writer w;

    igvm_writer_measure(&w, 2, IGVM_ARCH_X64);
    put_full(&w);
    built.size_bytes = igvm_writer_size(&w);
    built.bytes = malloc(built.size_bytes);
    assert_int_equal(igvm_writer_emit(&w, built.bytes, built.size_bytes), 0);
    put_full(&w);
    assert_int_equal(igvm_writer_finish(&w), 0);
    return built;
}

static void fills_and_inserts_parameter_areas(void **state) {
    const struct igvm_host_params params = host_params();
    struct built built = full_file();
    struct fake_host host = {0};
    struct igvm_error error;
    struct igvm_file file;
    const uint8_t *area = host.inserted[0];
    int host_errno = 1;

    (void)state;
    assert_int_equal(igvm_open(&file, built.bytes, built.size_bytes, &error), 0);
    assert_int_equal(igvm_validate(&file, &error), 0);
    assert_int_equal(
        igvm_load(&file, IGVM_PLATFORM_NATIVE, &params, &fake_ops, &host, &error, &host_errno), 0);
    assert_int_equal(host_errno, 0);
    assert_int_equal(host.buffers, 1); // the other area is another platform's
    assert_int_equal(host.inserts, 1);
    assert_int_equal(host.insert_gpa[0], 0x20000);
    assert_int_equal(load_le32(area), 4);
    assert_int_equal(load_le32(area + 4), 1);
    assert_int_equal(load_le64(area + 8), 0xe0000);
    assert_int_equal(load_le64(area + 8 + 24), 0x1000);
    assert_memory_equal(area + 0x100, memory_map, sizeof(memory_map));
    assert_int_equal(load_le64(area + 0x100 + 48 + 8), 0); // the closing entry has no pages
    assert_int_equal(area[0x100 + 72], 0xff);              // then the initial contents go on
    assert_string_equal((const char *)area + 0x200, "console=ttyS0");
    assert_int_equal(area[0x300], 0xd0);
    assert_int_equal(area[0x700 + 39], 0);
    assert_int_equal(area[0x700 + 40], 0xff);
    assert_int_equal(host.pages, 1);
    assert_int_equal(host.last_page_gpa, 0x40000);
    assert_int_equal(host.vps, 1);
    assert_int_equal(host.vp.format, IGVM_VP_FORMAT_NATIVE);
    assert_int_equal(host.required, 1);
    assert_int_equal(host.required_range.end, 0x1200000);
    assert_int_equal(host.errors, 0);
    assert_int_equal(host.others, 1); // the CoRIM document
    free(built.bytes);
}

static void loads_only_the_platforms_own(void **state) {
    const struct igvm_host_params params = host_params();
    struct built built = full_file();
    struct fake_host host = {0};
    struct igvm_error error;
    struct igvm_file file;

    (void)state;
    assert_int_equal(igvm_open(&file, built.bytes, built.size_bytes, &error), 0);
    assert_int_equal(
        igvm_load(&file, IGVM_PLATFORM_VSM_ISOLATION, &params, &fake_ops, &host, &error, NULL), 0);
    assert_int_equal(host.inserts, 1);
    assert_int_equal(load_le32(host.inserted[0] + 16), 4);
    assert_int_equal(host.inserted[0][0], 0); // cleared, whatever the host's buffer held
    assert_int_equal(host.last_page_gpa, 0x50000);
    assert_int_equal(host.errors, 1);
    assert_int_equal(host.vp.format, IGVM_VP_FORMAT_VBS);
    assert_int_equal(host.vp.vtl, 2);
    assert_int_equal(igvm_vp_register(&host.vp, 0).register_name, 0x20010);

    memset(&host, 0, sizeof(host));
    assert_int_equal(
        igvm_load(&file, IGVM_PLATFORM_SEV_SNP, &params, &fake_ops, &host, &error, NULL), 0);
    assert_int_equal(host.vp.vmsa_gpa.value, 0x70000);
    assert_int_equal(host.vp.data[4095], 0xff);
    assert_int_equal(igvm_load(&file, IGVM_PLATFORM_SEV, &params, &fake_ops, &host, &error, NULL),
                     -EINVAL);
    assert_int_equal(error.code, IGVM_RULE_PLATFORM_ABSENT);
    free(built.bytes);
}

/// Loading as native stops at a header of the type because of the rule. Returns the host's errno.
static int expect_stop(const struct igvm_host_params *params, struct fake_host host,
                       enum igvm_rule rule, uint32_t type) {
    struct built built = full_file();
    struct igvm_error error;
    struct igvm_file file;
    int host_errno = 0;

    assert_int_equal(igvm_open(&file, built.bytes, built.size_bytes, &error), 0);
    assert_int_equal(
        igvm_load(&file, IGVM_PLATFORM_NATIVE, params, &fake_ops, &host, &error, &host_errno),
        -EINVAL);
    assert_int_equal(error.code, rule);
    assert_int_equal(error.header_type, type);
    free(built.bytes);
    return host_errno;
}

static void reports_what_the_host_cannot_do(void **state) {
    const struct fake_host host = {0};
    struct igvm_host_params params = host_params();
    char *line = malloc(AREA_BYTES);

    (void)state;
    assert_int_equal(expect_stop(&params, (struct fake_host){.refuse = -ENOMEM},
                                 IGVM_RULE_HOST_REFUSED, IGVM_VHT_PAGE_DATA),
                     -ENOMEM);
    params.device_tree.data = NULL;
    expect_stop(&params, host, IGVM_RULE_HOST_PARAMETER, IGVM_VHT_DEVICE_TREE);
    params = host_params();
    params.memory_map_count = (AREA_BYTES - 0x100) / 24; // no room for the closing entry
    expect_stop(&params, host, IGVM_RULE_HOST_ROOM, IGVM_VHT_MEMORY_MAP);
    params = host_params();
    memset(line, 'x', AREA_BYTES); // not terminated within the room
    params.command_line = line;
    expect_stop(&params, host, IGVM_RULE_HOST_ROOM, IGVM_VHT_COMMAND_LINE);
    free(line);
}

/// An index that comes again after its insertion, with more data than its buffer has room for. The
/// validator refuses it; the loader must not depend on having been asked in that order.
static void refuses_an_area_that_comes_back_larger(void **state) {
    const struct igvm_host_params params = host_params();
    const content_t larger = {
        .parameter_area = {.number_of_bytes = 8192, .parameter_area_index = 7, .file_offset = 1}};
    struct built built = build_file(2, IGVM_ARCH_X64, BASE_PLATFORMS | BASE_AREA | BASE_INSERT,
                                    IGVM_VHT_PARAMETER_AREA, &larger);
    struct fake_host host = {0};
    struct igvm_error error;
    struct igvm_file file;

    (void)state;
    assert_int_equal(igvm_open(&file, built.bytes, built.size_bytes, &error), 0);
    assert_int_equal(
        igvm_load(&file, IGVM_PLATFORM_NATIVE, &params, &fake_ops, &host, &error, NULL), -EINVAL);
    assert_int_equal(error.code, IGVM_RULE_AREA_DUPLICATE);
    free(built.bytes);
}

/// Everything a reader does with a file, whether it is valid or not.
static void use(const uint8_t *bytes, size_t size_bytes) {
    const struct igvm_host_params params = host_params();
    struct fake_host *host = calloc(1, sizeof(*host));
    struct igvm_error error;
    struct igvm_file file;

    if (igvm_open(&file, bytes, size_bytes, &error) == 0) {
        (void)igvm_validate(&file, &error);
        for (int type = 0; type < 7; type++) {
            memset(host, 0, sizeof(*host));
            (void)igvm_load(&file, (enum igvm_platform_type)type, &params, &fake_ops, host, &error,
                            NULL);
        }
    }
    free(host);
}

static void survives_truncation_at_every_byte(void **state) {
    struct built built = full_file();
    const uint32_t headers_end = load_le32(built.bytes + 8) + load_le32(built.bytes + 12);

    (void)state;
    for (size_t size = 0; size < built.size_bytes; size += size < headers_end ? 1 : 61) {
        uint8_t *cut = malloc(size == 0 ? 1 : size);
        struct igvm_error error;
        struct igvm_file file;

        memcpy(cut, built.bytes, size);
        assert_int_equal(igvm_open(&file, cut, size, &error), -EINVAL);
        if (size >= 32) { // a header that agrees with the cut, so that the rest is looked at
            struct built fixed = {cut, size, 0};

            store_le32(cut + 16, (uint32_t)size);
            if (size < headers_end) {
                store_le32(cut + 12, (uint32_t)(size - 32) & ~7u);
            }
            fix_checksum(&fixed);
            use(cut, size);
        }
        free(cut);
    }
    free(built.bytes);
}

static void survives_flipped_bits(void **state) {
    struct built built = full_file();
    const uint32_t headers_end = load_le32(built.bytes + 8) + load_le32(built.bytes + 12);

    (void)state;
    for (uint32_t off = 32; off < headers_end; off++) {
        for (int bit = 0; bit < 8; bit++) {
            built.bytes[off] ^= (uint8_t)(1 << bit);
            fix_checksum(&built);
            use(built.bytes, built.size_bytes);
            built.bytes[off] ^= (uint8_t)(1 << bit);
        }
    }
    free(built.bytes);
}

static void finds_overlaps(void **state) {
    struct built built = full_file();
    struct igvm_extent extents[8];
    struct igvm_error error;
    struct igvm_file file;
    size_t count;

    (void)state;
    assert_int_equal(igvm_open(&file, built.bytes, built.size_bytes, &error), 0);
    assert_int_equal(igvm_collect_extents(&file, 4, extents, 8, &count), 0);
    assert_int_equal(count, 1); // the VMSA
    assert_int_equal(igvm_collect_extents(&file, 16, extents, 8, &count), -ENOENT);
    assert_int_equal(igvm_collect_extents(&file, 2, extents, 2, &count), -ENOSPC);
    assert_int_equal(count, 3); // area, page, error range
    assert_int_equal(igvm_collect_extents(&file, 2, extents, 8, &count), 0);
    assert_int_equal(igvm_find_overlap(extents, count, &error), 0);
    for (size_t i = 1; i < count; i++) {
        assert_true(extents[i - 1].range.start <= extents[i].range.start);
    }
    extents[2].range.start = extents[0].range.start + 0xfff;
    extents[2].range.end = extents[2].range.start + 1;
    assert_int_equal(igvm_find_overlap(extents, count, &error), -EINVAL);
    assert_int_equal(error.code, IGVM_RULE_GPA_OVERLAP);
    assert_int_equal(error.header_type, IGVM_VHT_ERROR_RANGE);
    free(built.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_and_inserts_parameter_areas),
        cmocka_unit_test(loads_only_the_platforms_own),
        cmocka_unit_test(reports_what_the_host_cannot_do),
        cmocka_unit_test(refuses_an_area_that_comes_back_larger),
        cmocka_unit_test(survives_truncation_at_every_byte),
        cmocka_unit_test(survives_flipped_bits),
        cmocka_unit_test(finds_overlaps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
