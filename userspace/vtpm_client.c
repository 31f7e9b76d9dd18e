// SPDX-License-Identifier: MIT
//
// The VM worker's end of the vTPM (vtpm_client.h). The backend's functions may be called on any
// thread and note what is wanted; vtpm_client_step() on the loop does it (vtpm_client_loop.c). What
// the process says is judged here, whoever has read it.
//
// Most commands take less time than a way through the loop and back. So submit() says its command
// itself and waits a moment for the answer, and only then leaves the rest to the loop.

#include "userspace/vtpm_client_internal.h"

#include "igvm/base/log.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/// What a VP may be kept from its guest: drivers look for the end of a command every millisecond.
#define DIRECT_WAIT_MS 2

static struct vtpm_client *client_of(struct tpm_backend *b) {
    return (struct vtpm_client *)((char *)b - offsetof(struct vtpm_client, backend));
}

static void finish(struct vtpm_pending *p, int64_t result) {
    if (p->active && !p->finished) {
        p->finished = true;
        p->unsent = false;
        p->result = result;
    }
}

void vtpm_client_die(struct vtpm_client *c, const char *why) {
    if (c->dead) {
        return;
    }
    if (why != NULL) {
        log_write(LOG_ERROR, AREA, "the vTPM is lost: %s", why);
    }
    c->dead = true;
    c->cancel_sequence = 0;
    finish(&c->command, -EIO);
    finish(&c->power, -EIO);
}

// ---- what comes in
// -------------------------------------------------------------------------------

/// A checked message against what we wait for; false when nobody asked for it. With the lock held.
static bool take_answer(struct vtpm_client *c, const struct vtpm_message *m) {
    struct vtpm_pending *p = m->op == VTPM_COMMAND_DONE ? &c->command : &c->power;

    if (m->op == VTPM_READY) {
        if (c->ready) {
            return false;
        }
        c->ready = true;
        if (m->status != 0) {
            log_write(LOG_ERROR, AREA, "the vTPM is in failure mode: %s", strerror((int)m->status));
        }
        return true;
    }
    if (!p->active || p->finished || p->unsent || p->sequence != m->sequence) {
        return false;
    }
    if (p == &c->command && m->status == 0) {
        memcpy(c->buffer, m->payload, m->payload_bytes);
    }
    finish(p, m->status ? -(int64_t)m->status : (int64_t)m->payload_bytes);
    return true;
}

void vtpm_client_take_packet(struct vtpm_client *c, int64_t result) {
    struct vtpm_message message;

    if (c->dead) {
        // too late
    } else if (result <= 0) {
        vtpm_client_die(c, result == 0 ? "its socket is closed" : strerror((int)-result));
    } else if (vtpm_message_parse(c->incoming, (size_t)result, VTPM_TO_CLIENT, &message) != 0 ||
               !take_answer(c, &message)) {
        vtpm_client_die(c, "it does not keep to the protocol");
    }
    explicit_bzero(c->incoming, sizeof(c->incoming));
}

// ---- any thread
// ----------------------------------------------------------------------------------

/// With the lock held.
static uint32_t next_sequence(struct vtpm_client *c) {
    c->last_sequence++;
    c->last_sequence += c->last_sequence == 0; // 0 means none
    return c->last_sequence;
}

/// Takes an operation on: 0, -EIO, -EBUSY. With the lock held.
static int begin(struct vtpm_client *c, struct vtpm_pending *p, tpm_done_fn done, void *owner) {
    if (c->dead && c->attach_fd < 0) {
        return -EIO;
    }
    if (p->active) {
        return -EBUSY;
    }
    *p = (struct vtpm_pending){
        .active = true, .unsent = true, .sequence = next_sequence(c), .done = done, .owner = owner};
    return 0;
}

/// Sends the command and waits a moment for its answer, when nothing else is going on. With the
/// lock held. Whatever does not succeed here is the loop's.
static void try_directly(struct vtpm_client *c) {
    struct vtpm_message m = {.op = VTPM_COMMAND,
                             .sequence = c->command.sequence,
                             .locality = c->locality,
                             .payload = c->buffer,
                             .payload_bytes = c->command_bytes};
    struct pollfd answer = {.fd = c->fd, .events = POLLIN};
    uint8_t out[VTPM_MESSAGE_MAX_BYTES];
    size_t size_bytes;
    ssize_t n;

    if (c->dead || !c->ready || c->reading || c->writing || c->power.active) {
        return;
    }
    size_bytes = vtpm_message_format(out, &m);
    n = send(c->fd, out, size_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    explicit_bzero(out, size_bytes); // authorisation values
    if (n != (ssize_t)size_bytes) {
        return;
    }
    c->command.unsent = false;
    if (poll(&answer, 1, DIRECT_WAIT_MS) == 1) {
        n = recv(c->fd, c->incoming, sizeof(c->incoming), MSG_DONTWAIT);
        if (n >= 0 || errno != EAGAIN) {
            vtpm_client_take_packet(c, n < 0 ? -errno : n);
        }
    }
}

static int submit(struct tpm_backend *b, uint8_t locality, uint8_t *buffer, size_t command_bytes,
                  tpm_done_fn done, void *owner) {
    struct vtpm_client *c = client_of(b);
    int r;

    if (command_bytes == 0 || command_bytes > TPM_BUFFER_BYTES || locality > VTPM_LOCALITY_MAX) {
        return -EINVAL;
    }
    pthread_mutex_lock(&c->lock);
    r = begin(c, &c->command, done, owner);
    if (r == 0) {
        c->locality = locality;
        c->buffer = buffer;
        c->command_bytes = command_bytes;
        try_directly(c);
        if (c->command.finished && c->command.result > 0) {
            r = (int)c->command.result;
            c->command.active = false;
            c->buffer = NULL;
        } else {
            loop_post(c->loop, &c->task);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return r;
}

static void cancel(struct tpm_backend *b) {
    struct vtpm_client *c = client_of(b);

    pthread_mutex_lock(&c->lock);
    if (c->command.active && !c->command.finished) {
        c->cancel_sequence = c->command.sequence;
        loop_post(c->loop, &c->task);
    }
    pthread_mutex_unlock(&c->lock);
}

static int power_cycle(struct tpm_backend *b, tpm_done_fn done, void *owner) {
    struct vtpm_client *c = client_of(b);
    int r;

    pthread_mutex_lock(&c->lock);
    r = begin(c, &c->power, done, owner);
    if (r == 0) {
        loop_post(c->loop, &c->task);
    }
    pthread_mutex_unlock(&c->lock);
    return r;
}

static const struct tpm_backend_ops client_ops = {
    .submit = submit, .cancel = cancel, .power_cycle = power_cycle};

_Static_assert(TPM_BUFFER_BYTES >= VTPM_PAYLOAD_MAX_BYTES, "an answer fits its owner's buffer");

void vtpm_client_init(struct vtpm_client *c, struct loop *loop, int fd) {
    memset(c, 0, sizeof(*c));
    c->backend.ops = &client_ops;
    vtpm_client_live_on(c, loop);
    pthread_mutex_init(&c->lock, NULL); // fails only for attributes we do not use
    c->fd = -1;
    c->dead = true;
    c->attach_fd = fd;
    loop_post(loop, &c->task);
}

void vtpm_client_attach(struct vtpm_client *c, int fd) {
    pthread_mutex_lock(&c->lock);
    if (fd < 0) {
        c->dead = false; // what waits for the next one ends too: there is none
    }
    vtpm_client_die(c, NULL);
    if (c->attach_fd >= 0) {
        close(c->attach_fd); // never came to life: what waited for it is the new one's
    }
    c->attach_fd = fd;
    loop_post(c->loop, &c->task);
    pthread_mutex_unlock(&c->lock);
}

/// What nobody has noticed yet: without a read under way nobody looks, and with one the loop may
/// not have heard. Words that nobody waits for would hide the end behind them, and are a violation.
/// With the lock held.
static void look_for_end(struct vtpm_client *c) {
    bool awaits =
        !c->ready || vtpm_client_is_awaited(&c->command) || vtpm_client_is_awaited(&c->power);
    uint8_t byte;
    ssize_t n = recv(c->fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno == ECONNRESET)) { // it left words of ours unread
        vtpm_client_die(c, "its socket is closed");
    } else if (n > 0 && !awaits) {
        vtpm_client_die(c, "it answers what was not asked");
    }
}

bool vtpm_client_is_dead(struct vtpm_client *c) {
    bool dead;

    pthread_mutex_lock(&c->lock);
    if (!c->dead) {
        look_for_end(c);
        if (c->dead) {
            loop_post(c->loop, &c->task);
        }
    }
    dead = c->dead && c->attach_fd < 0;
    pthread_mutex_unlock(&c->lock);
    return dead;
}

void vtpm_client_close(struct vtpm_client *c, void (*closed)(void *ctx), void *ctx) {
    pthread_mutex_lock(&c->lock);
    if (c->attach_fd >= 0) {
        close(c->attach_fd);
        c->attach_fd = -1;
        c->dead = false; // what waited for it ends too
    }
    vtpm_client_die(c, NULL);
    c->closing = true;
    c->closed = closed;
    c->closed_ctx = ctx;
    loop_post(c->loop, &c->task);
    pthread_mutex_unlock(&c->lock);
}
