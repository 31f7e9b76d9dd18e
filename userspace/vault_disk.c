// SPDX-License-Identifier: MIT
//
// The disk of the guest state (vault_disk.h).
#include "userspace/vault_disk.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/// O_DIRECT wants aligned memory; one transfer at a time goes through here.
static _Alignas(4096) uint8_t bounce[64u << 10];

static int disk_read(void *context, uint64_t off_bytes, void *out, size_t size_bytes) {
    struct vault_disk *disk = context;
    size_t done = 0;

    while (done < size_bytes) {
        size_t left = size_bytes - done;
        size_t part = left < sizeof(bounce) ? left : sizeof(bounce);
        ssize_t n = pread(disk->fd, bounce, part, (off_t)(off_bytes + done));

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n != (ssize_t)part) { // the range is within the disk: a part is an error, too
            return n < 0 ? -errno : -EIO;
        }
        memcpy((uint8_t *)out + done, bounce, part);
        done += part;
    }
    return 0;
}

static int disk_write(void *context, uint64_t off_bytes, const void *bytes, size_t size_bytes) {
    struct vault_disk *disk = context;
    size_t done = 0;

    while (done < size_bytes) {
        size_t left = size_bytes - done;
        size_t part = left < sizeof(bounce) ? left : sizeof(bounce);
        ssize_t n;

        memcpy(bounce, (const uint8_t *)bytes + done, part);
        n = pwrite(disk->fd, bounce, part, (off_t)(off_bytes + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n != (ssize_t)part) {
            return n < 0 ? -errno : -EIO;
        }
        done += part;
    }
    return 0;
}

static int disk_flush(void *context) {
    const struct vault_disk *disk = context;

    return fdatasync(disk->fd) == 0 ? 0 : -errno;
}

static int disk_random(void *context, void *out, size_t size_bytes) {
    (void)context;
    return getrandom(out, size_bytes, 0) == (ssize_t)size_bytes ? 0
                                                                : -EIO; // few bytes: never short
}

int vault_disk_attach(struct vault_disk *disk, int fd) {
    struct stat st;
    int sector = 0;

    *disk = (struct vault_disk){.fd = fd, .sector_bytes = 512};
    if (fstat(fd, &st) != 0) {
        return -errno;
    }
    if (S_ISBLK(st.st_mode)) {
        off_t end = lseek(fd, 0, SEEK_END);

        if (end < 0 || ioctl(fd, BLKSSZGET, &sector) != 0) {
            return -errno;
        }
        disk->size_bytes = (uint64_t)end;
        disk->sector_bytes = (uint32_t)sector;
        return 0;
    }
    if (!S_ISREG(st.st_mode)) {
        return -ENOTBLK;
    }
    if (st.st_size == 0 && ftruncate(fd, VMGS_DEFAULT_BYTES) != 0) {
        return -errno;
    }
    disk->size_bytes = st.st_size == 0 ? VMGS_DEFAULT_BYTES : (uint64_t)st.st_size;
    return 0;
}

struct vmgs_disk vault_disk_ops(struct vault_disk *disk) {
    return (struct vmgs_disk){
        .context = disk,
        .read = disk_read,
        .write = disk_write,
        .flush = disk_flush,
        .random = disk_random,
        .size_bytes = disk->size_bytes,
        .sector_bytes = disk->sector_bytes,
    };
}
