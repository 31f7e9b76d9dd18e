// SPDX-License-Identifier: MIT
//
// Loads VTL0's kernel and initrd, or its firmware: see payload.h. Copy first, then verify the copy,
// then use the copy: the host may change what it parked at any time. A digest takes as long as
// everything else that is done before the guest starts, so it is computed beside that.
#include "userspace/payload.h"

#include "igvm/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
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

/// Anonymous memory, in huge pages where there are some: faults for small ones cost more than the
/// copy.
static int allocate(struct payload_file *file, size_t size_bytes) {
    void *bytes =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (bytes == MAP_FAILED) {
        return -errno;
    }
    madvise(bytes, size_bytes, MADV_HUGEPAGE); // an optimisation: it may fail
    file->bytes = bytes;
    file->size_bytes = size_bytes;
    return 0;
}

static int from_file(struct payload_file *file, const char *path) {
    struct stat info = {0};
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
    result = allocate(file, (size_t)info.st_size);
    if (result == 0) {
        result = read_all(fd, file->bytes, file->size_bytes);
    }
out:
    if (fd >= 0) {
        close(fd);
    }
    if (result < 0) {
        log_write(LOG_ERROR, "guest", "%s %s cannot be read: %s", file->what, path,
                  strerror(-result));
        return result;
    }
    file->genuine = true; // VTL2's own: measured with it
    return 0;
}

static void *verify(void *argument) {
    struct payload_file *file = argument;

    file->genuine = linux_loader_digest_is(file->bytes, file->size_bytes, file->sha384);
    return NULL;
}

static int from_image(struct payload_file *file, const struct host_payload *parked,
                      const struct guest_ram *ram) {
    const uint8_t *source;
    int result;

    if (parked->size_bytes > MAX_PAYLOAD_BYTES || !parked->has_digest) {
        log_write(LOG_ERROR, "guest", "%s: the image has no digest for it or it is too large",
                  file->what);
        return -EINVAL;
    }
    source = guest_ram_at(ram, parked->start, parked->size_bytes);
    if (source == NULL) {
        log_write(LOG_ERROR, "guest", "%s: [%#llx, +%#llx) is not in the guest's memory",
                  file->what, (unsigned long long)parked->start,
                  (unsigned long long)parked->size_bytes);
        return -EFAULT;
    }
    result = allocate(file, parked->size_bytes);
    if (result < 0) {
        log_write(LOG_ERROR, "guest", "%s: %llu bytes do not fit VTL2's memory", file->what,
                  (unsigned long long)parked->size_bytes);
        return result;
    }
    memcpy(file->bytes, source, parked->size_bytes);
    memcpy(file->sha384, parked->sha384, sizeof(file->sha384));
    file->verifying = pthread_create(&file->thread, NULL, verify, file) == 0;
    if (!file->verifying) {
        verify(file);
    }
    return 0;
}

/// The firmware's file is the ROM that ends at 4 GiB.
static int load_firmware(const struct config *config, const struct host_info *info,
                         const struct guest_ram *ram, struct payload_file *out) {
    int result;

    if (config->firmware[0]) {
        result = from_file(out, config->firmware);
    } else if (info->firmware.size_bytes) {
        result = from_image(out, &info->firmware, ram);
    } else {
        log_write(LOG_ERROR, "config",
                  "guest.firmware: the image has no firmware for the guest; name a file");
        return -ENOENT;
    }
    if (result == 0 && (out->size_bytes > PAYLOAD_FIRMWARE_MAX_BYTES ||
                        !is_aligned(out->size_bytes, PAGE_SIZE_4K))) {
        log_write(LOG_ERROR, "guest", "its firmware has %zu bytes: not whole pages, or too large",
                  out->size_bytes);
        return -EINVAL;
    }
    return result;
}

int payload_load(const struct config *config, const struct host_info *info,
                 const struct guest_ram *ram, struct payload *out) {
    int result;

    *out = (struct payload){.kernel.what = "the guest's kernel",
                            .initrd.what = "the guest's initrd",
                            .firmware.what = "the guest's firmware"};
    if (config->boot == CONFIG_BOOT_UEFI) {
        return load_firmware(config, info, ram, &out->firmware);
    }
    if (config->kernel[0]) {
        result = from_file(&out->kernel, config->kernel);
    } else if (info->kernel.size_bytes) {
        result = from_image(&out->kernel, &info->kernel, ram);
    } else {
        log_write(LOG_ERROR, "config",
                  "guest.kernel: the image has no kernel for the guest; name a file");
        return -ENOENT;
    }
    if (result < 0) {
        return result;
    }
    if (config->initrd[0]) {
        result = from_file(&out->initrd, config->initrd);
    } else if (!config->kernel[0] && info->initrd.size_bytes) {
        result = from_image(&out->initrd, &info->initrd, ram);
    }
    return result;
}

static int check(struct payload_file *file) {
    if (file->verifying) {
        pthread_join(file->thread, NULL);
        file->verifying = false;
    }
    if (file->bytes == NULL || file->genuine) {
        return 0;
    }
    log_write(LOG_ERROR, "guest", "%s is not what the image measured: digests differ", file->what);
    return -EBADMSG;
}

int payload_check(struct payload *payload) {
    int kernel = check(&payload->kernel);
    int initrd = check(&payload->initrd);
    int firmware = check(&payload->firmware);

    return kernel < 0 ? kernel : initrd < 0 ? initrd : firmware;
}

static void release(struct payload_file *file) {
    if (file->verifying) {
        pthread_join(file->thread, NULL);
    }
    if (file->bytes) {
        munmap(file->bytes, file->size_bytes);
    }
    *file = (struct payload_file){0};
}

void payload_free(struct payload *payload) {
    release(&payload->kernel);
    release(&payload->initrd);
    release(&payload->firmware);
}
