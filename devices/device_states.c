// SPDX-License-Identifier: MIT
//
// All devices' states in one blob: see device_states.h.
#include "devices/device_states.h"

#include "igvm/base/bytes.h"
#include "igvm/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC_BYTES  8u
#define VERSION      1u
#define HEADER_BYTES 16u
#define RECORD_BYTES 8u

static const uint8_t magic_bytes[MAGIC_BYTES] = {'P', 'R', 'P', 'T', 'S', 'A', 'V', 'E'};

struct record {
    const uint8_t *name, *blob;
    uint32_t name_bytes, blob_bytes;
};

// ---- saving -------------------------------------------------------------------------------------

static size_t room_for(const struct device *devices) {
    size_t room = HEADER_BYTES;

    for (const struct device *d = devices; d; d = d->next) {
        if (d->ops->state) {
            room += RECORD_BYTES + strlen(d->name) + state_blob_max_bytes(d->ops->state);
        }
    }
    return room;
}

uint8_t *device_states_save(struct device *devices, size_t *size_bytes) {
    size_t room = room_for(devices), off = HEADER_BYTES;
    uint8_t *out = malloc(room);
    uint32_t count = 0;

    if (out == NULL) {
        return NULL;
    }
    for (struct device *d = devices; d; d = d->next) {
        size_t name_size = strlen(d->name), used = 0;
        size_t start = off + RECORD_BYTES + name_size;

        if (d->ops->state == NULL) {
            continue;
        }
        pthread_mutex_lock(&d->lock);
        if (d->ops->before_save) {
            d->ops->before_save(d->self);
        }
        // room_for() has counted this device's maximum: it fits.
        state_save(d->ops->state, d->state, out + start, room - start, &used);
        pthread_mutex_unlock(&d->lock);
        store_le32(out + off, (uint32_t)name_size);
        store_le32(out + off + 4, (uint32_t)used);
        memcpy(out + off + RECORD_BYTES, d->name, name_size);
        off = start + used;
        count++;
    }
    memcpy(out, magic_bytes, MAGIC_BYTES);
    store_le32(out + MAGIC_BYTES, VERSION);
    store_le32(out + MAGIC_BYTES + 4, count);
    *size_bytes = off;
    return out;
}

// ---- loading ------------------------------------------------------------------------------------

/// The stateful device of that name, or NULL.
static struct device *find(struct device *devices, const struct record *r) {
    for (struct device *d = devices; d; d = d->next) {
        if (strlen(d->name) == r->name_bytes && memcmp(d->name, r->name, r->name_bytes) == 0) {
            return d->ops->state ? d : NULL;
        }
    }
    return NULL;
}

static bool take_record(struct cursor *c, struct record *r) {
    return cursor_le32(c, &r->name_bytes) && cursor_le32(c, &r->blob_bytes) &&
           cursor_take(c, r->name_bytes, &r->name) && cursor_take(c, r->blob_bytes, &r->blob);
}

/// Whether one of the first count records, which are whole, is for this device.
static bool came_before(struct cursor c, uint32_t count, const struct record *wanted) {
    struct record r;

    for (uint32_t i = 0; i < count && take_record(&c, &r); i++) {
        if (r.name_bytes == wanted->name_bytes && memcmp(r.name, wanted->name, r.name_bytes) == 0) {
            return true;
        }
    }
    return false;
}

/// The header; c is at the first record then.
static int take_header(struct cursor *c, uint32_t *count) {
    const uint8_t *magic;
    uint32_t version;

    if (!cursor_take(c, MAGIC_BYTES, &magic) || memcmp(magic, magic_bytes, MAGIC_BYTES) != 0 ||
        !cursor_le32(c, &version) || version != VERSION || !cursor_le32(c, count)) {
        log_write(LOG_WARN, "state", "not a saved state");
        return -EINVAL;
    }
    return 0;
}

/// Each record is for another device of the list, so their number, and the work, is bounded by the
/// list whatever the count says.
int device_states_check(struct device *devices, const uint8_t *blob, size_t size_bytes) {
    struct cursor c = cursor_init(blob, size_bytes), records;
    uint32_t count;

    if (take_header(&c, &count) < 0) {
        return -EINVAL;
    }
    records = c;
    for (uint32_t i = 0; i < count; i++) {
        struct record r;
        const char *wrong = NULL;

        if (!take_record(&c, &r)) {
            wrong = "is cut";
        } else if (find(devices, &r) == NULL) {
            wrong = "names no device that is here";
        } else if (came_before(records, i, &r)) {
            wrong = "is its device's second one";
        }
        if (wrong) {
            log_write(LOG_WARN, "state", "record %u (read to byte %zu of %zu) %s", i, c.off, c.size,
                      wrong);
            return -EINVAL;
        }
    }
    if (cursor_left(&c) > 0) {
        log_write(LOG_WARN, "state", "%zu bytes after the last record", cursor_left(&c));
        return -EINVAL;
    }
    return 0;
}

static int load_device(struct device *d, const struct record *r) {
    struct state_error error = {0};
    int result;

    pthread_mutex_lock(&d->lock);
    result = state_load(d->ops->state, d->state, r->blob, r->blob_bytes, &error);
    if (result == 0 && d->ops->after_load) {
        result = d->ops->after_load(d->self);
        if (result < 0) {
            error.rule = "its fields contradict each other";
            state_reset(d->ops->state, d->state);
        }
    }
    pthread_mutex_unlock(&d->lock);
    if (result < 0) {
        log_write(LOG_WARN, "state", "%s: %s (tag %u, offset %zu): %s", d->name, error.rule,
                  error.tag, error.off, strerror(-result));
    }
    return result;
}

int device_states_load(struct device *devices, const uint8_t *blob, size_t size_bytes) {
    struct cursor c = cursor_init(blob, size_bytes);
    uint32_t count;
    int result = device_states_check(devices, blob, size_bytes);

    if (result == 0) {
        result = take_header(&c, &count);
    }
    for (uint32_t i = 0; result == 0 && i < count; i++) {
        struct record r;

        result = take_record(&c, &r) ? load_device(find(devices, &r), &r) : -EINVAL;
    }
    return result;
}
