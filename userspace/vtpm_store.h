// SPDX-License-Identifier: MIT
//
// Where the TPM's permanent state lives: two slots in one file or block device, written in turn,
// plus room to keep corrupted state aside. One descriptor, opened before the sandbox, and only
// pread, pwrite and fdatasync: a rename would need path look-ups inside the sandbox.
//
//     0          slot A: header page, payload      (odd sequence numbers)
//     512 KiB    slot B: header page, payload      (even sequence numbers)
//     1 MiB      aside: a copy of both slots as they were when found corrupted
//     2 MiB      end
//
// A write goes to the slot that does not hold the newest state: payload, fdatasync, header,
// fdatasync. So at any moment one slot is whole. What is found at the start is judged strictly:
// only damage that an interrupted write can cause is repaired silently (by the other slot). Damage
// to the newest state is corruption even though an older state is there: going back in time would
// hand out spent counters and lock-out attempts again.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VTPM_SLOT_BYTES        0x80000u
#define VTPM_SLOT_HEADER_BYTES 4096u
#define VTPM_STATE_MAX_BYTES   (VTPM_SLOT_BYTES - VTPM_SLOT_HEADER_BYTES)
#define VTPM_ASIDE_OFF         (2u * VTPM_SLOT_BYTES)
#define VTPM_STORE_BYTES       (4u * VTPM_SLOT_BYTES)

#define VTPM_SLOT_MAGIC   0x4D50545641524150ull ///< "PARAVTPM"
#define VTPM_SLOT_VERSION 1u

/// At the start of each slot, little-endian; all of it written by vtpm_store_write(). All zero: the
/// slot has never been written.
struct vtpm_slot_header {
    uint8_t magic[8];       ///< VTPM_SLOT_MAGIC
    uint8_t version[4];     ///< VTPM_SLOT_VERSION
    uint8_t size[4];        ///< payload bytes, 1..VTPM_STATE_MAX_BYTES
    uint8_t sequence[8];    ///< 1 for the first state ever, then one more each time
    uint8_t payload_crc[8]; ///< CRC-64/XZ of the payload
    uint8_t reserved[24];   ///< 0
    uint8_t header_crc[8];  ///< CRC-64/XZ of the bytes before
};
_Static_assert(sizeof(struct vtpm_slot_header) == 64, "on-disk layout");

enum vtpm_slot_kind {
    VTPM_SLOT_BLANK,   ///< never written
    VTPM_SLOT_WHOLE,   ///< header and payload agree
    VTPM_SLOT_TORN,    ///< good header, other payload: an interrupted write, or damage
    VTPM_SLOT_INVALID, ///< no header that we could have written
};

struct vtpm_slot {
    enum vtpm_slot_kind kind;
    uint64_t sequence;   ///< WHOLE and TORN
    uint32_t size_bytes; ///< likewise
};

enum vtpm_store_kind { VTPM_STORE_BLANK, VTPM_STORE_GOOD, VTPM_STORE_CORRUPT };

struct vtpm_store {
    int fd;        ///< of the file or device, or the vault's socket
    bool in_vault; ///< the state is a file of the guest state instead: userspace/vtpm_vault.h
    enum vtpm_store_kind kind;
    bool usable;       ///< has the size of a store
    bool too_large;    ///< a file longer than VTPM_STORE_BYTES: not ours, never touched
    uint64_t sequence; ///< of the newest state; 0 when there is none
    uint8_t *payload;  ///< the newest state, owned
    uint32_t payload_bytes;
};

/// Checks a slot's header. WHOLE here means: the header is good; the payload is not looked at.
struct vtpm_slot vtpm_slot_parse(const uint8_t header[static 64], unsigned slot_idx);

/// The newest state's slot from both slots: 0 or 1; -ENOENT both blank; -EBADMSG corrupted.
int vtpm_slots_judge(const struct vtpm_slot slots[static 2]);

uint64_t vtpm_crc64(const uint8_t *bytes, size_t size_bytes);

/// Looks at the descriptor's kind and size (a file of 0 bytes is blank and grows to
/// VTPM_STORE_BYTES), not at its contents: before the sandbox. fd is borrowed. 0 or -errno.
int vtpm_store_attach(struct vtpm_store *store, int fd);

/// The state is the file that the vault serves on this socket; nothing is asked yet.
void vtpm_store_attach_vault(struct vtpm_store *store, int fd);

/// Reads and judges the contents; in the sandbox. 0 and store->kind; -errno when it cannot be read
/// or has no memory.
int vtpm_store_load(struct vtpm_store *store);

/// Makes this the newest state. Power may fail at any moment: the old or the new state is found
/// then. -EFBIG, -EIO..., -EBADMSG in a store that is corrupted.
int vtpm_store_write(struct vtpm_store *store, const uint8_t *bytes, uint32_t size_bytes);

/// Copies a corrupted store's slots to its aside area and blanks them. -EEXIST when an earlier
/// corruption is still kept there, -EFBIG when the file is longer than a store, -EOPNOTSUPP in the
/// vault: nothing is touched.
int vtpm_store_set_aside(struct vtpm_store *store);

void vtpm_store_close(struct vtpm_store *store);
