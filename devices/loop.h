// SPDX-License-Identifier: MIT
//
// What a device may ask of the event loop it lives on: time, timers, tasks from other threads, and
// asynchronous file I/O. There is one loop per VP, on that VP's own thread (userspace/loop.c, by
// io_uring); tests use the fake loop with an injected clock (tests/support/fake_machine.h).
//
// Every callback runs on the loop's thread. Timers and I/O belong to the thread of their loop;
// loop_post() may be called from any thread. Nothing here allocates.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct loop;

/// A one-shot timer, embedded in the device. The link fields belong to the loop.
struct loop_timer {
    void (*fn)(void *self);
    void *self;
    uint64_t deadline_ns;
    bool armed;
    struct loop_timer *next; ///< owned by the loop
};

/// Work for a loop from any thread; embedded in its owner. Posting one that is still queued does
/// nothing: it runs once and sees all that was written before the last post.
struct loop_task {
    void (*fn)(void *self);
    void *self;
    _Atomic bool queued;
    struct loop_task *next; ///< owned by the loop
};

enum loop_op {
    LOOP_READV,        ///< iov, iov_count, file_off
    LOOP_WRITEV,       ///< likewise; LOOP_IO_FUA: durable when complete
    LOOP_FSYNC,        ///< data and size
    LOOP_DISCARD,      ///< file_off, size_bytes
    LOOP_WRITE_ZEROES, ///< file_off, size_bytes; LOOP_IO_UNMAP allows deallocation
    LOOP_POLL_IN,      ///< completes when fd is readable
    LOOP_READ,         ///< buffer in iov[0]; for sockets and ttys (file_off ignored)
    LOOP_WRITE,        ///< buffer in iov[0]; for sockets and ttys
};

#define LOOP_IO_FUA   (1u << 0)
#define LOOP_IO_UNMAP (1u << 1)

/// One asynchronous operation, embedded in its owner, who keeps it and the memory behind iov alive
/// until complete() is called. result: bytes moved (>= 0; 0 for fsync etc.) or -errno.
struct loop_io {
    enum loop_op op;
    int fd;
    uint32_t flags;
    const struct iovec *iov;
    uint32_t iov_count;
    uint64_t file_off;
    uint64_t size_bytes;
    void (*complete)(struct loop_io *io, int64_t result);
    void *owner;
    struct loop_io *next; ///< owned by the loop while submitted
};

struct loop_ops {
    uint64_t (*now_ns)(struct loop *loop);
    void (*timer_arm)(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns);
    void (*timer_cancel)(struct loop *loop, struct loop_timer *timer);
    void (*post)(struct loop *loop, struct loop_task *task);
    void (*submit)(struct loop *loop, struct loop_io *io);
    void (*cancel)(struct loop *loop, struct loop_io *io);
};

/// Base of every loop implementation.
struct loop {
    const struct loop_ops *ops;
    uint32_t vp_index;
};

/// Monotonic time.
static inline uint64_t loop_now_ns(struct loop *loop) {
    return loop->ops->now_ns(loop);
}
/// Arms or re-arms; a deadline in the past fires as soon as the loop runs.
static inline void loop_timer_arm(struct loop *loop, struct loop_timer *t, uint64_t deadline_ns) {
    loop->ops->timer_arm(loop, t, deadline_ns);
}
static inline void loop_timer_cancel(struct loop *loop, struct loop_timer *t) {
    loop->ops->timer_cancel(loop, t);
}
/// Runs task->fn soon on the loop's thread; any thread may call.
static inline void loop_post(struct loop *loop, struct loop_task *task) {
    loop->ops->post(loop, task);
}
/// Starts an operation. Never fails and never calls complete() before it returns: errors come
/// through complete().
static inline void loop_submit(struct loop *loop, struct loop_io *io) {
    loop->ops->submit(loop, io);
}
/// Asks for an early end; complete() is still called exactly once (-ECANCELED or the result).
static inline void loop_cancel(struct loop *loop, struct loop_io *io) {
    loop->ops->cancel(loop, io);
}
