// SPDX-License-Identifier: MIT
//
// Opening, making and using a guest state (vault_store.h; docs/vmgs.md).
#include "userspace/vault_store.h"

#include "igvm/base/log.h"
#include "igvm/base/types.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define AREA "vault"

/// What an interrupted creation can have written: the headers and two copies of both tables.
#define CREATED_BLOCKS (VMGS_FIRST_BLOCK + 4u)
/// A disk that is zero up to here is empty.
#define EMPTY_CHECK_BYTES (64ull << 20)

static int refuse(struct vault_store *store, int error, const char *why) {
    char detail[256];

    vmgs_error_format(&store->vmgs.error, detail, sizeof(detail));
    log_write(LOG_ERROR, AREA, "the guest state is refused and left as it is: %s%s%s", why,
              store->vmgs.error.code != VMGS_RULE_NONE ? ": " : "",
              store->vmgs.error.code != VMGS_RULE_NONE ? detail : "");
    vmgs_close(&store->vmgs);
    store->refusal = error;
    return error;
}

// ---- empty disks --------------------------------------------------------------------------------

static bool is_zero(const uint8_t *bytes, size_t size_bytes) {
    uint8_t any = 0;

    for (size_t i = 0; i < size_bytes; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

/// Whether a header's sector is zero, or a header that was torn while it was written.
static bool may_be_new_header(const uint8_t *sector, size_t sector_bytes) {
    static const uint8_t signature[8] = {'G', 'U', 'E', 'S', 'T', 'R', 'T', 'S'};

    for (size_t i = 0; i < sizeof(signature); i++) {
        if (sector[i] != 0 && sector[i] != signature[i]) {
            return false;
        }
    }
    return is_zero(sector + sizeof(struct vmgs_wire_header),
                   sector_bytes - sizeof(struct vmgs_wire_header));
}

/// Whether nobody's data is on the disk: zero all over, but for what an interrupted vmgs_create()
/// leaves. Zero headers alone would not do: many file systems begin behind them. 1, 0 or -EIO.
static int is_empty(const struct vmgs_disk *disk) {
    uint64_t end = disk->size_bytes < EMPTY_CHECK_BYTES ? disk->size_bytes : EMPTY_CHECK_BYTES;
    uint8_t block[VMGS_BLOCK_BYTES];
    size_t sector = disk->sector_bytes;

    for (uint32_t i = 0; i < end / VMGS_BLOCK_BYTES; i++) {
        size_t skip = 0;

        if (i >= VMGS_FIRST_BLOCK && i < CREATED_BLOCKS) {
            continue;
        }
        if (disk->read(disk->context, (uint64_t)i * VMGS_BLOCK_BYTES, block, sizeof(block)) != 0) {
            return -EIO;
        }
        // Headers: the first two sectors, in one block or in two.
        while (i < VMGS_FIRST_BLOCK && skip < sizeof(block) &&
               (i * VMGS_BLOCK_BYTES + skip) / sector < 2) {
            if (!may_be_new_header(block + skip, sector)) {
                return 0;
            }
            skip += sector;
        }
        if (!is_zero(block + skip, sizeof(block) - skip)) {
            return 0;
        }
    }
    return 1;
}

static bool has_files(const struct vmgs *vmgs) {
    for (uint32_t i = VMGS_FILE_TABLE + 1; i < VMGS_EXTENDED_FILE_TABLE; i++) {
        if (vmgs->now.files[i].block_count != 0) {
            return true;
        }
    }
    return false;
}

// ---- opening ------------------------------------------------------------------------------------

/// The disk holds no file system that opens.
static int make(struct vault_store *store, const struct vmgs_disk *disk, bool format) {
    struct vmgs_error error = store->vmgs.error;
    int empty = error.code == VMGS_RULE_DISK_SIZE ? 0 : is_empty(disk);

    if (empty < 0 || error.code == VMGS_RULE_READ) {
        return refuse(store, -EIO, "the disk cannot be read");
    }
    if (empty == 0) {
        if (error.code == VMGS_RULE_EMPTY) {
            store->vmgs.error.code = VMGS_RULE_NONE;
            return refuse(store, -EBADMSG, "the disk holds something else: it is not empty");
        }
        return refuse(store, -EBADMSG, "it is damaged, or none of ours");
    }
    if (!format) {
        return refuse(store, -ENOMEDIUM, "the disk is empty and may not be formatted");
    }
    if (vmgs_create(&store->vmgs, disk) != 0) {
        return refuse(store, -EIO, "the empty disk cannot be formatted");
    }
    log_write(LOG_INFO, AREA, "the empty disk was made a guest state");
    return 0;
}

static int unlock(struct vault_store *store, const uint8_t *key, bool format) {
    int r;

    if (!vmgs_encrypted(&store->vmgs)) {
        if (has_files(&store->vmgs)) {
            return refuse(store, -EKEYREJECTED, "there is a key, but it is not encrypted");
        }
        if (!format) {
            return refuse(store, -ENOMEDIUM, "it is empty, not encrypted, and may not be made new");
        }
        // Just made, perhaps by a process that was interrupted.
        r = vmgs_encrypt(&store->vmgs, key);
        return r == 0 ? 0 : refuse(store, -EIO, "it cannot be encrypted");
    }
    r = vmgs_unlock(&store->vmgs, key);
    if (r == -EACCES) {
        return refuse(store, -EKEYREJECTED, "the key is wrong");
    }
    return r == 0 ? 0 : refuse(store, r == -EIO ? r : -EBADMSG, "it is damaged");
}

int vault_store_open(struct vault_store *store, const struct vmgs_disk *disk, const uint8_t *key,
                     bool format) {
    char detail[160];
    int r;

    memset(store, 0, sizeof(*store));
    store->has_key = key != NULL;
    r = vmgs_open(&store->vmgs, disk);
    if (r != 0) {
        r = make(store, disk, format);
        if (r != 0) {
            return r;
        }
    }
    if (store->vmgs.other_rule != VMGS_RULE_NONE && store->vmgs.other_rule != VMGS_RULE_EMPTY) {
        snprintf(detail, sizeof(detail), "%s", vmgs_rule_text(store->vmgs.other_rule));
        log_write(LOG_WARN, AREA,
                  "one of the guest state's headers is damaged, as an interrupted write leaves it "
                  "(rule broken: %s); the other one is used",
                  detail);
    }
    if (key != NULL) {
        return unlock(store, key, format);
    }
    return vmgs_encrypted(&store->vmgs)
               ? refuse(store, -EKEYREJECTED, "it is encrypted, and there is no key")
               : 0;
}

// ---- files --------------------------------------------------------------------------------------

static void tell(const struct vault_store *store, const char *what) {
    char detail[256];

    vmgs_error_format(&store->vmgs.error, detail, sizeof(detail));
    LOG_LIMITED(LOG_ERROR, AREA, "%s: %s", what, detail);
}

/// Whether a file is as it must be: with a key, encrypted. 0, -ENOENT, -EBADMSG.
static int judge(struct vault_store *store, uint32_t file_id) {
    struct vmgs_file_info info;
    int r = vmgs_stat(&store->vmgs, file_id, &info);

    if (r == -EBADMSG) {
        tell(store, "a file is gone");
    } else if (r == 0 && store->has_key && !info.encrypted) {
        const char *name = vmgs_file_name(file_id);

        LOG_LIMITED(LOG_ERROR, AREA, "file %u (%s) is not encrypted: it is none of ours",
                    (unsigned)file_id, name ? name : "no name");
        r = -EBADMSG;
    }
    return r;
}

int vault_store_read(struct vault_store *store, uint32_t file_id, void *out, size_t room_bytes,
                     size_t *size_bytes) {
    int r = store->refusal != 0 ? store->refusal : judge(store, file_id);

    if (r != 0) {
        return r;
    }
    r = vmgs_read(&store->vmgs, file_id, out, room_bytes, size_bytes);
    if (r != 0) {
        tell(store, "a file cannot be read");
    }
    return r;
}

int vault_store_write(struct vault_store *store, uint32_t file_id, const void *bytes,
                      size_t size_bytes) {
    int r = store->refusal != 0 ? store->refusal : judge(store, file_id);

    if (r != 0 && r != -ENOENT) {
        return r; // what is damaged or foreign stays for who looks into it
    }
    r = vmgs_write(&store->vmgs, file_id, bytes, size_bytes,
                   store->has_key ? VMGS_WRITE_ENCRYPT : 0);
    if (r != 0) {
        tell(store, "a file cannot be written");
    }
    return r;
}

void vault_store_close(struct vault_store *store) {
    vmgs_close(&store->vmgs);
}
