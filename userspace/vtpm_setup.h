// SPDX-License-Identifier: MIT
//
// Between vtpm.c (the threads of the vTPM process) and vtpm_setup.c (its start): options, state,
// confinement. vtpm.h describes the options.
#pragma once

#include "userspace/vtpm_engine.h"

struct vtpm_options {
    int socket_fd;
    int state_fd, vault_fd, events_fd;
    const char *state_path;
    int uid;
    int gid;
    struct vtpm_engine_policy policy;
};

/// -EINVAL with a line in the log.
int vtpm_parse_options(struct vtpm_options *options, int argc, char **argv);

/// The state that the options name, not yet looked into. 0, or -errno with a line in the log.
int vtpm_open_store(struct vtpm_store *store, const struct vtpm_options *options);

/// Enters the sandbox; there is no way back. 0 or -errno.
int vtpm_confine(const struct vtpm_store *store, const struct vtpm_options *options);
