// SPDX-License-Identifier: MIT
//
// PID 1 of VTL2.
#pragma once

/// Entry of PID 1; never returns (powers off or reboots). Started as another process it refuses.
int init_main(int argc, char **argv);
