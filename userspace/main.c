// SPDX-License-Identifier: MIT
//
// parapet: one static binary for all of VTL2's userspace. Which program it is, the name it was
// started by says (PID 1 is /init), or the first argument.
#include "userspace/ctl.h"
#include "userspace/init.h"
#include "userspace/supervisor.h"
#include "userspace/uefi_vars.h"
#include "userspace/vault.h"
#include "userspace/vmm.h"
#include "userspace/vtpm.h"

#include "version.h"

#include <stdio.h>
#include <string.h>

static int version_main(int argc, char **argv) {
    (void)argc;
    (void)argv;
    puts("parapet " PARAPET_VERSION);
    return 0;
}

static int help_main(int argc, char **argv);

static const struct program {
    const char *name, *help;
    int (*main)(int argc, char **argv);
} programs[] = {
    {"init", "PID 1 of VTL2", init_main},
    {"supervisor", "starts and watches the workers", supervisor_main},
    {"vmm", "runs a guest (on any Linux host with /dev/kvm too)", vmm_main},
    {"vtpm", "the TPM process", vtpm_main},
    {"uefi-vars", "the UEFI variable process", uefi_vars_main},
    {"vault", "the guest state's disk", vault_main},
    {"ctl", "talks to a running vmm: inspect, power-button, reset, stop, …", ctl_main},
    {"version", "prints the version", version_main},
    {"help", "this text", help_main},
};

static int help_main(int argc, char **argv) {
    (void)argc;
    (void)argv;
    puts("usage: parapet PROGRAM [ARGUMENT…]");
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        printf("  %-11s %s\n", programs[i].name, programs[i].help);
    }
    puts("docs/configuration.md describes the configuration of the vmm.");
    return 0;
}

static const struct program *find(const char *name) {
    const char *slash = strrchr(name, '/');

    name = slash ? slash + 1 : name;
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        if (strcmp(programs[i].name, name) == 0) {
            return &programs[i];
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    const struct program *program = argc > 0 ? find(argv[0]) : NULL;

    if (program) {
        return program->main(argc, argv);
    }
    program = argc > 1 ? find(argv[1]) : NULL;
    if (program) {
        return program->main(argc - 1, argv + 1);
    }
    help_main(argc, argv);
    return argc > 1 ? 2 : 0;
}
