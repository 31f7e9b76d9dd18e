// SPDX-License-Identifier: MIT
//
// The event loop's core: doorbell, tasks, timers and completions. See loop.h for the mechanism;
// the operations themselves are in loop_io.c. io_uring(7), io_uring_register(2).
#include "userspace/loop.h"

#include "igvm/base/check.h"
#include "igvm/base/types.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S              1000000000ull
#define TIMERS_PER_ROUND      64u
#define COMPLETIONS_PER_ROUND 1024u

// user_data of our own entries; all others are pointers to struct loop_io.
#define TAG_TIMEOUT 1u
#define TAG_UPDATE  2u

static struct uring_loop *from_base(struct loop *base) {
    return (struct uring_loop *)((char *)base - offsetof(struct uring_loop, base));
}

static bool on_own_thread(const struct uring_loop *loop) {
    return pthread_equal(pthread_self(), loop->thread);
}

static uint64_t now_ns(struct loop *base) {
    struct timespec now;

    (void)base;
    clock_gettime(CLOCK_MONOTONIC, &now); // vDSO; cannot fail for this clock
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/// A free submission entry; flushes the queue once when it is full. NULL: the kernel takes none.
struct io_uring_sqe *uring_loop_sqe(struct uring_loop *loop) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->io);

    if (sqe == NULL) {
        io_uring_submit(&loop->io);
        sqe = io_uring_get_sqe(&loop->io);
    }
    if (sqe) {
        loop->unsubmitted++;
    }
    return sqe;
}

static void flush(struct uring_loop *loop) {
    if (loop->unsubmitted == 0) {
        return;
    }
    // On -EBUSY or -EAGAIN the entries stay queued: the count keeps the loop ready, it tries again.
    if (io_uring_submit(&loop->io) >= 0 && io_uring_sq_ready(&loop->io) == 0) {
        loop->unsubmitted = 0;
    }
}

// ---- the doorbell ----

static int arm_bell(struct uring_loop *loop) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->bell);
    int result;

    CHECK(sqe != NULL); // the doorbell ring never has more than one entry
    io_uring_prep_readv(sqe, loop->event_fd, loop->bell_iov, 2, 0);
    result = io_uring_submit(&loop->bell);
    return result < 0 ? result : 0;
}

static void take_bell(struct uring_loop *loop) {
    struct io_uring_cqe *cqe;

    if (io_uring_peek_cqe(&loop->bell, &cqe) == 0) {
        io_uring_cqe_seen(&loop->bell, cqe);
        loop->wakeups++;
        CHECK(arm_bell(loop) == 0); // one entry, one preallocated request
    }
}

static void ring_bell(struct uring_loop *loop) {
    uint64_t one = 1;
    ssize_t written = write(loop->event_fd, &one, sizeof(one));

    (void)written; // it fails only when the counter is full: then the loop is awake anyway
}

void uring_loop_attach(struct uring_loop *loop, volatile uint8_t *wake_flag) {
    struct io_uring_cqe *cqe;

    loop->wake_flag = wake_flag ? wake_flag : &loop->own_flag;
    loop->bell_iov[0] = (struct iovec){.iov_base = (void *)loop->wake_flag, .iov_len = 1};
    // The pending read has copied the old addresses: let it complete, then arm it anew.
    ring_bell(loop);
    io_uring_wait_cqe(&loop->bell, &cqe);
    take_bell(loop);
    *loop->wake_flag = 1;
}

// ---- tasks ----

static void post(struct loop *base, struct loop_task *task) {
    struct uring_loop *loop = from_base(base);
    struct loop_task *head;

    if (atomic_exchange(&task->queued, true)) {
        return;
    }
    head = atomic_load(&loop->tasks);
    do {
        task->next = head;
    } while (!atomic_compare_exchange_weak(&loop->tasks, &head, task));
    if (on_own_thread(loop)) {
        *loop->wake_flag = 1;
    } else {
        ring_bell(loop);
    }
}

static void run_tasks(struct uring_loop *loop) {
    struct loop_task *newest_first = atomic_exchange(&loop->tasks, NULL);
    struct loop_task *list = NULL;

    while (newest_first) {
        struct loop_task *task = newest_first;

        newest_first = task->next;
        task->next = list;
        list = task;
    }
    while (list) {
        struct loop_task *task = list;

        list = task->next;
        // From here on it may be posted again (and task itself freed by fn).
        atomic_store(&task->queued, false);
        task->fn(task->self);
    }
}

// ---- timers ----

/// Makes the kernel's one timeout match the earliest deadline. A timeout that is too early is left
/// alone: it fires, finds nothing due and is armed again.
static void program_timeout(struct uring_loop *loop) {
    uint64_t deadline;
    struct io_uring_sqe *sqe;

    if (loop->timers == NULL) {
        return;
    }
    deadline = loop->timers->deadline_ns;
    if (loop->timeout_pending && loop->timeout_ns <= deadline) {
        return;
    }
    sqe = uring_loop_sqe(loop);
    if (sqe == NULL) {
        *loop->wake_flag = 1;
        return;
    }
    loop->timeout.tv_sec = (int64_t)(deadline / NS_PER_S);
    loop->timeout.tv_nsec = (long long)(deadline % NS_PER_S);
    if (loop->timeout_pending) {
        io_uring_prep_timeout_update(sqe, &loop->timeout, TAG_TIMEOUT, IORING_TIMEOUT_ABS);
        io_uring_sqe_set_data64(sqe, TAG_UPDATE);
    } else {
        io_uring_prep_timeout(sqe, &loop->timeout, 0, IORING_TIMEOUT_ABS);
        io_uring_sqe_set_data64(sqe, TAG_TIMEOUT);
    }
    loop->timeout_pending = true;
    loop->timeout_ns = deadline;
    flush(loop); // the kernel reads loop->timeout now: it may change afterwards
}

static void timer_cancel(struct loop *base, struct loop_timer *timer) {
    struct loop_timer **link = &from_base(base)->timers;

    if (!timer->armed) {
        return;
    }
    while (*link != timer) {
        link = &(*link)->next;
    }
    *link = timer->next;
    timer->armed = false;
}

static void timer_arm(struct loop *base, struct loop_timer *timer, uint64_t deadline_ns) {
    struct uring_loop *loop = from_base(base);
    struct loop_timer **link = &loop->timers;

    timer_cancel(base, timer);
    while (*link && (*link)->deadline_ns <= deadline_ns) {
        link = &(*link)->next;
    }
    timer->deadline_ns = deadline_ns;
    timer->armed = true;
    timer->next = *link;
    *link = timer;
    if (loop->timers == timer) {
        *loop->wake_flag = 1; // uring_loop_run() programs the kernel's timeout
    }
}

static void run_timers(struct uring_loop *loop) {
    unsigned budget = TIMERS_PER_ROUND; // for one that always re-arms itself in the past
    uint64_t now;

    if (loop->timers == NULL) {
        return;
    }
    now = now_ns(&loop->base);
    while (loop->timers && loop->timers->deadline_ns <= now && budget-- > 0) {
        struct loop_timer *timer = loop->timers;

        loop->timers = timer->next;
        timer->armed = false;
        timer->fn(timer->self);
    }
    program_timeout(loop);
}

// ---- completions ----

static void run_completions(struct uring_loop *loop) {
    unsigned budget = COMPLETIONS_PER_ROUND;
    struct io_uring_cqe *cqe;

    // peek also fetches what overflowed the ring, by a system call then and only then.
    while (budget-- > 0 && io_uring_peek_cqe(&loop->io, &cqe) == 0) {
        uint64_t tag = cqe->user_data;
        int result = cqe->res;

        io_uring_cqe_seen(&loop->io, cqe);
        if (tag == TAG_TIMEOUT) {
            loop->timeout_pending = false;
        } else if (tag > TAG_UPDATE) {
            struct loop_io *io = (struct loop_io *)(uintptr_t)tag;

            loop->in_flight--;
            loop->completions++;
            io->complete(io, result);
        }
    }
    if (io_uring_cq_ready(&loop->io) != 0 || io_uring_cq_has_overflow(&loop->io)) {
        *loop->wake_flag = 1;
    }
}

void uring_loop_run(struct uring_loop *loop) {
    // Cleared before we look: whatever arrives from here on sets it again.
    *loop->wake_flag = 0;
    atomic_signal_fence(memory_order_seq_cst);
    take_bell(loop);
    run_tasks(loop);
    run_completions(loop);
    run_timers(loop);
    uring_loop_io_drain(loop);
    flush(loop);
}

void uring_loop_wait(struct uring_loop *loop) {
    if (!uring_loop_ready(loop)) {
        struct io_uring_cqe *cqe;

        io_uring_wait_cqe(&loop->bell, &cqe); // EINTR: the caller's loop comes again
    }
    uring_loop_run(loop);
}

// ---- life ----

static const struct loop_ops uring_ops = {
    .now_ns = now_ns,
    .timer_arm = timer_arm,
    .timer_cancel = timer_cancel,
    .post = post,
    .submit = uring_loop_io_submit,
    .cancel = uring_loop_io_cancel,
};

// What each ring is good for. seccomp(2) does not see what a ring is asked for, so the kernel must
// refuse here what the sandbox forbids: opening files, making sockets. Whoever adds an operation to
// loop_io.c adds it here.
static const uint8_t io_operations[] = {
    IORING_OP_READV,   IORING_OP_WRITEV,         IORING_OP_FSYNC,     IORING_OP_FALLOCATE,
    IORING_OP_READ,    IORING_OP_WRITE,          IORING_OP_POLL_ADD,  IORING_OP_ASYNC_CANCEL,
    IORING_OP_TIMEOUT, IORING_OP_TIMEOUT_REMOVE, IORING_OP_URING_CMD,
};
static const uint8_t bell_operations[] = {IORING_OP_READV};

/// By the system call: liburing has functions for both, but some builds do not export them.
static int ring_register(const struct io_uring *ring, unsigned opcode, const void *argument,
                         unsigned count) {
    return syscall(SYS_io_uring_register, ring->ring_fd, opcode, argument, count) < 0 ? -errno : 0;
}

/// Makes a ring that takes these operations only, until its end. -errno.
static int make_ring(struct io_uring *ring, unsigned entries, const uint8_t *operations,
                     unsigned count, int event_fd) {
    struct io_uring_restriction allowed[ARRAY_COUNT(io_operations)] = {0};
    unsigned flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_R_DISABLED;
    int result = io_uring_queue_init(entries, ring, flags);

    if (result < 0) {
        return result;
    }
    for (unsigned i = 0; i < count; i++) {
        allowed[i].opcode = IORING_RESTRICTION_SQE_OP;
        allowed[i].sqe_op = operations[i];
    }
    // Before the restrictions, which do not allow any registration either.
    result = event_fd < 0 ? 0 : io_uring_register_eventfd(ring, event_fd);
    if (result == 0) {
        result = ring_register(ring, IORING_REGISTER_RESTRICTIONS, allowed, count);
    }
    if (result == 0) {
        result = ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    }
    if (result < 0) {
        io_uring_queue_exit(ring);
    }
    return result;
}

int uring_loop_init(struct uring_loop *loop, uint32_t vp_index) {
    int result;

    memset(loop, 0, sizeof(*loop));
    loop->base = (struct loop){.ops = &uring_ops, .vp_index = vp_index};
    loop->thread = pthread_self();
    loop->wake_flag = &loop->own_flag;
    loop->waiting_tail = &loop->waiting;
    loop->bell_iov[0] = (struct iovec){.iov_base = &loop->own_flag, .iov_len = 1};
    loop->bell_iov[1] = (struct iovec){.iov_base = loop->bell_rest, .iov_len = 7};
    loop->event_fd = eventfd(0, EFD_CLOEXEC);
    if (loop->event_fd < 0) {
        return -errno;
    }
    result = make_ring(&loop->io, URING_LOOP_ENTRIES, io_operations, ARRAY_COUNT(io_operations),
                       loop->event_fd);
    if (result < 0) {
        goto close_event;
    }
    result = make_ring(&loop->bell, 2, bell_operations, ARRAY_COUNT(bell_operations), -1);
    if (result < 0) {
        goto free_io;
    }
    result = arm_bell(loop);
    if (result == 0) {
        return 0;
    }
    io_uring_queue_exit(&loop->bell);
free_io:
    io_uring_queue_exit(&loop->io);
close_event:
    close(loop->event_fd);
    return result;
}

void uring_loop_free(struct uring_loop *loop) {
    io_uring_queue_exit(&loop->io);
    io_uring_queue_exit(&loop->bell);
    close(loop->event_fd);
}
