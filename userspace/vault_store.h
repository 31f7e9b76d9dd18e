// SPDX-License-Identifier: MIT
//
// The guest state as the vault keeps it: a VMGS file system that is opened, or made on an empty
// disk, by fixed rules, and whose files are then read and replaced whole. What cannot be opened by
// these rules is left as it is, byte for byte, and refused from then on. Pure: the disk is
// callbacks.
//
//     disk                      key configured            no key
//     empty                     formatted, encrypted      formatted            (format: else
//     refused) whole, encrypted          opened with the key       refused whole, not encrypted
//     refused; without files    opened
//                               as an empty disk
//     anything else             refused                   refused
//
// With a key every file is encrypted: one that is not has been put there by somebody else.
#pragma once

#include "userspace/vmgs/vmgs.h"

struct vault_store {
    struct vmgs vmgs;
    bool has_key;
    int refusal; ///< negative errno that every request gets; 0: open
};

/// Opens or makes the guest state. key: VMGS_KEY_BYTES, or NULL for an unencrypted one; the caller
/// wipes its copy. format: whether an empty disk may be formatted. 0, or -errno with the reason in
/// the log, which is store->refusal from then on:
/// -ENOMEDIUM empty and not to be formatted, -EKEYREJECTED wrong key, no key, or a state that is
/// not encrypted, -EBADMSG damaged or none of ours, -EIO the disk.
int vault_store_open(struct vault_store *store, const struct vmgs_disk *disk, const uint8_t *key,
                     bool format);

/// Reads a whole file. -ENOENT: it was never written. -ERANGE, -EBADMSG, -EIO, the refusal.
int vault_store_read(struct vault_store *store, uint32_t file_id, void *out, size_t room_bytes,
                     size_t *size_bytes);

/// Replaces a whole file; it is on the disk afterwards. -ENOSPC, -EBADMSG: nothing has changed.
/// -EIO: old or new, and nothing is written any more until the store is opened again.
int vault_store_write(struct vault_store *store, uint32_t file_id, const void *bytes,
                      size_t size_bytes);

/// Forgets the keys.
void vault_store_close(struct vault_store *store);
