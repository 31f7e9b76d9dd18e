// SPDX-License-Identifier: MIT
//
// vmgstool: a file as the disk of a guest state file system. Raw images, and fixed VHD images,
// which are raw with a footer of 512 bytes.

#include "tools/vmgstool/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define VHD_FOOTER_BYTES 512

static int on_read(void *context, uint64_t off, void *out, size_t size_bytes) {
    const struct vmgstool_image *image = context;
    uint8_t *to = out;

    while (size_bytes > 0) {
        const ssize_t got = pread(image->fd, to, size_bytes, (off_t)off);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got == 0 ? -EIO : -errno;
        }
        to += got;
        off += (uint64_t)got;
        size_bytes -= (size_t)got;
    }
    return 0;
}

static int on_write(void *context, uint64_t off, const void *bytes, size_t size_bytes) {
    const struct vmgstool_image *image = context;
    const uint8_t *from = bytes;

    while (size_bytes > 0) {
        const ssize_t put = pwrite(image->fd, from, size_bytes, (off_t)off);

        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return put == 0 ? -EIO : -errno;
        }
        from += put;
        off += (uint64_t)put;
        size_bytes -= (size_t)put;
    }
    return 0;
}

static int on_flush(void *context) {
    const struct vmgstool_image *image = context;

    return fdatasync(image->fd) != 0 ? -errno : 0;
}

static int on_random(void *context, void *out, size_t size_bytes) {
    (void)context;
    return getrandom(out, size_bytes, 0) == (ssize_t)size_bytes ? 0 : -EIO;
}

static bool starts_with(struct vmgstool_image *image, uint64_t off, const char word[8]) {
    char there[8];

    return on_read(image, off, there, sizeof(there)) == 0 &&
           memcmp(there, word, sizeof(there)) == 0;
}

/// Header 1 is in the second sector: where it stands tells the sector size.
static uint32_t find_sector_bytes(struct vmgstool_image *image) {
    return !starts_with(image, 512, "GUESTRTS") && starts_with(image, 4096, "GUESTRTS") ? 4096
                                                                                        : 512;
}

int vmgstool_attach(struct vmgstool_image *image, const struct vmgstool_options *options,
                    bool writable) {
    struct stat info;
    uint64_t size;

    memset(image, 0, sizeof(*image));
    image->path = options->image;
    image->fd = open(image->path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (image->fd < 0) {
        vmgstool_say("%s: cannot open: %s", image->path, strerror(errno));
        return -EIO;
    }
    if (flock(image->fd, (writable ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
        vmgstool_say("%s: is in use by another program", image->path);
        goto fail;
    }
    if (fstat(image->fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        vmgstool_say("%s: is not a regular file", image->path);
        goto fail;
    }
    size = (uint64_t)info.st_size;
    if (size >= VHD_FOOTER_BYTES && starts_with(image, size - VHD_FOOTER_BYTES, "conectix")) {
        size -= VHD_FOOTER_BYTES;
    }
    image->disk = (struct vmgs_disk){
        .context = image,
        .read = on_read,
        .write = writable ? on_write : NULL,
        .flush = writable ? on_flush : NULL,
        .random = on_random,
        .size_bytes = size,
        .sector_bytes =
            options->sector_bytes != 0 ? options->sector_bytes : find_sector_bytes(image),
    };
    return 0;
fail:
    close(image->fd);
    return -EIO;
}

int vmgstool_open(struct vmgstool_image *image, const struct vmgstool_options *options,
                  bool writable) {
    int result;

    if (vmgstool_attach(image, options, writable) != 0) {
        return VMGSTOOL_FAILED;
    }
    result = vmgstool_result(image, vmgs_open(&image->vmgs, &image->disk));
    if (result == VMGSTOOL_OK && options->has_key) {
        result = vmgstool_result(image, vmgs_unlock(&image->vmgs, options->key));
    }
    if (result != VMGSTOOL_OK) {
        vmgstool_close(image);
    }
    return result;
}

void vmgstool_close(struct vmgstool_image *image) {
    vmgs_close(&image->vmgs);
    close(image->fd);
}

int vmgstool_result(const struct vmgstool_image *image, int rc) {
    const struct vmgs_error *error = &image->vmgs.error;
    char line[256];

    if (rc >= 0) {
        return VMGSTOOL_OK;
    }
    vmgs_error_format(error, line, sizeof(line));
    vmgstool_say("%s: %s", image->path, line);
    switch (error->code) {
    case VMGS_RULE_EMPTY:
    case VMGS_RULE_VERSION_1:
        return VMGSTOOL_EMPTY;
    case VMGS_RULE_FILE_MISSING:
        return VMGSTOOL_MISSING;
    case VMGS_RULE_KEY:
    case VMGS_RULE_KEY_WRONG:
    case VMGS_RULE_KEY_EXISTS:
    case VMGS_RULE_NOT_ENCRYPTED:
    case VMGS_RULE_LOCKED:
    case VMGS_RULE_EXPOSE:
        return VMGSTOOL_KEY;
    case VMGS_RULE_SPACE:
        return VMGSTOOL_SPACE;
    default:
        return rc == -EIO || rc == -EROFS || error->code == VMGS_RULE_FILE_ID ? VMGSTOOL_FAILED
                                                                              : VMGSTOOL_DAMAGED;
    }
}

const char *vmgstool_file_label(uint32_t file_id, char *room, size_t size_bytes) {
    const char *name = vmgs_file_name(file_id);

    if (name == NULL) {
        snprintf(room, size_bytes, "file %u", (unsigned)file_id);
    }
    return name != NULL ? name : room;
}
