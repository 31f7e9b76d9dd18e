// SPDX-License-Identifier: MIT
//
// The vTPM process (vtpm.h): arguments, the sandbox, and two threads. The main thread reads the
// socket, so that a cancel is seen while a command runs; the worker owns libtpms and answers. They
// meet in a mailbox with room for one command and one power cycle, which is all that the protocol
// allows. Packets that break the protocol are dropped: the process outlives whatever it is sent.

#include "userspace/vtpm.h"

#include "igvm/base/log.h"
#include "userspace/sandbox.h"
#include "userspace/vtpm_engine.h"
#include "userspace/vtpm_protocol.h"
#include "userspace/vtpm_setup.h"
#include "userspace/worker_crash.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#define AREA "vtpm"

/// libtpms keeps keys and big numbers on the stack; musl's default is 128 KiB.
#define WORKER_STACK_BYTES (1u << 20)

/// Under lock: everything but the descriptors.
struct vtpm {
    int socket_fd;
    pthread_mutex_t lock;
    pthread_cond_t work;
    bool started;  ///< the worker runs: a thread's first steps need calls that the filter forbids
    bool confined; ///< the worker waits for this
    bool quit;
    bool has_command;
    uint8_t locality;
    uint32_t command_sequence;
    size_t command_bytes;
    uint8_t command[VTPM_PAYLOAD_MAX_BYTES];
    uint32_t running_sequence; ///< 0: none
    bool cancelled;            ///< the command was cancelled before it ran
    bool has_power_cycle;
    uint32_t power_sequence;
    struct vtpm_store store;
    struct vtpm_engine_policy policy;
};

// ---- the worker ---------------------------------------------------------------------------------

/// One packet; the payload may stand at out + VTPM_HEADER_BYTES already. A peer that is gone shows
/// as end of file in the reader.
static void send_message(struct vtpm *v, uint8_t *out, const struct vtpm_message *message,
                         int flags) {
    size_t n = vtpm_message_format(out, message);

    while (send(v->socket_fd, out, n, MSG_NOSIGNAL | flags) < 0 && errno == EINTR) {
    }
}

static void send_status(struct vtpm *v, enum vtpm_op op, uint32_t sequence, int error, int flags) {
    uint8_t out[VTPM_HEADER_BYTES];

    send_message(v, out,
                 &(struct vtpm_message){.op = op, .sequence = sequence, .status = (uint32_t)-error},
                 flags);
}

/// A response of TPM_RC_CANCELED.
static const uint8_t rc_cancelled[] = {0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x09, 0x09};

/// With the lock held on entry and exit, not while libtpms works.
static void run_command(struct vtpm *v) {
    uint8_t command[VTPM_PAYLOAD_MAX_BYTES];
    uint8_t out[VTPM_MESSAGE_MAX_BYTES];
    struct vtpm_message answer = {.op = VTPM_COMMAND_DONE, .sequence = v->command_sequence};
    uint8_t locality = v->locality;
    size_t command_bytes = v->command_bytes;
    bool cancelled = v->cancelled;

    memcpy(command, v->command, command_bytes);
    v->running_sequence = v->command_sequence;
    pthread_mutex_unlock(&v->lock);
    answer.payload = out + VTPM_HEADER_BYTES;
    answer.payload_bytes = cancelled
                               ? sizeof(rc_cancelled)
                               : vtpm_engine_run(locality, command, command_bytes,
                                                 out + VTPM_HEADER_BYTES, VTPM_PAYLOAD_MAX_BYTES);
    if (cancelled) {
        memcpy(out + VTPM_HEADER_BYTES, rc_cancelled, sizeof(rc_cancelled));
    }
    explicit_bzero(command, sizeof(command)); // authorisation values
    pthread_mutex_lock(&v->lock);
    v->running_sequence = 0;
    v->has_command = false; // before the answer: the next command may come right after it
    explicit_bzero(v->command, command_bytes);
    pthread_mutex_unlock(&v->lock);
    send_message(v, out, &answer, 0);
    pthread_mutex_lock(&v->lock);
}

static void run_power_cycle(struct vtpm *v) {
    uint32_t sequence = v->power_sequence;
    int r;

    pthread_mutex_unlock(&v->lock);
    r = vtpm_engine_power_cycle();
    pthread_mutex_lock(&v->lock);
    v->has_power_cycle = false;
    pthread_mutex_unlock(&v->lock);
    send_status(v, VTPM_POWER_CYCLE_DONE, sequence, r, 0);
    pthread_mutex_lock(&v->lock);
}

/// Nothing of the state file's contents is looked at before the process is confined.
static void *worker(void *arg) {
    struct vtpm *v = arg;
    int r;

    pthread_mutex_lock(&v->lock);
    v->started = true;
    pthread_cond_broadcast(&v->work);
    while (!v->confined && !v->quit) {
        pthread_cond_wait(&v->work, &v->lock);
    }
    if (v->quit) {
        pthread_mutex_unlock(&v->lock);
        return NULL;
    }
    pthread_mutex_unlock(&v->lock);

    r = vtpm_store_load(&v->store);
    if (r != 0) {
        log_write(LOG_ERROR, AREA, "state cannot be read: %s", strerror(-r));
        v->store.kind = VTPM_STORE_CORRUPT;
        v->policy.manufacture_if_corrupt = false; // unreadable is not known to be corrupted
    }
    r = vtpm_engine_start(&v->store, &v->policy);
    send_status(v, VTPM_READY, 0, r, 0);

    pthread_mutex_lock(&v->lock);
    while (!v->quit) {
        if (v->has_command) {
            run_command(v);
        } else if (v->has_power_cycle) {
            run_power_cycle(v);
        } else {
            pthread_cond_wait(&v->work, &v->lock);
        }
    }
    pthread_mutex_unlock(&v->lock);
    vtpm_engine_stop();
    vtpm_store_close(&v->store);
    return NULL;
}

// ---- the reader ---------------------------------------------------------------------------------

/// A message into the mailbox; one too many is refused at once. With the lock held.
static void take_message(struct vtpm *v, const struct vtpm_message *m) {
    switch (m->op) {
    case VTPM_COMMAND:
        if (v->has_command) {
            send_status(v, VTPM_COMMAND_DONE, m->sequence, -EBUSY, MSG_DONTWAIT);
            return;
        }
        v->has_command = true;
        v->cancelled = false;
        v->locality = m->locality;
        v->command_sequence = m->sequence;
        v->command_bytes = m->payload_bytes;
        memcpy(v->command, m->payload, m->payload_bytes);
        break;
    case VTPM_POWER_CYCLE:
        if (v->has_power_cycle) {
            send_status(v, VTPM_POWER_CYCLE_DONE, m->sequence, -EBUSY, MSG_DONTWAIT);
            return;
        }
        v->has_power_cycle = true;
        v->power_sequence = m->sequence;
        v->cancelled = true;
        if (v->running_sequence != 0) {
            vtpm_engine_cancel();
        }
        break;
    case VTPM_CANCEL:
        // Under the lock the command cannot end and another begin meanwhile. libtpms forgets what
        // it is told between two commands; in the moment before one begins a cancel can get lost.
        if (v->running_sequence == m->sequence) {
            vtpm_engine_cancel();
        } else if (v->has_command && v->command_sequence == m->sequence) {
            v->cancelled = true;
        }
        break;
    default: // the parser lets nothing else through
        break;
    }
    pthread_cond_signal(&v->work);
}

/// Until the peer closes its end.
static void read_messages(struct vtpm *v) {
    uint8_t bytes[VTPM_MESSAGE_MAX_BYTES + 1]; // one more shows a packet that is too long

    for (;;) {
        ssize_t n = recv(v->socket_fd, bytes, sizeof(bytes), 0);
        struct vtpm_message message;

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return; // an empty packet cannot be told from the end, and is no message either
        }
        if (vtpm_message_parse(bytes, (size_t)n, VTPM_TO_PROCESS, &message) != 0) {
            LOG_LIMITED(LOG_WARN, AREA, "dropped a packet of %zd bytes that is no message", n);
            continue;
        }
        pthread_mutex_lock(&v->lock);
        take_message(v, &message);
        pthread_mutex_unlock(&v->lock);
    }
}

// ---- set-up -------------------------------------------------------------------------------------

static int start_worker(struct vtpm *v, pthread_t *thread) {
    pthread_attr_t attr;
    int r = pthread_attr_init(&attr);

    if (r != 0) {
        return r;
    }
    r = pthread_attr_setstacksize(&attr, WORKER_STACK_BYTES);
    r = r == 0 ? pthread_create(thread, &attr, worker, v) : r;
    pthread_attr_destroy(&attr);
    pthread_mutex_lock(&v->lock);
    while (r == 0 && !v->started) {
        pthread_cond_wait(&v->work, &v->lock);
    }
    pthread_mutex_unlock(&v->lock);
    return r;
}

int vtpm_main(int argc, char **argv) {
    static struct vtpm v = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER};
    static struct vtpm_events events;
    struct vtpm_options o;
    pthread_t thread;
    int r = vtpm_parse_options(&o, argc, argv);

    if (r != 0) {
        return 1;
    }
    // A log that is a long file or a closed pipe must not end the TPM: the write fails instead.
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    worker_crash_install("vtpm", true);
    r = vtpm_open_store(&v.store, &o);
    if (r != 0) {
        return 1;
    }
    if (o.events_fd >= 0) {
        r = vtpm_events_read(&events, o.events_fd);
        if (r != 0) {
            log_write(LOG_ERROR, AREA, "what is to be measured is not understood");
            return 1;
        }
        o.policy.events = &events;
    }
    v.socket_fd = o.socket_fd;
    v.policy = o.policy;
    r = sandbox_close_other_fds((const int[]){v.store.fd, v.socket_fd}, 2);
    if (r != 0) {
        log_write(LOG_ERROR, AREA, "cannot close descriptors: %s", strerror(-r));
        return 1;
    }
    r = start_worker(&v, &thread);
    if (r != 0) {
        log_write(LOG_ERROR, AREA, "cannot start a thread: %s", strerror(r));
        return 1;
    }
    r = vtpm_confine(&v.store, &o);
    pthread_mutex_lock(&v.lock);
    v.confined = r == 0;
    v.quit = r != 0;
    pthread_cond_signal(&v.work);
    pthread_mutex_unlock(&v.lock);
    if (r == 0) {
        read_messages(&v);
        pthread_mutex_lock(&v.lock);
        v.quit = true;
        if (v.running_sequence != 0) {
            vtpm_engine_cancel();
        }
        pthread_cond_signal(&v.work);
        pthread_mutex_unlock(&v.lock);
    }
    pthread_join(thread, NULL);
    return r == 0 ? 0 : 1;
}
