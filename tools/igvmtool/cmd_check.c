// SPDX-License-Identifier: MIT
//
// igvmtool check: is a file valid, and do its imports keep apart?

#include "tools/igvmtool/tool.h"

#include "igvm/igvm_desc.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

/// Overlaps among what one platform imports. 0, or -EINVAL/-ENOMEM with *error filled.
static int check_platform(const char *path, const struct igvm_file *file,
                          const struct igvm_supported_platform *platform, FILE *out,
                          struct igvmtool_error *error) {
    const uint32_t mask = platform->compatibility_mask;
    struct igvm_error broken;
    struct igvm_extent *extents;
    char line[384];
    size_t count;
    int rc;

    igvm_collect_extents(file, mask, NULL, 0, &count); // only the number
    extents = calloc(count + 1, sizeof(*extents));
    if (extents == NULL) {
        igvmtool_error_set(error, "out of memory");
        return -ENOMEM;
    }
    igvm_collect_extents(file, mask, extents, count, &count);
    rc = igvm_find_overlap(extents, count, &broken);
    if (rc != 0) {
        igvm_error_format(&broken, line, sizeof(line));
        igvmtool_error_set(error, "%s: platform %s: %s", path,
                           igvm_platform_names[platform->platform_type], line);
    } else if (out != NULL) {
        fprintf(out, "%s: %s: %zu imports, no overlap\n", path,
                igvm_platform_names[platform->platform_type], count);
    }
    free(extents);
    return rc;
}

int igvmtool_check_overlaps(const char *path, const struct igvm_file *file, FILE *out,
                            struct igvmtool_error *error) {
    struct igvm_supported_platform platform;

    for (uint32_t bit = 0; bit < IGVM_MAX_PLATFORMS; bit++) {
        if (igvm_find_platform_by_mask(file, 1u << bit, &platform) == 0) {
            int rc = check_platform(path, file, &platform, out, error);

            if (rc != 0) {
                return rc;
            }
        }
    }
    return 0;
}

int igvmtool_check(int argc, char **argv) {
    static const struct option options[] = {{0}};
    struct igvmtool_error error = {""};
    struct igvmtool_bytes bytes;
    struct igvm_file file;
    int rc;

    if (getopt_long(argc, argv, "", options, NULL) != -1 || argc - optind != 1) {
        igvmtool_error_set(&error, "check needs one FILE");
        igvmtool_complain(&error);
        return IGVMTOOL_FAILED;
    }
    rc = igvmtool_open_image(argv[optind], &bytes, &file, &error);
    if (rc == 0) {
        rc = igvmtool_check_overlaps(argv[optind], &file, stdout, &error);
        igvmtool_bytes_free(&bytes);
    }
    if (rc != 0) {
        igvmtool_complain(&error);
    }
    return rc == 0 ? IGVMTOOL_OK : rc == -EINVAL ? IGVMTOOL_DIFFERS : IGVMTOOL_FAILED;
}
