// SPDX-License-Identifier: MIT
//
// igvmtool extract: guest memory as the file would set it up, or the file data of one header.

#include "tools/igvmtool/manifest.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

struct request {
    const char *image;
    const char *output;
    const char *region;   // by name, with manifest
    const char *manifest; // where the name is looked up
    const char *platform; // NULL: the file's first
    bool by_gpa;
    bool by_index;
    uint64_t gpa;
    uint64_t size_bytes; // 0: as far as pages follow each other
    uint64_t index;
};

/// The mask bit of the platform asked for.
static int choose_mask(const struct request *request, const struct igvm_file *file, uint32_t *mask,
                       struct igvmtool_error *error) {
    struct igvm_supported_platform platform;

    for (uint32_t i = 0; i < IGVM_PLATFORM_NAME_COUNT; i++) {
        if (request->platform != NULL && strcmp(request->platform, igvm_platform_names[i]) == 0 &&
            igvm_find_platform(file, (enum igvm_platform_type)i, &platform) == 0) {
            *mask = platform.compatibility_mask;
            return 0;
        }
    }
    for (uint32_t bit = 0; bit < IGVM_MAX_PLATFORMS && request->platform == NULL; bit++) {
        if (igvm_find_platform_by_mask(file, 1u << bit, &platform) == 0) {
            *mask = 1u << bit;
            return 0;
        }
    }
    return igvmtool_error_set(error, "%s: has no platform %s; 'igvmtool dump' shows them",
                              request->image, request->platform == NULL ? "" : request->platform);
}

/// Copies the part of a page that lies in [start, start + size_bytes) to out. Whether there is any.
static bool copy_page(const struct igvm_file *file, const struct igvm_header *header,
                      uint64_t start, uint64_t size_bytes, uint8_t *out) {
    const struct igvm_page_data *page = &header->u.page_data;
    const uint64_t page_bytes = (page->flags & IGVM_PAGE_2MB) != 0 ? PAGE_SIZE_2M : PAGE_SIZE_4K;
    const uint64_t from = page->gpa > start ? page->gpa : start;
    const uint64_t page_end = page->gpa + page_bytes; // validated: no wrap
    const uint64_t to = page_end < start + size_bytes ? page_end : start + size_bytes;
    const uint8_t *data;
    uint64_t data_bytes;

    if (from >= to) {
        return false;
    }
    igvm_header_data(file, header, &data, &data_bytes); // validated: cannot fail
    if (data != NULL) {
        memcpy(out + (from - start), data + (from - page->gpa), to - from);
    }
    return true;
}

/// How far imports follow each other from start on.
static int run_length(const struct igvm_file *file, uint32_t mask, uint64_t start,
                      uint64_t *size_bytes) {
    struct igvm_error unused;
    struct igvm_extent *extents;
    uint64_t end = start;
    size_t count;

    igvm_collect_extents(file, mask, NULL, 0, &count);
    extents = calloc(count + 1, sizeof(*extents));
    if (extents == NULL) {
        return -ENOMEM;
    }
    igvm_collect_extents(file, mask, extents, count, &count);
    igvm_find_overlap(extents, count, &unused); // for its sorting
    for (size_t i = 0; i < count; i++) {
        if (extents[i].header_type == IGVM_VHT_PAGE_DATA && extents[i].range.start <= end &&
            extents[i].range.end > end) {
            end = extents[i].range.end;
        }
    }
    free(extents);
    *size_bytes = end - start;
    return 0;
}

static int extract_memory(const struct request *request, const struct igvm_file *file,
                          struct igvmtool_error *error) {
    struct igvm_iter iter = igvm_iter_start(file);
    uint64_t size_bytes = request->size_bytes;
    struct igvm_header header;
    struct igvm_error broken;
    bool any = false;
    uint64_t end;
    uint32_t mask = 0;
    uint8_t *out;
    int rc = choose_mask(request, file, &mask, error);

    if (rc != 0) {
        return rc;
    }
    if (size_bytes == 0) {
        rc = run_length(file, mask, request->gpa, &size_bytes);
    }
    if (rc != 0 || size_bytes > UINT32_MAX ||
        __builtin_add_overflow(request->gpa, size_bytes, &end)) {
        return igvmtool_error_set(error, "%s: the range is larger than 4 GiB", request->image);
    }
    out = calloc(1, size_bytes + 1);
    if (out == NULL) {
        return igvmtool_error_set(error, "out of memory");
    }
    while (igvm_iter_next(&iter, &header, &broken) > 0) {
        if (header.type == IGVM_VHT_PAGE_DATA && header.desc != NULL &&
            (header.u.page_data.compatibility_mask & mask) != 0) {
            any |= copy_page(file, &header, request->gpa, size_bytes, out);
        }
    }
    rc = any ? igvmtool_write_file(request->output, out, size_bytes, error)
             : igvmtool_error_set(error, "%s: imports no page at 0x%llx", request->image,
                                  (unsigned long long)request->gpa);
    free(out);
    return rc;
}

static int extract_header(const struct request *request, const struct igvm_file *file,
                          struct igvmtool_error *error) {
    struct igvm_iter iter = igvm_iter_start(file);
    struct igvm_header header;
    struct igvm_error broken;
    const uint8_t *data = NULL;
    uint64_t size_bytes = 0;

    for (uint64_t i = 0; igvm_iter_next(&iter, &header, &broken) > 0; i++) {
        if (i != request->index) {
            continue;
        }
        if (igvm_header_data(file, &header, &data, &size_bytes) != 0 || data == NULL) {
            return igvmtool_error_set(error, "%s: header %llu has no file data", request->image,
                                      (unsigned long long)i);
        }
        return igvmtool_write_file(request->output, data, size_bytes, error);
    }
    return igvmtool_error_set(error, "%s: has no header %llu; 'igvmtool dump --all' numbers them",
                              request->image, (unsigned long long)request->index);
}

/// Turns a region's name into its range: the file itself has no names.
static int look_up_region(struct request *request, struct igvmtool_error *error) {
    const struct manifest_region *region;
    struct igvmtool_bytes text;
    struct manifest manifest;
    int rc = igvmtool_read_file(request->manifest, &text, error);

    if (rc != 0) {
        return rc;
    }
    rc = manifest_parse(&manifest, request->manifest, text.data, text.size_bytes, error);
    if (rc == 0) {
        rc = manifest_load(&manifest);
    }
    if (rc == 0) {
        region = manifest_find(&manifest, request->region);
        if (region == NULL || !manifest_occupies(region)) {
            rc = igvmtool_error_set(error, "%s: has no region \"%.64s\" with contents",
                                    request->manifest, request->region);
        } else {
            request->gpa = region->gpa;
            request->size_bytes =
                region->data.size_bytes != 0 ? region->data.size_bytes : region->size_bytes;
        }
    }
    manifest_free(&manifest);
    igvmtool_bytes_free(&text);
    return rc;
}

static int parse_options(int argc, char **argv, struct request *request) {
    static const struct option options[] = {
        {"gpa", required_argument, NULL, 'g'},      {"size", required_argument, NULL, 's'},
        {"index", required_argument, NULL, 'i'},    {"region", required_argument, NULL, 'r'},
        {"manifest", required_argument, NULL, 'm'}, {"platform", required_argument, NULL, 'p'},
        {"output", required_argument, NULL, 'o'},   {0},
    };
    int rc = 0;
    int option;

    while (rc == 0 && (option = getopt_long(argc, argv, "o:p:", options, NULL)) != -1) {
        switch (option) {
        case 'g':
            request->by_gpa = true;
            rc = igvmtool_parse_number(optarg, &request->gpa);
            break;
        case 's':
            rc = igvmtool_parse_number(optarg, &request->size_bytes);
            break;
        case 'i':
            request->by_index = true;
            rc = igvmtool_parse_number(optarg, &request->index);
            break;
        case 'r':
            request->region = optarg;
            break;
        case 'm':
            request->manifest = optarg;
            break;
        case 'p':
            request->platform = optarg;
            break;
        case 'o':
            request->output = optarg;
            break;
        default:
            return -EINVAL;
        }
    }
    request->image = argc - optind == 1 ? argv[optind] : NULL;
    return rc;
}

int igvmtool_extract(int argc, char **argv) {
    struct igvmtool_error error = {""};
    struct request request = {0};
    struct igvmtool_bytes bytes;
    struct igvm_file file;
    int rc = parse_options(argc, argv, &request);

    if (rc != 0 || request.image == NULL || request.output == NULL ||
        request.by_gpa + request.by_index + (request.region != NULL) != 1 ||
        (request.region != NULL) != (request.manifest != NULL)) {
        igvmtool_error_set(&error, "extract needs FILE, -o OUT and one of: --gpa START [--size "
                                   "BYTES], --index N, --region NAME --manifest MANIFEST.json");
        igvmtool_complain(&error);
        return IGVMTOOL_FAILED;
    }
    rc = request.region != NULL ? look_up_region(&request, &error) : 0;
    if (rc == 0) {
        rc = igvmtool_open_image(request.image, &bytes, &file, &error);
    }
    if (rc == 0) {
        rc = request.by_index ? extract_header(&request, &file, &error)
                              : extract_memory(&request, &file, &error);
        igvmtool_bytes_free(&bytes);
    }
    if (rc != 0) {
        igvmtool_complain(&error);
    }
    return rc == 0 ? IGVMTOOL_OK : IGVMTOOL_FAILED;
}
