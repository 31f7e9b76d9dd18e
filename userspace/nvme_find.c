// SPDX-License-Identifier: MIT
//
// NVMe controllers in sysfs: /sys/class/nvme/nvmeN/serial, namespaces as /sys/block/nvmeNn1.
#include "userspace/nvme_find.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NVME_FOLDER   "/sys/class/nvme"
#define RETRY_NS      20000000L
#define RETRIES       100u
#define MAX_NAMESPACE 16u

static bool serial_is(const char *controller, const char *serial) {
    char path[320], found[64];
    ssize_t size;
    int fd;

    snprintf(path, sizeof(path), NVME_FOLDER "/%s/serial", controller);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    size = read(fd, found, sizeof(found) - 1);
    close(fd);
    while (size > 0 && (found[size - 1] == ' ' || found[size - 1] == '\n')) {
        size--; // the identify data is padded with spaces
    }
    return size >= 0 && (size_t)size == strlen(serial) && memcmp(found, serial, (size_t)size) == 0;
}

static int first_namespace(const char *controller, char *out, size_t capacity_bytes) {
    for (unsigned i = 1; i <= MAX_NAMESPACE; i++) {
        if ((size_t)snprintf(out, capacity_bytes, "/dev/%sn%u", controller, i) >= capacity_bytes) {
            return -ENOSPC;
        }
        if (access(out, F_OK) == 0) {
            return 0;
        }
    }
    return -ENOENT;
}

static int find_once(const char *serial, char *out, size_t capacity_bytes) {
    DIR *folder = opendir(NVME_FOLDER);
    struct dirent *entry;
    int result = -ENOENT;

    if (folder == NULL) {
        return -ENOENT;
    }
    while (result == -ENOENT && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.' && serial_is(entry->d_name, serial)) {
            result = first_namespace(entry->d_name, out, capacity_bytes);
        }
    }
    closedir(folder);
    return result;
}

int nvme_find(const char *serial, char *out, size_t capacity_bytes) {
    struct timespec pause = {.tv_nsec = RETRY_NS};
    int result = find_once(serial, out, capacity_bytes);

    for (unsigned i = 0; result == -ENOENT && i < RETRIES; i++) {
        nanosleep(&pause, NULL);
        result = find_once(serial, out, capacity_bytes);
    }
    return result;
}
