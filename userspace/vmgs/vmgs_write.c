// SPDX-License-Identifier: MIT
//
// VMGS: changes. One change is one transaction (vmgs_commit):
//
//   1. room is found for the file, its file table and its extended file table in blocks that the
//      present state does not use (and, if it can be, the state before neither);
//   2. data, extended table and table are written there; 3. flush;
//   4. the header that is not in use is overwritten, with the next sequence number; 5. flush.
//
// Up to 4 the present state is untouched; from a complete header on, the new state is whole.

#include "userspace/vmgs/vmgs_internal.h"

#include "igvm/base/types.h"
#include "userspace/vmgs/vmgs_crypto.h"

#include <errno.h>
#include <string.h>

int vmgs_store_block(struct vmgs *vmgs, uint32_t file_id, uint32_t block) {
    const uint64_t off = vmgs_block_off(block);

    if (vmgs->disk.write(vmgs->disk.context, off, vmgs->block, VMGS_BLOCK_BYTES) != 0) {
        return vmgs_fail(vmgs, -EIO, VMGS_RULE_WRITE, file_id, off);
    }
    return 0;
}

static int flush(struct vmgs *vmgs) {
    if (vmgs->disk.flush(vmgs->disk.context) != 0) {
        return vmgs_fail(vmgs, -EIO, VMGS_RULE_FLUSH, VMGS_NO_FILE, 0);
    }
    return 0;
}

static int draw(struct vmgs *vmgs, void *out, size_t size_bytes) {
    if (vmgs->disk.random(vmgs->disk.context, out, size_bytes) != 0) {
        return vmgs_fail(vmgs, -EIO, VMGS_RULE_RANDOM, VMGS_NO_FILE, 0);
    }
    return 0;
}

/// Whether changes can begin; what an earlier process wrote and did not flush is made to last.
static int begin(struct vmgs *vmgs) {
    int rc;

    if (vmgs->disk.write == NULL || vmgs->disk.flush == NULL || vmgs->disk.random == NULL) {
        return vmgs_fail(vmgs, -EROFS, VMGS_RULE_READ_ONLY, VMGS_NO_FILE, 0);
    }
    if (vmgs->stale) {
        return vmgs_fail(vmgs, -EIO, VMGS_RULE_STALE, VMGS_NO_FILE, 0);
    }
    if (vmgs->flushed) {
        return 0;
    }
    rc = flush(vmgs);
    vmgs->flushed = rc == 0;
    return rc;
}

/// Finds room for a file of next whose block_count stands; its block becomes that.
static int place(struct vmgs *vmgs, uint32_t file_id) {
    struct vmgs_extent taken[3 * VMGS_FILE_COUNT];
    struct vmgs_file *file = &vmgs->next.files[file_id];
    size_t count = 0;

    for (uint32_t i = 0; i < VMGS_FILE_COUNT; i++) {
        const struct vmgs_file *now = &vmgs->now.files[i];
        const struct vmgs_file *next = &vmgs->next.files[i];

        taken[count++] = (struct vmgs_extent){now->block, now->block_count};
        if (next->block != 0) {
            taken[count++] = (struct vmgs_extent){next->block, next->block_count};
        }
    }
    memcpy(taken + count, vmgs->previous, sizeof(vmgs->previous));
    file->block =
        vmgs_find_gap(taken, count + VMGS_FILE_COUNT, vmgs->block_count, file->block_count);
    if (file->block == 0) {
        file->block = vmgs_find_gap(taken, count, vmgs->block_count, file->block_count);
    }
    return file->block != 0 ? 0
                            : vmgs_fail(vmgs, -ENOSPC, VMGS_RULE_SPACE, file_id,
                                        vmgs_block_off(vmgs->block_count));
}

/// A new place, nonce and key for a file of next; secret ones get theirs drawn.
static int prepare(struct vmgs *vmgs, uint32_t file_id, uint64_t size_bytes, bool secret,
                   bool keep_key) {
    struct vmgs_file *file = &vmgs->next.files[file_id];
    const struct vmgs_file old = *file;
    const uint64_t blocks = (size_bytes + VMGS_BLOCK_BYTES - 1) / VMGS_BLOCK_BYTES;
    int rc;

    if (blocks > vmgs->block_count) {
        return vmgs_fail(vmgs, -ENOSPC, VMGS_RULE_SPACE, file_id,
                         vmgs_block_off(vmgs->block_count));
    }
    *file = (struct vmgs_file){
        .block_count = blocks != 0 ? (uint32_t)blocks : 1, // also an empty file has a block
        .size_bytes = size_bytes,
        .attributes = secret ? VMGS_ATTRIBUTES_DEFINED : 0,
    };
    rc = place(vmgs, file_id);
    if (rc == 0 && secret) {
        rc = draw(vmgs, file->nonce, sizeof(file->nonce));
    }
    if (rc == 0 && secret && keep_key) {
        memcpy(file->key, old.key, sizeof(file->key));
    } else if (rc == 0 && secret) {
        rc = draw(vmgs, file->key, sizeof(file->key));
    }
    return rc;
}

/// Writes bytes to the place of a file of next, encrypted where it is secret; sets the tag.
static int write_data(struct vmgs *vmgs, uint32_t file_id, const uint8_t *bytes) {
    struct vmgs_file *file = &vmgs->next.files[file_id];
    const bool secret = vmgs_is_secret(file);
    struct vmgs_gcm gcm = {.context = {0}};
    uint64_t done = 0;
    int rc = 0;

    if (secret) {
        rc = vmgs_gcm_start(&gcm, true, file->key, file->nonce);
    }
    for (uint32_t i = 0; rc == 0 && i < file->block_count; i++) {
        const uint64_t left = file->size_bytes - done;
        const size_t piece = left < VMGS_BLOCK_BYTES ? (size_t)left : VMGS_BLOCK_BYTES;

        if (piece != 0) {
            memcpy(vmgs->block, bytes + done, piece);
        }
        memset(vmgs->block + piece, 0, VMGS_BLOCK_BYTES - piece);
        if (secret) {
            rc = vmgs_gcm_update(&gcm, vmgs->block, piece);
        }
        if (rc == 0 && vmgs_store_block(vmgs, file_id, file->block + i) != 0) {
            if (secret) {
                vmgs_gcm_end(&gcm);
            }
            return -EIO;
        }
        done += piece;
    }
    if (secret) {
        rc = rc == 0 ? vmgs_gcm_finish(&gcm, file->tag) : rc;
        vmgs_gcm_end(&gcm);
        vmgs_zeroize(vmgs->block, sizeof(vmgs->block));
    }
    return rc == 0 ? 0
                   : vmgs_fail(vmgs, rc, VMGS_RULE_CRYPTO, file_id, vmgs_block_off(file->block));
}

static bool slot_used(const struct vmgs_wire_key *slot) {
    static const uint8_t zero[VMGS_KEY_BYTES];

    return memcmp(slot->key, zero, sizeof(zero)) != 0;
}

/// Whether a slot is in use whose root key nobody has given: then the metadata key must stay, or
/// that key would no longer open the file.
static bool keeps_metadata_key(const struct vmgs_state *state) {
    for (unsigned i = 0; i < VMGS_KEY_SLOTS; i++) {
        if (slot_used(&state->slots[i]) && !state->root_known[i]) {
            return true;
        }
    }
    return false;
}

/// Encrypts next's metadata key with each root key that is known. Nonces are drawn, not counted: a
/// host that puts an old file back would make a counter repeat itself.
static int wrap_metadata_key(struct vmgs *vmgs) {
    struct vmgs_state *next = &vmgs->next;

    for (unsigned i = 0; i < VMGS_KEY_SLOTS; i++) {
        struct vmgs_wire_key *slot = &next->slots[i];
        int rc;

        if (!next->root_known[i]) {
            continue;
        }
        *slot = (struct vmgs_wire_key){0};
        rc = draw(vmgs, slot->nonce, sizeof(slot->nonce));
        if (rc != 0) {
            return rc;
        }
        memcpy(slot->key, next->files[VMGS_EXTENDED_FILE_TABLE].key, VMGS_KEY_BYTES);
        rc = vmgs_gcm_encrypt(next->roots[i], slot->nonce, slot->key, VMGS_KEY_BYTES, slot->tag);
        if (rc != 0) {
            return vmgs_fail(vmgs, rc, VMGS_RULE_CRYPTO, VMGS_NO_FILE, 0);
        }
    }
    return 0;
}

/// The extended table of next, encrypted, to its place, and the key slots for it.
static int write_extended(struct vmgs *vmgs, bool keep_key) {
    struct vmgs_file *extended = &vmgs->next.files[VMGS_EXTENDED_FILE_TABLE];
    int rc = 0;

    memset(vmgs->block, 0, sizeof(vmgs->block));
    for (uint32_t i = 1; vmgs->next.unlocked && i < VMGS_EXTENDED_FILE_TABLE; i++) {
        vmgs->extended[i].attributes = vmgs->next.files[i].attributes;
        memcpy(vmgs->extended[i].key, vmgs->next.files[i].key, VMGS_KEY_BYTES);
    }
    if (vmgs->next.unlocked) {
        rc = vmgs_gcm_encrypt(extended->key, extended->nonce, vmgs->block, VMGS_TABLE_BYTES,
                              extended->tag);
        if (rc != 0) {
            return vmgs_fail(vmgs, rc, VMGS_RULE_CRYPTO, VMGS_EXTENDED_FILE_TABLE, 0);
        }
        rc = keep_key ? 0 : wrap_metadata_key(vmgs);
    }
    return rc != 0 ? rc : vmgs_store_block(vmgs, VMGS_EXTENDED_FILE_TABLE, extended->block);
}

/// Overwrites the header not in use. From the first byte on the disk's state is not known until the
/// flush has succeeded.
static int switch_header(struct vmgs *vmgs) {
    struct vmgs_state *next = &vmgs->next;
    struct vmgs_wire_header header = {
        .signature = VMGS_SIGNATURE,
        .version = VMGS_VERSION_3_0,
        .sequence = vmgs->now.sequence + 1,
        .header_bytes = sizeof(header),
        .table_block = next->files[VMGS_FILE_TABLE].block,
        .table_block_count = 1,
        .algorithm = next->algorithm,
        .markers = next->markers,
    };
    uint64_t off;

    next->header_idx = !vmgs->now.header_idx;
    next->sequence = header.sequence;
    memcpy(header.keys, next->slots, sizeof(header.keys));
    header.checksum = vmgs_header_checksum(&header);
    memset(vmgs->block, 0, sizeof(vmgs->block));
    memcpy(vmgs->block, &header, sizeof(header));
    off = vmgs_header_off(vmgs, next->header_idx);
    vmgs->stale = true;
    if (vmgs->disk.write(vmgs->disk.context, off, vmgs->block, vmgs->disk.sector_bytes) != 0) {
        return vmgs_fail(vmgs, -EIO, VMGS_RULE_WRITE, VMGS_NO_FILE, off);
    }
    if (flush(vmgs) != 0) {
        return -EIO;
    }
    vmgs->stale = false;
    return 0;
}

static int write_all(struct vmgs *vmgs, uint32_t data_id, const void *bytes) {
    struct vmgs_state *next = &vmgs->next;
    // An unencrypted file system has a blank extended table, as other implementations make it.
    const bool has_extended =
        next->unlocked || (next->algorithm == VMGS_ALGORITHM_NONE &&
                           next->files[VMGS_EXTENDED_FILE_TABLE].block_count == 0);
    const bool keep_key = keeps_metadata_key(next);
    int rc = prepare(vmgs, VMGS_FILE_TABLE, VMGS_TABLE_BYTES, false, false);

    // All room is found before the first byte is written.
    if (rc == 0 && has_extended) {
        rc = prepare(vmgs, VMGS_EXTENDED_FILE_TABLE, VMGS_TABLE_BYTES, next->unlocked, keep_key);
    }
    if (rc == 0 && data_id != VMGS_FILE_TABLE) {
        rc = write_data(vmgs, data_id, bytes);
    }
    if (rc == 0 && has_extended) {
        rc = write_extended(vmgs, keep_key);
    }
    if (rc == 0) {
        memset(vmgs->block, 0, sizeof(vmgs->block));
        vmgs_table_store(next->files, vmgs->table);
        rc = vmgs_store_block(vmgs, VMGS_FILE_TABLE, next->files[VMGS_FILE_TABLE].block);
    }
    if (rc == 0) {
        rc = flush(vmgs);
    }
    return rc != 0 ? rc : switch_header(vmgs);
}

int vmgs_commit(struct vmgs *vmgs, uint32_t data_id, const void *bytes) {
    int rc = begin(vmgs);

    if (rc == 0) {
        rc = write_all(vmgs, data_id, bytes);
    }
    if (rc == 0) {
        for (uint32_t i = 0; i < VMGS_FILE_COUNT; i++) {
            const struct vmgs_file *old = &vmgs->now.files[i];

            vmgs->previous[i] = (struct vmgs_extent){old->block, old->block_count};
        }
        vmgs->now = vmgs->next;
        vmgs->other_rule = VMGS_RULE_NONE;
        vmgs->error = (struct vmgs_error){.file_id = VMGS_NO_FILE};
    }
    vmgs_zeroize(&vmgs->next, sizeof(vmgs->next));
    return rc;
}

int vmgs_create(struct vmgs *vmgs, const struct vmgs_disk *disk) {
    int rc = vmgs_attach(vmgs, disk);

    // Both headers go first, or an interrupted creation could leave an old one over new tables.
    for (uint32_t i = 0; rc == 0 && i < VMGS_FIRST_BLOCK; i++) {
        rc = begin(vmgs);
        if (rc == 0) {
            rc = vmgs_store_block(vmgs, VMGS_NO_FILE, i);
        }
    }
    if (rc == 0) {
        rc = flush(vmgs);
    }
    if (rc == 0) {
        // As if an empty state 0 stood in header 1: the first commit makes header 0.
        vmgs->now.header_idx = 1;
        vmgs->other_rule = VMGS_RULE_EMPTY;
        rc = vmgs_renew(vmgs);
    }
    // The second header, so that both are valid from the start.
    return rc != 0 ? rc : vmgs_renew(vmgs);
}

int vmgs_renew(struct vmgs *vmgs) {
    vmgs->next = vmgs->now;
    return vmgs_commit(vmgs, VMGS_FILE_TABLE, NULL);
}

/// Whether a file's place may be given to something else: not without the key when it is secret.
static int may_replace(struct vmgs *vmgs, uint32_t file_id) {
    static const uint8_t zero[VMGS_TAG_BYTES];
    const struct vmgs_file *file;

    if (file_id == VMGS_FILE_TABLE || file_id >= VMGS_EXTENDED_FILE_TABLE) {
        return vmgs_fail(vmgs, -EINVAL, VMGS_RULE_FILE_ID, file_id, 0);
    }
    // Old writers leave no attributes in the file table, but a tag.
    file = &vmgs->now.files[file_id];
    if (!vmgs->now.unlocked &&
        (vmgs_is_secret(file) || memcmp(file->tag, zero, sizeof(zero)) != 0)) {
        return vmgs_fail(vmgs, -EACCES, VMGS_RULE_LOCKED, file_id, vmgs_block_off(file->block));
    }
    return 0;
}

int vmgs_write(struct vmgs *vmgs, uint32_t file_id, const void *bytes, size_t size_bytes,
               unsigned flags) {
    const bool secret = (flags & VMGS_WRITE_ENCRYPT) != 0;
    int rc = may_replace(vmgs, file_id);

    if (rc != 0) {
        return rc;
    }
    if (secret && !vmgs->now.unlocked) {
        return vmgs_encrypted(vmgs) ? vmgs_fail(vmgs, -EACCES, VMGS_RULE_LOCKED, file_id, 0)
                                    : vmgs_fail(vmgs, -EINVAL, VMGS_RULE_NOT_ENCRYPTED, file_id, 0);
    }
    if (!secret && vmgs_is_secret(&vmgs->now.files[file_id]) && (flags & VMGS_WRITE_EXPOSE) == 0) {
        return vmgs_fail(vmgs, -EACCES, VMGS_RULE_EXPOSE, file_id,
                         vmgs_block_off(vmgs->now.files[file_id].block));
    }
    vmgs->next = vmgs->now;
    rc = prepare(vmgs, file_id, size_bytes, secret, false);
    if (rc == 0) {
        rc = vmgs_commit(vmgs, file_id, bytes);
    }
    vmgs_zeroize(&vmgs->next, sizeof(vmgs->next));
    return rc;
}

int vmgs_delete(struct vmgs *vmgs, uint32_t file_id) {
    int rc = may_replace(vmgs, file_id);

    if (rc != 0) {
        return rc;
    }
    if (vmgs->now.files[file_id].block_count == 0 && vmgs->now.files[file_id].attributes == 0) {
        return vmgs_fail(vmgs, -ENOENT, VMGS_RULE_FILE_MISSING, file_id, 0);
    }
    vmgs->next = vmgs->now;
    vmgs->next.files[file_id] = (struct vmgs_file){0};
    return vmgs_commit(vmgs, VMGS_FILE_TABLE, NULL);
}
