// SPDX-License-Identifier: MIT
//
// The TPM's permanent state as the file TPM_NVRAM of the guest state: one header and libtpms'
// state, replaced as a whole by each write. The vault makes the write atomic and, with a key,
// authentic; the checksum is for guest states without one.
#pragma once

#include "userspace/vtpm_store.h"

#define VTPM_BLOB_MAGIC   0x32304D5054415250ull ///< "PRATPM02"
#define VTPM_BLOB_VERSION 1u

/// At the start of the file, little-endian; written by vtpm_vault_write(). The payload follows and
/// ends the file.
struct vtpm_blob_header {
    uint8_t magic[8];       ///< VTPM_BLOB_MAGIC
    uint8_t version[4];     ///< VTPM_BLOB_VERSION
    uint8_t size[4];        ///< payload bytes, 1..VTPM_STATE_MAX_BYTES
    uint8_t payload_crc[8]; ///< CRC-64/XZ of the payload
    uint8_t reserved[8];    ///< 0
};
_Static_assert(sizeof(struct vtpm_blob_header) == 32, "file layout");

/// Where the payload stands in a file of size_bytes; *payload_bytes gets its size. -EBADMSG: the
/// file is none of ours, or damaged. Pure.
int vtpm_blob_parse(const uint8_t *bytes, size_t size_bytes, size_t *payload_bytes);

/// vtpm_store_load() and vtpm_store_write() of a store in the vault.
int vtpm_vault_load(struct vtpm_store *store);
int vtpm_vault_write(int fd, const uint8_t *bytes, uint32_t size_bytes);
