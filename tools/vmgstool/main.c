// SPDX-License-Identifier: MIT
//
// vmgstool: makes, shows, checks, changes and repairs guest state files (VMGS). See
// docs/man/vmgstool.1.

#include "tools/vmgstool/tool.h"

#include "igvm/base/types.h"

#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage;
} commands[] = {
    {"create", vmgstool_create,
     "IMAGE [--size BYTES] [--sector 512|4096] [--key KEYFILE] [--force]"},
    {"list", vmgstool_list, "IMAGE [--key KEYFILE] [--json]"},
    {"dump", vmgstool_dump, "IMAGE [--json]"},
    {"read", vmgstool_read, "IMAGE ID [-o OUT] [--key KEYFILE]"},
    {"write", vmgstool_write, "IMAGE ID -i IN [--key KEYFILE] [--plain] [--expose]"},
    {"delete", vmgstool_delete, "IMAGE ID [--key KEYFILE]"},
    {"encrypt", vmgstool_encrypt, "IMAGE --key KEYFILE"},
    {"rekey", vmgstool_rekey, "IMAGE --key KEYFILE --new-key KEYFILE"},
    {"check", vmgstool_check, "IMAGE [--key KEYFILE] [--json]"},
    {"uefi-vars", vmgstool_uefi_vars,
     "list|export|import IMAGE [-o OUT] [-i IN] [--key KEYFILE] [--replace]"},
    {"repair", vmgstool_repair, "IMAGE [--key KEYFILE] [--older]"},
};

static void usage(FILE *out) {
    fputs("usage: vmgstool COMMAND ...\n\n", out);
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        fprintf(out, "  vmgstool %s %s\n", commands[i].name, commands[i].usage);
    }
    fputs("  vmgstool help\n\n"
          "ID is 1 to 62 or a name (list shows them). KEYFILE holds 32 bytes or 64 hexadecimal "
          "digits.\n"
          "Exit status: 0 done; 1 damaged; 2 usage, input or output; 3 no such file; 4 key missing "
          "or\n"
          "wrong; 5 empty or version 1; 6 no room. The manual is vmgstool(1); the format: "
          "docs/vmgs.md.\n",
          out);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        usage(stderr);
        return VMGSTOOL_FAILED;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0) {
        usage(stdout);
        return VMGSTOOL_OK;
    }
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    vmgstool_say("unknown command \"%s\"", argv[1]);
    usage(stderr);
    return VMGSTOOL_FAILED;
}
