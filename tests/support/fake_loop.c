// SPDX-License-Identifier: MIT
//
// The test loop. Operations wait in a list; fake_loop_run or the test itself ends them.
#include "tests/support/fake_loop.h"

#include "igvm/base/check.h"

#include <errno.h>
#include <string.h>

#define MAX_STEPS 100000u

/// In loop_io.flags while submitted: ends with -ECANCELED at the next run.
#define FAKE_CANCELLED (1u << 31)

static struct fake_loop *fake(struct loop *loop) {
    return (struct fake_loop *)loop; // loop is the first member
}

static uint64_t now_ns(struct loop *loop) {
    return fake(loop)->now_ns;
}

static void timer_cancel(struct loop *loop, struct loop_timer *timer) {
    struct loop_timer **at = &fake(loop)->timers;

    while (*at && *at != timer) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = timer->next;
    }
    timer->armed = false;
    timer->next = NULL;
}

static void timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns) {
    struct loop_timer **at = &fake(loop)->timers;

    timer_cancel(loop, timer);
    while (*at && (*at)->deadline_ns <= deadline_ns) {
        at = &(*at)->next;
    }
    timer->deadline_ns = deadline_ns;
    timer->armed = true;
    timer->next = *at;
    *at = timer;
}

static void post(struct loop *loop, struct loop_task *task) {
    struct fake_loop *fl = fake(loop);

    if (!atomic_exchange(&task->queued, true)) {
        task->next = NULL;
        *fl->tasks_tail = task;
        fl->tasks_tail = &task->next;
    }
}

static void submit(struct loop *loop, struct loop_io *io) {
    struct fake_loop *fl = fake(loop);

    CHECK(io->complete != NULL);
    for (struct loop_io *other = fl->ios; other; other = other->next) {
        CHECK(other != io); // submitted twice
    }
    io->next = NULL;
    *fl->ios_tail = io;
    fl->ios_tail = &io->next;
    fl->submitted_count++;
}

static bool unlink_io(struct fake_loop *fl, struct loop_io *io) {
    struct loop_io **at = &fl->ios;

    while (*at && *at != io) {
        at = &(*at)->next;
    }
    if (!*at) {
        return false;
    }
    *at = io->next;
    if (!*at) {
        fl->ios_tail = at;
    }
    io->next = NULL;
    return true;
}

/// A cancelled operation ends with -ECANCELED at the next run, as a real loop's does.
static void cancel(struct loop *loop, struct loop_io *io) {
    struct fake_loop *fl = fake(loop);

    for (struct loop_io *other = fl->ios; other; other = other->next) {
        if (other == io) {
            io->flags |= FAKE_CANCELLED;
        }
    }
}

static const struct loop_ops fake_ops = {
    .now_ns = now_ns,
    .timer_arm = timer_arm,
    .timer_cancel = timer_cancel,
    .post = post,
    .submit = submit,
    .cancel = cancel,
};

void fake_loop_init(struct fake_loop *fl, uint8_t *file, size_t file_bytes) {
    // Not the streams: they are large, and their counts say what of them is valid.
    memset(fl, 0, offsetof(struct fake_loop, input));
    fl->loop.ops = &fake_ops;
    fl->now_ns = UINT64_C(1000000000);
    fl->tasks_tail = &fl->tasks;
    fl->ios_tail = &fl->ios;
    fl->file = file;
    fl->file_bytes = file_bytes;
}

/// Moves up to limit bytes between the file and the iovecs.
static int64_t move_file(struct fake_loop *fl, const struct loop_io *io, size_t limit) {
    size_t moved = 0;

    for (uint32_t i = 0; i < io->iov_count && moved < limit; i++) {
        size_t n = io->iov[i].iov_len < limit - moved ? io->iov[i].iov_len : limit - moved;

        if (io->file_off > fl->file_bytes || moved + n > fl->file_bytes - io->file_off) {
            return -EIO;
        }
        if (io->op == LOOP_READV) {
            memcpy(io->iov[i].iov_base, fl->file + io->file_off + moved, n);
        } else {
            memcpy(fl->file + io->file_off + moved, io->iov[i].iov_base, n);
        }
        moved += n;
    }
    return (int64_t)moved;
}

static int64_t move_stream(struct fake_loop *fl, const struct loop_io *io, size_t limit) {
    size_t n = io->iov_count ? io->iov[0].iov_len : 0;

    n = n < limit ? n : limit;
    if (io->op == LOOP_READ) {
        n = n < fl->input_bytes ? n : fl->input_bytes;
        memcpy(io->iov[0].iov_base, fl->input, n);
        memmove(fl->input, fl->input + n, fl->input_bytes - n);
        fl->input_bytes -= n;
    } else {
        if (n > sizeof(fl->output) - fl->output_bytes) {
            return -ENOSPC;
        }
        memcpy(fl->output + fl->output_bytes, io->iov[0].iov_base, n);
        fl->output_bytes += n;
    }
    return (int64_t)n;
}

/// Does what the operation asks for, moving limit bytes at most.
static int64_t perform(struct fake_loop *fl, const struct loop_io *io, size_t limit) {
    switch (io->op) {
    case LOOP_READV:
    case LOOP_WRITEV:
        fl->fua_count += (io->flags & LOOP_IO_FUA) ? 1 : 0;
        return move_file(fl, io, limit);
    case LOOP_FSYNC:
        fl->fsync_count++;
        return 0;
    case LOOP_DISCARD:
    case LOOP_WRITE_ZEROES:
        if (io->file_off > fl->file_bytes || io->size_bytes > fl->file_bytes - io->file_off) {
            return -EIO;
        }
        memset(fl->file + io->file_off, 0, io->size_bytes);
        return 0;
    case LOOP_POLL_IN:
        return 1;
    case LOOP_READ:
    case LOOP_WRITE:
        return move_stream(fl, io, limit);
    }
    return -EINVAL;
}

/// Takes the script's word for this submission, if it has one. Counts down the others.
static bool scripted(struct fake_loop *fl, int64_t *result) {
    bool found = false;

    for (unsigned i = 0; i < FAKE_LOOP_MAX_SCRIPT; i++) {
        struct fake_script *entry = &fl->script[i];

        if (entry->active && entry->after == 0 && !found) {
            entry->active = false;
            *result = entry->result;
            found = true;
        } else if (entry->active && entry->after > 0) {
            entry->after--;
        }
    }
    return found;
}

static void finish(struct fake_loop *fl, struct loop_io *io, int64_t result) {
    io->flags &= ~FAKE_CANCELLED;
    fl->completed_count++;
    io->complete(io, result);
}

bool fake_loop_complete(struct fake_loop *fl, struct loop_io *io) {
    int64_t result = 0;

    io = io ? io : fl->ios;
    if (!io || !unlink_io(fl, io)) {
        return false;
    }
    if (io->flags & FAKE_CANCELLED) {
        finish(fl, io, -ECANCELED);
        return true;
    }
    if (scripted(fl, &result)) {
        if (result > 0) {
            result = perform(fl, io, (size_t)result);
        }
    } else {
        result = perform(fl, io, SIZE_MAX);
    }
    finish(fl, io, result);
    return true;
}

bool fake_loop_complete_with(struct fake_loop *fl, struct loop_io *io, int64_t result) {
    io = io ? io : fl->ios;
    if (!io || !unlink_io(fl, io)) {
        return false;
    }
    finish(fl, io, result);
    return true;
}

/// Whether an operation would end now: reads and polls wait for input.
static bool is_ready(const struct fake_loop *fl, const struct loop_io *io) {
    if (io->flags & FAKE_CANCELLED) {
        return true;
    }
    if (fl->hold_io) {
        return false;
    }
    return (io->op != LOOP_READ && io->op != LOOP_POLL_IN) || fl->input_bytes > 0 ||
           fl->input_closed;
}

static bool step(struct fake_loop *fl) {
    if (fl->tasks) {
        struct loop_task *task = fl->tasks;

        fl->tasks = task->next;
        if (!fl->tasks) {
            fl->tasks_tail = &fl->tasks;
        }
        atomic_store(&task->queued, false);
        task->fn(task->self);
        return true;
    }
    if (fl->timers && fl->timers->deadline_ns <= fl->now_ns) {
        struct loop_timer *timer = fl->timers;

        timer_cancel(&fl->loop, timer);
        timer->fn(timer->self);
        return true;
    }
    for (struct loop_io *io = fl->ios; io; io = io->next) {
        if (is_ready(fl, io)) {
            return fake_loop_complete(fl, io);
        }
    }
    return false;
}

bool fake_loop_run(struct fake_loop *fl) {
    for (unsigned i = 0; i < MAX_STEPS; i++) {
        if (!step(fl)) {
            return true;
        }
    }
    return false;
}

bool fake_loop_advance(struct fake_loop *fl, uint64_t ns) {
    uint64_t end = fl->now_ns + ns;

    for (unsigned i = 0; i < MAX_STEPS; i++) {
        if (!fake_loop_run(fl)) {
            return false;
        }
        if (fake_loop_next_deadline(fl) > end) {
            fl->now_ns = end;
            return fake_loop_run(fl);
        }
        fl->now_ns = fl->timers->deadline_ns;
    }
    return false;
}

void fake_loop_script(struct fake_loop *fl, uint64_t after, int64_t result) {
    for (unsigned i = 0; i < FAKE_LOOP_MAX_SCRIPT; i++) {
        if (!fl->script[i].active) {
            fl->script[i] = (struct fake_script){.active = true, .after = after, .result = result};
            return;
        }
    }
    CHECK(!"script is full");
}

void fake_loop_feed(struct fake_loop *fl, const void *bytes, size_t size_bytes) {
    CHECK(size_bytes <= sizeof(fl->input) - fl->input_bytes);
    memcpy(fl->input + fl->input_bytes, bytes, size_bytes);
    fl->input_bytes += size_bytes;
}

uint64_t fake_loop_next_deadline(const struct fake_loop *fl) {
    return fl->timers ? fl->timers->deadline_ns : UINT64_MAX;
}
