// SPDX-License-Identifier: MIT
//
// VMGS: the first key, a change of key, and removing what is left in free blocks.

#include "userspace/vmgs/vmgs_internal.h"

#include "userspace/vmgs/vmgs_crypto.h"

#include <errno.h>
#include <string.h>

/// An all-zero key means "none" in other places of the format: it is refused.
static int check_key(struct vmgs *vmgs, const uint8_t key[VMGS_KEY_BYTES]) {
    uint8_t any = 0;

    for (unsigned i = 0; i < VMGS_KEY_BYTES; i++) {
        any |= key[i];
    }
    return any != 0 ? 0 : vmgs_fail(vmgs, -EINVAL, VMGS_RULE_KEY, VMGS_NO_FILE, 0);
}

static void add_root(struct vmgs_state *state, unsigned slot, const uint8_t key[VMGS_KEY_BYTES]) {
    memset(&state->slots[slot], 0, sizeof(state->slots[slot]));
    memcpy(state->roots[slot], key, VMGS_KEY_BYTES);
    state->root_known[slot] = true;
}

int vmgs_encrypt(struct vmgs *vmgs, const uint8_t key[VMGS_KEY_BYTES]) {
    int rc = check_key(vmgs, key);

    if (rc != 0) {
        return rc;
    }
    if (vmgs_encrypted(vmgs)) {
        return vmgs_fail(vmgs, -EINVAL, VMGS_RULE_KEY_EXISTS, VMGS_NO_FILE,
                         vmgs_header_off(vmgs, vmgs->now.header_idx) +
                             offsetof(struct vmgs_wire_header, algorithm));
    }
    vmgs->next = vmgs->now;
    memset(vmgs->next.slots, 0, sizeof(vmgs->next.slots));
    for (uint32_t i = 1; i < VMGS_EXTENDED_FILE_TABLE; i++) {
        vmgs->next.files[i].attributes = 0; // nothing could have been encrypted
    }
    add_root(&vmgs->next, 0, key);
    vmgs->next.active_slot = 0;
    vmgs->next.algorithm = VMGS_ALGORITHM_AES_GCM;
    vmgs->next.unlocked = true;
    return vmgs_commit(vmgs, VMGS_FILE_TABLE, NULL);
}

int vmgs_rekey(struct vmgs *vmgs, const uint8_t new_key[VMGS_KEY_BYTES]) {
    const unsigned old_slot = vmgs->now.active_slot;
    const unsigned new_slot = !old_slot;
    int rc = check_key(vmgs, new_key);

    if (rc != 0) {
        return rc;
    }
    if (!vmgs->now.unlocked) {
        return vmgs_encrypted(vmgs)
                   ? vmgs_fail(vmgs, -EACCES, VMGS_RULE_LOCKED, VMGS_NO_FILE, 0)
                   : vmgs_fail(vmgs, -EINVAL, VMGS_RULE_NOT_ENCRYPTED, VMGS_NO_FILE, 0);
    }
    // Both keys open it. (A key left in the new slot by an interrupted change is dropped.)
    vmgs->next = vmgs->now;
    add_root(&vmgs->next, new_slot, new_key);
    vmgs->next.active_slot = new_slot;
    rc = vmgs_commit(vmgs, VMGS_FILE_TABLE, NULL);
    if (rc != 0) {
        return rc;
    }
    // The new one only, under a new metadata key.
    vmgs->next = vmgs->now;
    memset(&vmgs->next.slots[old_slot], 0, sizeof(vmgs->next.slots[old_slot]));
    vmgs_zeroize(vmgs->next.roots[old_slot], VMGS_KEY_BYTES);
    vmgs->next.root_known[old_slot] = false;
    rc = vmgs_commit(vmgs, VMGS_FILE_TABLE, NULL);
    // And the same in the other header, which still has both.
    return rc != 0 ? rc : vmgs_renew(vmgs);
}

/// Whether a block belongs to the present state or to the one before.
static bool in_use(const struct vmgs *vmgs, uint32_t block, uint32_t *skip) {
    for (uint32_t i = 0; i < VMGS_FILE_COUNT; i++) {
        const struct vmgs_file *now = &vmgs->now.files[i];
        const struct vmgs_extent *before = &vmgs->previous[i];

        if (block >= now->block && block - now->block < now->block_count) {
            *skip = now->block + now->block_count;
            return true;
        }
        if (block >= before->block && block - before->block < before->block_count) {
            *skip = before->block + before->block_count;
            return true;
        }
    }
    return false;
}

int vmgs_scrub(struct vmgs *vmgs) {
    int rc = vmgs_renew(vmgs);

    memset(vmgs->block, 0, sizeof(vmgs->block));
    for (uint32_t block = VMGS_FIRST_BLOCK; rc == 0 && block < vmgs->block_count;) {
        uint32_t next = block + 1;

        if (!in_use(vmgs, block, &next)) {
            rc = vmgs_store_block(vmgs, VMGS_NO_FILE, block);
        }
        block = next;
    }
    if (rc == 0 && vmgs->disk.flush(vmgs->disk.context) != 0) {
        rc = vmgs_fail(vmgs, -EIO, VMGS_RULE_FLUSH, VMGS_NO_FILE, 0);
    }
    return rc;
}
