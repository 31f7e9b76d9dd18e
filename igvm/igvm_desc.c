// SPDX-License-Identifier: MIT
//
// IGVM: the table of header types and their fields (igvm_desc.h says how it is used).

#include "igvm/igvm_desc.h"

#include "igvm/base/bytes.h"
#include "igvm/base/types.h"

const char *const igvm_platform_names[IGVM_PLATFORM_NAME_COUNT] = {
    "native", "vsm", "snp", "tdx", "sev", "sev-es", "cca",
};
const char *const igvm_page_type_names[IGVM_PAGE_TYPE_NAME_COUNT] = {
    "normal",
    "secrets",
    "cpuid-data",
    "cpuid-xf",
};
const char *const igvm_memory_type_names[IGVM_MEMORY_TYPE_NAME_COUNT] = {
    "memory", "platform-reserved", "persistent", "vtl2-protectable", "specific-purpose", "hidden",
};

static const char *const page_flag_names[] = {"2mb", "unmeasured", "shared"};
static const char *const required_flag_names[] = {"vtl2-protectable"};
static const char *const region_flag_names[] = {"is-vtl2", "apply-pc", "apply-gdtr"};
static const char *const cca_hash_names[] = {"sha256", "sha512", "sha384"};
static const char *const cca_lfa_names[] = {"disallow", "allow"};
static const char *const vbs_digest_names[] = {"none", "sha256"};
static const char *const vbs_signing_names[] = {"none", "ecdsa-p384"};

// clang-format off
#define BITS(type, member, use, most, labels)                                                      \
    {#member, offsetof(type, member), sizeof(((type *)NULL)->member), use, most, labels}
#define NUMBER(type, member)            BITS(type, member, IGVM_ROLE_NUMBER, 0, NULL)
#define NUMBER_MAX(type, member, most)  BITS(type, member, IGVM_ROLE_NUMBER, most, NULL)
#define HEX(type, member)               BITS(type, member, IGVM_ROLE_HEX, 0, NULL)
#define NAMED(type, member, count, tab) BITS(type, member, IGVM_ROLE_NAMED, count, tab)
#define FLAGS(type, member, bits, tab)  BITS(type, member, IGVM_ROLE_FLAGS, bits, tab)
#define MASK(type)                      BITS(type, compatibility_mask, IGVM_ROLE_MASK, 0, NULL)
#define GPA(type, member)               BITS(type, member, IGVM_ROLE_GPA, 0, NULL)
#define SIZE(type, member)              BITS(type, member, IGVM_ROLE_SIZE, 0, NULL)
#define FILE_OFF(type)                  BITS(type, file_offset, IGVM_ROLE_FILE_OFF, 0, NULL)
#define AREA(type)                      BITS(type, parameter_area_index, IGVM_ROLE_AREA, 0, NULL)
#define BYTES(type, member)             BITS(type, member, IGVM_ROLE_BYTES, 0, NULL)
#define RESERVED(type, member)          BITS(type, member, IGVM_ROLE_RESERVED, 0, NULL)

typedef struct igvm_supported_platform platform_t;
static const struct igvm_field platform_fields[] = {
    MASK(platform_t),
    NUMBER_MAX(platform_t, highest_vtl, 2),
    NAMED(platform_t, platform_type, IGVM_PLATFORM_NAME_COUNT, igvm_platform_names),
    NUMBER(platform_t, platform_version),
    HEX(platform_t, shared_gpa_boundary),
};

typedef struct igvm_guest_policy policy_t;
static const struct igvm_field policy_fields[] = {
    HEX(policy_t, policy), MASK(policy_t), RESERVED(policy_t, reserved),
};

typedef struct igvm_relocatable_region region_t;
static const struct igvm_field region_fields[] = {
    MASK(region_t),
    NUMBER(region_t, vp_index),
    NUMBER_MAX(region_t, vtl, 2),
    FLAGS(region_t, flags, 0x7, region_flag_names),
    SIZE(region_t, relocation_alignment),
    GPA(region_t, relocation_region_gpa),
    SIZE(region_t, relocation_region_size),
    HEX(region_t, minimum_relocation_gpa),
    HEX(region_t, maximum_relocation_gpa),
};

typedef struct igvm_page_table_relocation page_table_t;
static const struct igvm_field page_table_fields[] = {
    MASK(page_table_t),
    NUMBER(page_table_t, vp_index),
    NUMBER_MAX(page_table_t, vtl, 2),
    RESERVED(page_table_t, reserved),
    GPA(page_table_t, gpa),
    SIZE(page_table_t, size),
    HEX(page_table_t, used_size),
};

typedef struct igvm_corim_data corim_t;
static const struct igvm_field corim_fields[] = {
    MASK(corim_t), FILE_OFF(corim_t), NUMBER(corim_t, size_bytes), RESERVED(corim_t, reserved),
};

typedef struct igvm_cca_policy cca_policy_t;
static const struct igvm_field cca_policy_fields[] = {
    MASK(cca_policy_t),
    RESERVED(cca_policy_t, reserved),
    HEX(cca_policy_t, attributes_required_zeroes),
    HEX(cca_policy_t, attributes_required_ones),
    NAMED(cca_policy_t, hash_algorithm, 3, cca_hash_names),
    NAMED(cca_policy_t, lfa_policy, 2, cca_lfa_names),
    RESERVED(cca_policy_t, reserved2),
};

typedef struct igvm_parameter_area area_t;
static const struct igvm_field area_fields[] = {
    SIZE(area_t, number_of_bytes), AREA(area_t), FILE_OFF(area_t),
};

typedef struct igvm_page_data page_t;
static const struct igvm_field page_fields[] = {
    GPA(page_t, gpa),
    MASK(page_t),
    FILE_OFF(page_t),
    FLAGS(page_t, flags, 0x7, page_flag_names),
    NAMED(page_t, data_type, IGVM_PAGE_TYPE_NAME_COUNT, igvm_page_type_names),
    RESERVED(page_t, reserved),
};

typedef struct igvm_parameter_insert insert_t;
static const struct igvm_field insert_fields[] = {
    GPA(insert_t, gpa), MASK(insert_t), AREA(insert_t),
};

typedef struct igvm_parameter parameter_t;
static const struct igvm_field parameter_fields[] = {
    AREA(parameter_t), HEX(parameter_t, byte_offset),
};

typedef struct igvm_vp_context context_t;
static const struct igvm_field context_fields[] = {
    GPA(context_t, gpa),
    MASK(context_t),
    FILE_OFF(context_t),
    NUMBER(context_t, vp_index),
    RESERVED(context_t, reserved),
};

typedef struct igvm_required_memory required_t;
static const struct igvm_field required_fields[] = {
    GPA(required_t, gpa),
    MASK(required_t),
    SIZE(required_t, number_of_bytes),
    FLAGS(required_t, flags, 0x1, required_flag_names),
    RESERVED(required_t, reserved),
};

typedef struct igvm_error_range error_range_t;
static const struct igvm_field error_range_fields[] = {
    GPA(error_range_t, gpa), MASK(error_range_t), SIZE(error_range_t, size_bytes),
};

typedef struct igvm_snp_id_block id_block_t;
static const struct igvm_field id_block_fields[] = {
    MASK(id_block_t),
    NUMBER_MAX(id_block_t, author_key_enabled, 1),
    RESERVED(id_block_t, reserved),
    BYTES(id_block_t, ld),
    BYTES(id_block_t, family_id),
    BYTES(id_block_t, image_id),
    NUMBER(id_block_t, version),
    NUMBER(id_block_t, guest_svn),
    NUMBER(id_block_t, id_key_algorithm),
    NUMBER(id_block_t, author_key_algorithm),
    BYTES(id_block_t, id_key_signature.r_comp),
    BYTES(id_block_t, id_key_signature.s_comp),
    NUMBER(id_block_t, id_public_key.curve),
    RESERVED(id_block_t, id_public_key.reserved),
    BYTES(id_block_t, id_public_key.qx),
    BYTES(id_block_t, id_public_key.qy),
    BYTES(id_block_t, author_key_signature.r_comp),
    BYTES(id_block_t, author_key_signature.s_comp),
    NUMBER(id_block_t, author_public_key.curve),
    RESERVED(id_block_t, author_public_key.reserved),
    BYTES(id_block_t, author_public_key.qx),
    BYTES(id_block_t, author_public_key.qy),
};

typedef struct igvm_vbs_measurement vbs_t;
static const struct igvm_field vbs_fields[] = {
    MASK(vbs_t),
    NUMBER(vbs_t, version),
    NUMBER(vbs_t, product_id),
    NUMBER(vbs_t, module_id),
    NUMBER(vbs_t, security_version),
    HEX(vbs_t, policy_flags),
    NAMED(vbs_t, boot_digest_algo, 2, vbs_digest_names),
    NAMED(vbs_t, signing_algo, 2, vbs_signing_names),
    BYTES(vbs_t, boot_measurement_digest),
    BYTES(vbs_t, signature),
    BYTES(vbs_t, public_key),
};

#define DESC(type, name, section, content, fields)                                                 \
    {IGVM_VHT_##type, name, IGVM_SECTION_##section, sizeof(content), 0, fields, ARRAY_COUNT(fields)}
#define PARAMETER(type, name, room)                                                                \
    {IGVM_VHT_##type, name, IGVM_SECTION_DIRECTIVE, sizeof(parameter_t), room, parameter_fields,   \
     ARRAY_COUNT(parameter_fields)}

/// Bytes before a table's own length field is complete (ACPI), or a device tree's header.
#define ACPI_HEADER_BYTES 36
#define FDT_HEADER_BYTES  40

const struct igvm_header_desc igvm_header_descs[] = {
    DESC(SUPPORTED_PLATFORM, "supported_platform", PLATFORM, platform_t, platform_fields),
    DESC(GUEST_POLICY, "guest_policy", INIT, policy_t, policy_fields),
    DESC(RELOCATABLE_REGION, "relocatable_region", INIT, region_t, region_fields),
    DESC(PAGE_TABLE_RELOCATION_REGION, "page_table_relocation", INIT, page_table_t,
         page_table_fields),
    DESC(CORIM_DOCUMENT, "corim_document", INIT, corim_t, corim_fields),
    DESC(CORIM_SIGNATURE, "corim_signature", INIT, corim_t, corim_fields),
    DESC(CCA_POLICY, "cca_policy", INIT, cca_policy_t, cca_policy_fields),
    DESC(PARAMETER_AREA, "parameter_area", DIRECTIVE, area_t, area_fields),
    DESC(PAGE_DATA, "page_data", DIRECTIVE, page_t, page_fields),
    DESC(PARAMETER_INSERT, "parameter_insert", DIRECTIVE, insert_t, insert_fields),
    DESC(VP_CONTEXT, "vp_context", DIRECTIVE, context_t, context_fields),
    DESC(REQUIRED_MEMORY, "required_memory", DIRECTIVE, required_t, required_fields),
    PARAMETER(VP_COUNT_PARAMETER, "vp_count", sizeof(uint32_t)),
    PARAMETER(SRAT, "srat", ACPI_HEADER_BYTES),
    PARAMETER(MADT, "madt", ACPI_HEADER_BYTES),
    PARAMETER(MMIO_RANGES, "mmio_ranges", sizeof(struct igvm_mmio_ranges)),
    DESC(SNP_ID_BLOCK, "snp_id_block", DIRECTIVE, id_block_t, id_block_fields),
    PARAMETER(MEMORY_MAP, "memory_map", sizeof(struct igvm_memory_map_entry)),
    DESC(ERROR_RANGE, "error_range", DIRECTIVE, error_range_t, error_range_fields),
    PARAMETER(COMMAND_LINE, "command_line", 1),
    PARAMETER(SLIT, "slit", ACPI_HEADER_BYTES),
    PARAMETER(PPTT, "pptt", ACPI_HEADER_BYTES),
    DESC(VBS_MEASUREMENT, "vbs_measurement", DIRECTIVE, vbs_t, vbs_fields),
    PARAMETER(DEVICE_TREE, "device_tree", FDT_HEADER_BYTES),
    PARAMETER(ENVIRONMENT_INFO_PARAMETER, "environment_info", sizeof(uint32_t)),
};
// clang-format on

const size_t igvm_header_desc_count = ARRAY_COUNT(igvm_header_descs);

const struct igvm_header_desc *igvm_desc_of_type(uint32_t type) {
    for (size_t i = 0; i < igvm_header_desc_count; i++) {
        if (igvm_header_descs[i].type == type) {
            return &igvm_header_descs[i];
        }
    }
    return NULL;
}

/// Own comparison: this file is linked where there is no C library.
static bool same_name(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

const struct igvm_header_desc *igvm_desc_of_name(const char *name) {
    for (size_t i = 0; i < igvm_header_desc_count; i++) {
        if (same_name(igvm_header_descs[i].name, name)) {
            return &igvm_header_descs[i];
        }
    }
    return NULL;
}

int igvm_section_of_type(uint32_t type) {
    if (type >= IGVM_VHT_PLATFORM_FIRST && type <= IGVM_VHT_PLATFORM_LAST) {
        return IGVM_SECTION_PLATFORM;
    }
    if (type >= IGVM_VHT_INIT_FIRST && type <= IGVM_VHT_INIT_LAST) {
        return IGVM_SECTION_INIT;
    }
    if (type >= IGVM_VHT_DIRECTIVE_FIRST && type <= IGVM_VHT_DIRECTIVE_LAST) {
        return IGVM_SECTION_DIRECTIVE;
    }
    return -1;
}

uint64_t igvm_field_get(const struct igvm_field *field, const void *content) {
    const uint8_t *at = (const uint8_t *)content + field->off;

    switch (field->size_bytes) {
    case 1:
        return at[0];
    case 2:
        return load_le16(at);
    case 4:
        return load_le32(at);
    case 8:
        return load_le64(at);
    default:
        return 0;
    }
}

void igvm_field_set(const struct igvm_field *field, void *content, uint64_t value) {
    uint8_t *at = (uint8_t *)content + field->off;

    switch (field->size_bytes) {
    case 1:
        at[0] = (uint8_t)value;
        break;
    case 2:
        store_le16(at, (uint16_t)value);
        break;
    case 4:
        store_le32(at, (uint32_t)value);
        break;
    case 8:
        store_le64(at, value);
        break;
    default:
        break;
    }
}
