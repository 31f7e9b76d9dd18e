// SPDX-License-Identifier: MIT
//
// Finds, maps and lays out VTL0's RAM. Device-DAX: Linux Documentation/ABI/testing/sysfs-bus-dax.
#include "userspace/guest_ram.h"

#include "igvm/base/log.h"
#include "vtl2/vsm/low_memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DAX_FOLDER "/sys/bus/dax/devices"

/// A number from a sysfs attribute; false when there is none.
static bool read_number(const char *device, const char *attribute, uint64_t *out) {
    char path[300], text[32];
    ssize_t size;
    char *end;
    int fd;

    snprintf(path, sizeof(path), DAX_FOLDER "/%s/%s", device, attribute);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    size = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (size <= 0) {
        return false;
    }
    text[size] = '\0';
    errno = 0;
    *out = strtoull(text, &end, 0);
    return errno == 0 && end != text;
}

/// The one rule that keeps the guest out of VTL2's memory: what we map for it lies in the ranges
/// that the shim set aside.
static bool in_vtl0(const struct host_info *info, struct gpa_range range) {
    for (uint32_t i = 0; i < info->vtl0_range_count; i++) {
        if (gpa_range_contains(info->vtl0[i], range.start, gpa_range_bytes(range))) {
            return true;
        }
    }
    return false;
}

/// Maps size bytes of fd at a 2 MiB boundary, so that huge pages serve both ends.
static uint8_t *map_aligned(int fd, int flags, uint64_t size_bytes) {
    uint64_t room = size_bytes + PAGE_SIZE_2M;
    uint8_t *area = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint64_t start;
    void *mapped;

    if (area == MAP_FAILED || !align_up((uintptr_t)area, PAGE_SIZE_2M, &start)) {
        return NULL;
    }
    mapped = mmap((void *)(uintptr_t)start, size_bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED,
                  fd, 0);
    return mapped == MAP_FAILED ? NULL : mapped;
}

static int add_dax(struct guest_ram *ram, const struct host_info *info, const char *name) {
    struct guest_ram_chunk *chunk = &ram->chunks[ram->chunk_count];
    char path[64];
    uint64_t start, size;
    int fd;

    if (ram->chunk_count == GUEST_RAM_MAX_CHUNKS) {
        return -ENOSPC;
    }
    if (!read_number(name, "size", &size) || !read_number(name, "resource", &start)) {
        return -EIO;
    }
    if (size == 0) {
        return 0;
    }
    chunk->physical = (struct gpa_range){start, start + size};
    if (!in_vtl0(info, chunk->physical)) {
        log_write(LOG_ERROR, "memory", "%s [%#llx, %#llx) is not inside VTL0's memory", name,
                  (unsigned long long)chunk->physical.start,
                  (unsigned long long)chunk->physical.end);
        return -EPERM;
    }
    snprintf(path, sizeof(path), "/dev/%s", name);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    chunk->host = map_aligned(fd, MAP_SHARED, size);
    close(fd);
    if (chunk->host == NULL) {
        return -errno;
    }
    chunk->size_bytes = size;
    snprintf(chunk->name, sizeof(chunk->name), "%s", name);
    log_write(LOG_INFO, "memory", "%s: [%#llx, %#llx) is the guest's", name,
              (unsigned long long)chunk->physical.start, (unsigned long long)chunk->physical.end);
    ram->chunk_count++;
    return 0;
}

/// VTL0's memory below 2 MiB, which is no dax device (loader/memory_plan.c).
static int add_low(struct guest_ram *ram, const struct host_info *info) {
    struct guest_ram_chunk *chunk = &ram->chunks[ram->chunk_count];
    struct gpa_range low = {0, PAGE_SIZE_2M};
    int fd;

    if (!in_vtl0(info, low)) {
        return 0;
    }
    if (ram->chunk_count == GUEST_RAM_MAX_CHUNKS) {
        return -ENOSPC;
    }
    fd = vsm_low_memory_open(low.end);
    if (fd < 0) {
        return fd;
    }
    chunk->host = map_aligned(fd, MAP_SHARED, low.end);
    close(fd);
    if (chunk->host == NULL) {
        return -errno;
    }
    chunk->physical = low;
    chunk->size_bytes = low.end;
    snprintf(chunk->name, sizeof(chunk->name), "low");
    ram->chunk_count++;
    return 0;
}

uint8_t *guest_ram_rom(const struct host_info *info, size_t size_bytes) {
    uint8_t *host = NULL;
    int fd;

    if (gpa_range_bytes(info->rom) < size_bytes) {
        log_write(LOG_ERROR, "memory",
                  "the host has %llu KiB for the guest's firmware below 4 GiB, %zu are needed",
                  (unsigned long long)gpa_range_bytes(info->rom) >> 10, size_bytes >> 10);
        return NULL;
    }
    fd = vsm_low_memory_open(0);
    if (fd >= 0) {
        void *mapped = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                            (off_t)(info->rom.end - size_bytes));

        host = mapped == MAP_FAILED ? NULL : mapped;
        close(fd);
    }
    if (host == NULL) {
        log_write(LOG_ERROR, "memory", "the place of the guest's firmware cannot be mapped: %s",
                  strerror(fd < 0 ? -fd : errno));
    }
    return host;
}

static int by_address(const void *a, const void *b) {
    const struct guest_ram_chunk *left = a, *right = b;

    return left->physical.start < right->physical.start ? -1 : 1;
}

int guest_ram_from_dax(struct guest_ram *ram, const struct host_info *info) {
    struct dirent *entry;
    int result = 0;
    DIR *folder;

    memset(ram, 0, sizeof(*ram));
    folder = opendir(DAX_FOLDER);
    if (folder == NULL) {
        return -ENODEV;
    }
    while (result == 0 && (entry = readdir(folder)) != NULL) {
        if (strncmp(entry->d_name, "dax", 3) == 0 && strlen(entry->d_name) < 24) {
            result = add_dax(ram, info, entry->d_name);
        }
    }
    closedir(folder);
    if (result == 0) {
        result = add_low(ram, info);
    }
    if (result == 0 && ram->chunk_count == 0) {
        result = -ENODEV;
    }
    if (result < 0) {
        guest_ram_free(ram);
        return result;
    }
    qsort(ram->chunks, ram->chunk_count, sizeof(ram->chunks[0]), by_address);
    return 0;
}

int guest_ram_anonymous(struct guest_ram *ram, uint64_t size_bytes) {
    struct guest_ram_chunk *chunk = &ram->chunks[0];

    memset(ram, 0, sizeof(*ram));
    chunk->host = map_aligned(-1, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, size_bytes);
    if (chunk->host == NULL) {
        return -ENOMEM;
    }
    madvise(chunk->host, size_bytes, MADV_HUGEPAGE); // an optimisation: it may fail
    chunk->size_bytes = size_bytes;
    snprintf(chunk->name, sizeof(chunk->name), "anonymous");
    ram->chunk_count = 1;
    return 0;
}

uint64_t guest_ram_bytes(const struct guest_ram *ram) {
    uint64_t sum = 0;

    for (uint32_t i = 0; i < ram->chunk_count; i++) {
        sum += ram->chunks[i].size_bytes;
    }
    return sum;
}

/// PCI's window below 4 GiB stays free whatever the machine has there.
static int layout_in_place(const struct guest_ram *ram, uint64_t limit_bytes,
                           struct guest_memory *gm) {
    uint64_t left = limit_bytes ? limit_bytes : UINT64_MAX;

    for (uint32_t i = 0; i < ram->chunk_count && left > 0; i++) {
        struct gpa_range range = ram->chunks[i].physical;
        int result;

        if (range.start < GUEST_RAM_HIGH_GPA && range.end > GUEST_RAM_LOW_END_GPA) {
            return -ERANGE;
        }
        if (gpa_range_bytes(range) > left) {
            range.end = range.start + left;
        }
        left -= gpa_range_bytes(range);
        result = guest_memory_add(gm, range, ram->chunks[i].host);
        if (result < 0) {
            return result;
        }
    }
    return gm->region_count > 0 ? 0 : -ENODEV;
}

int guest_ram_layout(const struct guest_ram *ram, uint64_t limit_bytes, bool in_place,
                     struct guest_memory *gm) {
    uint64_t left = limit_bytes ? limit_bytes : UINT64_MAX;
    uint64_t gpa_start = 0;

    memset(gm, 0, sizeof(*gm));
    if (in_place) {
        return layout_in_place(ram, limit_bytes, gm);
    }
    for (uint32_t i = 0; i < ram->chunk_count; i++) {
        uint64_t off = 0;

        while (off < ram->chunks[i].size_bytes && left > 0) {
            uint64_t size = ram->chunks[i].size_bytes - off;
            int result;

            size = size < left ? size : left;
            if (gpa_start < GUEST_RAM_LOW_END_GPA && size > GUEST_RAM_LOW_END_GPA - gpa_start) {
                size = GUEST_RAM_LOW_END_GPA - gpa_start;
            }
            result = guest_memory_add(gm, (struct gpa_range){gpa_start, gpa_start + size},
                                      ram->chunks[i].host + off);
            if (result < 0) {
                return result;
            }
            off += size;
            left -= size;
            gpa_start += size;
            if (gpa_start == GUEST_RAM_LOW_END_GPA) {
                gpa_start = GUEST_RAM_HIGH_GPA;
            }
        }
    }
    return gm->region_count > 0 ? 0 : -ENODEV;
}

const uint8_t *guest_ram_at(const struct guest_ram *ram, uint64_t start, uint64_t size_bytes) {
    for (uint32_t i = 0; i < ram->chunk_count; i++) {
        const struct guest_ram_chunk *chunk = &ram->chunks[i];

        if (gpa_range_contains(chunk->physical, start, size_bytes)) {
            return chunk->host + (start - chunk->physical.start);
        }
    }
    return NULL;
}

void guest_ram_free(struct guest_ram *ram) {
    for (uint32_t i = 0; i < ram->chunk_count; i++) {
        munmap(ram->chunks[i].host, ram->chunks[i].size_bytes);
    }
    ram->chunk_count = 0;
}
