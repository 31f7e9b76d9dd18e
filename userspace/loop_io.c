// SPDX-License-Identifier: MIT
//
// The event loop's operations: struct loop_io into io_uring entries. What finds the submission
// queue full waits in a list, in order, through the links in its own loop_io: no allocation, and
// no limit but the callers' own.
#include "userspace/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#ifndef BLOCK_URING_CMD_DISCARD // Linux 6.12; older headers build as well
#define BLOCK_URING_CMD_DISCARD _IO(0x12, 0)
#endif

#define TAG_CANCEL 2u // as TAG_UPDATE in loop.c: a completion that nobody waits for

static struct uring_loop *from_base(struct loop *base) {
    return (struct uring_loop *)((char *)base - offsetof(struct uring_loop, base));
}

/// Block devices discard by their own command, asynchronously; files by punching a hole, in a
/// kernel worker.
static void prep_discard(struct io_uring_sqe *sqe, const struct loop_io *io) {
    struct stat info;

    if (fstat(io->fd, &info) == 0 && S_ISBLK(info.st_mode)) {
        io_uring_prep_rw(IORING_OP_URING_CMD, sqe, io->fd, NULL, 0, 0);
        sqe->cmd_op = BLOCK_URING_CMD_DISCARD;
        sqe->addr = io->file_off;
        sqe->addr3 = io->size_bytes;
        return;
    }
    io_uring_prep_fallocate(sqe, io->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                            (off_t)io->file_off, (off_t)io->size_bytes);
}

static void prep_write_zeroes(struct io_uring_sqe *sqe, const struct loop_io *io) {
    int mode = io->flags & LOOP_IO_UNMAP ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;

    io_uring_prep_fallocate(sqe, io->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)io->file_off,
                            (off_t)io->size_bytes);
}

static void prep(struct io_uring_sqe *sqe, const struct loop_io *io) {
    const struct iovec *iov = io->iov;

    switch (io->op) {
    case LOOP_READV:
        io_uring_prep_readv(sqe, io->fd, iov, io->iov_count, io->file_off);
        break;
    case LOOP_WRITEV:
        io_uring_prep_writev2(sqe, io->fd, iov, io->iov_count, io->file_off,
                              io->flags & LOOP_IO_FUA ? RWF_DSYNC : 0);
        break;
    case LOOP_FSYNC:
        io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
        break;
    case LOOP_DISCARD:
        prep_discard(sqe, io);
        break;
    case LOOP_WRITE_ZEROES:
        prep_write_zeroes(sqe, io);
        break;
    case LOOP_POLL_IN:
        io_uring_prep_poll_add(sqe, io->fd, POLLIN);
        break;
    case LOOP_READ: // offset -1: the file's own position, for what has none as well
        io_uring_prep_read(sqe, io->fd, iov->iov_base, (unsigned)iov->iov_len, (uint64_t)-1);
        break;
    case LOOP_WRITE:
        io_uring_prep_write(sqe, io->fd, iov->iov_base, (unsigned)iov->iov_len, (uint64_t)-1);
        break;
    }
    io_uring_sqe_set_data(sqe, (void *)(uintptr_t)io);
}

static bool try_submit(struct uring_loop *loop, struct loop_io *io) {
    struct io_uring_sqe *sqe = uring_loop_sqe(loop);

    if (sqe == NULL) {
        return false;
    }
    prep(sqe, io);
    loop->in_flight++;
    return true;
}

void uring_loop_io_submit(struct loop *base, struct loop_io *io) {
    struct uring_loop *loop = from_base(base);

    io->next = NULL;
    if (loop->waiting || !try_submit(loop, io)) {
        *loop->waiting_tail = io;
        loop->waiting_tail = &io->next;
        *loop->wake_flag = 1;
    }
}

/// Takes io out of the waiting list; false when it is not there.
static bool unlink_waiting(struct uring_loop *loop, struct loop_io *io) {
    struct loop_io **link = &loop->waiting;

    while (*link && *link != io) {
        link = &(*link)->next;
    }
    if (*link == NULL) {
        return false;
    }
    *link = io->next;
    if (*link == NULL) {
        loop->waiting_tail = link;
    }
    return true;
}

void uring_loop_io_cancel(struct loop *base, struct loop_io *io) {
    struct uring_loop *loop = from_base(base);
    struct io_uring_sqe *sqe;

    if (unlink_waiting(loop, io)) {
        io->next = loop->cancelled;
        loop->cancelled = io;
        *loop->wake_flag = 1;
        return;
    }
    sqe = uring_loop_sqe(loop);
    if (sqe) { // without an entry the operation ends by itself, only later
        io_uring_prep_cancel64(sqe, (uint64_t)(uintptr_t)io, 0);
        io_uring_sqe_set_data64(sqe, TAG_CANCEL);
    }
}

void uring_loop_io_drain(struct uring_loop *loop) {
    struct loop_io *cancelled = loop->cancelled;

    loop->cancelled = NULL;
    while (cancelled) {
        struct loop_io *io = cancelled;

        cancelled = io->next;
        io->complete(io, -ECANCELED);
    }
    while (loop->waiting && try_submit(loop, loop->waiting)) {
        loop->waiting = loop->waiting->next;
        if (loop->waiting == NULL) {
            loop->waiting_tail = &loop->waiting;
        }
    }
    if (loop->waiting) {
        *loop->wake_flag = 1;
    }
}
