// SPDX-License-Identifier: MIT
//
// Fuzz target: hostile guest state files, and operations on them.
//
// The input's last byte says how the disk comes to be: whole blocks of the input as they are, or a
// good file system (plain or encrypted) with bytes of it changed; then whether the headers'
// checksums are put right. What opens is unlocked, read, checked and worked with: a change that
// succeeds must be there, whole, when the file is opened again.

#include "tests/support/cut_disk.h"
#include "userspace/vmgs/vmgs_internal.h"

#include "igvm/base/bytes.h"

#include <stdlib.h>
#include <string.h>

#define FLAG_RAW    0x01u
#define FLAG_REPAIR 0x02u
#define FLAG_SECRET 0x04u
#define FLAG_HEADER 0x08u // open the header of FLAG_SECOND
#define FLAG_SECOND 0x10u
#define FLAG_LARGE  0x20u // sectors of 4096 bytes
#define MAX_OPS     12u
#define EDIT_BYTES  4u

static struct cut_disk disk;
static uint8_t contents[8 * VMGS_BLOCK_BYTES];
static uint8_t got[CUT_DISK_MAX_BLOCKS * VMGS_BLOCK_BYTES];

static const uint8_t root_key[VMGS_KEY_BYTES] = {
    0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, // of the corpus's image
};

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static void good_file_system(bool secret) {
    const struct vmgs_disk ops = cut_disk_ops(&disk);
    struct vmgs vmgs;

    require(vmgs_create(&vmgs, &ops) == 0);
    require(!secret || vmgs_encrypt(&vmgs, root_key) == 0);
    require(vmgs_write(&vmgs, VMGS_TPM_NVRAM, contents, 5000, secret ? VMGS_WRITE_ENCRYPT : 0) ==
            0);
    require(vmgs_write(&vmgs, VMGS_KEY_PROTECTOR, contents, 50, 0) == 0);
}

/// Changes bytes of the two headers' sectors and of blocks 2 and on.
static struct cursor edit(struct cursor in, uint8_t count) {
    const uint32_t end = disk.block_count * VMGS_BLOCK_BYTES;
    const uint8_t *at;

    for (unsigned i = 0; i < count && cursor_take(&in, EDIT_BYTES, &at); i++) {
        const uint32_t off = load_le16(at) | (uint32_t)at[2] << 16;

        disk.cache[off % end] = at[3];
    }
    return in;
}

static void repair_headers(void) {
    for (unsigned i = 0; i < 2; i++) {
        struct vmgs_wire_header header;

        memcpy(&header, disk.cache + i * disk.sector_bytes, sizeof(header));
        header.checksum = vmgs_header_checksum(&header);
        memcpy(disk.cache + i * disk.sector_bytes, &header, sizeof(header));
    }
}

static int open_disk(struct vmgs *vmgs, unsigned flags, bool unlock) {
    const struct vmgs_disk ops = cut_disk_ops(&disk);
    int rc = (flags & FLAG_HEADER) != 0 ? vmgs_open_header(vmgs, &ops, (flags & FLAG_SECOND) != 0)
                                        : vmgs_open(vmgs, &ops);

    return rc == 0 && unlock ? vmgs_unlock(vmgs, root_key) : rc;
}

static void on_found(void *context, const struct vmgs_error *error) {
    char line[80];

    (void)context;
    vmgs_error_format(error, line, sizeof(line));
}

static void read_all(struct vmgs *vmgs) {
    for (uint32_t i = 0; i <= VMGS_FILE_COUNT; i++) {
        struct vmgs_file_info info;
        size_t size;

        if (vmgs_stat(vmgs, i, &info) == 0) {
            require(info.offset + info.allocated_bytes <= disk.block_count * VMGS_BLOCK_BYTES);
            (void)vmgs_read(vmgs, i, got, sizeof(got), &size);
        }
    }
    (void)vmgs_check(vmgs, on_found, NULL);
}

static void written(uint32_t id, size_t size_bytes, bool unlocked) {
    struct vmgs vmgs;
    size_t size;

    require(open_disk(&vmgs, 0, unlocked) == 0);
    require(vmgs_read(&vmgs, id, got, sizeof(got), &size) == 0);
    require(size == size_bytes && memcmp(got, contents, size) == 0);
}

static void run_op(struct vmgs *vmgs, const uint8_t op[4]) {
    const uint32_t id = op[1] % 66u;
    const size_t size = load_le16(op + 2) % sizeof(contents);
    const bool unlocked = vmgs->now.unlocked;

    switch (op[0] % 8) {
    case 0:
    case 1:
    case 2:
        if (vmgs_write(vmgs, id, contents, size, op[0] >> 3 & 3) == 0) {
            written(id, size, unlocked);
        }
        break;
    case 3:
        (void)vmgs_delete(vmgs, id);
        break;
    case 4:
        (void)vmgs_rekey(vmgs, root_key);
        break;
    case 5:
        (void)vmgs_encrypt(vmgs, root_key);
        break;
    case 6:
        (void)vmgs_renew(vmgs);
        break;
    default:
        (void)vmgs_scrub(vmgs);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
    const unsigned flags = size_bytes == 0 ? 0 : data[size_bytes - 1];
    struct cursor in = cursor_init(data, size_bytes);
    const uint8_t *at;
    struct vmgs vmgs;
    uint8_t edits = 0;

    for (size_t i = 0; contents[1] == 0 && i < sizeof(contents); i++) {
        contents[i] = (uint8_t)(i * 3);
    }
    cut_disk_init(&disk, 16, (flags & FLAG_LARGE) != 0 ? 4096 : 512, 3);
    if ((flags & FLAG_RAW) != 0 || size_bytes >= 6 * VMGS_BLOCK_BYTES) {
        size_t blocks = size_bytes / VMGS_BLOCK_BYTES;

        blocks = blocks > CUT_DISK_MAX_BLOCKS ? CUT_DISK_MAX_BLOCKS : blocks;
        disk.block_count = blocks < 6 ? 8 : (uint32_t)blocks;
        require(cursor_copy(&in, disk.cache, blocks * VMGS_BLOCK_BYTES));
    } else {
        good_file_system((flags & FLAG_SECRET) != 0);
    }
    if (cursor_u8(&in, &edits)) {
        in = edit(in, edits);
    }
    if ((flags & FLAG_REPAIR) != 0) {
        repair_headers();
    }
    // Pending writes of the building are on the medium; the operations have room for theirs.
    disk.pending_count = 0;
    if (open_disk(&vmgs, flags, false) != 0) {
        on_found(NULL, &vmgs.error);
        return 0;
    }
    read_all(&vmgs);
    (void)vmgs_unlock(&vmgs, root_key);
    read_all(&vmgs);
    for (unsigned i = 0; i < MAX_OPS && cursor_take(&in, 4, &at); i++) {
        run_op(&vmgs, at);
    }
    return 0;
}
