// SPDX-License-Identifier: MIT
//
// The client's end of the guest state: one VMGS file, read and written whole, over the socket that
// the supervisor has left open (userspace/vault.h). Which file that is, the vault knows: a client
// cannot name another one. Blocking; system calls: sendto and recvfrom on fd. One thread at a time.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// Reads the whole file; *size_bytes gets its size. -ENOENT: it was never written. -ERANGE: larger
/// than room_bytes. Every other error means that there is a state that cannot be had (wrong key,
/// damaged, disk error: the vault's log says which) and that nothing may be made in its place.
int vault_read(int fd, void *out, size_t room_bytes, size_t *size_bytes);

/// Replaces the whole file (1 to VAULT_FILE_MAX_BYTES); returns when it is on the disk. After a
/// power cut at any moment the file has the old or the new contents. An error leaves the old ones,
/// except -EIO and -ETIMEDOUT: old or new. -ENOSPC: the disk is full.
int vault_write(int fd, const void *bytes, size_t size_bytes);

/// The largest file.
#define VAULT_FILE_MAX_BYTES 0x100000u
