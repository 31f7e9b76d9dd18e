// SPDX-License-Identifier: MIT
//
// igvmtool: builds, shows, checks, compares, takes apart and measures IGVM files. See
// docs/man/igvmtool.1.

#include "tools/igvmtool/tool.h"

#include "igvm/igvm_desc.h"

#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage;
} commands[] = {
    {"build", igvmtool_build, "MANIFEST.json -o OUT [--verbose]"},
    {"dump", igvmtool_dump, "[--json | --all] FILE"},
    {"check", igvmtool_check, "FILE"},
    {"diff", igvmtool_diff, "A B"},
    {"extract", igvmtool_extract,
     "FILE -o OUT (--gpa START [--size BYTES] | --index N | --region NAME --manifest "
     "MANIFEST.json) "
     "[--platform NAME]"},
    {"measure", igvmtool_measure, "--platform (snp | tdx) FILE"},
};

static void usage(FILE *out) {
    fputs("usage: igvmtool COMMAND ...\n\n", out);
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        fprintf(out, "  igvmtool %s %s\n", commands[i].name, commands[i].usage);
    }
    fputs("  igvmtool help [types]\n\n"
          "Exit status: 0 done, valid, same; 1 invalid or different; 2 usage, input or output.\n"
          "The manual is igvmtool(1); the manifest is described in docs/igvm.md.\n",
          out);
}

/// The header types and their fields, as manifests and dumps name them.
static void list_types(void) {
    for (size_t i = 0; i < igvm_header_desc_count; i++) {
        const struct igvm_header_desc *desc = &igvm_header_descs[i];

        printf("0x%03x %s:", (unsigned)desc->type, desc->name);
        for (size_t k = 0; k < desc->field_count; k++) {
            if (desc->fields[k].role != IGVM_ROLE_RESERVED) {
                printf(" %s", desc->fields[k].name);
            }
        }
        putchar('\n');
    }
}

int main(int argc, char **argv) {
    if (argc < 2) {
        usage(stderr);
        return IGVMTOOL_FAILED;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0) {
        if (argc == 3 && strcmp(argv[2], "types") == 0) {
            list_types();
        } else {
            usage(stdout);
        }
        return IGVMTOOL_OK;
    }
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "igvmtool: unknown command \"%s\"\n", argv[1]);
    usage(stderr);
    return IGVMTOOL_FAILED;
}
