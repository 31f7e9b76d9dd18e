// SPDX-License-Identifier: MIT
//
// The terminal backend of consoles and serial ports: see chardev_tty.h. termios(3).
#include "userspace/chardev_tty.h"

#include "igvm/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define RETRY_NS 2000000ull ///< a terminal that takes nothing is asked again after this

static struct chardev_tty *from_chardev(struct chardev *c) {
    return (struct chardev_tty *)((char *)c - offsetof(struct chardev_tty, chardev));
}

static void wait_for_input(struct chardev_tty *tty) {
    if (tty->in_fd >= 0 && !tty->polling) {
        tty->polling = true;
        loop_submit(tty->loop, &tty->poll);
    }
}

static void input_ready(struct loop_io *io, int64_t result) {
    struct chardev_tty *tty = io->owner;

    tty->polling = false;
    if (result < 0) {
        return; // the loop ends, or the descriptor cannot be polled
    }
    if (tty->chardev.readable) {
        tty->chardev.readable(tty->chardev.owner); // it reads until read() gives 0
    }
}

static size_t tty_read(struct chardev *c, uint8_t *bytes, size_t size) {
    struct chardev_tty *tty = from_chardev(c);
    ssize_t got;

    if (tty->in_fd < 0 || size == 0) {
        return 0;
    }
    got = read(tty->in_fd, bytes, size);
    if (got > 0) {
        tty->in_bytes += (uint64_t)got;
        return (size_t)got;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        tty->in_fd = -1; // end of file: nothing will come any more
    } else {
        wait_for_input(tty);
    }
    return 0;
}

static size_t tty_write(struct chardev *c, const uint8_t *bytes, size_t size) {
    struct chardev_tty *tty = from_chardev(c);
    ssize_t put = write(tty->out_fd, bytes, size);

    size_t taken = put > 0 ? (size_t)put : 0;

    if (put < 0 && errno != EAGAIN && errno != EINTR) {
        LOG_LIMITED(LOG_WARN, "console", "output is lost: %s", strerror(errno));
        return size; // a reader that has gone must not stop the guest
    }
    tty->out_bytes += taken;
    if (taken < size && !tty->blocked) {
        tty->blocked = true;
        loop_timer_arm(tty->loop, &tty->retry, loop_now_ns(tty->loop) + RETRY_NS);
    }
    return taken;
}

static void retry_write(void *self) {
    struct chardev_tty *tty = self;

    tty->blocked = false;
    if (tty->chardev.writable) {
        tty->chardev.writable(tty->chardev.owner);
    }
}

static void start_on_loop(void *self) {
    wait_for_input(self);
}

static const struct chardev_ops tty_ops = {.write = tty_write, .read = tty_read};

/// A description of our own of an open descriptor: O_NONBLOCK must not leak to our parent.
static int reopen(int fd, int flags) {
    char path[32] = "/proc/self/fd/0";

    path[14] = (char)('0' + fd);
    return open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static int open_descriptors(struct chardev_tty *tty, const char *path) {
    if (strcmp(path, "stdio") == 0) {
        tty->in_fd = reopen(0, O_RDONLY); // -1 without stdin: then there is no input
        tty->out_fd = reopen(1, O_WRONLY);
        return tty->out_fd < 0 ? -errno : 0;
    }
    tty->in_fd = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (tty->in_fd < 0 && errno == ENOENT && strncmp(path, "/dev/", 5) != 0) {
        tty->in_fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0600);
    }
    tty->out_fd = tty->in_fd;
    return tty->in_fd < 0 ? -errno : 0;
}

int chardev_tty_open(struct chardev_tty *tty, const char *path, struct loop *loop) {
    int result;

    memset(tty, 0, sizeof(*tty));
    tty->chardev.ops = &tty_ops;
    tty->loop = loop;
    tty->poll = (struct loop_io){.op = LOOP_POLL_IN, .complete = input_ready, .owner = tty};
    tty->retry = (struct loop_timer){.fn = retry_write, .self = tty};
    tty->start = (struct loop_task){.fn = start_on_loop, .self = tty};
    result = open_descriptors(tty, path);
    if (result < 0) {
        return result;
    }
    tty->poll.fd = tty->in_fd;
    if (tty->in_fd >= 0 && tcgetattr(tty->in_fd, &tty->saved) == 0) {
        struct termios raw = tty->saved;

        cfmakeraw(&raw);
        tty->raw = tcsetattr(tty->in_fd, TCSANOW, &raw) == 0;
    }
    return 0;
}

void chardev_tty_start(struct chardev_tty *tty) {
    loop_post(tty->loop, &tty->start);
}

void chardev_tty_close(struct chardev_tty *tty) {
    if (tty->raw) {
        tcsetattr(tty->out_fd, TCSANOW, &tty->saved);
    }
    if (tty->poll.fd >= 0 && tty->poll.fd != tty->out_fd) {
        close(tty->poll.fd);
    }
    if (tty->out_fd >= 0) {
        close(tty->out_fd);
    }
    tty->in_fd = tty->out_fd = -1;
}
