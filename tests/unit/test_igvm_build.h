// SPDX-License-Identifier: MIT
//
// Test helper: builds small IGVM files, some of them wrong on purpose. Every file is a heap block
// of exactly its size, so that AddressSanitizer sees a read past its end.
#pragma once

#include "igvm/base/bytes.h"
#include "igvm/igvm.h"
#include "igvm/igvm_desc.h"
#include "igvm/igvm_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/// Stand-ins for file offsets, replaced by where the data really is.
enum {
    DATA_ZERO = 1,    // a page of zeroes (a valid native or CCA context)
    DATA_ONES = 2,    // a page of 0xff
    DATA_LIST = 3,    // a VSM register list: one register of VTL 2
    DATA_MIXED = 4,   // a VSM register list of two VTLs
    DATA_SEGMENT = 5, // a native context with a limit in its segment attributes
    DATA_HUGE = 6,    // a VSM register list that claims more registers than there are bytes
    DATA_KINDS = 7,
};

/// Headers that stand before the one under test.
enum {
    BASE_PLATFORMS = 1 << 0,   // native 1, VSM 2, SNP 4, TDX 8 (both with VTL2)
    BASE_AREA = 1 << 1,        // parameter area 7, one page
    BASE_INSERT = 1 << 2,      // area 7 inserted at 64 KiB on native
    BASE_DOCUMENT = 1 << 3,    // CoRIM document for native
    BASE_PAGE_TABLE = 1 << 4,  // page table region [1 MiB, 1 MiB + 16 KiB) on native, VP 0, VTL 0
    BASE_POLICY = 1 << 5,      // SNP policy
    BASE_CONTEXT = 1 << 6,     // native VP context of VP 0
    BASE_MEASUREMENT = 1 << 7, // SNP ID block
    BASE_SIGNATURE = 1 << 8,   // CoRIM signature for native
    BASE_CCA = 1 << 9,         // CCA 1, VSM 2 on AArch64
};

typedef __typeof__(((struct igvm_header *)NULL)->u) content_t;

struct built {
    uint8_t *bytes;
    size_t size_bytes;
    uint32_t last_off; // of the last header
};

static inline void put_test_data(struct igvm_writer *w, uint32_t off[DATA_KINDS]) {
    uint8_t page[4096] = {0};
    struct igvm_vbs_vp_context_register regs[2] = {{.vtl = 2, .register_name = 0x20010},
                                                   {.vtl = 0, .register_name = 0x20011}};
    uint32_t count = 1;

    off[DATA_ZERO] = igvm_put_data(w, page, sizeof(page), 0);
    off[DATA_LIST] = igvm_put_data(w, &count, sizeof(count), 0);
    igvm_put_data(w, regs, sizeof(regs[0]), 0);
    count = 2;
    off[DATA_MIXED] = igvm_put_data(w, &count, sizeof(count), 0);
    igvm_put_data(w, regs, sizeof(regs), 0);
    store_le16(page + offsetof(struct igvm_native_vp_context_x64, code_attributes), 0x0f00);
    off[DATA_SEGMENT] = igvm_put_data(w, page, sizeof(page), 0);
    memset(page, 0xff, sizeof(page));
    off[DATA_ONES] = igvm_put_data(w, page, sizeof(page), 0);
    off[DATA_HUGE] = igvm_put_data(w, page, 4, 0); // the file's last bytes
}

static inline void put_platform(struct igvm_writer *w, uint32_t mask, uint8_t type, uint8_t vtl) {
    const struct igvm_supported_platform platform = {
        .compatibility_mask = mask,
        .highest_vtl = vtl,
        .platform_type = type,
        .platform_version = 1,
    };

    igvm_put_header(w, IGVM_VHT_SUPPORTED_PLATFORM, &platform);
}

static inline void put_base(struct igvm_writer *w, unsigned base, const uint32_t off[DATA_KINDS]) {
    if (base & BASE_PLATFORMS) {
        put_platform(w, 1, IGVM_PLATFORM_NATIVE, 0);
        put_platform(w, 2, IGVM_PLATFORM_VSM_ISOLATION, 2);
        put_platform(w, 4, IGVM_PLATFORM_SEV_SNP, 2);
        put_platform(w, 8, IGVM_PLATFORM_TDX, 0);
    }
    if (base & BASE_CCA) {
        put_platform(w, 1, IGVM_PLATFORM_CCA, 0);
        put_platform(w, 2, IGVM_PLATFORM_VSM_ISOLATION, 0);
    }
    if (base & BASE_POLICY) {
        igvm_put_header(w, IGVM_VHT_GUEST_POLICY,
                        &(struct igvm_guest_policy){.policy = 0x30000, .compatibility_mask = 4});
    }
    if (base & BASE_DOCUMENT) {
        igvm_put_header(w, IGVM_VHT_CORIM_DOCUMENT,
                        &(struct igvm_corim_data){1, off[DATA_ZERO], 16, 0});
    }
    if (base & BASE_SIGNATURE) {
        igvm_put_header(w, IGVM_VHT_CORIM_SIGNATURE,
                        &(struct igvm_corim_data){1, off[DATA_ZERO], 16, 0});
    }
    if (base & BASE_PAGE_TABLE) {
        igvm_put_header(
            w, IGVM_VHT_PAGE_TABLE_RELOCATION_REGION,
            &(struct igvm_page_table_relocation){
                .compatibility_mask = 1, .gpa = 0x100000, .size = 0x4000, .used_size = 0x3000});
    }
    if (base & BASE_AREA) {
        igvm_put_header(w, IGVM_VHT_PARAMETER_AREA, &(struct igvm_parameter_area){4096, 7, 0});
    }
    if (base & BASE_INSERT) {
        igvm_put_header(w, IGVM_VHT_PARAMETER_INSERT,
                        &(struct igvm_parameter_insert){0x10000, 1, 7});
    }
    if (base & BASE_CONTEXT) {
        igvm_put_header(
            w, IGVM_VHT_VP_CONTEXT,
            &(struct igvm_vp_context){.compatibility_mask = 1, .file_offset = off[DATA_ZERO]});
    }
    if (base & BASE_MEASUREMENT) {
        igvm_put_header(w, IGVM_VHT_SNP_ID_BLOCK,
                        &(struct igvm_snp_id_block){.compatibility_mask = 4});
    }
}

/// The header under test, with its data's place filled in; raw, so that no order is enforced.
static inline void put_subject(struct igvm_writer *w, uint32_t type, const content_t *content,
                               const uint32_t off[DATA_KINDS]) {
    const struct igvm_header_desc *desc = igvm_desc_of_type(type & ~IGVM_VHT_OPTIONAL);
    content_t copy = *content;

    for (size_t i = 0; desc != NULL && i < desc->field_count; i++) {
        const struct igvm_field *field = &desc->fields[i];
        const uint64_t kind = igvm_field_get(field, copy.raw);

        if (field->role == IGVM_ROLE_FILE_OFF && kind != 0 && kind < DATA_KINDS) {
            igvm_field_set(field, copy.raw, off[kind]);
        }
    }
    igvm_put_raw_header(w, type, copy.raw, desc != NULL ? desc->size_bytes : 8);
}

static inline void fix_checksum(struct built *built) {
    const size_t fixed = load_le32(built->bytes + 4) == 1 ? 24 : 32;
    const uint32_t off = load_le32(built->bytes + 8);
    uint32_t crc;

    store_le32(built->bytes + 20, 0);
    crc = igvm_crc32(0, built->bytes, fixed);
    crc = igvm_crc32(crc, built->bytes + off, load_le32(built->bytes + 12));
    store_le32(built->bytes + 20, crc);
}

/// base, then one header of type (0: none).
static inline struct built build_file(uint32_t version, enum igvm_architecture architecture,
                                      unsigned base, uint32_t type, const content_t *content) {
    uint32_t off[DATA_KINDS] = {0};
    struct igvm_writer w;
    struct built built = {0};

    igvm_writer_measure(&w, version, architecture);
    for (int pass = 0; pass < 2; pass++) {
        put_test_data(&w, off);
        put_base(&w, base, off);
        built.last_off = (version == 1 ? 24 : 32) + (uint32_t)w.headers_bytes;
        if (type != 0) {
            put_subject(&w, type, content, off);
        }
        if (pass == 0) {
            built.size_bytes = igvm_writer_size(&w);
            built.bytes = malloc(built.size_bytes);
            assert_non_null(built.bytes);
            assert_int_equal(igvm_writer_emit(&w, built.bytes, built.size_bytes), 0);
        }
    }
    assert_int_equal(igvm_writer_finish(&w), 0);
    return built;
}

/// Opens and validates. 0, or -EINVAL with *error filled.
static inline int open_and_validate(const struct built *built, struct igvm_error *error) {
    struct igvm_file file;
    int rc = igvm_open(&file, built->bytes, built->size_bytes, error);

    return rc != 0 ? rc : igvm_validate(&file, error);
}
