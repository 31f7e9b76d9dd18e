// SPDX-License-Identifier: MIT
//
// Reads /proc/device-tree/parapet, one file per property, big-endian (Devicetree Specification
// v0.4, section 2.2.4; loader/layout.h names the properties).
#include "userspace/host_info.h"

#include "igvm/base/bytes.h"
#include "igvm/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/// Reads a property of at most capacity bytes. Its size, -ENOENT when there is none, -EINVAL when
/// it is larger.
static ssize_t read_property(const char *folder, const char *name, void *out, size_t capacity) {
    char path[128];
    size_t size = 0;
    uint8_t extra;
    ssize_t got;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    while (size < capacity && (got = read(fd, (uint8_t *)out + size, capacity - size)) > 0) {
        size += (size_t)got;
    }
    got = size == capacity ? read(fd, &extra, 1) : 0;
    close(fd);
    if (got > 0) {
        log_write(LOG_ERROR, "host-info", "%s is larger than %zu bytes", path, capacity);
        return -EINVAL;
    }
    return (ssize_t)size;
}

/// A string property; absent gives an empty string.
static int read_text(const char *folder, const char *name, char *out, size_t capacity) {
    ssize_t size = read_property(folder, name, out, capacity - 1);

    out[size > 0 ? size : 0] = '\0';
    return size == -ENOENT ? 0 : size < 0 ? (int)size : 0;
}

static int read_ranges(const char *folder, const char *name, struct gpa_range *ranges,
                       uint32_t *count) {
    uint8_t bytes[HOST_INFO_MAX_RANGES * 16] = {0};
    ssize_t size = read_property(folder, name, bytes, sizeof(bytes));

    if (size < 0 || size % 16 != 0) {
        return size < 0 ? (int)size : -EINVAL;
    }
    for (ssize_t off = 0; off < size; off += 16) {
        struct gpa_range range = {load_be64(bytes + off), load_be64(bytes + off + 8)};

        if (range.end <= range.start) {
            return -EINVAL;
        }
        ranges[(*count)++] = range;
    }
    return 0;
}

/// One range, or none.
static int read_rom(const char *folder, struct gpa_range *out) {
    struct gpa_range ranges[HOST_INFO_MAX_RANGES];
    uint32_t count = 0;
    int result = read_ranges(folder, "vtl0-rom", ranges, &count);

    if (result == -ENOENT) {
        return 0;
    }
    if (result == 0 && count == 1) {
        *out = ranges[0];
    }
    return result;
}

static int read_payload(const char *folder, const char *name, struct host_payload *out) {
    char digest_name[48];
    uint8_t bytes[16] = {0};
    ssize_t size = read_property(folder, name, bytes, sizeof(bytes));

    if (size == -ENOENT) {
        return 0;
    }
    if (size != sizeof(bytes)) {
        return size < 0 ? (int)size : -EINVAL;
    }
    out->start = load_be64(bytes);
    out->size_bytes = load_be64(bytes + 8);
    snprintf(digest_name, sizeof(digest_name), "%s-sha384", name);
    size = read_property(folder, digest_name, out->sha384, sizeof(out->sha384));
    out->has_digest = size == sizeof(out->sha384);
    return size < 0 && size != -ENOENT ? (int)size : 0;
}

static int read_config(const char *folder, struct host_info *out) {
    ssize_t size;

    out->host_config = malloc(HOST_INFO_MAX_CONFIG_BYTES + 1);
    if (out->host_config == NULL) {
        return -ENOMEM;
    }
    size = read_property(folder, "host-config", out->host_config, HOST_INFO_MAX_CONFIG_BYTES);
    if (size < 0) {
        free(out->host_config);
        out->host_config = NULL;
        return size == -ENOENT ? 0 : (int)size;
    }
    out->host_config[size] = '\0';
    out->host_config_bytes = strlen(out->host_config); // a string property ends with NUL
    return 0;
}

int host_info_read(const char *folder, struct host_info *out) {
    uint8_t count[4] = {0};
    ssize_t size;
    int result;

    memset(out, 0, sizeof(*out));
    if (access(folder, F_OK) != 0) {
        return 0;
    }
    out->present = true;
    result = read_text(folder, "platform", out->platform, sizeof(out->platform));
    if (result == 0) {
        result = read_text(folder, "image-version", out->image_version, sizeof(out->image_version));
    }
    if (result == 0) {
        result = read_ranges(folder, "vtl0-memory", out->vtl0, &out->vtl0_range_count);
    }
    if (result == 0) {
        result = read_ranges(folder, "vtl2-memory", out->vtl2, &out->vtl2_range_count);
    }
    if (result == 0) {
        result = read_rom(folder, &out->rom);
    }
    if (result == 0) {
        result = read_payload(folder, "vtl0-kernel", &out->kernel);
    }
    if (result == 0) {
        result = read_payload(folder, "vtl0-initrd", &out->initrd);
    }
    if (result == 0) {
        result = read_payload(folder, "vtl0-firmware", &out->firmware);
    }
    if (result == 0) {
        result = read_config(folder, out);
    }
    size = result == 0 ? read_property(folder, "vp-count", count, sizeof(count)) : 0;
    if (size == sizeof(count)) {
        out->vp_count = load_be32(count);
    }
    if (result < 0) {
        host_info_free(out);
    }
    return result;
}

void host_info_free(struct host_info *info) {
    free(info->host_config);
    info->host_config = NULL;
}
