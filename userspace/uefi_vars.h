// SPDX-License-Identifier: MIT
//
// The variable process: the UEFI variable service (userspace/uefi/) with its store, apart from the
// VM worker, and how the supervisor starts it.
//
//     socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
//     fork; in the child: clear FD_CLOEXEC of pair[1], keep 0, 1 and 2 for the log, then exec
//         parapet uefi-vars --socket=<pair[1]> --vault-fd=<the vault's BIOS_NVRAM> --uid=<unused>
//     pair[0] goes to the VM worker: uefi_vars_client_init().
//
//     --socket=FD          the SOCK_SEQPACKET socket (required)
//     --vault-fd=FD        where the store is (userspace/vault_client.h); without it variables live
//                          as long as the process
//     --keys-fd=FD         a file with the keys for a store that was never written (uefi/keys.h);
//                          without it such a store is in setup mode
//     --secure-boot        secure_boot.enabled of the configuration
//     --uid=N --gid=N      who to become (default 65533 when started as root)
//
// The process confines itself (userspace/sandbox.h), says whether it is healthy by a READY message
// and ends when the other end of its socket closes. A store that cannot be had or is damaged is
// never replaced: every message of the guest fails then, until a reset finds a good one. If the
// process dies, it must not be started again under a running guest: volatile variables, and that
// boot services have ended, would be forgotten.
#pragma once

/// Entry of `parapet uefi-vars`; argv[0] is "uefi-vars". Returns the process's exit code: 0 after
/// the peer has closed, 1 when it could not start (a line in the log says why).
int uefi_vars_main(int argc, char **argv);

#define UEFI_VARS_DEFAULT_UID 65533u
