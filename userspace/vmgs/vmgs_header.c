// SPDX-License-Identifier: MIT
//
// VMGS: the two headers and which of them holds the present state.

#include "userspace/vmgs/vmgs_internal.h"

#include "igvm/igvm.h"

#define HEADER_OFF(member) ((uint32_t)offsetof(struct vmgs_wire_header, member))

uint32_t vmgs_header_checksum(const struct vmgs_wire_header *header) {
    struct vmgs_wire_header copy = *header;

    copy.checksum = 0;
    return igvm_crc32(0, &copy, sizeof(copy));
}

enum vmgs_rule vmgs_header_check(const struct vmgs_wire_header *header, uint32_t block_count,
                                 uint32_t *field_off) {
    *field_off = HEADER_OFF(signature);
    if (header->signature != VMGS_SIGNATURE) {
        return VMGS_RULE_SIGNATURE;
    }
    *field_off = HEADER_OFF(version);
    if (header->version != VMGS_VERSION_3_0) {
        return VMGS_RULE_VERSION;
    }
    *field_off = HEADER_OFF(header_bytes);
    if (header->header_bytes != sizeof(*header)) {
        return VMGS_RULE_HEADER_SIZE;
    }
    *field_off = HEADER_OFF(checksum);
    if (header->checksum != vmgs_header_checksum(header)) {
        return VMGS_RULE_CHECKSUM;
    }
    *field_off = HEADER_OFF(table_block);
    if (header->table_block < VMGS_FIRST_BLOCK || header->table_block >= block_count ||
        header->table_block_count != 1) {
        return VMGS_RULE_TABLE_PLACE;
    }
    *field_off = HEADER_OFF(algorithm);
    if (header->algorithm > VMGS_ALGORITHM_AES_GCM) {
        return VMGS_RULE_ALGORITHM;
    }
    *field_off = 0;
    return VMGS_RULE_NONE;
}

int vmgs_headers_judge(const enum vmgs_rule rules[2], const struct vmgs_wire_header headers[2]) {
    const bool valid[2] = {rules[0] == VMGS_RULE_NONE, rules[1] == VMGS_RULE_NONE};

    if (valid[0] && valid[1]) {
        // Numbers wrap: 0 follows 0xffffffff.
        const uint32_t ahead = headers[1].sequence - headers[0].sequence;

        return ahead == 1 ? 1 : ahead == UINT32_MAX ? 0 : -1;
    }
    return valid[0] ? 0 : valid[1] ? 1 : -1;
}
