// SPDX-License-Identifier: MIT
//
// The configured root key, as the supervisor hands it over (key_source.h).
#include "userspace/key_source.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int pipe_key(struct key_source *source, uint8_t key[VMGS_KEY_BYTES]) {
    size_t done = 0;

    if (source->fd < 0) {
        return -ENOKEY;
    }
    while (done < VMGS_KEY_BYTES) {
        ssize_t n = read(source->fd, key + done, VMGS_KEY_BYTES - done);

        if (n == 0 || (n < 0 && errno != EINTR)) {
            break;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    close(source->fd);
    source->fd = -1;
    if (done < VMGS_KEY_BYTES) {
        explicit_bzero(key, done);
        return -EIO;
    }
    return 0;
}

void key_source_pipe(struct key_source *source, int fd) {
    *source = (struct key_source){.name = "configuration", .root_key = pipe_key, .fd = fd};
}
