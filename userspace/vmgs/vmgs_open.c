// SPDX-License-Identifier: MIT
//
// VMGS: opening and unlocking. Nothing here writes.

#include "userspace/vmgs/vmgs_internal.h"

#include "igvm/base/types.h"
#include "userspace/vmgs/vmgs_crypto.h"

#include <errno.h>
#include <string.h>

#define MIN_BLOCKS        6u // headers, a file table beside its successor, the same for a file
#define EFI_SIGNATURE_OFF 512u

int vmgs_fail(struct vmgs *vmgs, int rc, enum vmgs_rule rule, uint32_t file_id, uint64_t offset) {
    vmgs->error = (struct vmgs_error){.code = rule, .file_id = file_id, .offset = offset};
    return rc;
}

int vmgs_attach(struct vmgs *vmgs, const struct vmgs_disk *disk) {
    const uint64_t blocks = disk->size_bytes / VMGS_BLOCK_BYTES;

    memset(vmgs, 0, sizeof(*vmgs));
    vmgs->disk = *disk;
    // Block numbers have 32 bits, and so does the number after the last one.
    vmgs->block_count = blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)blocks;
    if ((disk->sector_bytes != 512 && disk->sector_bytes != VMGS_BLOCK_BYTES) ||
        blocks < MIN_BLOCKS) {
        return vmgs_fail(vmgs, -EINVAL, VMGS_RULE_DISK_SIZE, VMGS_NO_FILE, disk->size_bytes);
    }
    return 0;
}

int vmgs_load_block(struct vmgs *vmgs, uint32_t file_id, uint32_t block) {
    const uint64_t off = vmgs_block_off(block);

    if (vmgs->disk.read(vmgs->disk.context, off, vmgs->block, VMGS_BLOCK_BYTES) != 0) {
        return vmgs_fail(vmgs, -EIO, VMGS_RULE_READ, file_id, off);
    }
    return 0;
}

/// Version 1 was a partitioned disk with a file system: its GPT is where header 1 would be.
static bool is_version_1(const uint8_t *sectors) {
    return memcmp(sectors + EFI_SIGNATURE_OFF, "EFI PART", 8) == 0;
}

static bool is_zero(const void *bytes, size_t count) {
    const uint8_t *p = bytes;

    for (size_t i = 0; i < count; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

/// Both headers and what is wrong with each. The offset in *bad_off is of the disk.
static int read_headers(struct vmgs *vmgs, struct vmgs_wire_header headers[2],
                        enum vmgs_rule rules[2], uint64_t bad_off[2]) {
    bool zero = true;

    for (unsigned i = 0; i < 2; i++) {
        const uint64_t off = vmgs_header_off(vmgs, i);
        uint32_t field_off;

        if (vmgs->disk.sector_bytes == VMGS_BLOCK_BYTES || i == 0) {
            int rc = vmgs_load_block(vmgs, VMGS_NO_FILE, i);

            if (rc != 0) {
                return rc;
            }
            if (i == 0 && is_version_1(vmgs->block)) {
                return vmgs_fail(vmgs, -EINVAL, VMGS_RULE_VERSION_1, VMGS_NO_FILE,
                                 EFI_SIGNATURE_OFF);
            }
        }
        memcpy(&headers[i], vmgs->block + off % VMGS_BLOCK_BYTES, sizeof(headers[i]));
        zero = zero && is_zero(&headers[i], sizeof(headers[i]));
        rules[i] = vmgs_header_check(&headers[i], vmgs->block_count, &field_off);
        bad_off[i] = off + field_off;
    }
    return zero ? vmgs_fail(vmgs, -EINVAL, VMGS_RULE_EMPTY, VMGS_NO_FILE, 0) : 0;
}

/// The state that a valid header stands for.
static int load_state(struct vmgs *vmgs, const struct vmgs_wire_header *header, unsigned header_idx,
                      struct vmgs_state *state) {
    enum vmgs_rule rule;
    uint32_t bad_idx;
    int rc;

    memset(state, 0, sizeof(*state));
    state->header_idx = header_idx;
    state->sequence = header->sequence;
    state->algorithm = header->algorithm;
    state->markers = header->markers;
    memcpy(state->slots, header->keys, sizeof(state->slots));
    rc = vmgs_load_block(vmgs, VMGS_FILE_TABLE, header->table_block);
    if (rc != 0) {
        return rc;
    }
    rule = vmgs_table_parse(vmgs->table, vmgs->block_count, header->table_block, state->files,
                            &bad_idx);
    if (rule != VMGS_RULE_NONE) {
        return vmgs_fail(vmgs, -EINVAL, rule, bad_idx,
                         vmgs_block_off(header->table_block) +
                             (uint64_t)bad_idx * sizeof(struct vmgs_wire_file));
    }
    return 0;
}

/// The blocks of the state before: used last, so that it stays whole as long as possible.
static void note_previous(struct vmgs *vmgs, const struct vmgs_state *before) {
    for (uint32_t i = 0; i < VMGS_FILE_COUNT; i++) {
        vmgs->previous[i] =
            (struct vmgs_extent){before->files[i].block, before->files[i].block_count};
    }
}

static int open_chosen(struct vmgs *vmgs, const struct vmgs_wire_header headers[2],
                       const enum vmgs_rule rules[2], unsigned header_idx) {
    const struct vmgs_error none = {.file_id = VMGS_NO_FILE};
    const unsigned other = !header_idx;

    vmgs->other_rule = rules[other];
    if (rules[other] == VMGS_RULE_NONE &&
        load_state(vmgs, &headers[other], other, &vmgs->next) == 0) {
        note_previous(vmgs, &vmgs->next);
    }
    vmgs->error = none;
    return load_state(vmgs, &headers[header_idx], header_idx, &vmgs->now);
}

int vmgs_open(struct vmgs *vmgs, const struct vmgs_disk *disk) {
    struct vmgs_wire_header headers[2];
    enum vmgs_rule rules[2];
    uint64_t bad_off[2];
    int chosen;
    int rc = vmgs_attach(vmgs, disk);

    if (rc == 0) {
        rc = read_headers(vmgs, headers, rules, bad_off);
    }
    if (rc != 0) {
        return rc;
    }
    chosen = vmgs_headers_judge(rules, headers);
    if (chosen < 0 && rules[0] == VMGS_RULE_NONE) {
        return vmgs_fail(vmgs, -EINVAL, VMGS_RULE_SEQUENCE, VMGS_NO_FILE,
                         vmgs_header_off(vmgs, 1) + offsetof(struct vmgs_wire_header, sequence));
    }
    if (chosen < 0) {
        // Neither is valid: the one that at least has the signature tells more.
        const unsigned idx = rules[0] == VMGS_RULE_SIGNATURE && rules[1] != VMGS_RULE_SIGNATURE;

        return vmgs_fail(vmgs, -EINVAL, rules[idx], VMGS_NO_FILE, bad_off[idx]);
    }
    return open_chosen(vmgs, headers, rules, (unsigned)chosen);
}

int vmgs_open_header(struct vmgs *vmgs, const struct vmgs_disk *disk, unsigned header_idx) {
    struct vmgs_wire_header headers[2];
    enum vmgs_rule rules[2];
    uint64_t bad_off[2];
    int rc = vmgs_attach(vmgs, disk);

    if (rc == 0) {
        rc = read_headers(vmgs, headers, rules, bad_off);
    }
    if (rc != 0) {
        return rc;
    }
    header_idx = header_idx != 0;
    if (rules[header_idx] != VMGS_RULE_NONE) {
        return vmgs_fail(vmgs, -EINVAL, rules[header_idx], VMGS_NO_FILE, bad_off[header_idx]);
    }
    return open_chosen(vmgs, headers, rules, header_idx);
}

void vmgs_close(struct vmgs *vmgs) {
    vmgs_zeroize(vmgs, sizeof(*vmgs));
}

bool vmgs_encrypted(const struct vmgs *vmgs) {
    return vmgs->now.algorithm != VMGS_ALGORITHM_NONE;
}

/// Whether the root key opens a slot; then the metadata key.
static bool open_slot(const struct vmgs_wire_key *slot, const uint8_t root[VMGS_KEY_BYTES],
                      uint8_t metadata_key[VMGS_KEY_BYTES]) {
    if (is_zero(slot->key, sizeof(slot->key))) {
        return false;
    }
    memcpy(metadata_key, slot->key, VMGS_KEY_BYTES);
    return vmgs_gcm_decrypt(root, slot->nonce, metadata_key, VMGS_KEY_BYTES, slot->tag) == 0;
}

/// Puts attributes and keys of the decrypted table in vmgs->block into a state. The extended table
/// is authenticated and decides; what the file table claims must not contradict it.
static int take_extended(struct vmgs *vmgs, struct vmgs_state *state) {
    const struct vmgs_wire_extended *table = vmgs->extended;

    for (uint32_t i = 1; i < VMGS_EXTENDED_FILE_TABLE; i++) {
        struct vmgs_file *file = &state->files[i];
        const uint32_t attributes = table[i].attributes;

        if ((attributes & ~VMGS_ATTRIBUTES_DEFINED) != 0 ||
            (file->attributes != 0 && file->attributes != attributes)) {
            return vmgs_fail(vmgs, -EBADMSG, VMGS_RULE_FILE_ATTRIBUTES, i,
                             vmgs_block_off(state->files[VMGS_FILE_TABLE].block) +
                                 (uint64_t)i * sizeof(struct vmgs_wire_file));
        }
        file->attributes = attributes;
        memcpy(file->key, table[i].key, VMGS_KEY_BYTES);
    }
    return 0;
}

/// Decrypts the extended table with the key of one slot.
static int unlock_slot(struct vmgs *vmgs, unsigned slot, const uint8_t root[VMGS_KEY_BYTES],
                       const uint8_t metadata_key[VMGS_KEY_BYTES]) {
    struct vmgs_state *state = &vmgs->next;
    struct vmgs_file *extended = &state->files[VMGS_EXTENDED_FILE_TABLE];
    int rc;

    vmgs->next = vmgs->now;
    if (extended->block_count == 0 || extended->size_bytes != VMGS_TABLE_BYTES) {
        return vmgs_fail(vmgs, -EINVAL, VMGS_RULE_EXTENDED_TABLE, VMGS_EXTENDED_FILE_TABLE,
                         vmgs_block_off(state->files[VMGS_FILE_TABLE].block) +
                             VMGS_EXTENDED_FILE_TABLE * sizeof(struct vmgs_wire_file));
    }
    rc = vmgs_load_block(vmgs, VMGS_EXTENDED_FILE_TABLE, extended->block);
    if (rc != 0) {
        return rc;
    }
    rc = vmgs_gcm_decrypt(metadata_key, extended->nonce, vmgs->block, VMGS_TABLE_BYTES,
                          extended->tag);
    if (rc != 0) {
        return vmgs_fail(vmgs, rc, rc == -EBADMSG ? VMGS_RULE_EXTENDED_TAG : VMGS_RULE_CRYPTO,
                         VMGS_EXTENDED_FILE_TABLE, vmgs_block_off(extended->block));
    }
    rc = take_extended(vmgs, state);
    vmgs_zeroize(vmgs->block, sizeof(vmgs->block));
    if (rc != 0) {
        return rc;
    }
    memcpy(extended->key, metadata_key, VMGS_KEY_BYTES);
    extended->attributes = VMGS_ATTRIBUTES_DEFINED;
    memset(state->root_known, 0, sizeof(state->root_known));
    memcpy(state->roots[slot], root, VMGS_KEY_BYTES);
    state->root_known[slot] = true;
    state->active_slot = slot;
    state->unlocked = true;
    vmgs->now = vmgs->next;
    return 0;
}

int vmgs_unlock(struct vmgs *vmgs, const uint8_t key[VMGS_KEY_BYTES]) {
    uint8_t metadata_key[VMGS_KEY_BYTES];
    int rc = vmgs_fail(vmgs, -EACCES, VMGS_RULE_KEY_WRONG, VMGS_NO_FILE,
                       vmgs_header_off(vmgs, vmgs->now.header_idx) +
                           offsetof(struct vmgs_wire_header, keys));

    if (!vmgs_encrypted(vmgs)) {
        return vmgs_fail(vmgs, -EINVAL, VMGS_RULE_NOT_ENCRYPTED, VMGS_NO_FILE,
                         vmgs_header_off(vmgs, vmgs->now.header_idx) +
                             offsetof(struct vmgs_wire_header, algorithm));
    }
    if (vmgs->now.unlocked) { // the key is asked again: the state's keys are in place already
        for (unsigned slot = 0; slot < VMGS_KEY_SLOTS; slot++) {
            if (open_slot(&vmgs->now.slots[slot], key, metadata_key)) {
                rc = 0;
            }
        }
        vmgs_zeroize(metadata_key, sizeof(metadata_key));
        return rc;
    }
    // A writer that knows one key of two may leave the other slot with an outdated metadata key:
    // then the next slot decides.
    for (unsigned slot = 0; slot < VMGS_KEY_SLOTS && rc != 0; slot++) {
        if (open_slot(&vmgs->now.slots[slot], key, metadata_key)) {
            rc = unlock_slot(vmgs, slot, key, metadata_key);
        }
    }
    vmgs_zeroize(metadata_key, sizeof(metadata_key));
    vmgs_zeroize(&vmgs->next, sizeof(vmgs->next));
    return rc;
}
