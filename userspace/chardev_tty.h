// SPDX-License-Identifier: MIT
//
// A byte stream (devices/chardev.h) over a terminal, a file or stdin and stdout.
//
// Reading and writing are direct non-blocking system calls; the loop only waits for input. So
// output costs no completion that would make a VP leave its guest.
#pragma once

#include "devices/chardev.h"
#include "devices/loop.h"

#include <stdbool.h>
#include <termios.h>

struct chardev_tty {
    struct chardev chardev; ///< give &tty->chardev to a device
    struct loop *loop;
    int in_fd, out_fd; ///< may be equal; in_fd -1: no (more) input
    bool raw;          ///< saved is to be put back
    struct termios saved;
    bool polling;
    bool blocked; ///< a write did not take everything: writable() is due
    struct loop_io poll;
    struct loop_timer retry;
    struct loop_task start;
    uint64_t in_bytes, out_bytes;
};

/// Opens path ("stdio": descriptors 0 and 1; else a device, or a file that is made when absent). A
/// terminal is set to raw mode until chardev_tty_close. -errno of open.
int chardev_tty_open(struct chardev_tty *tty, const char *path, struct loop *loop);

/// Begins to wait for input. Any thread; owner, readable and writable are set.
void chardev_tty_start(struct chardev_tty *tty);

/// Puts the terminal back. Nothing is in flight any more (the loop has ended).
void chardev_tty_close(struct chardev_tty *tty);
