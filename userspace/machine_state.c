// SPDX-License-Identifier: MIT
//
// Saving and loading all devices: see machine_state.h.
#include "userspace/machine_state.h"

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

static size_t room_for(const struct machine *machine) {
    size_t room = HEADER_BYTES;

    for (const struct device *d = machine->devices; d; d = d->next) {
        if (d->ops->state) {
            room += RECORD_BYTES + strlen(d->name) + state_blob_max_bytes(d->ops->state);
        }
    }
    return room;
}

uint8_t *machine_state_save(struct machine *machine, size_t *size_bytes) {
    size_t room = room_for(machine), off = HEADER_BYTES;
    uint8_t *out = malloc(room);
    uint32_t count = 0;

    if (out == NULL) {
        return NULL;
    }
    for (struct device *d = machine->devices; d; d = d->next) {
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

static struct device *find(struct machine *machine, const uint8_t *name, size_t size) {
    for (struct device *d = machine->devices; d; d = d->next) {
        if (strlen(d->name) == size && memcmp(d->name, name, size) == 0) {
            return d->ops->state ? d : NULL;
        }
    }
    return NULL;
}

static int load_device(struct device *d, const uint8_t *blob, size_t size) {
    struct state_error error = {0};
    int result;

    pthread_mutex_lock(&d->lock);
    result = state_load(d->ops->state, d->state, blob, size, &error);
    if (result == 0 && d->ops->after_load) {
        result = d->ops->after_load(d->self);
        error.rule = "its fields contradict each other";
    }
    pthread_mutex_unlock(&d->lock);
    if (result < 0) {
        log_write(LOG_WARN, "state", "%s: %s (tag %u, offset %zu): %s", d->name,
                  error.rule ? error.rule : "refused", error.tag, error.off, strerror(-result));
    }
    return result;
}

int machine_state_load(struct machine *machine, const uint8_t *blob, size_t size_bytes) {
    struct cursor c = cursor_init(blob, size_bytes);
    const uint8_t *magic, *name, *bytes;
    uint32_t version, count, name_size, size;

    if (!cursor_take(&c, MAGIC_BYTES, &magic) || memcmp(magic, magic_bytes, MAGIC_BYTES) != 0 ||
        !cursor_le32(&c, &version) || version != VERSION || !cursor_le32(&c, &count)) {
        log_write(LOG_WARN, "state", "not a saved state");
        return -EINVAL;
    }
    machine_reset_devices(machine, true);
    for (uint32_t i = 0; i < count; i++) {
        struct device *d;
        int result;

        if (!cursor_le32(&c, &name_size) || !cursor_le32(&c, &size) ||
            !cursor_take(&c, name_size, &name) || !cursor_take(&c, size, &bytes)) {
            log_write(LOG_WARN, "state", "truncated at byte %zu", c.off);
            return -EINVAL;
        }
        d = find(machine, name, name_size);
        if (d == NULL) {
            log_write(LOG_WARN, "state", "record %u names a device that is not here", i);
            return -EINVAL;
        }
        result = load_device(d, bytes, size);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}
