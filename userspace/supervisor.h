// SPDX-License-Identifier: MIT
//
// Starts and watches the workers of VTL2: vtpm and vmm.
#pragma once

/// Entry of `parapet supervisor`; argv[0] is "supervisor". Ends with the vmm's exit code (vmm.h).
int supervisor_main(int argc, char **argv);
