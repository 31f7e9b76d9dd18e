// SPDX-License-Identifier: MIT
//
// `parapet ctl [--socket=PATH] COMMAND`: sends one command to a running vmm, prints its answer.
#pragma once

/// Entry of `parapet ctl`; argv[0] is "ctl". 0, or 1 when the vmm does not answer or says an error.
int ctl_main(int argc, char **argv);
