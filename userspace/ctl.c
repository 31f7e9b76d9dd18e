// SPDX-License-Identifier: MIT
//
// The control socket's client: see ctl.h.
#include "userspace/ctl.h"

#include "userspace/control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_to(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int ctl_main(int argc, char **argv) {
    const char *path = CONTROL_DEFAULT_PATH;
    char bytes[4096];
    bool failed = false, first = true;
    ssize_t got;
    int next = 1;
    int fd;

    if (next < argc && strncmp(argv[next], "--socket=", 9) == 0) {
        path = argv[next++] + 9;
    }
    fd = connect_to(path);
    if (fd < 0) {
        fprintf(stderr, "parapet ctl: %s: %s\n", path, strerror(errno));
        return 1;
    }
    dprintf(fd, "%s\n", next < argc ? argv[next] : "help");
    while ((got = read(fd, bytes, sizeof(bytes))) > 0) {
        failed = failed || (first && strncmp(bytes, "error", 5) == 0);
        first = false;
        fwrite(bytes, 1, (size_t)got, stdout);
    }
    close(fd);
    return failed || first ? 1 : 0;
}
