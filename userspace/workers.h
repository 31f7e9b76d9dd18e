// SPDX-License-Identifier: MIT
//
// The supervisor's workers: what each is started with, which descriptors join them, and how one is
// ended. supervisor.c decides when.
//
//     vault ══ vtpm ══════╗
//       ╚═══ uefi-vars ══ vmm ══ supervisor
//
// A socket to the vault outlives its client: the supervisor keeps the client's end and gives it to
// each new process (vault_client.h says how a successor tells its answers). A vault that is gone
// takes its clients along: what they have answered for could not be kept any more.
#pragma once

#include "userspace/config.h"
#include "userspace/host_info.h"

#include <stdbool.h>
#include <sys/types.h>

enum worker_kind { WORKER_VAULT, WORKER_VTPM, WORKER_UEFI_VARS, WORKER_VMM, WORKER_COUNT };

struct workers {
    const struct config *config;
    const struct host_info *info;
    const char *config_path;     ///< the measured configuration's; NULL: the default
    pid_t pids[WORKER_COUNT];    ///< 0: not running
    int vault_fds[WORKER_COUNT]; ///< a client's end of its socket to the vault; -1: none
    int vmm_fd;                  ///< our end of the VM worker's socket; -1: none
};

void workers_init(struct workers *workers, const struct config *config,
                  const struct host_info *info, const char *config_path);

/// Whether the configuration wants this one.
bool workers_wants(const struct workers *workers, enum worker_kind kind);

/// Starts the vault and opens new sockets for its clients. When it cannot be started the sockets
/// are dead, and the clients go into their failure modes: nothing is made in the state's place.
void workers_start_vault(struct workers *workers);

/// Starts WORKER_VTPM or WORKER_UEFI_VARS. The VM worker's end of its socket, -1 with a log line.
int workers_start_service(struct workers *workers, enum worker_kind kind);

/// Starts the VM worker with the sockets of the services (-1: none), which are closed here. 0 or
/// -errno.
int workers_start_vmm(struct workers *workers, const int services[WORKER_COUNT]);

/// Ends a worker that is not needed any more or has been given up: it gets a moment to end by
/// itself (its sockets are closed), then it is killed. Every worker's state survives that.
void workers_end(struct workers *workers, enum worker_kind kind);

/// Notes that a process has ended: which of them, WORKER_COUNT for none of ours. The vault takes
/// its clients along.
enum worker_kind workers_ended(struct workers *workers, pid_t pid, int status);

/// Lets the vault end: nobody needs it any more.
void workers_release_vault(struct workers *workers);
