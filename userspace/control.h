// SPDX-License-Identifier: MIT
//
// The control socket: one Unix stream connection per command, one line in, an answer out. Served by
// the VM worker's control thread. Commands: help, inspect, power-button, reset, stop, pause,
// resume, save FILE-less (answers with the state), load (reads the state). See control.c.
#pragma once

#include "userspace/machine.h"

#define CONTROL_DEFAULT_PATH "/run/parapet.sock"

struct control {
    struct machine *machine;
    int listen_fd; ///< -1: no socket
    bool ready;    ///< somebody waits to be accepted
    struct loop_io poll;
};

/// Listens at path (NULL: no socket; everything else still works). -errno.
int control_open(struct control *control, struct machine *machine, const char *path);

/// Serves those who wait; not from a loop callback: commands may stop the machine.
void control_serve(struct control *control);

void control_close(struct control *control);

/// Asks the supervisor for a new service (SUPERVISOR_VTPM, …): its socket, -ENOENT or -EIO.
int control_ask_service(int supervisor_fd, char service);

/// Stops the guest, then asks the supervisor for a new vTPM or variable process where the old one
/// is dead; for a guest reset. Nothing of the old guest runs when a new service is there.
void control_renew_services(struct control *control, int supervisor_fd);
