// SPDX-License-Identifier: MIT
//
// VMGS: the file table, and where a new file fits.

#include "userspace/vmgs/vmgs_internal.h"

static bool overlap(const struct vmgs_file *a, const struct vmgs_file *b) {
    // Both lie on the disk, so the sums fit 32 bits.
    return a->block_count != 0 && b->block_count != 0 && a->block < b->block + b->block_count &&
           b->block < a->block + a->block_count;
}

/// One entry by itself.
static enum vmgs_rule check_entry(const struct vmgs_wire_file *entry, uint32_t block_count) {
    if (entry->block < VMGS_FIRST_BLOCK || entry->block >= block_count ||
        entry->block_count > block_count - entry->block) {
        return VMGS_RULE_FILE_PLACE;
    }
    if (entry->size_bytes > (uint64_t)entry->block_count * VMGS_BLOCK_BYTES) {
        return VMGS_RULE_FILE_SIZE;
    }
    if ((entry->attributes & ~VMGS_ATTRIBUTES_DEFINED) != 0) {
        return VMGS_RULE_FILE_ATTRIBUTES;
    }
    return VMGS_RULE_NONE;
}

static struct vmgs_file take_entry(const struct vmgs_wire_file *entry) {
    struct vmgs_file file = {
        .block = entry->block,
        .block_count = entry->block_count,
        .size_bytes = entry->size_bytes,
        .attributes = entry->attributes,
    };

    for (unsigned i = 0; i < VMGS_NONCE_BYTES; i++) {
        file.nonce[i] = entry->nonce[i];
    }
    for (unsigned i = 0; i < VMGS_TAG_BYTES; i++) {
        file.tag[i] = entry->tag[i];
    }
    return file;
}

enum vmgs_rule vmgs_table_parse(const struct vmgs_wire_file table[VMGS_FILE_COUNT],
                                uint32_t block_count, uint32_t table_block,
                                struct vmgs_file files[VMGS_FILE_COUNT], uint32_t *bad_idx) {
    for (uint32_t i = 0; i < VMGS_FILE_COUNT; i++) {
        enum vmgs_rule rule;

        files[i] = (struct vmgs_file){0};
        *bad_idx = i;
        if (table[i].block_count == 0) {
            continue;
        }
        rule = check_entry(&table[i], block_count);
        if (rule != VMGS_RULE_NONE) {
            return rule;
        }
        files[i] = take_entry(&table[i]);
    }
    *bad_idx = VMGS_FILE_TABLE;
    if (files[VMGS_FILE_TABLE].block_count != 0 &&
        (files[VMGS_FILE_TABLE].block != table_block || files[VMGS_FILE_TABLE].block_count != 1)) {
        return VMGS_RULE_TABLE_ENTRY;
    }
    // A table without an entry for itself still stands where the header says.
    files[VMGS_FILE_TABLE] =
        (struct vmgs_file){.block = table_block, .block_count = 1, .size_bytes = VMGS_TABLE_BYTES};
    for (uint32_t i = 1; i < VMGS_FILE_COUNT; i++) {
        *bad_idx = i;
        for (uint32_t k = 0; k < i; k++) {
            if (overlap(&files[i], &files[k])) {
                return VMGS_RULE_FILE_OVERLAP;
            }
        }
    }
    return VMGS_RULE_NONE;
}

void vmgs_table_store(const struct vmgs_file files[VMGS_FILE_COUNT],
                      struct vmgs_wire_file table[VMGS_FILE_COUNT]) {
    for (uint32_t i = 0; i < VMGS_FILE_COUNT; i++) {
        table[i] = (struct vmgs_wire_file){0};
        if (files[i].block_count == 0) {
            continue;
        }
        table[i].block = files[i].block;
        table[i].block_count = files[i].block_count;
        table[i].size_bytes = files[i].size_bytes;
        table[i].attributes = files[i].attributes;
        for (unsigned k = 0; k < VMGS_NONCE_BYTES; k++) {
            table[i].nonce[k] = files[i].nonce[k];
        }
        for (unsigned k = 0; k < VMGS_TAG_BYTES; k++) {
            table[i].tag[k] = files[i].tag[k];
        }
    }
}

/// How many blocks from start on are free.
static uint32_t gap_at(const struct vmgs_extent *extents, size_t count, uint32_t block_count,
                       uint32_t start) {
    uint32_t end = block_count;

    for (size_t i = 0; i < count; i++) {
        const uint32_t extent_end = extents[i].block + extents[i].block_count;

        if (extents[i].block_count == 0 || extent_end <= start) {
            continue;
        }
        end = extents[i].block < end ? extents[i].block : end;
    }
    return end > start ? end - start : 0;
}

uint32_t vmgs_find_gap(const struct vmgs_extent *extents, size_t count, uint32_t block_count,
                       uint32_t need) {
    uint32_t best = 0;
    uint32_t best_size = UINT32_MAX;

    // A gap starts after the headers or where an extent ends.
    for (size_t i = 0; i <= count; i++) {
        const uint32_t start =
            i == count ? VMGS_FIRST_BLOCK : extents[i].block + extents[i].block_count;
        const uint32_t gap = start < VMGS_FIRST_BLOCK || start >= block_count
                                 ? 0
                                 : gap_at(extents, count, block_count, start);

        if (gap >= need && gap != 0 && (best == 0 || gap < best_size)) {
            best = start;
            best_size = gap;
        }
    }
    return best;
}
