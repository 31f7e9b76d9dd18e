// SPDX-License-Identifier: MIT
//
// The event loop of one thread, by io_uring: implements devices/loop.h. A VP's thread has one and
// runs it between visits to the guest; other threads (the inspect server) have one without a VP.
//
// How a completion makes KVM_RUN return, without a signal and without a check that could race:
// every completion on the I/O ring signals the registered eventfd, in whatever context it happens
// (task work, or an io-wq worker for fsync and fallocate). On a second ring, the doorbell, a read
// of that eventfd is always pending; the wake-up queues task work for this thread, which makes
// KVM_RUN return, and the read's first byte lands in the VP's wake flag (kvm_run.immediate_exit),
// which keeps KVM_RUN from entering the guest when the completion came between our last look and
// the system call. Posting from another thread writes the same eventfd. So the run loop needs no
// system call per exit: it looks at one byte.
#pragma once

#include "devices/loop.h"

#include <liburing.h>
#include <pthread.h>

#define URING_LOOP_ENTRIES 256u

struct uring_loop {
    struct loop base;
    struct io_uring io;   ///< all devices' I/O and the timer
    struct io_uring bell; ///< one pending read of event_fd
    int event_fd;
    pthread_t thread;
    uint8_t own_flag;            ///< wake flag while no VP is attached
    volatile uint8_t *wake_flag; ///< non-zero: uring_loop_run() has something to do
    uint8_t bell_rest[7];        ///< the eventfd counter's upper bytes: nobody reads them
    struct iovec bell_iov[2];
    uint32_t unsubmitted; ///< entries in the submission queue that the kernel has not seen
    uint32_t in_flight;   ///< operations whose complete() is still to come
    _Atomic(struct loop_task *) tasks; ///< posted, newest first
    struct loop_timer *timers;         ///< armed, earliest first
    struct __kernel_timespec timeout;  ///< read by the kernel at submission
    uint64_t timeout_ns;               ///< deadline the kernel knows
    bool timeout_pending;
    struct loop_io *waiting;       ///< operations that found the submission queue full
    struct loop_io **waiting_tail; ///< where the next one goes
    struct loop_io *cancelled;     ///< cancelled before they were submitted
    uint64_t completions, wakeups; ///< counters for inspect
};

/// Makes the loop of the calling thread, which alone may run it. -errno. Free with uring_loop_free
/// on the same thread, with no operation in flight.
int uring_loop_init(struct uring_loop *loop, uint32_t vp_index);
void uring_loop_free(struct uring_loop *loop);

/// From now on wake-ups set this byte (a VP's wake flag); NULL: back to the loop's own.
void uring_loop_attach(struct uring_loop *loop, volatile uint8_t *wake_flag);

/// Whether uring_loop_run() has something to do: no system call.
static inline bool uring_loop_ready(const struct uring_loop *loop) {
    return *loop->wake_flag != 0 || loop->unsubmitted != 0;
}

/// Runs everything that is ready and submits what that produced; does not wait.
void uring_loop_run(struct uring_loop *loop);

/// Waits until something is ready, then runs it.
void uring_loop_wait(struct uring_loop *loop);

// Between loop.c and loop_io.c.
struct io_uring_sqe *uring_loop_sqe(struct uring_loop *loop);
void uring_loop_io_submit(struct loop *base, struct loop_io *io);
void uring_loop_io_cancel(struct loop *base, struct loop_io *io);
/// Submits what waited for room, completes what was cancelled while it waited.
void uring_loop_io_drain(struct uring_loop *loop);
