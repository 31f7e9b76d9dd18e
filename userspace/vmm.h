// SPDX-License-Identifier: MIT
//
// The VM worker: `parapet vmm`. Runs VTL0 until it powers off.
//
//     --config=FILE     measured configuration (default /etc/parapet.json when it exists)
//     --kernel=FILE --initrd=FILE --append=TEXT --memory=SIZE --vps=N   override the configuration
//     --control=PATH    the control socket (default: none)
//     --vtpm-fd=FD      socket of the vTPM process
//     --uefi-vars-fd=FD socket of the UEFI variables' process
//     --supervisor-fd=FD  socket of the supervisor: asks for a new vTPM at a guest reset
//     --confine         drop privileges before the guest starts
#pragma once

/// Why the worker ended; its exit code.
enum vmm_end {
    VMM_END_POWER_OFF = 0,
    VMM_END_FAILED = 1, ///< could not start, or the platform failed
    VMM_END_RESET = 2,  ///< the guest asked for a reset and guest.on_reset is "stop"
    VMM_END_CRASH = 3,  ///< triple fault and guest.on_crash is "stop"
    VMM_END_CONFIG = 4, ///< the configuration is wrong
};

/// Entry of `parapet vmm`; argv[0] is "vmm". Returns enum vmm_end.
int vmm_main(int argc, char **argv);
