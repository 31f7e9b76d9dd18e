// SPDX-License-Identifier: MIT
//
// Loads VTL0's kernel and initrd: see payload.h. Copy first, then verify the copy, then use the
// copy: the host may change what it parked at any time.
#include "userspace/payload.h"

#include "igvm/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PAYLOAD_BYTES (1ull << 30)

static int read_all(int fd, uint8_t *out, size_t size) {
    size_t done = 0;

    while (done < size) {
        ssize_t got = read(fd, out + done, size - done);

        if (got == 0 || (got < 0 && errno != EINTR)) {
            return got == 0 ? -EIO : -errno;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

static int from_file(const char *what, const char *path, uint8_t **out, size_t *out_bytes) {
    struct stat info = {0};
    uint8_t *bytes = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int result = 0;

    if (fd < 0 || fstat(fd, &info) < 0) {
        result = -errno;
        goto out;
    }
    if (info.st_size <= 0 || (uint64_t)info.st_size > MAX_PAYLOAD_BYTES) {
        result = -EFBIG;
        goto out;
    }
    bytes = malloc((size_t)info.st_size);
    result = bytes ? read_all(fd, bytes, (size_t)info.st_size) : -ENOMEM;
out:
    if (fd >= 0) {
        close(fd);
    }
    if (result < 0) {
        log_write(LOG_ERROR, "guest", "%s %s cannot be read: %s", what, path, strerror(-result));
        free(bytes);
        return result;
    }
    *out = bytes;
    *out_bytes = (size_t)info.st_size;
    return 0;
}

static int from_image(const char *what, const struct host_payload *parked,
                      const struct guest_ram *ram, uint8_t **out, size_t *out_bytes) {
    const uint8_t *source;
    uint8_t *bytes;

    if (parked->size_bytes > MAX_PAYLOAD_BYTES || !parked->has_digest) {
        log_write(LOG_ERROR, "guest", "%s: the image has no digest for it or it is too large",
                  what);
        return -EINVAL;
    }
    source = guest_ram_at(ram, parked->start, parked->size_bytes);
    if (source == NULL) {
        log_write(LOG_ERROR, "guest", "%s: [%#llx, +%#llx) is not in the guest's memory", what,
                  (unsigned long long)parked->start, (unsigned long long)parked->size_bytes);
        return -EFAULT;
    }
    bytes = malloc(parked->size_bytes);
    if (bytes == NULL) {
        log_write(LOG_ERROR, "guest", "%s: %llu bytes do not fit VTL2's memory", what,
                  (unsigned long long)parked->size_bytes);
        return -ENOMEM;
    }
    memcpy(bytes, source, parked->size_bytes);
    if (!linux_loader_digest_is(bytes, parked->size_bytes, parked->sha384)) {
        log_write(LOG_ERROR, "guest", "%s is not what the image measured: digests differ", what);
        free(bytes);
        return -EBADMSG;
    }
    *out = bytes;
    *out_bytes = parked->size_bytes;
    return 0;
}

int payload_load(const struct config *config, const struct host_info *info,
                 const struct guest_ram *ram, struct linux_payload *out) {
    int result;

    memset(out, 0, sizeof(*out));
    if (config->kernel[0]) {
        result = from_file("guest.kernel", config->kernel, &out->kernel, &out->kernel_bytes);
    } else if (info->kernel.size_bytes) {
        result =
            from_image("the guest's kernel", &info->kernel, ram, &out->kernel, &out->kernel_bytes);
    } else {
        log_write(LOG_ERROR, "config",
                  "guest.kernel: the image has no kernel for the guest; name "
                  "a file");
        return -ENOENT;
    }
    if (result < 0) {
        return result;
    }
    if (config->initrd[0]) {
        result = from_file("guest.initrd", config->initrd, &out->initrd, &out->initrd_bytes);
    } else if (!config->kernel[0] && info->initrd.size_bytes) {
        result =
            from_image("the guest's initrd", &info->initrd, ram, &out->initrd, &out->initrd_bytes);
    }
    if (result < 0) {
        payload_free(out);
    }
    return result;
}

void payload_free(struct linux_payload *payload) {
    free(payload->kernel);
    free(payload->initrd);
    payload->kernel = payload->initrd = NULL;
}
