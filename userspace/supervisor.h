// SPDX-License-Identifier: MIT
//
// Starts and watches the workers of VTL2: vtpm and vmm.
#pragma once

/// Entry of `parapet supervisor`; argv[0] is "supervisor". Ends with the vmm's exit code (vmm.h).
int supervisor_main(int argc, char **argv);

/// What the VM worker may ask its supervisor for, at a guest reset: one byte, answered by the same
/// byte and, when there is one, the new service's socket.
#define SUPERVISOR_VTPM      't'
#define SUPERVISOR_UEFI_VARS 'u'
