// SPDX-License-Identifier: MIT
//
// Where the guest state's root key comes from. The vault asks once, before it opens the disk, and
// knows nothing else of it, so that a key which the hardware derives for exactly this image
// (SEV-SNP: MSG_KEY_REQ; TDX: sealing by a quote) can take the place of the configured one.
//
// The configured key comes over a pipe from the supervisor: no process but these two ever has it,
// it stands in no argument, no environment and no log. It protects the state at rest: from who gets
// the disk without the configuration. A key that the host gave does not protect from the host.
#pragma once

#include "userspace/vmgs/vmgs_format.h"

struct key_source {
    const char *name; ///< for the log
    /// Gives the key. 0; -ENOKEY: this machine has none, its state is not encrypted; any other
    /// error: there is one that cannot be had, and nothing may be opened without it.
    int (*root_key)(struct key_source *source, uint8_t key[VMGS_KEY_BYTES]);
    int fd; ///< key_source_pipe()'s
};

/// The configured key: VMGS_KEY_BYTES bytes that wait in fd, which root_key() closes. fd -1: none.
void key_source_pipe(struct key_source *source, int fd);
