// SPDX-License-Identifier: MIT
//
// The VM worker's command line and its configuration, between vmm.c and vmm_options.c.
#pragma once

#include "userspace/config.h"
#include "userspace/host_info.h"

#define VMM_DEFAULT_CONFIG "/etc/parapet.json"

struct vmm_options {
    const char *config_path; ///< NULL: VMM_DEFAULT_CONFIG when it exists
    const char *kernel, *initrd, *append, *memory;
    uint32_t vps;
    const char *control_path;
    int vtpm_fd, uefi_vars_fd, supervisor_fd;
    bool confine;
};

/// 0, or -EINVAL with a line on stderr.
int vmm_parse_options(int argc, char **argv, struct vmm_options *out);

/// Defaults, measured file, host's text, command line; checked. -errno with a log line.
int vmm_read_config(const struct vmm_options *options, const struct host_info *info,
                    struct config *out);
