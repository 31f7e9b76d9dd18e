// SPDX-License-Identifier: MIT
//
// VMGS: what the library's files share. The parsers here see bytes only; the proof vmgs_walk and
// the unit tests call them directly.
#pragma once

#include "userspace/vmgs/vmgs.h"

#define VMGS_ATTRIBUTES_SECRET VMGS_ATTRIBUTES_DEFINED // either bit means ciphertext and a tag

static inline bool vmgs_is_secret(const struct vmgs_file *file) {
    return (file->attributes & VMGS_ATTRIBUTES_SECRET) != 0;
}

/// A header's checksum: CRC-32 with the checksum field as zero.
uint32_t vmgs_header_checksum(const struct vmgs_wire_header *header);

/// Checks one header against a disk of block_count blocks. The first broken rule and, in
/// *field_off, its offset in the header; VMGS_RULE_NONE for a valid one.
enum vmgs_rule vmgs_header_check(const struct vmgs_wire_header *header, uint32_t block_count,
                                 uint32_t *field_off);

/// Chooses between two headers by what vmgs_header_check() said: the index, or -1 (no valid header
/// or, with both valid, sequence numbers that are not neighbours).
int vmgs_headers_judge(const enum vmgs_rule rules[2], const struct vmgs_wire_header headers[2]);

/// Takes a file table into files[]; keys become zero. The first broken rule, with the entry's index
/// in *bad_idx. table_block is where the header says that the table stands.
enum vmgs_rule vmgs_table_parse(const struct vmgs_wire_file table[VMGS_FILE_COUNT],
                                uint32_t block_count, uint32_t table_block,
                                struct vmgs_file files[VMGS_FILE_COUNT], uint32_t *bad_idx);
void vmgs_table_store(const struct vmgs_file files[VMGS_FILE_COUNT],
                      struct vmgs_wire_file table[VMGS_FILE_COUNT]);

/// Finds the smallest gap of at least need blocks that overlaps none of extents[0, count): its
/// first block, or 0 when there is none.
uint32_t vmgs_find_gap(const struct vmgs_extent *extents, size_t count, uint32_t block_count,
                       uint32_t need);

/// Sets vmgs->error; returns rc.
int vmgs_fail(struct vmgs *vmgs, int rc, enum vmgs_rule rule, uint32_t file_id, uint64_t offset);

static inline uint64_t vmgs_block_off(uint32_t block) {
    return (uint64_t)block * VMGS_BLOCK_BYTES;
}

static inline uint64_t vmgs_header_off(const struct vmgs *vmgs, unsigned header_idx) {
    return (uint64_t)header_idx * vmgs->disk.sector_bytes;
}

/// One block through vmgs->block. file_id is for the error.
int vmgs_load_block(struct vmgs *vmgs, uint32_t file_id, uint32_t block);
int vmgs_store_block(struct vmgs *vmgs, uint32_t file_id, uint32_t block);

/// Checks the disk's shape and starts *vmgs over.
int vmgs_attach(struct vmgs *vmgs, const struct vmgs_disk *disk);

/// Writes vmgs->next to the disk and makes it the present state: the data of file data_id (or of
/// none: VMGS_FILE_TABLE), tables, flush, header, flush. After an error vmgs->now is unchanged.
int vmgs_commit(struct vmgs *vmgs, uint32_t data_id, const void *bytes);

/// All of a file through vmgs->block, decrypted and verified; out may be NULL.
int vmgs_stream(struct vmgs *vmgs, uint32_t file_id, uint8_t *out);
