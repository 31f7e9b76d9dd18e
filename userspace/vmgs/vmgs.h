// SPDX-License-Identifier: MIT
//
// VMGS, the virtual machine guest state file: a small file system of 64 numbered files that is
// changed atomically, with encryption. See docs/vmgs.md and userspace/vmgs/vmgs_format.h.
//
// The library is pure: it knows a disk by callbacks, allocates nothing and keeps its state in the
// caller's struct vmgs. Everything on the disk is hostile. A function returns 0 or a negative
// errno and leaves in vmgs->error which rule was broken, by which file, at which byte of the disk.
// Every change is one transaction: after a power cut the disk holds the old state or the new one.
// Not thread-safe: one caller at a time.
#pragma once

#include "userspace/vmgs/vmgs_format.h"
#include "userspace/vmgs/vmgs_rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vmgs_rule {
#define VMGS_RULE_ENUM(name, text) VMGS_RULE_##name,
    VMGS_RULES(VMGS_RULE_ENUM)
#undef VMGS_RULE_ENUM
        VMGS_RULE_COUNT,
};

/// Which rule was broken and where.
struct vmgs_error {
    enum vmgs_rule code;
    uint32_t file_id; // VMGS_NO_FILE: none
    uint64_t offset;  // byte of the disk
};

#define VMGS_NO_FILE UINT32_MAX

/// The disk and a source of random numbers. Offsets and sizes are whole sectors; callbacks return 0
/// or a negative errno. What is written may reach the medium in any order; flush returns once
/// everything written before is on it.
struct vmgs_disk {
    void *context;
    int (*read)(void *context, uint64_t off_bytes, void *out, size_t size_bytes);
    int (*write)(void *context, uint64_t off_bytes, const void *bytes, size_t size_bytes);
    int (*flush)(void *context); // write and flush NULL: read only
    int (*random)(void *context, void *out, size_t size_bytes);
    uint64_t size_bytes;   // what is beyond whole blocks is not used
    uint32_t sector_bytes; // 512 or 4096
};

/// A file as the tables describe it. Files 0 and 63 are the tables; 63's key is the metadata key.
struct vmgs_file {
    uint32_t block;
    uint32_t block_count; // 0: no such file
    uint64_t size_bytes;
    uint32_t attributes; // without the key: what the (unauthenticated) file table claims
    uint8_t nonce[VMGS_NONCE_BYTES];
    uint8_t tag[VMGS_TAG_BYTES];
    uint8_t key[VMGS_KEY_BYTES];
};

/// Blocks [block, block + block_count).
struct vmgs_extent {
    uint32_t block;
    uint32_t block_count;
};

/// One state of the file system: what one header stands for, and the keys that the caller gave.
struct vmgs_state {
    unsigned header_idx; // the header that holds this state
    uint32_t sequence;
    uint16_t algorithm;
    uint16_t markers;
    struct vmgs_wire_key slots[VMGS_KEY_SLOTS];
    struct vmgs_file files[VMGS_FILE_COUNT];
    bool unlocked;
    unsigned active_slot; // of the key that unlocked it
    bool root_known[VMGS_KEY_SLOTS];
    uint8_t roots[VMGS_KEY_SLOTS][VMGS_KEY_BYTES];
};

/// An open file system. Members are the library's; error may be read by the caller.
struct vmgs {
    struct vmgs_disk disk;
    uint32_t block_count;
    bool flushed;                                 // since it was opened
    bool stale;                                   // what the disk holds is unknown
    enum vmgs_rule other_rule;                    // what is wrong with the header not chosen
    struct vmgs_state now;                        // what the disk holds
    struct vmgs_state next;                       // a transaction under way
    struct vmgs_extent previous[VMGS_FILE_COUNT]; // blocks of the state before: reused last
    struct vmgs_error error;
    union { // work space: one block
        uint8_t block[VMGS_BLOCK_BYTES];
        struct vmgs_wire_file table[VMGS_FILE_COUNT];
        struct vmgs_wire_extended extended[VMGS_FILE_COUNT];
    };
};

/// What vmgs_stat() tells.
struct vmgs_file_info {
    uint64_t size_bytes;
    uint64_t allocated_bytes;
    uint64_t offset; // on the disk
    bool encrypted;  // without the key a claim of the file table's
};

enum vmgs_write_flags {
    VMGS_WRITE_ENCRYPT = 1u << 0, // needs an unlocked file system
    VMGS_WRITE_EXPOSE = 1u << 1,  // plain text may take the place of an encrypted file
};

/// Makes an empty file system; what the disk held is lost. Fails with -EINVAL (disk), -EIO.
int vmgs_create(struct vmgs *vmgs, const struct vmgs_disk *disk);

/// Opens the newest valid state. Nothing is written. -EINVAL: not a VMGS file or a rule is broken
/// (EMPTY and VERSION_1 say so), -EIO: the disk. vmgs->other_rule tells about the other header.
int vmgs_open(struct vmgs *vmgs, const struct vmgs_disk *disk);

/// As vmgs_open(), but the state of the given header, even if the other one is newer or their
/// sequence numbers do not fit. For repair: the next change overwrites the other header.
int vmgs_open_header(struct vmgs *vmgs, const struct vmgs_disk *disk, unsigned header_idx);

/// Forgets all keys. Nothing is written: every change is complete when its function returns.
void vmgs_close(struct vmgs *vmgs);

/// Whether the file system is encrypted.
bool vmgs_encrypted(const struct vmgs *vmgs);

/// Gives the root key. -EACCES: it opens no slot (KEY_WRONG). -EBADMSG: it does, but the extended
/// file table was changed. -EINVAL: not encrypted, or the table breaks a rule.
int vmgs_unlock(struct vmgs *vmgs, const uint8_t key[VMGS_KEY_BYTES]);

/// Tells about a file. -ENOENT: there is none. -EBADMSG: somebody without the key removed it.
int vmgs_stat(struct vmgs *vmgs, uint32_t file_id, struct vmgs_file_info *info);

/// Reads a whole file. -ERANGE: room_bytes is too small. -EACCES: locked. -EBADMSG: it was changed
/// without the key (out is zeroed then). Else as vmgs_stat(). A file that the caller knows to be
/// secret must be asked for with vmgs_stat() first: a host can put a plain one in its place only
/// while no encrypted one exists under its id.
int vmgs_read(struct vmgs *vmgs, uint32_t file_id, void *out, size_t room_bytes,
              size_t *size_bytes);

/// Replaces or makes a file. flags: enum vmgs_write_flags. -ENOSPC: the old state stays.
int vmgs_write(struct vmgs *vmgs, uint32_t file_id, const void *bytes, size_t size_bytes,
               unsigned flags);

/// Removes a file. -ENOENT, -EACCES (encrypted and locked).
int vmgs_delete(struct vmgs *vmgs, uint32_t file_id);

/// Encrypts an unencrypted file system: files may be written encrypted from now on; those that
/// exist stay as they are until they are written again. Then vmgs_scrub() removes what was plain.
int vmgs_encrypt(struct vmgs *vmgs, const uint8_t key[VMGS_KEY_BYTES]);

/// Changes the root key of an unlocked file system. In between both keys open it; after success
/// neither header knows the old one.
int vmgs_rekey(struct vmgs *vmgs, const uint8_t new_key[VMGS_KEY_BYTES]);

/// Writes the same state once more, so that both headers are valid.
int vmgs_renew(struct vmgs *vmgs);

/// vmgs_renew(), then zeroes every block that neither of the two states uses.
int vmgs_scrub(struct vmgs *vmgs);

/// Reads every file, verifies those it has keys for and calls found() for each broken rule (and for
/// a damaged second header). Returns the number of findings.
int vmgs_check(struct vmgs *vmgs, void (*found)(void *context, const struct vmgs_error *error),
               void *context);

/// The rule's sentence.
const char *vmgs_rule_text(enum vmgs_rule rule);

/// "file 3 (TPM_NVRAM) at byte 0x5000: rule broken: …", cut off at size_bytes. Returns its length.
size_t vmgs_error_format(const struct vmgs_error *error, char *out, size_t size_bytes);

/// An id's name, or NULL; and back, -1 for an unknown name.
const char *vmgs_file_name(uint32_t file_id);
int vmgs_file_by_name(const char *name);
