// SPDX-License-Identifier: MIT
//
// VMGS, the virtual machine guest state file, version 3.0: what stands on the disk.
//
// The format is OpenHCL's and Hyper-V's. Blocks are 4096 bytes. Header 0 is the disk's first sector
// and header 1 its second; blocks from 2 on hold files, among them the file table (id 0) and the
// extended file table (id 63), which carries the keys of the encrypted files. All numbers are
// little-endian. docs/vmgs.md tells the rest.
#pragma once

#include <stdint.h>

#define VMGS_SIGNATURE     0x5354525453455547ull // "GUESTRTS"
#define VMGS_VERSION_3_0   0x00030000u
#define VMGS_BLOCK_BYTES   4096u
#define VMGS_DEFAULT_BYTES 0x400000u // what the other implementations create
#define VMGS_FIRST_BLOCK   2u        // blocks below hold the two headers
#ifndef VMGS_FILE_COUNT              // the proof walks a shorter table
#define VMGS_FILE_COUNT 64u
#endif
#define VMGS_NONCE_BYTES 12u
#define VMGS_TAG_BYTES   16u
#define VMGS_KEY_BYTES   32u
#define VMGS_KEY_SLOTS   2u

#define VMGS_ALGORITHM_NONE    0u
#define VMGS_ALGORITHM_AES_GCM 1u // AES-256-GCM, no additional data

#define VMGS_ATTRIBUTE_ENCRYPTED     (1u << 0)
#define VMGS_ATTRIBUTE_AUTHENTICATED (1u << 1)
#define VMGS_ATTRIBUTES_DEFINED      (VMGS_ATTRIBUTE_ENCRYPTED | VMGS_ATTRIBUTE_AUTHENTICATED)

#define VMGS_MARKER_REPROVISIONED (1u << 0)

/// File ids that have a meaning. 12 and 19 to 62 are free.
enum vmgs_file_id {
    VMGS_FILE_TABLE = 0,
    VMGS_BIOS_NVRAM = 1, // UEFI variables
    VMGS_TPM_PPI = 2,
    VMGS_TPM_NVRAM = 3,
    VMGS_RTC_SKEW = 4,
    VMGS_ATTEST = 5,
    VMGS_KEY_PROTECTOR = 6,
    VMGS_VM_UNIQUE_ID = 7,
    VMGS_GUEST_FIRMWARE = 8,
    VMGS_CUSTOM_UEFI = 9,
    VMGS_GUEST_WATCHDOG = 10,
    VMGS_HW_KEY_PROTECTOR = 11,
    VMGS_GUEST_SECRET_KEY = 13,
    VMGS_HIBERNATION_TOKEN = 14,
    VMGS_PLATFORM_SEED = 15,
    VMGS_PROVENANCE_DOC = 16,
    VMGS_TPM_NVRAM_BACKUP = 17,
    VMGS_PROVISIONING_MARKER = 18,
    VMGS_EXTENDED_FILE_TABLE = 63,
};

/// The metadata key, encrypted with a root key. A slot whose key is all zero is empty.
struct vmgs_wire_key {
    uint8_t nonce[VMGS_NONCE_BYTES];
    uint32_t reserved;
    uint8_t tag[VMGS_TAG_BYTES];
    uint8_t key[VMGS_KEY_BYTES];
};
_Static_assert(sizeof(struct vmgs_wire_key) == 64, "VMGS format");

/// A header: the first bytes of its sector; the sector's rest is zero.
struct vmgs_wire_header {
    uint64_t signature;
    uint32_t version;
    uint32_t checksum; // CRC-32 of the 168 bytes with this field as zero
    uint32_t sequence; // one more than the other header's when this one is the newer; wraps
    uint32_t header_bytes;
    uint32_t table_block; // where the file table stands
    uint32_t table_block_count;
    uint16_t algorithm; // VMGS_ALGORITHM_*
    uint16_t markers;   // VMGS_MARKER_*
    struct vmgs_wire_key keys[VMGS_KEY_SLOTS];
    uint32_t reserved;
};
_Static_assert(sizeof(struct vmgs_wire_header) == 168, "VMGS format");

/// File table entry. A file that does not exist has no blocks.
struct vmgs_wire_file {
    uint32_t block;
    uint32_t block_count;
    uint64_t size_bytes;
    uint8_t nonce[VMGS_NONCE_BYTES];
    uint8_t tag[VMGS_TAG_BYTES];
    uint32_t attributes; // a copy of the extended table's, for who has no key; old writers: zero
    uint8_t reserved[16];
};
_Static_assert(sizeof(struct vmgs_wire_file) == 64, "VMGS format");

/// Extended file table entry: the table is encrypted with the metadata key.
struct vmgs_wire_extended {
    uint32_t attributes; // VMGS_ATTRIBUTE_*
    uint8_t key[VMGS_KEY_BYTES];
    uint8_t reserved[28];
};
_Static_assert(sizeof(struct vmgs_wire_extended) == 64, "VMGS format");

#define VMGS_TABLE_BYTES (VMGS_FILE_COUNT * 64u) // of either table: one block

// The structs are used as they are.
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian hosts only");
