// SPDX-License-Identifier: MIT
//
// The vTPM: a process of its own around libtpms (TPM 2.0 library specification, revision 1.59), and
// how the supervisor starts it.
//
//     socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
//     fork; in the child: clear FD_CLOEXEC of pair[1], keep 0, 1 and 2 for the log, then exec
//         parapet vtpm --socket=<pair[1]> --state=/var/lib/vtpm.state --uid=<an unused one>
//     pair[0] goes to the VM worker: vtpm_client_init().
//
//     --socket=FD          the SOCK_SEQPACKET socket (required)
//     --state=PATH         the state file, made when absent; or
//     --state-fd=FD        an open one (file or block device of VTPM_STORE_BYTES), read and write
//     --vault-fd=FD        instead of both: the vault's socket (userspace/vault.h)
//     --identity           a new TPM gets endorsement and attestation keys with certificates
//                          (vtpm_identity.h)
//     --create=never       do not manufacture a TPM on a blank state (default: if-blank)
//     --on-corrupt=manufacture   keep corrupted state aside in the file and make a new TPM
//                          (default: fail: touch nothing, answer everything by TPM_RC_FAILURE)
//     --play-firmware      TPM2_Startup(CLEAR) and TPM2_SelfTest at every power-on: the guest
//                          has no firmware that does it
//     --events-fd=FD       with it: a pipe with what is measured then (vtpm_events.h)
//     --uid=N --gid=N      who to become (default 65534 when started as root)
//
// The process confines itself (userspace/sandbox.h), says whether it is healthy by a READY message
// and ends when the other end of its socket closes. If it dies, it must not be started again under
// a running guest: a fresh TPM has blank PCRs that the guest could fill with a boot that never was.
// The supervisor starts a new one at the next guest reset and the VM worker gives its socket to
// vtpm_client_attach().
#pragma once

/// Entry of `parapet vtpm`; argv[0] is "vtpm". Returns the process's exit code: 0 after the peer
/// has closed, 1 when it could not start (a line in the log says why).
int vtpm_main(int argc, char **argv);

#define VTPM_DEFAULT_UID 65534u
