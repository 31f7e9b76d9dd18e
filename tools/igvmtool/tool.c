// SPDX-License-Identifier: MIT
//
// igvmtool: errors, whole-file input, atomic output, numbers.

#include "tools/igvmtool/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int igvmtool_error_set(struct igvmtool_error *error, const char *format, ...) {
    va_list args;

    va_start(args, format);
    vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    return -EINVAL;
}

void igvmtool_complain(const struct igvmtool_error *error) {
    fprintf(stderr, "igvmtool: %s\n", error->text);
}

void igvmtool_bytes_free(struct igvmtool_bytes *bytes) {
    free(bytes->data);
    *bytes = (struct igvmtool_bytes){0};
}

static int io_error(struct igvmtool_error *error, const char *path, const char *doing) {
    igvmtool_error_set(error, "%s: cannot %s: %s", path, doing, strerror(errno));
    return -EIO;
}

/// Reads size_bytes from fd; a file that shrinks meanwhile is an error.
static int read_all(int fd, uint8_t *data, size_t size_bytes) {
    size_t done = 0;

    while (done < size_bytes) {
        ssize_t got = read(fd, data + done, size_bytes - done);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            errno = got == 0 ? EIO : errno;
            return -EIO;
        }
        done += (size_t)got;
    }
    return 0;
}

int igvmtool_read_file(const char *path, struct igvmtool_bytes *bytes,
                       struct igvmtool_error *error) {
    struct stat info;
    int rc = -EIO;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    *bytes = (struct igvmtool_bytes){0};
    if (fd < 0) {
        return io_error(error, path, "open");
    }
    if (fstat(fd, &info) != 0) {
        io_error(error, path, "stat");
        goto out;
    }
    if (!S_ISREG(info.st_mode) || info.st_size > UINT32_MAX) {
        igvmtool_error_set(error, "%s: is not a regular file below 4 GiB", path);
        goto out;
    }
    bytes->size_bytes = (size_t)info.st_size;
    bytes->data = malloc(bytes->size_bytes + 1); // never NULL for an empty file
    if (bytes->data == NULL || read_all(fd, bytes->data, bytes->size_bytes) != 0) {
        io_error(error, path, "read");
        igvmtool_bytes_free(bytes);
        goto out;
    }
    rc = 0;
out:
    close(fd);
    return rc;
}

static int write_all(int fd, const uint8_t *data, size_t size_bytes) {
    size_t done = 0;

    while (done < size_bytes) {
        ssize_t put = write(fd, data + done, size_bytes - done);

        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return -EIO;
        }
        done += (size_t)put;
    }
    return 0;
}

int igvmtool_write_file(const char *path, const void *data, size_t size_bytes,
                        struct igvmtool_error *error) {
    const size_t room = strlen(path) + sizeof(".XXXXXX");
    char *temporary = malloc(room);
    int rc = -EIO;
    int fd;

    if (temporary == NULL) {
        return io_error(error, path, "write");
    }
    snprintf(temporary, room, "%s.XXXXXX", path);
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        io_error(error, path, "create a temporary file beside it");
        goto out;
    }
    // mkostemp makes the file private; an image is as readable as the umask would have it.
    if (write_all(fd, data, size_bytes) != 0 || fchmod(fd, 0644) != 0) {
        io_error(error, path, "write");
        close(fd);
        goto out_unlink;
    }
    if (close(fd) != 0 || rename(temporary, path) != 0) {
        io_error(error, path, "put in place");
        goto out_unlink;
    }
    rc = 0;
    goto out;
out_unlink:
    unlink(temporary);
out:
    free(temporary);
    return rc;
}

int igvmtool_open_image(const char *path, struct igvmtool_bytes *bytes, struct igvm_file *file,
                        struct igvmtool_error *error) {
    struct igvm_error broken;
    char line[384];
    int rc = igvmtool_read_file(path, bytes, error);

    if (rc != 0) {
        return rc;
    }
    rc = igvm_open(file, bytes->data, bytes->size_bytes, &broken);
    if (rc == 0) {
        rc = igvm_validate(file, &broken);
    }
    if (rc != 0) {
        igvm_error_format(&broken, line, sizeof(line));
        igvmtool_error_set(error, "%s: %s", path, line);
        igvmtool_bytes_free(bytes);
    }
    return rc;
}

int igvmtool_parse_number(const char *text, uint64_t *value) {
    static const struct {
        char letter;
        unsigned shift;
    } suffixes[] = {{'K', 10}, {'M', 20}, {'G', 30}, {'T', 40}};
    unsigned long long number;
    char *end;

    // strtoull() takes signs and spaces, which nobody means here.
    if (text[0] < '0' || text[0] > '9') {
        return -EINVAL;
    }
    errno = 0;
    number = strtoull(text, &end, text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10);
    if (errno != 0 || end == text) {
        return -EINVAL;
    }
    for (size_t i = 0; i < ARRAY_COUNT(suffixes) && *end != '\0'; i++) {
        if (*end == suffixes[i].letter) {
            if (number > UINT64_MAX >> suffixes[i].shift) {
                return -EINVAL;
            }
            number <<= suffixes[i].shift;
            end++;
            break;
        }
    }
    if (*end != '\0') {
        return -EINVAL;
    }
    *value = number;
    return 0;
}
