// SPDX-License-Identifier: MIT
//
// Fuzz target: the IGVM reader, its validation, the overlap search and the load walk.
//
// The first byte says whether the checksum and sizes are put right before the file is opened:
// without that nearly every input would stop at the checksum.

#include "igvm/base/bytes.h"
#include "igvm/igvm_load.h"

#include <stdlib.h>
#include <string.h>

#define MAX_AREA_BYTES 65536u

struct host {
    uint8_t *areas[IGVM_MAX_PARAMETER_AREAS];
    unsigned count;
};

static volatile uint8_t sink;

/// Reads every byte, so that a wrong range is seen by the sanitizer.
static void touch(const uint8_t *data, uint64_t size_bytes) {
    for (uint64_t i = 0; data != NULL && i < size_bytes; i++) {
        sink ^= data[i];
    }
}

static int on_page(void *host, const struct igvm_load_page *page) {
    (void)host;
    touch(page->data, page->size_bytes);
    return 0;
}

static uint8_t *on_area(void *host, uint32_t area_idx, uint64_t size_bytes) {
    struct host *h = host;

    (void)area_idx;
    if (size_bytes > MAX_AREA_BYTES || h->count == IGVM_MAX_PARAMETER_AREAS) {
        return NULL;
    }
    h->areas[h->count] = malloc(size_bytes + 1);
    return h->areas[h->count++];
}

static int on_insert(void *host, gpa_t at, const uint8_t *buffer, uint64_t size_bytes) {
    (void)host;
    (void)at;
    touch(buffer, size_bytes);
    return 0;
}

static int on_vp(void *host, const struct igvm_vp *vp) {
    (void)host;
    if (vp->format == IGVM_VP_FORMAT_VBS) {
        for (uint32_t i = 0; i < vp->register_count; i++) {
            (void)igvm_vp_register(vp, i);
        }
    } else {
        touch(vp->data, IGVM_VP_CONTEXT_BYTES);
    }
    return 0;
}

static int on_other(void *host, const struct igvm_header *header, const uint8_t *data,
                    uint64_t data_bytes) {
    (void)host;
    (void)header;
    touch(data, data_bytes);
    return 0;
}

static void load_all(const struct igvm_file *file) {
    static const struct igvm_load_ops ops = {
        .page_data = on_page,
        .area_buffer = on_area,
        .area_insert = on_insert,
        .vp_context = on_vp,
        .other = on_other,
    };
    static const uint8_t blob[64];
    static const struct igvm_memory_map_entry entry = {.number_of_pages = 1};
    const struct igvm_host_params params = {
        .vp_count = 1,
        .memory_map = &entry,
        .memory_map_count = 1,
        .command_line = "fuzz",
        .device_tree = {blob, sizeof(blob)},
        .srat = {blob, sizeof(blob)},
        .madt = {blob, sizeof(blob)},
        .slit = {blob, sizeof(blob)},
        .pptt = {blob, sizeof(blob)},
    };

    for (int type = IGVM_PLATFORM_NATIVE; type <= IGVM_PLATFORM_CCA; type++) {
        struct host host = {.count = 0};
        struct igvm_error error;

        (void)igvm_load(file, (enum igvm_platform_type)type, &params, &ops, &host, &error, NULL);
        for (unsigned i = 0; i < host.count; i++) {
            free(host.areas[i]);
        }
    }
}

static void find_overlaps(const struct igvm_file *file) {
    struct igvm_extent extents[64];
    struct igvm_error error;
    size_t count;

    for (uint32_t bit = 0; bit < IGVM_MAX_PLATFORMS; bit++) {
        if (igvm_collect_extents(file, 1u << bit, extents, 64, &count) == 0) {
            (void)igvm_find_overlap(extents, count, &error);
        }
    }
}

/// Sizes and checksum as the rest of the file would have them; other fields stay as they are.
static void repair(uint8_t *bytes, size_t size_bytes) {
    const size_t fixed = load_le32(bytes + 4) == IGVM_FORMAT_VERSION_1 ? 24 : 32;
    const uint32_t off = load_le32(bytes + 8);
    uint32_t headers_bytes = load_le32(bytes + 12);
    uint32_t crc;

    store_le32(bytes, IGVM_MAGIC);
    store_le32(bytes + 16, (uint32_t)size_bytes);
    store_le32(bytes + 20, 0);
    if (off > size_bytes) {
        return;
    }
    if (headers_bytes > size_bytes - off) {
        headers_bytes = (uint32_t)(size_bytes - off) & ~7u;
        store_le32(bytes + 12, headers_bytes);
    }
    crc = igvm_crc32(igvm_crc32(0, bytes, fixed), bytes + off, headers_bytes);
    store_le32(bytes + 20, crc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
    struct igvm_error error;
    struct igvm_file file;
    char line[128];
    uint8_t *bytes;

    if (size_bytes == 0) {
        return 0;
    }
    size_bytes--;
    bytes = malloc(size_bytes + (size_bytes == 0));
    if (bytes == NULL) {
        return 0;
    }
    memcpy(bytes, data + 1, size_bytes);
    if ((data[0] & 1) != 0 && size_bytes >= IGVM_FIXED_HEADER_V2_BYTES) {
        repair(bytes, size_bytes);
    }
    if (igvm_open(&file, bytes, size_bytes, &error) == 0) {
        if (igvm_validate(&file, &error) == 0) {
            find_overlaps(&file);
        } else {
            igvm_error_format(&error, line, sizeof(line));
        }
        load_all(&file); // also what is not valid must be safe to load
    }
    free(bytes);
    return 0;
}
