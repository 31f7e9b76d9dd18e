// SPDX-License-Identifier: MIT
//
// What a disk of VTL2's kernel says about itself: block layer ioctls and sysfs
// (Documentation/ABI/stable/sysfs-block).
#include "devices/disk_block.h"

#include "igvm/base/types.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MAX_TRANSFER_BYTES (4u * 1024u * 1024u)
#define FILE_DMA_ALIGNMENT 512u
#define FILE_DISCARD_BYTES (1u << 30)

/// Reads a sysfs attribute of the disk (of its parent for a partition), without the newline. False
/// when it is not there.
static bool read_attribute(dev_t device, const char *name, char *out, size_t capacity) {
    static const char *const places[] = {"", "../"};

    for (unsigned i = 0; i < ARRAY_COUNT(places); i++) {
        char path[128];
        ssize_t got;
        int fd;

        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s%s", major(device), minor(device),
                 places[i], name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            continue;
        }
        got = read(fd, out, capacity - 1);
        close(fd);
        if (got >= 0) {
            out[got] = '\0';
            out[strcspn(out, "\n")] = '\0';
            return true;
        }
    }
    return false;
}

static uint64_t read_number(dev_t device, const char *name, uint64_t otherwise) {
    char text[32];

    return read_attribute(device, name, text, sizeof(text)) ? strtoull(text, NULL, 10) : otherwise;
}

/// The serial number, without the blanks that NVMe and SCSI pad it with.
static void read_serial(dev_t device, char serial[static 21]) {
    char text[64];
    size_t length;

    if (!read_attribute(device, "serial", text, sizeof(text)) &&
        !read_attribute(device, "device/serial", text, sizeof(text))) {
        return;
    }
    length = strnlen(text, 20);
    while (length > 0 && text[length - 1] == ' ') {
        length--;
    }
    memcpy(serial, text, length);
    serial[length] = '\0';
}

static int describe_device(int fd, dev_t device, struct disk_info *info) {
    char cache[32] = "write back";
    unsigned physical = 0;
    int logical = 0;
    int read_only = 0;

    if (ioctl(fd, (int)BLKGETSIZE64, &info->size_bytes) || ioctl(fd, BLKSSZGET, &logical) ||
        ioctl(fd, BLKPBSZGET, &physical) || ioctl(fd, BLKROGET, &read_only)) {
        return -errno;
    }
    info->logical_block_bytes = (uint32_t)logical;
    info->physical_block_bytes = physical;
    info->read_only |= read_only != 0;
    // Kernels that do not say (before 6.0) want whole logical blocks.
    info->dma_alignment_bytes =
        (uint32_t)read_number(device, "queue/dma_alignment", info->logical_block_bytes - 1) + 1;
    info->max_discard_bytes = read_number(device, "queue/discard_max_bytes", 0);
    info->discard_granularity_bytes = (uint32_t)read_number(device, "queue/discard_granularity", 0);
    info->max_write_zeroes_bytes = read_number(device, "queue/write_zeroes_max_bytes", 0);
    read_attribute(device, "queue/write_cache", cache, sizeof(cache));
    info->has_write_cache = strcmp(cache, "write through") != 0;
    read_serial(device, info->serial);
    return 0;
}

static int describe_file(const struct stat *status, bool buffered, struct disk_info *info) {
    info->size_bytes = align_down((uint64_t)status->st_size, 512);
    info->logical_block_bytes = 512;
    info->physical_block_bytes = PAGE_SIZE_4K;
    info->dma_alignment_bytes = buffered ? 1 : FILE_DMA_ALIGNMENT;
    info->max_discard_bytes = FILE_DISCARD_BYTES;
    info->discard_granularity_bytes = PAGE_SIZE_4K;
    info->max_write_zeroes_bytes = FILE_DISCARD_BYTES;
    info->has_write_cache = true;
    return 0;
}

int disk_block_describe(int fd, bool buffered, struct disk_info *info) {
    struct stat status;
    uint32_t block;
    int err = -EINVAL;

    if (fstat(fd, &status)) {
        return -errno;
    }
    if (S_ISBLK(status.st_mode)) {
        err = describe_device(fd, status.st_rdev, info);
    } else if (S_ISREG(status.st_mode)) {
        err = describe_file(&status, buffered, info);
    }
    if (err) {
        return err;
    }
    info->max_transfer_bytes = MAX_TRANSFER_BYTES;
    block = info->logical_block_bytes;
    if (block < 512 || block > PAGE_SIZE_4K || (block & (block - 1)) != 0 ||
        info->dma_alignment_bytes == 0 || info->dma_alignment_bytes > PAGE_SIZE_4K ||
        (info->dma_alignment_bytes & (info->dma_alignment_bytes - 1)) != 0) {
        return -EINVAL;
    }
    if (info->read_only) {
        info->max_discard_bytes = 0;
        info->max_write_zeroes_bytes = 0;
    }
    return 0;
}
