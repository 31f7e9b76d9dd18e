// SPDX-License-Identifier: MIT
//
// The variable process (uefi_vars.h): arguments, the sandbox, and one thread that takes a packet,
// has the engine answer it, and answers. Packets that break the protocol are dropped: the process
// outlives whatever it is sent.

#include "userspace/uefi_vars.h"

#include "igvm/base/log.h"
#include "igvm/base/types.h"
#include "userspace/sandbox.h"
#include "userspace/uefi/keys.h"
#include "userspace/uefi_vars_inspect.h"
#include "userspace/uefi_vars_protocol.h"
#include "userspace/vault_client.h"
#include "userspace/worker_crash.h"
#include "userspace/worker_options.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define AREA "uefi-vars"

struct options {
    int socket_fd;
    int vault_fd; ///< -1: none
    int keys_fd;  ///< -1: none
    bool secure_boot;
    int uid, gid;
};

struct process {
    struct options options;
    bool healthy; ///< there is an engine
    struct uefi_engine engine;
    uint8_t incoming[UEFI_VARS_PACKET_MAX_BYTES + 1]; ///< one more: a packet too long shows
    uint8_t outgoing[UEFI_VARS_PACKET_MAX_BYTES];
    uint8_t image[UEFI_STORE_IMAGE_MAX_BYTES];
    size_t keys_bytes; ///< 0: none
    char keys[UEFI_KEYS_MAX_BYTES + 1];
};

// ---- the engine and its store ----

static int save(void *ctx, const uint8_t *bytes, size_t size_bytes) {
    const struct process *p = ctx;
    int r = p->options.vault_fd < 0 ? 0 : vault_write(p->options.vault_fd, bytes, size_bytes);

    if (r != 0) {
        LOG_LIMITED(LOG_ERROR, AREA, "variables cannot be saved: %s", strerror(-r));
    }
    return r;
}

/// Reads the store; *size_bytes is 0 when it was never written.
static int read_store(struct process *p, size_t *size_bytes) {
    int r = p->options.vault_fd < 0
                ? -ENOENT
                : vault_read(p->options.vault_fd, p->image, sizeof(p->image), size_bytes);

    if (r == -ENOENT) {
        *size_bytes = 0;
        return 0;
    }
    if (r != 0) {
        log_write(LOG_ERROR, AREA, "the variable store cannot be read: %s", strerror(-r));
    }
    return r;
}

/// A new store gets its keys and is saved with them, so that it is new only once. A store without
/// the keys that were asked for would boot anything: there is none then.
static int provision(struct process *p) {
    struct uefi_json_error error = {.why = NULL, .variable = -1};
    int r = uefi_keys_provision(&p->engine, p->keys, p->keys_bytes, &error);

    if (error.why != NULL) {
        log_write(LOG_ERROR, AREA, "Secure Boot's keys, variable %d: %s", error.variable,
                  error.why);
    }
    r = r == 0 ? uefi_engine_save(&p->engine) : r;
    if (r != 0) {
        uefi_engine_free(&p->engine);
    }
    return r;
}

/// 0, or -errno with a line in the log; the store is as it was then.
static int start_engine(struct process *p) {
    const struct uefi_engine_config config = {
        .persist = {.save = save, .ctx = p},
        .secure_boot_wanted = p->options.secure_boot,
    };
    struct uefi_store_report report;
    size_t size_bytes = 0;
    int r = read_store(p, &size_bytes);

    if (r != 0) {
        return r;
    }
    r = uefi_engine_init(&p->engine, &config, p->image, size_bytes, &report);
    if (r == 0 && size_bytes == 0 && p->keys_bytes != 0) {
        r = provision(p);
    }
    if (r == -EBADMSG && report.why != NULL) {
        log_write(LOG_ERROR, AREA,
                  "the variable store is damaged and stays as it is: %s (at byte %zu of %zu)",
                  report.why, report.off, size_bytes);
    } else if (r != 0) {
        log_write(LOG_ERROR, AREA, "the variable service does not start: %s", strerror(-r));
    } else if (report.foreign) {
        log_write(LOG_INFO, AREA, "the variable store is another paravisor's, without a checksum");
    }
    explicit_bzero(p->image, size_bytes);
    p->healthy = r == 0;
    return r;
}

/// A power-on: the engine's, or another try with a store that was not there. A reset that failed
/// half-way may lack Secure Boot's state, and firmware verifies nothing then: no service either.
static int reset(struct process *p) {
    int r;

    if (!p->healthy) {
        return start_engine(p);
    }
    r = uefi_engine_reset(&p->engine);
    if (r != 0) {
        log_write(LOG_ERROR, AREA, "the variable service does not restart: %s", strerror(-r));
        uefi_engine_free(&p->engine);
        p->healthy = false;
    }
    return r;
}

// ---- requests ----

/// One packet; the payload stands at outgoing + UEFI_VARS_WIRE_HEADER_BYTES. A peer that is gone
/// shows as end of file in the reader.
static void answer(struct process *p, enum uefi_vars_op op, uint32_t sequence, int result,
                   size_t payload_bytes) {
    const struct uefi_vars_packet packet = {
        .op = op,
        .sequence = sequence,
        .status = (uint32_t)-result,
        .payload = p->outgoing + UEFI_VARS_WIRE_HEADER_BYTES,
        .payload_bytes = payload_bytes,
    };
    size_t n = uefi_vars_packet_format(p->outgoing, &packet);

    while (send(p->options.socket_fd, p->outgoing, n, MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
}

/// The message is answered in the outgoing packet; what the guest's buffer has room for behind it
/// is zero.
static void do_call(struct process *p, const struct uefi_vars_packet *request) {
    uint8_t *message = p->outgoing + UEFI_VARS_WIRE_HEADER_BYTES;
    int r = -EIO;

    if (p->healthy) {
        memset(message, 0, UEFI_VARS_PAYLOAD_MAX_BYTES);
        memcpy(message, request->payload, request->payload_bytes);
        r = uefi_engine_handle(&p->engine, message, request->room);
    }
    answer(p, UEFI_VARS_CALL_DONE, request->sequence, r, r == 0 ? request->payload_bytes : 0);
}

static void do_request(struct process *p, const struct uefi_vars_packet *request) {
    size_t text_bytes;

    switch (request->op) {
    case UEFI_VARS_CALL:
        do_call(p, request);
        break;
    case UEFI_VARS_RESET:
        answer(p, UEFI_VARS_RESET_DONE, request->sequence, reset(p), 0);
        break;
    case UEFI_VARS_INSPECT:
        text_bytes = uefi_vars_inspect(p->healthy ? &p->engine : NULL,
                                       (char *)p->outgoing + UEFI_VARS_WIRE_HEADER_BYTES,
                                       UEFI_VARS_PAYLOAD_MAX_BYTES);
        answer(p, UEFI_VARS_INSPECT_DONE, request->sequence, 0, text_bytes);
        break;
    default: // the parser lets nothing else through
        break;
    }
}

/// Until the peer closes its end.
static void serve(struct process *p) {
    for (;;) {
        ssize_t n = recv(p->options.socket_fd, p->incoming, sizeof(p->incoming), 0);
        struct uefi_vars_packet request;

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return; // an empty packet cannot be told from the end, and is no message either
        }
        if (uefi_vars_packet_parse(p->incoming, (size_t)n, UEFI_VARS_TO_PROCESS, &request) != 0) {
            LOG_LIMITED(LOG_WARN, AREA, "dropped a packet of %zd bytes that is no message", n);
            continue;
        }
        do_request(p, &request);
    }
}

// ---- set-up ----

/// What the C library, the engine and the vault's client need; not a path, not a new descriptor,
/// not a thread, not executable memory.
static int confine(const struct options *o) {
    const uint32_t vault_fd = (uint32_t)o->vault_fd; // -1 is no descriptor
    const struct sandbox_rule rules[] = {
        SANDBOX_ALLOW_ARG(SYS_recvfrom, 0, o->socket_fd),
        SANDBOX_ALLOW_ARG(SYS_sendto, 0, o->socket_fd),
        SANDBOX_ALLOW_ARG(SYS_recvfrom, 0, vault_fd),
        SANDBOX_ALLOW_ARG(SYS_sendto, 0, vault_fd),
        SANDBOX_ALLOW(SYS_clock_gettime), // where the vDSO cannot answer
        SANDBOX_ALLOW(SYS_futex),
        SANDBOX_ALLOW(SYS_brk),
        SANDBOX_ALLOW_MASK(SYS_mmap, 2, PROT_EXEC, 0),
        SANDBOX_ALLOW_MASK(SYS_mprotect, 2, PROT_EXEC, 0),
        SANDBOX_ALLOW(SYS_munmap),
        SANDBOX_ALLOW(SYS_mremap),
        SANDBOX_ALLOW(SYS_madvise),
        SANDBOX_ALLOW(SYS_rt_sigprocmask),
        SANDBOX_ALLOW(SYS_rt_sigreturn),
        SANDBOX_ALLOW(SYS_sigaltstack), // a sanitized build ends with it
        SANDBOX_ALLOW(SYS_getpid),
        SANDBOX_ALLOW(SYS_gettid),
        SANDBOX_ALLOW(SYS_restart_syscall),
        SANDBOX_ALLOW(SYS_write), // the log
        SANDBOX_ALLOW(SYS_writev),
        SANDBOX_ALLOW(SYS_exit),
        SANDBOX_ALLOW(SYS_exit_group),
        SANDBOX_ALLOW_ARG(SYS_tgkill, 0, getpid()), // abort()
        SANDBOX_REFUSE(SYS_openat, EACCES),
        SANDBOX_REFUSE(SYS_open, EACCES),
        SANDBOX_REFUSE(SYS_newfstatat, EACCES),
        SANDBOX_REFUSE(SYS_fstat, EACCES),
        SANDBOX_REFUSE(SYS_readlink, EACCES),
        SANDBOX_REFUSE(SYS_ioctl, ENOTTY),
        SANDBOX_REFUSE(SYS_close, EPERM),
        SANDBOX_REFUSE(SYS_prctl, EPERM),
        SANDBOX_REFUSE(SYS_sched_getaffinity, EPERM),
        SANDBOX_REFUSE(SYS_lseek, ESPIPE),
    };
    const struct sandbox_policy policy = {
        .name = "uefi-vars",
        .rules = rules,
        .rule_count = sizeof(rules) / sizeof(rules[0]),
        .uid = (uint32_t)o->uid,
        .gid = (uint32_t)o->gid,
#ifndef PARAPET_TEST // a sanitizer's shadow memory alone is larger
        .max_memory_bytes = 64u << 20,
#endif
        .max_file_bytes = 1u << 20, // only a log could be a file
    };

    return sandbox_enter(&policy);
}

static bool parse_option(struct options *o, const char *arg) {
    const struct worker_number_option numbers[] = {
        {"--socket", &o->socket_fd}, {"--vault-fd", &o->vault_fd}, {"--keys-fd", &o->keys_fd},
        {"--uid", &o->uid},          {"--gid", &o->gid},
    };

    if (strcmp(arg, "--secure-boot") == 0) {
        o->secure_boot = true;
        return true;
    }
    return worker_take_number(arg, numbers, ARRAY_COUNT(numbers));
}

static int parse_options(struct options *o, int argc, char **argv) {
    int id = geteuid() == 0 ? (int)UEFI_VARS_DEFAULT_UID : 0;

    *o = (struct options){.socket_fd = -1, .vault_fd = -1, .keys_fd = -1, .uid = id, .gid = id};
    for (int i = 1; i < argc; i++) {
        if (!parse_option(o, argv[i])) {
            log_write(LOG_ERROR, AREA, "option %s is not understood", argv[i]);
            return -EINVAL;
        }
    }
    if (o->socket_fd < 0) {
        log_write(LOG_ERROR, AREA, "needs --socket");
        return -EINVAL;
    }
    return 0;
}

/// The keys' text, before the process confines itself; looked into only afterwards.
static int read_keys(struct process *p) {
    while (p->options.keys_fd >= 0) {
        const ssize_t n =
            read(p->options.keys_fd, p->keys + p->keys_bytes, sizeof(p->keys) - p->keys_bytes);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 || p->keys_bytes + (size_t)n > UEFI_KEYS_MAX_BYTES) {
            return n < 0 ? -errno : -EFBIG;
        }
        if (n == 0) {
            close(p->options.keys_fd);
            p->options.keys_fd = -1;
            return p->keys_bytes == 0 ? -ENODATA : 0;
        }
        p->keys_bytes += (size_t)n;
    }
    return 0;
}

int uefi_vars_main(int argc, char **argv) {
    static struct process p;
    int r = parse_options(&p.options, argc, argv);

    if (r != 0) {
        return 1;
    }
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    worker_crash_install("uefi-vars", true);
    r = read_keys(&p);
    if (r != 0) {
        log_write(LOG_ERROR, AREA, "Secure Boot's keys cannot be read: %s", strerror(-r));
        return 1;
    }
    r = sandbox_close_other_fds((const int[]){p.options.socket_fd, p.options.vault_fd}, 2);
    if (r != 0) {
        log_write(LOG_ERROR, AREA, "cannot close descriptors: %s", strerror(-r));
        return 1;
    }
    // Nothing of the store is looked at before.
    if (confine(&p.options) != 0) {
        return 1;
    }
    answer(&p, UEFI_VARS_READY, 0, start_engine(&p), 0);
    serve(&p);
    if (p.healthy) {
        uefi_engine_free(&p.engine);
    }
    return 0;
}
