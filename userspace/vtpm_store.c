// SPDX-License-Identifier: MIT
//
// The vTPM's two-slot state file (vtpm_store.h). The checksum finds torn writes and rot; it does
// not stop an attacker who can write the file: that takes the encrypted guest state.

#include "userspace/vtpm_store.h"

#include "igvm/base/bytes.h"
#include "igvm/base/log.h"
#include "userspace/vtpm_vault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AREA "vtpm"

_Static_assert(VTPM_ASIDE_OFF + 2 * VTPM_SLOT_BYTES == VTPM_STORE_BYTES, "aside area");

/// In the aside area, in the unused part of the copied first header page: the copy is complete.
#define ASIDE_MARK_OFF (VTPM_ASIDE_OFF + 2048u)
static const uint8_t aside_mark[8] = {'P', 'A', 'R', 'A', 'S', 'I', 'D', 'E'};

/// CRC-64/XZ (ECMA-182 polynomial, reflected), four bits at a time.
uint64_t vtpm_crc64(const uint8_t *bytes, size_t size_bytes) {
    uint64_t table[16];
    uint64_t crc = UINT64_MAX;

    for (unsigned i = 0; i < 16; i++) {
        uint64_t r = i;

        for (unsigned bit = 0; bit < 4; bit++) {
            r = (r >> 1) ^ ((r & 1) ? UINT64_C(0xC96C5795D7870F42) : 0);
        }
        table[i] = r;
    }
    for (size_t i = 0; i < size_bytes; i++) {
        crc ^= bytes[i];
        crc = (crc >> 4) ^ table[crc & 15];
        crc = (crc >> 4) ^ table[crc & 15];
    }
    return ~crc;
}

struct vtpm_slot vtpm_slot_parse(const uint8_t header[static 64], unsigned slot_idx) {
    const struct vtpm_slot invalid = {.kind = VTPM_SLOT_INVALID};
    struct vtpm_slot_header h;
    uint8_t any = 0;
    uint8_t reserved = 0;
    struct vtpm_slot slot;

    memcpy(&h, header, sizeof(h));
    for (size_t i = 0; i < sizeof(h); i++) {
        any |= header[i];
    }
    if (any == 0) {
        return (struct vtpm_slot){.kind = VTPM_SLOT_BLANK};
    }
    for (size_t i = 0; i < sizeof(h.reserved); i++) {
        reserved |= h.reserved[i];
    }
    slot = (struct vtpm_slot){
        .kind = VTPM_SLOT_WHOLE,
        .sequence = load_le64(h.sequence),
        .size_bytes = load_le32(h.size),
    };
    if (load_le64(h.magic) != VTPM_SLOT_MAGIC || load_le32(h.version) != VTPM_SLOT_VERSION ||
        load_le64(h.header_crc) != vtpm_crc64(header, sizeof(h) - sizeof(h.header_crc)) ||
        reserved != 0 || slot.size_bytes == 0 || slot.size_bytes > VTPM_STATE_MAX_BYTES ||
        slot.sequence == 0 || (slot.sequence & 1) != (slot_idx ^ 1)) {
        return invalid;
    }
    return slot;
}

/// The cases that writes in order can leave behind, and nothing else:
///   -, -                  never written (a first write may have been interrupted)
///   1, -                  one write; a second may have been interrupted before its header
///   n, n + 1              both whole
///   n whole, n - 1 torn   the write of n + 1 was interrupted
int vtpm_slots_judge(const struct vtpm_slot slots[static 2]) {
    unsigned newest;

    if (slots[0].kind == VTPM_SLOT_BLANK && slots[1].kind == VTPM_SLOT_BLANK) {
        return -ENOENT;
    }
    if (slots[0].kind == VTPM_SLOT_INVALID || slots[1].kind == VTPM_SLOT_INVALID ||
        slots[0].kind == VTPM_SLOT_BLANK) {
        return -EBADMSG;
    }
    if (slots[1].kind == VTPM_SLOT_BLANK) {
        return slots[0].kind == VTPM_SLOT_WHOLE && slots[0].sequence == 1 ? 0 : -EBADMSG;
    }
    newest = slots[1].sequence > slots[0].sequence;
    if (slots[newest].sequence - slots[!newest].sequence != 1 ||
        slots[newest].kind != VTPM_SLOT_WHOLE) {
        return -EBADMSG;
    }
    return (int)newest;
}

// ---- I/O: all or an error ----

/// What lies beyond the end reads as zero: a short file is judged by its size, not here.
static int read_at(int fd, uint8_t *to, size_t size_bytes, uint64_t off) {
    size_t done = 0;

    while (done < size_bytes) {
        ssize_t n = pread(fd, to + done, size_bytes - done, (off_t)(off + done));

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n == 0) {
            memset(to + done, 0, size_bytes - done);
            return 0;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int write_at(int fd, const uint8_t *from, size_t size_bytes, uint64_t off) {
    size_t done = 0;

    while (done < size_bytes) {
        ssize_t n = pwrite(fd, from + done, size_bytes - done, (off_t)(off + done));

        if (n == 0 || (n < 0 && errno != EINTR)) {
            return n == 0 ? -EIO : -errno;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int sync_data(int fd) {
    return fdatasync(fd) == 0 ? 0 : -errno;
}

// ---- opening ------------------------------------------------------------------------------------

int vtpm_store_attach(struct vtpm_store *store, int fd) {
    struct stat st;
    off_t size_bytes;

    *store = (struct vtpm_store){.fd = fd, .kind = VTPM_STORE_CORRUPT};
    if (fstat(fd, &st) != 0) {
        return -errno;
    }
    if (!S_ISREG(st.st_mode)) {
        size_bytes = lseek(fd, 0, SEEK_END);
        store->usable = size_bytes >= (off_t)VTPM_STORE_BYTES;
        return size_bytes < 0 ? -errno : 0;
    }
    if (st.st_size == 0 && ftruncate(fd, VTPM_STORE_BYTES) != 0) {
        return -errno;
    }
    store->usable = st.st_size == 0 || st.st_size == VTPM_STORE_BYTES;
    store->too_large = st.st_size > VTPM_STORE_BYTES;
    return 0;
}

/// Reads one slot; *payload (the caller's to free) gets what its header announces.
static int read_slot(int fd, unsigned slot_idx, struct vtpm_slot *slot, uint8_t **payload) {
    uint8_t header[sizeof(struct vtpm_slot_header)];
    uint64_t off = (uint64_t)slot_idx * VTPM_SLOT_BYTES;
    int r = read_at(fd, header, sizeof(header), off);

    if (r != 0) {
        return r;
    }
    *slot = vtpm_slot_parse(header, slot_idx);
    if (slot->kind != VTPM_SLOT_WHOLE) {
        return 0;
    }
    *payload = malloc(slot->size_bytes); // the header's check has bounded it
    if (*payload == NULL) {
        return -ENOMEM;
    }
    r = read_at(fd, *payload, slot->size_bytes, off + VTPM_SLOT_HEADER_BYTES);
    if (r == 0 && vtpm_crc64(*payload, slot->size_bytes) !=
                      load_le64(header + offsetof(struct vtpm_slot_header, payload_crc))) {
        slot->kind = VTPM_SLOT_TORN;
    }
    return r;
}

static void judge(struct vtpm_store *store, const struct vtpm_slot slots[static 2],
                  uint8_t *payloads[static 2]) {
    int newest = vtpm_slots_judge(slots);

    if (newest == -ENOENT) {
        store->kind = VTPM_STORE_BLANK;
        return;
    }
    if (newest < 0) {
        log_write(LOG_ERROR, AREA, "state is corrupted: slots %d and %d, sequences %llu and %llu",
                  (int)slots[0].kind, (int)slots[1].kind, (unsigned long long)slots[0].sequence,
                  (unsigned long long)slots[1].sequence);
        return;
    }
    if (slots[!newest].kind == VTPM_SLOT_TORN) {
        log_write(LOG_INFO, AREA, "an interrupted write was found; the state before it is whole");
    }
    store->kind = VTPM_STORE_GOOD;
    store->sequence = slots[newest].sequence;
    store->payload_bytes = slots[newest].size_bytes;
    store->payload = payloads[newest];
    payloads[newest] = NULL;
}

void vtpm_store_attach_vault(struct vtpm_store *store, int fd) {
    *store =
        (struct vtpm_store){.fd = fd, .in_vault = true, .usable = true, .kind = VTPM_STORE_CORRUPT};
}

int vtpm_store_load(struct vtpm_store *store) {
    struct vtpm_slot slots[2];
    uint8_t *payloads[2] = {NULL, NULL};
    int r = 0;

    if (store->in_vault) {
        return vtpm_vault_load(store);
    }
    for (unsigned i = 0; i < 2 && r == 0; i++) {
        r = read_slot(store->fd, i, &slots[i], &payloads[i]);
    }
    if (r == 0 && store->usable) {
        judge(store, slots, payloads);
    } else if (r == 0) {
        log_write(LOG_ERROR, AREA, "state is corrupted: it has the wrong size");
    }
    free(payloads[0]);
    free(payloads[1]);
    return r;
}

// ---- writing ------------------------------------------------------------------------------------

/// Payload, sync, header, sync, in the slot that does not hold the newest state.
static int write_slot(const struct vtpm_store *store, const uint8_t *bytes, uint32_t size_bytes) {
    struct vtpm_slot_header h = {0};
    uint64_t sequence = store->sequence + 1;
    uint64_t off = (sequence & 1) ? 0 : VTPM_SLOT_BYTES;
    int r;

    store_le64(h.magic, VTPM_SLOT_MAGIC);
    store_le32(h.version, VTPM_SLOT_VERSION);
    store_le32(h.size, size_bytes);
    store_le64(h.sequence, sequence);
    store_le64(h.payload_crc, vtpm_crc64(bytes, size_bytes));
    store_le64(h.header_crc,
               vtpm_crc64((const uint8_t *)&h, offsetof(struct vtpm_slot_header, header_crc)));
    r = write_at(store->fd, bytes, size_bytes, off + VTPM_SLOT_HEADER_BYTES);
    r = r == 0 ? sync_data(store->fd) : r;
    r = r == 0 ? write_at(store->fd, (const uint8_t *)&h, sizeof(h), off) : r;
    return r == 0 ? sync_data(store->fd) : r;
}

int vtpm_store_write(struct vtpm_store *store, const uint8_t *bytes, uint32_t size_bytes) {
    uint8_t *copy;
    int r;

    if (store->kind == VTPM_STORE_CORRUPT) {
        return -EBADMSG;
    }
    if (size_bytes == 0 || size_bytes > VTPM_STATE_MAX_BYTES) {
        return -EFBIG;
    }
    copy = malloc(size_bytes);
    if (copy == NULL) {
        return -ENOMEM;
    }
    memcpy(copy, bytes, size_bytes);
    r = store->in_vault ? vtpm_vault_write(store->fd, copy, size_bytes)
                        : write_slot(store, copy, size_bytes);
    if (r != 0) {
        free(copy); // this slot may be torn now; the next write goes to it again
        return r;
    }
    free(store->payload);
    store->payload = copy;
    store->payload_bytes = size_bytes;
    store->sequence++;
    store->kind = VTPM_STORE_GOOD;
    return 0;
}

int vtpm_store_set_aside(struct vtpm_store *store) {
    static const uint8_t zero[sizeof(struct vtpm_slot_header)];
    uint8_t mark[sizeof(aside_mark)];
    uint8_t *slots;
    int r;

    if (store->in_vault) {
        return -EOPNOTSUPP;
    }
    slots = malloc(VTPM_ASIDE_OFF);
    r = slots == NULL ? -ENOMEM : read_at(store->fd, mark, sizeof(mark), ASIDE_MARK_OFF);

    if (r == 0 && (store->too_large || memcmp(mark, aside_mark, sizeof(mark)) == 0)) {
        r = store->too_large ? -EFBIG : -EEXIST;
    }
    r = r == 0 ? read_at(store->fd, slots, VTPM_ASIDE_OFF, 0) : r;
    r = r == 0 ? write_at(store->fd, slots, VTPM_ASIDE_OFF, VTPM_ASIDE_OFF) : r;
    r = r == 0 ? sync_data(store->fd) : r;
    r = r == 0 ? write_at(store->fd, aside_mark, sizeof(aside_mark), ASIDE_MARK_OFF) : r;
    r = r == 0 ? sync_data(store->fd) : r;
    for (unsigned i = 0; i < 2 && r == 0; i++) {
        r = write_at(store->fd, zero, sizeof(zero), (uint64_t)i * VTPM_SLOT_BYTES);
    }
    r = r == 0 ? sync_data(store->fd) : r;
    free(slots);
    if (r != 0) {
        return r;
    }
    free(store->payload);
    *store = (struct vtpm_store){.fd = store->fd, .kind = VTPM_STORE_BLANK, .usable = true};
    return 0;
}

void vtpm_store_close(struct vtpm_store *store) {
    free(store->payload);
    store->payload = NULL;
}
