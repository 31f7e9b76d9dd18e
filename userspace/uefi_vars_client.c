// SPDX-License-Identifier: MIT
//
// The VM worker's end of the variable process (uefi_vars_client.h): one request, one answer, all of
// it under the client's lock.

#include "userspace/uefi_vars_client.h"

#include "igvm/base/bytes.h"
#include "igvm/base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define AREA "uefi-vars-client"

static struct uefi_vars_client *client_of(struct uefi_vars_backend *b) {
    return (struct uefi_vars_client *)((char *)b - offsetof(struct uefi_vars_client, backend));
}

/// From now on nothing is sent and nothing believed. With the lock held.
static int die(struct uefi_vars_client *c, const char *why) {
    log_write(LOG_ERROR, AREA, "the variable service is lost: %s", why);
    close(c->fd);
    c->fd = -1;
    return -EIO;
}

static void limit_waiting(struct uefi_vars_client *c) {
    struct timeval limit = {.tv_sec = c->call_max_ms / 1000,
                            .tv_usec = (suseconds_t)(c->call_max_ms % 1000) * 1000};

    // Without a limit a process that hangs would hang a VP: rather none then.
    if (setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 ||
        setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0) {
        die(c, strerror(errno));
    }
}

static uint64_t now_ms(void) {
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/// One packet into c->packet, checked. -EIO: dead. A VP's thread gets signals: none of them makes
/// the waiting longer than one more limit.
static int receive(struct uefi_vars_client *c, struct uefi_vars_packet *out) {
    uint64_t start_ms = now_ms();
    ssize_t n;

    do {
        n = recv(c->fd, c->packet, sizeof(c->packet), 0);
    } while (n < 0 && errno == EINTR && now_ms() - start_ms < c->call_max_ms);
    if (n < 0) {
        return die(c, errno == EAGAIN || errno == EINTR ? "it does not answer" : strerror(errno));
    }
    if (n == 0) {
        return die(c, "its socket is closed");
    }
    if (uefi_vars_packet_parse(c->packet, (size_t)n, UEFI_VARS_TO_CLIENT, out) != 0) {
        return die(c, "it does not keep to the protocol");
    }
    return 0;
}

/// Whether a packet is the READY that comes once.
static bool take_ready(struct uefi_vars_client *c, const struct uefi_vars_packet *packet) {
    if (packet->op != UEFI_VARS_READY || c->ready) {
        return false;
    }
    c->ready = true;
    if (packet->status != 0) {
        log_write(LOG_ERROR, AREA, "the variable service has no store: %s",
                  strerror((int)packet->status));
    }
    return true;
}

/// One exchange. 0 with *answer pointing into c->packet, the answer's -errno, or -EIO. With the
/// lock held.
static int exchange(struct uefi_vars_client *c, struct uefi_vars_packet request,
                    struct uefi_vars_packet *answer) {
    size_t size_bytes;
    ssize_t n;

    if (c->fd < 0) {
        return -EIO;
    }
    c->last_sequence += c->last_sequence == UINT32_MAX ? 2 : 1; // 0 means none
    request.sequence = c->last_sequence;
    size_bytes = uefi_vars_packet_format(c->packet, &request);
    do {
        n = send(c->fd, c->packet, size_bytes, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)size_bytes) {
        return die(c, n < 0 ? strerror(errno) : "a message was cut");
    }
    if (receive(c, answer) != 0) {
        return -EIO;
    }
    if (take_ready(c, answer) && receive(c, answer) != 0) {
        return -EIO;
    }
    if (answer->op != (request.op | 0x80) || answer->sequence != request.sequence) {
        return die(c, "it answers what was not asked");
    }
    return -(int)answer->status;
}

static int call(struct uefi_vars_backend *b, uint8_t *message, uint32_t size_bytes) {
    struct uefi_vars_client *c = client_of(b);
    struct uefi_vars_packet answer;
    uint64_t length = load_le64(message + 16);
    uint32_t used;
    int r;

    if (size_bytes < UEFI_VARS_HEADER_BYTES || size_bytes > UEFI_VARS_PAYLOAD_MAX_BYTES ||
        length > size_bytes - UEFI_VARS_HEADER_BYTES) {
        return -EMSGSIZE;
    }
    used = UEFI_VARS_HEADER_BYTES + (uint32_t)length;
    pthread_mutex_lock(&c->lock);
    r = exchange(
        c,
        (struct uefi_vars_packet){
            .op = UEFI_VARS_CALL, .room = size_bytes, .payload = message, .payload_bytes = used},
        &answer);
    if (r == 0 && answer.payload_bytes != used) {
        r = die(c, "an answer has another size than its message");
    }
    if (r == 0) {
        memcpy(message, answer.payload, used);
    }
    explicit_bzero(c->packet, UEFI_VARS_WIRE_HEADER_BYTES + used);
    pthread_mutex_unlock(&c->lock);
    return r;
}

static int reset(struct uefi_vars_backend *b) {
    struct uefi_vars_client *c = client_of(b);
    struct uefi_vars_packet answer;
    int r;

    pthread_mutex_lock(&c->lock);
    r = exchange(c, (struct uefi_vars_packet){.op = UEFI_VARS_RESET}, &answer);
    pthread_mutex_unlock(&c->lock);
    return r;
}

int uefi_vars_client_inspect(struct uefi_vars_client *c, char *out, size_t room_bytes) {
    struct uefi_vars_packet answer;
    int r;

    pthread_mutex_lock(&c->lock);
    r = exchange(c, (struct uefi_vars_packet){.op = UEFI_VARS_INSPECT}, &answer);
    if (r == 0) {
        r = (int)(answer.payload_bytes < room_bytes ? answer.payload_bytes : room_bytes);
        memcpy(out, answer.payload, (size_t)r);
    }
    pthread_mutex_unlock(&c->lock);
    return r;
}

void uefi_vars_client_init(struct uefi_vars_client *c, int fd) {
    memset(c, 0, sizeof(*c));
    c->backend = (struct uefi_vars_backend){.call = call, .reset = reset};
    pthread_mutex_init(&c->lock, NULL); // fails only for attributes we do not use
    c->fd = fd;
    c->call_max_ms = UEFI_VARS_CALL_MAX_MS;
    if (fd >= 0) {
        limit_waiting(c);
    }
}

void uefi_vars_client_attach(struct uefi_vars_client *c, int fd) {
    pthread_mutex_lock(&c->lock);
    if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = fd;
    c->ready = false;
    if (fd >= 0) {
        limit_waiting(c);
    }
    pthread_mutex_unlock(&c->lock);
}

/// A process that died between two calls: nobody has noticed yet. With the lock held.
static void look_for_end(struct uefi_vars_client *c) {
    struct uefi_vars_packet packet;
    uint8_t byte;

    for (unsigned i = 0; c->fd >= 0 && i < 2; i++) {
        ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return; // nothing has come: it lives
        }
        if (n <= 0) {
            die(c, n == 0 ? "its socket is closed" : strerror(errno));
        } else if (receive(c, &packet) == 0 && !take_ready(c, &packet)) {
            die(c, "it answers what was not asked");
        }
    }
}

bool uefi_vars_client_is_dead(struct uefi_vars_client *c) {
    bool dead;

    pthread_mutex_lock(&c->lock);
    look_for_end(c);
    dead = c->fd < 0;
    pthread_mutex_unlock(&c->lock);
    return dead;
}

void uefi_vars_client_close(struct uefi_vars_client *c) {
    pthread_mutex_lock(&c->lock);
    if (c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
    pthread_mutex_unlock(&c->lock);
    pthread_mutex_destroy(&c->lock);
}
