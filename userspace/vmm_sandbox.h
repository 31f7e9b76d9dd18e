// SPDX-License-Identifier: MIT
//
// What the VM worker may still do once its guest runs.
#pragma once

/// Enters the sandbox (userspace/sandbox.h). Everything is open, every thread runs. -errno.
int vmm_sandbox_enter(void);
