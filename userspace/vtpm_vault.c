// SPDX-License-Identifier: MIT
//
// The TPM's state in the guest state (vtpm_vault.h).
#include "userspace/vtpm_vault.h"

#include "igvm/base/bytes.h"
#include "igvm/base/log.h"
#include "userspace/vault_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AREA "vtpm"

#define FILE_MAX_BYTES (sizeof(struct vtpm_blob_header) + VTPM_STATE_MAX_BYTES)

_Static_assert(FILE_MAX_BYTES <= VAULT_FILE_MAX_BYTES, "one file");

int vtpm_blob_parse(const uint8_t *bytes, size_t size_bytes, size_t *payload_bytes) {
    struct cursor c = cursor_init(bytes, size_bytes);
    struct vtpm_blob_header h;
    uint32_t size;

    if (!cursor_copy(&c, &h, sizeof(h))) {
        return -EBADMSG;
    }
    size = load_le32(h.size);
    if (load_le64(h.magic) != VTPM_BLOB_MAGIC || load_le32(h.version) != VTPM_BLOB_VERSION ||
        load_le64(h.reserved) != 0 || size == 0 || size > VTPM_STATE_MAX_BYTES ||
        size != cursor_left(&c) ||
        load_le64(h.payload_crc) != vtpm_crc64(bytes + sizeof(h), size)) {
        return -EBADMSG;
    }
    *payload_bytes = size;
    return 0;
}

int vtpm_vault_load(struct vtpm_store *store) {
    uint8_t *file = malloc(FILE_MAX_BYTES);
    size_t file_bytes = 0, size = 0;
    int r = file == NULL ? -ENOMEM : vault_read(store->fd, file, FILE_MAX_BYTES, &file_bytes);

    if (r == -ENOENT) {
        store->kind = VTPM_STORE_BLANK;
        r = 0;
    } else if (r == 0 && vtpm_blob_parse(file, file_bytes, &size) != 0) {
        log_write(LOG_ERROR, AREA, "state is corrupted: a file of %zu bytes that is none of ours",
                  file_bytes);
        store->kind = VTPM_STORE_CORRUPT;
    } else if (r == 0) {
        memmove(file, file + sizeof(struct vtpm_blob_header), size);
        store->payload = file;
        store->payload_bytes = (uint32_t)size;
        store->kind = VTPM_STORE_GOOD;
        return 0;
    }
    free(file);
    return r;
}

int vtpm_vault_write(int fd, const uint8_t *bytes, uint32_t size_bytes) {
    struct vtpm_blob_header h = {0};
    uint8_t *file = malloc(sizeof(h) + size_bytes);
    int r;

    if (file == NULL) {
        return -ENOMEM;
    }
    store_le64(h.magic, VTPM_BLOB_MAGIC);
    store_le32(h.version, VTPM_BLOB_VERSION);
    store_le32(h.size, size_bytes);
    store_le64(h.payload_crc, vtpm_crc64(bytes, size_bytes));
    memcpy(file, &h, sizeof(h));
    memcpy(file + sizeof(h), bytes, size_bytes);
    r = vault_write(fd, file, sizeof(h) + size_bytes);
    explicit_bzero(file, sizeof(h) + size_bytes); // seeds
    free(file);
    return r;
}
