// SPDX-License-Identifier: MIT
//
// igvmtool build: manifest in, IGVM file out.

#include "tools/igvmtool/manifest.h"

#include <getopt.h>

static int build(struct manifest *manifest, const char *output, bool verbose) {
    struct igvmtool_bytes image;
    int rc;

    if (manifest_load(manifest) != 0) {
        return IGVMTOOL_FAILED;
    }
    if (verbose) {
        manifest_print_map(manifest, stdout); // before the checks: it shows what is wrong, too
    }
    if (manifest_check_layout(manifest) != 0) {
        return IGVMTOOL_FAILED;
    }
    rc = manifest_emit(manifest, &image);
    if (rc == 0) {
        rc = igvmtool_write_file(output, image.data, image.size_bytes, manifest->error);
    }
    if (rc == 0 && verbose) {
        printf("%s: %zu bytes\n", output, image.size_bytes);
    }
    igvmtool_bytes_free(&image);
    return rc == 0 ? IGVMTOOL_OK : IGVMTOOL_FAILED;
}

int igvmtool_build(int argc, char **argv) {
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'},
        {"verbose", no_argument, NULL, 'v'},
        {0},
    };
    struct igvmtool_error error = {""};
    struct igvmtool_bytes text;
    struct manifest manifest;
    const char *output = NULL;
    bool verbose = false;
    int status = IGVMTOOL_FAILED;
    int option;

    while ((option = getopt_long(argc, argv, "o:v", options, NULL)) != -1) {
        if (option == 'o') {
            output = optarg;
        } else if (option == 'v') {
            verbose = true;
        } else {
            return IGVMTOOL_FAILED;
        }
    }
    if (output == NULL || argc - optind != 1) {
        igvmtool_error_set(&error, "build needs MANIFEST.json and -o OUT");
        igvmtool_complain(&error);
        return IGVMTOOL_FAILED;
    }
    if (igvmtool_read_file(argv[optind], &text, &error) == 0) {
        if (manifest_parse(&manifest, argv[optind], text.data, text.size_bytes, &error) == 0) {
            status = build(&manifest, output, verbose);
        }
        manifest_free(&manifest);
        igvmtool_bytes_free(&text);
    }
    if (status != IGVMTOOL_OK) {
        igvmtool_complain(&error);
    }
    return status;
}
