// SPDX-License-Identifier: MIT
//
// The vTPM client's side on its loop: a read is pending while something is awaited, one write at a
// time. Owners are called back from vtpm_client_step() alone, without the lock.

#include "userspace/vtpm_client_internal.h"

#include <string.h>
#include <unistd.h>

// ---- the socket
// ----------------------------------------------------------------------------------

static void read_done(struct loop_io *io, int64_t result) {
    struct vtpm_client *c = io->owner;

    pthread_mutex_lock(&c->lock);
    c->reading = false;
    vtpm_client_take_packet(c, result);
    pthread_mutex_unlock(&c->lock);
    vtpm_client_step(c);
}

static void write_done(struct loop_io *io, int64_t result) {
    struct vtpm_client *c = io->owner;

    pthread_mutex_lock(&c->lock);
    c->writing = false;
    if (result != (int64_t)c->write_iov.iov_len) {
        vtpm_client_die(c, result < 0 ? strerror((int)-result) : "a message was cut");
    }
    explicit_bzero(c->outgoing, sizeof(c->outgoing));
    pthread_mutex_unlock(&c->lock);
    vtpm_client_step(c);
}

/// The next message that waits, in the order cancel, command, power cycle. 0: none. With the lock.
static size_t next_message(struct vtpm_client *c) {
    struct vtpm_message m = {.op = VTPM_CANCEL};

    // A cancel of a command that is still unsent goes behind it.
    if (c->cancel_sequence != 0 && !c->command.unsent) {
        m.sequence = c->cancel_sequence;
        c->cancel_sequence = 0;
    } else if (c->command.unsent) {
        m.op = VTPM_COMMAND;
        m.sequence = c->command.sequence;
        m.locality = c->locality;
        m.payload = c->buffer;
        m.payload_bytes = c->command_bytes;
        c->command.unsent = false;
    } else if (c->power.unsent) {
        m.op = VTPM_POWER_CYCLE;
        m.sequence = c->power.sequence;
        c->power.unsent = false;
    } else {
        return 0;
    }
    return vtpm_message_format(c->outgoing, &m);
}

/// The clock of an answer runs from its question. With the lock held.
static void watch(struct vtpm_client *c, const struct vtpm_pending *p, struct loop_timer *timer,
                  uint64_t limit_ns) {
    if (vtpm_client_is_awaited(p) && !p->unsent && !timer->armed) {
        loop_timer_arm(c->loop, timer, loop_now_ns(c->loop) + limit_ns);
    }
}

static void start_write(struct vtpm_client *c) {
    size_t size_bytes = c->writing ? 0 : next_message(c);

    if (size_bytes != 0) {
        c->writing = true;
        c->write_iov = (struct iovec){.iov_base = c->outgoing, .iov_len = size_bytes};
        c->write_io = (struct loop_io){.op = LOOP_WRITE,
                                       .fd = c->fd,
                                       .iov = &c->write_iov,
                                       .iov_count = 1,
                                       .complete = write_done,
                                       .owner = c};
        loop_submit(c->loop, &c->write_io);
    }
}

/// Keeps a read under way while something is awaited and, when there is something to say, one
/// write. With the lock held.
static void start_io(struct vtpm_client *c) {
    bool awaits =
        !c->ready || vtpm_client_is_awaited(&c->command) || vtpm_client_is_awaited(&c->power);

    if (awaits && !c->reading) {
        c->reading = true;
        c->read_iov = (struct iovec){.iov_base = c->incoming, .iov_len = sizeof(c->incoming)};
        c->read_io = (struct loop_io){.op = LOOP_READ,
                                      .fd = c->fd,
                                      .iov = &c->read_iov,
                                      .iov_count = 1,
                                      .complete = read_done,
                                      .owner = c};
        loop_submit(c->loop, &c->read_io);
    }
    start_write(c);
    watch(c, &c->command, &c->command_timer, VTPM_COMMAND_MAX_NS);
    watch(c, &c->power, &c->power_timer, VTPM_POWER_CYCLE_MAX_NS);
}

// ---- what is due
// ---------------------------------------------------------------------------------

/// Ends the old socket; true when its I/O has ended too. With the lock held.
static bool let_go(struct vtpm_client *c) {
    if (c->reading) {
        loop_cancel(c->loop, &c->read_io);
    }
    if (c->writing) {
        loop_cancel(c->loop, &c->write_io);
    }
    if (c->reading || c->writing) {
        return false;
    }
    if (c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
    return true;
}

/// Calls one owner back whose operation has finished; false when there is none.
static bool deliver(struct vtpm_client *c) {
    struct vtpm_pending p = {0};

    pthread_mutex_lock(&c->lock);
    if (c->command.active && c->command.finished) {
        p = c->command;
        c->command.active = false;
        c->buffer = NULL;
        c->cancel_sequence = 0;
        loop_timer_cancel(c->loop, &c->command_timer);
    } else if (c->power.active && c->power.finished && !c->command.active) {
        p = c->power;
        c->power.active = false;
        loop_timer_cancel(c->loop, &c->power_timer);
    }
    pthread_mutex_unlock(&c->lock);
    if (p.active) {
        p.done(p.owner, p.result);
    }
    return p.active;
}

void vtpm_client_step(void *self) {
    struct vtpm_client *c = self;
    void (*closed)(void *ctx) = NULL;
    void *ctx = NULL;

    pthread_mutex_lock(&c->lock);
    if (c->dead && let_go(c)) {
        if (c->closing) {
            closed = c->closed;
            ctx = c->closed_ctx;
            c->closed = NULL;
        } else if (c->attach_fd >= 0) {
            c->fd = c->attach_fd;
            c->attach_fd = -1;
            c->dead = false;
            c->ready = false;
        }
    }
    if (!c->dead) {
        start_io(c);
    }
    pthread_mutex_unlock(&c->lock);
    // Bounded: an owner may start one more operation; that one may be over, but starts no other
    // unless the guest has aborted it meanwhile.
    while (deliver(c)) {
    }
    if (closed) {
        pthread_mutex_destroy(&c->lock);
        closed(ctx);
    }
}

static void give_up(struct vtpm_client *c, const char *why) {
    pthread_mutex_lock(&c->lock);
    vtpm_client_die(c, why);
    pthread_mutex_unlock(&c->lock);
    vtpm_client_step(c);
}

static void power_timeout(void *self) {
    give_up(self, "it does not restart");
}

static void command_timeout(void *self) {
    give_up(self, "it does not answer");
}

void vtpm_client_live_on(struct vtpm_client *c, struct loop *loop) {
    c->loop = loop;
    c->task = (struct loop_task){.fn = vtpm_client_step, .self = c};
    c->power_timer = (struct loop_timer){.fn = power_timeout, .self = c};
    c->command_timer = (struct loop_timer){.fn = command_timeout, .self = c};
}
