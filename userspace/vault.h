// SPDX-License-Identifier: MIT
//
// The vault: the process that owns the guest state's disk and its key, and how the supervisor
// starts it. Nobody else opens that disk; the vTPM and the UEFI variables each have a socket on
// which they read and write the one file that is theirs (userspace/vault_client.h).
//
//     parapet vault --disk-fd=FD --client=FD:FILE [--client=…] [--key-fd=FD] [--format=never]
//
//     --disk-fd=FD        the disk (block device or file), open for reading and writing
//     --client=FD:FILE    a SOCK_SEQPACKET socket and the VMGS file id it gives access to
//     --key-fd=FD         a pipe with the root key (32 bytes); without: the state is not encrypted
//     --format=never      refuse an empty disk (default: if-empty)
//     --uid=N --gid=N     who to become (default: one of its own when started as root)
//
// The process confines itself (userspace/sandbox.h). A guest state that cannot be opened does not
// end it: every request then gets the reason, and the clients go into their failure modes. It ends
// when all its sockets are closed; between two requests everything that was answered is on the
// disk.
#pragma once

/// Entry of `parapet vault`; argv[0] is "vault". Returns the exit code: 0 after all clients have
/// closed, 1 when it could not start (a line in the log says why).
int vault_main(int argc, char **argv);

#define VAULT_DEFAULT_UID 65531u
#define VAULT_MAX_CLIENTS 4u
