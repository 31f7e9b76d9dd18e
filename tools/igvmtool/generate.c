// SPDX-License-Identifier: MIT
//
// igvmtool: contents that the tool makes itself: identity-mapping page tables and the shim's
// measured configuration (loader/layout.h is their contract).

#include "tools/igvmtool/manifest.h"

#include "igvm/base/bytes.h"

#include <errno.h>
#include <mbedtls/sha512.h>
#include <stdlib.h>
#include <string.h>

// AMD64 APM volume 2, chapter 5.3: long-mode page translation.
#define ENTRY_TABLE      0x03ull // present, writable
#define ENTRY_LEAF       0x83ull // present, writable, a large page
#define ENTRIES          512u
#define BYTES_PER_TABLE  4096u
#define BYTES_PER_MAPPED (1ull << 30) // one page directory

/// One PML4, one PDPT, then a page directory of 2 MiB leaves for each GiB.
static int make_page_tables(struct manifest *manifest, struct manifest_region *region) {
    const size_t directories = (size_t)(region->map_bytes / BYTES_PER_MAPPED);
    const size_t size_bytes = (2 + directories) * BYTES_PER_TABLE;
    const uint64_t bits = region->entry_bits;
    uint8_t *tables = calloc(1, size_bytes);

    if (tables == NULL) {
        igvmtool_error_set(manifest->error, "out of memory");
        return -ENOMEM;
    }
    region->data = (struct igvmtool_bytes){tables, size_bytes};
    store_le64(tables, (region->gpa + BYTES_PER_TABLE) | ENTRY_TABLE | bits);
    for (size_t i = 0; i < directories; i++) {
        uint64_t directory_gpa = region->gpa + (2 + i) * BYTES_PER_TABLE;

        store_le64(tables + BYTES_PER_TABLE + 8 * i, directory_gpa | ENTRY_TABLE | bits);
    }
    for (size_t i = 0; i < directories * ENTRIES; i++) {
        store_le64(tables + 2 * (size_t)BYTES_PER_TABLE + 8 * i,
                   (uint64_t)i * PAGE_SIZE_2M | ENTRY_LEAF | bits);
    }
    return 0;
}

static int add_payload(struct manifest *manifest, const struct manifest_region *region,
                       const struct manifest_payload *payload, struct shim_payload *out) {
    const struct manifest_region *source = manifest_find(manifest, payload->region);

    if (source == NULL || source->kind != MANIFEST_DATA || source->file == NULL) {
        return manifest_region_fail(
            manifest, region, "payload \"%.40s\" is no data region with a file", payload->region);
    }
    if ((region->all_platforms & ~source->all_platforms) != 0) {
        return manifest_region_fail(manifest, region,
                                    "payload \"%.40s\" is missing on a platform of this region",
                                    payload->region);
    }
    *out = (struct shim_payload){
        .kind = payload->kind,
        .gpa = source->gpa - source->delta, // the shim adds what it finds
        .size_bytes = source->data.size_bytes,
    };
    if (mbedtls_sha512(source->data.data, source->data.size_bytes, out->sha384, 1) != 0) {
        return manifest_region_fail(manifest, region, "SHA-384 is not available");
    }
    return 0;
}

static int make_shim_config(struct manifest *manifest, struct manifest_region *region) {
    const struct manifest_shim_config *from = &region->config;
    struct shim_config *config = calloc(1, sizeof(*config));

    if (config == NULL) {
        igvmtool_error_set(manifest->error, "out of memory");
        return -ENOMEM;
    }
    region->data = (struct igvmtool_bytes){(uint8_t *)config, sizeof(*config)};
    config->magic = SHIM_CONFIG_MAGIC;
    config->version = SHIM_CONFIG_VERSION;
    config->payload_count = (uint32_t)from->payload_count;
    config->vtl2_ram_end_gpa = from->vtl2_ram_end_gpa;
    config->flags = from->flags;
    // The parser has made sure that both fit with their terminators.
    memcpy(config->command_line, from->command_line, strlen(from->command_line));
    memcpy(config->image_version, from->image_version, strlen(from->image_version));
    for (size_t i = 0; i < from->payload_count; i++) {
        int rc = add_payload(manifest, region, &from->payloads[i], &config->payloads[i]);

        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int manifest_generate(struct manifest *manifest, struct manifest_region *region) {
    switch (region->kind) {
    case MANIFEST_PAGE_TABLES:
        return make_page_tables(manifest, region);
    case MANIFEST_SHIM_CONFIG:
        return make_shim_config(manifest, region);
    default:
        return 0;
    }
}
