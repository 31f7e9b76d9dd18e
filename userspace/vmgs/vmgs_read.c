// SPDX-License-Identifier: MIT
//
// VMGS: reading files, and reading all of them to see whether they are whole.

#include "userspace/vmgs/vmgs_internal.h"

#include "userspace/vmgs/vmgs_crypto.h"

#include <errno.h>
#include <string.h>

/// The file, when it may be read.
static int find(struct vmgs *vmgs, uint32_t file_id) {
    const struct vmgs_file *file;

    if (file_id == VMGS_FILE_TABLE || file_id >= VMGS_EXTENDED_FILE_TABLE) {
        return vmgs_fail(vmgs, -EINVAL, VMGS_RULE_FILE_ID, file_id, 0);
    }
    file = &vmgs->now.files[file_id];
    if (file->block_count == 0) {
        const uint64_t entry_off = vmgs_block_off(vmgs->now.files[VMGS_FILE_TABLE].block) +
                                   (uint64_t)file_id * sizeof(struct vmgs_wire_file);

        // The extended table cannot be changed without the key: it still knows what is gone.
        return vmgs_is_secret(file)
                   ? vmgs_fail(vmgs, -EBADMSG, VMGS_RULE_FILE_GONE, file_id, entry_off)
                   : vmgs_fail(vmgs, -ENOENT, VMGS_RULE_FILE_MISSING, file_id, entry_off);
    }
    return 0;
}

int vmgs_stat(struct vmgs *vmgs, uint32_t file_id, struct vmgs_file_info *info) {
    const int rc = find(vmgs, file_id);

    if (rc == 0) {
        const struct vmgs_file *file = &vmgs->now.files[file_id];

        *info = (struct vmgs_file_info){
            .size_bytes = file->size_bytes,
            .allocated_bytes = (uint64_t)file->block_count * VMGS_BLOCK_BYTES,
            .offset = vmgs_block_off(file->block),
            .encrypted = vmgs_is_secret(file),
        };
    }
    return rc;
}

/// Block by block: the loop is bounded by the file's size, which the table's check keeps inside the
/// disk.
static int stream_blocks(struct vmgs *vmgs, uint32_t file_id, struct vmgs_gcm *gcm, uint8_t *out) {
    const struct vmgs_file *file = &vmgs->now.files[file_id];
    uint64_t done = 0;

    for (uint32_t i = 0; done < file->size_bytes; i++) {
        const uint64_t left = file->size_bytes - done;
        const size_t piece = left < VMGS_BLOCK_BYTES ? (size_t)left : VMGS_BLOCK_BYTES;
        int rc = vmgs_load_block(vmgs, file_id, file->block + i);

        if (rc != 0) {
            return rc;
        }
        if (gcm != NULL && vmgs_gcm_update(gcm, vmgs->block, piece) != 0) {
            return vmgs_fail(vmgs, -EIO, VMGS_RULE_CRYPTO, file_id, vmgs_block_off(file->block));
        }
        if (out != NULL) {
            memcpy(out + done, vmgs->block, piece);
        }
        done += piece;
    }
    return 0;
}

int vmgs_stream(struct vmgs *vmgs, uint32_t file_id, uint8_t *out) {
    const struct vmgs_file *file = &vmgs->now.files[file_id];
    uint8_t tag[VMGS_TAG_BYTES];
    struct vmgs_gcm gcm = {.context = {0}};
    int rc;

    if (!vmgs_is_secret(file)) {
        return stream_blocks(vmgs, file_id, NULL, out);
    }
    if (!vmgs->now.unlocked) {
        return vmgs_fail(vmgs, -EACCES, VMGS_RULE_LOCKED, file_id, vmgs_block_off(file->block));
    }
    rc = vmgs_gcm_start(&gcm, false, file->key, file->nonce);
    if (rc == 0) {
        rc = stream_blocks(vmgs, file_id, &gcm, out);
    } else {
        vmgs_fail(vmgs, rc, VMGS_RULE_CRYPTO, file_id, vmgs_block_off(file->block));
    }
    if (rc == 0 && (vmgs_gcm_finish(&gcm, tag) != 0 || !vmgs_tags_equal(tag, file->tag))) {
        rc = vmgs_fail(vmgs, -EBADMSG, VMGS_RULE_FILE_TAG, file_id, vmgs_block_off(file->block));
    }
    vmgs_gcm_end(&gcm);
    vmgs_zeroize(vmgs->block, sizeof(vmgs->block));
    if (rc != 0 && out != NULL) {
        vmgs_zeroize(out, (size_t)file->size_bytes); // nothing unverified leaves
    }
    return rc;
}

int vmgs_read(struct vmgs *vmgs, uint32_t file_id, void *out, size_t room_bytes,
              size_t *size_bytes) {
    int rc = find(vmgs, file_id);

    *size_bytes = 0;
    if (rc != 0) {
        return rc;
    }
    if (vmgs->now.files[file_id].size_bytes > room_bytes) {
        return vmgs_fail(vmgs, -ERANGE, VMGS_RULE_FILE_ROOM, file_id,
                         vmgs_block_off(vmgs->now.files[file_id].block));
    }
    rc = vmgs_stream(vmgs, file_id, out);
    if (rc == 0) {
        *size_bytes = (size_t)vmgs->now.files[file_id].size_bytes;
    }
    return rc;
}

int vmgs_check(struct vmgs *vmgs, void (*found)(void *context, const struct vmgs_error *error),
               void *context) {
    int findings = 0;

    if (vmgs->other_rule != VMGS_RULE_NONE) {
        const struct vmgs_error error = {
            .code = vmgs->other_rule,
            .file_id = VMGS_NO_FILE,
            .offset = vmgs_header_off(vmgs, !vmgs->now.header_idx),
        };

        found(context, &error);
        findings++;
    }
    for (uint32_t i = 1; i < VMGS_EXTENDED_FILE_TABLE; i++) {
        int rc = find(vmgs, i);

        if (rc == 0) {
            rc = vmgs_stream(vmgs, i, NULL);
        }
        // What is locked or not there is no damage.
        if (rc != 0 && rc != -ENOENT && rc != -EACCES) {
            found(context, &vmgs->error);
            findings++;
        }
    }
    return findings;
}
