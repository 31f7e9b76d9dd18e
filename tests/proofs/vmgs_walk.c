// SPDX-License-Identifier: MIT
// cbmc-sources: userspace/vmgs/vmgs_header.c userspace/vmgs/vmgs_table.c
// cbmc-flags: --unwind 20 --function main -D VMGS_FILE_COUNT=10u
//
// Proof, with a table of 10 entries instead of 64: whatever two headers and a file table say, the
// header that is chosen is valid and points to the disk, an accepted table's files lie behind the
// headers, on the disk and apart from each other.

#include "tests/proofs/proof.h"
#include "userspace/vmgs/vmgs_internal.h"

struct vmgs_wire_header nondet_header(void);
struct vmgs_wire_file nondet_file(void);

/// Any checksum may match: the proof holds whatever the CRC says.
uint32_t igvm_crc32(uint32_t crc, const void *bytes, size_t size_bytes) {
    __CPROVER_assert(__CPROVER_r_ok(bytes, size_bytes), "the checksum covers the header");
    return crc ^ nondet_u32();
}

static void prove_headers(uint32_t block_count) {
    struct vmgs_wire_header headers[2] = {nondet_header(), nondet_header()};
    enum vmgs_rule rules[2];
    uint32_t field_off;
    int chosen;

    for (unsigned i = 0; i < 2; i++) {
        rules[i] = vmgs_header_check(&headers[i], block_count, &field_off);
        __CPROVER_assert(field_off < sizeof(headers[i]), "the error is inside the header");
    }
    chosen = vmgs_headers_judge(rules, headers);
    __CPROVER_assert(chosen >= -1 && chosen < 2, "one of two, or none");
    if (chosen < 0) {
        return;
    }
    __CPROVER_assert(rules[chosen] == VMGS_RULE_NONE, "valid");
    __CPROVER_assert(headers[chosen].table_block >= VMGS_FIRST_BLOCK &&
                         headers[chosen].table_block < block_count,
                     "the table is on the disk");
    __CPROVER_assert(rules[!chosen] != VMGS_RULE_NONE ||
                         headers[chosen].sequence == headers[!chosen].sequence + 1,
                     "the newer one");
}

static void prove_table(uint32_t block_count, uint32_t table_block) {
    struct vmgs_wire_file table[VMGS_FILE_COUNT];
    struct vmgs_file files[VMGS_FILE_COUNT];
    uint32_t bad_idx;

    for (uint32_t i = 0; i < VMGS_FILE_COUNT; i++) {
        table[i] = nondet_file();
    }
    if (vmgs_table_parse(table, block_count, table_block, files, &bad_idx) != VMGS_RULE_NONE) {
        __CPROVER_assert(bad_idx < VMGS_FILE_COUNT, "the error names an entry");
        return;
    }
    for (uint32_t a = 0; a < VMGS_FILE_COUNT; a++) {
        const uint64_t end = (uint64_t)files[a].block + files[a].block_count;

        if (files[a].block_count == 0) {
            continue;
        }
        __CPROVER_assert(files[a].block >= VMGS_FIRST_BLOCK && end <= block_count,
                         "a file is on the disk");
        __CPROVER_assert(files[a].size_bytes <= (uint64_t)files[a].block_count * VMGS_BLOCK_BYTES,
                         "and inside its blocks");
        for (uint32_t b = 0; b < a; b++) {
            __CPROVER_assert(files[b].block_count == 0 || end <= files[b].block ||
                                 files[b].block + files[b].block_count <= files[a].block,
                             "apart from every other");
        }
    }
}

int main(void) {
    const uint32_t block_count = nondet_u32();
    const uint32_t table_block = nondet_u32();

    __CPROVER_assume(block_count >= 6);
    __CPROVER_assume(table_block >= VMGS_FIRST_BLOCK && table_block < block_count);
    prove_headers(block_count);
    prove_table(block_count, table_block);
    return 0;
}
